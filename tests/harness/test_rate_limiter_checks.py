"""The checks of the rate limiter tests: each sees what it is for."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from tests.chaos import rate_limiter
from tests.chaos.sender import Demand, Record
from tests.chaos.worker_fleet import Arrival, spread

LIVE = Demand("plain", 1, "live", per_minute=60, lasts=120, pace="steady")


def record(kind: str, wanted: float, admitted: float | None = None, **fields: object) -> Record:
    return Record("plain", kind, None, wanted, admitted, **{"ended": (admitted or wanted) + 1, **fields})


def arrivals(*moments: float, kind: str = "live", status: int = 200) -> list[Arrival]:
    return [Arrival(moment, status, kind) for moment in moments]


def test_processes_share_a_steady_demand_evenly() -> None:
    parts = spread(LIVE, 4)

    moments = sorted(moment for part in parts for moment in part.moments(Random(1)))

    assert len(moments) == 120
    assert {round(later - earlier, 6) for earlier, later in pairwise(moments)} == {1.0}


def test_bursts_last_twenty_seconds_of_each_minute() -> None:
    moments = list(replace(LIVE, per_minute=360, pace="bursts").moments(Random(1)))

    assert len(moments) == pytest.approx(240, abs=1)
    assert all(moment % 60 < 20 for moment in moments)


def test_refused_write_counts_only_while_something_less_urgent_was_admitted() -> None:
    background = [record("background", 5, 5), record("refresh", 20, 20)]
    refused = record("booking", 10, None, ended=13.5)

    assert rate_limiter.writes_refused([*background, refused]).value == 0
    assert rate_limiter.writes_refused([*background, refused, record("refresh", 11, 11)]).value == 1
    assert rate_limiter.writes_refused(background).value is None


@pytest.mark.parametrize(
    ("sent", "violations"),
    [([], 0), (arrivals(100.3), 0), (arrivals(101), 1), (arrivals(159), 1), (arrivals(170, kind="background"), 1)],
)
def test_requests_of_the_pause_are_counted(sent: list[Arrival], violations: int) -> None:
    """Requests in flight at the 429 are none; background work in the minute after the pause is one."""
    records = [record("live", 99, 99.5, outcome="unavailable", ended=100.1)]
    seen = [*arrivals(100, status=429), *sent, *arrivals(161), *arrivals(222, kind="refresh")]

    assert rate_limiter.pause_violations(records, seen, alerts=1).value == violations
    assert rate_limiter.pause_violations(records, seen, alerts=0).value is None


def test_probe_that_comes_too_soon_or_too_late_is_counted() -> None:
    """10, 20, 30 s."""
    records = [record("live", moment, moment, ended=moment) for moment in (1.0, 2.0, 3.0)]

    assert rate_limiter.wrong_pauses(records, arrivals(1, 2, 3, 13.1, 33.3, 63.4, 93.9)).value == 0
    assert rate_limiter.wrong_pauses(records, arrivals(1, 2, 3, 9, 29.1, 59.2, 89.3)).value == 1
    assert rate_limiter.wrong_pauses(records[:2], arrivals(1, 2)).value is None


def test_only_refusals_within_a_reserved_quota_count() -> None:
    loud, quiet = (replace(record("live", 1), tenant=tenant) for tenant in (rate_limiter.LOUD, rate_limiter.QUIET[0]))

    assert rate_limiter.reserved_refused([loud, replace(quiet, admitted=1.0)]).value == 0
    assert rate_limiter.reserved_refused([loud, quiet]).value == 1
    assert rate_limiter.reserved_refused([loud]).value is None
