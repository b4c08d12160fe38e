"""
Lua scripts: atomic steps in Redis, one file each.

A line `-- include <path>`, from the root of the project, is replaced by the text of that file. Redis's clock is one of
them, `cachectl/infra/clock.lua`, and the only one that scripts read.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from redis import ResponseError
from redis.commands.core import Script

from cachectl.infra.redis import redis_client

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]
CLOCK_FILE = ROOT / "cachectl/infra/clock.lua"
CLOCK = CLOCK_FILE.read_text(encoding="utf-8")

_INCLUDE = re.compile(r"^-- include (\S+)$", re.MULTILINE)

Argument = str | int | float


class Scripts:
    """The scripts below one folder, on the process's Redis. Each is registered when it first runs."""

    def __init__(self, folder: str, *, clock: str = CLOCK) -> None:
        """`folder` is seen from the root of the project. Tests bring a `clock` of their own."""
        self._folder = ROOT / folder
        self._clock = clock
        self._registered: dict[str, Script] = {}

    def run(self, name: str, *, keys: Sequence[str], args: Sequence[Argument | bytes] = ()) -> Any:
        """
        Run the script `name` ("limiter/take") and return what it answers.

        Raises:
            RedisError: Redis is gone, full, read-only or too slow; go on without it.
        """
        script = self._registered.get(name)
        if script is None:
            text = self._text(self._folder / f"{name}.lua")
            script = self._registered.setdefault(name, redis_client().register_script(text))
        try:
            return script(keys=keys, args=args, client=redis_client())
        except ResponseError as exc:
            log.warning("redis.script_failed", operation=name, error_type=type(exc).__name__)
            raise

    def _text(self, path: Path) -> str:
        text = self._clock if path == CLOCK_FILE else path.read_text(encoding="utf-8")
        return _INCLUDE.sub(lambda line: self._text(ROOT / line[1]), text)


@cache
def scripts_in(folder: str) -> Scripts:
    """Return the process's scripts below a folder."""
    return Scripts(folder)
