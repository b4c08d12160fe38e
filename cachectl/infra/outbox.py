"""
Transactional outbox: rows that are written in the transaction of a change, and processed until they are done.

The row is the job; a message only says that there is one. A worker claims rows: `next_attempt_at` becomes
the end of a lease, and rows that another worker is claiming are skipped. So a message may come twice, late or never. A
worker that dies leaves its rows to the first claim after the lease, and the relay, which beat runs every few seconds,
sends messages wherever rows are due.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, ClassVar, Self, TypeVar

import structlog
from celery import Task
from django.db import models, transaction
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from cachectl.infra.deadline import Deadline

log = structlog.get_logger(__name__)

R = TypeVar("R", bound="OutboxRow")

DEAD_LETTER = "dead_letter"
"""The state of rows that were given up: a person is needed."""
# Longer than a look-up and a write at Cal.com take together.
LEASE = timedelta(seconds=45)
# Seconds for which one message claims row after row: a worker that shall stop waits for it.
SHIFT_S = 2.0
# Messages that one run of the relay sends for an outbox, and the seconds after which a worker discards one: the relay
# has sent others by then. The clocks of sender and worker may differ.
MOST_MESSAGES = 20
EXPIRES_S = 60.0
_MOST_ATTEMPTS = 32_767


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is repeated: after `first`, then twice as long each time, at most `longest`."""

    first: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(days=1)
    max_attempts: int | None = None
    """None repeats until it succeeds."""

    def delay(self, attempts: int) -> timedelta:
        """Return the pause after so many failed attempts, at least one."""
        return min(self.first * (1 << min(attempts - 1, 20)), self.longest)

    def is_exhausted(self, attempts: int) -> bool:
        """Return whether there is no further attempt after so many failed ones."""
        return self.max_attempts is not None and attempts >= self.max_attempts


class OutboxQuerySet(models.QuerySet[R]):
    """Claims due rows, and schedules what failed. The clock is the database's."""

    def pending(self) -> Self:
        """Return the rows that are not in a final state."""
        raise NotImplementedError

    def due(self) -> Self:
        """Return the pending rows whose next attempt should have begun, the longest due first."""
        return self.pending().filter(next_attempt_at__lte=Now()).order_by("next_attempt_at")

    def claim(self, most: int, *, lease: timedelta = LEASE) -> list[R]:
        """Take up to `most` due rows: no other worker gets them within the lease, and then the first to claim them."""
        due = self.due()
        if not due.exists():  # what most messages find; a transaction costs three times as much
            return []
        with transaction.atomic():
            locked = due.select_for_update(skip_locked=True, of=("self",))
            rows: list[Any] = list(locked.annotate(leased_until=Now() + lease)[:most])
            for row in rows:
                row.next_attempt_at = row.leased_until
            if rows:
                self.model.objects.filter(pk__in=[row.pk for row in rows]).update(
                    next_attempt_at=rows[0].next_attempt_at
                )
        return rows

    def claim_each(self) -> Iterator[R]:
        """Yield due rows, each claimed when it is its turn, until none is left or the shift is over."""
        until = Deadline.after(SHIFT_S)
        while not until.passed and (rows := self.claim(1)):
            yield from rows

    def claimed(self, rows: Sequence[R]) -> Self:
        """Return the rows, claimed or read together, without those that were claimed or changed since."""
        return self.filter(pk__in=[row.pk for row in rows], next_attempt_at__in={row.next_attempt_at for row in rows})

    def retry(self, rows: Sequence[R], error: str, **fields: Any) -> None:
        """
        Count a failed attempt of claimed rows, and schedule the next one; after the last one it is a dead letter.

        One statement for all of them. It sets `fields`, too, and `rows` say afterwards how often they have failed.
        """
        claimed, policy = self.claimed(rows), self.model.retry_policy
        columns = {"attempts", "last_error", "next_attempt_at", *fields}
        for row in rows:
            row.attempts = min(row.attempts + 1, _MOST_ATTEMPTS)
            row.last_error = error[:200]
            row.next_attempt_at = Now() + policy.delay(row.attempts)
            for name, value in fields.items():
                setattr(row, name, value)
            if policy.is_exhausted(row.attempts):
                columns.add("state")
                row.state = DEAD_LETTER
        claimed.bulk_update(rows, columns)

    def postpone(self, rows: Sequence[R], pause: timedelta, **fields: Any) -> None:
        """Schedule the next attempt of claimed rows although none was made, and set `fields`."""
        self.claimed(rows).update(next_attempt_at=Now() + pause, **fields)


class OutboxRow(models.Model):
    """A row that is processed until it is in a final state, and claimed by one worker at a time."""

    objects: models.Manager[Any]
    retry_policy: ClassVar[RetryPolicy] = RetryPolicy()

    attempts = models.PositiveSmallIntegerField(default=0, help_text="that failed")
    next_attempt_at = models.DateTimeField(db_default=Now(), help_text="when it is due, or its lease ends")
    last_error = models.CharField(max_length=200, blank=True, default="", db_default="")

    state: Any
    """Of models whose rows can be given up."""
    leased_until: datetime
    """On claimed rows only."""

    class Meta:
        abstract = True


# --- messages ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outbox:
    """An outbox of the relay."""

    rows: OutboxQuerySet[Any]
    task: "Task[..., Any]"
    batch: int


_outboxes: dict[str, _Outbox] = {}


def register(name: str, rows: OutboxQuerySet[Any], task: "Task[..., Any]", *, batch: int = 1) -> None:
    """Let the relay send messages of the `task`, which claims up to `batch` of the `rows`, where rows are due."""
    _outboxes[name] = _Outbox(rows, task, batch)


def relay() -> None:
    """Send messages for all rows that are due: one statement for each outbox, however many there are."""
    for outbox in _outboxes.values():
        due = outbox.rows.due()[: MOST_MESSAGES * outbox.batch].count()
        for _ in range(ceil(due / outbox.batch)):
            if not publish(outbox.task):
                return


def publish(task: "Task[..., Any]") -> bool:
    """Send a message that there are rows to process. Returns False if no broker takes it: the relay sends another."""
    try:
        task.apply_async(expires=EXPIRES_S)
    except OperationalError as exc:
        log.warning("outbox.message_not_sent", task=task.name, error_type=type(exc).__name__)
        return False
    return True
