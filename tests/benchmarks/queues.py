"""How fast one worker processes the invalidations that piled up, beside as many tasks that do nothing."""

import time
from collections.abc import Sequence

from celery import Task
from django.conf import settings
from redis import Redis

from cachectl import invalidation
from cachectl.models import CacheInvalidation
from cachectl.tasks import invalidate_range
from script.lib.environment import Environment, midnight
from script.lib.measurements import Measurement, median
from script.lib.processes import HarnessError
from tests.benchmarks.noop import noop

WORKER, QUEUE = "worker-cache", "cache"
JOBS, RUNS = 960, 3
# Seconds between two looks at the queue, and until a run counts as failed.
POLL, TIMEOUT = 0.002, 60.0


def measure(env: Environment) -> dict[str, Measurement]:
    """Measure invalidations and tasks that do nothing in turns."""
    beat = env.supervisor.child("beat")
    env.supervisor.kill(beat)  # its relay would process the same jobs
    try:
        pairs = []
        for _ in range(RUNS):
            ids = _enqueue(env)
            pairs.append((_processed_s(env, invalidate_range, ids), _processed_s(env, noop, ids)))
    finally:
        env.supervisor.restart(beat)
    ours, nothing = (median(side) or 0 for side in zip(*pairs, strict=True))
    ratio = median([first / second for first, second in pairs])
    return {
        "queue_960_s": Measurement(ours, f"{JOBS} invalidations, {JOBS / ours:.0f}/s, median of {RUNS} runs"),
        "queue_vs_noop_ratio": Measurement(ratio, f"{JOBS} tasks that do nothing took {nothing:.2f} s"),
    }


def _enqueue(env: Environment) -> list[int]:
    """Write invalidations of many different days; return their ids."""
    rows = [
        invalidation.enqueue(
            account_id=env.tenant().account_id,
            event_type_ids=range(1, 5),
            first=midnight(number % 90).date(),
            last=midnight(number % 90).date(),
            cause=CacheInvalidation.Cause.OWN,
        )
        for number in range(JOBS)
    ]
    return [row.pk for row in rows]


def _processed_s(env: Environment, task: "Task[..., None]", ids: Sequence[int]) -> float:
    """Have messages pile up without the worker, start it, and return the seconds from the first one to the last."""
    broker = Redis.from_url(settings.BROKER_URL)
    worker = env.supervisor.child(WORKER)
    env.supervisor.kill(worker)
    # What the killed worker had taken would come back in the middle of a run.
    broker.delete(QUEUE, "unacked", "unacked_index")
    for invalidation_id in ids:
        task.apply_async(kwargs={"invalidation_id": invalidation_id}, queue=QUEUE)
    if broker.llen(QUEUE) != len(ids):
        raise HarnessError(f"{broker.llen(QUEUE)} of {len(ids)} messages are in the queue")
    env.supervisor.restart(worker)
    began, until = 0.0, time.monotonic() + TIMEOUT
    while left := int(broker.llen(QUEUE)) + int(broker.hlen("unacked")):
        if not began and broker.llen(QUEUE) < len(ids):
            began = time.monotonic()
        if time.monotonic() > until:
            raise HarnessError(f"{left} of {len(ids)} jobs are left after {TIMEOUT:.0f} s")
        time.sleep(POLL)
    duration = time.monotonic() - began
    if task is invalidate_range and CacheInvalidation.objects.filter(pk__in=ids, done_at=None).exists():
        raise HarnessError("the queue is empty, and not every job is done")
    return duration
