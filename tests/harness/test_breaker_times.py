"""How the experiment with Cal.com's troubles reads what breakers and Cal.com wrote down."""

import time

import pytest

from tests.chaos.experiments import deadlines


def request(arrived_at: float, answered_at: float | None) -> dict[str, float | None]:
    """One that Cal.com saw."""
    return {"arrived_at": arrived_at, "answered_at": answered_at}


@pytest.mark.parametrize(
    ("history", "times"),
    [
        ([], []),
        ([(1.0, "open"), (11.0, "half-open"), (12.0, "closed")], [(1.0, 12.0)]),
        ([(1.0, "open"), (11.0, "half-open"), (11.5, "open"), (32.0, "half-open"), (33.0, "closed")], [(1.0, 33.0)]),
        ([(1.0, "open"), (12.0, "closed"), (20.0, "open"), (31.0, "closed")], [(1.0, 12.0), (20.0, 31.0)]),
    ],
)
def test_breaker_is_open_until_it_closes(history, times):
    """A probe that fails does not end it."""
    assert list(deadlines._open_times(history)) == times


def test_breaker_that_never_closed_is_open_until_now():
    """So what arrived last counts as well."""
    ((since, until),) = deadlines._open_times([(1.0, "open")])

    assert since == 1.0
    assert until == pytest.approx(time.time(), abs=5)


def test_how_many_were_under_way_at_once():
    """One after the other is one; who has no answer yet is under way."""
    assert deadlines._at_once([]) == 0
    assert deadlines._at_once([request(1, 2), request(2, 3), request(3, None)]) == 1
    assert deadlines._at_once([request(1, 4), request(2, 3), request(3.5, None)]) == 2
