"""
What the apps tell monitoring about themselves: each registers its probes in `AppConfig.ready()`.

Monitoring knows no app of ours, so what must travel up travels through here.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from functools import cache
from threading import Lock

import structlog

log = structlog.get_logger(__name__)

LONGEST = 2.0  # seconds a probe may take before it counts as failed
KEPT = 1.0  # seconds an outcome is answered again, so that nobody can load the database by asking how it is


class Unhealthy(Exception):
    """A probe found something wrong; the message is shown to the public, so it names no host, user or secret."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about how we are."""

    name: str
    check: Callable[[], object]
    """Raises whatever it likes when something is wrong; only the text of `Unhealthy` is shown."""
    vital: bool
    """Whether nobody should be sent here while it fails."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a probe found."""

    name: str
    vital: bool
    ok: bool
    detail: str
    took_ms: float


_probes: dict[str, Probe] = {}
_latest: tuple[float, Sequence[Outcome]] = (0.0, ())
_asking = Lock()


def register_probe(name: str, check: Callable[[], object], *, vital: bool = False) -> None:
    """Ask `check` whenever somebody asks for our health; a second registration of a name replaces the first."""
    _probes[name] = Probe(name, check, vital)


def outcomes(*, fresh: bool = False) -> Sequence[Outcome]:
    """Return what the probes found, at most a second ago unless `fresh` is asked for; they run side by side."""
    global _latest  # noqa: PLW0603  the one shared value, guarded by the lock
    with _asking:
        if fresh or time.monotonic() - _latest[0] > KEPT:
            asked = [(probe, _pool().submit(_ask, probe)) for probe in _probes.values()]
            until = time.monotonic() + LONGEST
            _latest = time.monotonic(), [_awaited(probe, future, until) for probe, future in asked]
        return _latest[1]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")


def _ask(probe: Probe) -> Outcome:
    began = time.perf_counter()
    problem = ""
    try:
        probe.check()
    except Unhealthy as exc:
        problem = str(exc)
    except Exception:
        log.warning("probe failed", probe=probe.name, exc_info=True)
        problem = "not reachable"
    return Outcome(probe.name, probe.vital, not problem, problem, round((time.perf_counter() - began) * 1000, 2))


def _awaited(probe: Probe, future: "Future[Outcome]", until: float) -> Outcome:
    try:
        return future.result(timeout=max(0.0, until - time.monotonic()))
    except TooLate:
        return Outcome(probe.name, probe.vital, False, "no answer in time", LONGEST * 1000)
