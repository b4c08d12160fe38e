"""What goes on when nobody waits: open changes are settled, holds that ran out are ended."""

from datetime import timedelta

import structlog
from celery import shared_task
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError

from bookings import claims, conversations
from bookings.mirror import overlaps
from bookings.models import Change, SharedBooking
from bookings.wish import holds, settling
from calcom.inbox import KEPT
from calcom.service import CalcomService

log = structlog.get_logger(__name__)

BATCH = 200
# How long a change is left to the worker it was given to: longer than a look-up and a write take together.
LEASE = timedelta(seconds=45)


@shared_task(name="bookings.settle_open_changes")
def settle_open_changes(**_newer: object) -> None:
    """Hand each undecided change that is due to a worker. The row is the job: what gets lost is handed out again."""
    due = Change.objects.owed(Now()).order_by("next_attempt_at").values_list("pk", flat=True)[:BATCH]
    for change_id in due:
        if Change.objects.owed(Now()).filter(pk=change_id).update(next_attempt_at=Now() + LEASE):
            _hand_out(change_id)


def _hand_out(change_id: int) -> None:
    try:
        settle.delay(change_id=change_id)
    except OperationalError as exc:
        log.warning("change left to the next sweep", change_id=change_id, error_type=type(exc).__name__)
        Change.objects.undecided().filter(pk=change_id).update(next_attempt_at=Now())


@shared_task(name="bookings.settle")
def settle(*, change_id: int, **_newer: object) -> None:
    """Bring one undecided change as far as it goes now. Safe to run twice."""
    change = Change.objects.undecided().select_related("appointment__event_type__account").filter(pk=change_id).first()
    if change is not None:
        appointment = change.appointment
        calcom = CalcomService(appointment.event_type.account, tenant=appointment.company_id)
        settling.settle(change_id=change_id, calcom=calcom)


@shared_task(name="bookings.expire_holds")
def expire_holds(**_newer: object) -> None:
    """End the holds that ran out. They claim nothing since; this only tidies up."""
    claims.expire()


@shared_task(name="bookings.end_silent_conversations")
def end_silent_conversations(**_newer: object) -> None:
    """End the phone calls in which nothing is asked any more: not every platform says when a call is over."""
    conversations.end_silent()


@shared_task(name="bookings.forget_offers")
def forget_offers(**_newer: object) -> None:
    """Delete the offers that nobody asks for any more."""
    holds.forget_offers(now=timezone.now())


@shared_task(name="bookings.detect_overlaps")
def detect_overlaps(**_newer: object) -> None:
    """Alert about hosts whose time is taken twice at Cal.com."""
    overlaps.detect()


@shared_task(name="bookings.prune_shared_bookings")
def prune_shared_bookings(**_newer: object) -> None:
    """Delete other accounts' bookings that are over for longer than any message about them can be late."""
    SharedBooking.objects.filter(end__lt=Now() - KEPT).delete()
