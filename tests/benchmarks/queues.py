"""How fast one worker clears what piled up while it was away, beside as many tasks that do nothing."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from celery import Task
from django.conf import settings
from redis import Redis

from cachectl import invalidation
from cachectl.models import CacheInvalidation
from cachectl.tasks import invalidate_range
from script.lib.measurements import Found, Promise, median
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground
from tests.benchmarks.noop import noop

PROMISES = {
    "queue_960_s": Promise("s", 3.0),
    "queue_vs_noop_ratio": Promise("times", 2.0),
}
WORKER, QUEUE = "worker-cache", "cache"
JOBS, RUNS = 960, 3
# Seconds between two looks at the queue, and until a run counts as failed.
LOOK, PATIENCE = 0.002, 60.0


def measure(ground: Ground) -> dict[str, Found]:
    """Measure the clearing of jobs, and of as many that do nothing; runs of both kinds take turns."""
    beat = ground.stage.child("beat")
    ground.stage.kill(beat)  # its sweeps would clear the same jobs
    try:
        return _measured(ground)
    finally:
        ground.stage.start_again(beat)


def _measured(ground: Ground) -> dict[str, Found]:
    pairs = []
    for _ in range(RUNS):
        owed = _owe(ground, JOBS)
        pairs.append((_cleared(ground, invalidate_range, owed), _cleared(ground, noop, owed)))
    ours, nothing = (median([pair[side] for pair in pairs]) or 0 for side in (0, 1))
    ratio = median([pair[0] / pair[1] for pair in pairs])
    return {
        "queue_960_s": Found(ours, f"{JOBS} clearing jobs, {JOBS / ours:.0f}/s, median of {RUNS} runs"),
        "queue_vs_noop_ratio": Found(ratio, f"{JOBS} tasks that do nothing took {nothing:.2f} s"),
    }


def _owe(ground: Ground, jobs: int) -> list[int]:
    """Write invalidations down, as changes of so many different days do; return their ids."""
    tenant, today = ground.below.tenant(), datetime.now(UTC).date()
    event_type_ids = range(1, 5)
    rows = [
        invalidation.enqueue(
            account_id=tenant.account_id,
            event_type_ids=event_type_ids,
            first=today + timedelta(days=number % 90),
            last=today + timedelta(days=number % 90),
            cause=CacheInvalidation.Cause.OWN,
        )
        for number in range(jobs)
    ]
    return [row.pk for row in rows]


def _cleared(ground: Ground, task: "Task[..., None]", ids: Sequence[int]) -> float:
    """
    Let messages pile up while the worker is away, start it, and return the seconds from the first one to the last.

    The start of the interpreter is not counted, the writing down of each job is.
    """
    broker = Redis.from_url(settings.BROKER_URL)
    worker = ground.stage.child(WORKER)
    ground.stage.kill(worker)
    _forget_messages(broker)
    for invalidation_id in ids:
        task.apply_async(kwargs={"invalidation_id": invalidation_id}, queue=QUEUE)
    if broker.llen(QUEUE) != len(ids):
        raise StageError(f"{broker.llen(QUEUE)} of {len(ids)} messages are in the queue")
    ground.stage.start_again(worker)
    began, until = 0.0, time.monotonic() + PATIENCE
    while left := int(broker.llen(QUEUE)) + int(broker.hlen("unacked")):
        if not began and broker.llen(QUEUE) < len(ids):
            began = time.monotonic()
        if time.monotonic() > until:
            raise StageError(f"{left} of {len(ids)} jobs are left after {PATIENCE:.0f} s")
        time.sleep(LOOK)
    took = time.monotonic() - began
    if task is invalidate_range and CacheInvalidation.objects.filter(pk__in=ids, done_at=None).exists():
        raise StageError("the queue is empty, and not every job is done")
    return took


def _forget_messages(broker: "Redis") -> None:
    """Begin with an empty queue: what the killed worker had taken would come back in the middle of a run."""
    broker.delete(QUEUE, "unacked", "unacked_index")
