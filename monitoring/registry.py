"""
What the apps tell monitoring about themselves: each registers its probes and its gauges in `AppConfig.ready()`.

Monitoring knows no app of ours, so what must travel up travels through here.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Generic, TypeVar

import structlog
from django.db import connections

log = structlog.get_logger(__name__)
T = TypeVar("T")

LONGEST = 1.5  # seconds an answer is waited for; whoever asks us has his own within two
KEPT = 1.0  # seconds an answer is given again, so that nobody can load the database by asking how it is


class Unhealthy(Exception):
    """A probe found something wrong; the message is shown to the public, so it names no host, user or secret."""


# --- asking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What came of one question."""

    name: str
    value: T | None
    problem: str
    """Why there is no value; empty where there is one."""
    took_ms: float


class Round(Generic[T]):
    """Questions that are asked side by side and never for long, each by one at a time."""

    def __init__(self) -> None:
        self.questions: dict[str, Callable[[], T]] = {}
        self._latest: tuple[float, Sequence[Answer[T]]] = (0.0, ())
        self._under_way: dict[str, Future[Answer[T]]] = {}
        self._asking = Lock()

    def answers(self) -> Sequence[Answer[T]]:
        """Return what was answered, at most a second ago."""
        with self._asking:
            if time.monotonic() - self._latest[0] > KEPT:
                asked = [(name, self._ask(name)) for name in self.questions]
                until = time.monotonic() + LONGEST
                self._latest = time.monotonic(), [_awaited(name, future, until) for name, future in asked]
            return self._latest[1]

    def forget(self) -> None:
        """Ask again, however short a time ago there were answers."""
        with self._asking:
            self._latest = (0.0, ())

    def _ask(self, name: str) -> "Future[Answer[T]]":
        """Ask, unless somebody still waits for the last answer: what hangs must not take thread after thread."""
        future = self._under_way.get(name)
        if future is None or future.done():
            future = self._under_way[name] = _pool().submit(_answered, name, self.questions[name])
        return future


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=32, thread_name_prefix="monitoring")


def _answered(name: str, question: Callable[[], T]) -> Answer[T]:
    began = time.perf_counter()
    value, problem = None, ""
    try:
        value = question()
    except Unhealthy as exc:
        problem = str(exc)
    except Exception:
        log.warning("probe failed", probe=name, exc_info=True)
        problem = "not reachable"
    finally:
        connections.close_all()  # an idle thread keeps none
    return Answer(name, value, problem, round((time.perf_counter() - began) * 1000, 2))


def _awaited(name: str, future: "Future[Answer[T]]", until: float) -> Answer[T]:
    try:
        return future.result(timeout=max(0.0, until - time.monotonic()))
    except TooLate:
        return Answer(name, None, "no answer in time", LONGEST * 1000)


# --- probes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe found."""

    name: str
    vital: bool
    """Whether nobody should be sent here while it fails."""
    ok: bool
    detail: str
    took_ms: float


_probes: Round[object] = Round()
_vital: set[str] = set()


def register_probe(name: str, check: Callable[[], object], *, vital: bool = False) -> None:
    """
    Ask `check` whenever somebody asks for our health; a second registration of a name replaces the first.

    It raises whatever it likes when something is wrong; only the text of `Unhealthy` is shown.
    """
    _probes.questions[name] = check
    (_vital.add if vital else _vital.discard)(name)


def outcomes() -> Sequence[Outcome]:
    """Return what the probes found."""
    return [
        Outcome(answer.name, answer.name in _vital, not answer.problem, answer.problem, answer.took_ms)
        for answer in _probes.answers()
    ]


# --- gauges ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of a gauge at one moment."""

    gauge: "Gauge"
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something that is read when somebody asks for it. All of them are in `monitoring/metrics.py`."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    def at(self, value: float, *labels: object) -> Reading:
        """Return a reading; `labels` in the order of the gauge's."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}.")
        return Reading(self, tuple(map(str, labels)), float(value))


_readers: Round[Sequence[Reading]] = Round()


def register_gauges(name: str, read: Callable[[], Iterable[Reading]]) -> None:
    """
    Have `read` read its gauges whenever somebody asks for our figures; a second registration replaces the first.

    It may take a second, but must cost the database little: what it counts is bounded and indexed. Where it raises, its
    gauges are missing; only the text of `Unhealthy` is shown.
    """
    _readers.questions[name] = lambda: list(read())


def readings() -> Sequence[Answer[Sequence[Reading]]]:
    """Return what the gauges show, by who reads them."""
    return _readers.answers()
