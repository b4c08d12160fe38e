"""
The rate limiter before a Cal.com that counts: however many processes want to send, Cal.com never answers with a 429.

All scenarios run at once at one simulated Cal.com: each has an API key, hence a budget, of its own; those whose Redis
is flushed have a Redis of their own.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from itertools import pairwise
from random import Random

from redis import Redis

from calcom.resilience.rate_limiter import limiter_keys
from calcom.simulator import Dataset, EventType, Kind, User
from script.lib.agent import request
from script.lib.environment import ALWAYS, Servers
from script.lib.measurements import Measurement, most_in_60_s
from script.lib.servers import start_redis
from tests.chaos import worker_fleet
from tests.chaos.sender import KINDS, Demand, Record
from tests.chaos.worker_fleet import Arrival, Fleet

ACCOUNTS = {
    name: number
    for number, name in enumerate(
        ("plain", "external", "pause", "steady", "bursts", "greedy", "shared", "broken", "chaos"), start=1
    )
}
PROCESSES = 8
LONGEST_DELAY_S = 0.5
"""After which an admitted request has arrived: the longest network delay, and a moment for a busy machine."""
MIXED = {"background": 150.0, "refresh": 150.0, "live": 240.0, "booking": 60.0}
"""Requests a minute, 600 in all."""
LOUD, QUIET = 1, (2, 3, 4)
"""Tenants of the shared key. Each of four has a reserved quota of twelve; the quiet ones want ten each."""
FORCED_S = 2.0
"""When the 429 is forced."""
EXTERNAL_PER_MINUTE = 40
LEARNT_S = 120.0
"""After which the limiter knows external usage."""


@dataclass(frozen=True)
class Length:
    """How many seconds the scenarios last."""

    mixed: float
    bursts: float


SHORT, FULL = Length(mixed=133, bursts=133), Length(mixed=300, bursts=3600)


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Have the fleets send, inject faults meanwhile, and compare what both sides saw."""
    length = FULL if full else SHORT
    chaos_redis = start_redis(servers.supervisor, "redis-chaos")
    simulator, _ = servers.start_simulator(_dataset(), limit=120, latency=0, seed=seed)
    folders = [servers.place / name for name in ("main", "chaos")]
    for folder in folders:
        folder.mkdir()
    main, chaos = (Fleet(servers.supervisor, simulator, folder) for folder in folders)
    _add_main(main, length, seed)
    _add_chaos(chaos, length, seed, chaos_redis)
    for name in ACCOUNTS:
        if name not in {"plain", "external"}:  # these two begin cold, as after a first start
            _mark_complete(chaos_redis if name == "chaos" else os.environ["REDIS_URL"], name)
    simulator.fail("GET /v2/slots", Kind.ERROR_BEFORE, times=None, event_type_id=ACCOUNTS["broken"] * 10)
    main.begin()
    chaos.begin()
    with _external_usage(simulator.base_url, length.mixed):
        _inject_faults(main, chaos, chaos_redis, Random(seed), length)
    seen = worker_fleet.arrivals(simulator, ACCOUNTS)
    records = {name: (chaos if name == "chaos" else main).records(name) for name in ACCOUNTS}
    return _measurements(main, records, seen, length)


def _dataset() -> Dataset:
    return Dataset(
        users=tuple(User(number, name, name, api_key=f"cal_{name}", hours=ALWAYS) for name, number in ACCOUNTS.items()),
        event_types=tuple(
            EventType(number * 10 + index, name, f"{name}-{kind}", kind)
            for name, number in ACCOUNTS.items()
            for index, kind in enumerate(KINDS)
        ),
    )


def _mark_complete(redis_url: str, name: str) -> None:
    """Make this a Redis whose log of the key's requests has no gap."""
    permits, known, *_ = limiter_keys(f"cal_{name}")
    with Redis.from_url(redis_url) as redis:
        redis.hset(known, "generation", 1)
        redis.zadd(permits, {"generation:1": 8e15})


# --- demand --------------------------------------------------------------------------------------------------------


