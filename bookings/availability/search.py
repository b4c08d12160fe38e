"""
The answer to "Do you have something on Tuesday?": what was asked for, or up to three real times instead and why not it.

Note [One request, however far]: what is known decides how far Cal.com is asked. Two weeks around the wish are looked at
first, and cost no request. If they leave the question open, Cal.com is asked once: for these two weeks, if even old
knowledge of them promises a slot, else for all the time for which callers may book. Where somebody is loading just
then, as for a call that has begun, what that brings is waited for first: it may do.

Note [Doubt costs a request only where it matters]: of an event type with several hosts, what one of them was booked for
since the list was loaded is hidden (Note [A list proves one host]). Whoever wishes for just that is not told "taken"
before a newer list says so; for everybody else it can wait until the list is stale.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from zoneinfo import ZoneInfo

from bookings import metrics
from bookings.availability.calendars import BEFORE, Calendar, Seen, Span, known_of, look, spans
from bookings.availability.criteria import Wanted
from bookings.availability.open_times import OpenTimes, open_times
from bookings.availability.ranking import MAX_OFFERS, Candidate, rank
from bookings.availability.rules import Reason, Rules
from bookings.models import Service
from cachectl.cache import CacheResult, Day
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, minute_from
from calcom.service import CalcomService

NO_WAIT = 0.0


class Status(StrEnum):
    """What came of a search."""

    AVAILABLE = "available"
    ALTERNATIVES = "alternatives"
    NONE = "none"
    DEGRADED = "degraded"
    """Some days that decide could not be looked up just now: offers are not certain, and without any nobody knows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a caller."""

    service: Service
    calendars: Sequence[Calendar]
    """The one that was asked for, then those that may serve instead."""
    wanted: Wanted
    offered: frozenset[int] = frozenset()
    """Starts, in epoch minutes, that the caller has heard already."""
    most: int = MAX_OFFERS

    def new(self, seen: Seen) -> Sequence[int]:
        """Return the starts that the caller has not heard yet, ascending."""
        return [start for start in seen.starts if start not in self.offered] if self.offered else seen.starts

    def wished(self, seen: Seen) -> list[int]:
        """Return those of them that are what was asked for."""
        return self.wanted.among(self.new(seen))

    def doubts(self, seen: Seen) -> bool:
        """Return whether a newer list could have what was asked for, and this one has not."""
        return self._may_have(seen, seen.askable)

    def is_uncertain(self, seen: Seen) -> bool:
        """Return whether what was asked for may be free although it is not shown: nothing says that it is taken."""
        return self._may_have(seen, seen.uncertain)

    def _may_have(self, seen: Seen, hidden: Sequence[int]) -> bool:
        """Return whether what was asked for is not shown, and is among what is hidden or on a day that was freed."""
        if self.wished(seen):
            return False
        if any(start not in self.offered for start in self.wanted.among(hidden)):
            return True
        return any(day.freed and _touches(self.wanted, day) for day in seen.known.days.values())

    @property
    def was_met(self) -> bool:
        """Return whether the caller has heard what was asked for, and wants something else."""
        return any(self.wanted.covers(start) for start in self.offered)


@dataclass(frozen=True, slots=True)
class Offer:
    """A free slot that may be read out."""

    start: datetime
    calendar: Calendar
    loaded_at: float | None = None
    """When the load of the list began that has it, in epoch seconds."""
    verified: bool = True
    """Whether a caller may be told of it without reserve."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer."""

    status: Status
    reason: Reason | None
    """Why it is not what was asked for, where that is so and anybody knows."""
    offers: list[Offer]
    """In the order of time."""
    known: CacheResult
    """How well those days are known that the answer stands on."""
    until: datetime
    """Up to when was looked."""
    more: bool
    """Whether asking on may find something else."""


