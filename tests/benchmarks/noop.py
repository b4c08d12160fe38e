"""A task that does nothing: what Celery itself costs, to compare the clearing of days with."""

from celery import shared_task


@shared_task(name="bench.noop")
def noop(*, invalidation_id: int) -> None:
    """Do nothing."""
