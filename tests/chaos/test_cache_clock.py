"""The host's clock is wrong, the calendar is odd."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from cachectl import invalidation, keys
from cachectl.freshness import Freshness
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from tests.cachectl.conftest import (
    ACCOUNT,
    CUT,
    MONDAY,
    CountingLoader,
    RedisTime,
    _redis_time,
    ask,
    invalidate,
    loader,
)

__all__ = ["_redis_time", "loader"]

HOUR = timedelta(hours=1)
SKEWS = pytest.mark.parametrize("skew", [-HOUR, HOUR], ids=["slow", "fast"])


@pytest.fixture(autouse=True)
def _known_redis() -> None:
    redis_client().set(keys.generation(ACCOUNT), 1)


@SKEWS
def test_bands_follow_redis_and_not_the_host(loader: CountingLoader, redis_time: RedisTime, skew: timedelta) -> None:
    """An hour more or less on a worker makes no day older or younger."""
    ask()

    with time_machine.travel(datetime.now(UTC) + skew):
        assert ask().freshness is Freshness.FRESH
        redis_time.pass_(121)
        assert ask().freshness is Freshness.STALE
        redis_time.pass_(900)
        assert ask().loaded
        assert ask().freshness is Freshness.FRESH
    assert ask().freshness is Freshness.FRESH


@SKEWS
def test_change_noted_by_a_host_with_a_wrong_clock_hides_no_slot(
    loader: CountingLoader, redis_time: RedisTime, skew: timedelta
) -> None:
    """FM-24: the processes that invalidate and load may disagree about the time by an hour."""
    ask()
    with time_machine.travel(datetime.now(UTC) + skew):
        invalidate(own=False)
    assert ask().freshness is Freshness.EXPIRED

    redis_time.pass_(2.6)
    assert ask().verified

    with time_machine.travel(datetime.now(UTC) + skew):
        invalidate(own=True)
        assert ask().days[MONDAY].needs_refresh


@SKEWS
@pytest.mark.django_db
def test_what_is_owed_is_swept_by_a_worker_with_a_wrong_clock(skew: timedelta) -> None:
    """PostgreSQL's clock wrote when the row is due, and the same clock says that it is."""
    row = invalidation.enqueue(
        account_id=ACCOUNT, event_type_ids=[CUT], first=MONDAY, last=MONDAY, cause=CacheInvalidation.Cause.OWN
    )

    with time_machine.travel(datetime.now(UTC) + skew):
        invalidation.process()

    row.refresh_from_db()
    assert row.keys_invalidated == 1


@pytest.mark.parametrize(
    "first", [date(2027, 3, 27), date(2027, 10, 30), date(2028, 2, 28)], ids=["23 hours", "25 hours", "29 February"]
)
def test_odd_days_are_days(loader: CountingLoader, first: date) -> None:
    """A day is a UTC date, so it has 24 hours and its own key in every week of every year."""
    known = ask(first, first + timedelta(days=2))

    assert list(known.days) == [first + timedelta(days=i) for i in range(3)]
    assert all(day.starts[0] // 1440 == (date_ - date(1970, 1, 1)).days for date_, day in known.days.items())
    assert len(loader.loads) == 1
