"""
The inbox of webhooks: kept first, understood later, in order for each booking, until it is done or a person is needed.

Cal.com makes one attempt and waits for its answer inside the booking request (recorded 2026-11-21): so whatever is
accepted is a row before it is answered, and nothing else happens before the answer.
"""

from datetime import timedelta

import orjson
import structlog
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from calcom import events, webhooks
from calcom.errors import CalcomError, KeyRefused
from calcom.events import NotYet, Useless
from calcom.limiter import Throttled
from calcom.models import WebhookDelivery
from calcom.webhooks import Body

log = structlog.get_logger(__name__)

State = WebhookDelivery.State

OWED = (State.RECEIVED, State.FAILED)
MOST_ATTEMPTS = 8
FIRST_PAUSE = timedelta(seconds=5)
# How long a delivery is left to the worker that took it: longer than a look-up and a write take together.
LEASE = timedelta(seconds=45)
# What was received is worked off at once by whoever received it; the sweep takes over when that did not happen.
HEAD_START = timedelta(seconds=5)
# Longer than any repeat can be late: a delivery that was thrown away would count as new.
KEPT = timedelta(days=90)

# One trip: Cal.com, and whoever books there, waits for it.
_KEEP = """
INSERT INTO calcom_webhookdelivery (account_id, identity, trigger, remote_uid, body, state, attempts, note)
VALUES (%s, %s, %s, %s, %s, 'received', 0, '') ON CONFLICT (account_id, identity) DO NOTHING RETURNING id
"""


def receive(*, account_id: int, body: Body) -> int | None:
    """Keep a delivery; return the id of its row, None for one that was received before."""
    label = webhooks.label(body)
    row = (account_id, label.identity, label.trigger, label.uid, orjson.dumps(body).decode())
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, row)
        kept = cursor.fetchone()
    return int(kept[0]) if kept else None


def work_off(delivery_id: int) -> None:
    """
    Have a delivery heard, and then those about the same booking that waited for it. Safe to run twice.

    An earlier one about the same booking goes first: while it is owed nothing happens here.
    """
    delivery = _take(WebhookDelivery.objects.filter(pk=delivery_id))
    while delivery is not None:
        _have_heard(delivery)
        delivery = _take(_waiting_behind(delivery))


def owed() -> QuerySet[WebhookDelivery]:
    """Return those that should have been worked off by now, the longest due first."""
    due = WebhookDelivery.objects.filter(state__in=OWED, next_attempt_at__lte=Now() - HEAD_START)
    return due.order_by("next_attempt_at")


def replay(delivery: WebhookDelivery) -> None:
    """Have a delivery heard once more from the beginning, whatever came of it before."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=State.RECEIVED, attempts=0, next_attempt_at=Now(), finished_at=None, note="replayed by staff"
    )


def give_up(delivery: WebhookDelivery) -> bool:
    """Put a delivery aside that nobody needs; return whether it was still owed or dead."""
    open_ones = WebhookDelivery.objects.filter(pk=delivery.pk, state__in=[*OWED, State.DEAD])
    return bool(open_ones.update(state=State.USELESS, finished_at=Now(), note="put aside by staff"))


def prune() -> int:
    """Throw away finished deliveries that are older than any repeat can be; return how many."""
    finished = WebhookDelivery.objects.filter(state__in=[State.DONE, State.USELESS], received_at__lt=Now() - KEPT)
    count, _ = finished.delete()
    return count


def _take(deliveries: QuerySet[WebhookDelivery]) -> WebhookDelivery | None:
    """Take the first that is due and has no earlier one about its booking before it, so that nobody else takes it."""
    earlier = WebhookDelivery.objects.filter(
        account=OuterRef("account"), remote_uid=OuterRef("remote_uid"), state__in=OWED, id__lt=OuterRef("id")
    )
    due = deliveries.filter(state__in=OWED, next_attempt_at__lte=Now())
    first = due.filter(Q(remote_uid="") | ~Exists(earlier)).select_related("account").order_by("id").first()
    if first is None:
        return None
    same = WebhookDelivery.objects.filter(pk=first.pk, state=first.state, attempts=first.attempts)
    if not same.filter(next_attempt_at__lte=Now()).update(attempts=F("attempts") + 1, next_attempt_at=Now() + LEASE):
        return None
    first.attempts += 1
    return first


def _waiting_behind(delivery: WebhookDelivery) -> QuerySet[WebhookDelivery]:
    same_booking = WebhookDelivery.objects.filter(account=delivery.account, remote_uid=delivery.remote_uid)
    return same_booking.filter(id__gt=delivery.pk).exclude(remote_uid="")


def _have_heard(delivery: WebhookDelivery) -> None:
    try:
        note = events.tell(delivery.account, webhooks.parse(delivery.body))
    except Useless as exc:
        _finish(delivery, State.USELESS, str(exc))
    except (Throttled, KeyRefused) as exc:
        _put_off(delivery, exc)
    except (NotYet, CalcomError) as exc:
        _try_again(delivery, str(exc))
    except Exception as exc:  # whatever it is, the row must say that it failed, and the next one goes on
        log.exception("webhook not understood", delivery_id=delivery.pk, trigger=delivery.trigger.lower())
        _try_again(delivery, type(exc).__name__)
    else:
        _finish(delivery, State.DONE, note)


def _finish(delivery: WebhookDelivery, state: State, note: str) -> None:
    WebhookDelivery.objects.filter(pk=delivery.pk).update(state=state, finished_at=Now(), note=note[:200])


def _put_off(delivery: WebhookDelivery, exc: CalcomError) -> None:
    """Leave it until its look-up may be sent, which is no attempt: there was no permit, or the key is refused."""
    pause = max(FIRST_PAUSE, timedelta(seconds=exc.retry_after or 0))
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=State.FAILED, attempts=F("attempts") - 1, next_attempt_at=Now() + pause, note=str(exc)[:200]
    )


def _try_again(delivery: WebhookDelivery, note: str) -> None:
    """Leave it for another attempt after 5, 10, 20 s and so on; after the last one a person is needed."""
    dead = delivery.attempts >= MOST_ATTEMPTS
    pause = FIRST_PAUSE * 2 ** (delivery.attempts - 1)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        state=State.DEAD if dead else State.FAILED, next_attempt_at=Now() + pause, note=note[:200]
    )
    (log.error if dead else log.warning)(
        "webhook is a dead letter" if dead else "webhook will be tried again",
        account_id=delivery.account_id,
        delivery_id=delivery.pk,
        trigger=delivery.trigger.lower(),
        attempts=delivery.attempts,
    )
