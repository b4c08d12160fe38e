"""Simulated time for limiter and breaker: one clock for Redis's scripts, for the process and for Cal.com."""

from collections.abc import Sequence
from typing import Any

from redis import ConnectionError as RedisConnectionError

from cachectl.infra.lua import Argument, Scripts
from cachectl.infra.redis import redis_client

CLOCK_KEY = "tests:clock"
# Stands in for cachectl/infra/clock.lua; production has no way to say what time it is.
SIMULATED_CLOCK = f"local function clock() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"


class Stopwatch:
    """A clock that moves when told."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.start = start
        self.set(start)

    def set(self, now: float) -> None:
        """Make it `now` (seconds) everywhere."""
        self.now = now
        redis_client().set(CLOCK_KEY, int(now * 1000))

    def pass_(self, seconds: float) -> None:
        """Let time pass; also how a test sleeps."""
        self.set(self.now + seconds)

    def monotonic(self) -> float:
        """Return the process's clock."""
        return self.now

    def flush_redis(self) -> None:
        """Lose all that Redis knows but the time."""
        redis_client().flushdb()
        self.set(self.now)

    def scripts(self) -> Scripts:
        """Return scripts that ask this clock: another process's, when asked again."""
        return Scripts("calcom/resilience/lua", clock=SIMULATED_CLOCK)


class Outage(Scripts):
    """Scripts whose Redis can be taken away, and which count how often it was asked."""

    def __init__(self) -> None:
        super().__init__("calcom/resilience/lua", clock=SIMULATED_CLOCK)
        self.away = False
        self.runs = 0

    def run(self, name: str, *, keys: Sequence[str], args: Sequence[Argument | bytes] = ()) -> Any:
        """Run a script, or fail as Redis does when nobody answers."""
        self.runs += 1
        if self.away:
            raise RedisConnectionError("away")
        return super().run(name, keys=keys, args=args)
