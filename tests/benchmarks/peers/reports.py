"""
The earlier gateway, as two performance reports describe it (product.md has their numbers), small enough to be read.

A cached list for each service, day and variant of the key, for 300 s; a finder that goes from day to day, asking for
each variant; a limiter that counts by the minute of the clock and sleeps; and after a booking the clearing of 340 keys
(broad), later of 32 (smart).
"""

import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from tests.benchmarks.peers.callers import DAYS
from tests.benchmarks.peers.direct import Direct

LIFETIME_S = 300.0
LIMIT = 120
# With and without a team in the key: the finder asks for both (FM-20).
VARIANTS = ("", "team")
# Keys that one booking clears: ten spellings of a day's key for 34 days, or sixteen for two days.
BROAD, SMART = (34, 10), (2, 16)
OFFERS = 3


class FixedMinute:
    """At most so many requests in each minute of the clock; whoever comes too late sleeps until the next one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minute = self._count = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for a place, as long as that takes."""
        while True:
            with self._lock:
                minute = int(time.time()) // 60
                if minute != self._minute:
                    self._minute, self._count = minute, 0
                if self._count < self._limit:
                    self._count += 1
                    return
            time.sleep(60 - time.time() % 60)


class Reports(Direct):
    """The gateway of the reports: an agent asks it instead of Cal.com."""

    def __init__(self, url: str, key: str, ids: Mapping[str, int], *, clearing: tuple[int, int] = SMART) -> None:
        """Clear `clearing` (days, spellings of each day's key) after each booking."""
        super().__init__(url, key, ids)
        self._clearing = clearing
        self._limiter = FixedMinute(LIMIT)
        self._cache: dict[tuple[str, str, datetime], tuple[float, list[datetime]]] = {}
        self.cleared = 0
        """Keys that were cleared, whether or not something was under them."""

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        """Answer from the cache, else ask."""
        return self._listed(slug, "", day)

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        """Go from day to day until there are three offers: up to 28 requests, one after the other."""
        found: list[datetime] = []
        for ahead in range(DAYS):
            for variant in VARIANTS:
                found += self._listed(slug, variant, day + timedelta(days=ahead))
            if len(set(found)) >= OFFERS:
                break
        return sorted(set(found))

    def book(self, slug: str, start: datetime, caller: str) -> str:
        """Book, then clear."""
        self._limiter.wait()
        booking = super().book(slug, start, caller)
        self._clear(slug, start)
        return booking

    def cancel(self, booking: str) -> None:
        """Cancel; nothing is cleared: the reports say nothing of it."""
        self._limiter.wait()
        super().cancel(booking)

    def _listed(self, slug: str, variant: str, day: datetime) -> list[datetime]:
        kept_until, starts = self._cache.get((slug, variant, day), (0.0, []))
        if time.monotonic() < kept_until:
            return starts
        self._limiter.wait()
        starts = self.slots(slug, day, day + timedelta(days=1))
        self._cache[slug, variant, day] = time.monotonic() + LIFETIME_S, starts
        return starts

    def _clear(self, slug: str, start: datetime) -> None:
        days, spellings = self._clearing
        first = start.replace(hour=0, minute=0, second=0, microsecond=0)
        for ahead in range(days):
            for variant in VARIANTS:
                self._cache.pop((slug, variant, first + timedelta(days=ahead)), None)
        self.cleared += days * spellings
