"""The one rule against every race, without Redis."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachectl.conf import Lifetimes
from cachectl.freshness import Day, Freshness, assess

LIFETIMES = Lifetimes(max_age=120_000, stale_while_revalidate=900_000, stale_if_error=86_400_000, consistency_lag=2_500)
DAY = date(2026, 11, 24)
NOW = 1_790_000_000_000
AGES = st.integers(0, 100_000_000)


def assessed(
    *, age: int, own: int | None = None, other: int | None = None, generation: int | None = None, suspect: int = 0
) -> Day:
    """Assess an entry of that age; changes and generation are given as ms ago."""
    ago = {
        name: NOW - ms if ms is not None else 0
        for name, ms in (("own", own), ("other", other), ("generation", generation))
    }
    entry, change = (NOW - age, suspect, [1, 2]), (ago["own"], ago["other"])
    return assess(DAY, entry, change, now=NOW, generation=ago["generation"], lifetimes=LIFETIMES)


@pytest.mark.parametrize(
    ("age", "freshness"),
    [
        (0, Freshness.FRESH),
        (120_000, Freshness.FRESH),
        (120_001, Freshness.STALE),
        (900_000, Freshness.STALE),
        (900_001, Freshness.EXPIRED),
        (86_400_000, Freshness.EXPIRED),
        (86_400_001, Freshness.MISSING),
    ],
)
def test_age_decides_the_freshness(age: int, freshness: Freshness) -> None:
    """A load answers for two minutes, with a refresh for fifteen, in need for a day."""
    assert assessed(age=age).freshness is freshness


@pytest.mark.parametrize(
    ("began_after", "freshness"), [(-1, Freshness.EXPIRED), (2_499, Freshness.EXPIRED), (2_500, Freshness.FRESH)]
)
def test_load_is_believed_from_the_settle_time_after_a_change(began_after: int, freshness: Freshness) -> None:
    """FM-24: a load that began before the change, or less than 2.5 s after it, does not count."""
    changed = 60_000

    assert assessed(age=changed - began_after, other=changed).freshness is freshness
    assert assessed(age=changed - began_after, generation=changed).freshness is freshness


def test_own_change_leaves_a_day_answerable() -> None:
    """A day that only our own appointments changed is due, not wrong: they are subtracted."""
    day = assessed(age=60_000, own=10_000)

    assert day.freshness is Freshness.FRESH
    assert day.needs_refresh


def test_day_that_changed_a_moment_ago_is_not_worth_loading_yet() -> None:
    """A load within the consistency lag would not count: the foreground spends no request on it."""
    assert not assessed(age=60_000, other=2_000).reload_helps
    assert assessed(age=60_000, other=2_500).reload_helps


def test_doubted_day_is_old_and_worth_loading() -> None:
    """FM-32: an empty answer after a full day is asked for once more."""
    day = assessed(age=1_000, suspect=1)

    assert day.freshness is Freshness.EXPIRED
    assert day.reload_helps


@pytest.mark.parametrize(("entry", "change"), [(None, (0, 0)), ((NOW, 0, []), None), (None, None)])
def test_entry_without_its_changes_is_missing(
    entry: tuple[int, int, list[int]] | None, change: tuple[int, int] | None
) -> None:
    """Without recorded changes an entry cannot be trusted."""
    day = assess(DAY, entry, change, now=NOW, generation=0, lifetimes=LIFETIMES)

    assert day.freshness is Freshness.MISSING
    assert day.reload_helps


@given(age=AGES, own=AGES, other=AGES, generation=AGES, suspect=st.integers(0, 1))
def test_nothing_is_verified_that_a_change_may_have_overtaken(
    age: int, own: int, other: int, generation: int, suspect: int
) -> None:
    """FM-24, for all instants: verified means that the load began the settle time after every change but our own."""
    day = assessed(age=age, own=own, other=other, generation=generation, suspect=suspect)

    assert not day.freshness.verified or age + LIFETIMES.consistency_lag <= min(other, generation)
    assert day.freshness is Freshness.MISSING or day.needs_refresh == (age + LIFETIMES.consistency_lag > own)
