"""
A process of ours in the hands of a test: what goes on in it has an order, its waits cost no time, and it can die.

It dies between any two steps that last: before a statement or a commit, around a request to Cal.com, before Redis or
the broker is told something. What it was about to do then is not done, as after kill -9.
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
    """The process is dead. Nothing of ours may catch it."""


class Process:
    """What runs in it, what it gave the broker, and whether it lives."""

    def __init__(
        self,
        *,
        gets_no_answer: Callable[[str, str], bool],
        held: Callable[[], int],
        pass_by: Callable[[float], object],
    ) -> None:
        """
        Begin to live.

        Args:
            gets_no_answer: whether Cal.com will not answer this request, by method and URL.
            held: how many requests Cal.com is holding.
            pass_by: lets seconds pass for everybody, at once.
        """
        self.queued: deque[tuple[str, dict[str, Any]]] = deque()
        """Tasks that the broker has, by name, and their arguments."""
        self.slept = 0.0
        """Seconds that were waited, although no time passed."""
        self.a_write_may_hang = False
        """Then it is not waited for on the thread that asks."""
        self._gets_no_answer, self._held, self._pass_by = gets_no_answer, held, pass_by
        self._afterwards: deque[Callable[[], object]] = deque()
        self._hanging: list[Future[Any]] = []
        self._held_before = 0
        self._steps_left: int | None = None
        self._oldest_alive = 0
        self._thread = threading.local()

    # --- living and dying

    def run(self, job: Callable[[], R]) -> R | None:
        """Have it do something and what that leaves for afterwards; return what came of it, None if it died before."""
        answer = None
        self._thread.life = self._oldest_alive
        try:
            found = job()
            if self._thread.life == self._oldest_alive:  # one of its threads may have died, and so all of it
                answer = found
            while self._afterwards:
                self._afterwards.popleft()()
        except Killed:
            self._afterwards.clear()  # what it had in memory is gone
        finally:
            del self._thread.life
        return answer

    def die_in(self, steps: int | None) -> None:
        """Let it die before the step of that number from now on, and start anew; None lets it live."""
        self._steps_left = steps

    def _step(self, *, counts: bool = True) -> None:
        """Take note that something that lasts is about to be done; raises `Killed` if it is not, any more."""
        life = getattr(self._thread, "life", None)
        if life is None:
            return  # the test itself
        if counts and self._steps_left is not None and life == self._oldest_alive:
            self._steps_left -= 1
            if self._steps_left <= 0:
                self._steps_left, self._oldest_alive = None, life + 1
        if life < self._oldest_alive:
            raise Killed

    # --- what goes on in it

    def work(self, task: Callable[..., Any], **arguments: Any) -> None:
        """Do, as a worker, what a task says. A write of it that hangs is left alone."""
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
        """Wait for the writes that hung and have been let go of."""
        while self._hanging:
            self._hanging.pop().exception(timeout=_PATIENCE)

    def _submit(
        self, pool: str, tidy: Callable[[], None], _account_id: int, job: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> "Future[Any]":
        def run() -> Any:
            return job(*args, **kwargs)

        if pool == "background":  # done when the request has been answered, or never if the process is dead by then
            self._afterwards.append(run)
            return Future()
        if pool == "writes" and self.a_write_may_hang:
            return self._let_hang(tidy, run)
        return _done(run)

    def _join(self, block: singleflight.Block) -> "tuple[Future[singleflight.LoadResult], bool]":
        """Load at once: nobody else is there to wait with."""
        singleflight._in_flight[block.flight_key] = Future()
        return _done(lambda: singleflight._run(block)), True

    def _await_load(self, _account_id: int, _token: str, seconds: float) -> bool:
        """Wait for a load of somebody's who will not come: there is nobody else, or Redis was emptied just now."""
        self._pass_by(seconds)
        return False

    def _let_hang(self, tidy: Callable[[], None], run: Callable[[], Any]) -> "Future[Any]":
        self._held_before = self._held()
        life = self._thread.life

        def of_this_process() -> Any:
            self._thread.life = life
            return run()

        self._hanging.append(_SUBMIT("writes", tidy, executors.ALL_ACCOUNTS, of_this_process))
        return self._hanging[-1]

    # --- its waits

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds

    def _await_wake_up(self, _topic: str, seconds: float) -> bool:
        """Wait in vain: nothing goes on elsewhere."""
        self.slept += seconds
        return False

    def _monotonic(self) -> float:
        return time.monotonic() + self.slept

    def _wait(self, jobs: "Sequence[Future[Any]]", timeout: float) -> DoneAndNotDoneFutures[Any]:
        """Wait until the job is done, or hangs at Cal.com: then for the whole time, which costs none."""
        [job] = jobs
        until = time.monotonic() + _PATIENCE
        while not job.done() and time.monotonic() < until:
            if self._held() > self._held_before:
                self.slept += timeout
                break
            time.sleep(_LOOK_EVERY)
        return wait(jobs, timeout=0)

    # --- its way out

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
        """Step once for a transaction: whoever dies in it dies before it."""
        before, now = getattr(self._thread, "transaction", None), next(iter(context["connection"].atomic_blocks), None)
        self._thread.transaction = now
        self._step(counts=now is None or now is not before)
        return execute(sql, params, many, context)

    def _guard(self, connection: Any, **_signal: object) -> None:
        if self._execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._execute)

    def _run_script(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def step_first(*args: Any, **kwargs: Any) -> Any:
            # A lease that stays behind is another experiment's matter: here it would only cost time.
            if "release" not in args:
                self._step()
            return run(*args, **kwargs)

        return step_first


_SEND, _SUBMIT = transport.send, executors._submit


def _done(run: Callable[[], Any]) -> "Future[Any]":
    """Do it now. What it raises, death too, is heard by whoever asks for the result."""
    future: Future[Any] = Future()
    try:
        future.set_result(run())
    except BaseException as exc:  # noqa: BLE001  as an executor does
        future.set_exception(exc)
    return future


@contextmanager
def held_by_the_test(process: Process, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process be that one while the block lasts."""
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
