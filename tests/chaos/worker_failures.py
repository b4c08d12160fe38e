"""
Workers are killed, stopped, or hang, and their broker goes away, while callers ask and book.

Jobs are rows: Celery may lose messages, and the outbox relay finds the rows again.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from random import Random

from django.conf import settings
from django.db import connections

from cachectl import invalidation, tasks
from cachectl.models import CacheInvalidation
from calcom.models import EventType
from script.lib.environment import Environment, Servers
from script.lib.measurements import Measurement, median
from script.lib.programs import WORKERS, wait_for_workers
from tests.chaos import consistency, outages
from tests.chaos.callers import Caller, Callers, Questions, Response, load_week, salon

# Seconds: what an unacknowledged message may take to be delivered again, and the relay after it.
DONE_WITHIN = 130.0
BOOKERS, ASKERS = 2, 4
FAR = date(2031, 1, 1)


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Break workers and their broker, one after the other."""
    chance = Random(seed)
    with servers.environment(salon(BOOKERS + 1), limit=10**6, seed=seed) as env:
        killed = _kill(env, chance, times=15 if full else 2, jobs=1_500 if full else 300)
        stopped = _stop(env, chance, times=12 if full else 2)
        return killed | stopped | _hang(env, seconds=60.0 if full else 4.0)


def _enqueue(env: Environment, jobs: int) -> list[int]:
    """Write invalidations and send a message for each, as a booking does; return the ids of the rows."""
    event_type = EventType.objects.filter(account=env.tenant().account_id).latest("id")
    ids = [
        invalidation.enqueue(
            account_id=event_type.account_id,
            event_type_ids=[event_type.pk],
            first=FAR,
            last=FAR,
            cause=CacheInvalidation.Cause.OWN,
        ).pk
        for _ in range(jobs)
    ]
    for invalidation_id in ids:
        tasks.invalidate_range.delay(invalidation_id=invalidation_id)
    return ids


def _left_after(ids: Sequence[int], within: float, *, leaving: int = 0) -> int:
    """Wait until no more than `leaving` jobs are open, at most `within` seconds; return how many are."""
    until = time.monotonic() + within
    rows = CacheInvalidation.objects.filter(pk__in=ids, done_at__isnull=True)
    while (left := rows.count()) > leaving and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _kill(env: Environment, chance: Random, *, times: int, jobs: int) -> dict[str, Measurement]:
    """Kill the worker `cache` in the middle of its jobs, again and again."""
    ids: list[int] = []
    for _ in range(times):
        new = _enqueue(env, jobs)
        ids += new
        _left_after(new, 60.0, leaving=int(jobs * chance.uniform(0.1, 0.9)))
        worker = env.supervisor.child("worker-cache")
        env.supervisor.kill(worker)
        env.supervisor.restart(worker)
    killed_at = time.monotonic()
    lost = _left_after(ids, DONE_WITHIN)
    return {
        "cache_worker_kill9_lost": Measurement(lost, f"{times} kills, {len(ids)} jobs"),
        "cache_worker_kill9_done_s": Measurement(None if lost else time.monotonic() - killed_at),
    }


def _stop(env: Environment, chance: Random, *, times: int) -> dict[str, Measurement]:
    """Stop the worker `cache` with TERM while jobs keep coming, again and again; and the others once."""
    exits: list[float] = []
    with _jobs_keep_coming(env) as ids:
        for name in ["cache"] * times + [name for name in WORKERS if name != "cache"]:
            wait_for_workers(env.supervisor)
            time.sleep(chance.uniform(0.2, 1.0))
            worker = env.supervisor.child(f"worker-{name}")
            exits.append(env.supervisor.stop_child(worker))
            env.supervisor.restart(worker)
    return {
        "sigterm_exit_s": Measurement(max(exits), f"{len(exits)} times"),
        "sigterm_lost": Measurement(_left_after(ids, DONE_WITHIN), f"of {len(ids)} jobs"),
    }


@contextmanager
def _jobs_keep_coming(env: Environment) -> Iterator[list[int]]:
    """Send a hundred jobs a second while the context lasts."""
    ids: list[int] = []
    over = threading.Event()

    def send() -> None:
        while not over.wait(0.1):
            ids.extend(_enqueue(env, 10))
        connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield ids
    finally:
        over.set()
        sender.join()


def _hang(env: Environment, *, seconds: float) -> dict[str, Measurement]:
    """Have callers ask and book while workers hang, and while the broker hangs, is a replica, full, and gone."""
    wait_for_workers(env.supervisor)
    faults = {
        "workers hang": outages.hanging(*(env.supervisor.child(f"worker-{name}") for name in WORKERS)),
        "broker hangs": outages.hanging(env.supervisor.child("broker")),
        "broker is a replica": outages.replica(settings.BROKER_URL),
        "broker is full": outages.full(settings.BROKER_URL),
        "broker is gone": outages.gone(env.supervisor, "broker"),
    }
    questions, free = Questions(env), list(load_week(env).items())

    def book(caller: Caller) -> None:
        service, starts = free[caller.number]
        booking = {"service": service, "start": starts.pop(), "caller": {"name": "Ada Byron"}}
        caller.post("book", "/v1/bookings", booking, Idempotency_Key=f"workers-{caller.number}-{caller.calls}")

    with Callers(env) as callers:
        callers.start(book, number=BOOKERS, every=0.25)
        callers.start(questions.ask, number=ASKERS, every=0.1)
        usual = callers.during(None, seconds)
        responses = {name: callers.during(fault, seconds) for name, fault in faults.items()}
    lost = consistency.settled_differences(env, within=DONE_WITHIN)
    added = {
        name: max(_median(each, what) - _median(usual, what) for what in ("ask", "book"))
        for name, each in responses.items()
    }
    slowest = max(added, key=added.__getitem__)
    every = [each for phase in responses.values() for each in phase]
    return {
        "broker_away_added_ms": Measurement(added[slowest] * 1000, f"median while {slowest}"),
        "broker_away_failures": Measurement(sum(each.status not in (200, 201) for each in every), f"of {len(every)}"),
        "broker_away_lost": Measurement(len(lost), "; ".join(lost)),
    }


def _median(responses: Sequence[Response], what: str) -> float:
    """Return the median duration in seconds; infinite where there was no such response."""
    duration = median([each.duration for each in responses if each.what == what])
    return float("inf") if duration is None else duration
