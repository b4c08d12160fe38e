"""Which days a change touches."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcom.day_ranges import MINUTE, SlotFootprint, affected_days

CUT = SlotFootprint(30)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

shapes = st.builds(SlotFootprint, st.integers(1, 600), st.integers(0, 120), st.integers(0, 120))
instants = st.integers(0, 2 * 86_400).map(lambda s: datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=s))


def days(
    start: datetime, end: datetime, *, changed: SlotFootprint = CUT, asked: SlotFootprint = CUT
) -> tuple[date, date]:
    """Return the days touched of one event type."""
    [(found, _)] = affected_days(start=start, end=end, changed=changed, others={1: asked}).items()
    return found


def test_appointment_at_noon_affects_its_own_day_only():
    """FM-22: three event types that share the host are affected together, one day each."""
    groups = affected_days(
        start=NOON, end=NOON + 30 * MINUTE, changed=CUT, others={3: CUT, 1: CUT, 2: SlotFootprint(60, 15, 15)}
    )

    assert groups == {(NOON.date(), NOON.date()): [1, 2, 3]}


def test_appointment_across_midnight_affects_both_days():
    """FM-23: ranges are instants, days are derived."""
    late = datetime(2026, 11, 24, 23, 45, tzinfo=UTC)

    found = days(late, late + 30 * MINUTE)

    assert found == (date(2026, 11, 24), date(2026, 11, 25))


def test_a_long_event_type_reaches_into_the_day_before():
    """FM-23: a three-hour slot at 22:00 meets what happens at half past midnight; a half-hour slot does not."""
    early = datetime(2026, 11, 25, 0, 30, tzinfo=UTC)

    groups = affected_days(start=early, end=early + 30 * MINUTE, changed=CUT, others={1: CUT, 2: SlotFootprint(180)})

    assert groups == {
        (date(2026, 11, 25), date(2026, 11, 25)): [1],
        (date(2026, 11, 24), date(2026, 11, 25)): [2],
    }


def test_slots_that_only_touch_the_appointment_are_not_affected():
    """FM-23: the slot that ends when the appointment begins stays as it was."""
    midnight = datetime(2026, 11, 25, tzinfo=UTC)

    found = days(midnight, midnight + 30 * MINUTE, asked=SlotFootprint(1))

    assert found == (date(2026, 11, 25), date(2026, 11, 25))


@given(start=instants, seconds=st.integers(1, 6 * 3600), changed=shapes, asked=shapes)
def test_exactly_the_days_of_overlapping_slots_are_affected(start, seconds, changed, asked):
    """FM-23: the formula agrees with trying every minute."""
    end = start + timedelta(seconds=seconds)
    taken_from, taken_to = start - changed.before * MINUTE, end + changed.after * MINUTE
    around = taken_from.replace(second=0) - 1500 * MINUTE
    every_minute = [around + number * MINUTE for number in range(3500)]

    meant = {
        slot.date()
        for slot in every_minute
        if slot - asked.before * MINUTE < taken_to and slot + (asked.length + asked.after) * MINUTE > taken_from
    }

    assert days(start, end, changed=changed, asked=asked) == (min(meant), max(meant))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON.replace(tzinfo=None), NOON),
        (NOON, NOON),
        (NOON, NOON - MINUTE),
        (NOON, NOON + timedelta(days=31, seconds=1)),
    ],
)
def test_a_change_without_bounds_is_refused(start, end):
    """FM-26: no input invalidates a year."""
    with pytest.raises(ValueError, match="change"):
        affected_days(start=start, end=end, changed=CUT, others={1: CUT})
