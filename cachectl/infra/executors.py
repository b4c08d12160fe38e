"""
Jobs that a caller may stop waiting for, on bounded threads of this process.

Loads, writes, searches and background jobs have an executor each: a slow list must not delay a booking, and searches
that wait for loads would deadlock on the threads they wait for. One account has at most half of what the others leave
of each, so a thread is free for the next account while the calls of several hang.
"""

import os
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")

BACKGROUND_THREADS = 4
# Jobs that belong to no account.
ALL_ACCOUNTS = 0


class PerTenantExecutor:
    """Threads for the jobs of many accounts. Jobs above an account's share wait in order."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._running: Counter[int] = Counter()
        self._waiting: defaultdict[int, deque[Callable[[], None]]] = defaultdict(deque)
        self._changed = threading.Condition()

    def submit(self, account_id: int, job: Callable[[], R]) -> "Future[R]":
        """Run `job` as soon as a thread is free and the account is below its share."""
        future: Future[R] = Future()
        work = partial(_work, future, job)
        with self._changed:
            self._waiting[account_id].append(work)
            self._start()
        return future

    def finish(self) -> None:
        """Wait until all submitted jobs are done, and accept no more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running and not self._waiting)
        self._threads.shutdown(wait=True)

    def _run(self, account_id: int, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._changed:
                self._free += 1
                self._running[account_id] -= 1
                self._running += Counter()  # an account without a job takes no memory
                self._start()
                self._changed.notify_all()

    def _start(self) -> None:
        """Start jobs while threads are free, first of the account with the fewest running."""
        while self._waiting:
            account_id = min(self._waiting, key=self._running.__getitem__)
            if self._running[account_id] >= self._free:
                return
            self._free -= 1
            self._running[account_id] += 1
            self._threads.submit(self._run, account_id, self._waiting[account_id].popleft())
            if not self._waiting[account_id]:
                del self._waiting[account_id]


def _work(future: "Future[R]", job: Callable[[], R]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as exc:  # noqa: BLE001  it reaches the waiter, as from any executor
        future.set_exception(exc)
    else:
        future.set_result(result)


@lru_cache(maxsize=4)
def _executor(name: str) -> PerTenantExecutor:
    # All background jobs count as one account, which may use half of the threads.
    return PerTenantExecutor(name, 2 * BACKGROUND_THREADS if name == "background" else settings.CALCOM_CALL_THREADS)


# A child process inherits the pools without their threads.
os.register_at_fork(after_in_child=_executor.cache_clear)


def submit_load(account_id: int, job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the threads for loads."""
    # Idle threads keep no connection: each process would use up PostgreSQL's.
    return _submit("loads", connections.close_all, account_id, job, *args, **kwargs)


def submit_question(account_id: int, job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the threads for the parallel searches of one caller."""
    return _submit("questions", connections.close_all, account_id, job, *args, **kwargs)


def submit_write(account_id: int, job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the threads for writes: it continues when the caller stops waiting."""
    # The connection stays for the next booking: a new one costs 5 ms and a cold cache (measured 2026-11).
    return _submit("writes", close_old_connections, account_id, job, *args, **kwargs)


def submit_background(job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job`, which sends to the broker, on the threads for background jobs: no request waits for it."""
    return _submit("background", connections.close_all, ALL_ACCOUNTS, job, *args, **kwargs)


def _submit(
    pool: str, tidy: Callable[[], None], account_id: int, job: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
) -> "Future[R]":
    context = copy_context()  # so that the logs of the job carry the caller's request id

    def run() -> R:
        try:
            return context.run(job, *args, **kwargs)
        finally:
            tidy()

    return _executor(pool).submit(account_id, run)
