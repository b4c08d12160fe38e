"""One read of the cache: days as known so far, the loads it waits for, and its result."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import inf

from redis import RedisError

from cachectl import conf, singleflight, store
from cachectl.freshness import WORST_FIRST, Day, Freshness, missing
from cachectl.infra import bulkhead
from cachectl.infra.deadline import Deadline
from cachectl.loaders import GONE, LoadPriority
from cachectl.singleflight import Block, LoadResult, dates_between

# Loads that one lookup may wait for: one of other days, its own, one for a suspiciously empty list.
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class CacheResult:
    """The days that were asked for, and how fresh they are."""

    days: dict[date, Day]
    freshness: Freshness
    """Of the worst day."""
    age: float | None
    """Seconds since the load of the oldest day began; None if unknown."""
    loaded: bool = False
    """Whether this lookup cost a load."""
    collapsed: bool = False
    """Whether it waited for the load of another lookup, which brought days."""
    failure: str | None = None
    """Why not all is verified: `deadline`, `settling` (changed moments ago), or the loader's reason."""
    retry_after: float | None = None
    """Seconds after which asking again may help, if known."""
    loading: bool = False
    """Whether a load of the event type was running when the lookup began."""
    uncertain: bool = False
    """Whether a newer list might differ in what was asked: set by callers who know what was booked since."""

    @property
    def verified(self) -> bool:
        """Whether the result may be told without reserve."""
        return self.freshness.verified and not self.uncertain

    def after(self, earlier: "CacheResult") -> "CacheResult":
        """Return this result with the cost of an earlier one of the same question added."""
        return replace(self, loaded=self.loaded or earlier.loaded, collapsed=self.collapsed or earlier.collapsed)


class CacheLookup:
    """A lookup of the days of an event type. Redis is read once; after that it only waits for loads."""

    def __init__(
        self,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        *,
        priority: LoadPriority,
        tenant: int | None = None,
    ) -> None:
        if not first <= last < first + timedelta(days=conf.MOST_DAYS):
            raise ValueError(f"Ask for 1 to {conf.MOST_DAYS} days, from first to last.")
        self.account_id, self.event_type_id = account_id, event_type_id
        self.priority, self.tenant = priority, tenant
        self.loads, self.collapsed = 0, False
        self.failure: str | None = None
        self.retry_after: float | None = None
        self._look(dates_between(first, last))

    def _look(self, dates: list[date]) -> None:
        try:
            snapshot = store.read(self.account_id, self.event_type_id, dates, asked=self.priority is LoadPriority.LIVE)
        except RedisError:
            self.loading = False
            self.now, self.refresh_queued = -inf, True  # without marks nothing is queued
            self.days = {day: missing(day) for day in dates}
        else:
            self.loading = snapshot.loading
            self.now, self.refresh_queued = snapshot.now / 1000, snapshot.refresh_queued
            self.days = {day.date: day for day in snapshot.days}
        self.asked = self.now

    def load_until(self, needed: Callable[[Day], bool], deadline: Deadline) -> None:
        """Wait for loads while days are `needed`, time is left and nothing failed."""
        for _ in range(ROUNDS):
            if self.failure or not any(needed(day) for day in self.days.values()):
                return
            with self._place(deadline) as until:
                if until.passed:
                    self.failure = "deadline"
                    return
                self._wait(*singleflight.join(self._block(needed)), until)

    def _place(self, deadline: Deadline) -> AbstractContextManager[Deadline]:
        """Return the bulkhead to wait in: callers share the places of web, workers have none to share."""
        return (
            bulkhead.acquire(self.account_id, deadline) if self.priority is LoadPriority.LIVE else nullcontext(deadline)
        )

    def _block(self, needed: Callable[[Day], bool]) -> Block:
        """
        Return all days that are not fresh, and at least CACHE_PREFETCH_DAYS.

        A block begins at a fixed distance from today, so that searches for different days share its load.
        """
        days = self.days.values()
        wanted = [day.date for day in days if needed(day)]
        dates = [day.date for day in days if day.freshness is not Freshness.FRESH or day.date in wanted]
        length = conf.prefetch_days()
        first = dates[0] - timedelta(days=max(0, (dates[0] - self.today).days) % length)
        last = max(dates[-1], dates[0] + timedelta(days=length - 1))
        return Block(self.account_id, self.event_type_id, first, last, self.priority, self.tenant, wanted, needed)

    def _wait(self, coming: "Future[LoadResult]", started: bool, deadline: Deadline) -> None:
        try:
            result = coming.result(timeout=deadline.left)
        except TimeoutError:
            self.failure = "deadline"
            return
        if result.failure:
            self.failure, self.retry_after = result.failure.reason, result.failure.retry_after
            if self.failure == GONE:
                self.days = {date: missing(date) for date in self.days}
            return  # nothing was loaded, by this question or by another
        before = self.days
        self.now = max(self.now, result.now)
        self.days = {date: result.days.get(date, day) for date, day in before.items()}
        if started and result.loaded_here:
            self.loads += 1
        elif result.loaded_here or any(day.loaded_at != before[date].loaded_at for date, day in self.days.items()):
            self.collapsed = True

    @property
    def today(self) -> date:
        """UTC date on Redis' clock; the first requested day while Redis is unavailable."""
        return next(iter(self.days)) if self.redis_away else datetime.fromtimestamp(self.asked, UTC).date()

    @property
    def redis_away(self) -> bool:
        """Whether Redis did not answer, so that loads cannot be stored."""
        return self.asked == -inf

    def unsettled(self, needed: Callable[[Day], bool]) -> float:
        """Return the seconds until a load can include every change of the needed days."""
        return max(0.0, *(day.consistent_at - self.now for day in self.days.values() if needed(day)), 0.0)

    def aging(self) -> list[Day]:
        """Return the days to refresh: stale ones, and those that changed too recently to load now."""
        return [day for day in self.days.values() if day.freshness is Freshness.STALE or _settling(day)]

    def known(self) -> CacheResult:
        freshnesses = {day.freshness for day in self.days.values()}
        freshness = next(freshness for freshness in WORST_FIRST if freshness in freshnesses)
        oldest = min((day.loaded_at for day in self.days.values() if day.loaded_at is not None), default=None)
        age = None if oldest is None else max(0.0, self.now - oldest)
        failure, retry_after = (None, None) if freshness.verified else self._why()
        return CacheResult(
            self.days, freshness, age, self.loads > 0, self.collapsed, failure, retry_after, self.loading
        )

    def _why(self) -> tuple[str, float | None]:
        """Return why not all is verified, and the seconds after which it may be."""
        if self.failure:
            return self.failure, self.retry_after
        return "settling", max(
            0.0, *(day.consistent_at - self.now for day in self.days.values() if _settling(day)), 0.0
        )


def _settling(day: Day) -> bool:
    return day.freshness is Freshness.EXPIRED and not day.reload_helps
