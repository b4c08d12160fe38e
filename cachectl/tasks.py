"""What workers do for the cache: invalidate days, relay outboxes, load what grows stale, throw away history."""

from contextlib import suppress
from datetime import UTC, date, datetime

from celery import Task, shared_task
from redis import RedisError

from cachectl import cache, invalidation
from cachectl.infra import outbox

# How often a refresh may be put off, because the days keep changing or because requests are scarce.
MOST_POSTPONEMENTS = 10


@shared_task(
    name="cachectl.invalidate_range", autoretry_for=(RedisError,), retry_backoff=5, retry_jitter=False, max_retries=3
)
def invalidate_range(**_newer: object) -> None:
    """Invalidate days of which the rows are due. Safe to run twice; what fails is scheduled again, here and there."""
    invalidation.process()


@shared_task(name="cachectl.relay_outbox")
def relay_outbox(**_newer: object) -> None:
    """Send messages for the rows of every outbox that are due."""
    outbox.relay()


@shared_task(name="cachectl.ensure_generation")
def ensure_generation(**_newer: object) -> None:
    """Notice an emptied Redis before a caller does. Where Redis does not answer, the next run will."""
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
    """Load the days `first` to `last` (ISO dates, UTC, inclusive) that are no longer fresh. Safe to run twice."""
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
    """Throw away history that is older than 14 days."""
    invalidation.prune(now=datetime.now(UTC))
