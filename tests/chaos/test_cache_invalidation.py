"""Invalidation during slow loads."""

import os

import pytest

from cachectl import keys
from cachectl.infra.redis import redis_client
from tests.cachectl.callers import ACCOUNT, LOADS, Callers, started

FULL = bool(os.environ.get("FAULTS_FULL"))


@pytest.mark.slow
def test_no_stale_day_is_ever_believed() -> None:
    """FM-24: 8 readers, 2 writers, slow loads that may see what was true 0.2 s before they began."""
    redis_client().set(keys.generation(ACCOUNT), 1)
    seconds = 600 if FULL else 5
    environ = {"CACHE_CONSISTENCY_LAG": "0.25", "REDIS_TIMEOUT": "5"}
    part = {"seconds": seconds, "days": 20, "takes": [0.0, 0.2], "lag": 0.2, "wait": 1.0}
    readers = Callers("readers", 8, environ, **part)
    writers = Callers("writers", 2, environ, pause=0.25, **part)

    with started(readers, writers):
        read, written = readers.reports(), writers.reports()

    verified, stale = (sum(report[name] for report in read) for name in ("verified", "stale"))
    changes, loads = sum(report["changes"] for report in written), int(redis_client().get(LOADS) or 0)
    print(f"{verified} verified days read, {stale} of them stale; {changes} changes, {loads} loads")
    assert stale == 0
    assert verified > 1000
    assert changes > 10
