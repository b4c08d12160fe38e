"""
The governor before a Cal.com that counts: whatever is wanted by however many processes, nobody sees a 429.

Experiments 13 to 15 and 17, and issue 4's `governor_…`. All of it goes on side by side at one simulated Cal.com: each
scenario has a key of its own, hence a budget of its own, and those whose Redis is flushed have a Redis of their own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from redis import Redis

from calcom.resilience.rate_limiter import limiter_keys
from calcom.simulator import Kind, SimulatorClient
from script.lib import local, programs
from script.lib.measurements import Found, Promise
from script.lib.processes import Stage
from script.lib.servers import bring_redis, bring_servers
from tests.chaos import worker_fleet
from tests.chaos.sender import Demand, Line
from tests.chaos.worker_fleet import Arrival, Fleet

PROMISES = {
    "governor_max_in_60s": Promise("requests", 120),
    "governor_429": Promise("answers", 0),
    "governor_writes_refused": Promise("writes", 0),
    "governor_foreign_429": Promise("answers", 0),
    "governor_chaos_429": Promise("answers", 0),
    "pause_violations": Promise("requests", 0),
    "bursts_429": Promise("answers", 0),
    "limit_usable_percent": Promise("%", 95, at_least=True),
    "tenant_floor_refused": Promise("requests", 0),
    "breaker_wrong_pauses": Promise("pauses", 0),
}

ACCOUNTS = {
    name: number
    for number, name in enumerate(
        ("plain", "foreign", "pause", "steady", "bursts", "greedy", "shared", "broken", "chaos"), start=1
    )
}
PROCESSES = 8
LONGEST_WAY_S = 0.5
"""After which a request that was permitted has arrived: the longest way, and a moment for a busy machine."""
MIXED = {"background": 150.0, "refresh": 150.0, "live": 240.0, "booking": 60.0}
"""Requests a minute, 600 in all."""
LOUD, QUIET = 1, (2, 3, 4)
"""Tenants of the shared key. Of four the floor is twelve; the quiet ones want ten each, the loud one fifty times it."""
FORCED_S = 2.0
"""When the 429 is forced."""
FOREIGN_PER_MINUTE = 40
LEARNT_S = 120.0
"""After which others' use is known."""


@dataclass(frozen=True)
class Length:
    """How many seconds everything lasts."""

    mixed: float
    bursts: float

    @property
    def whole(self) -> float:
        """Return when the last is over."""
        return max(self.mixed, self.bursts)


