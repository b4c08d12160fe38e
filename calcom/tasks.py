"""What workers do with what Cal.com tells: the inbox is worked off, and read again what nobody told."""

import structlog
from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from calcom import deferred, inbox, polling, sync
from calcom.errors import CalcomError, Unavailable
from calcom.models import Account

log = structlog.get_logger(__name__)

BATCH = 500
# Seconds after which a message is not worth reading: sweeps have sent others. Clocks of sender and worker may differ.
WORTH_READING = 60.0


def hand_out(delivery_id: int) -> None:
    """Give a delivery to a worker. Where no broker takes it, it stays owed and is swept."""
    try:
        process.apply_async(kwargs={"delivery_id": delivery_id}, expires=WORTH_READING)
    except OperationalError as exc:
        log.warning("webhook left to the sweep", delivery_id=delivery_id, error_type=type(exc).__name__)


@shared_task(name="calcom.webhooks.process")
def process(*, delivery_id: int, **_newer: object) -> None:
    """Have one delivery heard. Safe to run twice."""
    inbox.work_off(delivery_id)


@shared_task(name="calcom.webhooks.sweep")
def sweep(**_newer: object) -> None:
    """Hand out what is owed. The row is the job: what gets lost is handed out again."""
    for delivery_id in inbox.owed().values_list("pk", flat=True)[:BATCH]:
        hand_out(delivery_id)


@shared_task(name="calcom.webhooks.prune")
def prune(**_newer: object) -> None:
    """Throw away what was done with long ago."""
    inbox.prune()


@shared_task(name="calcom.poll_bookings")
def poll_bookings(**_newer: object) -> None:
    """Have the accounts polled whose time has come."""
    for account_id in polling.due_accounts():
        poll_account.apply_async(kwargs={"account_id": account_id}, expires=WORTH_READING)


@shared_task(name="calcom.poll_account")
def poll_account(*, account_id: int, **_newer: object) -> None:
    """Read again what changed at one account. What could not be read now is read as soon as Cal.com may be asked."""
    account = Account.objects.filter(pk=account_id, active=True).first()
    if account is None:
        return
    try:
        count = polling.poll(account)
    except CalcomError as exc:
        log.warning("account not polled", account_id=account_id, outcome=exc.outcome)
        if isinstance(exc, Unavailable) and exc.retry_after is not None:
            polling.put_off(account, exc.retry_after)
    else:
        log.info("account polled", account_id=account_id, count=count)


@shared_task(name="calcom.sync_event_type")
def sync_event_type(*, account_id: int, calcom_id: int, **_newer: object) -> None:
    """Mirror one event type, by Cal.com's id. Idempotent; what fails is put right by the next sync of the account."""
    account = Account.objects.filter(pk=account_id, active=True).first()
    if account is None:
        return
    try:
        sync.sync_event_type(account=account, calcom_id=calcom_id, now=timezone.now())
    except CalcomError as exc:
        log.warning("calcom.event_type_not_synced", account_id=account_id, calcom_id=calcom_id, outcome=exc.outcome)


@shared_task(name="calcom.deferred.sweep")
def sweep_deferred(**_newer: object) -> None:
    """Have the bookings read again that were set aside and are due. The row is the job."""
    for row_id in deferred.due().values_list("pk", flat=True)[:BATCH]:
        look_again.apply_async(kwargs={"row_id": row_id}, expires=WORTH_READING)


@shared_task(name="calcom.deferred.look_again")
def look_again(*, row_id: int, **_newer: object) -> None:
    """Read one booking that was set aside again. Safe to run twice."""
    deferred.look_again(row_id)
