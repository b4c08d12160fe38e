"""What a caller gets, and what it costs."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from celery import Celery, current_app
from pytest_django.fixtures import Settings
from redis import ConnectionError as RedisConnectionError

from cachectl import cache, conf, keys, singleflight, store
from cachectl.freshness import Freshness
from cachectl.infra import executors
from cachectl.infra.redis import redis_client
from cachectl.loaders import LoadPriority
from script.lib.servers import free_port
from tests.cachectl.conftest import (
    ACCOUNT,
    COLOUR,
    CUT,
    MONDAY,
    TUESDAY,
    CountingLoader,
    RedisTime,
    ask,
    invalidate,
    minute,
)

FORTNIGHT = MONDAY + timedelta(days=13)
BLOCK = timedelta(days=conf.prefetch_days() - 1)

pytestmark = pytest.mark.usefixtures("known_redis")


def errands_done() -> None:
    """Wait until the background executor has done its jobs so far: until all its threads meet here."""
    everybody = threading.Barrier(executors.BACKGROUND_THREADS + 1)
    for _ in range(executors.BACKGROUND_THREADS):
        executors.submit_background(everybody.wait, 5)
    everybody.wait(5)


def queued(queue: str = "refresh") -> list[dict[str, object]]:
    """Return the arguments of the messages in a queue, and take them out."""
    with current_app.connection_for_read() as connection, connection.SimpleQueue(queue) as messages:
        found = []
        while messages.qsize():
            message = messages.get_nowait()
            message.ack()
            found.append(message.payload[1])
        return found


@pytest.fixture(autouse=True)
def _empty_queue() -> Iterator[None]:
    queued()
    yield
    queued()


@pytest.fixture
def redis_refuses(settings: Settings, known_redis: None) -> None:
    """Point the settings at a port without Redis."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"


def test_callers_who_ask_for_different_days_share_a_load(loader: CountingLoader) -> None:
    """A block begins at a fixed distance from today: who asks for next week has loaded this week, too."""
    today = datetime.now(UTC).date()

    ask(today + timedelta(days=10))
    ask(today + timedelta(days=2))
    ask(today + BLOCK)

    assert loader.loads == [(CUT, today, today + timedelta(days=10) + BLOCK, LoadPriority.LIVE)]


def test_cold_search_over_two_weeks_is_one_load_and_a_warm_one_none(loader: CountingLoader) -> None:
    """The unit of truth is the day, the unit of loading the block."""
    cold = ask(MONDAY, FORTNIGHT)
    warm = ask(MONDAY, FORTNIGHT)

    assert loader.loads == [(CUT, MONDAY, MONDAY + BLOCK, LoadPriority.LIVE)]
    assert (cold.loaded, cold.freshness, cold.verified) == (True, Freshness.FRESH, True)
    assert (warm.loaded, warm.collapsed, warm.freshness, warm.failure) == (False, False, Freshness.FRESH, None)
    assert warm.days[TUESDAY].starts == [minute(TUESDAY)]
    assert warm.age is not None
    assert warm.age < 60


def test_question_for_one_day_loads_a_block(loader: CountingLoader) -> None:
    """A request costs the same for one day as for weeks; the block begins at the first day that needs it."""
    ask(TUESDAY)
    ask(MONDAY, FORTNIGHT)

    assert loader.loads[0][1:3] == (TUESDAY, TUESDAY + BLOCK)
    assert loader.loads[1][1:3] == (MONDAY, MONDAY + BLOCK), "Monday was missing, the others fresh"


def test_cached_answer_is_one_round_trip(loader: CountingLoader) -> None:
    """The way of a cached answer is one script, whatever the number of days."""
    ask(MONDAY, FORTNIGHT)
    own_database = redis_client().connection_pool.connection_kwargs["db"]

    with redis_client().monitor() as monitor:
        redis_client().ping()
        ask(MONDAY, FORTNIGHT)
        redis_client().echo("enough")
        commands = (each for each in iter(monitor.next_command, None) if each["db"] == own_database)
        sent = (each["command"].split()[0] for each in commands if each["client_type"] != "lua")
        seen = list(itertools.takewhile(lambda name: name != "ECHO", sent))

    assert seen[seen.index("PING") + 1 :] == ["EVALSHA"]


