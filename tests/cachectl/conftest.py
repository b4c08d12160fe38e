"""The stage of the cache's tests: a source that counts, and a Redis whose time can pass."""

import threading
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from cachectl import cache, keys, loaders
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from cachectl.loaders import LoadError, LoadPriority
from cachectl.lookup import CacheResult
from cachectl.singleflight import dates_between
from tests import redis_time

ACCOUNT = 7
CUT = 12
COLOUR = 13
MONDAY = date(2026, 11, 23)
TUESDAY = MONDAY + timedelta(days=1)


def minute(day: date, hour: int = 9) -> int:
    """Return the epoch minute of a full hour, UTC."""
    return (day - date(1970, 1, 1)).days * 1440 + hour * 60


class CountingLoader:
    """Knows the truth, counts who asks, and can be slow or fail."""

    def __init__(self) -> None:
        self.truth: dict[date, list[int]] = {}
        self.loads: list[tuple[int, date, date, LoadPriority]] = []
        self.failure: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Semaphore(0)
        self.in_flight = 0
        self.most_at_once = 0

    def load(
        self,
        *,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        priority: LoadPriority,
        tenant: int | None,
    ) -> dict[date, list[int]]:
        """Answer as the truth was when it was asked for."""
        self.loads.append((event_type_id, first, last, priority))
        answer = {day: list(self.truth.get(day, [minute(day)])) for day in dates_between(first, last)}
        self.in_flight += 1
        self.most_at_once = max(self.most_at_once, self.in_flight)
        self.asked.release()
        assert self.may_answer.wait(10)
        self.in_flight -= 1
        if self.failure:
            raise self.failure
        return answer

    def fail(self, reason: str = "unavailable", retry_after: float | None = None) -> None:
        """Fail from now on."""
        self.failure = LoadError(reason, retry_after)


class RedisTime:
    """Lets time pass on Redis' clock, by setting back every instant that is written there."""

    def pass_(self, seconds: float) -> None:
        """Let seconds pass for days, changes and epochs."""
        redis_time.let_all_pass(seconds)


@pytest.fixture(name="redis_time")
def _redis_time() -> RedisTime:
    """Return the hands of Redis' clock."""
    return RedisTime()


@pytest.fixture
def known_redis() -> None:
    """Make this Redis one that has been up for long."""
    redis_client().set(keys.generation(ACCOUNT), 1)


@pytest.fixture
def loader() -> Iterator[CountingLoader]:
    """Register a counting source, and give back the one that was there."""
    before, accounts = loaders.current(), loaders._Registry.accounts
    counting = CountingLoader()
    loaders.register(counting)
    yield counting
    counting.may_answer.set()
    loaders.register(before, accounts=accounts)


def ask(
    first: date = MONDAY,
    last: date | None = None,
    *,
    event_type: int = CUT,
    wait: float = 5.0,
    max_age: float | None = None,
    revalidate: bool = False,
) -> CacheResult:
    """Ask for days, as a search does."""
    return cache.read(
        account_id=ACCOUNT,
        event_type_id=event_type,
        first=first,
        last=last or first,
        deadline=Deadline.after(wait),
        max_age=max_age,
        revalidate=revalidate,
    )


def invalidate(
    day: date = MONDAY, *, own: bool, event_types: tuple[int, ...] = (CUT,), cache_invalidation: int | None = None
) -> int:
    """Invalidate a day, as a booking or a command does."""
    return cache.invalidate(
        invalidation_id=cache_invalidation, account_id=ACCOUNT, event_type_ids=event_types, first=day, last=day, own=own
    )
