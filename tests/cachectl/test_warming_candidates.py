"""Which event types are worth a request, by examples."""

from datetime import date

import pytest

from cachectl import warming
from cachectl.freshness import Day, Freshness, missing
from cachectl.warming import Candidate

NOW = 100_000.0
MONDAY = date(2026, 11, 23)
FRESH = Day(MONDAY, (), NOW - 60, Freshness.FRESH)
STALE = Day(MONDAY, (), NOW - 450, Freshness.STALE)
OLD = Day(MONDAY, (), NOW - 7200, Freshness.EXPIRED, reload_helps=True)
JUST_CHANGED = Day(MONDAY, (), NOW - 60, Freshness.EXPIRED, reload_helps=False)
MISSING = missing(MONDAY)


@pytest.mark.parametrize(
    ("asked", "booked", "rates"),
    [
        ({}, {1: 0}, {}),  # no demand
        ({1: 12}, {1: 0}, {1: 1.0}),
        ({}, {1: 48}, {1: 2.0}),
        ({1: 12}, {1: 48}, {1: 3.0}),
        ({2: 12}, {1: 24}, {1: 1.0}),  # 2 is no longer offered, or another company's
    ],
)
def test_questions_and_bookings_count_alike(asked: dict[int, int], booked: dict[int, int], rates: dict[int, float]):
    """Both by the hour: twelve hours of questions, a day of bookings."""
    assert warming.demand_rates(asked=asked, asked_hours=12, booked=booked, booked_hours=24) == rates


@pytest.mark.parametrize(
    ("days", "aged", "gain"),
    [
        ([FRESH, FRESH], 0, 0.0),
        ([MISSING, MISSING], 2, 1.0),
        ([MISSING, FRESH], 1, 0.5),
        ([OLD, OLD, FRESH, FRESH], 2, 0.5),
        ([STALE, STALE], 2, 0.5),  # half of its fifteen minutes is over
        ([JUST_CHANGED, MISSING], 1, 0.5),  # a load would not count yet
    ],
)
def test_request_is_worth_what_it_makes_better(days: list[Day], aged: int, gain: float):
    """What is fresh is not loaded for; what is missing counts in full."""
    candidate = warming.candidate(1, 3.0, days, now=NOW, answerable=900)

    assert (candidate.aged, candidate.gain, candidate.value) == (aged, gain, 3.0 * gain)


@pytest.mark.parametrize(
    ("those", "top", "chosen"),
    [
        ([], 3, []),
        ([(1, 1.0, 1.0), (2, 2.0, 1.0), (3, 3.0, 1.0)], 2, [3, 2]),
        ([(1, 9.0, 0.1), (2, 1.0, 1.0)], 2, [2, 1]),  # asked for more often, but nearly fresh
        ([(1, 9.0, 0.0), (2, 1.0, 1.0)], 2, [2]),  # fresh: a request would be wasted
        ([(2, 1.0, 1.0), (1, 1.0, 1.0)], 2, [1, 2]),  # the same order in each run
    ],
)
def test_most_worth_goes_first(those: list[tuple[int, float, float]], top: int, chosen: list[int]):
    """By worth per request, and never more than asked for."""
    candidates = [Candidate(one, wanted, 1, gain) for one, wanted, gain in those]

    assert [each.event_type_id for each in warming.choose(candidates, top)] == chosen