def test_stale_day_is_answered_at_once_and_refreshed_once(loader: CountingLoader, redis_time: RedisTime) -> None:
    """Between two minutes and fifteen no search waits, and one refresh is queued for all of them."""
    ask(MONDAY, FORTNIGHT)
    redis_time.pass_(121)

    answers = [ask(MONDAY, FORTNIGHT) for _ in range(3)]
    errands_done()

    assert {(known.freshness, known.verified, known.loaded) for known in answers} == {(Freshness.STALE, True, False)}
    assert len(loader.loads) == 1
    (message,) = queued()
    assert message == {
        "account_id": ACCOUNT,
        "event_type_id": CUT,
        "first": MONDAY.isoformat(),
        "last": FORTNIGHT.isoformat(),
        "stale": True,
    }


def test_refresh_loads_what_is_stale_and_lets_the_next_be_queued(loader: CountingLoader, redis_time: RedisTime) -> None:
    """A worker loads in the background, not urgently, and gives the mark back."""
    ask()
    redis_time.pass_(121)
    store.mark_refresh(ACCOUNT, CUT, 60)

    wait = cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY)

    assert wait == 0
    assert [priority for *_, priority in loader.loads] == [LoadPriority.LIVE, LoadPriority.REFRESH]
    assert ask().freshness is Freshness.FRESH
    assert store.mark_refresh(ACCOUNT, CUT, 60)


def test_refresh_that_fails_is_not_repeated_at_once_and_not_held_against_callers(
    loader: CountingLoader, redis_time: RedisTime
) -> None:
    """What fails in the background leaves the mark for a moment; a caller may still try."""
    ask()
    redis_time.pass_(901)
    store.mark_refresh(ACCOUNT, CUT, 60)
    loader.fail()
    cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY)
    loader.failure = None

    assert not store.mark_refresh(ACCOUNT, CUT, 60)
    assert ask().freshness is Freshness.FRESH


@pytest.mark.parametrize(("retry_after", "wait"), [(0.3, 5), (20, 20), (130, 60)])
def test_refresh_that_is_refused_for_now_comes_back(
    loader: CountingLoader, redis_time: RedisTime, retry_after: float, wait: float
) -> None:
    """Refused background work goes back to its queue: neither lost nor in a hot loop, nor queued twice."""
    ask()
    redis_time.pass_(121)
    store.mark_refresh(ACCOUNT, CUT, 60)
    loader.fail(retry_after=retry_after)

    assert cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY) == wait
    assert wait * 1000 < redis_client().pttl(keys.refresh(ACCOUNT, CUT)) <= (wait + 60) * 1000

    given_up = cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY, patient=False)
    assert given_up == 0
    assert redis_client().pttl(keys.refresh(ACCOUNT, CUT)) <= 10_000


def test_old_day_is_loaded_before_it_is_answered(loader: CountingLoader, redis_time: RedisTime) -> None:
    """After fifteen minutes the answer waits for a load, and shows what changed."""
    ask()
    redis_time.pass_(901)
    loader.truth[MONDAY] = [minute(MONDAY, 11)]

    known = ask()

    assert (known.loaded, known.verified, known.days[MONDAY].starts) == (True, True, [minute(MONDAY, 11)])


def test_old_day_that_cannot_be_loaded_is_answered_unverified(loader: CountingLoader, redis_time: RedisTime) -> None:
    """FM-28: who cannot load falls back to what is known, and says so."""
    ask()
    redis_time.pass_(901)
    loader.fail(retry_after=7.0)

    known = ask()

    assert (known.freshness, known.verified, known.failure, known.retry_after) == (
        Freshness.EXPIRED,
        False,
        "unavailable",
        7.0,
    )
    assert known.days[MONDAY].starts == [minute(MONDAY)]


