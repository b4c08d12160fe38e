"""
A day of 2,000 changes, and after each the question what is free: how many offers are not, by Cal.com's own word.

The day passes in twelve minutes (in the short form a fifth of it): Slotline as it is, beside agents that ask Cal.com
themselves, and an HTTP cache that keeps a list for what 120 s are in a day so short. Changes are made
over the line, and by people at Cal.com; of these Slotline hears by webhook, and is asked when it has.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, SimulatorClient, User
from script.lib import programs, webhooks
from script.lib.environment import Ground, brought_up
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from tests.benchmarks.peers import http_cache
from tests.benchmarks.peers.callers import Line, Refused, Unanswered
from tests.benchmarks.peers.direct import Direct
from tests.benchmarks.peers.slotline import Slotline

PROMISES = {
    "stale_offers": Promise("offers", 0),
    "stale_offers_direct": Promise("offers"),
    "stale_offers_http_cache": Promise("offers"),
}
PLOTS = {"Stale offers in a day of changes": list(PROMISES)}
CHANGES, SHORT_CHANGES = 2_000, 400
# By how much the day is shortened, and so every lifetime of those that are compared.
FASTER = 120
PACE_S = 86_400 / CHANGES / FASTER
KEY = "cal_stale"
HOURS = (Hours(days=WEEKDAYS, start="08:00", end="20:00"),)
HOSTS = {"cut": ("ada", "bea"), "colour": ("ada",), "beard": ("cem",), "wash": ("cem",)}
IDS = {slug: number for number, slug in enumerate(HOSTS, 1)}
SHARING = {slug: [each for each in HOSTS if set(HOSTS[each]) & set(HOSTS[slug])] for slug in HOSTS}
DAYS = 5
# Of a hundred changes: bookings and cancellations over the line, then the same at Cal.com.
BOOK, CANCEL, BOOK_THERE = 50, 15, 25
HEARD_WITHIN_S = 20.0


@dataclass
class Day:
    """What one line offered in the course of the day."""

    line: Line
    truth: Direct
    """Asks Cal.com itself, so that its own cache never answers."""
    calcom: SimulatorClient
    await_news: Callable[[], None]
    chance: random.Random
    offers: int = 0
    stale: int = 0
    made: int = 0
    refused: int = 0
    unanswered: int = 0
    silent: int = 0
    """Questions without an answer in time: nothing was offered."""
    booked: list[str] = field(default_factory=list)
    booked_there: list[str] = field(default_factory=list)

    @property
    def outcomes(self) -> str:
        """Return in words what became of bookings."""
        silent = f"; {self.silent} questions without one" if self.silent else ""
        return f"{self.made} made, {self.refused} refused, {self.unanswered} without an answer in time{silent}"

    def pass_by(self, changes: int) -> None:
        """Make the changes, one after the other, and ask after each."""
        began = time.monotonic()
        for number in range(changes):
            time.sleep(max(0.0, began + number * PACE_S - time.monotonic()))
            slug = self.chance.choice(list(HOSTS))
            day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            day += timedelta(days=1 + self.chance.randrange(DAYS))
            self._change(number, slug, day)
            for each in SHARING[slug]:
                self._ask(each, day)

    def _change(self, number: int, slug: str, day: datetime) -> None:
        kind = self.chance.randrange(100)
        free = self.truth.free_on(slug, day)
        if kind >= BOOK + CANCEL + BOOK_THERE and self.booked_there:
            uid = self.booked_there.pop(self.chance.randrange(len(self.booked_there)))
            self.calcom.cancel_elsewhere(uid, reason="The guest asked.")
            self.await_news()
        elif kind >= BOOK + CANCEL and free:
            self.booked_there.append(str(self.calcom.book_elsewhere(slug, self.chance.choice(free))["uid"]))
            self.await_news()
        elif kind >= BOOK and self.booked:
            with suppress(Unanswered):  # whatever came of it, the next questions are compared with the truth
                self.line.cancel(self.booked.pop(self.chance.randrange(len(self.booked))))
        elif free:
            self._book(number, slug, day)

    def _book(self, number: int, slug: str, day: datetime) -> None:
        offered = self._ask(slug, day)
        if not offered:
            return
        try:
            self.booked.append(self.line.book(slug, self.chance.choice(offered), f"Caller {number}"))
            self.made += 1
        except Refused:
            self.refused += 1
        except Unanswered:
            self.unanswered += 1

    def _ask(self, slug: str, day: datetime) -> list[datetime]:
        try:
            offered = self.line.free_on(slug, day)
        except Unanswered:
            self.silent += 1
            return []
        true = set(self.truth.free_on(slug, day))
        self.offers += len(offered)
        self.stale += sum(start not in true for start in offered)
        return offered


class Truth(Direct):
    """Cal.com as it is this moment: no two questions are the same, so no cache of its own answers."""

    _asked = 0

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        """Ask for a day and some seconds more, in which no working hours lie."""
        self._asked += 1
        return self.slots(slug, day, day + timedelta(days=1, seconds=self._asked % 3000))


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Let the day pass on each line at once, and compare what they offered."""
    changes = CHANGES if full else SHORT_CHANGES
    place = Path(tempfile.mkdtemp(prefix="slotline-nginx-"))
    with brought_up(_dataset(), log="stale-offers", limit=10**9, seed=seed) as ground:
        ground.stage.finally_call(lambda: shutil.rmtree(place))
        days = _days(ground, place, seed)
        with ThreadPoolExecutor(len(days)) as pool:
            for passed in [pool.submit(day.pass_by, changes) for day in days.values()]:
                passed.result()
    print(f"{changes} changes at {1 / PACE_S:.1f} a second:")
    found = {}
    for name, day in days.items():
        print(f"{name}: {day.offers} offers, {day.stale} of them stale; bookings: {day.outcomes}")
        found[name] = Found(
            day.stale if day.offers else None, f"of {day.offers} offers; bookings: {day.outcomes}; {changes} changes"
        )
    missing = Found(0, "not compared: there is no nginx on this machine")
    return {"stale_offers_http_cache": missing, **found}


