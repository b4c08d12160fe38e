"""
Every Redis client, from one factory.

redis-py's defaults are not for a phone call: a client made directly retries ten times, so a refused port costs 3.6 s
and a black hole 59 s (measured 2026-11). Here nothing is retried and nothing takes longer than REDIS_TIMEOUT.
"""

from functools import lru_cache

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# More than a process has threads: who gets none would take Redis for dead. redis-py's default is 100.
MOST_CONNECTIONS = 1000


@lru_cache(maxsize=4)
def _client(url: str, timeout: float) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=MOST_CONNECTIONS,
        health_check_interval=0,
    )


def redis_client() -> Redis:
    """Return the process's client; it answers bytes, within REDIS_TIMEOUT or with a `redis.RedisError`."""
    return _client(settings.REDIS_URL, settings.REDIS_TIMEOUT)


def blocking_redis_client(longest_wait: float) -> Redis:
    """Return a client for blocking commands that wait up to `longest_wait` seconds."""
    return _client(settings.REDIS_URL, longest_wait + settings.REDIS_TIMEOUT)