def test_day_that_is_too_old_to_tell_is_missing(loader: CountingLoader, redis_time: RedisTime) -> None:
    """After a day nothing is known any more."""
    ask()
    redis_time.pass_(86_401)
    loader.fail()

    known = ask()

    assert (known.freshness, known.failure, known.age) == (Freshness.MISSING, "unavailable", None)
    assert not known.days[MONDAY].starts


def test_slow_load_is_not_waited_for_beyond_the_deadline_and_still_fills_the_cache(loader: CountingLoader) -> None:
    """Invariant 5: the caller gets an answer in time; the next one has what came late."""
    loader.may_answer.clear()

    began = time.monotonic()
    known = ask(wait=0.2)
    took = time.monotonic() - began

    assert (known.freshness, known.failure) == (Freshness.MISSING, "deadline")
    assert 0.2 <= took < 0.3 + 0.2  # the promise is 100 ms; the rest is for a busy machine
    loader.may_answer.set()
    assert ask().days[MONDAY].starts
    assert len(loader.loads) == 1


def test_own_appointment_costs_no_request(loader: CountingLoader) -> None:
    """A day that we changed ourselves needs a refresh; it is answered, verified, without a load."""
    ask(MONDAY, FORTNIGHT)

    invalidate(own=True)
    known = ask(MONDAY, FORTNIGHT)
    errands_done()

    assert (known.verified, known.loaded, known.days[MONDAY].needs_refresh, known.days[TUESDAY].needs_refresh) == (
        True,
        False,
        True,
        False,
    )
    assert len(loader.loads) == 1
    assert not queued()


def test_who_must_know_of_own_appointments_loads_once_a_load_can(loader: CountingLoader, redis_time: RedisTime) -> None:
    """With several hosts a caller may revalidate: one load for all who do, as soon as it can count."""
    ask()
    redis_time.pass_(10)
    invalidate(own=True)

    assert not ask(revalidate=True).loaded
    redis_time.pass_(2.6)
    assert [ask(revalidate=True).loaded for _ in range(2)] == [True, False]

    assert len(loader.loads) == 2
    assert not ask().days[MONDAY].needs_refresh


def test_refresh_without_need_loads_nothing(loader: CountingLoader) -> None:
    """A message that comes twice, or late, costs a look."""
    ask()
    invalidate(own=True)

    for _ in range(2):
        cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY)

    assert len(loader.loads) == 1


@pytest.mark.parametrize(("age", "loads"), [(121, 0), (901, 1)])
def test_what_nobody_would_wait_for_can_be_left_alone(
    loader: CountingLoader, redis_time: RedisTime, age: float, loads: int
) -> None:
    """A stale day is answered at once; an old one has to be loaded before it is."""
    ask()
    redis_time.pass_(age)

    cache.refresh(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY, stale=False)

    assert len(loader.loads) - 1 == loads


def test_what_was_prepared_is_not_prepared_again_for_a_moment() -> None:
    """Many calls begin at once, and each event type costs one message all the same."""
    days = {"first": MONDAY, "last": FORTNIGHT}

    for event_type_ids in ([CUT], [CUT, COLOUR], [COLOUR, CUT]):
        cache.prefetch(account_id=ACCOUNT, event_type_ids=event_type_ids, **days)

    assert [(each["event_type_id"], each["stale"]) for each in queued()] == [(CUT, False), (COLOUR, False)]


def test_other_change_is_answered_unverified_until_a_load_can_know_of_it(
    loader: CountingLoader, redis_time: RedisTime
) -> None:
    """No load starts that would not count; one is scheduled for when it does."""
    ask()
    invalidate(own=False)

    known = ask()
    errands_done()

    assert (known.freshness, known.failure, known.loaded) == (Freshness.EXPIRED, "settling", False)
    assert known.retry_after is not None
    assert 0 < known.retry_after <= 2.5
    assert len(queued()) == 1

    redis_time.pass_(2.6)
    assert ask().verified


