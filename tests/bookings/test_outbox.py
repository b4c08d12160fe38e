"""The outbox that cache invalidations, operations, webhook deliveries and deferred bookings share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from kombu.exceptions import OperationalError

from bookings.models import Appointment, Operation
from cachectl import invalidation, tasks
from cachectl.infra import outbox
from cachectl.infra.outbox import OutboxRow, RetryPolicy
from cachectl.models import CacheInvalidation
from calcom.models import DeferredBooking, WebhookDelivery
from tests.calcom.webhooks import handed_out
from tests.factories import TUESDAY, Salon, at

KINDS = {
    CacheInvalidation: "cache",
    Operation: "bookings",
    WebhookDelivery: "webhooks",
    DeferredBooking: "default",
}


def write(salon: Salon, number: int, *, first: int = 0) -> None:
    """Write so many due rows of each kind."""
    account, minute_ago = salon.account, Now() - timedelta(minutes=1)
    CacheInvalidation.objects.bulk_create(
        CacheInvalidation(
            account_id=account.pk,
            event_type_ids=[salon.colour.event_type_id],
            first=TUESDAY,
            last=TUESDAY,
            cause="own",
            next_attempt_at=minute_ago,
        )
        for _ in range(number)
    )
    appointments = Appointment.objects.bulk_create(
        Appointment(
            company=salon.company,
            branch=salon.branch,
            service=salon.colour,
            event_type=salon.colour.event_type,
            state="pending",
            start=at(10),
            end=at(11),
        )
        for _ in range(number)
    )
    Operation.objects.bulk_create(
        Operation(company=salon.company, appointment=each, kind="create", next_attempt_at=minute_ago)
        for each in appointments
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            account=account,
            trigger="PING",
            identity=str(each),
            remote_uid=str(each),
            body={},
            next_attempt_at=minute_ago,
        )
        for each in range(first, first + number)
    )
    DeferredBooking.objects.bulk_create(
        DeferredBooking(account=account, remote_uid=str(each), next_attempt_at=minute_ago)
        for each in range(first, first + number)
    )


def statements(job: Callable[[], object]) -> int:
    """Return how many statements a job sends."""
    with CaptureQueriesContext(connection) as sent:
        job()
    return len(sent)


@pytest.mark.django_db
def test_relay_sends_one_statement_per_outbox_however_many_rows_are_due(salon: Salon) -> None:
    """1,000 rows of each kind cost what one of each costs."""
    write(salon, 1)
    for_one = statements(tasks.relay_outbox)
    assert {queue: len(handed_out(queue)) for queue in KINDS.values()} == dict.fromkeys(KINDS.values(), 1)

    write(salon, 999, first=1)
    for_many = statements(tasks.relay_outbox)

    assert for_one == for_many == len(KINDS)
    most = outbox.MOST_MESSAGES
    sent = {queue: len(handed_out(queue)) for queue in KINDS.values()}
    assert sent == {"cache": 10, "bookings": most, "webhooks": most, "default": most}


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_claim_sends_the_same_statements_for_a_hundred_rows_as_for_one(salon: Salon, kind: type[OutboxRow]) -> None:
    """1,000 rows are claimed in ten batches, each row once; the eleventh claim finds none."""
    write(salon, 1_000)
    claimed: list[int] = []

    def claim(most: int) -> None:
        claimed.extend(row.pk for row in kind.objects.claim(most))

    for_one, *for_many = [statements(lambda most=most: claim(most)) for most in (1, 99, *[100] * 9)]

    assert {for_one, *for_many} == {5}  # is there any, BEGIN, SELECT, UPDATE, COMMIT
    assert len(claimed) == len(set(claimed)) == 1_000
    assert kind.objects.claim(100) == []


@pytest.mark.django_db
@pytest.mark.parametrize("kind", KINDS)
def test_failed_attempts_of_a_batch_are_written_in_one_statement(salon: Salon, kind: type[OutboxRow]) -> None:
    """Each row gets the pause of its own number of failures."""
    write(salon, 100)
    kind.objects.filter(pk=kind.objects.earliest("pk").pk).update(attempts=2)
    rows = kind.objects.claim(100)

    clock = kind.objects.annotate(now=Now()).values_list("now", flat=True)

    before = clock[0]
    assert statements(lambda: kind.objects.retry(rows, "Redis is away")) == 1
    after = clock.all()[0]

    delays = [kind.retry_policy.delay(attempts) for attempts in (3, 1)]
    due = kind.objects.order_by("pk").values_list("next_attempt_at", flat=True)[:2]
    failed_at = {at - delay for at, delay in zip(due, delays, strict=True)}
    assert len(failed_at) == 1  # the same statement
    assert before <= failed_at.pop() <= after
    assert set(kind.objects.values_list("attempts", "last_error")) == {(3, "Redis is away"), (1, "Redis is away")}


@pytest.mark.django_db
def test_invalidations_take_the_same_statements_for_a_hundred_rows_as_for_one(salon: Salon) -> None:
    """Claimed with five statements, finished with one."""
    write(salon, 201)

    assert [statements(invalidation.process) for _ in range(3)] == [6, 6, 6]
    assert not CacheInvalidation.objects.pending().exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_claimed_once_by_workers_that_claim_together(salon: Salon, kind: type[OutboxRow]) -> None:
    """Locked rows are skipped, and claimed ones are not due."""
    write(salon, 100)

    def claim(_: int) -> list[int]:
        try:
            return [row.pk for row in kind.objects.claim(7)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as workers:
        claimed = [pk for batch in workers.map(claim, range(16)) for pk in batch]
    claimed += [row.pk for row in kind.objects.claim(100)]

    assert len(claimed) == len(set(claimed)) == 100


@pytest.mark.django_db
def test_lost_claim_changes_nothing(salon: Salon) -> None:
    """A worker whose lease ended overwrites nothing of the worker that claimed the row after it."""
    write(salon, 1)
    late = CacheInvalidation.objects.claim(1)
    CacheInvalidation.objects.update(next_attempt_at=Now())  # its lease ends
    assert CacheInvalidation.objects.claim(1) == late

    CacheInvalidation.objects.retry(late, "too late")
    CacheInvalidation.objects.postpone(late, timedelta(days=1))

    assert CacheInvalidation.objects.get().attempts == 0
    assert CacheInvalidation.objects.filter(next_attempt_at__lte=Now() + outbox.LEASE).exists()


@pytest.mark.django_db
def test_relay_stops_at_a_broker_that_takes_no_message(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for it once; the rows stay due, and the next run sends the messages."""
    write(salon, 30)
    tried = []

    def refuse(name: str, *_: object, **__: object) -> None:
        tried.append(name)
        raise OperationalError

    with monkeypatch.context() as outage:
        outage.setattr(current_app._get_current_object(), "send_task", refuse)
        outbox.relay()
    assert len(tried) == 1

    outbox.relay()
    assert len(handed_out("bookings")) == outbox.MOST_MESSAGES


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (8, 640), (16, 86_400), (32_767, 86_400)]
)
def test_pause_doubles_up_to_the_longest(attempts: int, seconds: int) -> None:
    """5, 10, 20 s and so on."""
    assert RetryPolicy().delay(attempts) == timedelta(seconds=seconds)


def test_policy_is_exhausted_after_its_last_attempt() -> None:
    """Without a number of attempts it never is."""
    assert [RetryPolicy(max_attempts=8).is_exhausted(attempts) for attempts in (7, 8, 9)] == [False, True, True]
    assert not RetryPolicy().is_exhausted(32_767)
