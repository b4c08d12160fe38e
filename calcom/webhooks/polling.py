"""Polling for changes at Cal.com: webhooks are sent once, and some changes are never announced."""

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
from monitoring import metrics

log = structlog.get_logger(__name__)

# Each poll reads the last minutes again: a concurrent write may have become visible later.
OVERLAP = timedelta(minutes=5)
# For a new account; `reconcile_bookings` reads what is older.
FIRST_LOOK = timedelta(days=1)
# How soon after a change its webhook must have come.
WEBHOOK_WITHIN = timedelta(minutes=1)
# Without a webhook for this long, the account is polled at the shorter interval.
QUIET_AFTER = timedelta(minutes=10)
# Changes in a row without a webhook from which on webhooks count as silent; the alert wants as many.
SILENT_AFTER = 3


def due_accounts() -> list[int]:
    """Return the ids of the accounts that are due, and schedule their next poll: no other caller gets them."""
    new = Account.objects.filter(active=True, cursor=None).values_list("pk", flat=True)
    Cursor.objects.bulk_create(
        [Cursor(account_id=account_id, read_until=timezone.now() - FIRST_LOOK) for account_id in new],
        ignore_conflicts=True,
    )
    recent = WebhookDelivery.objects.filter(account=OuterRef("account"), received_at__gt=Now() - QUIET_AFTER)
    due = Cursor.objects.filter(account__active=True, next_poll_at__lte=Now()).annotate(has_webhooks=Exists(recent))
    return [cursor.pk for cursor in due if _schedule_next(cursor, has_webhooks=cursor.has_webhooks)]


def poll(account: Account) -> int:
    """
    Apply the bookings that changed since the last poll; return their number.

    A poll always advances: what cannot be applied yet is deferred; see `calcom.webhooks.deferred`.

    Raises:
        OtherOwner: the account has a new key of another user; nothing was read.
        CalcomError: the next poll continues after the last page that was read.
    """
    ownership.verify_new_key(account)
    cursor = Cursor.objects.select_related("account").annotate(now=Now()).get(account=account)
    count = 0
    for page in CalcomService(account).changed_bookings(since=cursor.read_until - OVERLAP):
        count += len(page)
        _count_told(cursor, cursor.now, page)
        _apply_all(account, page)
        _advance(cursor, *(booking.updated_at for booking in page if booking.updated_at))
    # Without this the last changes would be read by each poll. Twice the overlap, because clocks differ.
    _advance(cursor, cursor.now - OVERLAP)
    Cursor.objects.filter(pk=cursor.pk).update(polled_at=Now())
    return count


def postpone(account: Account, seconds: float) -> None:
    """Schedule the next poll of the account, because Cal.com could not be asked now."""
    Cursor.objects.filter(account=account).update(next_poll_at=Now() + timedelta(seconds=seconds))


def _schedule_next(cursor: Cursor, *, has_webhooks: bool) -> bool:
    pause = settings.CALCOM_POLL_EVERY if has_webhooks else settings.CALCOM_POLL_EVERY_IN_SILENCE
    same = Cursor.objects.filter(pk=cursor.pk, next_poll_at=cursor.next_poll_at)
    return same.update(next_poll_at=Now() + timedelta(seconds=pause)) == 1


def _advance(cursor: Cursor, *reached: datetime) -> None:
    cursor.read_until = max([cursor.read_until, *reached])
    Cursor.objects.filter(pk=cursor.pk, read_until__lt=cursor.read_until).update(read_until=cursor.read_until)


def _count_told(cursor: Cursor, now: datetime, page: Sequence[RemoteBooking | UnreadableBooking]) -> None:
    """Count the changes that webhooks should have told by now, by whether one did; each change once."""
    if not cursor.polled_at or not cursor.account.webhook_secret:
        return
    first, last = cursor.polled_at - WEBHOOK_WITHIN, now - WEBHOOK_WITHIN
    changed = [each for each in page if each.uid and each.updated_at and first < each.updated_at <= last]
    deliveries = WebhookDelivery.objects.filter(account=cursor.account, received_at__gt=first - WEBHOOK_WITHIN)
    told = set(deliveries.filter(remote_uid__in=[each.uid for each in changed]).values_list("remote_uid", flat=True))
    for each in changed:
        metrics.POLLED_CHANGES.labels(cursor.pk, "yes" if each.uid in told else "no").inc()
    _note_untold(cursor, now, told=bool(told), untold=sum(each.uid not in told for each in changed))


def _note_untold(cursor: Cursor, now: datetime, *, told: bool, untold: int) -> None:
    """Note how many changes in a row no webhook told; one that told, or came at all, begins the row anew."""
    if told or (cursor.untold_since and _webhook_came(cursor.pk, cursor.untold_since)):
        cursor.untold_changes, cursor.untold_since = 0, None
    if untold and not told:
        cursor.untold_changes += untold
        cursor.untold_since = cursor.untold_since or now
    cursor.save(update_fields=["untold_changes", "untold_since"])


def silent_webhooks() -> list[Cursor]:
    """Return the cursors of active accounts for which polling finds changes and no webhook comes."""
    suspected = Cursor.objects.filter(account__active=True, untold_changes__gte=SILENT_AFTER).order_by("pk")
    return [cursor for cursor in suspected if cursor.untold_since and not _webhook_came(cursor.pk, cursor.untold_since)]


def _webhook_came(account_id: int, since: datetime) -> bool:
    return WebhookDelivery.objects.filter(account_id=account_id, received_at__gt=since).exists()


def _apply_all(account: Account, page: Sequence[RemoteBooking | UnreadableBooking]) -> None:
    """Apply the bookings of a page, except deferred ones that wait, or are dead letters and have not changed."""
    known = deferred.known(account, [booking.uid for booking in page])
    for booking in page:
        row = known.get(booking.uid)
        if row is not None and not _has_changed_since(row, booking):
            continue
        if isinstance(booking, RemoteBooking):
            deferred.apply(account, booking)
        elif booking.uid:
            deferred.defer(account, booking, "unreadable")
        else:
            log.warning("calcom.booking_unreadable", account_id=account.pk)


def _has_changed_since(row: DeferredBooking, booking: RemoteBooking | UnreadableBooking) -> bool:
    """Return whether a dead letter has changed at Cal.com since it was read."""
    if row.state == DeferredBooking.State.WAITING or booking.updated_at is None:
        return False
    return row.remote_changed_at is None or booking.updated_at > row.remote_changed_at
