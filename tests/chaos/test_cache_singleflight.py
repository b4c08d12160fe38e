"""Many callers on one cold key, a Redis that is emptied meanwhile, and a loader that dies."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cachectl import conf, keys, store
from cachectl.infra.redis import redis_client
from tests.cachectl.callers import ACCOUNT, CUT, IN_FLIGHT, LOADS, MONDAY, MOST, Callers, started
from tests.cachectl.conftest import CountingLoader, ask, loader

__all__ = ["loader"]

# Two cores carry all processes here: a late thread must not look like an absent Redis.
PATIENT = {"REDIS_TIMEOUT": "5"}


@pytest.fixture(autouse=True)
def _known_redis() -> None:
    redis_client().set(keys.generation(ACCOUNT), 1)


def test_500_callers_on_one_cold_key_cost_one_request() -> None:
    """Four processes, one request, everybody answered within the deadline."""
    group = Callers("callers", 4, PATIENT, threads=125, wait=8.0, takes=[0.3, 0.8])
    with started(group):
        answers = [answer for report in group.reports() for answer in report["answers"]]

    duration = sorted(seconds for seconds, *_ in answers)
    print(f"500 callers: {duration[250]:.3f} s at the median, {duration[-1]:.3f} s at most")
    assert len(answers) == 500
    assert redis_client().get(LOADS) == b"1"
    assert all(verified for _, verified, _, _ in answers)
    assert sum(loaded for *_, loaded, _ in answers) == 1


@pytest.mark.slow
def test_callers_of_a_slow_load_are_answered_at_their_deadline() -> None:
    """With a load that takes too long there is still one request, and no waiter hangs."""
    group = Callers("callers", 2, PATIENT, threads=20, wait=0.5, takes=[2.0, 2.0])
    with started(group):
        answers = [answer for report in group.reports() for answer in report["answers"]]

    assert redis_client().get(LOADS) == b"1"
    assert {failure for *_, failure in answers} == {"deadline"}
    assert max(seconds for seconds, *_ in answers) < 0.6 + 0.5  # the promise is 100 ms; the rest is for a busy machine


@pytest.mark.slow
def test_waiters_outlive_the_death_of_the_loader() -> None:
    """Kill -9 in the middle of a load; a waiter takes over within the lease."""
    short_lease = PATIENT | {"CALCOM_READ_TIMEOUT": "0.5"}  # the lease is two seconds longer
    loader = Callers("callers", 1, short_lease, threads=1, wait=60.0, takes=[60.0, 60.0])
    with started(loader):
        while redis_client().get(LOADS) != b"1":
            time.sleep(0.005)
        redis_client().delete("stage:ready", "stage:go")
        waiting = Callers("callers", 2, short_lease, threads=10, wait=6.0, takes=[0.1, 0.1])
        with started(waiting):
            loader.processes[0].send_signal(signal.SIGKILL)
            killed = time.monotonic()
            answers = [answer for report in waiting.reports() for answer in report["answers"]]
            healed = time.monotonic() - killed

    print(f"healed {healed:.2f} s after the kill; the lease is 2.5 s")
    assert redis_client().get(LOADS) == b"2"
    assert all(verified for _, verified, _, _ in answers)
    assert max(seconds for seconds, *_ in answers) < 2.5 + 1.5
    assert redis_client().zscore(MOST, "most") == 2, "the dead one never landed"
    assert redis_client().get(IN_FLIGHT) == b"1"
    assert redis_client().exists(*keys.days(ACCOUNT, CUT, [MONDAY + timedelta(days=i) for i in range(14)])) == 14


def test_empty_redis_gives_no_lease_for_a_moment(loader: CountingLoader) -> None:
    """A load that runs when Redis loses everything has time to restore its lease."""
    redis_client().flushdb()
    began = time.monotonic()

    assert ask().days

    assert time.monotonic() - began > conf.NO_LEASE
    assert len(loader.loads) == 1


def test_lease_that_redis_lost_is_put_back(loader: CountingLoader) -> None:
    """After a FLUSHALL in the middle of a load the next process waits for it, and loads nothing."""
    loader.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        assert loader.asked.acquire(timeout=10)
        redis_client().flushdb()

        other = store.lease(ACCOUNT, CUT, [MONDAY], "other")
        assert other.holder == ""
        time.sleep(other.left)
        other = store.lease(ACCOUNT, CUT, [MONDAY], "other")
        assert other.holder

        loader.may_answer.set()
        assert store.wait(ACCOUNT, other.holder, 5)
        asking.result()
    assert store.lease(ACCOUNT, CUT, [MONDAY], "other").began is not None


def test_lease_is_not_put_back_after_the_load() -> None:
    """Who looks after it may be late: what has landed must not keep the next one from loading."""
    token = "late"
    assert store.lease(ACCOUNT, CUT, [MONDAY], token).began is not None
    store.release(ACCOUNT, CUT, token)

    assert not store.keep_lease(ACCOUNT, CUT, token, 5)
    assert store.lease(ACCOUNT, CUT, [MONDAY], "next").began is not None
