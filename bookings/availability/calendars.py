"""What several calendars show for one question, loaded side by side where they must be loaded."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from bookings.availability.criteria import A_DAY, Wanted
from bookings.availability.open_times import OpenTimes
from bookings.availability.rules import Rules
from bookings.models import Staff
from cachectl.cache import CacheResult, Day, Freshness
from cachectl.freshness import WORST_FIRST
from cachectl.infra import bulkhead, executors
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, date_of
from calcom.models import EventType

NEAR = 14 * A_DAY
"""What is looked at first: as much as one load carries anyway."""
BEFORE = 3 * A_DAY
"""How much of it lies before what was asked for."""
FARTHEST = 365 * A_DAY
_NOT_HEARD = OpenTimes([], CacheResult(days={}, freshness=Freshness.MISSING, age=None, failure="deadline"))


@dataclass(frozen=True, slots=True)
class Calendar:
    """Slots of a service: with one person, or with whoever is free."""

    event_type: EventType
    staff: Staff | None = None


class Span(NamedTuple):
    """From `first` on and before `last`."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a calendar shows."""

    calendar: Calendar
    starts: Sequence[int]
    """Epoch minutes, ascending."""
    known: CacheResult
    askable: Sequence[int] = ()
    """Starts of which a newer list would tell."""
    uncertain: Sequence[int] = ()
    """Hidden starts at which a host may be free."""

    @property
    def certain(self) -> "Seen":
        """Return only what a caller may be told without reserve."""
        if self.known.verified:
            return self
        certain = {(day.date - EPOCH.date()).days for day in self.known.days.values() if day.freshness.verified}
        return replace(self, starts=[start for start in self.starts if start // MINUTES_A_DAY in certain])

    def day(self, start: int) -> Day:
        """Return the day of one of the starts."""
        return self.known.days[date_of(start)]

    def age(self, day: Day) -> float | None:
        """Return the age of one of the days, in seconds. What is known says that of the oldest."""
        if self.known.age is None or day.loaded_at is None:
            return None
        oldest = min(each.loaded_at for each in self.known.days.values() if each.loaded_at is not None)
        return self.known.age - (day.loaded_at - oldest)


def spans(wanted: Wanted, rules: Rules) -> tuple[Span, Span]:
    """
    Return two weeks around what was asked for, and all the time for which callers may book.

    Where that is out of reach, the two weeks lie at the end that is nearest to it.
    """
    first, last = (EPOCH + minute * MINUTE for minute in (wanted.windows[0].first, wanted.windows[-1].last))
    # What begins this very moment has begun.
    soonest = max(rules.earliest, rules.now + timedelta.resolution)
    latest = min(rules.latest, soonest + FARTHEST)
    beginning = max(soonest, min(first - BEFORE, latest - NEAR))
    # Whole days of UTC, the unit of the cache: two weeks that another question loaded are two weeks here.
    midnight = EPOCH + (beginning - EPOCH) // A_DAY * A_DAY
    return Span(beginning, min(max(midnight + NEAR, last), latest)), Span(soonest, latest)


def look(
    read: Callable[[Calendar, Span, Deadline], OpenTimes],
    calendars: Sequence[Calendar],
    span: Span,
    deadline: Deadline,
) -> list[Seen]:
    """Return what each calendar shows. At a deadline that has passed, what is known: then nothing has to wait."""
    account_id = calendars[0].event_type.account_id
    with bulkhead.acquire(account_id, deadline) as until:
        if until.passed:
            shown = [read(calendar, span, until) for calendar in calendars]
        else:
            others = [executors.submit_question(account_id, read, each, span, until) for each in calendars[1:]]
            shown = [read(calendars[0], span, until), *(_heard(other, until) for other in others)]
    return [
        Seen(each, times.starts, times.known, times.askable, times.uncertain)
        for each, times in zip(calendars, shown, strict=True)
    ]


def _heard(coming: "Future[OpenTimes]", deadline: Deadline) -> OpenTimes:
    try:
        return coming.result(timeout=deadline.left)
    except FutureTimeoutError:
        return _NOT_HEARD


def known_of(seen: Sequence[Seen], decisive: Sequence[tuple[Seen, Day]], *, uncertain: bool = False) -> CacheResult:
    """
    Return how well the `decisive` days are known, and what the whole question cost.

    With `uncertain` the answer says that something is not free which may be.
    """
    known = [each.known for each in seen]
    # Where rules alone decided, or nobody was heard, there are no days.
    freshnesses = {day.freshness for _, day in decisive} or {each.freshness for each in known}
    freshness = next(freshness for freshness in WORST_FIRST if freshness in freshnesses)
    failed = None if freshness.verified else next((each for each in known if each.failure), None)
    why = failed.failure if failed else "uncertain" if uncertain else None
    return CacheResult(
        days={day.date: day for _, day in decisive},
        freshness=freshness,
        age=max((age for each, day in decisive if (age := each.age(day)) is not None), default=None),
        loaded=any(each.loaded for each in known),
        collapsed=any(each.collapsed for each in known),
        failure=why,
        retry_after=failed.retry_after if failed else None,
        uncertain=uncertain,
    )
