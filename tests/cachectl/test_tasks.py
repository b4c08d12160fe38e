"""Tasks of the cache: invalidate, relay, refresh, prune, and their retries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from celery.exceptions import Retry
from celery.signals import worker_ready
from django.conf import settings as django_settings
from django.db.models.functions import Now
from pytest_django.fixtures import Settings
from redis import ConnectionError as RedisConnectionError

from cachectl import invalidation, keys, store, tasks
from cachectl.freshness import Freshness
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation, Warming
from script.lib.servers import free_port
from tests.cachectl.conftest import ACCOUNT, COLOUR, CUT, MONDAY, TUESDAY, CountingLoader, RedisTime, ask

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("known_redis")]


def enqueue() -> CacheInvalidation:
    """Enqueue an invalidation of Monday and Tuesday for two event types, because of an own appointment."""
    return invalidation.enqueue(
        account_id=ACCOUNT, event_type_ids=[CUT, COLOUR], first=MONDAY, last=TUESDAY, cause=CacheInvalidation.Cause.OWN
    )


@pytest.fixture
def pending() -> CacheInvalidation:
    return enqueue()


@pytest.fixture
def redis_refuses(settings: Settings, known_redis: None) -> None:
    """Point the settings at a port without Redis."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"


@pytest.fixture
def attempt() -> Iterator[object]:
    """Return a function that runs the n-th attempt of `invalidate_range`, as a worker does."""
    task = tasks.invalidate_range

    def run(retries: int) -> None:
        CacheInvalidation.objects.update(next_attempt_at=Now())  # the pause is over
        task.push_request(id="t", retries=retries, called_directly=False, args=[], kwargs={}, delivery_info={})
        try:
            task.run()
        finally:
            task.pop_request()

    yield run
    with current_app.connection_for_write() as connection, connection.SimpleQueue("cache") as messages:
        messages.clear()


def test_invalidation_is_processed_and_recorded(pending: CacheInvalidation) -> None:
    """FM-26: the row says what is to be done, and what was; arguments of other versions are ignored."""
    tasks.invalidate_range(invalidation_id=pending.id, argument_of_a_newer_version=1)

    pending.refresh_from_db()
    assert (pending.keys_invalidated, pending.attempts, pending.last_error) == (4, 0, "")
    assert pending.done_at is not None
    assert pending.duration is not None
    assert redis_client().exists(*keys.changes(ACCOUNT, CUT, [MONDAY]), *keys.changes(ACCOUNT, COLOUR, [TUESDAY])) == 2


def test_repeated_invalidation_changes_nothing(
    pending: CacheInvalidation, loader: CountingLoader, redis_time: RedisTime
) -> None:
    """FM-27: invalidated after the commit and by the task once or twice: it counts once."""
    pending.cause = CacheInvalidation.Cause.COMMAND
    pending.save()
    invalidation.process()
    redis_time.pass_(60)
    ask()

    CacheInvalidation.objects.update(done_at=None, next_attempt_at=Now())  # a crash between Redis and the row
    tasks.invalidate_range()
    tasks.invalidate_range()

    assert ask().freshness is Freshness.FRESH
    pending.refresh_from_db()
    assert (pending.keys_invalidated, pending.attempts) == (4, 0)


def test_invalidations_are_processed_a_hundred_per_message(pending: CacheInvalidation) -> None:
    """Whichever message comes first; the others find nothing to do."""
    for _ in range(120):
        enqueue()

    assert [invalidation.process() for _ in range(3)] == [100, 21, 0]
    assert all(
        row.done_at and row.duration is not None and row.keys_invalidated == 4
        for row in CacheInvalidation.objects.all()
    )


def test_message_without_rows_is_no_error() -> None:
    """A message may outlive its row."""
    tasks.invalidate_range(invalidation_id=404)

    assert not CacheInvalidation.objects.exists()


@pytest.mark.usefixtures("redis_refuses")
@pytest.mark.parametrize(("retries", "wait"), [(0, 5), (1, 10), (2, 20)])
def test_attempts_are_scheduled_after_5_10_and_20_seconds(
    attempt: object, pending: CacheInvalidation, retries: int, wait: int
) -> None:
    """FM-25: the error reaches the task, and the documented waits are those in the message."""
    before = datetime.now(UTC)
    with pytest.raises(Retry) as raised:
        attempt(retries)

    assert raised.value.when == wait
    with current_app.connection_for_read() as connection, connection.SimpleQueue("cache") as messages:
        message = messages.get_nowait()
        message.ack()
    eta = datetime.fromisoformat(message.headers["eta"])
    assert timedelta(seconds=wait) <= eta - before < timedelta(seconds=wait + 2)
    assert message.headers["retries"] == retries + 1