def test_missing_day_is_loaded_even_where_that_cannot_be_believed_yet(loader: CountingLoader) -> None:
    """Something unverified is better than nothing, and it is loaded once for everybody."""
    invalidate(own=False)

    answers = [ask() for _ in range(3)]

    assert {(known.freshness, known.failure) for known in answers} == {(Freshness.EXPIRED, "settling")}
    assert answers[-1].days[MONDAY].starts == [minute(MONDAY)]
    assert len(loader.loads) == 1


def test_missing_day_with_own_changes_only_is_verified(loader: CountingLoader) -> None:
    """What we changed ourselves we subtract ourselves."""
    ask(MONDAY - BLOCK - timedelta(days=1))  # another day; Monday's memory of changes is there, its slots are not
    store.release(ACCOUNT, CUT, store.lease(ACCOUNT, CUT, [MONDAY], "a").holder)
    invalidate(own=True)

    known = ask()

    assert (known.verified, known.loaded, known.days[MONDAY].needs_refresh) == (True, True, True)


def test_empty_day_that_was_full_is_loaded_twice_before_nothing_is_said(
    loader: CountingLoader, redis_time: RedisTime
) -> None:
    """FM-32: an empty answer after a full day is suspicious."""
    day = date(2090, 1, 2)
    loader.truth[day] = [minute(day)]
    ask(day)
    redis_time.pass_(901)
    loader.truth[day] = []

    known = ask(day)

    assert len(loader.loads) == 3
    assert (known.verified, known.days[day].starts) == (True, [])


def test_caller_may_ask_for_younger_knowledge(loader: CountingLoader, redis_time: RedisTime) -> None:
    """`Cache-Control: max-age` loads what is older, and only that."""
    ask()
    redis_time.pass_(30)

    assert not ask(max_age=31).loaded
    assert ask(max_age=29).loaded
    redis_time.pass_(1)
    assert ask(max_age=0).loaded
    assert len(loader.loads) == 3


def test_other_event_types_and_accounts_are_not_touched(loader: CountingLoader) -> None:
    """A key belongs to one account, one event type, one date."""
    ask()
    ask(event_type=COLOUR)

    invalidate(own=False, event_types=(COLOUR,))
    cache.invalidate(invalidation_id=None, account_id=8, event_type_ids=[CUT], first=MONDAY, last=MONDAY, own=False)

    assert ask().freshness is Freshness.FRESH
    assert ask(event_type=COLOUR).freshness is Freshness.EXPIRED


def test_invalidation_counts_days_once_per_event_type(loader: CountingLoader) -> None:
    """FM-22: event types that share a host are invalidated together; FM-27: once."""
    assert invalidate(own=True) == 1
    assert invalidate(own=True, event_types=(1, 2, 3), cache_invalidation=5) == 3
    assert invalidate(own=True, event_types=(1, 2, 3), cache_invalidation=5) == 3


def test_ranges_are_bounded(loader: CountingLoader) -> None:
    """FM-26: no argument makes us touch 300,000 keys."""
    far = MONDAY + timedelta(days=5000)
    with pytest.raises(ValueError, match="4000"):
        cache.invalidate(
            invalidation_id=None, account_id=ACCOUNT, event_type_ids=[CUT], first=MONDAY, last=far, own=True
        )
    with pytest.raises(ValueError, match="from first to last"):
        invalidate_backwards()
    for last in (far, MONDAY - timedelta(days=1)):
        with pytest.raises(ValueError, match="400"):
            ask(MONDAY, last)

    assert not loader.loads


def invalidate_backwards() -> int:
    """Invalidate a range whose end lies before its start."""
    return cache.invalidate(
        invalidation_id=None, account_id=ACCOUNT, event_type_ids=[CUT], first=TUESDAY, last=MONDAY, own=True
    )


@pytest.mark.usefixtures("redis_refuses")
def test_without_redis_days_are_loaded_and_nothing_is_kept(loader: CountingLoader) -> None:
    """Redis is a help, not a condition: the answer comes from Cal.com, in one flight."""
    loader.may_answer.clear()
    with ThreadPoolExecutor(8) as callers:
        questions = [callers.submit(ask, MONDAY, FORTNIGHT) for _ in range(8)]
        loader.asked.acquire()
        loader.may_answer.set()
        answers = [question.result() for question in questions]

    assert all(known.verified and known.days[MONDAY].loaded_at is None for known in answers)
    assert loader.most_at_once == 1