def find(
    asked: Asked, *, now: datetime, calcom: CalcomService, deadline: Deadline, max_age: float | None = None
) -> Found:
    """
    Return what was asked for, or the best that is free instead; at the deadline, what is known.

    Where nothing is found and not everything could be looked up, nobody may say that nothing is free.

    Raises:
        ConfigurationError: the service cannot be booked through us.
    """

    def read(calendar: Calendar, span: Span, deadline: Deadline, *, suspect: bool = False) -> OpenTimes:
        return open_times(
            service=asked.service,
            event_type=calendar.event_type,
            first=span.first,
            last=span.last,
            now=now,
            calcom=calcom,
            deadline=deadline,
            max_age=max_age,
            revalidate=suspect and calendar is asked.calendars[0],
        )

    rules = Rules.of(asked.service, now, asked.calendars[0].event_type)
    near, far = spans(asked.wanted, rules)
    # Note [One request, however far]
    seen = look(read, asked.calendars, near, Deadline.after(NO_WAIT))
    certain = [each.certain for each in seen]
    # Note [Doubt costs a request only where it matters]
    suspect = asked.doubts(certain[0])
    if max_age is None and not suspect and _settles(asked, certain):
        return _answer(asked, rules, certain, until=near.last, end=far.last)
    if suspect or _promises(asked, seen) or any(each.known.loading for each in seen):
        seen = look(partial(read, suspect=suspect), asked.calendars, near, deadline)
        if _promises(asked, seen) or any(each.known.loaded or each.known.failure for each in seen):
            return _answer(asked, rules, seen, until=near.last, end=far.last)
    beyond = look(read, asked.calendars, far, deadline)
    beyond = [replace(each, known=each.known.after(before.known)) for each, before in zip(beyond, seen, strict=True)]
    return _answer(asked, rules, beyond, until=far.last, end=far.last)


def _promises(asked: Asked, seen: Sequence[Seen]) -> bool:
    """Return whether there are slots that the caller has not heard of."""
    return any(asked.new(each) for each in seen)


def _settles(asked: Asked, certain: Sequence[Seen]) -> bool:
    """Return whether what is certain without a request answers the question as well as a request would."""
    if asked.wished(certain[0]):
        return True
    slots = {start for each in certain for start in asked.new(each)}
    if all(each.known.verified for each in certain):
        return bool(slots)
    return len(slots) >= asked.most and all(_is_certain_around(asked.wanted, each) for each in certain)


def _is_certain_around(wanted: Wanted, seen: Seen) -> bool:
    margin = BEFORE // MINUTE
    return all(day.freshness.verified for day in seen.known.days.values() if _touches(wanted, day, margin))


def _touches(wanted: Wanted, day: Day, margin: int = 0) -> bool:
    """Return whether the day has time of a window, or within `margin` minutes of one."""
    first = (day.date - EPOCH.date()).days * MINUTES_A_DAY - margin
    last = first + MINUTES_A_DAY + 2 * margin
    return any(window.first < last and first < window.last for window in wanted.windows)


def _answer(asked: Asked, rules: Rules, seen: Sequence[Seen], *, until: datetime, end: datetime) -> Found:
    shown = {Candidate(start, each is seen[0]): each for each in seen for start in asked.new(each)}
    wished = [Candidate(start) for start in asked.wished(seen[0])]
    best = rank(
        wished or shown,
        wanted=asked.wanted,
        zone=ZoneInfo(asked.service.branch.time_zone),
        after=minute_from(rules.now),
        most=asked.most,
    )
    reason = None if wished or asked.was_met else rules.reason(asked.wanted.windows)
    decisive = _decisive(asked, seen, {each: shown[each] for each in best}, reason)
    known = known_of(seen, decisive, uncertain=asked.is_uncertain(seen[0]))
    metrics.count_answer(known)
    return Found(
        status=_status(wished, best, known),
        reason=reason if known.verified or reason is not Reason.FULLY_BOOKED else None,
        offers=[_offer(each.start, shown[each]) for each in sorted(best)],
        known=known,
        until=until,
        more=(known.verified or bool(best)) and (len({each.start for each in shown}) > len(best) or until < end),
    )


def _offer(start: int, shown: Seen) -> Offer:
    day = shown.day(start)
    return Offer(EPOCH + start * MINUTE, shown.calendar, day.loaded_at, day.freshness.verified)


def _decisive(
    asked: Asked, seen: Sequence[Seen], best: Mapping[Candidate, Seen], reason: Reason | None
) -> list[tuple[Seen, Day]]:
    """Return the days that the answer stands on: of the offers, and of the wish where these days say no."""
    if not best:
        return [(each, day) for each in seen for day in each.known.days.values()]
    days = [(shown, shown.day(offer.start)) for offer, shown in best.items()]
    if reason is Reason.FULLY_BOOKED:
        days += [(seen[0], day) for day in seen[0].known.days.values() if _touches(asked.wanted, day)]
    return days


def _status(wished: Collection[Candidate], best: Collection[Candidate], known: CacheResult) -> Status:
    if not known.freshness.verified or (known.uncertain and not best):
        return Status.DEGRADED
    if not best:
        return Status.NONE
    return Status.AVAILABLE if wished else Status.ALTERNATIVES
