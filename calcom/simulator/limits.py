"""Cal.com's rate limit: a fixed window per caller, and a block for whoever exceeds it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

# Cal.com allows 120 requests in 60 s per API key and per address, 500 per access token (recorded 2026-11-21).
LIMIT = 120
TOKEN_LIMIT = 500
WINDOW_S = 60.0


@dataclass(frozen=True)
class Verdict:
    """Whether a request may pass, and what the headers of its answer say."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Write the three headers; `Reset` is in seconds to go, and there is no `Retry-After` (recorded 2026-11-21)."""
        return {
            "X-RateLimit-Limit-Default": str(self.limit),
            "X-RateLimit-Remaining-Default": str(self.remaining),
            "X-RateLimit-Reset-Default": str(self.reset_s),
        }


@dataclass
class _Window:
    began: float
    used: int = 0
    blocked_until: float = 0.0


class Throttle:
    """
    Counts requests per caller in a window that starts with the first of them.

    The request after the last allowed one blocks the caller for a whole window from that moment; requests made
    while blocked do not lengthen the block, and a full window follows it (recorded 2026-11-21).
    """

    def __init__(self, limit: int = LIMIT, window_s: float = WINDOW_S, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self.window_s = window_s
        self.breaches = 0
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def hit(self, caller: str, limit: int | None = None) -> Verdict:
        """Count one request of `caller`."""
        now = self._clock()
        limit = limit or self.limit
        window = self._windows.get(caller)
        if window is None or self._is_over(window, now):
            window = self._windows[caller] = _Window(began=now)
        if now < window.blocked_until:
            return Verdict(False, limit, 0, math.ceil(window.blocked_until - now))
        window.used += 1
        if window.used > limit:
            self.breaches += 1
            return self._block(window, limit)
        return Verdict(True, limit, limit - window.used, math.ceil(window.began + self.window_s - now))

    def block(self, caller: str) -> Verdict:
        """Block `caller` for a window, whatever has been counted."""
        return self._block(self._windows.setdefault(caller, _Window(began=self._clock())), self.limit)

    def forget(self) -> None:
        """Start counting afresh."""
        self.breaches = 0
        self._windows.clear()

    def _block(self, window: _Window, limit: int) -> Verdict:
        window.blocked_until = self._clock() + self.window_s
        return Verdict(False, limit, 0, math.ceil(self.window_s))

    def _is_over(self, window: _Window, now: float) -> bool:
        return now >= (window.blocked_until or window.began + self.window_s)
