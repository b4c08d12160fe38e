"""Callers who go on while something is broken: what each of them was told, and after how long."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Any, Self

from script.lib.agent import Agent, Answer
from script.lib.environment import Ground
from script.lib.measurements import percentile
from script.lib.processes import StageError

# Seconds that an agent waits who does not say otherwise: for a question, and for a change.
READ_WAIT, WRITE_WAIT = 2.0, 3.5


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer, or that none came."""

    what: str
    asked_at: float
    """On the monotonic clock."""
    took: float
    wait: float
    """Seconds until the deadline."""
    status: int = 0
    """Of HTTP; 0 where no answer came."""
    code: str = ""
    """Of a problem, else the status of the answer in a word."""
    retry_after: str = ""

    @property
    def excess(self) -> float:
        """Return the seconds beyond the deadline."""
        return max(0.0, self.took - self.wait)

    @property
    def is_failure(self) -> bool:
        """Return whether it is a 500, or nothing at all: neither is ever right."""
        return self.status in (0, 500)


class Caller:
    """One of them, and what is said to it."""

    def __init__(self, number: int, agent: Agent, tell: Callable[[Heard], None]) -> None:
        self.number = number
        """From 0, counted over all callers."""
        self.calls = 0
        """How often it has called."""
        self._agent = agent
        self._tell = tell

    def get(self, what: str, path: str, **query: str) -> Answer | None:
        """Ask a question; None where no answer came."""
        return self._noted(what, READ_WAIT, lambda: self._agent.get(path, **query))

    def post(
        self, what: str, path: str, body: Mapping[str, Any], *, wait: float = WRITE_WAIT, **headers: str
    ) -> Answer | None:
        """Ask for a change, or with `wait` a question that has a body; None where no answer came."""
        return self._noted(what, wait, lambda: self._agent.post(path, body, **headers))

    def _noted(self, what: str, wait: float, ask: Callable[[], Answer]) -> Answer | None:
        began = time.monotonic()
        try:
            answer = ask()
        except StageError:
            self._tell(Heard(what, began, time.monotonic() - began, wait))
            return None
        body = answer.body if isinstance(answer.body, dict) else {}
        code = str(body.get("code") or body.get("status"))
        self._tell(Heard(what, began, answer.took, wait, answer.status, code, answer.headers.get("Retry-After", "")))
        return answer


class Callers:
    """Callers, each on a thread and a connection of its own, who call again and again until the context is left."""

    def __init__(self, here: Ground) -> None:
        self._here = here
        self._heard: list[Heard] = []
        self._threads: list[threading.Thread] = []
        self._broken: list[Exception] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._broken and error is None:
            raise StageError(f"A caller broke off: {self._broken[0]!r}.") from self._broken[0]

    def let(self, way: Callable[[Caller], None], *, number: int, every: float) -> None:
        """Let so many callers go this way, each again after `every` seconds, from now on."""
        for _ in range(number):
            caller = Caller(len(self._threads), self._here.agent(), self._heard.append)
            thread = threading.Thread(target=self._call, args=(way, caller, every))
            self._threads.append(thread)
            thread.start()

    def heard(self, since: float = -inf, until: float = inf) -> list[Heard]:
        """Return what was said to those who asked in this time."""
        return [each for each in self._heard if since <= each.asked_at < until]

    def _call(self, way: Callable[[Caller], None], caller: Caller, every: float) -> None:
        began = time.monotonic()
        try:
            while not self._over.wait(max(0.0, began + every * caller.calls - time.monotonic())):
                way(caller)
                caller.calls += 1
        except Exception as exc:  # noqa: BLE001  it is raised where the context is left
            self._broken.append(exc)


def spelled(heard: Sequence[Heard]) -> list[str]:
    """Return what was heard, a line for each kind of answer."""
    kinds: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for each in heard:
        kinds[each.what, each.status, each.code].append(each.took * 1000)
    return [
        f"{len(times):>5} times {what:<8} {status or 'no answer'} {code:<24}"
        f" p50 {percentile(times, 0.5):>6.0f}  p99 {percentile(times, 0.99):>6.0f}  max {max(times):>6.0f} ms"
        for (what, status, code), times in sorted(kinds.items())
    ]
