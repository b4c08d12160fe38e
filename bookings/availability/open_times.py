"""A question becomes windows of slots: what Cal.com lists, minus what we took, minus what rules forbid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from bookings.availability.criteria import Wanted
from bookings.availability.occupancy import read_occupancy
from bookings.availability.ranking import Candidate, rank
from bookings.availability.rules import Rules
from bookings.errors import ConfigurationError, UpstreamUnavailable
from bookings.models import Service
from cachectl.cache import CacheResult, Freshness
from cachectl.infra.deadline import Deadline
from cachectl.loaders import ACCESS_REFUSED, GONE
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, minute_from
from calcom.models import EventType
from calcom.service import CalcomService, OpenSlots

ALTERNATIVES_WITHIN = timedelta(days=7)
NOTHING_ASKED = CacheResult(days={}, freshness=Freshness.FRESH, age=None)
"""What is known where rules alone give the answer."""


@dataclass(frozen=True, slots=True)
class OpenTimes:
    """When a service can be booked."""

    starts: list[int]
    """Epoch minutes, ascending."""
    known: CacheResult
    """How well that is known. Nothing is missing in it where rules alone decided."""
    askable: Sequence[int] = ()
    """Starts, ascending, of which a newer list would tell: of several hosts one was booked since, and who is free?"""
    uncertain: Sequence[int] = ()
    """These and others that are hidden although a host may be free: nothing says that they are taken."""

    @property
    def known_in_full(self) -> CacheResult:
        """Return how well all of it is known, including what is hidden, or free again and not listed yet."""
        uncertain = self.uncertain or any(day.freed for day in self.known.days.values())
        return replace(self.known, uncertain=True, failure="uncertain") if uncertain else self.known

    @property
    def certain(self) -> list[int]:
        """Return the starts of the days that are verified."""
        verified = {(day.date - EPOCH.date()).days for day in self.known.days.values() if day.freshness.verified}
        return [start for start in self.starts if start // MINUTES_A_DAY in verified]


def open_times(
    *,
    service: Service,
    event_type: EventType | None = None,
    first: datetime,
    last: datetime,
    now: datetime,
    calcom: CalcomService,
    deadline: Deadline,
    max_age: float | None = None,
    revalidate: bool = False,
) -> OpenTimes:
    """
    Return when callers may come to `service`, from `first` on and before `last`.

    One trip to Redis and one query where the cache knows; at the deadline, what is known, marked as such. Before
    nothing is said to be free while there is doubt, Cal.com is asked.

    Args:
        event_type: what books it, where that is not the service's own: with one person, for instance.
        revalidate: whether to resolve doubts in any case.

    Raises:
        ConfigurationError, UpstreamUnavailable: the service cannot be booked through us, as by `refuse_unbookable`.
    """
    event_type = event_type or service.event_type
    refuse_unbookable(service, event_type)
    rules = Rules.of(service, now, event_type)
    first, last = max(first, rules.earliest), min(last, rules.latest)
    if minute_from(first) >= minute_from(last):  # slots begin with a minute
        return OpenTimes([], NOTHING_ASKED)

    def look(*, revalidate: bool) -> OpenTimes:
        listed = calcom.open_slots(
            event_type=event_type, first=first, last=last, deadline=deadline, max_age=max_age, revalidate=revalidate
        )
        refuse_deleted(listed.known)
        return _minus_ours(event_type, rules.allowed(listed.starts, first, last), listed, calcom)

    found = look(revalidate=revalidate)
    in_doubt = not found.starts and (found.askable or any(day.freed for day in found.known.days.values()))
    if not in_doubt or revalidate or deadline.passed:
        return found
    again = look(revalidate=True)
    return replace(again, known=again.known.after(found.known))


def alternatives(
    *,
    service: Service,
    event_type: EventType | None = None,
    wished: datetime,
    within: timedelta = ALTERNATIVES_WITHIN,
    now: datetime,
    calcom: CalcomService,
    deadline: Deadline,
) -> list[datetime]:
    """
    Return up to three times that are free, the best first: on the day of `wished` or so long after.

    Whoever was just refused a time that a list had is offered none that nobody has verified since: of a day that a
    refusal invalidated, only what a new load brings within the deadline.
    """
    first = max(wished.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0), now)
    open_ = open_times(
        service=service,
        event_type=event_type,
        first=first,
        last=first + within,
        now=now,
        calcom=calcom,
        deadline=deadline,
    )
    wanted = Wanted.at(wished)
    others = [Candidate(start) for start in open_.certain if not wanted.covers(start)]
    best = rank(others, wanted=wanted, zone=ZoneInfo(service.branch.time_zone), after=minute_from(now))
    return [EPOCH + candidate.start * MINUTE for candidate in best]


def unavailable(known: CacheResult) -> UpstreamUnavailable:
    """Return what to raise where too little is known of the days, and why Cal.com could not be asked for them."""
    return UpstreamUnavailable(
        "Cal.com's slots are not known.",
        retry_after=known.retry_after or 1.0,
        access_refused=known.failure == ACCESS_REFUSED,
    )


def refuse_deleted(known: CacheResult) -> None:
    """Raise UpstreamUnavailable if Cal.com has just said that there is no such event type any more; staff are told."""
    if known.failure == GONE:
        raise UpstreamUnavailable("Its event type was deleted at Cal.com.", retry_after=60.0)


def refuse_unbookable(service: Service, event_type: EventType | None = None) -> None:
    """
    Raise, saying why, if the service cannot be booked through us.

    Raises:
        UpstreamUnavailable: its event type was deleted at Cal.com, or has other lengths there; a sync told staff.
        ConfigurationError: anything else.
    """
    if unsupported_reason := service.unsupported_reason(event_type):
        if service.active and not (event_type or service.event_type).active:
            raise UpstreamUnavailable(unsupported_reason, retry_after=60.0)
        raise ConfigurationError(unsupported_reason)


def _minus_ours(event_type: EventType, starts: Sequence[int], listed: OpenSlots, calcom: CalcomService) -> OpenTimes:
    """Take away what our own appointments leave no host for. Slots are offered at Cal.com's word, never beyond it."""
    if not starts:
        return OpenTimes([], listed.known)
    length = event_type.length_minutes * MINUTE
    occupancy = read_occupancy(event_type, EPOCH + starts[0] * MINUTE, EPOCH + starts[-1] * MINUTE + length)
    if not occupancy.rows:  # as most often; what follows would cost a cached answer a hundredth to say the same
        return OpenTimes(list(starts), listed.known)
    loaded_at = {(day - EPOCH.date()).days: known.loaded_at for day, known in listed.days.items() if known.loaded_at}
    compared = occupancy.compare(event_type, starts, loaded_at)
    if compared.contradicts_mirror:
        calcom.contradicted(event_type)
    return OpenTimes(compared.left, listed.known, compared.askable, compared.uncertain)
