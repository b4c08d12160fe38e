"""
A process of ours under the control of a test: its steps have an order, its waits take no time, and it can be killed.

It is killed between two durable steps: before a statement or a commit, around a request to Cal.com, before a write to
Redis or the broker. The next step then does not happen, as after kill -9.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures._base import DoneAndNotDoneFutures
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from celery import current_app
from django.db import close_old_connections, connection
from django.db.backends.signals import connection_created

from bookings.scheduling import claims, execution
from cachectl import singleflight, store
from cachectl.infra import deadline, executors, lua, wakeups
from calcom.http import transport

# Seconds after which a request that gets no answer has timed out.
_SHORT = 0.05
R = TypeVar("R")
_LOOK_EVERY = 0.001
_PATIENCE = 10.0


class Killed(BaseException):
    """The process was killed. Our code must not catch this."""


class Process:
    """A process of ours under the control of a test."""

    def __init__(
        self,
        *,
        gets_no_answer: Callable[[str, str], bool],
        held: Callable[[], int],
        advance: Callable[[float], object],
    ) -> None:
        """
        Args:
            gets_no_answer: whether Cal.com will not answer this request, by method and URL.
            held: how many requests Cal.com is holding.
            advance: advances the clock by seconds.
        """
        self.queued: deque[tuple[str, dict[str, Any]]] = deque()
        """Messages at the broker: task names and arguments."""
        self.slept = 0.0
        """Seconds that were waited on its clock."""
        self.a_write_may_hang = False
        """Whether writes run on threads of their own."""
        self._gets_no_answer, self._held, self._advance = gets_no_answer, held, advance
        self._afterwards: deque[Callable[[], object]] = deque()
        self._hanging: list[Future[Any]] = []
        self._held_before = 0
        self._steps_left: int | None = None
        self._oldest_alive = 0
        self._thread = threading.local()

    def run(self, job: Callable[[], R]) -> R | None:
        """Run a job and its background jobs; return its result, None if the process was killed before."""
        answer = None
        self._thread.life = self._oldest_alive
        try:
            found = job()
            if self._thread.life == self._oldest_alive:  # a thread of it may have been killed, and so all of it
                answer = found
            while self._afterwards:
                self._afterwards.popleft()()
        except Killed:
            self._afterwards.clear()  # its memory is lost
        finally:
            del self._thread.life
        return answer

    def kill_after(self, steps: int | None) -> None:
        """Have it killed before this step from now on, and restarted; None prevents it."""
        self._steps_left = steps

    def _step(self, *, counts: bool = True) -> None:
        """Count a durable step that is about to happen. Raises `Killed` if it is not to happen."""
        life = getattr(self._thread, "life", None)
        if life is None:
            return  # the test itself
        if counts and self._steps_left is not None and life == self._oldest_alive:
            self._steps_left -= 1
            if self._steps_left <= 0:
                self._steps_left, self._oldest_alive = None, life + 1
        if life < self._oldest_alive:
            raise Killed

    def work(self, task: Callable[..., Any], **arguments: Any) -> None:
        """Run a task as a worker does, without waiting for a hanging write."""
        self.run(lambda: self._work(lambda: task(**arguments)))

    def _work(self, run: Callable[[], Any]) -> None:
        if not self.a_write_may_hang:
            run()
            return
        job = self._let_hang(close_old_connections, run)
        self._wait([job], timeout=0.0)
        if job.done():
            job.result()

    def await_hanging(self) -> None:
        """Wait for writes that no longer hang."""
        while self._hanging:
            self._hanging.pop().exception(timeout=_PATIENCE)

    def _submit(
        self, pool: str, tidy: Callable[[], None], _account_id: int, job: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        def run() -> Any:
            return job(*args, **kwargs)

        if pool == "background":  # run when the request has been answered, or never if the process was killed
            self._afterwards.append(run)
            return Future()
        if pool == "writes" and self.a_write_may_hang:
            return self._let_hang(tidy, run)
        return _done(run)

    def _join(self, block: singleflight.Block) -> "tuple[Future[singleflight.LoadResult], bool]":
        """Load at once: there is no other thread."""
        singleflight._in_flight[block.flight_key] = Future()
        return _done(lambda: singleflight._run(block)), True

    def _await_load(self, _account_id: int, _token: str, seconds: float) -> bool:
        """Wait in vain for the load of another process."""
        self._advance(seconds)
        return False

    def _let_hang(self, tidy: Callable[[], None], run: Callable[[], Any]) -> "Future[Any]":
        self._held_before = self._held()
        life = self._thread.life

        def of_this_process() -> Any:
            self._thread.life = life
            return run()

        self._hanging.append(_SUBMIT("writes", tidy, executors.ALL_ACCOUNTS, of_this_process))
        return self._hanging[-1]

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    def _await_wake_up(self, _topic: str, seconds: float) -> bool:
        """Wait in vain: there is no other process."""
        self.slept += seconds
        return False

    def _monotonic(self) -> float:
        return time.monotonic() + self.slept

    def _wait(self, jobs: "Sequence[Future[Any]]", timeout: float) -> DoneAndNotDoneFutures[Any]:
        """Wait until the job is done; if it hangs at Cal.com, the whole time passes at once."""
        [job] = jobs
        until = time.monotonic() + _PATIENCE
        while not job.done() and time.monotonic() < until:
            if self._held() > self._held_before:
                self.slept += timeout
                break
            time.sleep(_LOOK_EVERY)
        return wait(jobs, timeout=0)

    def _send(self, **request: Any) -> transport.Answer:
        self._step()
        if self._gets_no_answer(request["method"], request["url"]):
            request["timeout"] = _SHORT
        answer = _SEND(**request)
        self._step()
        return answer

    def _enqueue(self, name: str, args: object = None, kwargs: dict[str, Any] | None = None, **_options: Any) -> None:
        self._step()
        self.queued.append((name, kwargs or {}))

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        """Count one step for a transaction: a kill within it is one before it."""
        before, now = getattr(self._thread, "transaction", None), next(iter(context["connection"].atomic_blocks), None)
        self._thread.transaction = now
        self._step(counts=now is None or now is not before)
        return execute(sql, params, many, context)

    def _guard(self, connection: Any, **_signal: object) -> None:
        if self._execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._execute)

    def _run_script(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def step_first(*args: Any, **kwargs: Any) -> Any:
            # A lease that is not released would only cost time.
            if "release" not in args:
                self._step()
            return run(*args, **kwargs)

        return step_first


_SEND, _SUBMIT = transport.send, executors._submit


def _done(run: Callable[[], Any]) -> "Future[Any]":
    """Run it now; what it raises, `Killed` included, is raised by `result`."""
    future: Future[Any] = Future()
    try:
        future.set_result(run())
    except BaseException as exc:  # noqa: BLE001  as an executor does
        future.set_exception(exc)
    return future


@contextmanager
def controlled(process: Process, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process the controlled one while the context lasts."""
    waits = SimpleNamespace(sleep=process._sleep, monotonic=process._monotonic)
    for module, name in ((execution, "time"), (claims, "time"), (deadline, "time")):
        patch.setattr(module, name, waits)
    patch.setattr(execution, "wait", process._wait)
    patch.setattr(wakeups, "wait", process._await_wake_up)
    patch.setattr(executors, "_submit", process._submit)
    patch.setattr(singleflight, "join", process._join)
    patch.setattr(store, "wait", process._await_load)
    patch.setattr(transport, "send", process._send)
    patch.setattr(lua.Scripts, "run", process._run_script(lua.Scripts.run))
    patch.setattr(current_app._get_current_object(), "send_task", process._enqueue)
    connection_created.connect(process._guard, weak=False)
    process._guard(connection)
    try:
        yield
    finally:
        connection_created.disconnect(process._guard)
        connection.execute_wrappers.remove(process._execute)
