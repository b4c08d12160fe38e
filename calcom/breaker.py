"""
Leave Cal.com alone while it does not answer: a breaker per account for reads, and one for writes.

pybreaker is the state machine. Its storage is ours, because its own for Redis compares host clocks, lets every thread
probe at once, takes an excluded error for a success, knows no share of failures and keeps its keys for ever (measured
2026-11). Here Redis decides and tells the time; without Redis each process decides for itself.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

import pybreaker
import structlog
from redis import RedisError

from cachectl.infra.lua import Argument, Scripts, scripts_in
from calcom.breaker_state import FAILURES_IN_A_ROW, BreakerState, Lease, Local, Shared, View
from calcom.errors import Unavailable
from calcom.keys import breaker_keys
from calcom.transport import ConnectionClosed, NoAnswer, NotSent
from monitoring import metrics

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What fails apart is guarded apart: a slow booking says nothing about lists of slots."""

    READS = "reads"
    WRITES = "writes"


class ServerFailed(Exception):
    """Cal.com answered with a 5xx."""


class _NothingLearned(Exception):
    """Cal.com answered with a 4xx, which says nothing about its health."""


class StillOpen(pybreaker.CircuitBreakerError):
    """The breaker is open, or somebody else probes."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("Cal.com did not answer; it is left alone for a while.")
        self.retry_after = retry_after


class IsOpen(Exception):
    """The breaker is open: only `guarded` knows whether this call may probe."""


class LeftAlone(Unavailable):
    """The breaker is open, or somebody else probes. Nothing was sent; ask again after `retry_after` seconds."""

    outcome = "left_alone"


class _Storage(pybreaker.CircuitBreakerStorage):
    """
    What pybreaker asks for, from Redis, or from this process where Redis is away or has forgotten.

    Successes of a healthy breaker cost no trip: they are counted here and reported with the next look. Only while
    failures stand in a row is a success reported at once, because it ends the row for everybody.
    """

    def __init__(self, account_id: int, kind: Kind, *, shared: Shared, local: Local) -> None:
        super().__init__(f"{account_id}:{kind}")
        self.kind = kind
        self._log = log.bind(account_id=account_id, kind=kind)
        self._shared = shared
        self._local = local
        self._unreported = 0
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @property
    def state(self) -> str:
        """Return closed or open: half open is only the one call that holds the lease."""
        return pybreaker.STATE_OPEN if self._look().is_open else pybreaker.STATE_CLOSED

    @state.setter
    def state(self, state: str) -> None:
        opened = state == pybreaker.STATE_OPEN
        changed = self._local.open() if opened else self._local.close()
        shared = self._ask(self._shared.open if opened else self._shared.close)
        if changed if shared is None else shared:
            if opened:
                metrics.BREAKER_OPENED.labels(self.kind).inc()
            self._log.warning("calcom_breaker", state=state)

    @property
    def counter(self) -> int:
        """Return the failures in a row that the last failure of this thread found."""
        return int(self._of_thread.counter)

    @property
    def success_counter(self) -> int:
        """Return 1: one probe that succeeds closes."""
        return 1

    @property
    def opened_at(self) -> None:
        """Return nothing: Redis knows, and nobody compares it with a host's clock."""

    @opened_at.setter
    def opened_at(self, now: datetime) -> None:
        """Ignore the host's clock."""

    def increment_counter(self) -> None:
        """Count a failure."""
        local = self._local.failed()
        shared = self._ask(lambda: self._shared.failed(self._successes()))
        self._in_a_row = self._of_thread.counter = local if shared is None else shared

    def reset_counter(self) -> None:
        """Count a success."""
        self._local.succeeded()
        with self._lock:
            self._unreported += 1
        if self._in_a_row:
            self._look(ends_row=True)

    def take(self, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """
        Run `limiter/take` with these keys and arguments, in the trip that looks.

        Raises:
            IsOpen: nothing was taken.
            RedisError: Redis is away, and the breaker was closed.
        """
        # What is open here Redis may have lost: then a permit would be taken for nothing.
        if self._local.look().is_open and self._look().is_open:
            raise IsOpen
        view, taken = self._shared.look_and_take(self._successes(), keys=keys, args=args)
        if self._learn(view).is_open:
            raise IsOpen
        return taken

    def lease(self) -> Lease:
        """Ask for leave to probe."""
        waiting = self._local.look().wait_s  # it follows Redis, and remembers what Redis may have lost since
        if waiting:
            return Lease(wait_s=waiting)
        return self._ask(self._shared.lease) or self._local.lease()

    def give_back(self, lease: Lease) -> None:
        """Let the next call probe: this one told nothing."""
        self._local.give_back(lease)
        self._ask(lambda: self._shared.give_back(lease))

    def _look(self, *, ends_row: bool = False) -> View:
        return self._learn(self._ask(lambda: self._shared.look(self._successes(), ends_row=ends_row)))

    def _learn(self, view: View | None) -> View:
        """Take over what Redis said; return where the breaker stands, also where it said nothing."""
        if view:
            self._local.follow(view)
        view = view or self._local.look()
        self._in_a_row = view.failures
        return view

    def _successes(self) -> int:
        with self._lock:
            taken, self._unreported = self._unreported, 0
            return taken

    @staticmethod
    def _ask(verb: Callable[[], T]) -> T | None:
        """Return what Redis says, None while it is away."""
        try:
            return verb()
        except RedisError:
            return None


class _Unbiased:
    """An answer that says nothing of Cal.com's health neither counts nor ends a row (pybreaker: it ends it)."""

    _breaker: pybreaker.CircuitBreaker

    def _handle_error(self, exc: BaseException, reraise: bool = True) -> None:
        if self._breaker.is_system_error(exc):
            super()._handle_error(exc, reraise)  # type: ignore[misc]
            return
        self.on_nothing_learned()
        if reraise:
            raise exc

    def on_nothing_learned(self) -> None:
        """Do what such an answer asks for."""


class _Closed(_Unbiased, pybreaker.CircuitClosedState):  # type: ignore[misc]
    def __init__(self, breaker: "Breaker") -> None:
        super().__init__(breaker)  # not notifying: noticing that others closed it is no success of ours


class _Open(pybreaker.CircuitOpenState):
    def __init__(self, breaker: "Breaker") -> None:
        super().__init__(breaker)
        self._storage = breaker.storage

    def before_call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Turn the call away, unless it is the one that may probe."""
        lease = self._storage.lease()
        if not lease.token:
            raise StillOpen(lease.wait_s)
        return _Probe(self._breaker, self._storage, lease).call(func, *args, **kwargs)


class _Probe(_Unbiased, pybreaker.CircuitHalfOpenState):  # type: ignore[misc]
    def __init__(self, breaker: pybreaker.CircuitBreaker, storage: _Storage, lease: Lease) -> None:
        super().__init__(breaker, prev_state=None)
        self._storage = storage
        self._lease = lease

    def on_success(self) -> None:
        self._breaker.close()

    def on_nothing_learned(self) -> None:
        self._storage.give_back(self._lease)


class Breaker(pybreaker.CircuitBreaker):
    """pybreaker's breaker with one probe at a time, over a storage that all processes share."""

    def __init__(self, storage: _Storage) -> None:
        self.storage = storage
        super().__init__(FAILURES_IN_A_ROW, state_storage=storage, throw_new_error_on_trip=False, name=storage.name)

    def is_system_error(self, exception: BaseException) -> bool:
        """Return whether it speaks of Cal.com's health: no connection, no answer in time, or a 5xx."""
        # A pooled connection at its end says nothing: deploying Cal.com ends all of them at once.
        return isinstance(exception, NotSent | NoAnswer | ServerFailed) and not isinstance(exception, ConnectionClosed)

    def run(self, call: Callable[[], Iterator[T]], *, is_open: bool) -> Iterator[T]:
        """Do with a generator what `calling` does with a block, without a look: the caller had one."""
        state = self._create_new_state(pybreaker.STATE_OPEN if is_open else pybreaker.STATE_CLOSED)
        ran: Iterator[T] = state.call(call)
        return ran

    def _create_new_state(self, new_state: str, prev_state: object = None, notify: bool = False) -> Any:  # noqa: ARG002
        return _Open(self) if new_state == pybreaker.STATE_OPEN else _Closed(self)


@dataclass
class Attempt:
    """A call under guard. What it was answered decides; an exception of the transport is a failure."""

    status: int | None = None

    def answered(self, status: int) -> None:
        """Tell the status of the answer."""
        self.status = status

    def judged(self) -> Iterator["Attempt"]:
        """Be used, then raise what the breaker shall see of the answer."""
        yield self
        if self.status is not None and self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ServerFailed
        if self.status is not None and self.status >= HTTPStatus.BAD_REQUEST:
            raise _NothingLearned


@lru_cache(maxsize=1024)
def breaker_for(credential: str, account_id: int, kind: Kind) -> Breaker:
    """Return the process's breaker of an account that has this credential: it remembers what Redis may lose."""
    return make_breaker(credential, account_id, kind, scripts=scripts_in("calcom/lua"))


def make_breaker(
    credential: str, account_id: int, kind: Kind, *, scripts: Scripts, monotonic: Callable[[], float] = time.monotonic
) -> Breaker:
    """Return one more breaker of the account, as another process would have it."""
    shared = Shared(breaker_keys(credential, account_id, kind), scripts)
    return Breaker(_Storage(account_id, kind, shared=shared, local=Local(monotonic)))


@contextmanager
def guarded(breaker: Breaker, *, is_open: bool) -> Iterator[Attempt]:
    """
    Guard the exchange of one request; put it around the transport, inside of what sorts its errors.

    Args:
        breaker: of the account and of this kind of calls.
        is_open: what a look at it has shown.

    Raises:
        LeftAlone: it is open, and this is not the call that probes; nothing was sent.
    """
    try:
        yield from breaker.run(Attempt().judged, is_open=is_open)
    except StillOpen as exc:
        metrics.BREAKER_REFUSALS.labels(breaker.storage.kind).inc()
        raise LeftAlone(str(exc), retry_after=exc.retry_after) from None
    except (ServerFailed, _NothingLearned):
        return


def state(credential: str, account_id: int, kind: Kind) -> BreakerState | None:
    """Return where the breaker stands, None while Redis is away."""
    try:
        return Shared(breaker_keys(credential, account_id, kind), scripts_in("calcom/lua")).state()
    except RedisError:
        return None


def probe_now(credential: str, account_id: int, kind: Kind) -> bool:
    """
    Let the next call through an open breaker; return whether it was open.

    Raises:
        RedisError: Redis is away; nothing was changed.
    """
    return Shared(breaker_keys(credential, account_id, kind), scripts_in("calcom/lua")).probe_now()
