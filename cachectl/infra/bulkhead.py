"""
Bulkhead: fewer waiting places than threads in a process, and fewer still per account.

A web thread that waits for Cal.com serves no other request. If all threads could wait for a Cal.com that hangs, a
request with a cached answer would stand in a queue that no deadline covers. When the bulkhead is full, a request is
answered at once from the cache (docs/adr/0010-bulkheads.md).
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from django.conf import settings

from cachectl.infra.deadline import Deadline
from monitoring import metrics

NO_TIME = Deadline(float("-inf"))
"""Deadline used when the bulkhead is full: do not wait."""

# Whether this request has a place already: parallel searches of one request need one.
_seated: ContextVar[bool] = ContextVar("seated", default=False)


class Bulkhead:
    """A number of places, and the most that one account may take."""

    def __init__(self, places: int, most_of_one: int) -> None:
        self._places = places
        self._most = most_of_one
        self._taken: Counter[int] = Counter()
        self._lock = threading.Lock()

    def enter(self, account_id: int) -> bool:
        """Take a place; return whether there was one."""
        with self._lock:
            is_free = self._taken.total() < self._places and self._taken[account_id] < self._most
            self._taken[account_id] += is_free
        return is_free

    def leave(self, account_id: int) -> None:
        with self._lock:
            self._taken[account_id] -= 1
            self._taken += Counter()  # an account without waiters takes no memory


@lru_cache(maxsize=1)
def _bulkhead() -> Bulkhead:
    places = settings.WEB_THREADS - settings.WEB_THREADS // 4
    return Bulkhead(max(1, places), max(1, places - places // 4))


# A child process has threads of its own.
os.register_at_fork(after_in_child=_bulkhead.cache_clear)


@contextmanager
def acquire(account_id: int, deadline: Deadline) -> Iterator[Deadline]:
    """Take a waiting place for the length of the context; yield the deadline, which is NO_TIME without a place."""
    if deadline.passed or _seated.get():
        yield deadline
        return
    if not _bulkhead().enter(account_id):
        metrics.BULKHEAD_FULL.inc()
        yield NO_TIME
        return
    token = _seated.set(True)
    try:
        yield deadline
    finally:
        _seated.reset(token)
        _bulkhead().leave(account_id)
