"""
The availability checker: compares what callers would be offered with what Cal.com lists at the same moment.

A sample is one calendar for some weeks: one request, in budget that callers leave. Its slots are counted by outcome,
and their truth rate is published. What differs is put right at once.

Note [What is decided]: a slot counts that we would offer or that Cal.com lists, on a day that we would answer without
asking. It is undecided if the day, or what we show of it, changed while Cal.com was asked, or changed so shortly before
that Cal.com's list need not include it. It is undecided as well if we would ask before we call it taken. Time that is
held for a caller, or on its way, is rightly withheld although Cal.com lists it.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

import structlog
from django.conf import settings
from django.db import transaction

from bookings import metrics
from bookings.availability.bookable import bookable_calendars
from bookings.availability.calendar_view import Calendar, CalendarView, view_of
from bookings.availability.occupancy import read_occupancy
from bookings.availability.rules import Rules, TakenTime, overlapping
from bookings.models import Service
from cachectl.cache import Day, Freshness
from cachectl.models import CacheInvalidation
from calcom.day_ranges import EPOCH, MINUTE, date_of, minute_from
from calcom.errors import CalcomError
from calcom.models import Account, EventType, WebhookDelivery
from calcom.resilience.rate_limiter import Throttled
from calcom.service import CalcomService

log = structlog.get_logger(__name__)

# At the very edge of the notice a slot comes and goes with the clocks, which differ.
MARGIN = timedelta(minutes=2)
_QUIET = frozenset({"circuit_open", "key_refused"})
"""Outcomes that others have told of."""


class Outcome(StrEnum):
    """What became of a slot in a comparison."""

    TRUE = "true"
    UNDECIDED = "undecided"
    OFFERED_BUT_TAKEN = "offered_but_taken"
    WITHHELD = "withheld"
    OUT_OF_BOUNDS = "out_of_bounds"


class Cause(StrEnum):
    """What our knowledge lacked when a slot differed."""

    WEBHOOK_WAITING = "webhook_waiting"  # Cal.com told something that no worker has processed
    OWN_CHANGE = "own_change"  # an appointment of ours changed the day since the list was loaded
    APPOINTMENT = "appointment"  # we have an appointment then, and Cal.com has none
    STALE = "stale"  # the list is older than CACHE_MAX_AGE
    NOT_TOLD = "not_told"  # the list is fresh, and Cal.com told of no change
    NOTICE = "notice"  # Cal.com wants longer notice than when it was last synced


@dataclass(frozen=True, slots=True)
class Difference:
    """A slot that is not the same here and at Cal.com."""

    start: int
    """Epoch minute."""
    outcome: Outcome
    cause: Cause
    age: float
    """Seconds since the load of its list began: it has been wrong for that long at most."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of one comparison."""

    agreed: int
    undecided: int
    differences: Sequence[Difference]

    @property
    def decided(self) -> int:
        return self.agreed + len(self.differences)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is compared: one calendar of a service, from `first` on and before `last`."""

    service: Service
    calendar: Calendar
    rules: Rules
    first: datetime
    last: datetime

    @classmethod
    def of(cls, service: Service, calendar: Calendar, now: datetime) -> "Sample | None":
        """Return the sample of as many days as one load covers; None if callers may book nothing in them."""
        rules = Rules.of(service, now, calendar.event_type)
        first = max(now, rules.earliest) + MARGIN
        last = min(rules.latest, now + timedelta(days=settings.CACHE_PREFETCH_DAYS))
        return cls(service, calendar, rules, first, last) if first < last else None

    @property
    def event_type(self) -> EventType:
        return self.calendar.event_type


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What callers would be shown at one moment, and what claims the time of the hosts."""

    view: CalendarView
    claims: Sequence[TakenTime]

    @classmethod
    def of(cls, sample: Sample, calcom: CalcomService) -> "Snapshot":
        """Read what is known, without a load."""
        listed = calcom.peek_slots(event_type=sample.event_type, first=sample.first, last=sample.last)
        view = view_of(
            listed,
            calendar=sample.calendar,
            rules=sample.rules,
            first=sample.first,
            last=sample.last,
            calcom=calcom,
        )
        occupancy = read_occupancy(sample.event_type, sample.first, sample.last)
        return cls(view, [row.time for row in occupancy.rows])

    @property
    def verified(self) -> list[Day]:
        """Return the days that would be answered without asking."""
        return [day for day in self.view.known.days.values() if day.freshness.verified]

    def shown_on(self, day: date) -> tuple[object, ...]:
        """Return all that decides what is shown on a day; equal if nothing changed."""
        known = self.view.known.days.get(day)
        if known is None:
            return ()
        starts = [start for start in self.view.starts if date_of(start) == day]
        hidden = [start for start in self.view.uncertain if date_of(start) == day]
        return known.loaded_at, known.freshness.verified, known.needs_refresh, known.freed, starts, hidden

    def is_settled(self, day: Day) -> bool:
        """Return whether a list that Cal.com gives now includes every change that we know of."""
        age = self.view.age(day)
        return age is not None and day.loaded_at is not None and day.consistent_at <= day.loaded_at + age

    def overlapped(self, starts: Collection[int], event_type: EventType, *, is_confirmed: bool) -> set[int]:
        """Return those of the starts that overlap confirmed time, or time that is only held or on its way."""
        taken = [claim for claim in self.claims if claim.is_confirmed is is_confirmed]
        return set(overlapping(sorted(starts), footprint=event_type.footprint, taken=taken))


