"""
Alerts are evaluated by web where no worker does it: beat, the broker or all workers may be away.

A thread of each process of web looks every few seconds whether they were evaluated in time; a row of `Turn` decides
which of the threads does it. Without PostgreSQL nothing can be evaluated, and that is told at once.
"""

import fcntl
import threading
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from monitoring import alerting, notifications
from monitoring.alerts import BY_NAME
from monitoring.models import Alert

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 5.0
# For how long workers may be late before web evaluates alerts itself.
PATIENCE = {True: timedelta(seconds=12), False: timedelta(seconds=90)}


# After so many looks in a row for which PostgreSQL did not answer it is away.
AWAY_AFTER = 3
AWAY = BY_NAME["database_away"]


class Watch:
    """What one process of web has seen of PostgreSQL."""

    def __init__(self) -> None:
        self._failed = 0
        self._lock: BinaryIO | None = None
        """Held by the one process of this machine that has told that PostgreSQL is away."""

    def run(self) -> None:
        """Look every few seconds, until the process ends."""
        stopped = threading.Event()
        while not stopped.wait(LOOKS_EVERY_S):
            self.look()
            notifications.deliver_soon()

    def look(self) -> None:
        """Evaluate what was not evaluated in time. Never raises."""
        try:
            for urgent, patience in PATIENCE.items():
                if alerting.evaluate(urgent=urgent, unless_within=patience):
                    log.info("alert.evaluated_by_web", kind="urgent" if urgent else "minute")
        except DatabaseError as exc:
            log.warning("alert.not_evaluated", error_type=type(exc).__name__)
            self._note_failure()
        except Exception as exc:  # noqa: BLE001  it must go on
            log.warning("alert.not_evaluated", error_type=type(exc).__name__)
        else:
            self._note_success()
        finally:
            connections.close_all()

    def _note_failure(self) -> None:
        self._failed += 1
        if self._failed >= AWAY_AFTER and self._lock is None:
            self._lock = _lock()
            if self._lock is not None:
                runbook = Alert(name=AWAY.name).runbook
                body = f"CRITICAL {AWAY.name}: {AWAY.summary}.\nWhat to do: {runbook}"
                notifications.tell_at_once(f"[CRITICAL] Slotline: {AWAY.name}", body)

    def _note_success(self) -> None:
        self._failed = 0
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            notifications.tell_at_once(f"[RESOLVED] Slotline: {AWAY.name}", "RESOLVED: PostgreSQL answers again.")


def start() -> None:
    """Begin to watch, until the process ends."""
    threading.Thread(target=Watch().run, name="alerts", daemon=True).start()


def _lock() -> BinaryIO | None:
    """Return the lock of this machine; None where another process has it."""
    file = (Path(settings.PROMETHEUS_MULTIPROC_DIR) / "database_away.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
