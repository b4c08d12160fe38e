"""
The inbox of webhooks: kept first, understood later, in order for each booking, until it is done or a person is needed.

Cal.com makes one attempt and waits for its answer inside the booking request (recorded 2026-11-21): so whatever is
accepted is a row before it is answered, and nothing else happens before the answer.
"""

from datetime import timedelta

import orjson
import structlog
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from calcom.errors import CalcomError, KeyRefused
from calcom.models import WebhookDelivery
from calcom.resilience.rate_limiter import Throttled
from calcom.webhooks import events, messages
from calcom.webhooks.events import Ignored, RetryLater
from calcom.webhooks.messages import Body

log = structlog.get_logger(__name__)

State = WebhookDelivery.State
FINAL = (State.DONE, State.IGNORED)
FIRST_PAUSE = WebhookDelivery.retry_policy.first
# Longer than any repeat can be late: a delivery that was thrown away would count as new.
KEPT = timedelta(days=90)

# One trip: Cal.com, and whoever books there, waits for it.
_KEEP = """
INSERT INTO calcom_webhookdelivery (account_id, identity, trigger, remote_uid, body, state, attempts, note)
VALUES (%s, %s, %s, %s, %s, 'received', 0, '') ON CONFLICT (account_id, identity) DO NOTHING RETURNING id
"""


def receive(*, account_id: int, body: Body) -> int | None:
    """Keep a delivery; return the id of its row, None for one that was received before."""
    label = messages.label(body)
    row = (account_id, label.identity, label.trigger, label.uid, orjson.dumps(body).decode())
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, row)
        kept = cursor.fetchone()
    return int(kept[0]) if kept else None


def process() -> None:
    """
    Dispatch deliveries that are due, one after the other. Safe to run twice.

    An earlier one about the same booking goes first: while it is pending, the later ones wait.
    """
    for delivery in WebhookDelivery.objects.next_of_bookings().select_related("account").claim_each():
        _dispatch(delivery)


def replay(deliveries: QuerySet[WebhookDelivery]) -> None:
    """Have deliveries processed once more from the beginning, whatever came of them before."""
    again = {"state": State.RECEIVED, "attempts": 0, "next_attempt_at": Now(), "finished_at": None, "last_error": ""}
    deliveries.update(**again, note="replayed by staff")


def give_up(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Finish deliveries without processing them; return how many were pending, or dead letters."""
    unfinished = deliveries.exclude(state__in=FINAL)
    return unfinished.update(state=State.IGNORED, finished_at=Now(), note="put aside by staff")


def prune() -> int:
    """Throw away finished deliveries that are older than any repeat can be; return how many."""
    finished = WebhookDelivery.objects.filter(state__in=FINAL, received_at__lt=Now() - KEPT)
    count, _ = finished.delete()
    return count


def _dispatch(delivery: WebhookDelivery) -> None:
    try:
        note = events.dispatch(delivery.account, messages.parse(delivery.body))
    except Ignored as exc:
        _finish(delivery, State.IGNORED, str(exc))
    except (Throttled, KeyRefused) as exc:  # its look-up was not sent: that is no attempt
        pause = max(FIRST_PAUSE, timedelta(seconds=exc.retry_after or 0))
        WebhookDelivery.objects.postpone([delivery], pause, state=State.FAILED, last_error=str(exc)[:200])
    except (RetryLater, CalcomError) as exc:
        _retry(delivery, str(exc))
    except Exception as exc:  # whatever it is, the row must say that it failed, and the next one goes on
        log.exception("webhook not understood", delivery_id=delivery.pk, trigger=delivery.trigger.lower())
        _retry(delivery, type(exc).__name__)
    else:
        _finish(delivery, State.DONE, note)


def _finish(delivery: WebhookDelivery, state: State, note: str) -> None:
    WebhookDelivery.objects.claimed([delivery]).update(state=state, finished_at=Now(), note=note[:200], last_error="")


def _retry(delivery: WebhookDelivery, error: str) -> None:
    WebhookDelivery.objects.retry([delivery], error, state=State.FAILED)
    is_dead = delivery.state == State.DEAD_LETTER
    (log.error if is_dead else log.warning)(
        "webhook is a dead letter" if is_dead else "webhook will be tried again",
        account_id=delivery.account_id,
        delivery_id=delivery.pk,
        trigger=delivery.trigger.lower(),
        attempts=delivery.attempts,
    )
