"""
Redis is silent, refuses, is slow, a replica or full, while callers ask fifty times a second, and book what they were
offered before.

Experiments 5 and 6, and issue 4's `redis_blackhole_…`. Nobody knows free times without Redis, and for a minute nobody
may ask Cal.com for them: so availability degrades, at once and honestly. What a caller has been offered is booked.
"""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, product

from calcom.simulator.world import WEEKDAYS, EventType, Hours, User, World
from script.stage import breaking, ground
from script.stage.agent import Agent
from script.stage.callers import READ_WAIT, WRITE_WAIT, Caller, Callers, Heard, spelled
from script.stage.ground import BELIEVED, Ground
from script.stage.processes import StageError
from script.stage.rows import Found, Promise, percentile

PROMISES = {
    "redis_refused_added_ms": Promise("ms", 300),
    "redis_silent_added_ms": Promise("ms", 300),
    "redis_blackhole_excess_ms": Promise("ms", 100),
    "redis_blackhole_500s": Promise("answers", 0),
    "redis_away_excess_ms": Promise("ms", 100),
    "redis_away_500s": Promise("answers", 0),
    "redis_away_bookings_lost": Promise("bookings", 0),
    "redis_away_unready": Promise("answers", 0),
}
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
HOSTS = [f"host-{number}" for number in range(8)]
DAYS = range(3, 10)
"""From today."""
BOOKINGS = 4
"""What is booked without Redis: less than the governor keeps for writes in its first minute."""
SETTLED_WITHIN = 130.0


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Let callers go on while Redis is away in every way there is."""
    from_settings = {"CALCOM_PROCESSES": "4"}  # that many do send here
    with ground.brought_up(
        _world(), log="redis-away", latency=0.2, seed=seed, threads=16, environ=from_settings
    ) as here:
        return _measured(here, seconds=60.0 if full else 10.0)


def _world() -> World:
    return World(
        users=(
            User(1, "salon", "Salon", "Europe/Berlin", api_key="cal_redis", hours=ALWAYS),
            *(User(number, name, name, hours=ALWAYS) for number, name in enumerate(HOSTS, 2)),
        ),
        event_types=tuple(
            EventType(number, "salon", f"with-{name}", name, 15, hosts=(name,)) for number, name in enumerate(HOSTS, 1)
        ),
    )


def _measured(here: Ground, *, seconds: float) -> dict[str, Found]:
    from django.conf import settings  # noqa: PLC0415  needs the environment

    line = _Line(here)
    with Callers(here) as callers:
        for ask, number in ((line.ask, 15), (line.search, 10), (line.look, 1)):
            callers.let(ask, number=number, every=0.5)
        callers.let(line.book, number=1, every=0.2)
        time.sleep(BELIEVED)
        usual = line.during(callers, "all is well", nullcontext(), seconds / 3)
        line.offer(BOOKINGS)
        silent = line.during(callers, "silent", breaking.hanging(here.stage.child("redis")), seconds)
        line.during(callers, "it is back", nullcontext(), BELIEVED)
        line.offer(BOOKINGS)
        refused = line.during(callers, "refused", breaking.gone(here.stage, "redis"), seconds)
        line.during(callers, "it is back, and empty", nullcontext(), BELIEVED)
        others = {
            "slow": breaking.slow(settings.REDIS_URL, 0.1),
            "a replica": breaking.replica(settings.REDIS_URL),
            "full": breaking.full(settings.REDIS_URL),
        }
        rest = [each for name, fault in others.items() for each in line.during(callers, name, fault, seconds / 4)]
    away = [*refused, *rest]
    return {
        "redis_refused_added_ms": _added(refused, usual),
        "redis_silent_added_ms": _added(silent, usual),
        "redis_blackhole_excess_ms": _excess(silent),
        "redis_blackhole_500s": _failures(silent),
        "redis_away_excess_ms": _excess(away),
        "redis_away_500s": _failures(away),
        "redis_away_bookings_lost": line.lost(),
        "redis_away_unready": _unready([*silent, *refused]),
    }


@dataclass(frozen=True)
class _Call:
    """A caller who has been offered a time, or for whom it is held."""

    conversation: str
    slot_token: str
    confirm_token: str | None


class _Line:
    """What callers say, and what was promised to them."""

    def __init__(self, here: Ground) -> None:
        self._here = here
        self._services = list(here.tenant().services.values())
        self._wishes = cycle(product(DAYS, self._services))
        self._numbers = count()
        self._calls: deque[_Call] = deque()
        self._booked: list[str] = []
        self._refused: list[str] = []
        for _ in self._services:
            self.offer(1)  # so that everything is known
        self._calls.clear()

    def offer(self, number: int) -> None:
        """Let callers be offered times, each a service or day of its own; every other one is held."""
        with self._here.agent() as agent:
            self._calls += [self._offered(agent, hold=which % 2 == 0) for which in range(number)]

    def _offered(self, agent: Agent, *, hold: bool) -> _Call:
        day, service = next(self._wishes)
        call = agent.post("/v1/conversations", {"platform": "stage", "call_id": f"call-{next(self._numbers)}"})
        within = {"conversation_id": call.body["conversation_id"]}
        found = agent.post("/v1/availability/search", {"service": service, "when": {"date": _date(day)}, **within})
        if found.status != 200 or not found.body["offers"]:
            raise StageError(f"Nothing was offered: {found.status} {str(found.body)[:200]}")
        token = found.body["offers"][0]["slot_token"]
        held = agent.post("/v1/holds", {"slot_token": token, **within}).body if hold else {}
        return _Call(within["conversation_id"], token, held.get("confirm_token"))

    # --- what callers say

    def ask(self, caller: Caller) -> None:
        """Ask for the times of a day."""
        day, service = self._any(caller)
        caller.get("ask", "/v1/availability", service=service, date=_date(day))

    def search(self, caller: Caller) -> None:
        """Search for a time."""
        day, service = self._any(caller)
        caller.post(
            "search", "/v1/availability/search", {"service": service, "when": {"date": _date(day)}}, wait=READ_WAIT
        )

    def look(self, caller: Caller) -> None:
        """Ask how we are, as a load balancer and as a person."""
        caller.get("ready", "/health/ready")
        caller.get("health", "/health")

    def book(self, caller: Caller) -> None:
        """Book what was offered, if anybody was offered something."""
        if not self._calls:
            return
        call = self._calls.popleft()
        within = {"conversation_id": call.conversation}
        token = call.confirm_token
        if token is None:
            held = caller.post("hold", "/v1/holds", {"slot_token": call.slot_token, **within})
            token = held.body["confirm_token"] if held and held.status == 201 else None
        wish = {"confirm_token": token} if token else {"slot_token": call.slot_token}
        booked = caller.post("book", "/v1/bookings", {**wish, **within, "caller": {"name": "Ada Byron"}})
        if booked and booked.status in (201, 202):
            self._booked.append(booked.body["booking"]["id"])
        else:
            self._refused.append(str(booked and booked.body["code"]))

    def _any(self, caller: Caller) -> tuple[int, str]:
        number = caller.number + caller.calls
        return DAYS[number % len(DAYS)], self._services[number % len(self._services)]

    # --- what came of it

    def during(
        self, callers: Callers, what: str, fault: AbstractContextManager[None], seconds: float
    ) -> Sequence[Heard]:
        """Break something for a while; return what was said to those who asked meanwhile."""
        with fault:
            began = time.monotonic()
            time.sleep(seconds)
            until = time.monotonic()
        time.sleep(WRITE_WAIT if self._calls else 0.5)  # the last ones are still waiting
        heard = callers.heard(began, until)
        print(f"  {what}, {seconds:.0f} s", *spelled(heard), sep="\n")
        return heard

    def lost(self) -> Found:
        """Wait until everything has come to its end; return what was promised and not kept, or refused."""
        from script.stage import ledger  # noqa: PLC0415  models, which need the settings

        self._here.stage.wait_until(
            lambda: not ledger.left_over(), what="Not everything came to its end", within=SETTLED_WITHIN
        )
        lost = ledger.balance(self._here.simulator, told=self._booked).lines + self._refused
        print("\n".join(f"  !!! {line}" for line in lost) or f"  {len(self._booked)} bookings, here and at Cal.com")
        return Found(len(lost), f"of {len(self._booked) + len(self._refused)}, offered or held before")


def _date(ahead: int) -> str:
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()


def _asked(heard: Sequence[Heard]) -> list[Heard]:
    return [each for each in heard if each.what in ("ask", "search")]


def _added(heard: Sequence[Heard], usual: Sequence[Heard]) -> Found:
    """Return by how much longer questions took than usual."""
    now, before = (percentile([each.took * 1000 for each in _asked(part)], 0.99) for part in (heard, usual))
    if now is None or before is None:
        return Found(None)
    return Found(now - before, f"p99 of {len(_asked(heard))} questions: {now:.0f} instead of {before:.0f} ms")


def _excess(heard: Sequence[Heard]) -> Found:
    return Found(percentile([each.excess * 1000 for each in heard], 0.99), f"p99 of {len(heard)}")


def _failures(heard: Sequence[Heard]) -> Found:
    return Found(sum(each.is_failure for each in heard), f"of {len(heard)}")


def _unready(heard: Sequence[Heard]) -> Found:
    """Return how often somebody was sent away; and how often we said that all is well, after the first two seconds."""
    began = min(each.asked_at for each in heard)
    ready = [each for each in heard if each.what == "ready"]
    health = [each for each in heard if each.what == "health" and each.asked_at > began + 2]
    wrong = sum(each.status != 200 for each in ready) + sum(each.code != "degraded" for each in health)
    return Found(wrong if ready and health else None, f"of {len(ready) + len(health)}")
