"""What the caller is asked to agree to, and how days are called: as people say it, and short enough to be heard."""

import re
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.language.booking_sentences import day_name, read_back

FRIDAY = date(2026, 11, 20)
HALF_PAST_TEN = datetime(2026, 11, 24, 10, 30)  # noqa: DTZ001  in the branch's zone, whichever that is


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (
            {"language": "de"},
            "Herrenhaarschnitt am Dienstag, dem vierundzwanzigsten November, um zehn Uhr dreißig. Ist das so richtig?",
        ),
        (
            {"language": "de", "staff": "Emma"},
            "Herrenhaarschnitt bei Emma am Dienstag, dem vierundzwanzigsten November, um zehn Uhr dreißig."
            " Ist das so richtig?",
        ),
        (
            {"language": "en", "service": "Haircut", "staff": "Emma"},
            "Haircut with Emma on Tuesday, the twenty-fourth of November, at ten thirty in the morning. Is that right?",
        ),
        (
            {"language": "de", "start": datetime(2027, 1, 7, 13)},  # noqa: DTZ001
            "Herrenhaarschnitt am Donnerstag, dem siebten Januar zweitausendsiebenundzwanzig, um dreizehn Uhr."
            " Ist das so richtig?",
        ),
    ],
)
def test_what_is_read_back(said, spoken):
    """FM-55: weekday with the date, times as they are spoken, the year only where it differs, a question at the end."""
    usual = {"service": "Herrenhaarschnitt", "staff": "", "start": HALF_PAST_TEN, "today": FRIDAY}

    assert read_back(**{**usual, **said}) == spoken


@given(
    service=st.text("abcdeÄß ", min_size=1, max_size=100),
    staff=st.text("abcdeÄß ", max_size=100),
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)),  # noqa: DTZ001
    language=st.sampled_from(["de", "en"]),
)
def test_it_can_always_be_heard(service, staff, start, language):
    """FM-55: one line, at most 250 characters, no figures, no colon, and it asks."""
    spoken = read_back(service=service, staff=staff, start=start, today=FRIDAY, language=language)

    assert len(spoken) <= 250
    assert spoken.endswith("?")
    assert not re.search(r"[\d:\n]", spoken)


def test_days_by_name():
    """FM-51: the agent reads them off instead of working them out."""
    names = [day_name(date(2026, 11, 20 + ahead), FRIDAY, "de") for ahead in range(4)]

    assert names == [
        "heute, Freitag, zwanzigster November",
        "morgen, Samstag, einundzwanzigster November",
        "übermorgen, Sonntag, zweiundzwanzigster November",
        "Montag, dreiundzwanzigster November",
    ]
    assert day_name(date(2026, 11, 22), FRIDAY, "en") == "the day after tomorrow, Sunday, the twenty-second of November"
