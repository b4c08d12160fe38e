"""No second 429: a block is known although Redis was emptied and every process that had heard of it is gone."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.db.models import F

from cachectl.infra.redis import redis_client
from calcom.errors import CalcomError, Unavailable
from calcom.http.client import Client
from calcom.models import RateLimitPause
from calcom.resilience import circuit_breaker, rate_limiter
from calcom.resilience.rate_limiter import Limiter, Throttled
from calcom.resilience.refusals import StoredPause
from calcom.simulator import Kind, Simulator
from calcom.types import NewBooking, Priority
from tests.calcom.stopwatch import Outage, Stopwatch
from tests.factories import Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "cal_secret"
SOON = NewBooking(
    start=at(10), attendee_name="Anna", attendee_email="anna@example.com", time_zone="UTC", appointment_id="bk_1"
)


def process(clock: Stopwatch, credential: str = KEY, scripts: object = None) -> Limiter:
    """Return a limiter as one more process has it."""
    return Limiter(
        credential,
        120,
        scripts=scripts or clock.scripts(),
        stored_pause=StoredPause(credential),
        sleep=clock.advance,
        monotonic=clock.monotonic,
    )


def ask(limiter: Limiter, priority: Priority = Priority.WRITE):
    return limiter.permit(priority, tenant=None, longest_call_s=8, deadline_left_s=0)


def lose_everything() -> None:
    """Empty Redis, and go on as processes that have just been started."""
    redis_client().flushdb()
    rate_limiter.limiter_for.cache_clear()
    circuit_breaker.breaker_for.cache_clear()


def block_ends() -> None:
    """Let the database's time go on beyond every block."""
    RateLimitPause.objects.update(until=F("until") - timedelta(hours=2))


# --- against Cal.com as it counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["read", "write"])
def test_no_second_429_after_redis_was_emptied_and_every_process_killed(
    simulator: Simulator, salon: Salon, first: str
) -> None:
    """Whatever asks first, again and again, nothing is sent until the block is over."""
    client = Client(salon.account)
    ways = {
        "read": client.me,
        "write": lambda: client.create_booking(event_type=salon.colour.event_type, booking=SOON),
    }
    simulator.fail("* /v2/*", Kind.TOO_MANY)
    with pytest.raises(CalcomError):
        ways[first]()

    for _ in range(3):
        lose_everything()
        for way in ways.values():
            with pytest.raises(Throttled, match="paused"):
                way()

    assert simulator.summary()["too_many"] == 1
    assert simulator.count() == 1
    block_ends()
    lose_everything()
    simulator.reset(log_only=True)
    assert client.me()


def test_no_second_429_by_another_tenant_with_the_same_key(simulator: Simulator, salon: Salon) -> None:
    """The block is the credential's, not an account's."""
    twin = type(salon.account).objects.create(name="Twin", base_url=simulator.base_url, api_key=salon.account.api_key)
    simulator.fail("GET /v2/me", Kind.TOO_MANY)
    with pytest.raises(Unavailable):
        Client(salon.account).me()

    lose_everything()
    with pytest.raises(Throttled, match="paused"):
        Client(twin).me()

    assert simulator.count() == 1


# --- each way in which the memory is lost ------------------------------------------------------------------------


def test_process_that_never_heard_of_a_pause_asks_the_database(clock: Stopwatch) -> None:
    """Redis is emptied; the process that met the 429 lives, and another one asks first."""
    met, other = process(clock), process(clock)
    ask(other).ended({}, 200)
    ask(met).ended({}, 429)

    clock.flush_redis()

    with pytest.raises(Throttled, match="paused") as refusal:
        ask(other)
    assert 55 < (refusal.value.retry_after or 0) <= 61


def test_answer_that_comes_after_the_loss_does_not_hide_a_pause(clock: Stopwatch) -> None:
    """A call was under way when Redis was emptied; its end makes a memory again, but none of the pause."""
    met, other = process(clock), process(clock)
    ask(other).ended({}, 200)
    clock.advance(200)  # from then on the memory has no gap
    under_way = ask(other)
    ask(met).ended({}, 429)
    clock.flush_redis()

    under_way.ended({}, 200)

    with pytest.raises(Throttled, match="paused"):
        ask(other)


def test_new_process_without_redis_asks_the_database(clock: Stopwatch) -> None:
    """Redis went away instead of being emptied."""
    ask(process(clock)).ended({}, 429)
    scripts = Outage()
    scripts.away = True

    with pytest.raises(Throttled, match="paused"):
        ask(process(clock, scripts=scripts))


def test_pause_without_redis_is_stored(clock: Stopwatch) -> None:
    """The 429 came while Redis was away."""
    scripts = Outage()
    scripts.away = True
    ask(process(clock, scripts=scripts)).ended({}, 429)

    with pytest.raises(Throttled, match="paused"):
        ask(process(clock))


def test_limit_of_a_day_that_is_used_up_is_stored(clock: Stopwatch) -> None:
    """Not a 429 yet: the next request would get one."""
    spent = {"X-RateLimit-Limit-Plan": "5000", "X-RateLimit-Remaining-Plan": "0", "X-RateLimit-Reset-Plan": "1800"}
    ask(process(clock)).ended(spent, 200)
    clock.flush_redis()

    with pytest.raises(Throttled, match="paused") as refusal:
        ask(process(clock))

    assert (refusal.value.retry_after or 0) > 1700


def test_shorter_pause_does_not_end_a_longer_one() -> None:
    """Several answers may tell of a pause."""
    stored = StoredPause(KEY)

    stored.note(600)
    stored.note(1)

    assert 590 < stored.left_s() <= 600
    assert StoredPause("cal_other").left_s() == 0


def test_nothing_is_sent_while_the_database_cannot_say(clock: Stopwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Redis nor the database knows: a request could be the second 429."""
    one = process(clock)

    def fail() -> float:
        raise DatabaseError

    with monkeypatch.context() as patch:
        patch.setattr(one._stored_pause, "left_s", fail)
        with pytest.raises(Throttled, match="recovering") as refusal:
            ask(one)
        assert refusal.value.retry_after == 1.0

    ask(one)


def test_database_is_asked_once_after_a_loss(clock: Stopwatch, django_assert_num_queries) -> None:
    """By the first process that asks; then Redis knows."""
    one, other = process(clock), process(clock)

    with django_assert_num_queries(1):
        ask(one).ended({}, 200)
        ask(other).ended({}, 200)
