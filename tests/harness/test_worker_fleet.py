"""The figures of the governor's experiment: each verdict sees what it is there to see."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from tests.chaos.experiments import rate_limiter
from tests.chaos.sender import Demand, Line
from tests.chaos.worker_fleet import Arrival, most_in_60_s, spread

LIVE = Demand("plain", 1, "live", per_minute=60, lasts=120, pace="steady")


def line(kind: str, asked: float, granted: float | None = None, **fields: object) -> Line:
    return Line("plain", kind, None, asked, granted, **{"ended": (granted or asked) + 1, **fields})


def arrivals(*moments: float, kind: str = "live", status: int = 200) -> list[Arrival]:
    return [Arrival(moment, status, "", kind) for moment in moments]


def test_processes_share_a_steady_demand_evenly() -> None:
    """Together they send like one process."""
    parts = spread(LIVE, 4)

    moments = sorted(moment for part in parts for moment in part.moments(Random(1)))

    assert len(moments) == 120
    assert {round(later - earlier, 6) for earlier, later in pairwise(moments)} == {1.0}


def test_bursts_last_twenty_seconds_of_each_minute() -> None:
    """Experiment 13: six a second."""
    moments = list(replace(LIVE, per_minute=360, pace="bursts").moments(Random(1)))

    assert len(moments) == pytest.approx(240, abs=1)
    assert all(moment % 60 < 20 for moment in moments)


def test_the_fullest_minute_is_found_wherever_it_begins() -> None:
    """Not by the clock's minutes."""
    assert most_in_60_s(arrivals(0, 59, 61, 100, 118.9, 119)) == 4


def test_a_write_is_refused_unjustly_only_while_something_less_urgent_was_permitted() -> None:
    """Before and after its wait others may go."""
    background = [line("background", 5, 5), line("refresh", 20, 20)]
    patient = line("booking", 10, None, ended=13.5)

    assert rate_limiter._writes_refused([*background, patient]).value == 0
    assert rate_limiter._writes_refused([*background, patient, line("refresh", 11, 11)]).value == 1
    assert rate_limiter._writes_refused(background).value is None


@pytest.mark.parametrize(
    ("sent", "violations"),
    [([], 0), (arrivals(100.3), 0), (arrivals(101), 1), (arrivals(159), 1), (arrivals(170, kind="background"), 1)],
)
def test_who_sends_in_the_pause_is_seen(sent: list[Arrival], violations: int) -> None:
    """What was on its way when the 429 was heard is none; background work in the minute after the pause is one."""
    lines = [line("live", 99, 99.5, outcome="unavailable", ended=100.1)]
    seen = [*arrivals(100, status=429), *sent, *arrivals(161), *arrivals(222, kind="refresh")]

    assert rate_limiter._pause_violations(lines, seen, alerts=1).value == violations
    assert rate_limiter._pause_violations(lines, seen, alerts=0).value is None


def test_a_probe_that_comes_too_soon_or_too_late_is_seen() -> None:
    """10, 20, 30 s."""
    lines = [line("live", moment, moment, ended=moment) for moment in (1.0, 2.0, 3.0)]

    assert rate_limiter._wrong_pauses(lines, arrivals(1, 2, 3, 13.1, 33.3, 63.4, 93.9)).value == 0
    assert rate_limiter._wrong_pauses(lines, arrivals(1, 2, 3, 9, 29.1, 59.2, 89.3)).value == 1
    assert rate_limiter._wrong_pauses(lines[:2], arrivals(1, 2)).value is None


def test_only_refusals_of_the_quiet_count_against_the_floor() -> None:
    """Experiment 17: the greedy one is refused all the time."""
    loud, quiet = (replace(line("live", 1), tenant=tenant) for tenant in (rate_limiter.LOUD, rate_limiter.QUIET[0]))

    assert rate_limiter._floors_refused([loud, replace(quiet, granted=1.0)]).value == 0
    assert rate_limiter._floors_refused([loud, quiet]).value == 1
    assert rate_limiter._floors_refused([loud]).value is None
