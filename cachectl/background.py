"""
Work that a caller may stop waiting for, on bounded threads of this process.

Loads and writes have pools of their own: slots that come slowly must not keep a booking from being sent. So have
questions, which wait for loads: on the pool that they wait for they could fill it and wait for ever.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")


@lru_cache(maxsize=3)
def _pool(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.CALCOM_CALL_THREADS, thread_name_prefix=name)


# A child process inherits the pools without their threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


def submit_load(job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the pool for reads: loads, and what is sent on their occasion."""
    # Idle threads keep no connection: two pools in each process would use up PostgreSQL's.
    return _submit("loads", connections.close_all, job, *args, **kwargs)


def submit_question(job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the pool for questions of one caller that are asked side by side."""
    return _submit("questions", connections.close_all, job, *args, **kwargs)


def submit_write(job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    """Run `job` on the pool for writes: it goes on to its end when the caller has stopped waiting."""
    # The connection stays for the next booking: a new one costs 5 ms and a cold cache (measured 2026-11).
    return _submit("writes", close_old_connections, job, *args, **kwargs)


def _submit(pool: str, tidy: Callable[[], None], job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
    context = copy_context()  # so that the logs of the job carry the caller's request id

    def run() -> R:
        try:
            return context.run(job, *args, **kwargs)
        finally:
            tidy()

    return _pool(pool).submit(run)
