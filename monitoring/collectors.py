"""
The registry of probes and collectors: every app registers its own in `AppConfig.ready()`, as monitoring imports no app.

A probe raises when something is wrong; a collector reads gauges. Both run when `/health`, `/metrics` or
`/performance-metrics` is requested: side by side, never waited for longer than `TIMEOUT_S`, at most once in `CACHED_S`.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Generic, TypeVar

import structlog
from django.db import connections

log = structlog.get_logger(__name__)
T = TypeVar("T")

TIMEOUT_S = 1.5  # clients have a time-out of their own, of two seconds
CACHED_S = 1.0  # so that requests cannot load the database


class Unhealthy(Exception):
    """A probe found something wrong. The message is public: it names no host, user or secret."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """The name, meaning and labels of a value that is read on request. All are in `monitoring/metrics.py`."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: object) -> "Reading":
        """Return a reading; `labels` in the order of the gauge's."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}.")
        return Reading(self, tuple(map(str, labels)), float(value))


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a gauge at one moment."""

    gauge: Gauge
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a registered function returned."""

    name: str
    value: T | None
    problem: str
    """Why there is no value; empty where there is one."""
    duration_ms: float


class Registry(Generic[T]):
    """Functions by name."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[[], T]] = {}
        self._latest: tuple[float, Sequence[Answer[T]]] = (0.0, ())
        self._running: dict[str, Future[Answer[T]]] = {}
        self._lock = Lock()

    def answers(self) -> Sequence[Answer[T]]:
        """Return what each function returned, at most `CACHED_S` ago."""
        with self._lock:
            if time.monotonic() - self._latest[0] > CACHED_S:
                until = time.monotonic() + TIMEOUT_S
                futures = {name: self._start(name) for name in self.functions}
                answers = [_answer_until(until, name, future) for name, future in futures.items()]
                self._latest = time.monotonic(), answers
            return self._latest[1]

    def clear_cache(self) -> None:
        """Call the functions again when the next answers are wanted."""
        with self._lock:
            self._latest = (0.0, ())

    def _start(self, name: str) -> "Future[Answer[T]]":
        """Call a function unless its last call still runs: one that hangs holds one thread, not one per request."""
        future = self._running.get(name)
        if future is None or future.done():
            future = self._running[name] = _pool().submit(_call, name, self.functions[name])
        return future


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="monitoring")


def _call(name: str, function: Callable[[], T]) -> Answer[T]:
    began = time.perf_counter()
    value, problem = None, ""
    try:
        value = function()
    except Unhealthy as exc:
        problem = str(exc)
    except Exception:
        log.warning("health.probe_failed", probe=name, exc_info=True)
        problem = "not reachable"
    finally:
        connections.close_all()  # an idle thread keeps none
    return Answer(name, value, problem, round((time.perf_counter() - began) * 1000, 2))


def _answer_until(until: float, name: str, future: "Future[Answer[T]]") -> Answer[T]:
    try:
        return future.result(timeout=max(0.0, until - time.monotonic()))
    except FutureTimeout:
        return Answer(name, None, "no answer in time", TIMEOUT_S * 1000)


PROBES: Registry[object] = Registry()
COLLECTORS: Registry[Sequence[Reading]] = Registry()
VITAL: set[str] = set()
"""Names of the probes without which no traffic may be sent here."""


def register_probe(name: str, check: Callable[[], object], *, vital: bool = False) -> None:
    """Register a probe, in place of one of that name. It may raise anything; only the text of `Unhealthy` is shown."""
    PROBES.functions[name] = check
    (VITAL.add if vital else VITAL.discard)(name)


def register_collector(name: str, read: Callable[[], Iterable[Reading]]) -> None:
    """
    Register a collector, in place of one of that name. Where it raises, its gauges are missing.

    It may take a second but must cost the database little: what it counts is bounded and indexed.
    """
    COLLECTORS.functions[name] = lambda: list(read())
