"""Reading again what changed at Cal.com: webhooks are sent once, and some changes are never announced."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from calcom import ownership
from calcom.models import Account, Cursor, DeferredBooking, WebhookDelivery
from calcom.service import CalcomService
from calcom.types import RemoteBooking, UnreadableBooking
from calcom.webhooks import deferred

log = structlog.get_logger(__name__)

# Each poll reads the last minutes once more: what was being written then may have become visible only later.
OVERLAP = timedelta(minutes=5)
# Where an account is new here; what is older is read by `reconcile_bookings`.
FIRST_LOOK = timedelta(days=1)
# Webhooks that came within this time are not silent.
LOOKUP_DELAY = timedelta(minutes=10)


def due_accounts() -> list[int]:
    """Return the ids of the accounts to poll now. Who asks next is told others, until these are due again."""
    new = Account.objects.filter(active=True, cursor=None).values_list("pk", flat=True)
    Cursor.objects.bulk_create(
        [Cursor(account_id=account_id, read_until=timezone.now() - FIRST_LOOK) for account_id in new],
        ignore_conflicts=True,
    )
    heard = WebhookDelivery.objects.filter(account=OuterRef("account"), received_at__gt=Now() - LOOKUP_DELAY)
    due = Cursor.objects.filter(account__active=True, next_poll_at__lte=Now()).annotate(is_heard=Exists(heard))
    return [cursor.pk for cursor in due if _put_off(cursor, is_heard=cursor.is_heard)]


def poll(account: Account) -> int:
    """
    Apply every booking that changed since the last poll; return how many they were.

    A poll always advances: what cannot be applied yet is set aside; see `calcom.webhooks.deferred`.

    Raises:
        OtherOwner: the account has a new key, which is another user's; nothing was read.
        CalcomError: the next poll goes on from what was read.
    """
    ownership.verify_new_key(account)
    cursor = Cursor.objects.annotate(now=Now()).get(account=account)
    count = 0
    for page in CalcomService(account).changed_bookings(since=cursor.read_until - OVERLAP):
        count += len(page)
        _apply_all(account, page)
        _advance(cursor, *(booking.updated_at for booking in page if booking.updated_at))
    # Nothing newer: without this the last changes would be read for ever. Twice the overlap, as clocks differ.
    _advance(cursor, cursor.now - OVERLAP)
    Cursor.objects.filter(pk=cursor.pk).update(polled_at=Now())
    return count


def put_off(account: Account, seconds: float) -> None:
    """Have the account polled again after so many seconds, because Cal.com could not be asked now."""
    Cursor.objects.filter(account=account).update(next_poll_at=Now() + timedelta(seconds=seconds))


def _put_off(cursor: Cursor, *, is_heard: bool) -> bool:
    pause = settings.CALCOM_POLL_EVERY if is_heard else settings.CALCOM_POLL_EVERY_IN_SILENCE
    same = Cursor.objects.filter(pk=cursor.pk, next_poll_at=cursor.next_poll_at)
    return same.update(next_poll_at=Now() + timedelta(seconds=pause)) == 1


def _advance(cursor: Cursor, *reached: datetime) -> None:
    cursor.read_until = max([cursor.read_until, *reached])
    Cursor.objects.filter(pk=cursor.pk, read_until__lt=cursor.read_until).update(read_until=cursor.read_until)


def _apply_all(account: Account, page: Sequence[RemoteBooking | UnreadableBooking]) -> None:
    """Apply each booking of a page, but for those that are set aside and have not changed since they were given up."""
    set_aside = deferred.known(account, [booking.uid for booking in page])
    for booking in page:
        row = set_aside.get(booking.uid)
        if row is not None and not _has_changed_since(row, booking):
            continue
        if isinstance(booking, RemoteBooking):
            deferred.apply(account, booking)
        elif booking.uid:
            deferred.defer(account, booking, "unreadable")
        else:
            log.warning("calcom.booking_unreadable", account_id=account.pk)


def _has_changed_since(row: DeferredBooking, booking: RemoteBooking | UnreadableBooking) -> bool:
    """Return whether it is worth more than the looks that it gets by itself."""
    if row.state == DeferredBooking.State.WAITING or booking.updated_at is None:
        return False
    return row.remote_changed_at is None or booking.updated_at > row.remote_changed_at
