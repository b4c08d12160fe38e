"""A task that does nothing, to compare with."""

from celery import shared_task


@shared_task(name="bench.noop")
def noop(*, invalidation_id: int) -> None:
    """Do nothing."""
