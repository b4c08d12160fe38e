"""
The inbox of webhooks: stored at once and processed later, in order for each booking, until done or a dead letter.

Cal.com sends once and waits for the response within the booking request (recorded 2026-11-21). So a webhook is stored
before the response, and nothing else happens before it.
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
# Longer than any repeat can be late: the repeat of a deleted delivery would count as new.
KEPT = timedelta(days=90)

# One round trip: Cal.com and the booker there wait for it.
_STORE = """
INSERT INTO calcom_webhookdelivery (account_id, identity, trigger, remote_uid, body, state, attempts, note)
VALUES (%s, %s, %s, %s, %s, 'received', 0, '') ON CONFLICT (account_id, identity) DO NOTHING RETURNING id
"""


def receive(*, account_id: int, body: Body) -> int | None:
    """Store a delivery; return the id of its row, None if it was received before."""
    label = messages.label(body)
    row = (account_id, label.identity, label.trigger, label.uid, orjson.dumps(body).decode())
    with connection.cursor() as cursor:
        cursor.execute(_STORE, row)
        stored = cursor.fetchone()
    return int(stored[0]) if stored else None


def process() -> None:
    """
    Dispatch the deliveries that are due, one after the other. Safe to run twice.

    A delivery waits while an earlier one about the same booking is pending.
    """
    for delivery in WebhookDelivery.objects.next_of_bookings().select_related("account").claim_each():
        _dispatch(delivery)


def replay(deliveries: QuerySet[WebhookDelivery]) -> None:
    """Queue deliveries for processing again, whatever their state."""
    again = {"state": State.RECEIVED, "attempts": 0, "next_attempt_at": Now(), "finished_at": None, "last_error": ""}
    deliveries.update(**again, note="replayed by staff")


def give_up(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Finish pending deliveries and dead letters without processing them; return their number."""
    unfinished = deliveries.exclude(state__in=FINAL)
    return unfinished.update(state=State.IGNORED, finished_at=Now(), note="ignored by staff")


def prune() -> int:
    """Delete finished deliveries older than `KEPT`; return their number."""
    finished = WebhookDelivery.objects.filter(state__in=FINAL, received_at__lt=Now() - KEPT)
    count, _ = finished.delete()
    return count


def _dispatch(delivery: WebhookDelivery) -> None:
    try:
        note = events.dispatch(delivery.account, messages.parse(delivery.body))
    except Ignored as exc:
        _finish(delivery, State.IGNORED, str(exc))
    except (Throttled, KeyRefused) as exc:  # the look-up was not sent: no attempt
        pause = max(FIRST_PAUSE, timedelta(seconds=exc.retry_after or 0))
        WebhookDelivery.objects.postpone([delivery], pause, state=State.FAILED, last_error=str(exc)[:200])
    except (RetryLater, CalcomError) as exc:
        _retry(delivery, str(exc))
    except Exception as exc:  # any error is recorded in the row; the next one is processed
        log.exception("webhook.failed", delivery_id=delivery.pk, trigger=delivery.trigger.lower())
        _retry(delivery, type(exc).__name__)
    else:
        _finish(delivery, State.DONE, note)


def _finish(delivery: WebhookDelivery, state: State, note: str) -> None:
    WebhookDelivery.objects.claimed([delivery]).update(state=state, finished_at=Now(), note=note[:200], last_error="")


def _retry(delivery: WebhookDelivery, error: str) -> None:
    WebhookDelivery.objects.retry([delivery], error, state=State.FAILED)
    is_dead = delivery.state == State.DEAD_LETTER
    (log.error if is_dead else log.warning)(
        "webhook.dead_letter" if is_dead else "webhook.retry_scheduled",
        account_id=delivery.account_id,
        delivery_id=delivery.pk,
        trigger=delivery.trigger.lower(),
        attempts=delivery.attempts,
    )