def _add_main(fleet: Fleet, length: Length, seed: int) -> None:
    """Start eight processes: all send most things, four of them bursts, four for companies that share a key."""
    of_all = [
        *_mixed("plain", length.mixed),
        *_mixed("external", length.mixed),
        *_mixed("pause", length.mixed, share=0.06, pace="steady"),  # so little that no priority cap is reached
        Demand("pause", ACCOUNTS["pause"], "live", 240, lasts=50),  # and much during the pause
        Demand("broken", ACCOUNTS["broken"], "live", 120, length.mixed, "steady"),
    ]
    of_four = [
        Demand("steady", ACCOUNTS["steady"], "lookup", 114, length.bursts, "steady"),
        Demand("bursts", ACCOUNTS["bursts"], "lookup", 6 * 60, length.bursts, "bursts"),
        Demand("greedy", ACCOUNTS["greedy"], "lookup", 240, length.bursts, "steady"),
    ]
    half = PROCESSES // 2
    for number in range(PROCESSES):
        demands = [worker_fleet.spread(demand, PROCESSES)[number] for demand in of_all]
        others = of_four if number < half else _tenants(length.mixed)
        demands += [worker_fleet.spread(demand, half)[number % half] for demand in others]
        fleet.add(f"sender-{number}", demands, {}, seed=seed + number)


def _add_chaos(fleet: Fleet, length: Length, seed: int, redis_url: str) -> None:
    """Start eight processes whose clocks are ten seconds early, right, or ten seconds late."""
    for number in range(PROCESSES):
        demands = [worker_fleet.spread(demand, PROCESSES)[number] for demand in _mixed("chaos", length.mixed)]
        skew = (-10.0, 0.0, 10.0)[number % 3]
        fleet.add(f"chaos-{number}", demands, {"REDIS_URL": redis_url}, seed=seed - 1 - number, skew_s=skew)


def _mixed(name: str, lasts: float, *, share: float = 1.0, pace: str = "random") -> list[Demand]:
    return [Demand(name, ACCOUNTS[name], kind, share * each, lasts, pace) for kind, each in MIXED.items()]


def _tenants(lasts: float) -> list[Demand]:
    number = ACCOUNTS["shared"]
    loud = [Demand("shared", number, kind, 250, lasts, tenant=LOUD) for kind in ("live", "lookup")]
    without = [Demand("shared", number, kind, 150, lasts) for kind in ("refresh", "background")]
    quiet = [
        Demand("shared", number, kind, per_minute, lasts, "steady", tenant=tenant)
        for tenant in QUIET
        for kind, per_minute in (("live", 8), ("lookup", 2))
    ]
    return [*loud, *without, *quiet]


# --- faults --------------------------------------------------------------------------------------------------------


def _inject_faults(main: Fleet, chaos: Fleet, chaos_redis: str, chance: Random, length: Length) -> None:
    """Force a 429, flush the Redis of the chaos fleet and kill its processes, until everything is over."""

    def force_429() -> None:
        main.simulator.fail("GET /v2/slots", Kind.TOO_MANY, event_type_id=ACCOUNTS["pause"] * 10)

    def flush() -> None:
        with Redis.from_url(chaos_redis) as redis:
            redis.flushall()

    def kill() -> None:
        chaos.restart(chance.randrange(PROCESSES))

    events = [(FORCED_S, force_429), (max(length.mixed, length.bursts) + 4, main.supervisor.check)]
    events += [(chance.uniform(at, at + 25), flush) for at in range(15, int(length.mixed) - 25, 40)]
    events += [(chance.uniform(at, at + 6), kill) for at in range(3, int(length.mixed) - 10, 6)]
    for at, event in sorted(events, key=lambda planned: planned[0]):
        main.supervisor.wait_until(lambda at=at: main.elapsed >= at, what="Time stood still", within=at + 60)  # type: ignore[misc]
        event()


@contextmanager
def _external_usage(url: str, lasts: float) -> Iterator[None]:
    """Use the key of `external` at a steady pace without a rate limiter, as another program of its owner would."""
    over = threading.Event()

    def send() -> None:
        began, number = time.monotonic(), 0
        while not over.wait(max(0.0, began + number * 60 / EXTERNAL_PER_MINUTE - time.monotonic())):
            if time.monotonic() - began > lasts:
                return
            number += 1
            with suppress(OSError, HTTPException):
                headers = {"Authorization": "Bearer cal_external"}
                request(url, "GET", "/v2/me?elsewhere=1", headers=headers, timeout=5)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- measurements --------------------------------------------------------------------------------------------------


