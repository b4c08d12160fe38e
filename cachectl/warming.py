"""
Warming: days are loaded before anybody asks for them, in what live traffic leaves of the budget.

A run may be killed at any moment and be run again: what it loaded stays, what is fresh is not loaded twice, and its
lease on the account runs out by itself. Accounts have budgets of their own, so they take turns: one that must wait
does not keep the others.
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

from cachectl import cache, conf, store, warming_priority
from cachectl.infra.deadline import Deadline
from cachectl.loaders import THROTTLED
from cachectl.models import Warming
from cachectl.singleflight import dates_between
from cachectl.warming_priority import Candidate

log = structlog.get_logger(__name__)

# The weeks around today whose appointments say what is booked most.
BOOKED_BEFORE = BOOKED_AFTER = timedelta(days=14)
# After so many failures in a row an account is left alone: more would only cost requests.
MOST_FAILURES = 3
# Seconds to wait where the budget has no room, and nobody says for how long.
A_MOMENT = 1.0


# A company's slug, or None for all → by account, what is offered, with its appointments in the weeks around today.
Offers = Callable[[str | None], Mapping[int, Mapping[int, int]]]


class _Registry:
    """Who knows what is offered."""

    offers: Offers | None = None


def register(offers: Offers) -> None:
    """
    Make `offers` the one who knows what callers can ask for; called from `AppConfig.ready()`.

    It raises LookupError, with a sentence, if there is no such company.
    """
    _Registry.offers = offers


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be loaded of one account."""

    account_id: int
    first: date
    last: date
    """UTC dates, both included."""
    chosen: Sequence[Candidate]
    """Those first whose request is worth most."""


def plan(*, company: str | None, today: date, days: int, hours: int, top: int) -> list[Plan]:
    """
    Return what is worth loading, by account.

    Args:
        company: only what this company offers; None for everybody.
        today: the first UTC date of the window.
        days: how many days the window has.
        hours: how far back callers' questions count.
        top: how many event types of an account are loaded at most.

    Raises:
        LookupError: there is no such company.
        RedisError: nobody knows what is asked for, or what is fresh.
    """
    window = dates_between(today, today + timedelta(days=days - 1))
    offered = _Registry.offers(company) if _Registry.offers else {}
    return [
        Plan(
            account_id,
            window[0],
            window[-1],
            warming_priority.choose(_candidates(account_id, booked, hours, window), top),
        )
        for account_id, booked in sorted(offered.items())
    ]


def warm(plans: Iterable[Plan], *, deadline: Deadline, progress: Callable[[], object]) -> list[Warming]:
    """
    Load what is planned, and return what became of it, in rows that are written.

    Never fails because Redis or the source do: then the rows say so.

    Args:
        deadline: what is not loaded by then is left.
        progress: called for each event type that is done with.
    """
    runs = [_Run(each, progress) for each in plans]
    try:
        _take_turns([run for run in runs if run.begin()], deadline)
    except RedisError as error:
        log.warning("cachectl.warming_without_redis", error_type=type(error).__name__)
        for run in runs:
            run.end(Warming.Stop.REDIS)
    finally:
        for run in runs:
            run.end(Warming.Stop.INTERRUPTED)
    return [run.row for run in runs]


def _candidates(account_id: int, booked: Mapping[int, int], hours: int, window: Sequence[date]) -> Iterable[Candidate]:
    rates = warming_priority.wanted(
        asked=store.demand(account_id, hours),
        asked_hours=hours,
        booked=booked,
        booked_hours=(BOOKED_BEFORE + BOOKED_AFTER) / timedelta(hours=1),
    )
    answerable = conf.lifetimes().stale_while_revalidate / 1000
    for event_type_id, rate in rates.items():
        snapshot = store.read(account_id, event_type_id, window, asked=False)
        yield warming_priority.candidate(
            event_type_id, rate, snapshot.days, now=snapshot.now / 1000, answerable=answerable
        )


def _take_turns(going: "list[_Run]", deadline: Deadline) -> None:
    """Let each take a step when it may, the one first that could for longest."""
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
    """The warming of one account, on its way. Its row tells how far it is."""

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
        """Take the account; return whether there is something to do."""
        alone = self._lease()
        if alone:
            # Who began before, did not end and has lost the lease was killed.
            _end(Warming.objects.filter(account_id=self.plan.account_id, finished_at=None), Warming.Stop.KILLED)
        self.row.save()
        if not alone:
            self.end(Warming.Stop.ANOTHER)
        return not self._ended

    def goes_on(self) -> bool:
        """Return whether something is left to do, and the account is still ours."""
        if not self._left:
            self.end()
        elif not self._ended and not self._lease():
            self.end(Warming.Stop.ANOTHER)
        return not self._ended

    def step(self) -> None:
        """Load the event type whose turn it is, unless the budget has no room."""
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
        """Leave what is left."""
        self.end(Warming.Stop.BUDGET if self._refused else Warming.Stop.TIME)

    def end(self, why: "Warming.Stop | str" = "") -> None:
        """Write down how it ended, once, and let others warm the account."""
        if self._ended:
            return
        self._ended = True
        self.row.stopped_early = why
        if self.row.pk is None:
            self.row.save()
        _end(Warming.objects.filter(pk=self.row.pk), why)
        with suppress(RedisError):  # then the lease runs out by itself
            store.release_warming(self.plan.account_id, self._token)

    def _lease(self) -> bool:
        """Keep others from the account; return False if one of them has it."""
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