@pytest.mark.usefixtures("redis_refuses")
def test_after_the_last_attempt_the_row_is_still_pending(
    attempt: object, pending: CacheInvalidation, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """FM-25: the message's retries end, the row's do not; an error in the log calls a person, the relay goes on."""
    for retries in range(3):
        with pytest.raises(Retry):
            attempt(retries)
    with pytest.raises(RedisConnectionError):
        attempt(3)

    pending.refresh_from_db()
    assert (pending.attempts, pending.done_at) == (4, None)
    assert pending.last_error.startswith("ConnectionError")
    assert timedelta() < pending.next_attempt_at - datetime.now(UTC) < timedelta(seconds=21)
    [*_, last] = [record for record in caplog.records if "cache.invalidation_failed" in record.getMessage()]
    assert last.levelname == "ERROR"


def test_relay_sends_a_message_after_a_crash_between_commit_and_invalidation(pending: CacheInvalidation) -> None:
    """Invariant 6: at most ten seconds later the days are invalidated."""
    tasks.relay_outbox()

    with current_app.connection_for_read() as connection, connection.SimpleQueue("cache") as messages:
        message = messages.get_nowait()
        message.ack()
    assert message.headers["task"] == "cachectl.invalidate_range"


@pytest.mark.usefixtures("redis_refuses")
def test_batch_is_retried_together_while_redis_is_away(pending: CacheInvalidation) -> None:
    """The first failure ends it: the others would fail as well."""
    invalidation.enqueue(
        account_id=ACCOUNT, event_type_ids=[1], first=MONDAY, last=MONDAY, cause=CacheInvalidation.Cause.COMMAND
    )

    with pytest.raises(RedisConnectionError):
        invalidation.process()

    assert invalidation.process() == 0  # not before the pause is over
    assert sorted(CacheInvalidation.objects.values_list("attempts", "done_at")) == [(1, None), (1, None)]


def test_row_that_cannot_be_invalidated_does_not_delay_the_others(pending: CacheInvalidation) -> None:
    """FM-26: a range beyond all bounds is refused, noted, and left to a person."""
    absurd = CacheInvalidation.objects.create(
        account_id=ACCOUNT, event_type_ids=[1], first=MONDAY, last=MONDAY + timedelta(days=9000), cause="command"
    )
    CacheInvalidation.objects.filter(pk=absurd.pk).update(next_attempt_at=Now() - timedelta(seconds=1))

    assert invalidation.process() == 1

    absurd.refresh_from_db()
    assert (absurd.done_at, absurd.attempts) == (None, 1)
    assert absurd.last_error.startswith("ValueError")
    assert "4000" in absurd.last_error


def test_owing_is_bounded() -> None:
    """FM-26: a range larger than any change is refused."""
    for event_types, last in (([], MONDAY), ([1], MONDAY - timedelta(days=1)), ([1], MONDAY + timedelta(days=9000))):
        with pytest.raises(ValueError, match="4000"):
            invalidation.enqueue(
                account_id=1, event_type_ids=event_types, first=MONDAY, last=last, cause=CacheInvalidation.Cause.COMMAND
            )


def test_emptied_redis_is_noticed(pending: CacheInvalidation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads count from the consistency lag after Redis was first seen empty: better before a search."""
    monkeypatch.setattr("cachectl.loaders._Registry.accounts", staticmethod(lambda: [ACCOUNT, 8]))
    redis_client().flushdb()

    tasks.ensure_generation()

    assert redis_client().exists(keys.generation(ACCOUNT), keys.generation(8)) == 2


def test_worker_looks_at_redis_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart of everything, loads count as soon as callers come."""
    monkeypatch.setattr("cachectl.loaders._Registry.accounts", staticmethod(lambda: [8]))

    worker_ready.send(sender=None)

    assert redis_client().exists(keys.generation(8))


def test_refresh_loads_stale_days(loader: CountingLoader, redis_time: RedisTime) -> None:
    """The message carries ids and ISO dates, and may carry more one day."""
    ask()
    redis_time.pass_(121)

    tasks.refresh(account_id=ACCOUNT, event_type_id=CUT, first="2026-11-23", last="2026-11-23", revalidate=True)

    assert ask().freshness is Freshness.FRESH
    assert len(loader.loads) == 2


def test_refresh_of_a_day_that_changed_a_moment_ago_comes_back_later(loader: CountingLoader) -> None:
    """A load that would not count is postponed until it does."""
    ask()
    store.invalidate(ACCOUNT, [CUT], [MONDAY], own=False, mark="1")

    with pytest.raises(Retry) as raised:
        tasks.refresh.apply(
            kwargs={"account_id": ACCOUNT, "event_type_id": CUT, "first": "2026-11-23", "last": "2026-11-23"},
            throw=True,
        )

    assert 2 < raised.value.when < 3
    assert len(loader.loads) == 1


def test_history_is_pruned_after_14_days_and_pending_rows_are_not(pending: CacheInvalidation) -> None:
    old = datetime.now(UTC) - timedelta(days=15)
    CacheInvalidation.objects.update(created_at=old)
    done = invalidation.enqueue(
        account_id=1, event_type_ids=[1], first=MONDAY, last=MONDAY, cause=CacheInvalidation.Cause.COMMAND
    )
    CacheInvalidation.objects.filter(id=done.id).update(created_at=old, done_at=old)
    Warming.objects.create(started_at=old)
    Warming.objects.create()

    tasks.prune()

    assert list(CacheInvalidation.objects.all()) == [pending]
    assert Warming.objects.count() == 1


def test_every_task_has_its_queue() -> None:
    """CacheInvalidation never waits behind anything; loads have a queue of their own."""
    routes = django_settings.CELERY_TASK_ROUTES
    queues = {name: routes.get(name, {}).get("queue") for name in current_app.tasks if name.startswith("cachectl.")}

    assert queues == {
        "cachectl.invalidate_range": "cache",
        "cachectl.relay_outbox": "cache",
        "cachectl.ensure_generation": "cache",
        "cachectl.refresh": "refresh",
        "cachectl.prune": None,
    }
