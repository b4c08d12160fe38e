"""
Alerts are evaluated by web where no worker does it: beat, the broker or all workers may be away.

A thread of each process of web looks every few seconds whether they were evaluated in time; a row of `Turn` decides
which of the threads does it. Without PostgreSQL nothing can be evaluated: `/health/ready` says 503 then, and is watched
from outside.
"""

import threading
from datetime import timedelta

import structlog
from django.db import connections

from monitoring import alerting, notifications

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 5.0
# For how long workers may be late before web evaluates alerts itself.
PATIENCE = {True: timedelta(seconds=12), False: timedelta(seconds=90)}


def start() -> None:
    """Begin to watch, until the process ends."""
    threading.Thread(target=_watch, name="alerts", daemon=True).start()


def _watch() -> None:
    stopped = threading.Event()
    while not stopped.wait(LOOKS_EVERY_S):
        look()


def look() -> None:
    """Evaluate what was not evaluated in time, and deliver what is due. Never raises."""
    try:
        for urgent, patience in PATIENCE.items():
            if alerting.evaluate(urgent=urgent, unless_within=patience):
                log.info("alert.evaluated_by_web", kind="urgent" if urgent else "minute")
        notifications.deliver()
    except Exception as exc:  # noqa: BLE001  it must go on
        log.warning("alert.not_evaluated", error_type=type(exc).__name__)
    finally:
        connections.close_all()
