"""
How true cached lists are in a day of 2,000 changes at Cal.com: with webhooks, and with a fifth of them lost.

The availability checker's own comparison is made again and again, without putting anything right, while callers ask.
The day is shortened to minutes, polling and the lifetimes of lists to a quarter, and all else keeps its pace: so there
are many times as many differences at once, and the truth rate of the day is reckoned from how long slots were wrong in
all. The remark has the rate as it was measured. An age is counted from the change until callers are told the truth.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from django.db import connections
from django.utils import timezone

from bookings.availability import checker
from bookings.availability.bookable import bookable_calendars
from bookings.availability.calendar_view import CalendarView
from bookings.availability.checker import Outcome, Sample, Snapshot
from calcom.day_ranges import date_of, minute_from
from calcom.models import Account
from calcom.service import CalcomService
from calcom.simulator import WEEKDAYS, Hours, SimulatorClient
from calcom.simulator.dataset import Json
from script.lib.environment import Environment, Servers, calcom_data, midnight, window
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from script.lib.tenants import Tenant, create_tenant, subscribe_webhooks
from tests.benchmarks.stale_offers import Truth

CHANGES, SHORT_CHANGES = 2_000, 400
A_DAY_S = 86_400
PACE_S = 0.2
KEY = "cal_house"
HOSTS = {"cut": ("ada", "bea"), "colour": ("ada",), "beard": ("cem",), "wash": ("cem",)}
DAYS = 30
LOST = 0.2
# Of a hundred changes at Cal.com: bookings, and bookings that are rescheduled; the rest is cancelled.
BOOK, RESCHEDULE = 55, 15
# A quarter of CALCOM_POLL_EVERY, and of what lists may be old; beat looks for due polls every 15 s.
POLL_EVERY_S, MAX_AGE_S, STALE_S = 60, 30, 225
HOUR = timedelta(hours=1)
ASKS_EVERY_S, LOOKS_EVERY_S, WATCHES_EVERY_S = 2.0, 0.5, 0.1
# Minutes between a booking and the beginning of a slot that it may concern.
NEAR = 90
SETTLED_WITHIN_S = 90.0


@dataclass
class Day:
    """What one company would have offered in the course of the day, compared with its Cal.com."""

    env: Environment
    tenant: Tenant
    calcom: SimulatorClient
    truth: Truth
    chance: random.Random
    changes: int = 0
    lasted_s: float = 0.0
    agreed: int = 0
    undecided: int = 0
    different: int = 0
    ages: list[float] = field(default_factory=list)
    causes: set[str] = field(default_factory=set)
    _booked: list[tuple[str, Json]] = field(default_factory=list)
    _wrong: dict[tuple[int, int, Outcome], float] = field(default_factory=dict)
    """Since when, by event type, start and outcome."""
    _changed: dict[int, float] = field(default_factory=dict)
    """When a booking that begins at an epoch minute was made or went away last."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, changes: int) -> None:
        """Have the changes made, while callers ask and lists are compared."""
        self._ask()
        over = threading.Event()
        repeated = {self._ask: ASKS_EVERY_S, self._compare: LOOKS_EVERY_S, self._watch: WATCHES_EVERY_S}
        with ThreadPoolExecutor(len(repeated)) as pool:
            jobs = [pool.submit(self._repeat, action, every_s, over) for action, every_s in repeated.items()]
            try:
                self._change_all(changes)
            finally:
                over.set()
            for job in jobs:
                job.result()
        self._await_truth()

    def _change_all(self, changes: int) -> None:
        began = time.monotonic()
        while self.changes < changes:
            time.sleep(max(0.0, began + self.changes * PACE_S - time.monotonic()))
            self._change()
        self.lasted_s = time.monotonic() - began

    def _change(self) -> None:
        kind = self.chance.randrange(100)
        if kind < BOOK or not self._booked:
            slug = self.chance.choice(list(HOSTS))
            start = self._note_change(self._free(slug))
            booking = self.calcom.book_elsewhere(slug, start, host=self._host(slug, start))
            self._booked.append((slug, booking))
        else:
            slug, booking = self._booked.pop(self.chance.randrange(len(self._booked)))
            self._note_change(datetime.fromisoformat(booking["start"]))
            if kind < BOOK + RESCHEDULE and len(HOSTS[slug]) == 1:
                start = self._note_change(self._free(slug))
                self._booked.append((slug, self.calcom.reschedule_elsewhere(booking["uid"], start)))
            else:
                self.calcom.cancel_elsewhere(booking["uid"], reason="The guest asked.")
        self.changes += 1

    def _note_change(self, start: datetime) -> datetime:
        self._changed[minute_from(start)] = time.monotonic()
        return start

    def _free(self, slug: str) -> datetime:
        """Return a time that Cal.com lists for some day; for another one where that is full."""
        while True:
            day = midnight(1 + self.chance.randrange(DAYS))
            if starts := self.truth.free_on(slug, day):
                return self.chance.choice(starts)

    def _host(self, slug: str, start: datetime) -> str:
        """Return a host who has no booking near; one of them has none, as Cal.com lists the time."""
        near = [each for _, each in self._booked if abs(datetime.fromisoformat(each["start"]) - start) < 2 * HOUR]
        busy = {each["host"] for each in near}
        return next((host for host in HOSTS[slug] if host not in busy), HOSTS[slug][-1])

    def _repeat(self, action: Callable[[], None], every_s: float, over: threading.Event) -> None:
        try:
            while not over.wait(every_s):
                action()
        finally:
            connections.close_all()

    def _ask(self) -> None:
        """Ask for everything, as callers do: what is stale is then refreshed."""
        agent = self.env.agent(self.tenant.slug)
        for service in self.tenant.services.values():
            answer = agent.get("/v1/availability", service=service, **window(1, DAYS))
            if answer.status != 200:
                raise HarnessError(f"A search failed: {answer.status} {str(answer.body)[:200]}")

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        account = Account.objects.get(pk=self.tenant.account_id)
        calcom, now = CalcomService(account), timezone.now()
        for service, calendar in bookable_calendars(account.pk):
            sample = Sample.of(service, calendar, now)
            if sample is not None:
                self._compare_one(sample, calcom)

    def _compare_one(self, sample: Sample, calcom: CalcomService) -> None:
        before = Snapshot.of(sample, calcom)
        listed = calcom.list_slots(event_type=sample.event_type, first=sample.first, last=sample.last)
        after = Snapshot.of(sample, calcom)
        checked = checker.compare(before, after, listed, sample.event_type)
        self.agreed += checked.agreed
        self.undecided += checked.undecided
        self.different += len(checked.differences)
        self.causes |= {f"{each.outcome} {each.cause}" for each in checked.differences}
        pk = sample.event_type.pk
        found = {(pk, each.start, each.outcome) for each in checked.differences}
        with self._lock:
            for each in found - set(self._wrong):
                self._wrong[each] = self._since(each[1])
            for each in [each for each in self._wrong if each[0] == pk and each not in found]:
                if _is_decided(date_of(each[1]), before, after):  # at Cal.com it is again as it is here
                    self.ages.append(time.monotonic() - self._wrong.pop(each))

    def _since(self, start: int) -> float:
        """Return when the last change was made that may concern a slot."""
        near = [at for minute, at in list(self._changed.items()) if abs(minute - start) <= NEAR]
        return max(near, default=time.monotonic())

    def _watch(self) -> None:
        """End the differences of which callers would be told the truth, or nothing without asking, by now."""
        account = Account.objects.get(pk=self.tenant.account_id)
        calcom, now = CalcomService(account), timezone.now()
        pks = {pk for pk, _, _ in list(self._wrong)}
        for service, calendar in bookable_calendars(account.pk) if pks else ():
            sample = Sample.of(service, calendar, now)
            if sample is not None and calendar.event_type.pk in pks:
                view = Snapshot.of(sample, calcom).view
                self._end_of(calendar.event_type.pk, view)

    def _end_of(self, pk: int, view: CalendarView) -> None:
        now, shown = time.monotonic(), set(view.starts)
        for each in [each for each in list(self._wrong) if each[0] == pk]:
            _, start, outcome = each
            day = view.known.days.get(date_of(start))
            is_asked = day is None or not day.freshness.verified or start in view.uncertain or day.freed
            if is_asked or (start in shown) is (outcome is Outcome.WITHHELD):
                with self._lock:
                    if each in self._wrong:
                        self.ages.append(now - self._wrong.pop(each))

    def _await_truth(self) -> None:
        """Compare until nothing differs. What never ends is as old as it is then."""
        until = time.monotonic() + SETTLED_WITHIN_S
        while self._wrong and time.monotonic() < until:
            time.sleep(LOOKS_EVERY_S)
            self._ask()
            self._compare()
            self._watch()
        self.ages += [time.monotonic() - since for since in self._wrong.values()]
        connections.close_all()

    # --- results -----------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> Measurement:
        """Return the truth rate of the day, in percent."""
        decided = self.agreed + self.different
        if not decided or not self.lasted_s:
            return Measurement(None, "nothing was decided")
        wrong = self.different / decided
        pace = A_DAY_S * self.changes / CHANGES / self.lasted_s
        day = 100 - 100 * wrong / pace
        remark = (
            f"{day:.5f} %: {self.changes} changes, {self.different} of {decided} slots different, {self.undecided}"
            f" undecided; {100 - 100 * wrong:.3f} % at {pace:.0f} times the pace"
        )
        return Measurement(day, remark)

    @property
    def oldest(self) -> Measurement:
        """Return the age of the oldest difference, in seconds."""
        if not self.ages:
            return Measurement(0.0, "no difference was seen")
        median, p95 = percentile(self.ages, 0.5) or 0.0, percentile(self.ages, 0.95) or 0.0
        remark = (
            f"of {len(self.ages)} differences, p50 {median:.1f} s, p95 {p95:.1f} s; {', '.join(sorted(self.causes))}"
        )
        return Measurement(max(self.ages), remark)


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Have the day pass for two companies at once, one of which misses a fifth of its webhooks."""
    hours = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
    colour = {"minutes": 60, "after_minutes": 15}
    dataset = calcom_data({"house": HOSTS}, hours=hours, event_types={"colour": colour})
    environ = {
        "CALCOM_POLL_EVERY": str(POLL_EVERY_S),
        "CALCOM_POLL_EVERY_IN_SILENCE": str(POLL_EVERY_S),
        "CACHE_MAX_AGE": str(MAX_AGE_S),
        "CACHE_STALE_WHILE_REVALIDATE": str(STALE_S),
        "BOOKINGS_CHECKS_A_MINUTE": "0",  # it would put right what is measured
    }
    with servers.environment(dataset, limit=10**9, seed=seed, environ=environ) as env:
        env.subscribe_webhooks()
        lossy = env.start_simulator("lossy", limit=10**9, latency=0.0, seed=seed + 1)
        owner = replace(dataset.users[0], username="lossy")
        tenant = create_tenant(lossy.base_url, owner, 10**9)
        subscribe_webhooks(lossy.base_url, env.url, tenant)
        lossy.configure(webhook_loss=LOST)
        both = replace(env, tenants={**env.tenants, "lossy": tenant})
        days = [
            Day(both, each, calcom, Truth(calcom.base_url, KEY, env.event_types), random.Random(seed))
            for each, calcom in ((env.tenant(), env.simulator), (tenant, lossy))
        ]
        with ThreadPoolExecutor(2) as pool:
            for run in [pool.submit(day.run, CHANGES if full else SHORT_CHANGES) for day in days]:
                run.result()
    told, missed = days
    return {
        "truth_rate": told.rate,
        "truth_oldest_s": told.oldest,
        "truth_rate_webhooks_lost": missed.rate,
        "truth_oldest_webhooks_lost_s": missed.oldest,
    }


def _is_decided(day: date, before: Snapshot, after: Snapshot) -> bool:
    known = before.view.known.days.get(day)
    return known is not None and before.shown_on(day) == after.shown_on(day) and before.is_settled(known)
