"""What callers hear: golden files, and the rules that hold for every sentence."""

import re
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.availability.criteria import PartOfDay, TimeCriteria
from bookings.availability.rules import Reason
from bookings.availability.search import Status
from bookings.language import sentences
from bookings.language.sentences import SearchResult, Time
from tests.bookings.language.cases import CASES, FRIDAY

LANGUAGES = ("de", "en")
GOLDEN = Path(__file__).parent / "golden"
BERLIN = ZoneInfo("Europe/Berlin")


def golden(language: str) -> dict[str, str]:
    """Each case and its sentence: two lines, and an empty one."""
    blocks = (GOLDEN / f"{language}.txt").read_text("utf-8").strip().split("\n\n")
    return dict(block.split("\n") for block in blocks)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", sorted(CASES))
def test_sentence_matches_golden_file(case: str, language: str) -> None:
    """FM-55: word for word, as people would say it."""
    assert CASES[case](language) == golden(language)[case]


@pytest.mark.parametrize("language", LANGUAGES)
def test_golden_files_have_no_unused_case(language: str) -> None:
    """A sentence that nothing says any more is taken out."""
    assert set(golden(language)) == set(CASES)


def speakable(spoken: str) -> None:
    """FM-55: one line, short, plain words, no figures, no markup; and it ends with a question."""
    assert 0 < len(spoken) <= 250
    assert re.fullmatch(r"[^\W\d_][\w ,.?'\u2019-]*\?", spoken), spoken
    assert not re.search(r"\d|_|  |,,|[A-ZÄÖÜ]{2}|[,.] [,.]", spoken), spoken


TIMES = st.lists(
    st.tuples(st.integers(0, 365), st.integers(0, 1439), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda at: at[:2],
).map(sorted)
NAMES = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(["Emma", "Dr. Chen", "Anna-Lena O'Neill"])


@given(
    status=st.sampled_from(Status),
    times=TIMES,
    reason=st.sampled_from(Reason) | st.none(),
    staff=NAMES,
    today=st.dates(date(2026, 1, 1), date(2098, 1, 1)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    language=st.sampled_from(LANGUAGES),
)
def test_any_search_result_can_be_spoken(*, status, times, reason, staff, today, flags, language) -> None:
    """FM-55: for any number of times, any distance and any name."""
    midnight = datetime(today.year, today.month, today.day)  # noqa: DTZ001  what clocks show
    when = [Time(midnight + timedelta(days=day, minutes=minute), other) for day, minute, other in times]
    exact, held, further = flags
    if status is Status.AVAILABLE and exact:
        when = when[:1]
    staff = re.sub(r"[A-ZÄÖÜ]", "a", staff)
    until = today + timedelta(days=times[0][0])
    found = SearchResult(status, when, today, until, reason, staff, exact=exact, held=held, further=further)

    speakable(sentences.search_result(found, language))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", sorted(CASES))
def test_golden_case_can_be_spoken(case: str, language: str) -> None:
    """The golden sentences keep the rules, too."""
    speakable(CASES[case](language))


@given(day=st.integers(0, 700), minute=st.integers(0, 1439), language=st.sampled_from(LANGUAGES))
def test_date_has_its_weekday(day: int, minute: int, language: str) -> None:
    """Callers notice a wrong weekday, and hardly a wrong date."""
    start = datetime(2026, 11, 20) + timedelta(days=day, minutes=minute)  # noqa: DTZ001  what clocks show
    spoken = sentences.one_time(start, FRIDAY, language)
    weekdays = {
        "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
        "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    }[language]
    ahead = (start.date() - FRIDAY).days

    assert (ahead in {0, 1}) or spoken.startswith(weekdays[start.weekday()])
    assert (re.search(r"zweitausend|twenty twenty|twenty thirty", spoken) is not None) == (start.year != FRIDAY.year)


@pytest.mark.parametrize(
    ("name", "spoken"),
    [
        ("Emma", "Emma"),
        ("  Dr. Chen\n", "Dr. Chen"),
        ("Emma: **Chefin** (1)", "Emma Chefin"),
        ("Anna-Lena O'Neill", "Anna-Lena O'Neill"),
        ("Maximiliana Freifrau von und zu Hohenstein-Oberau", "Maximiliana"),
        ("x" * 100, "x" * 40),
        ("14:00", ""),
        ("", ""),
    ],
)
def test_unspeakable_characters_are_left_out(name: str, spoken: str) -> None:
    """Staff write names for screens; a speech engine gets the words of them."""
    assert sentences.speakable(name) == spoken


def _on(*days: int, **more: object) -> TimeCriteria:
    return TimeCriteria.on([date(2026, 11, day) for day in days], BERLIN, **more)


@pytest.mark.parametrize(
    ("wanted", "german", "english"),
    [
        (
            TimeCriteria.at(datetime(2026, 11, 24, 10, 30, tzinfo=BERLIN)),
            "Dienstag, vierundzwanzigster November, um zehn Uhr dreißig",
            "Tuesday, the twenty-fourth of November, at ten thirty in the morning",
        ),
        (
            _on(24),
            "Dienstag, vierundzwanzigster November",
            "Tuesday, the twenty-fourth of November",
        ),
        (
            _on(24, part=PartOfDay.MORNING),
            "Dienstag, vierundzwanzigster November, vormittags",
            "Tuesday, the twenty-fourth of November, in the morning",
        ),
        (
            _on(24, part=PartOfDay.EVENING),
            "Dienstag, vierundzwanzigster November, abends",
            "Tuesday, the twenty-fourth of November, in the evening",
        ),
        (
            _on(24, 26, part=PartOfDay.MORNING, not_before=datetime(2026, 1, 1, 9).time()),  # noqa: DTZ001
            "Dienstag, vierundzwanzigster November, vormittags ab neun Uhr oder"
            " Donnerstag, sechsundzwanzigster November, vormittags ab neun Uhr",
            "Tuesday, the twenty-fourth of November, in the morning from nine in the morning or"
            " Thursday, the twenty-sixth of November, in the morning from nine in the morning",
        ),
        (
            _on(23, 24, 25, 26, part=PartOfDay.NOON),
            "Montag, dreiundzwanzigster November bis Donnerstag, sechsundzwanzigster November, mittags",
            "Monday, the twenty-third of November to Thursday, the twenty-sixth of November, around noon",
        ),
        (
            TimeCriteria.between(
                [(datetime(2027, 1, 1, 9, tzinfo=BERLIN), datetime(2027, 1, 1, 11, 15, tzinfo=BERLIN))]
            ),
            "Freitag, erster Januar zweitausendsiebenundzwanzig, ab neun Uhr bis elf Uhr fünfzehn",
            "Friday, the first of January twenty twenty-seven,"
            " from nine in the morning until eleven fifteen in the morning",
        ),
    ],
)
def test_criteria_are_spoken(wanted: TimeCriteria, german: str, english: str) -> None:
    """An agent that meant another day can see so: the date is always in it."""
    assert sentences.understood(wanted, BERLIN, FRIDAY, "de") == german
    assert sentences.understood(wanted, BERLIN, FRIDAY, "en") == english


@pytest.mark.parametrize(("name", "spoken"), [(".", ""), ("'' -", ""), ("- Emma", "Emma"), ("Dr. Chen", "Dr. Chen")])
def test_name_is_spoken_only_as_far_as_it_has_letters(name: str, spoken: str) -> None:
    assert sentences.speakable(name) == spoken
