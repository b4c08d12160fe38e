"""Dates and times of a branch become instants, and what clocks leave open is asked back."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookings.availability.criteria import PartOfDay, TimeCriteria, Window, instant_of
from bookings.errors import TimeAmbiguous, TimeNonexistent, TimeNotUnderstood
from calcom.day_ranges import EPOCH, MINUTE

BERLIN = ZoneInfo("Europe/Berlin")
TUESDAY = date(2026, 11, 24)
AUTUMN, SPRING = date(2026, 10, 25), date(2027, 3, 28)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Asuncion", "Asia/Beirut"]


def window(first: str, last: str) -> Window:
    """Instants in UTC as a window."""
    return Window(*(int(datetime.fromisoformat(f"{text}Z").timestamp()) // 60 for text in (first, last)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, window("2026-11-23T23:00", "2026-11-24T23:00")),
        ({"part": PartOfDay.MORNING}, window("2026-11-24T04:00", "2026-11-24T11:00")),
        ({"part": PartOfDay.NOON}, window("2026-11-24T10:00", "2026-11-24T13:00")),
        ({"part": PartOfDay.AFTERNOON}, window("2026-11-24T11:00", "2026-11-24T17:00")),
        ({"part": PartOfDay.EVENING}, window("2026-11-24T16:00", "2026-11-24T23:00")),
        ({"not_before": time(9)}, window("2026-11-24T08:00", "2026-11-24T23:00")),
        ({"part": PartOfDay.MORNING, "not_before": time(9, 30)}, window("2026-11-24T08:30", "2026-11-24T11:00")),
        ({"part": PartOfDay.AFTERNOON, "not_before": time(9)}, window("2026-11-24T11:00", "2026-11-24T17:00")),
    ],
)
def test_a_day_and_its_parts(asked: dict[str, object], expected: Window) -> None:
    """FM-50: on the branch's clocks."""
    assert TimeCriteria.on([TUESDAY], BERLIN, **asked).windows == (expected,)


def test_a_part_of_the_day_that_is_over_is_asked_back() -> None:
    """The morning, but not before two, is nothing that can be searched for."""
    with pytest.raises(TimeNotUnderstood):
        TimeCriteria.on([TUESDAY], BERLIN, part=PartOfDay.MORNING, not_before=time(14))


def test_windows_that_touch_are_one() -> None:
    """Ascending and apart from each other, whatever order they were sent in."""
    hours = [datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in range(24)]

    asked = TimeCriteria.between(
        [(hours[12], hours[14]), (hours[8], hours[10]), (hours[9], hours[11]), (hours[14], hours[15])]
    )

    assert asked.windows == (
        window("2026-11-24T08:00", "2026-11-24T11:00"),
        window("2026-11-24T12:00", "2026-11-24T15:00"),
    )
    with pytest.raises(TimeNotUnderstood):
        TimeCriteria.between([(hours[9], hours[9])])


def test_one_time_is_one_minute() -> None:
    """What begins a minute later is something else."""
    asked = TimeCriteria.at(datetime(2026, 11, 24, 9, tzinfo=UTC))

    assert asked.start is not None
    assert asked.covers(asked.start)
    assert not asked.covers(asked.start + 1)
    assert not asked.covers(asked.start - 1)


@given(
    starts=st.lists(st.integers(0, 5_000), unique=True).map(sorted),
    windows=st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 900)), min_size=1, max_size=5),
)
def test_among_many_starts_those_are_found_that_are_covered(starts: list[int], windows: list[tuple[int, int]]) -> None:
    """FM-53: brute force agrees, and their order stays."""
    wanted = TimeCriteria.between(
        (EPOCH + first * MINUTE, EPOCH + (first + minutes) * MINUTE) for first, minutes in windows
    )

    assert wanted.among(starts) == [start for start in starts if wanted.covers(start)]


def test_a_time_that_comes_twice_is_never_guessed() -> None:
    """FM-50: half past two in the night of the change is two instants, and both are told."""
    with pytest.raises(TimeAmbiguous) as caught:
        instant_of(AUTUMN, time(2, 30), BERLIN)

    assert [reading.isoformat() for reading in caught.value.readings] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]
    with pytest.raises(TimeAmbiguous):
        TimeCriteria.on([AUTUMN], BERLIN, not_before=time(2))


def test_a_time_that_is_skipped_is_never_guessed() -> None:
    """FM-50: there is no half past two when clocks go from two to three."""
    with pytest.raises(TimeNonexistent):
        instant_of(SPRING, time(2, 30), BERLIN)
    with pytest.raises(TimeNonexistent):
        TimeCriteria.on([SPRING], BERLIN, not_before=time(2, 30))
    assert instant_of(SPRING, time(3), BERLIN) == datetime(2027, 3, 28, 1, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hours"), [(AUTUMN, 25), (SPRING, 23), (TUESDAY, 24)])
def test_a_day_is_as_long_as_its_clocks_say(day: date, hours: int) -> None:
    ((first, last),) = TimeCriteria.on([day], BERLIN).windows

    assert last - first == hours * 60


@given(
    day=st.dates(date(2020, 1, 1), date(2035, 12, 31)),
    clock=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_clocks_show_what_was_asked_for_at_that_instant_only(day: date, clock: time, zone: ZoneInfo) -> None:
    """FM-50: one instant shows that time, or two do, or none; brute force agrees."""
    naive = datetime.combine(day, clock)
    showing = {
        instant
        for fold in (0, 1)
        if (instant := naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)).astimezone(zone).replace(tzinfo=None)
        == naive
    }

    try:
        found = {instant_of(day, clock, zone)}
    except TimeAmbiguous as exc:
        found = {reading.astimezone(UTC) for reading in exc.readings}
        assert len(found) == 2
    except TimeNonexistent:
        found = set()
    assert found == showing
