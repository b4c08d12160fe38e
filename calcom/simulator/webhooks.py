"""Webhooks: the routes that subscribe, and signed messages, each sent once and within the request that causes it."""

import asyncio
import hashlib
import hmac
import ipaddress
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import orjson

from calcom.simulator import times
from calcom.simulator.dataset import EventType, Json
from calcom.simulator.request import Request, Response, invalid, refused, success, violation
from calcom.simulator.state import Booking, State, Webhook


def require_loopback(host: str) -> str:
    """Return `host` if it is a loopback address, else raise `ValueError`."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise ValueError(f"The simulator uses loopback addresses only, not {host!r}.")
    return host


def require_loopback_url(url: str) -> str:
    """Return `url` if its host is a loopback address, else raise `ValueError`."""
    require_loopback(urlsplit(url).hostname or "")
    return url


Mode = Literal["send", "hold"]

_KEPT_MESSAGES = 10_000


@dataclass
class Delivery:
    """One message to one subscriber; `outcome` is the status, the name of the error, or why it was not sent."""

    id: int
    trigger: str
    uid: str
    url: str
    body: bytes
    signature: str
    outcome: int | str = "held"

    def to_json(self) -> Json:
        """Return the message as `GET /_simulator/deliveries` lists it."""
        return {
            "id": self.id,
            "trigger": self.trigger,
            "uid": self.uid,
            "url": self.url,
            "outcome": self.outcome,
            "body": self.body.decode(),
        }


def sign(secret: str | None, body: bytes) -> str:
    """Return the HMAC of the body; without a secret it is a literal text (recorded 2026-11-21)."""
    if not secret:
        return "no-secret-provided"
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Messenger:
    """
    Sends messages to subscribers and keeps them, so that they can be sent again, late or out of order.

    In mode `hold` messages wait for `deliver`; `loss` is the share of messages that are not sent at once.
    """

    def __init__(self, state: State, random: Random) -> None:
        self.state = state
        self.mode: Mode = "send"
        self.loss = 0.0
        self.deliveries: deque[Delivery] = deque(maxlen=_KEPT_MESSAGES)
        self._random = random
        self._ids = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def announce(self, trigger: str, booking: Booking, write: Callable[[Booking, float], Json]) -> None:
        """Send a message about the booking to each subscriber; `write` returns its body."""
        messages = []
        for webhook in self._subscribed(trigger, booking):
            body = orjson.dumps(write(booking, self.state.now()))
            messages.append(
                Delivery(next(self._ids), trigger, booking.uid, webhook.url, body, sign(webhook.secret, body))
            )
        self.deliveries.extend(messages)
        await asyncio.gather(*(self._send(message) for message in messages if self._is_sent_now(message)))

    async def deliver(self, delivery_id: int) -> Delivery:
        """Send a message again, byte for byte; raises `KeyError` for an unknown id."""
        for delivery in self.deliveries:
            if delivery.id == delivery_id:
                await self._send(delivery)
                return delivery
        raise KeyError(f"delivery {delivery_id}")

    def reset(self, state: State) -> None:
        """Drop all messages and continue with another state."""
        self.state, self.mode, self.loss = state, "send", 0.0
        self.deliveries.clear()

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def _subscribed(self, trigger: str, booking: Booking) -> Iterable[Webhook]:
        """
        Yield the active subscriptions of the trigger.

        Those of the user and of the event type both fire, even with one URL (recorded 2026-11-21). That an owner's
        subscription includes bookings of other hosts is assumed: teams were not recorded.
        """
        users = {booking.owner.id, booking.organizer.id}
        for webhook in list(self.state.webhooks.values()):
            is_about = webhook.user_id in users or webhook.event_type_id == booking.event_type.id
            if is_about and webhook.active and trigger in webhook.triggers:
                yield webhook

    def _is_sent_now(self, message: Delivery) -> bool:
        if self._random.random() < self.loss:
            message.outcome = "lost"
            return False
        return self.mode == "send"

    async def _send(self, delivery: Delivery) -> None:
        """Send once. Cal.com waits for the receiver however slow it is (recorded 2026-11-21)."""
        if self._session is None:
            # No keep-alive: a connection closed by the receiver would cost a message its only attempt.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        headers = {
            "Content-Type": "application/json",
            "X-Cal-Signature-256": delivery.signature,
            "X-Cal-Webhook-Version": "2021-10-20",
            "User-Agent": "node",
        }
        try:
            async with self._session.post(
                require_loopback_url(delivery.url), data=delivery.body, headers=headers, allow_redirects=False
            ) as response:
                delivery.outcome = response.status
        except (aiohttp.ClientError, OSError) as error:
            delivery.outcome = type(error).__name__


TRIGGERS = (
    "BOOKING_CREATED",
    "BOOKING_PAYMENT_INITIATED",
    "BOOKING_PAID",
    "BOOKING_RESCHEDULED",
    "BOOKING_REQUESTED",
    "BOOKING_CANCELLED",
    "BOOKING_REJECTED",
    "BOOKING_NO_SHOW_UPDATED",
    "FORM_SUBMITTED",
    "MEETING_ENDED",
    "MEETING_STARTED",
    "RECORDING_READY",
    "RECORDING_TRANSCRIPTION_GENERATED",
    "OOO_CREATED",
    "AFTER_HOSTS_CAL_VIDEO_NO_SHOW",
    "AFTER_GUESTS_CAL_VIDEO_NO_SHOW",
    "FORM_SUBMITTED_NO_EVENT",
    "DELEGATION_CREDENTIAL_ERROR",
    "WRONG_ASSIGNMENT_REPORT",
)
_CHANGEABLE = {"subscriberUrl": "url", "triggers": "triggers", "active": "active", "secret": "secret"}


async def create(request: Request) -> Response:
    """POST /v2/webhooks."""
    fields = _checked(request.fields)
    user_id = request.key_owner.id
    if any(webhook.user_id == user_id and webhook.url == fields["subscriberUrl"] for webhook in _all(request)):
        raise refused(409, "Webhook with this subscriber url already exists for this user")
    return success(_summary(_add(request, fields, user_id=user_id)), 201)


async def list_all(request: Request) -> Response:
    """GET /v2/webhooks."""
    return success([_summary(webhook) for webhook in _all(request) if webhook.user_id == request.key_owner.id])


async def create_for_event_type(request: Request) -> Response:
    """POST /v2/event-types/{id}/webhooks."""
    event_type = _event_type(request)
    return success(_summary(_add(request, _checked(request.fields), event_type_id=event_type.id)), 201)


async def list_for_event_type(request: Request) -> Response:
    """GET /v2/event-types/{id}/webhooks."""
    event_type = _event_type(request)
    return success([_summary(webhook) for webhook in _all(request) if webhook.event_type_id == event_type.id])


async def get(request: Request) -> Response:
    """GET one webhook, by either path."""
    webhook = _find(request)
    return success(
        _summary(webhook)
        | {
            "teamId": None,
            "userId": webhook.user_id,
            "eventTypeId": webhook.event_type_id,
            "createdAt": times.millis(webhook.created_at),
            "appId": None,
            "platform": False,
            "time": None,
            "timeUnit": None,
            "version": webhook.version,
            "oAuthClientId": None,
        }
    )


async def change(request: Request) -> Response:
    """PATCH one webhook, by either path."""
    webhook = _find(request)
    fields = _checked(request.fields)
    await request.pass_latency()
    for name, attribute in _CHANGEABLE.items():
        if name in fields:
            setattr(webhook, attribute, fields[name])
    return success(_summary(webhook))


async def delete(request: Request) -> Response:
    """DELETE one webhook, by either path."""
    webhook = _find(request)
    await request.pass_latency()
    request.state.webhooks.pop(webhook.id, None)
    return success(_summary(webhook))


def _add(request: Request, fields: Json, **belongs_to: int) -> Webhook:
    webhook = Webhook(
        id=request.state.new_uuid(),
        url=fields["subscriberUrl"],
        triggers=list(fields.get("triggers", ())),
        active=bool(fields.get("active", True)),
        secret=fields.get("secret"),
        template=fields.get("payloadTemplate"),
        version=fields.get("version", "2021-10-20"),
        created_at=request.state.now(),
        **belongs_to,
    )
    request.state.webhooks[webhook.id] = webhook
    return webhook


def _checked(fields: Json) -> Json:
    """Refuse unknown triggers and, unlike Cal.com, URLs that are not loopback."""
    triggers: Any = fields.get("triggers", [])
    if not isinstance(triggers, list) or not set(triggers) <= set(TRIGGERS):
        message = f"each value in triggers must be one of the following values: {', '.join(TRIGGERS)}"
        raise invalid(violation(fields, "triggers", isEnum=message))
    if "subscriberUrl" in fields:
        try:
            require_loopback_url(fields["subscriberUrl"])
        except ValueError as error:
            raise refused(400, str(error)) from error
    return fields


def _all(request: Request) -> list[Webhook]:
    return list(request.state.webhooks.values())


def _find(request: Request) -> Webhook:
    webhook_id = request.params["webhook_id"]
    webhook = request.state.webhooks.get(webhook_id)
    if webhook is None:
        raise refused(404, f"Webhook ({webhook_id}) not found")
    if webhook.user_id is None:
        _event_type(request, webhook.event_type_id)
    elif webhook.user_id != request.key_owner.id:
        raise refused(
            403,
            f"IsUserWebhookGuard - user with id=({request.key_owner.id}) is not the owner of webhook with "
            f"id=({webhook_id})",
        )
    return webhook


def _event_type(request: Request, event_type_id: int | None = None) -> EventType:
    wanted = event_type_id or int(request.params["event_type_id"])
    event_type = request.state.event_types.get(wanted)
    if event_type is None or event_type.owner != request.key_owner.username:
        raise refused(404, f"Event type with id {wanted} not found")
    return event_type


def _summary(webhook: Webhook) -> Json:
    owner = {"userId": webhook.user_id} if webhook.user_id else {"eventTypeId": webhook.event_type_id}
    return {
        "id": webhook.id,
        "payloadTemplate": webhook.template,
        "triggers": webhook.triggers,
        "subscriberUrl": webhook.url,
        "active": webhook.active,
        "secret": webhook.secret,
        **owner,
    }
