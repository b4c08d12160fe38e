"""Who may wait: never all threads of a process, and never those of one account alone."""

from concurrent.futures import ThreadPoolExecutor

from cachectl.infra import bulkhead
from cachectl.infra.bulkhead import Bulkhead
from cachectl.infra.deadline import Deadline
from tests.cachectl.conftest import CUT, MONDAY, CountingLoader, ask
from tests.monitoring import samples

SALON, PRACTICE = 1, 2


def test_one_account_never_has_all_places() -> None:
    """Invariant 7: whose Cal.com hangs leaves room for the others."""
    room = Bulkhead(places=4, most_of_one=3)

    assert [room.enter(SALON) for _ in range(5)] == [True, True, True, False, False]
    assert [room.enter(PRACTICE) for _ in range(2)] == [True, False]


def test_place_that_is_left_is_free_for_anybody() -> None:
    """All places are free again."""
    room = Bulkhead(places=1, most_of_one=1)
    room.enter(SALON)
    room.leave(SALON)

    assert room.enter(PRACTICE)


def test_whoever_finds_no_place_has_no_time(settings) -> None:
    """And what is said at the end of one's time is said at once."""
    settings.WEB_THREADS = 2
    deadline = Deadline.after(5)

    def next_one() -> bool:
        with bulkhead.acquire(SALON, deadline) as until:
            return until.passed

    with bulkhead.acquire(SALON, deadline) as until, ThreadPoolExecutor(1) as another_thread:
        assert until is deadline
        assert another_thread.submit(next_one).result(5) is False  # the second of two threads' places


def test_one_request_takes_one_place(settings) -> None:
    """Several calendars are looked at side by side: it still is one thread that waits."""
    settings.WEB_THREADS = 1
    deadline = Deadline.after(5)

    with bulkhead.acquire(SALON, deadline), bulkhead.acquire(SALON, deadline) as inner:
        assert inner is deadline


def test_question_without_a_place_is_answered_at_once(loader: CountingLoader, known_redis: None, settings) -> None:
    """FM-46: when too many wait for a source that hangs, the next one hears what is known, and costs no request."""
    settings.WEB_THREADS = 4  # three places, of which one account may have three
    loader.may_answer.clear()
    with ThreadPoolExecutor(8) as callers:
        first = [callers.submit(ask, event_type=CUT + number) for number in range(3)]
        for _ in first:
            assert loader.asked.acquire(timeout=5)

        with samples.growth() as grown:
            crowded = callers.submit(ask, event_type=CUT + 9).result(1)

        loader.may_answer.set()
        assert all(answer.result(5).verified for answer in first)
    assert (crowded.failure, crowded.days[MONDAY].freshness) == ("deadline", "missing")
    assert len(loader.loads) == 3
    assert grown["slotline_bulkhead_full_total"] == 1
