"""
Circuit breakers in front of Cal.com: for each account one for reads and one for writes.

Their state is in Redis, shared by all processes and on Redis's clock. While Redis is unavailable, or has lost it, each
process uses the state that it last read and the outcomes of its own calls.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import pybreaker
import structlog
from redis import RedisError

from cachectl.infra.circuit_breaker import CircuitBreaker, CircuitOpen, Outcome, Policy, ProcessStorage, Storage
from cachectl.infra.fallback import shared_or_own
from cachectl.infra.lua import Argument, Scripts, scripts_in
from calcom.http.transport import ConnectionClosed, NoAnswer, NotSent
from calcom.resilience.rate_limiter import key_prefix
from monitoring import metrics

log = structlog.get_logger(__name__)

# A lease (`probe_s`) lasts longer than the longest call.
POLICY = Policy(failures=3, percent=50, calls=20, window_s=30.0, open_s=(10.0, 20.0, 30.0), probe_s=22.0)


class Kind(StrEnum):
    """Reads and writes fail independently: a slow booking proves nothing about lists of slots."""

    READS = "reads"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class CircuitState:
    """The state of a circuit, for the admin. It is open until a call has succeeded."""

    is_open: bool
    failures: int
    """In a row."""
    opened: int
    """How often it opened since it was last closed."""
    wait_s: float
    """Seconds until the next probe; 0 if the next call is the probe."""
    probing: bool
    """Whether the probe is in flight."""
    history: Sequence[tuple[datetime, str]]
    """Newest first, at most fifty: open, half-open (a probe began), closed."""


class SharedStorage(Storage):
    """
    A circuit in Redis, and in this process while Redis is unavailable or has lost it.

    Successes of a closed circuit cost no round trip: they are counted here and reported with the next read. After a
    failure a success is reported at once, because it ends the row of failures for all processes.
    """

    def __init__(
        self, keys: list[str], scripts: Scripts, *, account_id: int, kind: Kind, local: ProcessStorage
    ) -> None:
        super().__init__(local.name)
        self._kind = kind
        self._log = log.bind(account_id=account_id, kind=kind)
        self._keys = keys
        self._scripts = scripts
        self._local = local
        self._failures = 0
        self._unreported = 0
        self._lock = threading.Lock()

    @property
    def state(self) -> str:
        """Closed or open. Costs a round trip to Redis."""
        return pybreaker.STATE_CLOSED if self._read() is None else pybreaker.STATE_OPEN

    @state.setter
    def state(self, state: str) -> None:
        if state == pybreaker.STATE_HALF_OPEN:
            return  # the lease in Redis says so already
        if state == pybreaker.STATE_OPEN:
            here, shared = self._local.open(), self._ask("open", *(_ms(seconds) for seconds in POLICY.open_s))
        else:
            here, shared = self._local.close(), self._ask("close")
        # Not counted by a listener of pybreaker: of processes that open it together Redis names only one.
        if here if shared is None else shared:
            if state == pybreaker.STATE_OPEN:
                metrics.BREAKER_OPENED.labels(self._kind).inc()
            self._log.warning("circuit_breaker.changed", state=state)

    @property
    def counter(self) -> int:
        """Failures in a row as last read, or as many as open the circuit if their share is too high."""
        return self._failures

    def increment_counter(self) -> None:
        """Count a failure."""
        self._local.increment_counter()
        shared = self._ask("count_failure", self._successes(), _ms(POLICY.window_s), POLICY.calls, POLICY.percent)
        if shared is None:
            self._failures = self._local.counter
        else:
            failures, too_many = shared
            self._failures = max(failures, POLICY.failures if too_many else 0)

    def reset_counter(self) -> None:
        """Count a success."""
        self._local.reset_counter()
        with self._lock:
            self._unreported += 1
        if self._failures:
            self._read(ends_row=True)

    def take(self, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """
        Run `limiter/take` with these keys and arguments in the round trip that reads the state.

        Raises:
            CircuitOpen: no permit was taken. `retry_after` is 0 if a probe is due.
            RedisError: Redis is unavailable, and the circuit was closed.
        """
        # Redis may have lost a circuit that is open here: the permit would be wasted.
        if self._local.state == pybreaker.STATE_OPEN and (wait := self._read()) is not None:
            raise CircuitOpen(wait)
        seen, *taken = self._scripts.run(
            "admission/take", keys=[*self._keys, *keys], args=[self._successes(), 0, *args]
        )
        if (wait := self._follow(seen)) is not None:
            raise CircuitOpen(wait)
        return taken[0]

    def lease_probe(self) -> float:
        """Take the lease of the probe; see `Storage`."""
        if wait := self._local.wait_s:  # it follows Redis and keeps what Redis may have lost
            raise CircuitOpen(wait)
        leased = self._ask("lease_probe", _ms(POLICY.probe_s))
        if leased is None:
            return self._local.lease_probe()
        token, wait_ms = leased
        if not token:
            raise CircuitOpen(wait_ms / 1000)
        return float(token)

    def release_probe(self, token: float) -> None:
        """Release the lease; see `Storage`."""
        self._local.release_probe(token)
        self._ask("release_probe", token)

    def _read(self, *, ends_row: bool = False) -> float | None:
        """Return the seconds until a probe is due, None while closed."""
        return self._follow(self._ask("read", self._successes(), int(ends_row)))

    def _follow(self, seen: tuple[bytes, int, int] | None) -> float | None:
        """Adopt the state in Redis, if it is known; return the seconds until a probe is due, None while closed."""
        if seen and seen[0] != b"unknown":
            state, failures, wait_ms = seen
            self._local.follow(failures, wait_ms / 1000 if state == b"open" else None)
        self._failures = self._local.failures
        return None if self._local.state == pybreaker.STATE_CLOSED else self._local.wait_s

    def _successes(self) -> int:
        with self._lock:
            taken, self._unreported = self._unreported, 0
            return taken

    def _ask(self, verb: str, *args: float) -> Any:
        """Return the result of a script, None while Redis is unavailable."""
        return shared_or_own(
            "circuit_breaker",
            lambda: self._scripts.run(f"circuit_breaker/{verb}", keys=self._keys, args=args),
            lambda: None,
        )


def outcome_of(status: int) -> Outcome:
    """Return the outcome that the status of a response is for the breaker."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome.FAILURE
    return Outcome.IGNORED if status >= HTTPStatus.BAD_REQUEST else Outcome.SUCCESS


