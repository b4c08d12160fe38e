"""
What becomes of work when workers are killed, asked to stop, hang, or lose their broker; callers feel none of it.

Experiments 1 and 2, and the broker that is silent, gone, a replica, or full. What must be done is a row: so Celery may
lose messages, and the sweep finds the rows again.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date
from random import Random

from script.lib import environment
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise, median
from script.lib.processes import StageError
from script.lib.programs import WORKERS, wait_for_workers
from tests.chaos import outages
from tests.chaos.callers import Caller, Callers, Heard
from tests.chaos.experiments import _salon

PROMISES = {
    "cache_worker_kill9_lost": Promise("jobs", 0),
    "cache_worker_kill9_done_s": Promise("s", 130),
    "sigterm_exit_s": Promise("s", 5),
    "sigterm_lost": Promise("jobs", 0),
    "broker_away_added_ms": Promise("ms", 50),
    "broker_away_failures": Promise("answers", 0),
    "broker_away_lost": Promise("rows", 0),
}
# Seconds: what an unacknowledged message may take to come again, and the sweep after it.
DONE_WITHIN = 130.0
BOOKERS, ASKERS = 2, 4
FAR = date(2031, 1, 1)


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Break workers and their broker, one after the other."""
    chance = Random(seed)
    with environment.brought_up(
        _salon.dataset(BOOKERS + 1), log="workers", limit=10**6, seed=seed, own_broker=True
    ) as here:
        killed = _killed(here, chance, times=15 if full else 2, jobs=1_500 if full else 300)
        stopped = _stopped(here, chance, times=12 if full else 2)
        return killed | stopped | _away(here, seconds=60.0 if full else 4.0)


# --- jobs ----------------------------------------------------------------------------------------------------------


def _owe(here: Ground, jobs: int) -> Sequence[int]:
    """Write down days to be forgotten, and send a message for each, as a booking does; return the ids of the rows."""
    from cachectl import invalidation, tasks  # noqa: PLC0415  models, which need the settings
    from cachectl.models import CacheInvalidation  # noqa: PLC0415
    from calcom.models import EventType  # noqa: PLC0415

    event_type = EventType.objects.filter(account=here.tenant().account_id).latest("id")
    own = CacheInvalidation.Cause.OWN
    ids = [
        invalidation.enqueue(
            account_id=event_type.account_id, event_type_ids=[event_type.pk], first=FAR, last=FAR, cause=own
        ).pk
        for _ in range(jobs)
    ]
    for invalidation_id in ids:
        tasks.invalidate_range.delay(invalidation_id=invalidation_id)
    return ids


def _left(ids: Sequence[int]) -> int:
    """Return how many of the jobs are not done."""
    from cachectl.models import CacheInvalidation  # noqa: PLC0415  models, which need the settings

    return CacheInvalidation.objects.filter(pk__in=ids, done_at__isnull=True).count()


def _await(ids: Sequence[int], within: float, *, leaving: int = 0) -> int:
    """Wait until all jobs are done but so many; return how many are not, at the latest after so many seconds."""
    until = time.monotonic() + within
    while (left := _left(ids)) > leaving and time.monotonic() < until:
        time.sleep(0.05)
    return left


# --- experiment 1 --------------------------------------------------------------------------------------------------


def _killed(here: Ground, chance: Random, *, times: int, jobs: int) -> dict[str, Found]:
    """Kill the worker `cache` in the middle of its jobs, again and again."""
    ids: list[int] = []
    for _ in range(times):
        ids += (new := _owe(here, jobs))
        _await(new, 60.0, leaving=int(jobs * chance.uniform(0.1, 0.9)))
        worker = here.stage.child("worker-cache")
        here.stage.kill(worker)
        here.stage.start_again(worker)
    killed_at = time.monotonic()
    behind = _left(ids)
    lost = _await(ids, DONE_WITHIN)
    took = time.monotonic() - killed_at
    print(f"  1: {times} kills among {len(ids)} jobs; {behind} were open at the last one, {lost} {took:.1f} s later")
    return {
        "cache_worker_kill9_lost": Found(lost, f"{times} kills, {len(ids)} jobs"),
        "cache_worker_kill9_done_s": Found(took if not lost else None),
    }


