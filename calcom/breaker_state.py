"""
Where a breaker stands: in Redis, for all processes, and in each of them, for as long as Redis is away or has forgotten.

Redis tells the time; the process goes by its monotonic clock. What leads from one state to the other is `breaker.py`'s.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cachectl.infra.lua import Argument, Scripts

FAILURES_IN_A_ROW = 3
# Or this share of the calls of 30 s, once there are enough of them to tell.
FAILURES_PERCENT, CALLS_TO_TELL, SHARE_WINDOW_S = 50, 20, 30.0
# Seconds it stays open: the first time, after one failed probe, after more.
OPEN_S = (10.0, 20.0, 30.0)
# After which a probe that never reported is given up: longer than the longest call.
LEASE_S = 22.0


@dataclass(frozen=True, slots=True)
class View:
    """Where a breaker stands, at one moment."""

    is_open: bool
    failures: int = 0
    """In a row."""
    wait_s: float = 0.0
    """Until it lets a probe through."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to probe, or the seconds until there may be one."""

    token: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Where a breaker stands, for people."""

    state: str
    """closed, open or half-open: the next call is the probe, or it is under way."""
    failures: int
    """In a row."""
    opened: int
    """How often since it was last closed."""
    wait_s: float
    """Until the next probe."""
    probing: bool
    history: Sequence[tuple[datetime, str]]
    """Newest first, at most fifty."""


class Shared:
    """The breaker in Redis, common to all processes. Every method may raise `RedisError`."""

    def __init__(self, keys: list[str], scripts: Scripts) -> None:
        self._keys = keys
        self._scripts = scripts

    def look(self, successes: int, *, ends_row: bool) -> View | None:
        """Count successes and return the view, None where Redis remembers nothing."""
        return self._view(self._run("look", successes, int(ends_row)))

    def look_and_take(
        self, successes: int, *, keys: Sequence[str], args: Sequence[Argument]
    ) -> tuple[View | None, Any]:
        """Look, and run `limiter/take` with `keys` and `args` unless it is open; return the view and what that said."""
        both, told = [*self._keys, *keys], [successes, 0, *args]
        seen, *taken = self._scripts.run("governed/take", keys=both, args=told)
        return self._view(seen), taken[0] if taken else None

    def failed(self, successes: int) -> int:
        """Count a failure; return how many there are in a row, or as many as are too many."""
        failures, too_many = self._run("failed", successes, CALLS_TO_TELL, FAILURES_PERCENT)
        return max(int(failures), FAILURES_IN_A_ROW if too_many else 0)

    def open(self) -> bool:
        """Open; return whether it was not open before."""
        return bool(self._run("open"))

    def close(self) -> bool:
        """Close; return whether it was open before."""
        return bool(self._run("close"))

    def lease(self) -> Lease:
        token, wait = self._run("lease", round(LEASE_S * 1000))
        return Lease(token, wait / 1000)

    def give_back(self, lease: Lease) -> None:
        self._run("give_back", lease.token)

    def probe_now(self) -> bool:
        return bool(self._run("probe_now"))

    def state(self) -> "BreakerState":
        failures, opened, wait, probing, history = self._run("state")
        moments = [entry.decode().split(":") for entry in history]
        return BreakerState(
            state="closed" if wait < 0 else "open" if wait else "half-open",
            failures=failures,
            opened=opened,
            wait_s=max(0.0, wait / 1000),
            probing=bool(probing),
            history=[(datetime.fromtimestamp(int(at) / 1000, UTC), state) for at, state in moments],
        )

    def _run(self, verb: str, *args: float) -> Any:
        return self._scripts.run(f"breaker/{verb}", keys=self._keys, args=args)

    @staticmethod
    def _view(seen: tuple[bytes, int, int]) -> View | None:
        state, failures, wait = seen
        return None if state == b"unknown" else View(state == b"open", failures, wait / 1000)


@dataclass
class Local:
    """The same breaker in one process: what goes on without Redis, and what it last said."""

    monotonic: Callable[[], float]
    _failures: int = 0
    _opened: int = 0
    _open_until: float = 0.0
    _leased_until: float = 0.0
    _calls: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=1000))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def look(self) -> View:
        with self._lock:
            return View(self._open_until > 0, self._failures, max(0.0, self._open_until - self.monotonic()))

    def follow(self, view: View) -> None:
        """Take over what Redis says."""
        with self._lock:
            self._failures = view.failures
            self._open_until = self.monotonic() + view.wait_s if view.is_open else 0.0
            self._opened = max(self._opened, 1) if view.is_open else 0

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._calls.append((self.monotonic(), False))

    def failed(self) -> int:
        with self._lock:
            now = self.monotonic()
            self._failures += 1
            self._calls.append((now, True))
            recent = [failed for at, failed in self._calls if at > now - SHARE_WINDOW_S]
            too_many = len(recent) >= CALLS_TO_TELL and sum(recent) * 100 >= len(recent) * FAILURES_PERCENT
            return max(self._failures, FAILURES_IN_A_ROW if too_many else 0)

    def open(self) -> bool:
        with self._lock:
            now = self.monotonic()
            if self._open_until > now:
                return False
            self._opened += 1
            self._open_until = now + OPEN_S[min(self._opened, len(OPEN_S)) - 1]
            self._failures, self._leased_until = 0, 0.0
            self._calls.clear()
            return True

    def close(self) -> bool:
        with self._lock:
            was_open = self._open_until > 0
            self.follow(View(is_open=False))
            self._leased_until = 0.0
            return was_open

    def lease(self) -> Lease:
        with self._lock:
            now = self.monotonic()
            taken_until = max(self._open_until, self._leased_until)
            if taken_until > now:
                return Lease(wait_s=taken_until - now)
            self._leased_until = now + LEASE_S
            return Lease(token=self._leased_until)

    def give_back(self, lease: Lease) -> None:
        with self._lock:
            if self._leased_until == lease.token:
                self._leased_until = 0.0