def run(*, account: Account, samples: int, now: datetime) -> None:
    """
    Compare up to `samples` calendars of the account, chosen at random among those of which something is known.

    Ends quietly if the budget has no room, or Cal.com does not answer. Never raises because of Cal.com.
    """
    calcom = CalcomService(account)
    metrics.expect_checks(account.pk, [outcome.value for outcome in Outcome])
    for sample in _known_samples(account, calcom, now, samples):
        try:
            checked = check(sample, calcom)
        except CalcomError as exc:
            metrics.count_check(exc.outcome)
            if not isinstance(exc, Throttled) and exc.outcome not in _QUIET:
                log.warning("availability.not_checked", account_id=account.pk, outcome=exc.outcome)
            return
        _count(account, sample, checked)


def check(sample: Sample, calcom: CalcomService) -> Checked:
    """
    Compare one sample with Cal.com, and have what differs loaded again.

    Raises:
        CalcomError: Cal.com could not be asked.
    """
    before = Snapshot.of(sample, calcom)
    listed = calcom.list_slots(event_type=sample.event_type, first=sample.first, last=sample.last)
    after = Snapshot.of(sample, calcom)
    allowed = sample.rules.allowed(listed, sample.first, sample.last)
    checked = compare(before, after, allowed, sample.event_type)
    if checked.differences:
        checked = replace(checked, differences=_explained(checked.differences, sample, listed, calcom))
        _repair(checked.differences, sample.event_type, calcom)
    return checked


def compare(before: Snapshot, after: Snapshot, listed: Sequence[int], event_type: EventType) -> Checked:
    """Compare what was shown before and after Cal.com gave its list: Note [What is decided]."""
    agreed = undecided = 0
    differences: list[Difference] = []
    shown, uncertain = set(before.view.starts), set(before.view.uncertain)
    only_there = set(listed) - shown
    reserved = before.overlapped(only_there, event_type, is_confirmed=False)
    appointments = before.overlapped(only_there, event_type, is_confirmed=True)
    for day in before.verified:
        ours, theirs = _on(shown, day), _on(listed, day)
        if before.shown_on(day.date) != after.shown_on(day.date) or not before.is_settled(day):
            undecided += len(ours | theirs)
            continue
        open_question = theirs - ours if day.freed else (theirs - ours) & uncertain
        withheld = theirs - ours - open_question - reserved
        agreed += len(ours & theirs) + len((theirs - ours - open_question) & reserved)
        undecided += len(open_question)
        age = before.view.age(day) or 0.0
        differences += [
            Difference(start, Outcome.OFFERED_BUT_TAKEN, _cause(day), age) for start in sorted(ours - theirs)
        ]
        differences += [
            Difference(start, Outcome.WITHHELD, Cause.APPOINTMENT if start in appointments else _cause(day), age)
            for start in sorted(withheld)
        ]
    return Checked(agreed, undecided, differences)


