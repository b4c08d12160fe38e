"""
How many bookings an event type allows by period, and each booker.

The refusals were seen 2026-11-30. Not recorded: that a period is one of the owner's zone, a week beginning on Monday;
that the list of slots leaves out what the limits refuse; and that a booking that waits for its host counts.
"""

from collections.abc import Container, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from calcom.simulator.errors import bare, refused
from calcom.simulator.state import Booking, State
from calcom.simulator.world import EventType

_NOBODY: frozenset[str] = frozenset()


def refuse_over_limit(
    state: State, event_type: EventType, start: int, minutes: int, ignored: Container[str] = _NOBODY
) -> None:
    """Refuse one more booking in a period that is full; bookings whose uid is in `ignored` do not count."""
    if not _fits(state, event_type, start, minutes, ignored):
        raise bare(401, "booking_limit_reached")


def refuse_over_booker_limit(state: State, event_type: EventType, email: str) -> None:
    """Refuse an address that has as many bookings to come as it may have."""
    now = state.now()
    active = [each for each in _of_type(state, event_type) if each.end > now and each.has_attendee(email)]
    if event_type.booker_limit and len(active) >= event_type.booker_limit:
        raise refused(
            400,
            "Attendee with this email can't book because the maximum number of active bookings has been reached.",
        )


def within_limits(
    state: State, event_type: EventType, starts: list[int], minutes: int, ignored: Container[str] = _NOBODY
) -> list[int]:
    """Return the starts at which one more booking fits the limits."""
    if not (event_type.limits_count or event_type.limits_duration):
        return starts
    return [start for start in starts if _fits(state, event_type, start, minutes, ignored)]


def _fits(state: State, event_type: EventType, start: int, minutes: int, ignored: Container[str]) -> bool:
    zone = ZoneInfo(state.owner(event_type).time_zone)
    for limits, one_more in ((event_type.limits_count, 1), (event_type.limits_duration, minutes)):
        for period, most in (limits or {}).items():
            first, last = _period(period, start, zone)
            booked = [each for each in _of_type(state, event_type) if first <= each.start < last]
            counted = [each for each in booked if each.uid not in ignored]
            used = len(counted) if one_more == 1 else sum((each.end - each.start) // 60 for each in counted)
            if used + one_more > most:
                return False
    return True


def _of_type(state: State, event_type: EventType) -> Iterator[Booking]:
    return (each for each in state.bookings.values() if each.is_live and each.event_type.id == event_type.id)


def _period(period: str, start: int, zone: ZoneInfo) -> tuple[float, float]:
    day = datetime.fromtimestamp(start, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        first, last = day, day + timedelta(days=1)
    elif period == "week":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    elif period == "month":
        first = day.replace(day=1)
        last = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day.replace(month=1, day=1)
        last = first.replace(year=first.year + 1)
    return first.timestamp(), last.timestamp()
