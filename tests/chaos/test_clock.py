"""The clock of these tests: all parts agree on the time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from bookings.models import ClockTimestamp, Conversation, Operation
from cachectl import cache, store
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from calcom.resilience.rate_limiter import limiter_for
from tests.bookings.helpers import PATIENCE, book, intent
from tests.chaos.clock import shared_clock
from tests.factories import TUESDAY, at

NOON = datetime(2031, 5, 5, 12, tzinfo=UTC)


@pytest.fixture
def clock(transactional_db, monkeypatch):
    with shared_clock(monkeypatch) as clock:
        yield clock


def test_everybody_reads_the_same_time(clock, salon):
    """Python, PostgreSQL in queries and in defaults, and Redis."""
    clock.set(NOON)

    conversation = Conversation.objects.annotate(said=Now(), this_moment=ClockTimestamp()).get(
        pk=Conversation.objects.create(company=salon.company).pk
    )
    redis_says = datetime.fromtimestamp(store.ensure_generation(99) / 1000, UTC)

    read = [clock.now(), conversation.said, conversation.this_moment, conversation.started_at, redis_says]
    assert all(timedelta() <= time - NOON < timedelta(seconds=5) for time in read), read


def test_when_time_passes_what_is_known_grows_older(clock, salon, calcom, simulator):
    """A load is stale after three minutes, and what runs out by itself in Redis has run out."""
    window = {"event_type": salon.cut.event_type, "first": at(9), "last": at(18), "deadline": Deadline.after(PATIENCE)}
    calcom.open_slots(**window)
    redis_client().set("a note", "1", px=60_000)

    clock.advance(180)

    again = calcom.open_slots(**window)
    assert (again.known.freshness, simulator.count("GET /v2/slots")) == (cache.Freshness.STALE, 1)
    assert again.known.age > 179
    assert redis_client().get("a note") is None


def test_permits_of_a_minute_ago_are_past(clock, salon, calcom, simulator):
    """The rate limiter goes by the same clock."""
    for hour in range(9, 13):
        book(intent(salon.cut, at(hour, on=TUESDAY)), calcom)
    spent = limiter_for(salon.account.api_key, 120).state().spent

    clock.advance(90)

    assert (spent, limiter_for(salon.account.api_key, 120).state().spent) == (5, 0)


def test_afterwards_everything_is_as_it_was(transactional_db, salon, monkeypatch):
    """The next test reads the real time, whatever it asks."""
    with monkeypatch.context() as patched, shared_clock(patched) as clock:
        clock.set(NOON)

    row = Conversation.objects.annotate(said=Now()).get(pk=Conversation.objects.create(company=salon.company).pk)
    assert abs(row.said - datetime.now(UTC)) < timedelta(seconds=5)
    assert abs(row.started_at - datetime.now(UTC)) < timedelta(seconds=5)
    assert Operation.objects.with_timing().count() == 0
