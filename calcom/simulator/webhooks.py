"""Subscriptions, and the messages they get: signed, sent inside the request that causes them, tried once."""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal

import aiohttp
import orjson

from calcom.simulator import times
from calcom.simulator.loopback import require_loopback_url
from calcom.simulator.state import Booking, State, Webhook
from calcom.simulator.world import Json

Mode = Literal["send", "hold"]

_REMEMBERED = 10_000


@dataclass
class Delivery:
    """One message to one subscriber; `outcome` is the status, what went wrong, or why it was not sent."""

    id: int
    trigger: str
    uid: str
    url: str
    body: bytes
    signature: str
    outcome: int | str = "held"

    def to_json(self) -> Json:
        """Describe the message for the control endpoint."""
        return {
            "id": self.id,
            "trigger": self.trigger,
            "uid": self.uid,
            "url": self.url,
            "outcome": self.outcome,
            "body": self.body.decode(),
        }


def sign(secret: str | None, body: bytes) -> str:
    """Sign the exact bytes; without a secret the signature is this literal text (recorded 2026-11-21)."""
    if not secret:
        return "no-secret-provided"
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Messenger:
    """
    Sends what the subscriptions ask for and remembers it, so that it can be sent again, late or out of order.

    In mode `hold` nothing leaves until `deliver`; `loss` is the share of messages that never leave by themselves.
    """

    def __init__(self, state: State, random: Random) -> None:
        self.state = state
        self.mode: Mode = "send"
        self.loss = 0.0
        self.deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._random = random
        self._ids = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def announce(self, trigger: str, booking: Booking, write: Callable[[Booking, float], Json]) -> None:
        """Tell every subscription about the booking; `write` writes the body of each message."""
        messages = []
        for webhook in self._subscribed(trigger, booking):
            body = orjson.dumps(write(booking, self.state.now()))
            messages.append(
                Delivery(next(self._ids), trigger, booking.uid, webhook.url, body, sign(webhook.secret, body))
            )
        self.deliveries.extend(messages)
        await asyncio.gather(*(self._send(message) for message in messages if self._leaves(message)))

    async def deliver(self, delivery_id: int) -> Delivery:
        """Send a remembered message, byte for byte; raises `KeyError` for an unknown one."""
        for delivery in self.deliveries:
            if delivery.id == delivery_id:
                await self._send(delivery)
                return delivery
        raise KeyError(f"delivery {delivery_id}")

    def start_over(self, state: State) -> None:
        """Forget all messages and go on with another state."""
        self.state, self.mode, self.loss = state, "send", 0.0
        self.deliveries.clear()

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    def _subscribed(self, trigger: str, booking: Booking) -> Iterable[Webhook]:
        """
        Find who listens.

        One of the user and one of the event type both fire, even with one URL (recorded 2026-11-21). That an owner's
        subscription hears about bookings of other hosts is assumed: teams were not recorded.
        """
        users = {booking.owner.id, booking.organizer.id}
        for webhook in list(self.state.webhooks.values()):
            is_about = webhook.user_id in users or webhook.event_type_id == booking.event_type.id
            if is_about and webhook.active and trigger in webhook.triggers:
                yield webhook

    def _leaves(self, message: Delivery) -> bool:
        if self._random.random() < self.loss:
            message.outcome = "lost"
            return False
        return self.mode == "send"

    async def _send(self, delivery: Delivery) -> None:
        """Make the one attempt. Cal.com waits for the receiver, however slow it is (recorded 2026-11-21)."""
        if self._session is None:
            # No kept connections: one that the receiver has closed would cost a message its only attempt.
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


def stamped(trigger: str, now: float, payload: Json) -> Json:
    """Wrap a payload in the envelope that most messages have."""
    return {"triggerEvent": trigger, "createdAt": times.millis(now), "payload": payload}
