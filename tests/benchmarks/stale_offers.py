"""
A day of 2,000 changes, and after each the question what is free: how many offers are not, according to Cal.com.

The day passes in twelve minutes (in the short form a fifth of it), for Slotline as it is, for agents that ask Cal.com
themselves, and for an HTTP cache whose max-age is shortened like the day. Changes are made by these peers, and by
people at Cal.com; Slotline hears of the latter by webhook, and is asked once it has processed that.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from calcom.models import WebhookDelivery
from calcom.simulator import WEEKDAYS, Hours, SimulatorClient
from script.lib.environment import Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError
from tests.benchmarks.peers import http_cache
from tests.benchmarks.peers.conversations import Peer, Refused, Unanswered
from tests.benchmarks.peers.direct import Direct
from tests.benchmarks.peers.slotline import Slotline

CHANGES, SHORT_CHANGES = 2_000, 400
# By how much the day is shortened, and so every max-age of the peers.
FASTER = 120
PACE_S = 86_400 / CHANGES / FASTER
KEY = "cal_house"
HOSTS = {"cut": ("ada", "bea"), "colour": ("ada",), "beard": ("cem",), "wash": ("cem",)}
SHARING = {slug: [each for each in HOSTS if set(HOSTS[each]) & set(HOSTS[slug])] for slug in HOSTS}
DAYS = 5
# Of a hundred changes: bookings and cancellations by the peer, then bookings at Cal.com; the rest is cancelled there.
BOOK, CANCEL, BOOK_AT_CALCOM = 50, 15, 25
PROCESSED_WITHIN_S = 20.0


class Truth(Direct):
    """Cal.com as it is at this moment: no two questions are the same, so its cache never answers."""

    _asked = 0

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        """Ask for a day and some seconds more, in which no working hours lie."""
        self._asked += 1
        return self.slots(slug, day, day + timedelta(days=1, seconds=self._asked % 3000))


@dataclass
class Day:
    """What one peer offered in the course of the day."""

    peer: Peer
    truth: Truth
    calcom: SimulatorClient
    wait_for_webhooks: Callable[[], None]
    chance: random.Random
    offers: int = 0
    stale: int = 0
    made: int = 0
    refused: int = 0
    unanswered: int = 0
    booked: list[str] = field(default_factory=list)
    booked_at_calcom: list[str] = field(default_factory=list)

    def run(self, changes: int) -> None:
        """Make the changes, one after the other, and ask after each."""
        began = time.monotonic()
        for number in range(changes):
            time.sleep(max(0.0, began + number * PACE_S - time.monotonic()))
            slug, day = self.chance.choice(list(HOSTS)), midnight(1 + self.chance.randrange(DAYS))
            self._change(number, slug, day)
            for each in SHARING[slug]:
                self._ask(each, day)

    def _change(self, number: int, slug: str, day: datetime) -> None:
        kind = self.chance.randrange(100)
        free = self.truth.free_on(slug, day)
        if kind >= BOOK + CANCEL + BOOK_AT_CALCOM and self.booked_at_calcom:
            uid = self.booked_at_calcom.pop(self.chance.randrange(len(self.booked_at_calcom)))
            self.calcom.cancel_elsewhere(uid, reason="The guest asked.")
            self.wait_for_webhooks()
        elif kind >= BOOK + CANCEL and free:
            self.booked_at_calcom.append(str(self.calcom.book_elsewhere(slug, self.chance.choice(free))["uid"]))
            self.wait_for_webhooks()
        elif kind >= BOOK and self.booked:
            with suppress(Unanswered):  # the next questions are compared with the truth in any case
                self.peer.cancel(self.booked.pop(self.chance.randrange(len(self.booked))))
        elif free:
            self._book(number, slug, day)

    def _book(self, number: int, slug: str, day: datetime) -> None:
        offered = self._ask(slug, day)
        if not offered:
            return
        try:
            self.booked.append(self.peer.book(slug, self.chance.choice(offered), f"Caller {number}"))
            self.made += 1
        except Refused:
            self.refused += 1
        except Unanswered:
            self.unanswered += 1

    def _ask(self, slug: str, day: datetime) -> list[datetime]:
        try:
            offered = self.peer.free_on(slug, day)
        except Unanswered:
            self.unanswered += 1
            return []
        free = set(self.truth.free_on(slug, day))
        self.offers += len(offered)
        self.stale += sum(start not in free for start in offered)
        return offered

    @property
    def measurement(self) -> Measurement:
        """Return the number of stale offers."""
        bookings = f"{self.made} bookings, {self.refused} refused, {self.unanswered} requests without an answer"
        return Measurement(self.stale if self.offers else None, f"of {self.offers} offers; {bookings}")


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Have the day pass for each peer at once, and compare what they offered."""
    hours = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
    colour = {"minutes": 60, "after_minutes": 15}
    dataset = calcom_data({"house": HOSTS}, hours=hours, event_types={"colour": colour})
    with servers.environment(dataset, limit=10**9, seed=seed) as env:
        days = _days(env, servers, seed)
        with ThreadPoolExecutor(len(days)) as pool:
            for run in [pool.submit(day.run, CHANGES if full else SHORT_CHANGES) for day in days.values()]:
                run.result()
    missing = Measurement(0, "not compared: this machine has no nginx")
    return {"stale_offers_http_cache": missing, **{name: day.measurement for name, day in days.items()}}


def _days(env: Environment, servers: Servers, seed: int) -> dict[str, Day]:
    def day(peer: Peer, calcom: SimulatorClient, wait: Callable[[], None] = lambda: None) -> Day:
        return Day(peer, Truth(calcom.base_url, KEY, env.event_types), calcom, wait, random.Random(seed))

    env.subscribe_webhooks()
    ours = Slotline(env.url, env.tenant().key, env.services)
    direct = _another_calcom(env, "direct", seed)
    days = {
        "stale_offers": day(ours, env.simulator, _wait_for_inbox),
        "stale_offers_direct": day(Direct(direct.base_url, KEY, env.event_types), direct),
    }
    if http_cache.is_installed():
        behind = _another_calcom(env, "http-cache", seed)
        cache = http_cache.start_http_cache(
            env.supervisor, servers.place / "nginx", upstream=behind.base_url, max_age_s=120 // FASTER
        )
        days["stale_offers_http_cache"] = day(Direct(behind.base_url, KEY, env.event_types, slots_url=cache), behind)
    return days


def _another_calcom(env: Environment, name: str, seed: int) -> SimulatorClient:
    calcom = env.start_simulator(name, limit=10**9, latency=0.0, seed=seed)
    calcom.configure(slots_cache_s=2 / FASTER)
    return calcom


def _wait_for_inbox() -> None:
    """Wait until every webhook is processed. Cal.com's call returns after its webhook, so there is a row for it."""
    open_states = WebhookDelivery.State.RECEIVED, WebhookDelivery.State.FAILED
    until = time.monotonic() + PROCESSED_WITHIN_S
    while WebhookDelivery.objects.filter(state__in=open_states).exists():
        if time.monotonic() > until:
            raise HarnessError(f"A webhook was not processed within {PROCESSED_WITHIN_S:.0f} s.")
        time.sleep(0.01)
