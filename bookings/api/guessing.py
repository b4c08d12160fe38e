"""
How many keys that nobody knows are looked up for one address, whichever process they come to.

Only failures count, so whoever has a key may ask beside somebody who guesses: a key that was good from the same address
before is looked up whatever the others there do. A client that is refused here has shown a key that is new there.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from django.conf import settings
from redis import RedisError

from bookings.api.throttles import Rate
from bookings.models import digest_of
from cachectl.connections import redis_client, script

LUA = Path(__file__).parents[1] / "lua"
# For how long it is known that a key was good, ms: longer than any time between two starts of a process.
KEPT_MS = 30 * 86_400 * 1000


def wait(address: str, key: str) -> float:
    """Return the seconds until `key` is looked up for `address`; 0 for now."""
    rate = _rate()
    try:
        return int(_call("wait_to_guess", _names(address, key), [rate.requests, _each(rate)])) / 1000
    except RedisError:
        return _alone.wait(address, rate)


def count(address: str, key: str) -> None:
    """Count a key that was looked up and is none."""
    rate = _rate()
    _alone.count(address, rate)
    try:
        _call("count_guess", _names(address, key), [_each(rate)])
    except RedisError:
        return


def trust(address: str, key: str) -> None:
    """Remember that a key was good, so that nobody else at its address can have it refused."""
    try:
        redis_client().set(_names(address, key)[1], 1, px=KEPT_MS)
    except RedisError:
        return


def _rate() -> Rate:
    return Rate.parse(settings.BOOKINGS_GUESS_RATE, "BOOKINGS_GUESS_RATE")


def _each(rate: Rate) -> int:
    """Return the milliseconds after which one more guess is allowed."""
    return max(1, rate.seconds * 1000 // rate.requests)


def _names(address: str, key: str) -> list[str]:
    """Return the keys in Redis; neither the address nor the agent's key can be read out of them."""
    tag = f"sl1:{{from:{hashlib.sha256(address.encode()).hexdigest()[:16]}}}"
    return [f"{tag}:guesses", f"{tag}:good:{digest_of(key)[:32]}"]


def _call(name: str, keys: Sequence[str], args: Sequence[int]) -> Any:
    return script(LUA, name)(keys=keys, args=args, client=redis_client())


class Alone:
    """What this process counted itself: all there is while Redis is away."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._used_up: dict[str, float] = {}
        self._lock = Lock()

    def wait(self, address: str, rate: Rate) -> float:
        """Return the seconds until a key is looked up for `address`."""
        allowed_ahead = (rate.requests - 1) * _each(rate) / 1000
        return max(0.0, self._used_up.get(address, 0.0) - time.monotonic() - allowed_ahead)

    def count(self, address: str, rate: Rate) -> None:
        """Count a guess."""
        with self._lock:
            if len(self._used_up) >= self._most:
                self._used_up.clear()
            self._used_up[address] = max(time.monotonic(), self._used_up.get(address, 0.0)) + _each(rate) / 1000

    def forget(self) -> None:
        """Count from the beginning."""
        self._used_up.clear()


_alone = Alone()


def forget() -> None:
    """Let this process count from the beginning; what Redis knows stays."""
    _alone.forget()
