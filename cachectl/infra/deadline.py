"""How long somebody still waits: made once at the door, passed as an argument, asked on the way."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """The moment after which an answer is too late, on the monotonic clock, which nobody can set back."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Return the seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Return whether nothing is left."""
        return self.left == 0.0
