"""Which times are open: schedule hours minus what occupies the hosts, within notice and booking window."""

from collections.abc import Container, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from calcom.simulator import times
from calcom.simulator.booking_limits import within_limits
from calcom.simulator.diary import Span
from calcom.simulator.state import State
from calcom.simulator.world import WEEKDAYS, EventType, Hours, Override, User

Stretch = tuple[int, int]

_GRIDS = (60, 30, 20, 15, 10, 5, 1)
_NEVER = 2**40
_NOBODY: frozenset[str] = frozenset()


def open_starts(
    state: State, event_type: EventType, start: int, end: int, *, minutes: int, ignored: Container[str] = _NOBODY
) -> list[int]:
    """
    List the starts, in order, at which at least one host is free for `minutes` between `start` and `end`.

    With fixed hosts all of these are, and one of the others if there are any.

    Bookings whose uid is in `ignored` occupy nobody. A slot has to end within the bounds: Cal.com cuts the working
    hours off at both of them before it counts (source of API v2).
    """
    now = state.now()
    earliest, latest = bookable(event_type, now)
    # Without any notice it is still a minute (source of API v2).
    start, end = max(start, earliest, int(now) + 60), min(end, latest)
    found: dict[str, set[int]] = {host.username: set() for host in state.hosts(event_type)}
    for host in state.hosts(event_type):
        if host.username not in state.unreachable_calendars:
            for stretch in _free(state, host, event_type, (start, end), ignored):
                found[host.username].update(_starts(stretch, host, minutes, event_type.interval_minutes or minutes))
    in_turns = [found[name] for name in found if name not in event_type.fixed]
    needed = [*(found[name] for name in event_type.fixed), *([set().union(*in_turns)] if in_turns else [])]
    starts = within_limits(state, event_type, sorted(set.intersection(*needed)), minutes, ignored)
    return _first_of_each_day(starts, state.owner(event_type)) if event_type.first_slot_only else starts


def _first_of_each_day(starts: Sequence[int], owner: User) -> list[int]:
    """Keep the first start of each of the owner's days; whose days Cal.com means is not recorded."""
    zone = ZoneInfo(owner.time_zone)
    first: dict[date, int] = {}
    for start in starts:
        first.setdefault(datetime.fromtimestamp(start, zone).date(), start)
    return list(first.values())


def bookable(event_type: EventType, now: float) -> Stretch:
    """Return the first and last instant that notice and booking window allow."""
    earliest, latest = int(now) + 60 * event_type.notice_minutes, _NEVER
    window = event_type.booking_window or {}
    if window.get("type") == "range":
        first, last = window["value"]
        return max(earliest, times.parse(first) or 0), (times.parse(last) or 0) + times.DAY
    if "value" in window:
        days = _calendar_days(window["type"], window["value"], now)
        latest = (int(now) // times.DAY + 1 + days) * times.DAY
    return earliest, latest


def is_open(user: User, start: int, end: int) -> bool:
    """Tell whether the user's working hours contain the time."""
    return any(opened <= start and end <= closed for opened, closed in _working(user, start, end))


def free_hosts(
    state: State, event_type: EventType, start: int, end: int, ignored: Container[str] = _NOBODY
) -> list[User]:
    """List the hosts who could take a booking; holds do not count (recorded 2026-11-21)."""
    before, after = event_type.before_minutes * 60, event_type.after_minutes * 60
    return [
        host
        for host in state.hosts(event_type)
        if host.username not in state.unreachable_calendars
        and is_open(host, start, end)
        and state.diary(host).is_free(start - before, end + after, ignored)
    ]


def _free(
    state: State, host: User, event_type: EventType, bounds: Stretch, ignored: Container[str]
) -> Iterator[Stretch]:
    """Yield the stretches within the bounds in which an appointment, its own buffers kept clear, may lie."""
    start, end = bounds
    before, after = event_type.before_minutes * 60, event_type.after_minutes * 60
    held = [Span(hold.start, hold.end, hold.uid) for hold in state.holds(host)]
    booked = list(state.diary(host).overlapping(start - before, end + after, ignored))
    spans = sorted(booked + held) if held else booked
    for opened, closed in _working(host, start, end):
        # The last second of a day that ends 23:59:59 counts as the whole minute (recorded 2026-11-21).
        cursor, closing = max(opened, start), min(closed, end + 1)
        for span in spans:
            if span.start - after >= closing:
                break
            if span.start - after > cursor:
                yield cursor, span.start - after
            cursor = max(cursor, span.end + before)
        if cursor < closing:
            yield cursor, closing


def _starts(stretch: Stretch, host: User, minutes: int, every: int) -> range:
    """Lay the grid over a stretch: aligned to the host's local hour, then step by step."""
    grid = 60 * next(grid for grid in _GRIDS if every % grid == 0)
    local = 60 * times.utc_offset_minutes(stretch[0], host.time_zone)
    first = -(-(stretch[0] + local) // grid) * grid - local
    return range(first, stretch[1] - 60 * minutes + 1, 60 * every)


def _working(user: User, start: int, end: int) -> Iterator[Stretch]:
    """Yield the user's hours on the days that the time touches."""
    day = datetime.fromtimestamp(start - times.DAY, UTC).date()
    last = datetime.fromtimestamp(max(start, end) + times.DAY, UTC).date() if end >= start else day
    while day <= last:
        for opened, closed in _hours(user, day):
            if opened < end and closed > start:
                yield opened, closed
        day += timedelta(days=1)


@lru_cache(maxsize=50_000)
def _hours(user: User, day: date) -> tuple[Stretch, ...]:
    weekday = WEEKDAYS[day.weekday()]
    overrides = [override for override in user.overrides if override.date == str(day)]
    hours: Sequence[Hours | Override] = overrides or [hours for hours in user.hours if weekday in hours.days]
    zone = ZoneInfo(user.time_zone)
    return tuple(
        (_instant(day, hour.start, zone), _instant(day, hour.end, zone)) for hour in hours if hour.start != hour.end
    )


def _instant(day: date, clock: str, zone: ZoneInfo) -> int:
    # Cal.com's editor cannot write midnight as an end, so 23:59 stands for it (source of API v2).
    if clock == "23:59":
        day, clock = day + timedelta(days=1), "00:00"
    return int(datetime.combine(day, time.fromisoformat(clock), zone).timestamp())


def _calendar_days(kind: str, days: int, now: float) -> int:
    """Count how many calendar days a window of so many days reaches."""
    if kind == "calendarDays":
        return days
    reached, today = 0, datetime.fromtimestamp(now, UTC).date()
    while days > 0:
        reached += 1
        days -= (today + timedelta(days=reached)).weekday() < 5
    return reached
