"""From a list of slots to what may be offered: pure, so that every case is a line in a table."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.offers import BLIND_S, TakenTime, nearest, subtract
from calcom.ranges import Shape

DAY = 20_000
MIDNIGHT = DAY * 1440
LOADED_AT = MIDNIGHT * 60.0
BEFORE_LOAD, AFTER_LOAD = LOADED_AT - BLIND_S - 1, LOADED_AT + 1
EMMA, BEN = 1, 2
CUT = Shape(30)


def minute(hour, minute=0):
    """An epoch minute of the day."""
    return MIDNIGHT + hour * 60 + minute


def taken(host, start, end, *, confirmed=True, changed_at=BEFORE_LOAD):
    """Somebody's time."""
    return TakenTime(host, start, end, confirmed, changed_at)


def left(starts, claims, *, hosts=1, shape=CUT):
    """What is left of the slots."""
    return subtract(starts, shape=shape, hosts=hosts, taken=claims, loaded_at={DAY: LOADED_AT})


def test_one_host_is_hidden_by_any_overlap():
    """L-05: half-open, so what ends when the slot begins is in nobody's way."""
    starts = [minute(9), minute(9, 30), minute(10), minute(10, 30), minute(11)]

    assert left(starts, [taken(EMMA, minute(9, 45), minute(10, 30))]) == [minute(9), minute(10, 30), minute(11)]


def test_the_slots_own_buffers_count():
    """The claim has its buffers already; the slot brings its own."""
    starts = [minute(9), minute(10), minute(11), minute(12)]
    claims = [taken(EMMA, minute(10), minute(11))]

    assert left(starts, claims, shape=Shape(60, before=15)) == [minute(9), minute(12)]
    assert left(starts, claims, shape=Shape(60, after=15)) == [minute(11), minute(12)]


def test_with_two_hosts_a_list_that_knows_of_the_one_still_offers_the_other():
    """The list was loaded after the booking and still has the slot: somebody is free."""
    assert left([minute(10)], [taken(EMMA, minute(10), minute(10, 30))], hosts=2) == [minute(10)]


@pytest.mark.parametrize(
    "claim",
    [
        taken(EMMA, minute(10), minute(10, 30), changed_at=AFTER_LOAD),
        taken(EMMA, minute(10), minute(10, 30), changed_at=LOADED_AT - 1),
        taken(EMMA, minute(10), minute(10, 30), confirmed=False),
    ],
    ids=["booked since the load", "booked while Cal.com still remembered its last answer", "held or on its way"],
)
def test_with_two_hosts_what_the_list_cannot_know_hides_the_slot(claim):
    """L-14: a list proves one free host; this may have been the one."""
    assert left([minute(9), minute(10)], [claim], hosts=2) == [minute(9)]


def test_two_hosts_both_taken_hide_the_slot():
    """Whatever the list says: both are ours."""
    claims = [taken(host, minute(10), minute(10, 30)) for host in (EMMA, BEN)]

    assert left([minute(10)], claims, hosts=2) == []


def test_two_appointments_of_one_host_are_one_host():
    """A slot of an hour that overlaps two cuts of Emma's leaves Ben."""
    claims = [taken(EMMA, minute(10), minute(10, 30)), taken(EMMA, minute(10, 30), minute(11))]

    assert left([minute(10)], claims, hosts=2, shape=Shape(60)) == [minute(10)]


def test_a_list_of_unknown_age_knows_nothing():
    """Loaded while Redis was away: nobody can say what it saw."""
    claims = [taken(EMMA, minute(10), minute(10, 30))]

    assert subtract([minute(10)], shape=Shape(30), hosts=2, taken=claims, loaded_at={}) == []


times = st.integers(min_value=0, max_value=1440)


@given(
    starts=st.lists(times, unique=True).map(sorted),
    spans=st.lists(st.tuples(st.integers(1, 3), times, st.integers(1, 200), st.booleans()), max_size=8),
    shape=st.builds(Shape, st.integers(5, 120), st.integers(0, 30), st.integers(0, 30)),
    hosts=st.integers(1, 3),
)
def test_the_same_as_looking_at_each_pair(starts, spans, shape, hosts):
    """The sorted search finds what comparing every slot with every claim finds."""
    claims = [taken(host, start, start + length, confirmed=sure) for host, start, length, sure in spans]

    expected = []
    for start in starts:
        hits = [c for c in claims if start - shape.before < c.end and start + shape.length + shape.after > c.start]
        if not any(not hit.is_confirmed for hit in hits) and len({hit.host_id for hit in hits}) < hosts:
            expected.append(start)

    loaded_at = dict.fromkeys((0, 1), BEFORE_LOAD + 1000)
    assert subtract(starts, shape=shape, hosts=hosts, taken=claims, loaded_at=loaded_at) == expected


def test_the_nearest_three_without_the_wish_itself():
    """L-54: three at most, each once, the earlier of two that are equally near."""
    starts = [minute(9), minute(10), minute(10, 30), minute(11), minute(15)]

    assert nearest(starts, minute(10)) == [minute(10, 30), minute(9), minute(11)]
    assert nearest([minute(10)], minute(10)) == []


def test_an_instant_is_an_epoch_minute():
    """The tables above speak of real minutes."""
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=DAY) == datetime.fromtimestamp(minute(0) * 60, UTC)
