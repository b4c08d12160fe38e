"""How long Cal.com takes, as a distribution that can be scaled and repeated."""

import asyncio
from random import Random
from typing import Literal

Pace = Literal["slots", "bookings", "others"]

# What hosted Cal.com takes, in seconds: shortest, longest. Skewed so that the median booking takes 2.5 s.
_SPANS: dict[Pace, tuple[float, float]] = {"slots": (0.3, 0.8), "bookings": (1.5, 5.0), "others": (0.05, 0.15)}
_SKEW = 1.8


class Latency:
    """Draws how long an operation takes; `scale` 1 is the real thing, 0 is none."""

    def __init__(self, scale: float, seed: int) -> None:
        self.scale = scale
        self._random = Random(seed)

    def draw(self, pace: Pace) -> float:
        """Return the seconds the next operation of this pace takes."""
        shortest, longest = _SPANS[pace]
        share: float = self._random.random() ** _SKEW
        return self.scale * (shortest + (longest - shortest) * share)

    async def pass_for(self, pace: Pace) -> None:
        """Let the time of one operation pass; without latency not even another task gets its turn."""
        if self.scale:
            await asyncio.sleep(self.draw(pace))
