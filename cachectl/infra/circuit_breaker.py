"""
The circuit breaker in front of every service that may not answer: Cal.com, Redis, the broker.

pybreaker is the state machine, driven by its public `open()`, `half_open()` and `close()`. Its own `call()` and
`calling()` stay unused: they count an excluded exception as a success and let every thread probe at once (measured
2026-11). Here a storage counts, and one leased probe at a time goes through a circuit that is due for one.

A circuit is open until a call has succeeded. Half open is not a state to be shown: it is the call that holds the lease.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import pybreaker
import structlog

log = structlog.get_logger(__name__)

# Seconds for which a process does not ask Redis or the broker again after a failure.
OPEN_S = 1.0
# Calls that are remembered for the share of failures.
CALLS_KEPT = 1000


class CircuitOpen(Exception):
    """The service failed and was not asked again. Ask after `retry_after` seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("The circuit breaker is open.")
        self.retry_after = retry_after


class Outcome(Enum):
    """What a call says about the health of the service."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Nothing: it neither counts nor ends a row of failures."""


@dataclass(slots=True)
class Call:
    """A call under guard. Where it returns, `outcome` counts; where it raises, the exception does."""

    outcome: Outcome = Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class Policy:
    """When a circuit opens, and when it may be tried again. Times in seconds."""

    failures: int
    """In a row, that open it."""
    open_s: tuple[float, ...]
    """How long it stays open: the first time, after one failed probe, and so on; the last for all that follow."""
    probe_s: float
    """After which a probe that has not reported is given up: longer than the longest call."""
    percent: int = 100
    """Share of failed calls in `window_s` that opens it, too, where there are `calls` or more."""
    calls: int = 0
    """0 for none: only a row of failures opens it."""
    window_s: float = 30.0


class Storage(pybreaker.CircuitBreakerStorage):
    """pybreaker's storage, and the lease of the one probe. `state` is closed or open."""

    success_counter = 1  # one successful probe closes the circuit
    opened_at: datetime | None = None  # pybreaker's, by the host's clock: a storage has its own

    def lease_probe(self) -> float:
        """
        Take the lease of the one probe; return its token.

        Raises:
            CircuitOpen: it is too early, or another call probes.
        """
        raise NotImplementedError

    def release_probe(self, token: float) -> None:
        """Give the lease back, of a probe that said nothing: the next call probes."""
        raise NotImplementedError


class ProcessStorage(Storage):
    """A circuit of this process, on its monotonic clock."""

    def __init__(self, name: str, policy: Policy, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name)
        self.policy = policy
        self._monotonic = monotonic
        self.failures = 0
        """In a row."""
        self._opened = 0
        self._open_until = 0.0
        """0 while closed; once it has passed, a probe is due."""
        self._leased_until = 0.0
        self._calls: deque[tuple[float, bool]] = deque(maxlen=CALLS_KEPT)
        self._lock = threading.Lock()

    @property
    def state(self) -> str:
        """Return closed or open."""
        return pybreaker.STATE_OPEN if self._open_until else pybreaker.STATE_CLOSED

    @state.setter
    def state(self, state: str) -> None:
        if state == pybreaker.STATE_OPEN:
            self.open()
        elif state == pybreaker.STATE_CLOSED:
            self.close()

    @property
    def counter(self) -> int:
        """Return the failures in a row, or as many as open the circuit where their share is too high."""
        with self._lock:
            since = self._monotonic() - self.policy.window_s
            recent = [failed for at, failed in self._calls if at > since]
        too_many = (
            recent and len(recent) >= self.policy.calls and sum(recent) * 100 >= len(recent) * self.policy.percent
        )
        return max(self.failures, self.policy.failures if too_many else 0)

    def increment_counter(self) -> None:
        """Count a failure, unless the circuit is open: then the call was under way when it opened."""
        with self._lock:
            if not self._open_until:
                self.failures += 1
                self._remember(failed=True)

    def reset_counter(self) -> None:
        """Count a success."""
        if not self.failures and not self.policy.calls:
            return
        with self._lock:
            self.failures = 0
            self._remember(failed=False)

    def open(self) -> bool:
        """Open, longer each time; return False if it is open already and no probe is due."""
        with self._lock:
            now = self._monotonic()
            if self._open_until > now:
                return False
            lengths = self.policy.open_s
            self._open_until = now + lengths[min(self._opened, len(lengths) - 1)]
            self._opened += 1
            self.failures, self._leased_until = 0, 0.0
            self._calls.clear()
            return True

    def close(self) -> bool:
        """Close; return whether it was open."""
        with self._lock:
            was_open = bool(self._open_until)
            self.failures, self._opened, self._open_until, self._leased_until = 0, 0, 0.0, 0.0
            return was_open

    def follow(self, failures: int, wait_s: float | None) -> None:
        """Take over what another storage says: failures in a row, and seconds until a probe, None while closed."""
        with self._lock:
            self.failures = failures
            self._open_until = 0.0 if wait_s is None else self._monotonic() + wait_s
            self._opened = 0 if wait_s is None else max(self._opened, 1)

    @property
    def wait_s(self) -> float:
        """Return the seconds until a probe is due."""
        return max(0.0, self._open_until - self._monotonic())

    def lease_probe(self) -> float:
        """Take the lease of the one probe; see `Storage`."""
        with self._lock:
            now = self._monotonic()
            taken_until = max(self._open_until, self._leased_until)
            if taken_until > now:
                raise CircuitOpen(taken_until - now)
            self._leased_until = now + self.policy.probe_s
            return self._leased_until

    def release_probe(self, token: float) -> None:
        """Give the lease back; see `Storage`."""
        with self._lock:
            if self._leased_until == token:
                self._leased_until = 0.0

    def _remember(self, *, failed: bool) -> None:
        if self.policy.calls:
            self._calls.append((self._monotonic(), failed))


