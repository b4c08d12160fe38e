"""Celery's broker where it fails: it is left alone for a moment, and a lost connection ends no worker."""

from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES, redis
from redis import ConnectionError as RedisConnectionError

from cachectl.rest import Rest

# Seconds that a message to a silent broker takes to fail: the socket time-outs of CELERY_BROKER_TRANSPORT_OPTIONS.
LONGEST = 0.6


class Application(Celery):
    """
    Celery that leaves a broker alone that did not take a message.

    Whoever sends pays 0.3 s for a black hole, on a thread that loads days and hands out webhooks as well: a minute of
    bookings without a broker must not use up those threads. Nothing is lost by it: what must be done is a row.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rest = Rest("broker", failures=(OperationalError,), refusal=OperationalError)

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        """
        Send a message. Tasks, their retries and beat come through here, too.

        Raises:
            OperationalError: the broker did not take it, or was left alone.
        """
        with self.rest.kept(LONGEST):
            return super().send_task(*args, **kwargs)


class _Channel(redis.Channel):
    """
    kombu's channel, which says that it has lost its connection in a way that is understood.

    What is acknowledged or given back after Redis went away finds a channel without connection. kombu 5.7 then raises
    AttributeError, which nobody expects: one in five kills of Redis under load ended a worker (measured 2026-11).
    """

    def _connparams(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("The connection of this channel was closed.")
        params: dict[str, Any] = super()._connparams(*args, **kwargs)  # type: ignore[misc]  # kombu has no types
        return params


class Transport(redis.Transport):
    """kombu's transport over Redis, with such channels."""

    Channel = _Channel


def register() -> None:
    """Have it used for every broker on Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
