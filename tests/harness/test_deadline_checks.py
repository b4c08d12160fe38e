"""How the deadline tests read the history of a circuit breaker."""

import time

import pytest

from tests.chaos.deadlines import open_times


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
    assert list(open_times(history)) == times


def test_breaker_that_never_closed_is_open_until_now():
    ((since, until),) = open_times([(1.0, "open")])

    assert since == 1.0
    assert until == pytest.approx(time.time(), abs=60)
