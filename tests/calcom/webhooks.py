"""Webhooks in tests: held by the simulator until the test delivers them, in any order; and a handler of events."""

import hashlib
import hmac
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
from celery import current_app
from django.http import HttpResponse
from django.test import Client

from calcom.models import Account, WebhookDelivery
from calcom.simulator import TRIGGERS, Simulator
from calcom.types import RemoteBooking
from calcom.webhooks import events, inbox
from tests.contract.api_user import ApiUser
from tests.factories import NOWHERE

SECRET = "whsec-of-the-test"
UID, OLD_UID = "k7Qp2ZtW9aXcV4bN8mLs1D", "a1Bc3De5Fg7Hi9Jk2Lm4No"
PAYLOAD = {
    "uid": UID,
    "startTime": "2027-03-01T10:00:00Z",
    "endTime": "2027-03-01T10:30:00Z",
    "eventTypeId": 1,
    "organizer": {"id": 102, "name": "Emma"},
    "attendees": [{"name": "Anna Schmidt", "email": "Anna@Example.com", "phoneNumber": "+4915112345678"}],
    "status": "ACCEPTED",
}
"""The payload of an accepted booking."""


class RecordingHandler:
    """An event handler that records bookings and raises what the test sets."""

    def __init__(self) -> None:
        self.bookings: list[RemoteBooking] = []
        self.error: Exception | None = None
        """Raised for each booking."""
        self.errors: dict[str, Exception] = {}
        """Raised by uid."""
        self.next_errors: list[Exception] = []
        """Raised once each, in order."""

    def __call__(self, _account: Account, event: events.Event) -> str:
        assert isinstance(event, events.BookingWebhook | events.BookingSnapshot)
        self.bookings.append(event.booking)
        once = self.next_errors.pop(0) if self.next_errors else None
        if error := once or self.error or self.errors.get(event.booking.uid):
            raise error
        return "handled"

    @property
    def uids(self) -> list[str]:
        return [booking.uid for booking in self.bookings]

    @property
    def states(self) -> list[str]:
        return [booking.state.value for booking in self.bookings]


def sign(body: bytes, secret: str = SECRET) -> str:
    """Sign as Cal.com does."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(account_id: int, body: bytes, signature: str | None = None, **environ: str) -> HttpResponse:
    """Send a body to the webhook endpoint, with its right signature by default."""
    headers = {"X-Cal-Signature-256": sign(body) if signature is None else signature}
    path = f"/webhooks/calcom/{account_id}"
    return _client().post(path, body, content_type="application/json", headers=headers, **environ)


@cache
def _client() -> Client:
    """Return one client for all tests: to load the middleware takes longer than a request."""
    return Client()


def subscribe(simulator: Simulator, account: Account, url: str = f"{NOWHERE}/calcom") -> None:
    """Subscribe `url` to all triggers of the account, with its secret."""
    account.webhook_secret = SECRET
    account.save()
    subscription = {"subscriberUrl": url, "triggers": list(TRIGGERS), "active": True, "secret": SECRET}
    assert ApiUser(simulator, key=account.api_key).post("/v2/webhooks", subscription).status == 201


class Hooks:
    """The webhooks of one account."""

    def __init__(self, simulator: Simulator, account: Account) -> None:
        self.simulator, self.account = simulator, account
        self.url = f"{NOWHERE}/calcom/{account.pk}"
        simulator.configure(webhooks="hold")
        subscribe(simulator, account, self.url)

    def said(self, *triggers: str) -> list[bytes]:
        """Return the bodies of the messages so far, of some triggers or all, in order."""
        return [
            each["body"].encode()
            for each in self.simulator.deliveries()
            if each["url"] == self.url and (not triggers or each["trigger"] in triggers)
        ]

    def bring(self, bodies: Iterable[bytes]) -> None:
        """Deliver and process messages, one after the other."""
        for body in bodies:
            assert post(self.account.pk, body).status_code == 202
            self.work_off()

    def work_off(self) -> None:
        inbox.process()

    def notes(self) -> list[str]:
        """Return the result of each delivery."""
        deliveries = WebhookDelivery.objects.filter(account=self.account)
        return [delivery.last_error or delivery.note for delivery in deliveries.order_by("pk")]


def handed_out(queue: str = "webhooks") -> list[dict[str, Any]]:
    """Take the messages from a queue."""
    found = []
    with current_app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
        while len(waiting):
            message = waiting.get_nowait()
            message.ack()
            found.append({"task": message.headers["task"], **message.payload[1]})
    return found


def body_of(trigger: str, **payload: Any) -> bytes:
    """Return the body of a webhook."""
    return orjson.dumps({"triggerEvent": trigger, "createdAt": "2026-11-21T00:19:13.294Z", "payload": payload})
