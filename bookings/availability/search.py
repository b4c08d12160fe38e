"""
The answer to "Do you have something on Tuesday?": what was asked for, or up to three real times instead and why not it.

Note [One request, however far]: what the cache knows decides how far Cal.com is asked. Two weeks around the criteria
are read first, without a request. If they do not settle the question, Cal.com is asked once: for these two weeks if
even outdated data of them has a slot, else for all the time for which callers may book. A load that another request has
under way for these two weeks is awaited first, because it may be enough.

Note [Uncertainty costs a request only where it matters]: for an event type with several hosts, a slot is hidden if one
of them was booked since the list was loaded (Note [A list proves one host]). A caller who asks for that very slot is
not told "taken" before a newer list says so; for any other question the cached list is good enough.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bookings import metrics
from bookings.availability.calendar_view import Calendar, CalendarView, open_times
from bookings.availability.criteria import A_DAY, TimeCriteria
from bookings.availability.ranking import MAX_OFFERS, Candidate, rank
from bookings.availability.rules import Reason, Rules
from bookings.models import Service
from cachectl.cache import CacheResult, Day, Freshness
from cachectl.freshness import WORST_FIRST
from cachectl.infra import bulkhead, executors
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE, minute_from
from calcom.service import CalcomService

NO_WAIT = 0.0
NEAR = 14 * A_DAY
"""How much is read first: as much as one load carries anyway."""
NEAR_BEFORE = 3 * A_DAY
"""How much of that lies before the criteria."""
FARTHEST = 365 * A_DAY
UNKNOWN = "unknown"
"""What a DEGRADED answer without offers is counted as."""
_TIMED_OUT = CacheResult(days={}, freshness=Freshness.MISSING, age=None, failure="deadline")


class Status(StrEnum):
    """The outcome of a search."""

    AVAILABLE = "available"
    ALTERNATIVES = "alternatives"
    NONE = "none"
    DEGRADED = "degraded"
    """Some days that decide could not be looked up: offers are not certain, and their absence proves nothing."""


@dataclass(frozen=True, slots=True)
class AvailabilityQuery:
    """What a caller asks for. Its methods compare it with what a calendar shows; starts are epoch minutes."""

    service: Service
    calendars: Sequence[Calendar]
    """The one that was asked for, then those that may serve instead."""
    criteria: TimeCriteria
    offered: frozenset[int] = frozenset()
    """Starts that were offered to the caller before."""
    max_offers: int = MAX_OFFERS

    def new_starts(self, view: CalendarView) -> Sequence[int]:
        """Return the starts that were not offered yet, ascending."""
        return [start for start in view.starts if start not in self.offered] if self.offered else view.starts

    def matches(self, view: CalendarView) -> list[int]:
        """Return those of the new starts that meet the criteria."""
        return self.criteria.among(self.new_starts(view))

    def needs_newer_list(self, view: CalendarView) -> bool:
        """Return whether nothing matches and a newer list could change that."""
        return self._may_be_hidden(view, view.askable)

    def is_uncertain(self, view: CalendarView) -> bool:
        """Return whether nothing matches although a host may be free then."""
        return self._may_be_hidden(view, view.uncertain)

    def _may_be_hidden(self, view: CalendarView, hidden: Sequence[int]) -> bool:
        """Return whether nothing matches, but one of the `hidden` starts or a day with freed time could."""
        if self.matches(view):
            return False
        if any(start not in self.offered for start in self.criteria.among(hidden)):
            return True
        return any(day.freed and self.criteria.touches(day.date) for day in view.known.days.values())

    @property
    def was_met(self) -> bool:
        """Return whether a match was offered before, and the caller wants something else."""
        return any(self.criteria.covers(start) for start in self.offered)


@dataclass(frozen=True, slots=True)
class Offer:
    """A free slot that may be read out."""

    start: datetime
    calendar: Calendar
    loaded_at: float | None = None
    """When the load of its list began, in epoch seconds."""
    verified: bool = True


@dataclass(frozen=True, slots=True)
class AvailabilityResult:
    """The answer to a query."""

    status: Status
    reason: Reason | None
    """Why the criteria are not met; None where they are, or where that is not known."""
    offers: list[Offer]
    """In the order of time."""
    known: CacheResult
    """How well the days are known that the answer rests on."""
    until: datetime
    """The end of the time that was searched."""
    more: bool
    """Whether searching on may find something else."""


class Span(NamedTuple):
    """From `first` on and before `last`."""

    first: datetime
    last: datetime


def search(
    query: AvailabilityQuery,
    *,
    now: datetime,
    calcom: CalcomService,
    deadline: Deadline,
    max_age: float | None = None,
) -> AvailabilityResult:
    """
    Return what was asked for, or the best that is free instead; at the deadline, what is known.

    If nothing is found and not everything could be looked up, the status is DEGRADED and not NONE.

    Raises:
        ConfigurationError: the service cannot be booked through us.
    """

    def read(calendar: Calendar, span: Span, deadline: Deadline, *, revalidate: bool = False) -> CalendarView:
        return open_times(
            service=query.service,
            calendar=calendar,
            first=span.first,
            last=span.last,
            now=now,
            calcom=calcom,
            deadline=deadline,
            max_age=max_age,
            revalidate=revalidate and calendar is query.calendars[0],
        )

    rules = Rules.of(query.service, now, query.calendars[0].event_type)
    near, far = search_spans(query.criteria, rules)
    # Note [One request, however far]
    views = read_calendars(read, query.calendars, near, Deadline.after(NO_WAIT))
    certain = [view.certain for view in views]
    # Note [Uncertainty costs a request only where it matters]
    revalidate = query.needs_newer_list(certain[0])
    if max_age is None and not revalidate and _is_settled(query, certain):
        return _result(query, rules, certain, until=near.last, end=far.last)
    if revalidate or _has_slots(query, views) or any(view.known.loading for view in views):
        views = read_calendars(partial(read, revalidate=revalidate), query.calendars, near, deadline)
        if _has_slots(query, views) or any(view.known.loaded or view.known.failure for view in views):
            return _result(query, rules, views, until=near.last, end=far.last)
    beyond = read_calendars(read, query.calendars, far, deadline)
    beyond = [replace(view, known=view.known.after(before.known)) for view, before in zip(beyond, views, strict=True)]
    return _result(query, rules, beyond, until=far.last, end=far.last)


def search_spans(criteria: TimeCriteria, rules: Rules) -> tuple[Span, Span]:
    """
    Return two weeks around the criteria, and all the time for which callers may book.

    Where the criteria lie outside of that time, the two weeks lie at its nearest end.
    """
    first, last = (EPOCH + minute * MINUTE for minute in (criteria.windows[0].first, criteria.windows[-1].last))
    # A slot that begins at this very moment has begun.
    soonest = max(rules.earliest, rules.now + timedelta.resolution)
    latest = min(rules.latest, soonest + FARTHEST)
    beginning = max(soonest, min(first - NEAR_BEFORE, latest - NEAR))
    # Whole days of UTC, the unit of the cache: similar questions then share one load.
    midnight = EPOCH + (beginning - EPOCH) // A_DAY * A_DAY
    return Span(beginning, min(max(midnight + NEAR, last), latest)), Span(soonest, latest)


def read_calendars(
    read: Callable[[Calendar, Span, Deadline], CalendarView],
    calendars: Sequence[Calendar],
    span: Span,
    deadline: Deadline,
) -> list[CalendarView]:
    """Return a view of each calendar, read concurrently; after the deadline only what the cache has."""
    account_id = calendars[0].event_type.account_id
    with bulkhead.acquire(account_id, deadline) as until:
        if until.passed:
            return [read(calendar, span, until) for calendar in calendars]
        others = [executors.submit_question(account_id, read, each, span, until) for each in calendars[1:]]
        first = read(calendars[0], span, until)
        return [first, *(_await(*pair, until) for pair in zip(others, calendars[1:], strict=True))]


def _await(view: "Future[CalendarView]", calendar: Calendar, deadline: Deadline) -> CalendarView:
    try:
        return view.result(timeout=deadline.left)
    except FutureTimeoutError:
        return CalendarView(calendar, [], _TIMED_OUT)


def _has_slots(query: AvailabilityQuery, views: Sequence[CalendarView]) -> bool:
    return any(query.new_starts(view) for view in views)


def _is_settled(query: AvailabilityQuery, certain: Sequence[CalendarView]) -> bool:
    """Return whether what is certain without a request answers the query as well as a request would."""
    if query.matches(certain[0]):
        return True
    slots = {start for view in certain for start in query.new_starts(view)}
    if all(view.known.verified for view in certain):
        return bool(slots)
    return len(slots) >= query.max_offers and all(_is_certain_around(query.criteria, view) for view in certain)


def _is_certain_around(criteria: TimeCriteria, view: CalendarView) -> bool:
    margin = NEAR_BEFORE // MINUTE
    return all(day.freshness.verified for day in view.known.days.values() if criteria.touches(day.date, margin))


def _result(
    query: AvailabilityQuery, rules: Rules, views: Sequence[CalendarView], *, until: datetime, end: datetime
) -> AvailabilityResult:
    found = {Candidate(start, view is views[0]): view for view in views for start in query.new_starts(view)}
    matches = [Candidate(start) for start in query.matches(views[0])]
    best = rank(
        matches or found,
        criteria=query.criteria,
        zone=ZoneInfo(query.service.branch.time_zone),
        after=minute_from(rules.now),
        limit=query.max_offers,
    )
    reason = None if matches or query.was_met else rules.reason(query.criteria.windows)
    decisive = _decisive_days(query, views, {each: found[each] for each in best}, reason)
    known = _knowledge_of(decisive, views, uncertain=query.is_uncertain(views[0]))
    status = _status(matches, best, known)
    metrics.count_answer(known)
    metrics.count_result(UNKNOWN if status is Status.DEGRADED and not best else status)
    return AvailabilityResult(
        status=status,
        reason=reason if known.verified or reason is not Reason.FULLY_BOOKED else None,
        offers=[_offer(each.start, found[each]) for each in sorted(best)],
        known=known,
        until=until,
        more=(known.verified or bool(best)) and (len({each.start for each in found}) > len(best) or until < end),
    )


def _offer(start: int, view: CalendarView) -> Offer:
    day = view.day(start)
    return Offer(EPOCH + start * MINUTE, view.calendar, day.loaded_at, day.freshness.verified)


def _decisive_days(
    query: AvailabilityQuery,
    views: Sequence[CalendarView],
    best: Mapping[Candidate, CalendarView],
    reason: Reason | None,
) -> list[tuple[CalendarView, Day]]:
    """Return the days that the answer rests on: those of the offers, and those of the criteria where they are full."""
    if not best:
        return [(view, day) for view in views for day in view.known.days.values()]
    days = [(view, view.day(offer.start)) for offer, view in best.items()]
    if reason is Reason.FULLY_BOOKED:
        days += [(views[0], day) for day in views[0].known.days.values() if query.criteria.touches(day.date)]
    return days


def _knowledge_of(
    decisive: Sequence[tuple[CalendarView, Day]], views: Sequence[CalendarView], *, uncertain: bool
) -> CacheResult:
    """Return how well the `decisive` days are known, and what the whole query cost."""
    known = [view.known for view in views]
    # There are no days where rules alone decided, or where all calendars timed out.
    freshnesses = {day.freshness for _, day in decisive} or {each.freshness for each in known}
    freshness = next(freshness for freshness in WORST_FIRST if freshness in freshnesses)
    failed = None if freshness.verified else next((each for each in known if each.failure), None)
    return CacheResult(
        days={day.date: day for _, day in decisive},
        freshness=freshness,
        age=max((age for view, day in decisive if (age := view.age(day)) is not None), default=None),
        loaded=any(each.loaded for each in known),
        collapsed=any(each.collapsed for each in known),
        failure=failed.failure if failed else "uncertain" if uncertain else None,
        retry_after=failed.retry_after if failed else None,
        uncertain=uncertain,
    )


def _status(matches: Collection[Candidate], best: Collection[Candidate], known: CacheResult) -> Status:
    if not known.freshness.verified or (known.uncertain and not best):
        return Status.DEGRADED
    if not best:
        return Status.NONE
    return Status.AVAILABLE if matches else Status.ALTERNATIVES
