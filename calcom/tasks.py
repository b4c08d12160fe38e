"""Celery tasks: process the inbox, poll accounts, sync event types, read deferred bookings."""

import structlog
from celery import shared_task
from django.utils import timezone

from cachectl.infra.outbox import EXPIRES_S
from calcom import sync
from calcom.errors import CalcomError, Unavailable
from calcom.models import Account
from calcom.webhooks import deferred, inbox, polling

log = structlog.get_logger(__name__)


@shared_task(name="calcom.webhooks.process")
def process(**_newer: object) -> None:
    """Process webhooks that are due."""
    inbox.process()


@shared_task(name="calcom.webhooks.prune")
def prune(**_newer: object) -> None:
    """Delete old finished webhooks."""
    inbox.prune()


@shared_task(name="calcom.poll_bookings")
def poll_bookings(**_newer: object) -> None:
    """Queue a poll of each account that is due."""
    for account_id in polling.due_accounts():
        poll_account.apply_async(kwargs={"account_id": account_id}, expires=EXPIRES_S)


@shared_task(name="calcom.poll_account")
def poll_account(*, account_id: int, **_newer: object) -> None:
    """Poll one account; if Cal.com cannot be asked now, as soon as it can."""
    account = Account.objects.filter(pk=account_id, active=True).first()
    if account is None:
        return
    try:
        count = polling.poll(account)
    except CalcomError as exc:
        log.warning("calcom.account_not_polled", account_id=account_id, outcome=exc.outcome)
        if isinstance(exc, Unavailable) and exc.retry_after is not None:
            polling.postpone(account, exc.retry_after)
    else:
        log.info("calcom.account_polled", account_id=account_id, count=count)


@shared_task(name="calcom.sync_event_type")
def sync_event_type(*, account_id: int, calcom_id: int, **_newer: object) -> None:
    """Sync one event type, by Cal.com's id. Idempotent; the next sync of the account repairs a failure."""
    account = Account.objects.filter(pk=account_id, active=True).first()
    if account is None:
        return
    try:
        sync.sync_event_type(account=account, calcom_id=calcom_id, now=timezone.now())
    except CalcomError as exc:
        log.warning("calcom.event_type_not_synced", account_id=account_id, calcom_id=calcom_id, outcome=exc.outcome)


@shared_task(name="calcom.deferred.look_again")
def look_again(**_newer: object) -> None:
    """Read the deferred bookings that are due."""
    deferred.process()
