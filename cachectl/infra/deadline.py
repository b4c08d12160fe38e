"""When a caller stops waiting: created once per request and passed as an argument."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """The moment after which an answer is too late, on the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0
