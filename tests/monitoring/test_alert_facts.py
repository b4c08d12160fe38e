"""What alerts look at, read after the real thing has happened."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db.models import F
from django.utils import timezone

from bookings.models import CallbackRequest
from calcom.models import Account, Cursor, DeferredBooking, WebhookDelivery
from calcom.service import CalcomService
from calcom.simulator import Kind, Simulator
from calcom.webhooks import polling
from tests.bookings.helpers import book, intent
from tests.factories import BERLIN, KARL, Salon, at
from tests.monitoring import samples

pytestmark = pytest.mark.django_db(transaction=True)  # collectors run on threads of their own

WEDNESDAY_MORNING = datetime(2026, 12, 2, 10, tzinfo=BERLIN)


@pytest.fixture
def accepted(salon: Salon, calcom: CalcomService, simulator: Simulator) -> Account:
    """The salon's account, polled before, whose webhooks are signed."""
    Account.objects.update(webhook_secret="whsec_1")
    Cursor.objects.create(
        account=salon.account,
        read_until=timezone.now() - timedelta(minutes=10),
        polled_at=timezone.now() - timedelta(minutes=5),
    )
    return Account.objects.get(pk=salon.account.pk)


def ask_callback(salon: Salon, requested_at: datetime) -> CallbackRequest:
    """Write down an open request."""
    return CallbackRequest.objects.create(
        company=salon.company, branch=salon.branch, phone=KARL.phone, requested_at=requested_at
    )


@pytest.mark.parametrize(
    ("requested", "hours"),
    [
        (datetime(2026, 12, 2, 9, 30, tzinfo=BERLIN), 0.5),
        (datetime(2026, 12, 2, 3, 0, tzinfo=BERLIN), 1.0),  # the salon opens at nine
        (datetime(2026, 12, 1, 17, 0, tzinfo=BERLIN), 2.0),  # it closed at six
    ],
)
def test_callback_waits_while_the_branch_is_open(salon: Salon, requested: datetime, hours: float) -> None:
    ask_callback(salon, requested)

    with time_machine.travel(WEDNESDAY_MORNING, tick=False):
        seen = samples.now()

    assert seen[f'slotline_callback_waiting_seconds{{company="{salon.company.pk}"}}'] == hours * 3600


def test_callback_that_is_done_waits_no_more(salon: Salon) -> None:
    CallbackRequest.objects.filter(pk=ask_callback(salon, timezone.now()).pk).update(state="done")

    assert not [line for line in samples.now() if "callback_waiting" in line]


def test_appointments_that_overlap_are_counted_by_account(
    salon: Salon, calcom: CalcomService, simulator: Simulator
) -> None:
    line = f'slotline_overlapping_appointments{{account="{salon.account.pk}"}}'
    assert samples.now()[line] == 0
    simulator.book_elsewhere(2, at(14), webhook=False)
    simulator.book_elsewhere(2, at(14, 30), webhook=False)

    call_command("reconcile_bookings", stdout=StringIO())

    assert samples.now()[line] == 1


def test_dead_letters_are_counted_by_outbox(salon: Salon) -> None:
    WebhookDelivery.objects.create(account=salon.account, trigger="X", identity="1", body={}, state="dead_letter")
    WebhookDelivery.objects.create(account=salon.account, trigger="X", identity="2", body={}, state="failed")
    DeferredBooking.objects.create(account=salon.account, remote_uid="1", state="waiting")

    seen = samples.now()

    assert seen['slotline_dead_letters{outbox="webhooks"}'] == 1
    assert seen['slotline_dead_letters{outbox="deferred_bookings"}'] == 0


def test_account_that_was_never_polled_is_due_since_it_was_entered(salon: Salon) -> None:
    Account.objects.update(created_at=F("created_at") - timedelta(hours=1))

    age = samples.now()[f'slotline_polled_age_seconds{{account="{salon.account.pk}"}}']

    assert 3600 <= age < 3700


@pytest.mark.parametrize("told", ["yes", "no"])
def test_change_that_polling_reads_is_counted_by_whether_a_webhook_told(
    accepted: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    booking = simulator.book_elsewhere(2, at(10), webhook=False)
    if told == "yes":
        event = {"trigger": "BOOKING_CREATED", "remote_uid": booking["uid"], "identity": "1", "body": {}}
        WebhookDelivery.objects.create(account=accepted, **event)

    with samples.growth() as at_once:
        polling.poll(accepted)
    Cursor.objects.update(polled_at=timezone.now() - timedelta(minutes=5))
    monkeypatch.setattr(polling, "WEBHOOK_WITHIN", timedelta())  # the minute is over
    with samples.growth() as a_minute_later:
        polling.poll(accepted)
        polling.poll(accepted)

    line = f'slotline_polled_changes_total{{account="{accepted.pk}",told="{told}"}}'
    assert line not in at_once
    assert a_minute_later[line] == 1


def test_account_without_webhooks_is_not_missed_for_them(
    accepted: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "WEBHOOK_WITHIN", timedelta())
    Account.objects.update(webhook_secret="")
    simulator.book_elsewhere(2, at(10), webhook=False)

    with samples.growth() as grown:
        polling.poll(Account.objects.get(pk=accepted.pk))

    assert not [line for line in grown if "polled_changes" in line]


def test_sync_that_fails_is_shown_until_one_succeeds(salon: Salon, calcom: CalcomService, simulator: Simulator) -> None:
    line = f'slotline_job_failed{{account="{salon.account.pk}",job="sync"}}'
    assert samples.now()[line] == 0
    simulator.fail("GET *", Kind.ERROR_BEFORE)

    with pytest.raises(CommandError):
        call_command("sync_calcom", stdout=StringIO())
    assert samples.now()[line] == 1

    call_command("sync_calcom", stdout=StringIO())
    assert samples.now()[line] == 0


def test_reconciliation_shows_what_differed_and_dry_runs_change_nothing(
    salon: Salon, calcom: CalcomService, simulator: Simulator
) -> None:
    account = f'account="{salon.account.pk}"'
    simulator.book_elsewhere(3, at(10), webhook=False)

    call_command("reconcile_bookings", "--dry-run", stdout=StringIO())
    assert samples.now()[f"slotline_drift{{{account}}}"] == 0
    call_command("reconcile_bookings", stdout=StringIO())
    assert samples.now()[f"slotline_drift{{{account}}}"] == 1
    call_command("reconcile_bookings", stdout=StringIO())

    seen = samples.now()
    assert seen[f"slotline_drift{{{account}}}"] == 0
    assert seen[f'slotline_job_failed{{{account},job="reconciliation"}}'] == 0


def test_booking_that_is_nowhere_at_calcom_is_counted(
    salon: Salon, calcom: CalcomService, simulator: Simulator
) -> None:
    booked = book(intent(salon.colour, at(9), KARL), calcom).appointment
    type(booked).objects.filter(pk=booked.pk).update(remote_uid="nowhere")

    with samples.growth() as grown:
        call_command("reconcile_bookings", stdout=StringIO())

    assert grown["slotline_bookings_missing_total"] == 1


def test_connections_and_disk_are_shares(salon: Salon) -> None:
    seen = samples.now()

    assert 0 < seen["slotline_database_connections_used"] < 1
    assert 0 < seen['slotline_disk_free{disk="metrics"}'] <= 1


def test_machines_clock_is_no_part_of_the_ages(salon: Salon) -> None:
    """PostgreSQL's clock says how old a sign of life is."""
    samples.now()

    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1)):
        seen = samples.now()

    assert seen['slotline_heartbeat_age_seconds{part="beat"}'] < 60
