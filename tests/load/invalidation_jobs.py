"""Clearing jobs that pile up while nobody works them off: days to forget, owed as rows and enqueued as tasks."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import cycle, islice

from django.conf import settings
from redis import Redis

from cachectl import invalidation, tasks
from cachectl.models import CacheInvalidation
from calcom.models import EventType
from script.lib.company import Tenant
from script.lib.processes import StageError

QUEUE = "cache"
DAYS = 14
WITHIN = 60.0
"""Seconds in which a worker has started and worked everything off, or never will."""


def enqueue(number: int, tenants: Sequence[Tenant]) -> list[int]:
    """Owe so many invalidations, of all event types in turn, and enqueue a job for each; return their ids."""
    made = [
        invalidation.enqueue(
            account_id=account_id,
            event_type_ids=[event_type_id],
            first=day,
            last=day,
            cause=CacheInvalidation.Cause.OWN,
        )
        for account_id, event_type_id, day in islice(_days(tenants), number)
    ]
    for row in made:
        tasks.invalidate_range.delay(invalidation_id=row.pk)
    return [row.pk for row in made]


def _days(tenants: Sequence[Tenant]) -> Iterator[tuple[int, int, date]]:
    accounts = [tenant.account_id for tenant in tenants]
    kinds = list(EventType.objects.filter(account__in=accounts).order_by("pk").values_list("account_id", "pk"))
    today = datetime.now(UTC).date()
    for number, (account_id, event_type_id) in enumerate(cycle(kinds)):
        yield account_id, event_type_id, today + timedelta(days=1 + number // len(kinds) % DAYS)


def worked_off(ids: Sequence[int]) -> dict[str, float]:
    """
    Wait until the jobs are done; return how many there were, when the first message was taken and the last job done.

    Raises:
        StageError: they were not done in time.
    """
    until = time.monotonic() + WITHIN
    consuming = _consuming(until)
    rows = CacheInvalidation.objects.filter(pk__in=ids)
    while rows.filter(done_at=None).exists():
        _refuse_after(until, f"{rows.filter(done_at=None).count()} of {len(ids)} clearing jobs were never done")
        time.sleep(0.02)
    done = rows.values_list("done_at", flat=True)
    return {"jobs": len(done), "consuming": consuming, "worked_off": max(each.timestamp() for each in done if each)}


def _consuming(until: float) -> float:
    """Return when the queue was last seen whole, before a worker took the first message."""
    with Redis.from_url(settings.BROKER_URL, socket_timeout=1) as broker:
        waiting = broker.llen(QUEUE)
        seen = time.time()
        while broker.llen(QUEUE) >= waiting:
            seen = time.time()
            _refuse_after(until, "No worker takes clearing jobs")
            time.sleep(0.002)
    return seen


def _refuse_after(until: float, otherwise: str) -> None:
    if time.monotonic() > until:
        raise StageError(f"{otherwise} within {WITHIN:.0f} s.")