def _measurements(
    main: Fleet, records: Mapping[str, list[Record]], seen: Mapping[str, list[Arrival]], length: Length
) -> dict[str, Measurement]:
    def blocked(*names: str, after: float = 0.0) -> Measurement:
        counted = [arrival for name in names for arrival in seen[name] if arrival.at >= main.began + after]
        enough = all(len(seen[name]) > length.mixed / 60 * 15 for name in names)
        return Measurement(sum(each.status == 429 for each in counted) if enough else None, f"of {len(counted)}")

    enough = len(records["plain"]) > length.mixed / 60 * 500
    alerts = main.count_logging("calcom.rate_limited")
    return {
        "rate_limiter_max_in_60s": Measurement(most_in_60_s([each.at for each in seen["plain"]]) if enough else None),
        "rate_limiter_429": blocked("plain"),
        "rate_limiter_writes_refused": writes_refused(records["plain"]),
        "rate_limiter_foreign_429": blocked("external", after=LEARNT_S),
        "rate_limiter_chaos_429": blocked("chaos"),
        "pause_violations": pause_violations(records["pause"], seen["pause"], alerts=alerts),
        "bursts_429": blocked("steady", "bursts", "greedy"),
        "limit_usable_percent": _usable(records["greedy"], length.bursts),
        "tenant_floor_refused": reserved_refused(records["shared"]),
        "breaker_wrong_pauses": wrong_pauses(records["broken"], seen["broken"]),
    }


def writes_refused(records: Sequence[Record]) -> Measurement:
    """Count the bookings that were refused while something less urgent was admitted."""
    admitted = [each.admitted for each in records if each.kind in {"refresh", "background"} and each.admitted]
    writes = [each for each in records if each.kind == "booking"]
    refused = [each for each in writes if each.admitted is None]
    unjust = [each for each in refused if any(each.wanted <= at <= each.ended for at in admitted)]
    return Measurement(len(unjust) if writes and admitted else None, f"of {len(writes)} writes, {len(refused)} refused")


def pause_violations(records: Sequence[Record], seen: Sequence[Arrival], *, alerts: int) -> Measurement:
    """Count requests of the pause that were admitted after the 429, and background work in the minute after it."""
    blocked_at = next((each.at for each in seen if each.status == 429), None)
    known = [each.ended for each in records if each.admitted and each.outcome == "unavailable"]
    if blocked_at is None or not known or not alerts:
        return Measurement(None, "no 429, or no alert")
    over, in_flight = blocked_at + 60, min(known) + LONGEST_DELAY_S
    late = [each for each in seen if min(known) < each.at < over]
    wanted = sum(min(known) < each.wanted < over for each in records)
    idle = {"refresh", "background"}
    early = [each for each in seen if over <= each.at < over + 60 and each.kind in idle]
    urgent_again = any(over <= each.at < over + 60 and each.kind not in idle for each in seen)
    idle_again = any(each.at >= over + 60 and each.kind in idle for each in seen)
    if not urgent_again or not idle_again:
        return Measurement(None, "sending did not resume")
    violations = [each for each in late if each.at > in_flight] + early
    return Measurement(len(violations), f"{wanted} wanted, {len(late)} in flight, alert by {alerts} processes")


def _usable(records: Sequence[Record], lasts: float) -> Measurement:
    """Return how much of the limit was used in whole minutes by senders that always wanted more."""
    admitted = [each.admitted for each in records if each.admitted]
    minutes = int(lasts // 60)
    if not admitted:
        return Measurement(None)
    used = sum(at < min(admitted) + 60 * minutes for at in admitted)
    return Measurement(100 * used / (120 * minutes), f"{used} in {minutes} min")


def reserved_refused(records: Sequence[Record]) -> Measurement:
    """Count the refusals of tenants that stay within their reserved quota."""
    quiet = [each for each in records if each.tenant in QUIET]
    loud = [each for each in records if each.tenant == LOUD]
    remark = f"of {len(quiet)}; loud: {sum(each.admitted is None for each in loud)} of {len(loud)}"
    return Measurement(sum(each.admitted is None for each in quiet) if quiet and loud else None, remark)


def wrong_pauses(records: Sequence[Record], seen: Sequence[Arrival]) -> Measurement:
    """Compare the times between probes with 10, 20, 30, 30 … s; nothing else may arrive while the breaker is open."""
    failures = sorted(each.ended for each in records if each.admitted)
    if len(failures) < 3:
        return Measurement(None, "it never opened")
    opened = failures[2]
    moments = [opened, *(each.at for each in seen if each.at > opened + LONGEST_DELAY_S)]
    pauses = [after - before for before, after in pairwise(moments)]
    expected = [10.0, 20.0, *[30.0] * len(pauses)]
    wrong = [pause for pause, right in zip(pauses, expected, strict=False) if not right - 0.2 <= pause < right + 3]
    remark = " ".join(f"{pause:.1f}" for pause in pauses[:6])
    return Measurement(len(wrong) if len(pauses) > 3 else None, f"{remark} s")
