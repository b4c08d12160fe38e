"""
The atomic steps of limiter and breaker, one Lua file per verb.

A script is `clock.lua`, then `common.lua` of its folder, then the verb: Redis says what time it is, nobody else. Where
a verb needs others, each is a function of the same name, of its own KEYS and ARGV.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from redis import Redis, ResponseError
from redis.commands.core import Script

from cachectl.connections import redis_client

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent
REDIS_CLOCK = (FOLDER / "clock.lua").read_text()

Argument = str | int | float

NEEDED = {"governed/take": ("breaker/look", "limiter/take")}


class Scripts:
    """The scripts of one Redis, registered when first used."""

    def __init__(self, redis: Redis, *, clock: str = REDIS_CLOCK) -> None:
        self._redis = redis
        self._clock = clock
        self._scripts: dict[str, Script] = {}
        self._lock = threading.Lock()

    def run(self, verb: str, *, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """
        Run `verb` ("limiter/take") and return what it answers.

        Raises:
            RedisError: Redis is gone, full, read-only or too slow; go on without it.
        """
        script = self._scripts.get(verb) or self._register(verb)
        try:
            return script(keys=keys, args=args)
        except ResponseError as exc:
            log.warning("governor_without_redis", operation=verb, error_type=type(exc).__name__)
            raise

    def _register(self, verb: str) -> Script:
        needed = [f"local function {Path(each).name}(KEYS, ARGV)\n{_text(each)}\nend" for each in NEEDED.get(verb, ())]
        with self._lock:
            whole = "\n".join([self._clock, *needed, _text(verb)])
            return self._scripts.setdefault(verb, self._redis.register_script(whole))


def _text(verb: str) -> str:
    path = FOLDER / f"{verb}.lua"
    common = path.with_name("common.lua")
    return f"{common.read_text()}\n{path.read_text()}" if common.exists() else path.read_text()


@lru_cache(maxsize=4)
def _scripts_of(redis: Redis) -> Scripts:
    return Scripts(redis)


def shared_scripts() -> Scripts:
    """Return the scripts of the process's Redis client."""
    return _scripts_of(redis_client())
