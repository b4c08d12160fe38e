"""Celery tasks: evaluate alerts, deliver messages, note signs of life, delete what is old."""

from celery import shared_task
from django.utils import timezone

from monitoring import alerting, heartbeats, notifications


@shared_task(name="monitoring.evaluate_urgent_alerts")
def evaluate_urgent_alerts(**_newer: object) -> None:
    """Evaluate the alerts of which a person is told within seconds, and have messages delivered."""
    alerting.evaluate(urgent=True)
    notifications.deliver_soon()


@shared_task(name="monitoring.evaluate_alerts")
def evaluate_alerts(**_newer: object) -> None:
    """Take a sample, evaluate all other alerts, and have messages delivered."""
    alerting.evaluate(urgent=False)
    notifications.deliver_soon()


@shared_task(name="monitoring.note_heartbeat")
def note_heartbeat(*, queue: str, **_newer: object) -> None:
    """Note that a worker of the queue is alive, and so is beat, which has sent this."""
    heartbeats.note(queue)


@shared_task(name="monitoring.prune")
def prune(**_newer: object) -> None:
    """Delete old samples, alerts and messages."""
    alerting.prune(now=timezone.now())
