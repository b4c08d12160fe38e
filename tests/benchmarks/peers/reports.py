"""
The earlier gateway, as two performance reports describe it.

A cached list for each service, day and variant of the key, for 300 s; a search that goes from day to day, for each
variant; a limiter that counts by the minute of the clock and sleeps; and after a booking the clearing of 340 keys
(broad), later of 32 (smart).
"""

import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from tests.benchmarks.peers.conversations import DAYS
from tests.benchmarks.peers.direct import Direct

MAX_AGE_S = 300.0
LIMIT = 120
# With and without a team in the key: the search asks for both (FM-20).
VARIANTS = ("", "team")
# Keys that one booking clears: ten spellings of a day's key for 34 days, or sixteen for two days.
BROAD, SMART = (34, 10), (2, 16)
OFFERS = 3


class FixedMinute:
    """Admits so many requests in each minute of the clock; later ones sleep until the next."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minute = self._count = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until a request is admitted."""
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
    """The gateway of the reports as a `Peer`."""

    def __init__(self, url: str, key: str, ids: Mapping[str, int], *, clearing: tuple[int, int] = SMART) -> None:
        """Clear `clearing` (days, spellings of each day's key) after each booking."""
        super().__init__(url, key, ids)
        self._clearing = clearing
        self._limiter = FixedMinute(LIMIT)
        self._cache: dict[tuple[str, str, datetime], tuple[float, list[datetime]]] = {}
        self.cleared = 0
        """Keys that were cleared, whether or not they held something."""

    def free_on(self, slug: str, day: datetime) -> list[datetime]:
        return self._day(slug, "", day)

    def free_from(self, slug: str, day: datetime) -> list[datetime]:
        """Go from day to day until there are three offers: up to 28 requests, one after the other."""
        found: list[datetime] = []
        for ahead in range(DAYS):
            for variant in VARIANTS:
                found += self._day(slug, variant, day + timedelta(days=ahead))
            if len(set(found)) >= OFFERS:
                break
        return sorted(set(found))

    def book(self, slug: str, start: datetime, caller: str) -> str:
        self._limiter.wait()
        booking = super().book(slug, start, caller)
        days, spellings = self._clearing
        first = start.replace(hour=0, minute=0, second=0, microsecond=0)
        for ahead in range(days):
            for variant in VARIANTS:
                self._cache.pop((slug, variant, first + timedelta(days=ahead)), None)
        self.cleared += days * spellings
        return booking

    def cancel(self, booking: str) -> None:
        """Cancel and clear nothing: the reports do not mention it."""
        self._limiter.wait()
        super().cancel(booking)

    def _day(self, slug: str, variant: str, day: datetime) -> list[datetime]:
        until, starts = self._cache.get((slug, variant, day), (0.0, []))
        if time.monotonic() < until:
            return starts
        self._limiter.wait()
        starts = self.slots(slug, day, day + timedelta(days=1))
        self._cache[slug, variant, day] = time.monotonic() + MAX_AGE_S, starts
        return starts
