"""Cal.com's webhooks in the hands of a test: kept at the simulator until the test brings them, in its order."""

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
from calcom.webhooks import inbox
from tests.contract.api_user import ApiUser
from tests.factories import NOWHERE

SECRET = "whsec-of-the-test"


def sign(body: bytes, secret: str = SECRET) -> str:
    """Sign as Cal.com does."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(account_id: int, body: bytes, signature: str | None = None, **environ: str) -> HttpResponse:
    """Send a body to our door; it is signed rightly unless a signature is given."""
    headers = {"X-Cal-Signature-256": sign(body) if signature is None else signature}
    path = f"/webhooks/calcom/{account_id}"
    return _client().post(path, body, content_type="application/json", headers=headers, **environ)


@cache
def _client() -> Client:
    """Return one client for all: each loads every middleware anew, which takes longer than a request."""
    return Client()


def subscribe(simulator: Simulator, account: Account, url: str = f"{NOWHERE}/calcom") -> None:
    """Have Cal.com send everything about the account to `url`, signed with the account's secret."""
    account.webhook_secret = SECRET
    account.save()
    subscription = {"subscriberUrl": url, "triggers": list(TRIGGERS), "active": True, "secret": SECRET}
    assert ApiUser(simulator, key=account.api_key).post("/v2/webhooks", subscription).status == 201


class Hooks:
    """The messages of one account."""

    def __init__(self, simulator: Simulator, account: Account) -> None:
        self.simulator, self.account = simulator, account
        self.url = f"{NOWHERE}/calcom/{account.pk}"
        simulator.configure(webhooks="hold")
        subscribe(simulator, account, self.url)

    def said(self, *triggers: str) -> list[bytes]:
        """Return the bodies of the messages so far, in the order in which they were due; of some triggers or all."""
        return [
            each["body"].encode()
            for each in self.simulator.deliveries()
            if each["url"] == self.url and (not triggers or each["trigger"] in triggers)
        ]

    def bring(self, bodies: Iterable[bytes]) -> None:
        """Deliver and work off messages, one after the other."""
        for body in bodies:
            assert post(self.account.pk, body).status_code == 202
            self.work_off()

    def work_off(self) -> None:
        """Process what is due, as the workers do."""
        inbox.process()

    def notes(self) -> list[str]:
        """Return what was made of each message."""
        told = WebhookDelivery.objects.filter(account=self.account)
        return [delivery.last_error or delivery.note for delivery in told.order_by("pk")]


def handed_out(queue: str = "webhooks") -> list[dict[str, Any]]:
    """Take the messages that wait for the workers."""
    found = []
    with current_app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
        while len(waiting):
            message = waiting.get_nowait()
            message.ack()
            found.append({"task": message.headers["task"], **message.payload[1]})
    return found


def body_of(trigger: str, **payload: Any) -> bytes:
    """Write a body by hand."""
    return orjson.dumps({"triggerEvent": trigger, "createdAt": "2026-11-21T00:19:13.294Z", "payload": payload})
