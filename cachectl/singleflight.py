"""
Single-flight: one thread loads, the others wait; threads of a process on its future, processes on a lease.

A load is not cancelled when its waiters time out. It runs on the executor for loads and fills the cache; its own
time-out ends it, and the lease outlives that time-out, so that a dead loader is replaced.

Note [A lease that was lost]
    Redis may be emptied during a load. At peak the next process asks within a millisecond and would load the same. So
    the holder checks its lease every 150 ms and restores it; and for half a second from the generation, the moment it
    was first seen empty, Redis grants no lease (docs/adr/0025-lease-renewal.md).
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import inf
from uuid import uuid4

import structlog
from redis import RedisError

from cachectl import conf, loaders, store
from cachectl.freshness import Day, Freshness
from cachectl.infra import executors
from cachectl.infra.deadline import Deadline
from cachectl.loaders import LoadError, LoadPriority

log = structlog.get_logger(__name__)

_lock = threading.Lock()
FlightKey = tuple[int, int, LoadPriority]
_in_flight: "dict[FlightKey, Future[LoadResult]]" = {}
# Failed loads while Redis is unavailable: shared until then, on the monotonic clock.
_failed: "dict[FlightKey, tuple[float, LoadError]]" = {}


@dataclass(frozen=True, slots=True)
class Block:
    """The days that one request loads, and what it is for."""

    account_id: int
    event_type_id: int
    first: date
    last: date
    priority: LoadPriority
    """Background failures are not shared with callers."""
    tenant: int | None
    """The company whose caller started it, if several share the account."""
    wanted: Collection[date]
    """The days it is for; the others cost nothing extra."""
    needed: Callable[[Day], bool]
    """Whether a wanted day must be loaded, given its present state."""

    @property
    def flight_key(self) -> FlightKey:
        """Identifies the load: one at a time per process."""
        return self.account_id, self.event_type_id, self.priority

    @property
    def dates(self) -> list[date]:
        return dates_between(self.first, self.last)

    def needless(self, days: Mapping[date, Day]) -> bool:
        """Return whether the days as known by now suffice."""
        return not any(self.needed(days[day]) for day in self.wanted)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load, shared by all waiters."""

    days: Mapping[date, Day] = field(default_factory=dict)
    now: float = -inf
    """When the days were read: seconds on Redis' clock, -inf while Redis is unavailable."""
    loaded_here: bool = False
    """Whether this process sent the request."""
    failure: LoadError | None = None


def dates_between(first: date, last: date) -> list[date]:
    """Return the dates from `first` to `last`, both included."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def join(block: Block) -> "tuple[Future[LoadResult], bool]":
    """Return this process's load of the event type, which may be for other days, and whether we started it."""
    with _lock:
        if block.flight_key in _in_flight:
            return _in_flight[block.flight_key], False
        flight = _in_flight[block.flight_key] = executors.submit_load(block.account_id, _run, block)
    return flight, True


def _run(block: Block) -> LoadResult:
    try:
        return _take_turns(block)
    except LoadError as failure:
        return LoadResult(failure=failure)
    except RedisError as error:
        log.warning("cache.redis_unavailable", error_type=type(error).__name__)
        return _load_without_redis(block)
    finally:
        # Before the future resolves: a waiter that needs another load must not find this one again.
        with _lock:
            del _in_flight[block.flight_key]


def _take_turns(block: Block) -> LoadResult:
    """Load, or wait for the process that does; if it dies, its lease expires and we load."""
    token = uuid4().hex
    while True:
        lease = store.lease(block.account_id, block.event_type_id, block.dates, token)
        if lease.began is not None:
            return _lead(block, token, lease.began)
        if store.wait(block.account_id, lease.holder, lease.left):
            return _look(block)


def _lead(block: Block, token: str, began: int) -> LoadResult:
    failure = None
    try:
        # Another load may have ended since the lookup read.
        result = _look(block)
        if block.needless(result.days):
            return result
        with _leased(block, token):
            loaded = _load(block)
        return _keep(block, loaded, began)
    except LoadError as exc:
        failure = exc if block.priority is LoadPriority.LIVE else None
        raise
    finally:
        with suppress(RedisError):  # the lease expires by itself
            store.release(block.account_id, block.event_type_id, token, failure=failure)


@contextmanager
def _leased(block: Block, token: str) -> Iterator[None]:
    """Keep our lease alive while the block runs: see Note [A lease that was lost]."""
    over, until = threading.Event(), Deadline.after(conf.lease())

    def look_after() -> None:
        while not over.wait(conf.LEASE_SEEN_EVERY):
            with suppress(RedisError):
                store.keep_lease(block.account_id, block.event_type_id, token, until.left)

    threading.Thread(target=look_after, name="lease", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _load_without_redis(block: Block) -> LoadResult:
    """Load without Redis: one load per process, nothing stored. A failure is not repeated at once."""
    until, failure = _failed.get(block.flight_key, (0.0, None))
    if failure and time.monotonic() < until:
        return LoadResult(failure=failure)
    try:
        return _as_loaded(_load(block))
    except LoadError as exc:
        _failed[block.flight_key] = time.monotonic() + conf.FAILURE_NOTE, exc
        return LoadResult(failure=exc)


def _load(block: Block) -> Mapping[date, Sequence[int]]:
    try:
        loaded = loaders.current().load(
            account_id=block.account_id,
            event_type_id=block.event_type_id,
            first=block.first,
            last=block.last,
            priority=block.priority,
            tenant=block.tenant,
        )
        return {day: sorted(set(loaded[day])) for day in block.dates}
    except LoadError as failure:
        log.warning("cache.load_failed", event_type_id=block.event_type_id, reason=failure.reason)
        raise
    except Exception as exc:
        log.exception("cache.load_crashed", event_type_id=block.event_type_id)
        raise LoadError("error") from exc


def _keep(block: Block, loaded: Mapping[date, Sequence[int]], began: int) -> LoadResult:
    try:
        store.store_if_current(block.account_id, block.event_type_id, loaded, began=began)
        return _look(block, loaded_here=True)
    except RedisError:
        return _as_loaded(loaded)


def _look(block: Block, *, loaded_here: bool = False) -> LoadResult:
    snapshot = store.read(block.account_id, block.event_type_id, block.dates, asked=False)
    return LoadResult({day.date: day for day in snapshot.days}, snapshot.now / 1000, loaded_here)


def _as_loaded(loaded: Mapping[date, Sequence[int]]) -> LoadResult:
    return LoadResult(
        {day: Day(day, starts, None, Freshness.FRESH) for day, starts in loaded.items()}, loaded_here=True
    )
