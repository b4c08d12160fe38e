"""
Warming: load days before they are searched, within what live traffic leaves of the rate limit.

A run may be killed at any moment and repeated: loaded days stay, fresh ones are not loaded again, and its lease on the
account expires. Each account has its own rate limit, so accounts take turns: one that waits does not delay the others.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from math import inf
from operator import attrgetter
from uuid import uuid4

import structlog
from django.db.models import QuerySet
from django.db.models.functions import Now
from redis import RedisError

from cachectl import cache, conf, store
from cachectl.freshness import Day, Freshness
from cachectl.infra.deadline import Deadline
from cachectl.loaders import THROTTLED
from cachectl.models import Warming
from cachectl.singleflight import dates_between

log = structlog.get_logger(__name__)

# The weeks around today in which appointments are counted.
BOOKED_BEFORE = BOOKED_AFTER = timedelta(days=14)
# After so many failures in a row a run ends: more would only cost requests.
MOST_FAILURES = 3
# Seconds to wait for a permit if the rate limiter does not say how long.
A_MOMENT = 1.0


# A company's slug, or None for all → by account, the bookable event types with their appointments around today.
Offers = Callable[[str | None], Mapping[int, Mapping[int, int]]]


class _Registry:
    """The registered provider of bookable event types."""

    offers: Offers | None = None


def register(offers: Offers) -> None:
    """
    Register the provider of bookable event types; called from `AppConfig.ready()`.

    It raises LookupError, with a sentence, if there is no such company.
    """
    _Registry.offers = offers


# --- which event types are worth a request ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event type that may be warmed, and what a request for it would gain. Pure."""

    event_type_id: int
    rate: float
    """Searches and bookings an hour."""
    aged: int
    """Days of its window that a request would make fresher."""
    gain: float
    """Share of the window that a request would make fresh again: 0 (all fresh) to 1 (all missing)."""

    @property
    def value(self) -> float:
        """The gain of one request, comparable between event types: a request costs the same for any number of days."""
        return self.rate * self.gain


def demand_rates(
    *, asked: Mapping[int, int], asked_hours: float, booked: Mapping[int, int], booked_hours: float
) -> dict[int, float]:
    """
    Return the searches and bookings an hour of each event type in `booked`, without those that have none.

    A booking counts like a search. Bookings are remembered for weeks, searches for two days at most and not across a
    loss of Redis: bookings decide where there are few searches, searches where there are many.
    """
    each = {one: asked.get(one, 0) / asked_hours + count / booked_hours for one, count in booked.items()}
    return {one: rate for one, rate in each.items() if rate > 0}


def candidate(event_type_id: int, rate: float, days: Sequence[Day], *, now: float, answerable: float) -> Candidate:
    """
    Return what a request for the days would gain.

    Args:
        rate: searches and bookings an hour.
        now: seconds on Redis' clock.
        answerable: seconds for which a load is answered without a wait.
    """
    lost = [share for day in days if (share := _lost(day, now, answerable))]
    return Candidate(event_type_id, rate, len(lost), sum(lost) / len(days))


def choose(candidates: Iterable[Candidate], top: int) -> list[Candidate]:
    """Return the `top` candidates with the highest value, without those of no value."""
    valuable = [each for each in candidates if each.value > 0]
    return sorted(valuable, key=lambda each: (-each.value, each.event_type_id))[:top]


def _lost(day: Day, now: float, answerable: float) -> float:
    """Return the share of its lifetime that a day has lost and a request would restore."""
    if day.reload_helps:
        return 1.0
    if day.freshness is Freshness.STALE and day.loaded_at is not None:
        return min(1.0, (now - day.loaded_at) / answerable)
    return 0.0  # fresh, or changed so recently that a load would not count yet


# --- a run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What to load of one account."""

    account_id: int
    first: date
    last: date
    """UTC dates, both included."""
    chosen: Sequence[Candidate]
    """The most valuable first."""


def plan(*, company: str | None, today: date, days: int, hours: int, top: int) -> list[Plan]:
    """
    Return what to load, by account.

    Args:
        company: only what this company offers; None for all.
        today: the first UTC date of the window.
        days: how many days the window has.
        hours: how far back searches count.
        top: how many event types of an account are loaded at most.

    Raises:
        LookupError: there is no such company.
        RedisError: demand and freshness are unknown.
    """
    window = dates_between(today, today + timedelta(days=days - 1))
    offered = _Registry.offers(company) if _Registry.offers else {}
    return [
        Plan(
            account_id,
            window[0],
            window[-1],
            choose(_candidates(account_id, booked, hours, window), top),
        )
        for account_id, booked in sorted(offered.items())
    ]