class _LogChanges(pybreaker.CircuitBreakerListener):
    """A line for each time that a circuit of this process opens or closes."""

    def state_change(self, cb: pybreaker.CircuitBreaker, old_state: object, new_state: object) -> None:
        """Write it."""
        old, new = (getattr(state, "name", "") for state in (old_state, new_state))
        if old != new != pybreaker.STATE_HALF_OPEN:
            log.warning("circuit_breaker.changed", kind=cb.name, state=new)


class CircuitBreaker(pybreaker.CircuitBreaker):
    """A state machine of pybreaker's over a storage of ours, entered by `guard` alone."""

    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        *,
        failures: tuple[type[Exception], ...],
        not_failures: tuple[type[Exception], ...] = (),
        answers: tuple[type[Exception], ...] = (),
        listeners: tuple[pybreaker.CircuitBreakerListener, ...] = (),
    ) -> None:
        """
        Watch one service.

        Args:
            storage: where the state is.
            policy: the storage's.
            failures: exceptions that count as a failure, but for `not_failures`.
            not_failures: subclasses of `failures` that say nothing of the service's health.
            answers: exceptions that count as a success: the service answered, if only to say no.
            listeners: pybreaker's.
        """
        self.storage = storage
        self._answers = answers
        super().__init__(
            policy.failures,
            exclude=[lambda exc: not isinstance(exc, failures) or isinstance(exc, not_failures)],
            listeners=listeners,
            state_storage=storage,
            name=storage.name,
        )

    @contextmanager
    def guard(self, *, is_open: bool | None = None) -> Iterator[Call]:
        """
        Guard one call to the service.

        Args:
            is_open: what the caller has just read of the storage; None to read it here.

        Raises:
            CircuitOpen: nothing was sent.
        """
        probe = None
        if is_open is None:
            is_open = self.storage.state == pybreaker.STATE_OPEN
        if is_open:
            probe = self.storage.lease_probe()
            self.half_open()
        call = Call()
        try:
            yield call
        except BaseException as exc:
            call.outcome = self._outcome_of(exc)
            raise
        finally:
            self._record(call.outcome, probe)

    def _outcome_of(self, exc: BaseException) -> Outcome:
        if isinstance(exc, self._answers):
            return Outcome.SUCCESS
        return Outcome.FAILURE if self.is_system_error(exc) else Outcome.IGNORED

    def _record(self, outcome: Outcome, probe: float | None) -> None:
        if outcome is Outcome.SUCCESS:
            if probe is None:
                self.storage.reset_counter()
            else:
                self.close()
        elif outcome is Outcome.FAILURE:
            if probe is None:
                self.storage.increment_counter()
            if probe is not None or self.fail_counter >= self.fail_max:
                self.open()
        elif probe is not None:
            self.storage.release_probe(probe)


def process_breaker(
    name: str, *, failures: tuple[type[Exception], ...], probe_s: float, answers: tuple[type[Exception], ...] = ()
) -> CircuitBreaker:
    """
    Return the breaker of a service that this process watches for itself: one failure opens it for a second.

    Args:
        name: of the service, for the log.
        failures: exceptions that are raised where it does not answer.
        probe_s: seconds that a call takes at most.
        answers: exceptions that are raised where it answers no.
    """
    policy = Policy(failures=1, open_s=(OPEN_S,), probe_s=probe_s)
    storage = ProcessStorage(name, policy)
    return CircuitBreaker(storage, policy, failures=failures, answers=answers, listeners=(_LogChanges(),))
