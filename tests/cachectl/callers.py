"""
Callers, writers and loaders in processes of their own, for the experiments that need real ones.

`Callers` starts some of them; each runs one of the roles below, told by a JSON object on its command line, reports on
standard output, and shares with the others nothing but Redis. What plays Cal.com is there, too: it counts.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from cachectl import cache, loaders
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import blocking_redis_client, redis_client
from cachectl.loaders import LoadPriority

ACCOUNT, CUT = 7, 12
MONDAY = date(2026, 11, 23)
LOADS, IN_FLIGHT, MOST = "stage:loads", "stage:in_flight", "stage:most"
TRUTH, READY, GO = "stage:truth", "stage:ready", "stage:go"


class Callers:
    """Processes that play a role each, started together."""

    def __init__(self, role: str, count: int, environ: Mapping[str, str], **part: Any) -> None:
        command = [sys.executable, "-m", "tests.cachectl.callers", json.dumps({"role": role, **part})]
        self.processes = [
            subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]

    def reports(self) -> list[dict[str, Any]]:
        """Return what each had to say at its end."""
        ends = [(process, process.communicate(timeout=900)[0]) for process in self.processes]
        assert all(process.returncode == 0 for process, _ in ends)
        return [json.loads(said.splitlines()[-1]) for _, said in ends]


@contextmanager
def started(*groups: Callers) -> Iterator[None]:
    """Say "go" as soon as all are ready; stop what still runs in the end."""

    processes = [process for group in groups for process in group.processes]
    try:
        while redis_client().scard(READY) < len(processes):
            assert all(process.poll() is None for process in processes), "a process died before the start"
            time.sleep(0.01)
        redis_client().rpush(GO, "1")
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


class SlowSource:
    """Plays Cal.com: counts, takes its time, and keeps its answers for `lag` seconds, whatever changes meanwhile."""

    # One step, so that no answer is older than `lag` by accident.
    LIST = """
        local kept = redis.call('GET', KEYS[1])
        if not kept then
          kept = cjson.encode(redis.call('HGETALL', KEYS[2]))
          if ARGV[1] ~= '0' then redis.call('SET', KEYS[1], kept, 'PX', ARGV[1]) end
        end
        return kept
    """

    def __init__(self, takes: Sequence[float], lag: float = 0.0) -> None:
        self.takes, self.lag_ms = takes, round(lag * 1000)

    def load(
        self,
        *,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        priority: LoadPriority,
        tenant: int | None,
    ) -> dict[date, list[int]]:
        """Answer with one slot a day: the number of its changes so far."""

        client = redis_client()
        client.incr(LOADS)
        client.zadd(MOST, {"most": client.incr(IN_FLIGHT)}, gt=True)
        pairs = iter(json.loads(client.eval(self.LIST, 2, "stage:listed", TRUTH, self.lag_ms) or "[]") or [])
        truth = dict(zip(pairs, map(int, pairs), strict=True))
        time.sleep(random.uniform(*self.takes))
        client.decr(IN_FLIGHT)
        days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
        return {day: [truth.get(str(day), 0)] for day in days}


def ask(part: Mapping[str, Any], first: date, last: date) -> Any:
    """Ask as a search does."""

    return cache.read(
        account_id=ACCOUNT, event_type_id=CUT, first=first, last=last, deadline=Deadline.after(part["wait"])
    )


def callers(part: Mapping[str, Any]) -> dict[str, Any]:
    """Ask once from many threads at one moment."""

    def call() -> tuple[float, bool, bool, str | None]:
        began = time.perf_counter()
        known = ask(part, MONDAY, MONDAY + timedelta(days=13))
        return time.perf_counter() - began, known.verified, known.loaded, known.failure

    with ThreadPoolExecutor(part["threads"]) as pool:
        answers = [answer.result() for answer in [pool.submit(call) for _ in range(part["threads"])]]
    return {"answers": answers}


def readers(part: Mapping[str, Any]) -> dict[str, Any]:
    """Read windows of days, and compare what is verified with what had been invalidated before the read."""

    client, until = redis_client(), time.monotonic() + part["seconds"]
    verified = stale = 0
    while time.monotonic() < until:
        first = MONDAY + timedelta(days=random.randrange(part["days"] - 5))
        days = [first + timedelta(days=i) for i in range(5)]
        acknowledged = client.mget([f"stage:acknowledged:{day}" for day in days])
        known = ask(part, days[0], days[-1])
        for day, number in zip(days, acknowledged, strict=True):
            if known.days[day].freshness.verified:
                verified += 1
                stale += known.days[day].starts[0] < int(number or 0)
    return {"verified": verified, "stale": stale}


# Two writers may cross: what was acknowledged never goes back.
RAISE = """
    if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then
      redis.call('SET', KEYS[1], ARGV[1])
    end
"""


def writers(part: Mapping[str, Any]) -> dict[str, Any]:
    """Change days at Cal.com and invalidate them."""

    client, until, changes = redis_client(), time.monotonic() + part["seconds"], 0
    while time.monotonic() < until:
        day = MONDAY + timedelta(days=random.randrange(part["days"]))
        number = client.hincrby(TRUTH, str(day), 1)
        cache.invalidate(invalidation_id=None, account_id=ACCOUNT, event_type_ids=[CUT], first=day, last=day, own=False)
        client.eval(RAISE, 1, f"stage:acknowledged:{day}", number)
        changes += 1
        time.sleep(random.uniform(0, part["pause"]))
    return {"changes": changes}


ROLES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "callers": callers,
    "readers": readers,
    "writers": writers,
}


def main(part: Mapping[str, Any]) -> None:
    """Get ready, wait for the others, play the part, report."""

    loaders.register(SlowSource(part["takes"], part.get("lag", 0.0)))
    redis_client().sadd(READY, os.getpid())
    blocking_redis_client(60).blmove(GO, GO, 60, "LEFT", "RIGHT")
    print(json.dumps(ROLES[part["role"]](part)))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
