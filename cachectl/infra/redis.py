"""
Every Redis client, from one factory.

redis-py's defaults are not for a phone call: a client made directly retries ten times, so a refused port costs 3.6 s
and a black hole 59 s (measured 2026-11). Here nothing is retried, nothing takes longer than REDIS_TIMEOUT, and behind a
circuit breaker only the first to find Redis silent waits for it: for the next second nothing is sent.
"""

from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django_redis.pool import ConnectionFactory
from redis import ConnectionError as RedisConnectionError
from redis import ConnectionPool, Redis, ResponseError
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachectl import keys
from cachectl.infra.circuit_breaker import CircuitBreaker, CircuitOpen, process_breaker
from monitoring.collectors import Unhealthy

# More than a process has threads: one too many would take Redis for dead. redis-py's default is 100.
MAX_CONNECTIONS = 1000


class Client(Redis):
    """A client behind the circuit breaker. It has no pipelines: they would pass the breaker by."""

    def __init__(self, pool: ConnectionPool, breaker: CircuitBreaker) -> None:
        super().__init__(connection_pool=pool)
        self.breaker = breaker

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, unless the circuit is open."""
        try:
            with self.breaker.guard():
                return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
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
def _client(url: str, timeout: float) -> Client:
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=MAX_CONNECTIONS,
    )
    return Client(pool, _breaker(url))


def redis_client() -> Client:
    """Return the process's client; it answers bytes, within REDIS_TIMEOUT or with a `redis.RedisError`."""
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT)


def blocking_redis_client(longest_wait: float) -> Client:
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
    """Puts Django's cache on the same client, behind the same breaker."""

    def connect(self, url: str) -> Redis:  # noqa: ARG002  there is one Redis
        """Return the process's client."""
        return redis_client()
