"""What one calendar shows: the slots that Cal.com lists, minus our own appointments, minus what rules forbid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bookings.availability.criteria import TimeCriteria
from bookings.availability.occupancy import read_occupancy
from bookings.availability.ranking import Candidate, rank
from bookings.availability.rules import Rules
from bookings.errors import ConfigurationError, UpstreamUnavailable
from bookings.models import Service, Staff
from cachectl.cache import CacheResult, Day, Freshness
from cachectl.infra.deadline import Deadline
from cachectl.loaders import ACCESS_REFUSED, GONE
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, date_of, minute_from
from calcom.models import EventType
from calcom.service import CalcomService, OpenSlots

ALTERNATIVES_WITHIN = timedelta(days=7)
DECIDED_BY_RULES = CacheResult(days={}, freshness=Freshness.FRESH, age=None)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The slots of a service with one person, or with any host."""

    event_type: EventType
    staff: Staff | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CalendarView:
    """When a service can be booked in one calendar. All starts are epoch minutes, ascending."""

    calendar: Calendar
    starts: Sequence[int]
    known: CacheResult
    """How well that is known."""
    askable: Sequence[int] = ()
    """Hidden starts that a newer list would decide: one of several hosts was booked since this list was loaded."""
    uncertain: Sequence[int] = ()
    """All hidden starts for which a host may be free, the askable ones included."""

    @property
    def has_freed_days(self) -> bool:
        """Return whether one of our appointments gave time back that the list may not have yet."""
        return any(day.freed for day in self.known.days.values())

    @property
    def certain(self) -> "CalendarView":
        """Return the view with the starts of verified days only."""
        if self.known.freshness.verified:
            return self
        verified = {(day.date - EPOCH.date()).days for day in self.known.days.values() if day.freshness.verified}
        return replace(self, starts=[start for start in self.starts if start // MINUTES_A_DAY in verified])

    @property
    def known_in_full(self) -> CacheResult:
        """Return how well everything is known, including what is hidden, or free again and not listed yet."""
        uncertain = self.uncertain or self.has_freed_days
        return replace(self.known, uncertain=True, failure="uncertain") if uncertain else self.known

    def day(self, start: int) -> Day:
        """Return the day of one of the starts."""
        return self.known.days[date_of(start)]

    def age(self, day: Day) -> float | None:
        """Return the age of one of the days in seconds; `known.age` is that of the oldest."""
        if self.known.age is None or day.loaded_at is None:
            return None
        oldest = min(each.loaded_at for each in self.known.days.values() if each.loaded_at is not None)
        return self.known.age - (day.loaded_at - oldest)


def open_times(
    *,
    service: Service,
    calendar: Calendar | None = None,
    first: datetime,
    last: datetime,
    now: datetime,
    calcom: CalcomService,
    deadline: Deadline,
    max_age: float | None = None,
    revalidate: bool = False,
) -> CalendarView:
    """
    Return when callers may come to `service`, from `first` on and before `last`.

    Costs one trip to Redis and one query where the cache knows; at the deadline returns what is known, marked as such.
    If nothing is free and a newer list might say otherwise, Cal.com is asked.

    Args:
        calendar: where to look; by default that of the service's own event type.
        revalidate: whether to ask Cal.com for all uncertain days.

    Raises:
        ConfigurationError, UpstreamUnavailable: the service cannot be booked through us, as by `refuse_unbookable`.
    """
    calendar = calendar or Calendar(service.event_type)
    event_type = calendar.event_type
    refuse_unbookable(service, event_type)
    rules = Rules.of(service, now, event_type)
    first, last = max(first, rules.earliest), min(last, rules.latest)
    if minute_from(first) >= minute_from(last):  # slots begin with a minute
        return CalendarView(calendar, [], DECIDED_BY_RULES)

    def read(*, revalidate: bool) -> CalendarView:
        listed = calcom.open_slots(
            event_type=event_type, first=first, last=last, deadline=deadline, max_age=max_age, revalidate=revalidate
        )
        refuse_deleted(listed.known)
        return view_of(listed, calendar=calendar, rules=rules, first=first, last=last, calcom=calcom)

    view = read(revalidate=revalidate)
    may_be_free = not view.starts and (view.askable or view.has_freed_days)
    if not may_be_free or revalidate or deadline.passed:
        return view
    newer = read(revalidate=True)
    return replace(newer, known=newer.known.after(view.known))


def view_of(
    listed: OpenSlots, *, calendar: Calendar, rules: Rules, first: datetime, last: datetime, calcom: CalcomService
) -> CalendarView:
    """Return what callers are shown of a list of slots: minus what rules forbid, minus our own claims."""
    return _minus_claims(calendar, rules.allowed(listed.starts, first, last), listed, calcom)


def alternatives(
    *,
    service: Service,
    event_type: EventType | None = None,
    start: datetime,
    within: timedelta = ALTERNATIVES_WITHIN,
    now: datetime,
    calcom: CalcomService,
    deadline: Deadline,
) -> list[datetime]:
    """
    Return up to three free times instead of `start`, the best first: from its day on, at most `within` later.

    Only verified days count: after a refusal invalidated a day, its slots come from a new load or not at all.
    """
    first = max(start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0), now)
    view = open_times(
        service=service,
        calendar=Calendar(event_type or service.event_type),
        first=first,
        last=first + within,
        now=now,
        calcom=calcom,
        deadline=deadline,
    )
    criteria = TimeCriteria.at(start)
    others = [Candidate(each) for each in view.certain.starts if not criteria.covers(each)]
    best = rank(others, criteria=criteria, zone=ZoneInfo(service.branch.time_zone), after=minute_from(now))
    return [EPOCH + candidate.start * MINUTE for candidate in best]


def unavailable(known: CacheResult) -> UpstreamUnavailable:
    """Return the error for days of which too little is known, with the reason why Cal.com could not be asked."""
    return UpstreamUnavailable(
        "Cal.com's slots are not known.",
        retry_after=known.retry_after or 1.0,
        access_refused=known.failure == ACCESS_REFUSED,
    )


def refuse_deleted(known: CacheResult) -> None:
    """Raise UpstreamUnavailable if Cal.com has just said that the event type no longer exists; staff are alerted."""
    if known.failure == GONE:
        raise UpstreamUnavailable("Its event type was deleted at Cal.com.", retry_after=60.0)


def refuse_unbookable(service: Service, event_type: EventType | None = None) -> None:
    """
    Raise if the service cannot be booked through us; the message says why.

    Raises:
        UpstreamUnavailable: its event type was deleted at Cal.com, or has other lengths there; a sync told staff.
        ConfigurationError: any other reason.
    """
    if unsupported_reason := service.unsupported_reason(event_type):
        if service.active and not (event_type or service.event_type).active:
            raise UpstreamUnavailable(unsupported_reason, retry_after=60.0)
        raise ConfigurationError(unsupported_reason)


def _minus_claims(calendar: Calendar, starts: Sequence[int], listed: OpenSlots, calcom: CalcomService) -> CalendarView:
    """Return the listed starts for which our own claims leave a host. Only slots that Cal.com lists are offered."""
    if not starts:
        return CalendarView(calendar, [], listed.known)
    event_type = calendar.event_type
    length = event_type.length_minutes * MINUTE
    occupancy = read_occupancy(event_type, EPOCH + starts[0] * MINUTE, EPOCH + starts[-1] * MINUTE + length)
    if not occupancy.rows:  # the usual case; the comparison would cost a cached answer 1 % of its time
        return CalendarView(calendar, list(starts), listed.known)
    loaded_at = {(day - EPOCH.date()).days: known.loaded_at for day, known in listed.days.items() if known.loaded_at}
    compared = occupancy.compare(event_type, starts, loaded_at)
    if compared.contradicts_mirror:
        calcom.request_sync(event_type)
    return CalendarView(calendar, compared.left, listed.known, compared.askable, compared.uncertain)
