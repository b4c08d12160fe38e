"""The outbox of invalidations: enqueue, apply, process and prune."""

import time
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

import structlog
from django.db import connection
from redis import RedisError

from cachectl import cache, conf
from cachectl.models import CacheInvalidation, Warming
from cachectl.singleflight import dates_between
from monitoring import metrics

log = structlog.get_logger(__name__)

KEPT = timedelta(days=14)
# Rows per message, and the lease of the worker that claimed them.
BATCH = 100
LEASE = timedelta(seconds=5)
# Failed attempts after which the log line is an error: the first and three retries.
MANY_ATTEMPTS = 4

# Cal.com itself reported these: a load that begins now includes them.
_KNOWN_THERE = {CacheInvalidation.Cause.REFUSED, CacheInvalidation.Cause.EVENT_TYPE}
# As `bulk_update` would, which takes forty times as long to build its statement (0.7 ms a row).
_FINISH = """
    UPDATE cachectl_cacheinvalidation AS row
    SET done_at = now(), keys_invalidated = done.keys, duration = done.duration, last_error = ''
    FROM unnest(%s::bigint[], %s::int[], %s::interval[], %s::timestamptz[]) AS done (id, keys, duration, leased_until)
    WHERE row.id = done.id AND row.next_attempt_at = done.leased_until AND row.done_at IS NULL
    RETURNING row.cause, done.keys
"""


def enqueue(
    *,
    account_id: int,
    event_type_ids: Collection[int],
    first: date,
    last: date,
    cause: CacheInvalidation.Cause,
    freed: bool = False,
) -> CacheInvalidation:
    """
    Store that the UTC dates `first` to `last` changed; call it in the transaction of the change.

    Raises:
        ValueError: the range is out of order, names no event type, or is larger than any change can be.
    """
    days = len(dates_between(first, last)) * len(event_type_ids)
    if not 1 <= days <= conf.MOST_KEYS:
        raise ValueError(f"Invalidate 1 to {conf.MOST_KEYS} days (event types times dates), from first to last.")
    return CacheInvalidation.objects.create(
        account_id=account_id,
        event_type_ids=sorted(set(event_type_ids)),
        first=first,
        last=last,
        cause=cause,
        freed=freed,
    )


def apply(row: CacheInvalidation) -> int:
    """
    Invalidate the days of a row in Redis and return their number. The row stays pending.

    Raises:
        RedisError: nothing was invalidated.
        ValueError: the row names a range larger than any change can be.
    """
    return cache.invalidate(
        invalidation_id=row.id,
        account_id=row.account_id,
        event_type_ids=row.event_type_ids,
        first=row.first,
        last=row.last,
        own=row.cause == CacheInvalidation.Cause.OWN,
        freed=row.freed,
        known_there=row.cause in _KNOWN_THERE,
    )


def process() -> int:
    """
    Claim a batch of due rows and invalidate their days; return the number of rows done.

    Raises:
        RedisError: Redis did not answer. The remaining rows are scheduled again.
    """
    rows = CacheInvalidation.objects.claim(BATCH, lease=LEASE)
    done: list[CacheInvalidation] = []
    try:
        for place, row in enumerate(rows):
            began = time.perf_counter()
            try:
                row.keys_invalidated = apply(row)
            except ValueError as error:  # it must not delay the others
                _retry([row], error)
            except RedisError as error:
                _retry(rows[place:], error)
                raise
            else:
                row.duration = timedelta(seconds=time.perf_counter() - began)
                done.append(row)
    finally:
        _finish(done)
    return len(done)


def prune(*, now: datetime) -> int:
    """Delete done invalidations and warmings older than 14 days; return how many. Pending ones are kept."""
    invalidations, _ = CacheInvalidation.objects.filter(created_at__lt=now - KEPT, done_at__isnull=False).delete()
    warmings, _ = Warming.objects.filter(started_at__lt=now - KEPT).delete()
    return invalidations + warmings


def _finish(rows: Sequence[CacheInvalidation]) -> None:
    """Store the result of claimed rows, unless another worker has claimed them since."""
    if not rows:
        return
    columns = zip(*((row.pk, row.keys_invalidated, row.duration, row.next_attempt_at) for row in rows), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_FINISH, [list(column) for column in columns])
        for cause, keys in cursor.fetchall():
            metrics.CACHE_INVALIDATIONS.labels(cause).inc(keys)


def _retry(rows: Sequence[CacheInvalidation], error: Exception) -> None:
    CacheInvalidation.objects.retry(rows, f"{type(error).__name__}: {error}")
    for row in rows:
        attempt = str(row.attempts)
        metrics.CACHE_INVALIDATION_FAILURES.labels(attempt if attempt in ("1", "2", "3") else "more").inc()
    attempts = max(row.attempts for row in rows)
    report = log.error if attempts >= MANY_ATTEMPTS else log.warning
    report("cache.invalidation_failed", count=len(rows), attempts=attempts, error_type=type(error).__name__)
