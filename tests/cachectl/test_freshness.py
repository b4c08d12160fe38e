"""The one rule against every race, without Redis."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachectl.conf import Lifetimes
from cachectl.freshness import Band, Day, judge

LIFETIMES = Lifetimes(fresh=120_000, stale=900_000, old=86_400_000, settle=2_500)
DAY = date(2026, 11, 24)
NOW = 1_790_000_000_000
AGES = st.integers(0, 100_000_000)


def judged(
    *, age: int, own: int | None = None, other: int | None = None, epoch: int | None = None, doubted: int = 0
) -> Day:
    """Judge an entry of that age; changes and epoch are given as ms ago."""
    ago = {name: NOW - ms if ms is not None else 0 for name, ms in (("own", own), ("other", other), ("epoch", epoch))}
    entry, change = (NOW - age, doubted, [1, 2]), (ago["own"], ago["other"])
    return judge(DAY, entry, change, now=NOW, epoch=ago["epoch"], lifetimes=LIFETIMES)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, Band.FRESH),
        (120_000, Band.FRESH),
        (120_001, Band.STALE),
        (900_000, Band.STALE),
        (900_001, Band.OLD),
        (86_400_000, Band.OLD),
        (86_400_001, Band.MISSING),
    ],
)
def test_age_decides_the_band(age: int, band: Band) -> None:
    """A load answers for two minutes, with a refresh for fifteen, in need for a day."""
    assert judged(age=age).band is band


@pytest.mark.parametrize(("began_after", "band"), [(-1, Band.OLD), (2_499, Band.OLD), (2_500, Band.FRESH)])
def test_load_is_believed_from_the_settle_time_after_a_change(began_after: int, band: Band) -> None:
    """FM-24: a load that began before the change, or less than 2.5 s after it, is not believed."""
    changed = 60_000

    assert judged(age=changed - began_after, other=changed).band is band
    assert judged(age=changed - began_after, epoch=changed).band is band


def test_own_change_leaves_a_day_answerable() -> None:
    """A day that only our own appointments changed is due, not wrong: they are subtracted."""
    day = judged(age=60_000, own=10_000)

    assert day.band is Band.FRESH
    assert day.due


def test_day_that_changed_a_moment_ago_is_not_worth_loading_yet() -> None:
    """A load within the settle time could not be believed: the foreground does not spend a request on it."""
    assert not judged(age=60_000, other=2_000).worth_loading
    assert judged(age=60_000, other=2_500).worth_loading


def test_doubted_day_is_old_and_worth_loading() -> None:
    """FM-32: an empty answer after a full day is asked for once more."""
    day = judged(age=1_000, doubted=1)

    assert day.band is Band.OLD
    assert day.worth_loading


@pytest.mark.parametrize(("entry", "change"), [(None, (0, 0)), ((NOW, 0, []), None), (None, None)])
def test_entry_without_its_changes_is_missing(
    entry: tuple[int, int, list[int]] | None, change: tuple[int, int] | None
) -> None:
    """Whoever lost the memory of changes cannot know whether an entry is true."""
    day = judge(DAY, entry, change, now=NOW, epoch=0, lifetimes=LIFETIMES)

    assert day.band is Band.MISSING
    assert day.worth_loading


@given(age=AGES, own=AGES, other=AGES, epoch=AGES, doubted=st.integers(0, 1))
def test_nothing_is_verified_that_a_change_may_have_overtaken(
    age: int, own: int, other: int, epoch: int, doubted: int
) -> None:
    """FM-24, for all instants: verified means that the load began the settle time after every change but our own."""
    day = judged(age=age, own=own, other=other, epoch=epoch, doubted=doubted)

    assert not day.band.verified or age + LIFETIMES.settle <= min(other, epoch)
    assert day.band is Band.MISSING or day.due == (age + LIFETIMES.settle > own)
