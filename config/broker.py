"""Celery's broker where it fails: senders do not wait for it again and again, and a lost connection ends no worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport import redis
from redis import ConnectionError as RedisConnectionError

from cachectl.infra.circuit_breaker import CircuitOpen, process_breaker

# Seconds that a message to a silent broker takes to fail: the socket time-outs of CELERY_BROKER_TRANSPORT_OPTIONS.
LONGEST = 0.6


class Application(Celery):
    """
    Celery with a circuit breaker in front of the broker.

    A black hole costs 0.3 s for each message, on a thread that loads days and publishes webhooks as well: a minute of
    bookings without a broker must not use up those threads. Nothing is lost by it: what must be done is a row.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.breaker = process_breaker("broker", failures=(OperationalError,), probe_s=LONGEST)

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        """
        Send a message. Tasks, their retries and beat come through here, too.

        Raises:
            OperationalError: the broker did not take it, or the circuit is open and it was not sent.
        """
        try:
            with self.breaker.guard():
                return super().send_task(*args, **kwargs)
        except CircuitOpen as exc:
            raise OperationalError("The broker did not answer a moment ago, and was not asked again.") from exc


class _Channel(redis.Channel):
    """
    kombu's channel, but acknowledging on a closed one is a connection error, which Celery expects.

    A message acknowledged or rejected after Redis went away finds its channel without a connection. kombu 5.7
    raises AttributeError then (as in celery/kombu#83 and #582), which ends the worker: one in five kills of Redis under
    load did so (measured 2026-11).
    """

    def basic_ack(self, *args: Any, **kwargs: Any) -> None:
        """Acknowledge a message."""
        with self._closed_is_a_connection_error():
            super().basic_ack(*args, **kwargs)

    def basic_reject(self, *args: Any, **kwargs: Any) -> None:
        """Reject a message."""
        with self._closed_is_a_connection_error():
            super().basic_reject(*args, **kwargs)

    @contextmanager
    def _closed_is_a_connection_error(self) -> Iterator[None]:
        try:
            yield
        except AttributeError as exc:
            if self.connection is None or self.connection.client is None:
                raise RedisConnectionError("The connection of this channel was closed.") from exc
            raise


class Transport(redis.Transport):
    """kombu's transport over Redis, with such channels. `broker_transport` names it."""

    Channel = _Channel