# --- experiment 2 --------------------------------------------------------------------------------------------------


def _stopped(here: Ground, chance: Random, *, times: int) -> dict[str, Found]:
    """Ask the worker `cache` to stop while jobs keep coming, again and again; and the others once."""
    exits: list[float] = []
    with _jobs_keep_coming(here) as ids:
        for name in ["cache"] * times + [name for name in WORKERS if name != "cache"]:
            wait_for_workers(here.stage)
            time.sleep(chance.uniform(0.2, 1.0))
            worker = here.stage.child(f"worker-{name}")
            exits.append(here.stage.end(worker))
            here.stage.start_again(worker)
    lost = _await(ids, DONE_WITHIN)
    print(f"  2: {len(exits)} workers were gone after {', '.join(f'{took:.1f}' for took in exits)} s")
    print(f"  2: of {len(ids)} jobs meanwhile {lost} were lost")
    return {
        "sigterm_exit_s": Found(max(exits), f"{len(exits)} times"),
        "sigterm_lost": Found(lost, f"{len(ids)} jobs"),
    }


@contextmanager
def _jobs_keep_coming(here: Ground) -> Iterator[list[int]]:
    """Send jobs, a hundred a second, for the length of the context."""
    ids: list[int] = []
    over = threading.Event()

    def send() -> None:
        from django.db import connections  # noqa: PLC0415  needs the settings

        while not over.wait(0.1):
            ids.extend(_owe(here, 10))
        connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield ids
    finally:
        over.set()
        sender.join()


# --- workers that hang, and a broker that is away -------------------------------------------------------------------


def _away(here: Ground, *, seconds: float) -> dict[str, Found]:
    """Let callers ask and book while workers hang, and while the broker is silent, gone, a replica, and full."""
    from django.conf import settings  # noqa: PLC0415  needs the environment

    wait_for_workers(here.stage)
    workers = [here.stage.child(f"worker-{name}") for name in WORKERS]
    broken = {
        "workers hang": outages.hanging(*workers),
        "broker silent": outages.hanging(here.stage.child("broker")),
        "broker a replica": outages.replica(settings.BROKER_URL),
        "broker full": outages.full(settings.BROKER_URL),
        "broker gone": outages.gone(here.stage, "broker"),
    }
    asking, free = _salon.Questions(here), list(_salon.free(here).items())

    def book(caller: Caller) -> None:
        """Book a slot of one's own."""
        service, times = free[caller.number]
        wish = {"service": service, "start": times.pop(), "caller": {"name": "Ada Byron"}}
        caller.post("book", "/v1/bookings", wish, Idempotency_Key=f"workers-{caller.number}-{caller.calls}")

    with Callers(here) as callers:
        callers.let(book, number=BOOKERS, every=0.25)
        callers.let(asking.ask, number=ASKERS, every=0.1)
        usual = _salon.during(callers, "all is well", nullcontext(), seconds)
        heard = {what: _salon.during(callers, what, fault, seconds) for what, fault in broken.items()}
    lost = _salon.differences(here, within=DONE_WITHIN)
    answers = [each for what in heard for each in heard[what]]
    added = {what: _usual(heard[what], way) - _usual(usual, way) for what in heard for way in ("ask", "book")}
    return {
        "broker_away_added_ms": Found(max(added.values()) * 1000, f"median while {max(added, key=added.__getitem__)}"),
        "broker_away_failures": Found(sum(each.status not in (200, 201) for each in answers), f"of {len(answers)}"),
        "broker_away_lost": Found(len(lost)),
    }


def _usual(heard: Sequence[Heard], what: str) -> float:
    """Return what an answer usually took, in seconds."""
    took = median([each.took for each in heard if each.what == what])
    if took is None:
        raise StageError(f"Nobody heard an answer to “{what}”.")
    return took
