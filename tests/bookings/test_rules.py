"""From a list of slots to what may be offered: pure, so that every case is a line in a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.availability.criteria import Window
from bookings.availability.rules import BLIND_S, Reason, Rules, TakenTime, hidden_starts, overlapping
from bookings.opening_hours import Hours
from calcom.day_ranges import SlotFootprint

DAY = 20_000
MIDNIGHT = DAY * 1440
LOADED_AT = MIDNIGHT * 60.0
BEFORE_LOAD, AFTER_LOAD = LOADED_AT - BLIND_S - 1, LOADED_AT + 1
EMMA, BEN = 1, 2
CUT = SlotFootprint(30)


def minute(hour, minute=0):
    """An epoch minute of the day."""
    return MIDNIGHT + hour * 60 + minute


def taken(host, start, end, *, confirmed=True, changed_at=BEFORE_LOAD):
    return TakenTime(host, start, end, confirmed, changed_at)


def left(starts, claims, *, footprint=CUT, loaded_at=None):
    """What is left of the slots."""
    overlaps = overlapping(starts, footprint=footprint, taken=claims)
    hidden = hidden_starts(overlaps, taken=claims, loaded_at={DAY: LOADED_AT} if loaded_at is None else loaded_at)
    return [start for start in starts if start not in hidden]


def test_a_slot_is_hidden_by_any_overlap():
    """FM-05."""
    starts = [minute(9), minute(9, 30), minute(10), minute(10, 30), minute(11)]
    claims = [taken(EMMA, minute(9, 45), minute(10, 30), changed_at=AFTER_LOAD)]

    assert left(starts, claims) == [minute(9), minute(10, 30), minute(11)]


def test_the_slots_own_buffers_count():
    """The claim has its buffers already; the slot brings its own."""
    starts = [minute(9), minute(10), minute(11), minute(12)]
    claims = [taken(EMMA, minute(10), minute(11), changed_at=AFTER_LOAD)]

    assert left(starts, claims, footprint=SlotFootprint(60, before=15)) == [minute(9), minute(12)]
    assert left(starts, claims, footprint=SlotFootprint(60, after=15)) == [minute(11), minute(12)]


@pytest.mark.parametrize("hosts", [[EMMA], [EMMA, BEN]])
def test_a_list_that_knows_of_all_appointments_is_offered(hosts):
    """Loaded after they were booked it still has the slot: another host is free, mirrored or not."""
    assert left([minute(10)], [taken(host, minute(10), minute(10, 30)) for host in hosts]) == [minute(10)]


@pytest.mark.parametrize(
    "claim",
    [
        taken(EMMA, minute(10), minute(10, 30), changed_at=AFTER_LOAD),
        taken(EMMA, minute(10), minute(10, 30), changed_at=LOADED_AT - 1),
        taken(EMMA, minute(10), minute(10, 30), confirmed=False),
    ],
    ids=["booked since the load", "booked while Cal.com still remembered its last answer", "held or on its way"],
)
def test_what_the_list_cannot_know_hides_the_slot(claim):
    """FM-14: a list proves one free host; this may have been the one."""
    assert left([minute(9), minute(10)], [claim]) == [minute(9)]


def test_one_appointment_that_the_list_cannot_know_hides_the_slot_beside_known_ones():
    """The list may have meant the host who was booked since."""
    claims = [
        taken(EMMA, minute(10), minute(10, 30)),
        taken(BEN, minute(10), minute(10, 30), changed_at=AFTER_LOAD),
    ]

    assert left([minute(10)], claims) == []


def test_a_list_of_unknown_age_knows_nothing():
    claims = [taken(EMMA, minute(10), minute(10, 30))]

    assert left([minute(10)], claims, loaded_at={}) == []


times = st.integers(min_value=0, max_value=1440)


@given(
    starts=st.lists(times, unique=True).map(sorted),
    spans=st.lists(st.tuples(st.integers(1, 3), times, st.integers(1, 200), st.booleans()), max_size=8),
    footprint=st.builds(SlotFootprint, st.integers(5, 120), st.integers(0, 30), st.integers(0, 30)),
    recent=st.booleans(),
)
def test_the_same_as_looking_at_each_pair(starts, spans, footprint, recent):
    """The sorted search finds what comparing every slot with every claim finds."""
    claims = [
        taken(
            host, start, start + length, confirmed=sure, changed_at=AFTER_LOAD if recent and host > 1 else BEFORE_LOAD
        )
        for host, start, length, sure in spans
    ]

    expected = []
    for start in starts:
        hits = [
            c
            for c in claims
            if start - footprint.before < c.end and start + footprint.length + footprint.after > c.start
        ]
        if all(hit.is_confirmed and hit.changed_at == BEFORE_LOAD for hit in hits):
            expected.append(start)

    loaded_at = dict.fromkeys((0, 1), LOADED_AT)
    assert left(starts, claims, footprint=footprint, loaded_at=loaded_at) == expected


TUESDAY = datetime(2026, 11, 24, tzinfo=UTC)
NOW = TUESDAY.replace(hour=8)
OPEN = Hours.parse("UTC", {"tue": [["09:00", "12:00"], ["14:00", "18:00"]], "wed": [["09:00", "18:00"]]}, [])
RULES = Rules(now=NOW, earliest=NOW + timedelta(hours=2), latest=NOW + timedelta(days=30), length=30, hours=OPEN)


def window(first, last, *, days=0):
    """From one hour of Tuesday to another, or of a day so many days later."""
    midnight = int(TUESDAY.timestamp()) // 60 + days * 1440
    return Window(midnight + round(first * 60), midnight + round(last * 60))


@pytest.mark.parametrize(
    ("windows", "reason"),
    [
        ([window(7, 8)], Reason.DATE_IN_PAST),
        ([window(0, 24, days=-400)], Reason.DATE_IN_PAST),
        ([window(7, 9)], Reason.TOO_SOON),
        ([window(8.5, 10)], Reason.TOO_SOON),
        ([window(8.5, 10.1)], Reason.FULLY_BOOKED),
        ([window(0, 24, days=31)], Reason.TOO_FAR),
        ([window(0, 24, days=900)], Reason.TOO_FAR),
        ([window(12, 14)], Reason.CLOSED),
        ([window(11.5, 11.6)], Reason.FULLY_BOOKED),
        ([window(11.6, 12)], Reason.CLOSED),
        ([window(0, 24, days=5)], Reason.CLOSED),
        ([window(0, 24)], Reason.FULLY_BOOKED),
        ([window(0, 24, days=-1), window(12, 14)], Reason.CLOSED),
        ([window(12, 14), window(0, 24, days=1), window(0, 24, days=99)], Reason.FULLY_BOOKED),
        ([window(7, 8), window(0, 24, days=99)], Reason.TOO_FAR),
    ],
)
def test_why_nothing_is_free_then(windows, reason):
    """FM-51: what is past is called past, what is closed is not called full; of several reasons the most hopeful."""
    assert RULES.reason(windows) is reason


def test_a_branch_without_hours_is_never_called_closed():
    assert replace(RULES, hours=None).reason([window(12, 14)]) is Reason.FULLY_BOOKED


def test_an_instant_is_an_epoch_minute():
    """The tables above speak of real minutes."""
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=DAY) == datetime.fromtimestamp(minute(0) * 60, UTC)