def warm(plans: Iterable[Plan], *, deadline: Deadline, progress: Callable[[], object]) -> list[Warming]:
    """
    Load what is planned and return the stored rows of the runs.

    Never fails because Redis or Cal.com does: the rows say so.

    Args:
        deadline: the run stops then.
        progress: called after each event type.
    """
    runs = [_Run(each, progress) for each in plans]
    try:
        _take_turns([run for run in runs if run.begin()], deadline)
    except RedisError as error:
        log.warning("cache.warming_stopped", error_type=type(error).__name__)
        for run in runs:
            run.end(Warming.Stop.REDIS)
    finally:
        for run in runs:
            run.end(Warming.Stop.INTERRUPTED)
    return [run.row for run in runs]


def _candidates(account_id: int, booked: Mapping[int, int], hours: int, window: Sequence[date]) -> Iterable[Candidate]:
    rates = demand_rates(
        asked=store.demand(account_id, hours),
        asked_hours=hours,
        booked=booked,
        booked_hours=(BOOKED_BEFORE + BOOKED_AFTER) / timedelta(hours=1),
    )
    answerable = conf.lifetimes().stale_while_revalidate / 1000
    for event_type_id, rate in rates.items():
        snapshot = store.read(account_id, event_type_id, window, asked=False)
        yield candidate(event_type_id, rate, snapshot.days, now=snapshot.now / 1000, answerable=answerable)


def _take_turns(going: "list[_Run]", deadline: Deadline) -> None:
    """Let each run take a step when it may, the one that could for longest first."""
    while going := [run for run in going if run.goes_on()]:
        first = min(going, key=attrgetter("ready_at"))
        if first.ready_at >= deadline.at or deadline.passed:
            for run in going:
                run.out_of_time()
        elif first.ready_at > time.monotonic():
            time.sleep(min(first.ready_at - time.monotonic(), conf.WARMING_LEASE / 3))
        else:
            first.step()


class _Run:
    """A warming run on one account; its row has the progress."""

    def __init__(self, plan: Plan, progress: Callable[[], object]) -> None:
        self.plan = plan
        self.row = Warming(account_id=plan.account_id, planned=len(plan.chosen))
        self.ready_at = -inf
        """When its next step may be taken, on the monotonic clock."""
        self._left = deque(plan.chosen)
        self._progress = progress
        self._token = uuid4().hex
        self._leased_until = -inf
        self._refused = False
        self._failures_in_a_row = 0
        self._ended = False

    def begin(self) -> bool:
        """Lease the account; return whether there is something to do."""
        alone = self._lease()
        if alone:
            # A run that did not end and has lost its lease was killed.
            _end(Warming.objects.filter(account_id=self.plan.account_id, finished_at=None), Warming.Stop.KILLED)
        self.row.save()
        if not alone:
            self.end(Warming.Stop.ANOTHER)
        return not self._ended

    def goes_on(self) -> bool:
        """Return whether something is left to do and the lease is still ours."""
        if not self._left:
            self.end()
        elif not self._ended and not self._lease():
            self.end(Warming.Stop.ANOTHER)
        return not self._ended

    def step(self) -> None:
        """Load the next event type, unless there is no permit."""
        warmed = cache.warm(
            account_id=self.plan.account_id,
            event_type_id=self._left[0].event_type_id,
            first=self.plan.first,
            last=self.plan.last,
        )
        self._refused = warmed.failure == THROTTLED
        self.ready_at = time.monotonic() + (warmed.retry_after or A_MOMENT) * self._refused
        self.row.days += warmed.days
        self.row.requests += warmed.requests
        if not self._refused:
            self._done(failed=warmed.failure is not None)
        self.row.save(update_fields=["event_types", "days", "requests", "failures"])

    def out_of_time(self) -> None:
        """End with the rest not loaded."""
        self.end(Warming.Stop.BUDGET if self._refused else Warming.Stop.TIME)

    def end(self, why: "Warming.Stop | str" = "") -> None:
        """Store how it ended, once, and release the account."""
        if self._ended:
            return
        self._ended = True
        self.row.stopped_early = why
        if self.row.pk is None:
            self.row.save()
        _end(Warming.objects.filter(pk=self.row.pk), why)
        with suppress(RedisError):  # the lease expires by itself
            store.release_warming(self.plan.account_id, self._token)

    def _lease(self) -> bool:
        """Renew the lease in time; return False if another run has it."""
        now = time.monotonic()
        if now < self._leased_until:
            return True
        self._leased_until = now + conf.WARMING_LEASE / 3
        return store.lease_warming(self.plan.account_id, self._token)

    def _done(self, *, failed: bool) -> None:
        self._left.popleft()
        self._progress()
        self.row.event_types += not failed
        self.row.failures += failed
        self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0
        if self._failures_in_a_row == MOST_FAILURES:
            self.end(Warming.Stop.SOURCE)


def _end(rows: "QuerySet[Warming]", why: str) -> None:
    rows.update(finished_at=Now(), stopped_early=why)
