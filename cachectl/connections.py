"""
Every Redis client, from one factory.

redis-py's defaults are not for a phone call: a client made directly retries ten times, so a refused port costs 3.6 s
and a black hole 59 s (measured 2026-11). Here nothing is retried, nothing takes longer than REDIS_TIMEOUT, and a Redis
that did not answer is left alone for a moment: the first to notice pays, the others do not.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import structlog
from django.conf import settings
from redis import ConnectionError as RedisConnectionError
from redis import ConnectionPool, Redis, RedisError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

# More than a process has threads: who gets none would take Redis for dead. redis-py's default is 100.
MOST_CONNECTIONS = 1000
# Seconds for which a process leaves a Redis alone that did not answer.
REST = 1.0


class RedisAway(RedisConnectionError):
    """Redis did not answer a moment ago; it was not asked again."""


class _Rest:
    """Until when all clients of this process leave one Redis alone, on the monotonic clock."""

    def __init__(self) -> None:
        self.until = 0.0

    @contextmanager
    def kept(self, longest: float) -> Iterator[None]:
        """Refuse while it lasts; after it let one command find out, for `longest` seconds, while others go without."""
        now = time.monotonic()
        if now < self.until:
            raise RedisAway("Redis did not answer a moment ago.")
        if self.until:
            self.until = now + longest
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError) as exc:
            self.until = time.monotonic() + REST
            log.warning("redis_left_alone", error_type=type(exc).__name__)
            raise
        except RedisError:
            self.until = 0.0  # a no is an answer
            raise
        self.until = 0.0


class _Client(Redis):
    """A client that keeps the rest. Each command is one trip: a pipeline would pass it by."""

    rest: _Rest

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, unless Redis is left alone."""
        with self.rest.kept(settings.REDIS_TIMEOUT):
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@cache
def _rest(_url: str) -> _Rest:
    return _Rest()


@lru_cache(maxsize=4)
def _client(url: str, timeout: float) -> Redis:
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_CONNECTIONS,
        health_check_interval=0,
    )
    client = _Client(connection_pool=pool)
    client.rest = _rest(url)
    return client


def redis_client() -> Redis:
    """Return the process's client; it answers bytes, within REDIS_TIMEOUT or with a `redis.RedisError`."""
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT)


def blocking_redis_client(longest_wait: float) -> Redis:
    """Return a client for blocking commands that wait up to `longest_wait` seconds."""
    return _client(settings.REDIS_URL, longest_wait + settings.REDIS_TIMEOUT)
