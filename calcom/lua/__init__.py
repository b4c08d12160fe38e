"""
The atomic steps of limiter and breaker, one Lua file per verb.

A script is `clock.lua`, then `common.lua` of its folder, then the verb: Redis says what time it is, nobody else.
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from redis import Redis, RedisError
from redis.commands.core import Script

from cachectl.connections import redis_client

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent
REDIS_CLOCK = (FOLDER / "clock.lua").read_text()
# Seconds that a process leaves Redis alone after it failed: the first call pays the time-out, the others nothing.
LEFT_ALONE_S = 1.0

Argument = str | int | float


class RedisLeftAlone(RedisError):
    """Redis failed a moment ago; it was not asked again."""


class Scripts:
    """The scripts of one Redis, registered when first used."""

    def __init__(
        self, redis: Redis, *, clock: str = REDIS_CLOCK, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._monotonic = monotonic
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()
        self._asked_again_at = 0.0

    def run(self, verb: str, *, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """
        Run `verb` ("limiter/take") and return what it answers.

        Raises:
            RedisError: Redis is gone, full, read-only or too slow; go on without it.
        """
        if self._monotonic() < self._asked_again_at:
            raise RedisLeftAlone("Redis failed less than a second ago.")
        script = self._scripts.get(verb) or self._register(verb)
        try:
            return script(keys=keys, args=args)
        except RedisError as exc:
            self._asked_again_at = self._monotonic() + LEFT_ALONE_S
            log.warning("governor_without_redis", operation=verb, error_type=type(exc).__name__)
            raise

    def _register(self, verb: str) -> Script:
        path = FOLDER / f"{verb}.lua"
        common = path.with_name("common.lua")
        parts = [self._clock, common.read_text() if common.exists() else "", path.read_text()]
        with self._lock:
            return self._scripts.setdefault(verb, self._redis.register_script("\n".join(parts)))


@lru_cache(maxsize=4)
def _scripts_of(redis: Redis) -> Scripts:
    return Scripts(redis)


def shared_scripts() -> Scripts:
    """Return the scripts of the process's Redis client."""
    return _scripts_of(redis_client())
