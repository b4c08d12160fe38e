"""One loads, the others wait: threads of this process, and what other processes look like from here."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cachectl import keys, store
from cachectl.freshness import Freshness
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from cachectl.loaders import LoadPriority
from cachectl.lookup import CacheLookup
from cachectl.singleflight import dates_between
from tests.cachectl.conftest import ACCOUNT, COLOUR, CUT, MONDAY, CountingLoader, ask

BLOCK = dates_between(MONDAY, MONDAY + timedelta(days=13))

pytestmark = pytest.mark.usefixtures("known_redis")


def together(callers: int, question: object = ask) -> list[object]:
    """Ask from many threads at one moment."""
    barrier = threading.Barrier(callers)

    def one() -> object:
        barrier.wait(10)
        return question()

    with ThreadPoolExecutor(callers) as pool:
        return [answer.result() for answer in [pool.submit(one) for _ in range(callers)]]


def test_fifty_threads_cost_one_load(loader: CountingLoader) -> None:
    """Callers on one cold event type wait for the first one's load."""
    answers = together(50)

    assert len(loader.loads) == 1
    assert all(known.verified for known in answers)
    assert sum(known.loaded for known in answers) == 1


def test_failure_is_shared_by_all_who_waited_and_by_those_who_come_next(loader: CountingLoader) -> None:
    """FM-28: a failed load is not repeated by each waiter."""
    loader.fail(retry_after=3.0)

    answers = [*together(20), ask()]

    assert len(loader.loads) == 1
    assert {(known.failure, known.retry_after) for known in answers} == {("unavailable", 3.0)}


def test_event_types_do_not_wait_for_each_other(loader: CountingLoader) -> None:
    """A flight is for one event type."""
    loader.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        questions = [pool.submit(ask, event_type=event_type) for event_type in (CUT, COLOUR)]
        assert all(loader.asked.acquire(timeout=5) for _ in questions)
        loader.may_answer.set()

    assert all(question.result().verified for question in questions)


def test_question_for_other_days_waits_and_then_flies_itself(loader: CountingLoader) -> None:
    """One flight at a time for an event type: who needs other days goes next."""
    later = MONDAY + timedelta(days=60)
    loader.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        assert loader.asked.acquire(timeout=5)
        second = pool.submit(ask, later)
        loader.may_answer.set()

    assert first.result().verified
    assert second.result().verified
    [monday, sixty_days_on] = loader.loads
    assert monday[1] <= MONDAY <= monday[2]
    assert sixty_days_on[1] <= later <= sixty_days_on[2]


def test_load_of_another_process_is_waited_for(loader: CountingLoader) -> None:
    """Between processes the lease says who loads, and its end wakes the others."""
    lease = store.lease(ACCOUNT, CUT, BLOCK, "elsewhere")
    assert lease.began is not None
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        store.store_if_current(ACCOUNT, CUT, {day: [1] for day in BLOCK}, began=lease.began)
        store.release(ACCOUNT, CUT, "elsewhere")
        known = question.result()

    assert not loader.loads
    assert (known.verified, known.loaded, known.days[MONDAY].starts) == (True, False, [1])


def test_question_that_comes_to_the_lease_late_does_not_load_again(loader: CountingLoader) -> None:
    """Another load may end between the read and the lease: one more read saves a request."""
    before = CacheLookup(ACCOUNT, CUT, MONDAY, MONDAY, priority=LoadPriority.LIVE)
    ask()

    before.load_until(lambda day: day.reload_helps, Deadline.after(5))

    assert len(loader.loads) == 1
    assert before.known().verified


def test_dead_loader_is_replaced_when_its_lease_runs_out(loader: CountingLoader) -> None:
    """FM-28: no waiter waits for a load that has ended."""
    store.lease(ACCOUNT, CUT, BLOCK, "dead")
    redis_client().pexpire(keys.lease(ACCOUNT, CUT), 150)

    known = ask()

    assert (known.verified, known.loaded) == (True, True)


def test_load_that_outlived_its_lease_does_not_overwrite_its_successor(loader: CountingLoader) -> None:
    """Two loads at once are possible after a lease ran out; the one that began later is kept."""
    loader.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        assert loader.asked.acquire(timeout=5)
        redis_client().delete(keys.lease(ACCOUNT, CUT))
        lease = store.lease(ACCOUNT, CUT, BLOCK, "successor")
        assert lease.began is not None
        store.store_if_current(ACCOUNT, CUT, {day: [2] for day in BLOCK}, began=lease.began + 1)
        loader.may_answer.set()
        known = question.result()

    assert known.days[MONDAY].starts == [2]
    assert redis_client().get(keys.lease(ACCOUNT, CUT)) == b"successor"


def test_caller_joins_a_background_load_without_inheriting_its_failure(loader: CountingLoader) -> None:
    """What a refresh was refused, a caller may still get."""
    lease = store.lease(ACCOUNT, CUT, BLOCK, "refresh")
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        store.release(ACCOUNT, CUT, lease.holder)
        known = question.result()

    assert (known.freshness, known.loaded) == (Freshness.FRESH, True)
