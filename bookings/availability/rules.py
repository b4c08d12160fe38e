"""From what Cal.com lists to what may be offered: minus what we took, minus what rules forbid. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from bookings.availability.criteria import Window
from bookings.errors import Closed, DateInPast, TooFar, TooSoon
from bookings.models import Service
from bookings.opening_hours import Hours
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, SlotFootprint, minute_from
from calcom.models import EventType

# Seconds before the beginning of a load in which a change may have escaped it: 2.5 s for what Cal.com remembers of the
# last question, and 2 s for what the clocks of Redis and PostgreSQL may differ by.
BLIND_S = 4.5


@dataclass(frozen=True, slots=True)
class TakenTime:
    """Time of a host that one of our appointments takes, in epoch minutes, its buffers included."""

    host_id: int
    start: int
    end: int
    is_confirmed: bool
    """Cal.com knows of it; otherwise it is held, or on its way."""
    changed_at: float
    """Since when, in epoch seconds."""


def overlapping(starts: Sequence[int], *, footprint: SlotFootprint, taken: Sequence[TakenTime]) -> dict[int, list[int]]:
    """Return, for each of the starts (epoch minutes, ascending) that overlaps taken time, which times: their places."""
    overlaps: dict[int, list[int]] = {}
    for place, time in enumerate(taken):
        first = bisect_right(starts, time.start - footprint.length - footprint.after)
        for start in starts[first : bisect_left(starts, time.end + footprint.before)]:
            overlaps.setdefault(start, []).append(place)
    return overlaps


def hidden_starts(
    overlaps: Mapping[int, Sequence[int]], *, taken: Sequence[TakenTime], loaded_at: Mapping[int, float]
) -> dict[int, Sequence[int]]:
    """
    Return the `overlaps` of those starts that must not be offered.

    Note [A newer list outranks the mirror]: a slot is hidden by what its list cannot know of yet. What a list knows of
    and lists all the same is free there, however many hosts our mirror has: one may be newer than the last sync.

    `loaded_at` says by day (epoch minutes divided by 1440) when the load of its list began, in epoch seconds.
    """
    return {
        start: places
        for start, places in overlaps.items()
        if not all(is_known(taken[place], loaded_at.get(start // MINUTES_A_DAY)) for place in places)
    }


def is_known(time: TakenTime, loaded_at: float | None) -> bool:
    """Return whether a list whose load began at `loaded_at` (epoch seconds) knows that the time is taken."""
    return time.is_confirmed and loaded_at is not None and time.changed_at < loaded_at - BLIND_S


class Reason(StrEnum):
    """Why nothing is free when the caller asked for it, the most hopeless first."""

    DATE_IN_PAST = "date_in_past"
    TOO_FAR = "too_far"
    TOO_SOON = "too_soon"
    CLOSED = "closed"
    FULLY_BOOKED = "fully_booked"


@dataclass(frozen=True)
class Rules:
    """What a service and its branch forbid, seen from one moment."""

    now: datetime
    earliest: datetime
    latest: datetime
    length: int
    """Minutes."""
    hours: Hours | None
    """None where whatever Cal.com offers will do."""

    @classmethod
    def of(cls, service: Service, now: datetime, event_type: EventType | None = None) -> Self:
        """Read the rules; both notices count, the service's and Cal.com's: that of `event_type`, or the service's."""
        branch, event_type = service.branch, event_type or service.event_type
        return cls(
            now=now,
            earliest=now + timedelta(minutes=max(service.notice_minutes, event_type.notice_minutes)),
            latest=now + timedelta(days=service.horizon_days),
            length=event_type.length_minutes,
            hours=branch.hours() if branch.opening_hours or branch.closures else None,
        )

    def allowed(self, starts: Sequence[int], first: datetime, last: datetime) -> list[int]:
        """Return those of the starts in the window that lie within opening hours, to their end."""
        if self.hours is None:
            return list(starts)
        allowed: list[int] = []
        for opens, closes in self.hours.between(first, last):
            allowed += starts[bisect_left(starts, opens) : bisect_right(starts, closes - self.length)]
        return allowed

    def reason(self, windows: Sequence[Window]) -> Reason:
        """Return why none of the windows has a free slot: of several reasons the most hopeful."""
        return max((self._reason(window) for window in windows), key=list(Reason).index)

    def _reason(self, window: Window) -> Reason:
        if window.last <= minute_from(self.now):
            return Reason.DATE_IN_PAST
        if window.last <= minute_from(self.earliest):
            return Reason.TOO_SOON
        if window.first > minute_from(self.latest):
            return Reason.TOO_FAR
        return Reason.FULLY_BOOKED if self._is_open_in(window) else Reason.CLOSED

    def _is_open_in(self, window: Window) -> bool:
        if self.hours is None:
            return True
        first, last = max(window.first, minute_from(self.earliest)), min(window.last, minute_from(self.latest) + 1)
        opened = self.hours.between(EPOCH + first * MINUTE, EPOCH + last * MINUTE)
        return any(max(first, opens) <= min(last - 1, closes - self.length) for opens, closes in opened)

    def check(self, start: datetime) -> None:
        """
        Do nothing if a caller may come at `start`.

        Raises:
            DateInPast, TooSoon, TooFar, Closed: why not.
        """
        if start <= self.now:
            raise DateInPast("That time has passed.")
        if start < self.earliest:
            raise TooSoon("That is sooner than the notice asked for.")
        if start > self.latest:
            raise TooFar("That is further ahead than callers may book.")
        if not self.allowed([int(start.timestamp()) // 60], start, start):
            raise Closed("The branch is closed then.")
