"""
Who may wait in this process: never all of its threads, and never those of one account alone.

A thread of web that waits for Cal.com serves nobody else. If all of them could wait for a Cal.com that hangs, whoever
asks for something known would stand in a queue that no deadline sees. So there are places to wait in, fewer than
threads, and one account has not all of them. Whoever finds none is answered at once with what is known.
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
"""Of whoever finds no place."""

# Whether this request has its place already: who asks several calendars at once waits once.
_seated: ContextVar[bool] = ContextVar("seated", default=False)


class Bulkhead:
    """So many places, and how many of them one account may have."""

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
        """Give it back."""
        with self._lock:
            self._taken[account_id] -= 1
            self._taken += Counter()  # an account that nobody waits for takes no memory


@lru_cache(maxsize=1)
def _bulkhead() -> Bulkhead:
    places = settings.WEB_THREADS - settings.WEB_THREADS // 4
    return Bulkhead(max(1, places), max(1, places - places // 4))


# A child process has threads of its own.
os.register_at_fork(after_in_child=_bulkhead.cache_clear)


@contextmanager
def acquire(account_id: int, deadline: Deadline) -> Iterator[Deadline]:
    """Take a place to wait in for the length of the context; yield until when, which is not at all without a place."""
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
