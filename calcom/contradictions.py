"""
Cal.com contradicts the mirror of an event type: what is newer counts, and the mirror is made to say the same.

A list or a booking that is newer than the last sync outranks what the sync left here of hosts and lengths. Where they
differ, the event type is synced by a task, however many callers meet the difference.
"""

import time

import structlog
from celery import current_app
from django.core.cache import cache
from kombu.exceptions import OperationalError

from cachectl.infra import executors
from calcom.models import EventType

log = structlog.get_logger(__name__)

# Seconds between two syncs of one event type: what a sync does not put right, the next one would not either.
SYNC_AT_MOST_EVERY = 180
# Until when this process leaves an event type alone, by account and Cal.com's id, on the monotonic clock.
_requested: dict[tuple[int, int], float] = {}
_MOST_REMEMBERED = 10_000


def request_sync(event_type: EventType) -> None:
    """Have the event type synced by a worker, at most once in `SYNC_AT_MOST_EVERY`. Never fails, and nobody waits."""
    which, now = (event_type.account_id, event_type.calcom_id), time.monotonic()
    if now < _requested.get(which, 0.0):
        return
    if len(_requested) >= _MOST_REMEMBERED:
        _requested.clear()
    _requested[which] = now + SYNC_AT_MOST_EVERY
    executors.submit_background(_queue_sync, *which)


def _queue_sync(account_id: int, calcom_id: int) -> None:
    # For all processes; False, too, while Redis does not answer.
    if not cache.add(f"sync:{account_id}:{calcom_id}", 1, timeout=SYNC_AT_MOST_EVERY):
        return
    try:
        current_app.send_task("calcom.sync_event_type", kwargs={"account_id": account_id, "calcom_id": calcom_id})
    except OperationalError as exc:
        log.warning("calcom.sync_not_queued", calcom_id=calcom_id, error_type=type(exc).__name__)
    else:
        log.warning("calcom.mirror_contradicted", account_id=account_id, calcom_id=calcom_id)