def _days(ground: Ground, place: Path, seed: int) -> dict[str, Day]:
    tenant = ground.tenant()
    webhooks.subscribe(ground.simulator.base_url, ground.url, [tenant])
    ours = Slotline(ground.url, tenant.key, tenant.services)
    days = {"stale_offers": _day(ours, ground.simulator, _await_inbox, seed)}
    direct = _another_calcom(ground, "direct", seed)
    days["stale_offers_direct"] = _day(Direct(direct.base_url, KEY, IDS), direct, _no_news, seed)
    if http_cache.is_here():
        behind = _another_calcom(ground, "http-cache", seed)
        cache = http_cache.bring_http_cache(
            ground.stage, place / "nginx", upstream=behind.base_url, lifetime_s=120 // FASTER
        )
        line = Direct(behind.base_url, KEY, IDS, slots_url=cache)
        days["stale_offers_http_cache"] = _day(line, behind, _no_news, seed)
    return days


def _day(line: Line, calcom: SimulatorClient, await_news: Callable[[], None], seed: int) -> Day:
    return Day(line, Truth(calcom.base_url, KEY, IDS), calcom, await_news, random.Random(seed))


def _another_calcom(ground: Ground, name: str, seed: int) -> SimulatorClient:
    options = {"world": ground.dataset, "limit": 10**9, "latency": 0.0, "seed": seed}
    calcom = SimulatorClient(programs.bring_simulator(ground.stage, name=f"simulator-{name}", **options))
    calcom.configure(slots_cache_s=2 / FASTER)
    return calcom


def _no_news() -> None:
    """Go on: nobody tells this line anything."""


def _await_inbox() -> None:
    """
    Wait until everything that Cal.com told is worked off: from then on the reason is known to us.

    Cal.com's webhook is answered before what was done there is, so its row is there.
    """
    from calcom.models import WebhookDelivery  # noqa: PLC0415  models, which need the settings

    open_states = WebhookDelivery.State.RECEIVED, WebhookDelivery.State.FAILED
    until = time.monotonic() + HEARD_WITHIN_S
    while WebhookDelivery.objects.filter(state__in=open_states).exists():
        if time.monotonic() > until:
            raise StageError(f"A webhook was not worked off within {HEARD_WITHIN_S:.0f} s.")
        time.sleep(0.01)


def _dataset() -> Dataset:
    people = dict.fromkeys(host for hosts in HOSTS.values() for host in hosts)
    minutes = {"colour": 60}
    return Dataset(
        users=(
            User(1, "house", "House", api_key=KEY, hours=HOURS),
            *(User(number, name, name.title(), hours=HOURS) for number, name in enumerate(people, 2)),
        ),
        event_types=tuple(
            EventType(
                IDS[slug],
                "house",
                slug,
                slug.title(),
                minutes.get(slug, 30),
                hosts=HOSTS[slug],
                after_minutes=15 if slug == "colour" else 0,
            )
            for slug in HOSTS
        ),
    )
