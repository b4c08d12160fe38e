"""
Syncs of one event type that something newer than the last sync contradicts.

A list or a booking that is newer than the last sync outranks the hosts and lengths stored here. If they differ, a task
syncs the event type: once, however many requests meet the difference.
"""

import time

import structlog
from celery import current_app
from django.core.cache import cache
from kombu.exceptions import OperationalError

from cachectl.infra import executors
from calcom.models import EventType

log = structlog.get_logger(__name__)

# Seconds between two syncs of one event type: what a sync does not repair, the next one would not either.
SYNC_AT_MOST_EVERY = 180
_MOST_ENTRIES = 10_000
# By account and Cal.com's id: until when this process requests no other sync, on the monotonic clock.
_requested: dict[tuple[int, int], float] = {}


def request_sync(event_type: EventType) -> None:
    """Have a worker sync the event type, at most once in `SYNC_AT_MOST_EVERY`. Never fails and does not wait."""
    which, now = (event_type.account_id, event_type.calcom_id), time.monotonic()
    if now < _requested.get(which, 0.0):
        return
    if len(_requested) >= _MOST_ENTRIES:
        reset()
    _requested[which] = now + SYNC_AT_MOST_EVERY
    executors.submit_background(queue_sync, *which)


def queue_sync(account_id: int, calcom_id: int) -> None:
    """Queue the sync unless another process has done so."""
    # False, too, while Redis is unavailable.
    if not cache.add(f"sync:{account_id}:{calcom_id}", 1, timeout=SYNC_AT_MOST_EVERY):
        return
    try:
        current_app.send_task("calcom.sync_event_type", kwargs={"account_id": account_id, "calcom_id": calcom_id})
    except OperationalError as exc:
        log.warning("calcom.sync_not_queued", calcom_id=calcom_id, error_type=type(exc).__name__)
    else:
        log.warning("calcom.mirror_contradicted", account_id=account_id, calcom_id=calcom_id)


def reset() -> None:
    """Drop what this process has requested, as a new process would start."""
    _requested.clear()