SHORT = Length(mixed=133, bursts=133)
FULL = Length(mixed=300, bursts=3600)


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Let the fleets send, break what is to be broken meanwhile, and compare what both sides saw."""
    length, random = FULL if full else SHORT, Random(seed)
    with _brought_up(seed) as (simulator, main, chaos, chaos_redis):
        _man(main, length, seed)
        _man_chaos(chaos, length, seed, chaos_redis)
        for name in ACCOUNTS:
            if name not in {"plain", "foreign"}:  # these two begin cold, as after a first start
                _trust(chaos_redis if name == "chaos" else os.environ["REDIS_URL"], name)
        simulator.fail("GET /v2/slots", Kind.ERROR_BEFORE, times=None, event_type_id=ACCOUNTS["broken"] * 10)
        main.go()
        chaos.go()
        with _somebody_else(simulator.base_url, length.mixed):
            done = _Trouble(main, chaos, chaos_redis, random).make(length)
        seen = worker_fleet.arrivals(simulator, ACCOUNTS)
        wanted = {name: (chaos if name == "chaos" else main).lines(name) for name in ACCOUNTS}
        print(f"chaos: {done}")
        for name in ACCOUNTS:
            print(worker_fleet.said(name, wanted[name], seen[name]))
        return _found(main, wanted, seen, length)


@contextmanager
def _brought_up(seed: int) -> Iterator[tuple[SimulatorClient, Fleet, Fleet, str]]:
    """Bring up the servers and the simulator, and prepare two fleets with a Redis each."""
    place = Path(tempfile.mkdtemp(prefix="slotline-fleet-"))
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    os.environ.update(local.environment(), LOG_LEVEL="WARNING")
    with Stage(local.LOGS / "rate_limiter") as stage:
        stage.finally_call(lambda: shutil.rmtree(place))
        bring_servers(stage, place / "postgres")
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=local.ROOT, check=True)
        chaos_redis = bring_redis(stage, "redis-chaos")
        dataset = place / "dataset.json"
        dataset.write_text(json.dumps(worker_fleet.dataset(ACCOUNTS).to_json()), encoding="utf-8")
        simulator = SimulatorClient(programs.bring_simulator(stage, dataset=dataset, limit=120, latency=0, seed=seed))
        for name in ("main", "chaos"):
            (place / name).mkdir()
        yield simulator, Fleet(stage, simulator, place / "main"), Fleet(stage, simulator, place / "chaos"), chaos_redis


def _trust(redis_url: str, name: str) -> None:
    """Make this a Redis that has known the key for long: its log has no gap."""
    permits, known, *_ = limiter_keys(f"cal_{name}")
    redis = Redis.from_url(redis_url)
    redis.hset(known, "generation", 1)
    redis.zadd(permits, {"generation:1": 8e15})
    redis.close()


# --- who wants what ----------------------------------------------------------------------------------------------


def _man(fleet_: Fleet, length: Length, seed: int) -> None:
    """Start eight processes: all want most things, four of them bursts, four are of companies that share a key."""
    everybody = [
        *_mixed("plain", length.mixed),
        *_mixed("foreign", length.mixed),
        *_mixed("pause", length.mixed, share=0.06, pace="steady"),  # so little that no ceiling is reached
        Demand("pause", ACCOUNTS["pause"], "live", 240, lasts=50),  # and much while nothing may be sent
        Demand("broken", ACCOUNTS["broken"], "live", 120, length.mixed, "steady"),
    ]
    four = [
        Demand("steady", ACCOUNTS["steady"], "lookup", 114, length.bursts, "steady"),
        Demand("bursts", ACCOUNTS["bursts"], "lookup", 6 * 60, length.bursts, "bursts"),
        Demand("greedy", ACCOUNTS["greedy"], "lookup", 240, length.bursts, "steady"),
    ]
    for number in range(PROCESSES):
        demands = [worker_fleet.spread(demand, PROCESSES)[number] for demand in everybody]
        others = four if number < PROCESSES // 2 else _tenants(length.mixed)
        demands += [worker_fleet.spread(demand, PROCESSES // 2)[number % (PROCESSES // 2)] for demand in others]
        fleet_.start(f"driver-{number}", demands, {}, seed=seed + number)


def _man_chaos(fleet_: Fleet, length: Length, seed: int, redis_url: str) -> None:
    """Start eight processes whose clocks are ten seconds early, right, or ten seconds late."""
    for number in range(PROCESSES):
        demands = [worker_fleet.spread(demand, PROCESSES)[number] for demand in _mixed("chaos", length.mixed)]
        skew = (-10.0, 0.0, 10.0)[number % 3]
        fleet_.start(f"chaos-{number}", demands, {"REDIS_URL": redis_url}, seed=seed - 1 - number, skew_s=skew)


def _mixed(name: str, lasts: float, *, share: float = 1.0, pace: str = "random") -> list[Demand]:
    return [Demand(name, ACCOUNTS[name], kind, share * each, lasts, pace) for kind, each in MIXED.items()]


def _tenants(lasts: float) -> list[Demand]:
    number = ACCOUNTS["shared"]
    loud = [Demand("shared", number, kind, 250, lasts, tenant=LOUD) for kind in ("live", "lookup")]
    nobodys = [Demand("shared", number, kind, 150, lasts) for kind in ("refresh", "background")]
    quiet = [
        Demand("shared", number, kind, per_minute, lasts, "steady", tenant=tenant)
        for tenant in QUIET
        for kind, per_minute in (("live", 8), ("lookup", 2))
    ]
    return [*loud, *nobodys, *quiet]


# --- what goes wrong ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trouble:
    """What is done to the fleets while they send."""

    main: Fleet
    chaos: Fleet
    chaos_redis: str
    random: Random

    def make(self, length: Length) -> str:
        """Make it until everything is over; return what was done."""
        flushes = [self.random.uniform(at, at + 25) for at in range(15, int(length.mixed) - 25, 40)]
        kills = [self.random.uniform(at, at + 6) for at in range(3, int(length.mixed) - 10, 6)]
        events = [(FORCED_S, self._force_429), (length.whole + 4, self.main.stage.check)]
        events += [(at, self._flush) for at in flushes] + [(at, self._kill) for at in kills]
        for at, event in sorted(events, key=lambda planned: planned[0]):
            self._wait_for(at)
            event()
        return f"{len(flushes)} times FLUSHALL, {len(kills)} times kill -9, clocks 10 s early and late"

    def _wait_for(self, moment: float) -> None:
        fleet_ = self.main
        fleet_.stage.wait_until(lambda: fleet_.elapsed >= moment, what="A moment did not come", within=moment + 60)

    def _force_429(self) -> None:
        self.main.simulator.fail("GET /v2/slots", Kind.TOO_MANY, event_type_id=ACCOUNTS["pause"] * 10)

    def _flush(self) -> None:
        redis = Redis.from_url(self.chaos_redis)
        redis.flushall()
        redis.close()

    def _kill(self) -> None:
        self.chaos.restart(self.random.randrange(PROCESSES))


@contextmanager
def _somebody_else(url: str, lasts: float) -> Iterator[None]:
    """Use the key of `foreign` at a steady pace, without any governor, as another program of its owner would."""
    over = threading.Event()

    def ask() -> None:
        began, number = time.monotonic(), 0
        while not over.wait(max(0.0, began + number * 60 / FOREIGN_PER_MINUTE - time.monotonic())):
            if time.monotonic() - began > lasts:
                return
            number += 1
            connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
            with suppress(OSError, HTTPException):
                connection.request("GET", "/v2/me?elsewhere=1", headers={"Authorization": "Bearer cal_foreign"})
                connection.getresponse().read()
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- what came of it ---------------------------------------------------------------------------------------------


def _found(
    main: Fleet, wanted: Mapping[str, list[Line]], seen: Mapping[str, list[Arrival]], length: Length
) -> dict[str, Found]:
    def blocked(*names: str, after: float = 0.0) -> Found:
        counted = [arrival for name in names for arrival in seen[name] if arrival.at >= main.began + after]
        enough = all(len(seen[name]) > length.mixed / 60 * 15 for name in names)
        return Found(sum(arrival.status == 429 for arrival in counted) if enough else None, f"of {len(counted)}")

    enough = len(wanted["plain"]) > length.mixed / 60 * 500
    return {
        "governor_max_in_60s": Found(worker_fleet.most_in_60_s(seen["plain"]) if enough else None),
        "governor_429": blocked("plain"),
        "governor_writes_refused": _writes_refused(wanted["plain"]),
        "governor_foreign_429": blocked("foreign", after=LEARNT_S),
        "governor_chaos_429": blocked("chaos"),
        "pause_violations": _pause_violations(
            wanted["pause"], seen["pause"], alerts=main.logged("calcom.rate_limited")
        ),
        "bursts_429": blocked("steady", "bursts", "greedy"),
        "limit_usable_percent": _usable(wanted["greedy"], length.bursts),
        "tenant_floor_refused": _floors_refused(wanted["shared"]),
        "breaker_wrong_pauses": _wrong_pauses(wanted["broken"], seen["broken"]),
    }


def _writes_refused(lines: Sequence[Line]) -> Found:
    """Count the bookings that waited in vain while something less urgent was permitted."""
    admitted = [line.granted for line in lines if line.kind in {"refresh", "background"} and line.granted]
    writes = [line for line in lines if line.kind == "booking"]
    refused = [line for line in writes if line.granted is None]
    unjust = [line for line in refused if any(line.asked <= at <= line.ended for at in admitted)]
    return Found(len(unjust) if writes and admitted else None, f"of {len(writes)} writes, {len(refused)} refused")


def _pause_violations(lines: Sequence[Line], seen: Sequence[Arrival], *, alerts: int) -> Found:
    """Count what arrived in the pause although its permit came later than the 429, and background work in the next."""
    blocked_at = next((arrival.at for arrival in seen if arrival.status == 429), None)
    heard = [line.ended for line in lines if line.granted and line.outcome == "unavailable"]
    if blocked_at is None or not heard or not alerts:
        return Found(None, "no 429, or no alert")
    over, under_way = blocked_at + 60, min(heard) + LONGEST_WAY_S
    late = [arrival for arrival in seen if min(heard) < arrival.at < over]
    wanted = sum(min(heard) < line.asked < over for line in lines)
    idle = {"refresh", "background"}
    early = [arrival for arrival in seen if over <= arrival.at < over + 60 and arrival.kind in idle]
    urgent_again = [arrival for arrival in seen if over <= arrival.at < over + 60 and arrival.kind not in idle]
    idle_again = [arrival for arrival in seen if arrival.at >= over + 60 and arrival.kind in idle]
    if not urgent_again or not idle_again:
        return Found(None, "it did not go on")
    violations = [arrival for arrival in late if arrival.at > under_way] + early
    return Found(len(violations), f"{wanted} wanted, {len(late)} on their way, alert by {alerts} processes")


def _usable(lines: Sequence[Line], lasts: float) -> Found:
    """Return how much of the limit was used in whole minutes by those who always wanted more."""
    granted = [line.granted for line in lines if line.granted]
    minutes = int(lasts // 60)
    if not granted:
        return Found(None)
    used = sum(at < min(granted) + 60 * minutes for at in granted)
    return Found(100 * used / (120 * minutes), f"{used} in {minutes} min")


def _floors_refused(lines: Sequence[Line]) -> Found:
    quiet = [line for line in lines if line.tenant in QUIET]
    loud = [line for line in lines if line.tenant == LOUD]
    refused = sum(line.granted is None for line in quiet)
    remark = f"of {len(quiet)}; loud: {sum(line.granted is None for line in loud)} of {len(loud)}"
    return Found(refused if quiet and loud else None, remark)


def _wrong_pauses(lines: Sequence[Line], seen: Sequence[Arrival]) -> Found:
    """Compare the times between probes with 10, 20, 30, 30 … s; nothing else may arrive while the breaker is open."""
    failures = sorted(line.ended for line in lines if line.granted)
    if len(failures) < 3:
        return Found(None, "it never opened")
    opened = failures[2]
    moments = [opened, *(arrival.at for arrival in seen if arrival.at > opened + LONGEST_WAY_S)]
    pauses = [after - before for before, after in pairwise(moments)]
    meant = [10.0, 20.0, *[30.0] * len(pauses)]
    wrong = [pause for pause, right in zip(pauses, meant, strict=False) if not right - 0.2 <= pause < right + 3]
    return Found(len(wrong) if len(pauses) > 3 else None, " ".join(f"{pause:.1f}" for pause in pauses[:6]) + " s")
