"""Simulated time for limiter and circuit breaker: one clock for scripts, processes and Cal.com."""

from collections.abc import Sequence
from typing import Any

from redis import ConnectionError as RedisConnectionError

from cachectl.infra.lua import Argument, Scripts
from cachectl.infra.redis import redis_client

CLOCK_KEY = "tests:clock"
# Replaces cachectl/infra/clock.lua; production code cannot set the time.
SIMULATED_CLOCK = f"local function clock() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"


class Stopwatch:
    """A clock that tests set."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.start = start
        self.set(start)

    def set(self, now: float) -> None:
        """Set the time (seconds) of Redis's scripts and of processes."""
        self.now = now
        redis_client().set(CLOCK_KEY, int(now * 1000))

    def advance(self, seconds: float) -> None:
        """Advance the time; also replaces `sleep`."""
        self.set(self.now + seconds)

    def monotonic(self) -> float:
        """Return the process's clock."""
        return self.now

    def flush_redis(self) -> None:
        """Empty Redis except for the time."""
        redis_client().flushdb()
        self.set(self.now)

    def scripts(self) -> Scripts:
        """Return scripts that use this clock, as a new process would."""
        return Scripts("calcom/resilience/lua", clock=SIMULATED_CLOCK)


class Outage(Scripts):
    """Scripts whose Redis can be made unavailable, and which count their runs."""

    def __init__(self) -> None:
        super().__init__("calcom/resilience/lua", clock=SIMULATED_CLOCK)
        self.away = False
        self.runs = 0

    def run(self, name: str, *, keys: Sequence[str], args: Sequence[Argument | bytes] = ()) -> Any:
        """Run a script, or raise as if Redis were unavailable."""
        self.runs += 1
        if self.away:
            raise RedisConnectionError("away")
        return super().run(name, keys=keys, args=args)
