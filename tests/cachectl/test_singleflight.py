"""One loads, the others wait: threads of this process, and what other processes look like from here."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cachectl import keys, store
from cachectl.freshness import Band
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from cachectl.loaders import Urgency
from cachectl.lookup import Question
from cachectl.singleflight import dates_between
from tests.cachectl.conftest import ACCOUNT, COLOUR, CUT, MONDAY, CountingSource, ask

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


def test_fifty_threads_cost_one_load(source: CountingSource) -> None:
    """Callers on one cold event type wait for the first one's load."""
    answers = together(50)

    assert len(source.loads) == 1
    assert all(known.verified for known in answers)
    assert sum(known.loaded for known in answers) == 1


def test_failure_is_shared_by_all_who_waited_and_by_those_who_come_next(source: CountingSource) -> None:
    """FM-28: a failed load is not repeated by each waiter."""
    source.fail(retry_after=3.0)

    answers = [*together(20), ask()]

    assert len(source.loads) == 1
    assert {(known.failure, known.retry_after) for known in answers} == {("unavailable", 3.0)}


def test_event_types_do_not_wait_for_each_other(source: CountingSource) -> None:
    """A flight is for one event type."""
    source.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        questions = [pool.submit(ask, event_type=event_type) for event_type in (CUT, COLOUR)]
        assert all(source.asked.acquire(timeout=5) for _ in questions)
        source.may_answer.set()

    assert all(question.result().verified for question in questions)


def test_question_for_other_days_waits_and_then_flies_itself(source: CountingSource) -> None:
    """One flight at a time for an event type: who needs other days goes next."""
    later = MONDAY + timedelta(days=60)
    source.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask)
        assert source.asked.acquire(timeout=5)
        second = pool.submit(ask, later)
        source.may_answer.set()

    assert first.result().verified
    assert second.result().verified
    [monday, sixty_days_on] = source.loads
    assert monday[1] <= MONDAY <= monday[2]
    assert sixty_days_on[1] <= later <= sixty_days_on[2]


def test_load_of_another_process_is_waited_for(source: CountingSource) -> None:
    """Between processes the lease says who loads, and its end wakes the others."""
    lease = store.lease(ACCOUNT, CUT, BLOCK, "elsewhere")
    assert lease.began is not None
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        store.believe(ACCOUNT, CUT, {day: [1] for day in BLOCK}, began=lease.began)
        store.release(ACCOUNT, CUT, "elsewhere")
        known = question.result()

    assert not source.loads
    assert (known.verified, known.loaded, known.days[MONDAY].starts) == (True, False, [1])


def test_question_that_comes_to_the_lease_late_does_not_load_again(source: CountingSource) -> None:
    """Between looking and leading somebody else may have landed: one look more saves a request."""
    before = Question(ACCOUNT, CUT, MONDAY, MONDAY, urgency=Urgency.CALLER)
    ask()

    before.fly_until_good(lambda day: day.worth_loading, Deadline.after(5))

    assert len(source.loads) == 1
    assert before.known().verified


def test_dead_loader_is_replaced_when_its_lease_runs_out(source: CountingSource) -> None:
    """FM-28: nobody waits for a load that nobody does."""
    store.lease(ACCOUNT, CUT, BLOCK, "dead")
    redis_client().pexpire(keys.lease(ACCOUNT, CUT), 150)

    known = ask()

    assert (known.verified, known.loaded) == (True, True)


def test_load_that_outlived_its_lease_does_not_overwrite_its_successor(source: CountingSource) -> None:
    """Two loads at once are possible after a lease ran out; the one that began later is kept."""
    source.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        assert source.asked.acquire(timeout=5)
        redis_client().delete(keys.lease(ACCOUNT, CUT))
        lease = store.lease(ACCOUNT, CUT, BLOCK, "successor")
        assert lease.began is not None
        store.believe(ACCOUNT, CUT, {day: [2] for day in BLOCK}, began=lease.began + 1)
        source.may_answer.set()
        known = question.result()

    assert known.days[MONDAY].starts == [2]
    assert redis_client().get(keys.lease(ACCOUNT, CUT)) == b"successor"


def test_caller_joins_a_background_load_without_inheriting_its_failure(source: CountingSource) -> None:
    """What a refresh was refused, a caller may still get."""
    lease = store.lease(ACCOUNT, CUT, BLOCK, "refresh")
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(ask)
        store.release(ACCOUNT, CUT, lease.holder)
        known = question.result()

    assert (known.band, known.loaded) == (Band.FRESH, True)
