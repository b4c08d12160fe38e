"""Inbound throttling by the library `limits`: how often one subject (an agent key, an address, an account) may act."""

import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac
from limits import parse
from limits.storage import MemoryStorage, RedisStorage, Storage

from cachectl.infra.fallback import shared_or_own
from cachectl.infra.redis import redis_client

# Subjects that one process counts by itself while Redis is away. With more it begins anew: memory is bounded.
MAX_SUBJECTS = 10_000

_memory = MemoryStorage()


class Throttle:
    """
    A rate such as "30/minute" for each subject, in fixed windows that begin with the subject's first event.

    Counted in Redis, for all processes together; while Redis is away each process counts for itself.
    """

    def __init__(self, name: str, rate: str) -> None:
        """
        Count under `name`, which no other throttle has.

        Raises:
            ValueError: `rate` is not in the notation of `limits`.
        """
        item = parse(rate)
        self._name = name
        self.amount: int = item.amount
        self.seconds: int = item.get_expiry()

    def hit(self, subject: str, events: int = 1) -> int:
        """Count events and return how many there were in this window; above `amount` they are to be refused."""
        key = self._key(subject)
        return shared_or_own(
            "throttle",
            lambda: _shared(settings.REDIS_URL).incr(key, self.seconds, events),
            lambda: _count_in_memory(key, self.seconds, events),
        )

    def wait(self, subject: str) -> float:
        """Return the seconds until the subject may act again: 0 unless the window has its `amount` of events."""
        key = self._key(subject)
        return shared_or_own(
            "throttle", lambda: self._wait(_shared(settings.REDIS_URL), key), lambda: self._wait(_memory, key)
        )

    def _wait(self, storage: Storage, key: str) -> float:
        if storage.get(key) < self.amount:
            return 0.0
        return max(1.0, storage.get_expiry(key) - time.time())

    def _key(self, subject: str) -> str:
        """Return what stands for the subject in Redis: neither an address nor a name can be read out of it."""
        return f"{self._name}:{salted_hmac(self._name, subject, algorithm='sha256').hexdigest()[:32]}"


@lru_cache(maxsize=16)
def throttle(name: str, rate: str) -> Throttle:
    """Return the throttle of that name and rate, parsed once."""
    return Throttle(name, rate)


def reset_memory() -> None:
    """Discard what this process has counted by itself; what Redis has counted stays."""
    _memory.reset()


def _count_in_memory(key: str, seconds: int, events: int) -> int:
    if len(_memory.storage) >= MAX_SUBJECTS:
        _memory.reset()
    return _memory.incr(key, seconds, events)


class _Storage(RedisStorage):
    """The library's, on the process's client: behind its circuit breaker and time-out."""

    def get_connection(self, readonly: bool = False) -> Any:  # noqa: ARG002  the signature is the library's
        """Return the client that each command and script goes through."""
        return redis_client()


@lru_cache(maxsize=4)
def _shared(url: str) -> RedisStorage:
    return _Storage(url, key_prefix="sl1:throttle")
