"""Celery tasks of the cache: invalidate, relay outboxes, refresh, prune."""

from contextlib import suppress
from datetime import UTC, date, datetime

from celery import Task, shared_task
from redis import RedisError

from cachectl import cache, invalidation
from cachectl.infra import outbox

# How often a refresh may be postponed, because the days keep changing or permits are scarce.
MOST_POSTPONEMENTS = 10


@shared_task(
    name="cachectl.invalidate_range", autoretry_for=(RedisError,), retry_backoff=5, retry_jitter=False, max_retries=3
)
def invalidate_range(**_newer: object) -> None:
    """Process due invalidations. Idempotent; a failed attempt is repeated by Celery and by the relay."""
    invalidation.process()


@shared_task(name="cachectl.relay_outbox")
def relay_outbox(**_newer: object) -> None:
    """Send messages for due rows of every outbox."""
    outbox.relay()


@shared_task(name="cachectl.ensure_generation")
def ensure_generation(**_newer: object) -> None:
    """Notice an emptied Redis before a search does. If Redis does not answer, the next run will."""
    with suppress(RedisError):
        cache.ensure_generations()


@shared_task(name="cachectl.refresh", bind=True, max_retries=MOST_POSTPONEMENTS)
def refresh(
    self: "Task[..., None]",
    *,
    account_id: int,
    event_type_id: int,
    first: str,
    last: str,
    stale: bool = True,
    **_newer: object,
) -> None:
    """Load the days `first` to `last` (ISO dates, UTC, inclusive) that are no longer fresh. Idempotent."""
    wait = cache.refresh(
        account_id=account_id,
        event_type_id=event_type_id,
        first=date.fromisoformat(first),
        last=date.fromisoformat(last),
        stale=stale,
        patient=self.request.retries < MOST_POSTPONEMENTS,
    )
    if wait:
        raise self.retry(countdown=wait)


@shared_task(name="cachectl.prune")
def prune(**_newer: object) -> None:
    """Delete history older than 14 days."""
    invalidation.prune(now=datetime.now(UTC))
