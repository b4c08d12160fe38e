"""What workers do for the cache: forget what is owed, load what grows stale, throw away history."""

from datetime import UTC, date, datetime

from celery import Task, shared_task
from redis import RedisError

from cachectl import availability, services

# How often a refresh may be put off, because the days keep changing or because requests are scarce.
MOST_POSTPONEMENTS = 10


@shared_task(
    name="cachectl.forget_range", autoretry_for=(RedisError,), retry_backoff=5, retry_jitter=False, max_retries=3
)
def forget_range(*, forgetting_id: int, **_newer: object) -> None:
    """Forget the days of a Forgetting. Safe to run twice; what fails stays owed and is swept."""
    services.work_off(forgetting_id)


@shared_task(name="cachectl.sweep_forgettings")
def sweep_forgettings(**_newer: object) -> None:
    """Work off every Forgetting that is owed, and notice an emptied Redis."""
    services.sweep()


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
    wait = availability.refresh(
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
    services.prune(now=datetime.now(UTC))