class AccountBreaker(CircuitBreaker):
    """The breaker of one account's reads, or of its writes."""

    storage: SharedStorage

    def __init__(self, storage: SharedStorage) -> None:
        # A closed pooled connection is no failure: a deployment of Cal.com closes all of them at once.
        super().__init__(storage, POLICY, failures=(NotSent, NoAnswer), not_failures=(ConnectionClosed,))


@lru_cache(maxsize=1024)
def breaker_for(credential: str, account_id: int, kind: Kind) -> AccountBreaker:
    """Return the process's breaker of an account with this credential; it keeps what Redis may lose."""
    return make_breaker(credential, account_id, kind, scripts=scripts_in("calcom/resilience/lua"))


def make_breaker(
    credential: str, account_id: int, kind: Kind, *, scripts: Scripts, monotonic: Callable[[], float] = time.monotonic
) -> AccountBreaker:
    """Return a new breaker of the account, as another process would have."""
    local = ProcessStorage(f"{account_id}:{kind}", POLICY, monotonic=monotonic)
    keys = breaker_keys(credential, account_id, kind)
    return AccountBreaker(SharedStorage(keys, scripts, account_id=account_id, kind=kind, local=local))


def breaker_keys(credential: str, account_id: int, kind: Kind) -> list[str]:
    """Return the keys of a breaker and its history, on the Redis node of the limiter: one script uses both."""
    return [f"{key_prefix(credential)}:breaker:{account_id}:{kind}{part}" for part in ("", ":history")]


def state(credential: str, account_id: int, kind: Kind) -> CircuitState | None:
    """Return the state of the circuit, None while Redis is unavailable."""
    try:
        found = scripts_in("calcom/resilience/lua").run(
            "circuit_breaker/state", keys=breaker_keys(credential, account_id, kind)
        )
    except RedisError:
        return None
    failures, opened, wait_ms, probing, history = found
    moments = [entry.decode().split(":") for entry in history]
    return CircuitState(
        is_open=wait_ms >= 0,
        failures=failures,
        opened=opened,
        wait_s=max(0.0, wait_ms / 1000),
        probing=bool(probing),
        history=[(datetime.fromtimestamp(int(at) / 1000, UTC), step) for at, step in moments],
    )


def probe_now(credential: str, account_id: int, kind: Kind) -> bool:
    """
    Make the next call the probe of an open circuit; return whether it was open.

    Raises:
        RedisError: Redis is unavailable; nothing was changed.
    """
    return bool(
        scripts_in("calcom/resilience/lua").run(
            "circuit_breaker/probe_now", keys=breaker_keys(credential, account_id, kind)
        )
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
