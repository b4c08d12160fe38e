"""
Every Redis client, from one factory.

redis-py's defaults are not for a phone call: a client made directly retries ten times, so a refused port costs 3.6 s
and a black hole 59 s (measured 2026-11). Here nothing is retried, nothing takes longer than REDIS_TIMEOUT, and behind a
circuit breaker only the first to find Redis silent waits for it: for the next second nothing is sent.
"""

import socket
import struct
import time
from collections import deque
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django_redis.pool import ConnectionFactory
from redis import Connection, ConnectionPool, Redis, ResponseError
from redis import ConnectionError as RedisConnectionError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachectl import keys
from cachectl.infra.circuit_breaker import CircuitBreaker, CircuitOpen, process_breaker
from monitoring.registry import Unhealthy

# More than a process has threads: who gets none would take Redis for dead. redis-py's default is 100.
MOST_CONNECTIONS = 1000
# Seconds after which a connection is looked at before it is used again.
RESTED = 1.0


class _Connection(Connection):
    """
    A connection whose time-outs the kernel keeps.

    Python keeps a socket's time-out by asking poll(2) before each read and write, and lets other threads run twice
    instead of once: a third of what a command costs a process with four threads (measured 2026-11).
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Return the next answer; where the time is over, say so as redis-py does."""
        try:
            return super().read_response(*args, **options)
        except RedisConnectionError as exc:
            if isinstance(exc.__context__, BlockingIOError):
                raise RedisTimeoutError("Timeout reading from socket") from exc
            raise

    def _connect(self) -> Any:
        connected = super()._connect()  # type: ignore[no-untyped-call]
        seconds, microseconds = divmod(round((self.socket_timeout or 0.0) * 1e6), 1_000_000)
        connected.settimeout(None)
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connected.setsockopt(socket.SOL_SOCKET, direction, struct.pack("@ll", seconds, microseconds))
        return connected


class _Pool(ConnectionPool):
    """
    redis-py's pool, but for connections that are in use anyway.

    redis-py looks at a socket before each command, and counts for OpenTelemetry whether anybody listens or not: with
    what it does for retries, a quarter of what a command costs (measured 2026-11, redis-py 8.1). Here a connection is
    looked at only when it has rested.
    """

    _resting: "deque[tuple[Any, float]]"

    def reset(self) -> None:
        """Begin with no connection, as a child process does."""
        super().reset()
        self._resting = deque()

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection that nobody else has until it is released."""
        self._checkpid()
        try:
            connection, since = self._resting.pop()
        except IndexError:
            return super().get_connection(*args, **options)
        if time.monotonic() - since > RESTED and _has_ended(connection):
            connection.disconnect()  # the command connects anew
        return connection

    def release(self, connection: Any) -> None:
        """Let somebody else have it."""
        self._resting.append((connection, time.monotonic()))


def _has_ended(connection: Any) -> bool:
    """Return whether there is something to read where nothing was asked: it can only be the end."""
    if not connection.is_connected:
        return False  # to look at it, redis-py would connect it: a Redis that is silent would cost a time-out more
    try:
        return bool(connection.can_read())
    except (RedisConnectionError, RedisTimeoutError, OSError):
        return True


class _Client(Redis):
    """A client behind the circuit breaker. Each command is one trip, tried once: a pipeline would pass it by."""

    breaker: CircuitBreaker

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, unless the circuit is open."""
        pool = self.connection_pool
        try:
            with self.breaker.guard():
                connection: Any = pool.get_connection()
                try:
                    connection.send_command(*args, **options)
                    return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]
                except ResponseError:
                    raise
                except BaseException:
                    connection.disconnect()  # its answer may come yet, and is nobody else's
                    raise
                finally:
                    pool.release(connection)
        except CircuitOpen as exc:
            raise RedisConnectionError("Redis did not answer a moment ago, and was not asked again.") from exc


@cache
def _breaker(_url: str) -> CircuitBreaker:
    return process_breaker(
        "redis",
        failures=(RedisConnectionError, RedisTimeoutError),
        answers=(ResponseError,),
        probe_s=settings.REDIS_TIMEOUT,
    )


@lru_cache(maxsize=4)
def _client(url: str, timeout: float) -> _Client:
    plain = {"connection_class": _Connection} if url.startswith("redis://") else {}  # OpenSSL wants Python's time-outs
    pool = _Pool.from_url(
        url,
        **plain,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_CONNECTIONS,
        health_check_interval=0,
    )
    client = _Client(connection_pool=pool)
    client.breaker = _breaker(url)
    return client


def redis_client() -> _Client:
    """Return the process's client; it answers bytes, within REDIS_TIMEOUT or with a `redis.RedisError`."""
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT)


def blocking_redis_client(longest_wait: float) -> Redis:
    """Return a client for blocking commands that wait up to `longest_wait` seconds."""
    return _client(settings.REDIS_URL, longest_wait + settings.REDIS_TIMEOUT)


def check() -> None:
    """
    See whether Redis answers, and takes what it is given: one that is full, or a replica, does not.

    Raises:
        RedisError: it does not answer.
        Unhealthy: it says no.
    """
    try:
        redis_client().set(keys.PROBE, 1, px=1000)
    except ResponseError as exc:
        raise Unhealthy(f"takes nothing: {type(exc).__name__}") from exc


class ForDjango(ConnectionFactory):  # type: ignore[misc]  # django-redis has no types
    """Puts Django's cache on the same client: who finds Redis away finds it so for all."""

    def connect(self, url: str) -> Redis:  # noqa: ARG002  there is one Redis
        """Return the process's client."""
        return redis_client()