@pytest.mark.usefixtures("redis_refuses")
def test_without_redis_nothing_is_prepared_and_nothing_fails() -> None:
    """A search then waits for the load."""
    cache.prefetch(account_id=ACCOUNT, event_type_ids=[CUT], first=MONDAY, last=FORTNIGHT)

    assert queued() == []


@pytest.mark.usefixtures("redis_refuses")
def test_without_redis_and_source_the_answer_says_so(loader: CountingLoader) -> None:
    """Never an exception to the caller, never a hang."""
    loader.fail()

    known = ask()

    assert (known.freshness, known.failure) == (Freshness.MISSING, "unavailable")


@pytest.mark.usefixtures("redis_refuses")
def test_without_redis_a_failed_load_is_not_repeated_by_each_caller(
    loader: CountingLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FM-28: the note of a failure is kept in the process then; a moment later the next one tries again."""
    loader.fail(retry_after=7.0)
    assert [ask().failure for _ in range(3)] == ["unavailable"] * 3
    assert ask().retry_after == 7.0
    assert len(loader.loads) == 1

    monkeypatch.setattr(
        singleflight,
        "_failed",
        {flight_key: (0.0, failure) for flight_key, (_, failure) in singleflight._failed.items()},
    )
    loader.failure = None
    assert ask().verified


@pytest.mark.usefixtures("redis_refuses")
def test_invalidation_without_redis_is_an_error(loader: CountingLoader) -> None:
    """FM-25: an error that is swallowed is never retried."""
    with pytest.raises(RedisConnectionError):
        invalidate(own=True)


def test_redis_that_dies_during_a_load_does_not_cost_a_second_one(settings: Settings, loader: CountingLoader) -> None:
    """What was loaded is answered, though it cannot be kept."""
    loader.may_answer.clear()
    with ThreadPoolExecutor(1) as caller:
        question = caller.submit(ask)
        assert loader.asked.acquire(timeout=5)
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        loader.may_answer.set()
        known = question.result()

    assert (known.verified, known.loaded, known.days[MONDAY].starts) == (True, True, [minute(MONDAY)])
    assert len(loader.loads) == 1


def test_broker_that_refuses_is_not_felt(
    loader: CountingLoader, redis_time: RedisTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh that cannot be queued is tried again a moment later; the answer does not know of it."""
    ask()
    redis_time.pass_(121)
    refusing = Celery("refusing", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    refusing.conf.update(task_publish_retry_policy={"max_retries": 0})
    monkeypatch.setattr(cache, "current_app", refusing)

    known = ask()
    errands_done()

    assert known.freshness is Freshness.STALE
    assert redis_client().pttl(keys.refresh(ACCOUNT, CUT)) <= 1000


def test_broken_source_is_a_failed_load(loader: CountingLoader) -> None:
    """A bug below is noted and shared like an outage; callers get what is known."""
    loader.failure = RuntimeError("a bug")

    assert (ask().failure, ask().failure) == ("error", "error")
    assert len(loader.loads) == 1


# --- a look that changes nothing ----------------------------------------------------------------------------------


def test_peek_shows_what_is_known_and_leaves_it(loader: CountingLoader, redis_time: RedisTime) -> None:
    """Stale days are not refreshed, missing ones not loaded, and no demand is counted."""
    ask(MONDAY)
    redis_time.pass_(200)
    demand = store.demand(ACCOUNT, 2)

    known = cache.peek(account_id=ACCOUNT, event_type_id=CUT, first=MONDAY, last=MONDAY + 2 * BLOCK)
    errands_done()

    assert known.days[MONDAY].freshness is Freshness.STALE
    assert known.days[MONDAY + 2 * BLOCK].freshness is Freshness.MISSING
    assert len(loader.loads) == 1
    assert queued() == []
    assert store.demand(ACCOUNT, 2) == demand
