"""Background work: open operations are settled, expired rows are ended or deleted."""

from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from bookings.availability import checker
from bookings.models import Operation, SharedBooking
from bookings.scheduling import claims, conversations, execution, holds, waiting_list
from bookings.sync import conflicts
from cachectl.infra.outbox import EXPIRES_S
from calcom.models import Account
from calcom.service import CalcomService
from calcom.webhooks.inbox import KEPT


@shared_task(name="bookings.settle")
def settle(**_newer: object) -> None:
    """Bring due operations as far as they go now. Safe to run twice."""
    for operation in Operation.objects.select_related("appointment__event_type__account").claim_each():
        appointment = operation.appointment
        calcom = CalcomService(appointment.event_type.account, tenant=appointment.company_id)
        execution.settle(operation_id=operation.pk, calcom=calcom)


@shared_task(name="bookings.expire_holds")
def expire_holds(**_newer: object) -> None:
    """End the holds that ran out. They claim nothing since; this only tidies up."""
    claims.expire()


@shared_task(name="bookings.serve_waiting_list")
def serve_waiting_list(**_newer: object) -> None:
    """Hold earlier times that have opened for callers who wait for one, and have staff call them."""
    waiting_list.serve(now=timezone.now())


@shared_task(name="bookings.keep_holds")
def keep_holds(**_newer: object) -> None:
    """Hold on what is held in calls that are still going on."""
    conversations.keep_holds()


@shared_task(name="bookings.end_silent_conversations")
def end_silent_conversations(**_newer: object) -> None:
    """End the phone calls in which nothing is asked any more: not every platform says when a call is over."""
    conversations.end_silent()


@shared_task(name="bookings.delete_expired_offers")
def delete_expired_offers(**_newer: object) -> None:
    """Delete the offers that expired long ago."""
    holds.delete_expired_offers(now=timezone.now())


@shared_task(name="bookings.detect_overlaps")
def detect_overlaps(**_newer: object) -> None:
    """Alert about hosts whose time is taken twice at Cal.com."""
    conflicts.detect()


@shared_task(name="bookings.prune_shared_bookings")
def prune_shared_bookings(**_newer: object) -> None:
    """Delete other accounts' bookings that are over for longer than any message about them can be late."""
    SharedBooking.objects.filter(end__lt=Now() - KEPT).delete()


@shared_task(name="bookings.check_availability")
def check_availability(**_newer: object) -> None:
    """Queue a comparison of cached lists with Cal.com for each account in use."""
    if settings.BOOKINGS_CHECKS_A_MINUTE:
        for account_id in Account.objects.filter(active=True).values_list("pk", flat=True):
            check_account.apply_async(kwargs={"account_id": account_id}, expires=EXPIRES_S)


@shared_task(name="bookings.check_account")
def check_account(*, account_id: int, **_newer: object) -> None:
    """Compare some cached lists of an account with Cal.com, in idle budget."""
    account = Account.objects.filter(pk=account_id, active=True).first()
    if account is not None:
        checker.run(account=account, samples=settings.BOOKINGS_CHECKS_A_MINUTE, now=timezone.now())
