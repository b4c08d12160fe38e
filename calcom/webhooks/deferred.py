"""
Bookings that were read and could not be applied yet: set aside, told, and read again until they can be or are given up.

A poll sets aside what fails and goes on. The row is the job: it says what to read, when, and what went wrong last.
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
    """Dispatch a booking that was read just now; set it aside where it cannot be applied yet."""
    if error := _dispatched(account, booking):
        defer(account, booking, error)


def defer(account: Account, booking: RemoteBooking | UnreadableBooking, error: str) -> None:
    """Set a booking aside. One that was given up begins anew: it has changed since."""
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
    """Return those of these bookings that are set aside, by uid."""
    return {row.remote_uid: row for row in DeferredBooking.objects.filter(account=account, remote_uid__in=uids)}


def process() -> None:
    """Read bookings that are due again, one after the other, and apply them. Safe to run twice."""
    for row in DeferredBooking.objects.select_related("account").claim_each():
        _look(row)


def look_anew(rows: QuerySet[DeferredBooking]) -> int:
    """Have the rows read again now, from the first attempt on; return how many they are."""
    return rows.update(state=State.WAITING, attempts=1, next_attempt_at=Now())


def look_at_all(account: Account) -> None:
    """Read again all that is set aside, due or not, given up or not: what a comparison of the account is for."""
    for row in DeferredBooking.objects.filter(account=account).select_related("account").order_by("pk"):
        _look(row)


def _look(row: DeferredBooking) -> None:
    try:
        booking = CalcomService(row.account).get_booking(uid=row.remote_uid, priority=Priority.BACKGROUND)
    except CalcomError as exc:
        error = exc.reason.value if isinstance(exc, Refused) else exc.outcome
        if error == Reason.NOT_FOUND:
            _close(row, "gone")
        elif exc.retry_after is not None:
            _put_off(row, exc.retry_after)
        else:
            _fail(row, error)
    else:
        if error := _dispatched(row.account, booking):
            _fail(row, error, remote_changed_at=booking.updated_at)
        else:
            _close(row, "applied")


def _dispatched(account: Account, booking: RemoteBooking) -> str:
    """Dispatch it; return the kind of what went wrong, empty if it is dealt with."""
    try:
        events.dispatch(account, BookingSnapshot(booking))
    except Ignored:
        return ""
    except (RetryLater, CalcomError) as exc:
        return type(exc).__name__
    except Exception as exc:  # one that cannot be understood must not hide all that come after it
        log.exception("calcom.booking_not_understood", account_id=account.pk)
        return type(exc).__name__
    return ""


def _put_off(row: DeferredBooking, seconds: float) -> None:
    """Leave it until Cal.com may be asked again: nothing was sent, so it was no attempt."""
    DeferredBooking.objects.postpone([row], max(DeferredBooking.retry_policy.first, timedelta(seconds=seconds)))


def _fail(row: DeferredBooking, error: str, **fields: object) -> None:
    was_given_up = row.state == State.DEAD_LETTER
    DeferredBooking.objects.retry([row], error, **fields)
    if row.state == State.DEAD_LETTER and not was_given_up:
        metrics.DEFERRED_BOOKINGS.labels("dead_letter").inc()
        log.error("calcom.deferred_booking_given_up", alert="dead_letter", account_id=row.account_id, error=error)


def _close(row: DeferredBooking, outcome: str) -> None:
    DeferredBooking.objects.claimed([row]).delete()
    metrics.DEFERRED_BOOKINGS.labels(outcome).inc()
    log.info("calcom.deferred_booking_closed", account_id=row.account_id, outcome=outcome, attempts=row.attempts)