def _known_samples(account: Account, calcom: CalcomService, now: datetime, limit: int) -> Iterator[Sample]:
    """Yield samples of which a caller would be answered something without asking Cal.com."""
    calendars = bookable_calendars(account.pk)
    random.shuffle(calendars)
    found = 0
    for service, calendar in calendars:
        sample = Sample.of(service, calendar, now)
        if sample is not None and _is_known(sample, calcom):
            yield sample
            found += 1
            if found == limit:
                return
    if not found:
        metrics.count_check("nothing_known")


def _is_known(sample: Sample, calcom: CalcomService) -> bool:
    listed = calcom.peek_slots(event_type=sample.event_type, first=sample.first, last=sample.last)
    return any(day.freshness.verified for day in listed.days.values())


def _cause(day: Day) -> Cause:
    if day.needs_refresh:
        return Cause.OWN_CHANGE
    return Cause.STALE if day.freshness is Freshness.STALE else Cause.NOT_TOLD


def _on(starts: Collection[int], day: Day) -> set[int]:
    return {start for start in starts if date_of(start) == day.date}


def _explained(
    differences: Sequence[Difference], sample: Sample, listed: Sequence[int], calcom: CalcomService
) -> list[Difference]:
    """Return the differences with what only a look elsewhere tells: a longer notice, a webhook that waits."""
    soonest = _soonest(sample, calcom) if _may_be_too_soon(differences, listed) else 0
    waiting = WebhookDelivery.objects.filter(account=calcom.account_id, state__in=_WAITING).exists()
    explained = []
    for each in differences:
        if each.outcome is Outcome.OFFERED_BUT_TAKEN and each.start < soonest:
            each = replace(each, outcome=Outcome.OUT_OF_BOUNDS, cause=Cause.NOTICE)  # noqa: PLW2901  known better
        elif waiting:
            each = replace(each, cause=Cause.WEBHOOK_WAITING)  # noqa: PLW2901
        explained.append(each)
    return explained


_WAITING = WebhookDelivery.State.RECEIVED, WebhookDelivery.State.FAILED


def _may_be_too_soon(differences: Sequence[Difference], listed: Sequence[int]) -> bool:
    """Return whether we offer something before all that Cal.com lists."""
    return any(
        each.outcome is Outcome.OFFERED_BUT_TAKEN and (not listed or each.start < listed[0]) for each in differences
    )


def _soonest(sample: Sample, calcom: CalcomService) -> int:
    """Return the first epoch minute that Cal.com's notice allows today, synced just now; 0 if that failed."""
    with suppress(CalcomError):
        calcom.sync_event_type(sample.event_type)
        synced = EventType.objects.get(pk=sample.event_type.pk)
        return minute_from(sample.rules.now + timedelta(minutes=synced.notice_minutes))
    return 0


def _repair(differences: Sequence[Difference], event_type: EventType, calcom: CalcomService) -> None:
    """Invalidate the days of what differs, for all event types that share the hosts."""
    by_day: dict[date, list[int]] = {}
    for each in differences:
        if each.outcome is not Outcome.OUT_OF_BOUNDS:  # the sync has put the notice right
            by_day.setdefault(date_of(each.start), []).append(each.start)
    host_ids = list(event_type.hosts.values_list("pk", flat=True))
    for starts in by_day.values():
        with transaction.atomic():
            rows = calcom.record_invalidations(
                event_type=event_type,
                start=EPOCH + min(starts) * MINUTE,
                end=EPOCH + (max(starts) + event_type.length_minutes) * MINUTE,
                host_ids=host_ids,
                cause=CacheInvalidation.Cause.ELSEWHERE,
            )
        calcom.availability_changed(rows)


def _count(account: Account, sample: Sample, checked: Checked) -> None:
    counts: Mapping[str, int] = {Outcome.TRUE: checked.agreed, Outcome.UNDECIDED: checked.undecided}
    metrics.count_check("compared")
    metrics.count_checked(account.pk, counts)
    for each in checked.differences:
        metrics.count_difference(account.pk, each.outcome, each.cause, each.age)
    if checked.differences:
        log.warning(
            "availability.differs",
            account_id=account.pk,
            event_type_id=sample.event_type.pk,
            decided=checked.decided,
            differences=len(checked.differences),
            causes=sorted({each.cause.value for each in checked.differences}),
        )
