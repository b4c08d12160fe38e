"""
Deferred bookings: read by a poll, not applicable yet, and read again until they are applied or a dead letter.

A poll defers what fails and continues. The row is the job: what to read, when, and the last error.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta

import structlog
from django.db.models import QuerySet
from django.db.models.functions import Now

from calcom.errors import CalcomError, Reason, Refused
from calcom.models import Account, DeferredBooking
from calcom.service import CalcomService
from calcom.types import Priority, RemoteBooking, UnreadableBooking
from calcom.webhooks import events
from calcom.webhooks.events import BookingSnapshot, Ignored, RetryLater
from monitoring import metrics

log = structlog.get_logger(__name__)

State = DeferredBooking.State


def apply(account: Account, booking: RemoteBooking) -> None:
    """Dispatch a booking that was read just now; defer it if it cannot be applied yet."""
    if error := _dispatch(account, booking):
        defer(account, booking, error)


def defer(account: Account, booking: RemoteBooking | UnreadableBooking, error: str) -> None:
    """Defer a booking. A dead letter starts again, because it has changed."""
    DeferredBooking.objects.update_or_create(
        account=account,
        remote_uid=booking.uid,
        defaults={
            "state": State.WAITING,
            "attempts": 1,
            "next_attempt_at": Now() + DeferredBooking.retry_policy.delay(1),
            "last_error": error,
            "remote_changed_at": booking.updated_at,
        },
    )
    metrics.DEFERRED_BOOKINGS.labels("deferred").inc()
    log.warning("calcom.booking_deferred", account_id=account.pk, error=error)


def known(account: Account, uids: Collection[str]) -> Mapping[str, DeferredBooking]:
    """Return the deferred ones among these bookings, by uid."""
    return {row.remote_uid: row for row in DeferredBooking.objects.filter(account=account, remote_uid__in=uids)}


def process() -> None:
    """Read and apply the deferred bookings that are due, one after the other. Safe to run twice."""
    for row in DeferredBooking.objects.select_related("account").claim_each():
        _process(row)


def retry_now(rows: QuerySet[DeferredBooking]) -> int:
    """Make the rows due now, with all attempts; return their number."""
    return rows.update(state=State.WAITING, attempts=1, next_attempt_at=Now())


def process_all(account: Account) -> None:
    """Read and apply all deferred bookings of the account now, dead letters too."""
    for row in DeferredBooking.objects.filter(account=account).select_related("account").order_by("pk"):
        _process(row)


def _process(row: DeferredBooking) -> None:
    try:
        booking = CalcomService(row.account).get_booking(uid=row.remote_uid, priority=Priority.BACKGROUND)
    except CalcomError as exc:
        error = exc.reason.value if isinstance(exc, Refused) else exc.outcome
        if error == Reason.NOT_FOUND:
            _close(row, "gone")
        elif exc.retry_after is not None:
            _postpone(row, exc.retry_after)
        else:
            _fail(row, error)
    else:
        if error := _dispatch(row.account, booking):
            _fail(row, error, remote_changed_at=booking.updated_at)
        else:
            _close(row, "applied")


def _dispatch(account: Account, booking: RemoteBooking) -> str:
    """Dispatch a booking; return the kind of the error, empty if it was handled."""
    try:
        events.dispatch(account, BookingSnapshot(booking))
    except Ignored:
        return ""
    except (RetryLater, CalcomError) as exc:
        return type(exc).__name__
    except Exception as exc:  # one booking must not stop the others
        log.exception("calcom.booking_failed", account_id=account.pk)
        return type(exc).__name__
    return ""


def _postpone(row: DeferredBooking, seconds: float) -> None:
    """Postpone it until Cal.com can be asked. Nothing was sent: no attempt."""
    DeferredBooking.objects.postpone([row], max(DeferredBooking.retry_policy.first, timedelta(seconds=seconds)))


def _fail(row: DeferredBooking, error: str, **fields: object) -> None:
    was_dead = row.state == State.DEAD_LETTER
    DeferredBooking.objects.retry([row], error, **fields)
    if row.state == State.DEAD_LETTER and not was_dead:
        metrics.DEFERRED_BOOKINGS.labels("dead_letter").inc()
        log.error("calcom.deferred_booking_dead_letter", alert="dead_letter", account_id=row.account_id, error=error)


def _close(row: DeferredBooking, outcome: str) -> None:
    DeferredBooking.objects.claimed([row]).delete()
    metrics.DEFERRED_BOOKINGS.labels(outcome).inc()
    log.info("calcom.deferred_booking_closed", account_id=row.account_id, outcome=outcome, attempts=row.attempts)
