"""Deferred bookings are read again, at growing intervals, until they are applied, gone, or dead letters."""

from datetime import timedelta
from io import StringIO

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from cachectl.tasks import relay_outbox
from calcom.models import Cursor, DeferredBooking
from calcom.resilience.rate_limiter import limiter_for
from calcom.webhooks import deferred, polling
from calcom.webhooks.events import Ignored, RetryLater
from tests.calcom.webhooks import handed_out
from tests.factories import at
from tests.monitoring import samples

MOST_ATTEMPTS = DeferredBooking.retry_policy.max_attempts
LIST, READ = "GET /v2/bookings", "GET /v2/bookings/{uid}"


@pytest.fixture
def account(salon, calcom, simulator, handler):
    """The salon's account, with one booking that a poll has just deferred."""
    handler.error = RetryLater("not settled")
    Cursor.objects.create(account=salon.account, read_until=timezone.now() - timedelta(minutes=10))
    simulator.book_elsewhere(2, at(10), webhook=False)
    polling.poll(salon.account)
    return salon.account


def row() -> DeferredBooking:
    """Return the only deferred booking."""
    return DeferredBooking.objects.get()


def pass_time(**span: float) -> None:
    """Make rows due earlier by this time."""
    DeferredBooking.objects.update(next_attempt_at=F("next_attempt_at") - timedelta(**span))


def look() -> None:
    """Run what beat and the workers run."""
    handed_out("default")
    relay_outbox()
    for message in handed_out("default"):
        current_app.tasks[message.pop("task")].run(**message)


def test_deferred_booking_is_applied_when_its_time_has_come(account, simulator, handler):
    """Read anew, behind callers' requests, and then no more."""
    handler.error = None
    look()
    assert simulator.count(READ) == 0

    pass_time(seconds=31)
    look()

    assert (simulator.count(READ), len(handler.uids)) == (1, 2)
    assert not DeferredBooking.objects.exists()


def test_interval_of_attempts_doubles_until_the_dead_letter(account, simulator, handler, caplog):
    """Ten attempts in four hours; then an alert, and no more."""
    pauses = [timedelta(seconds=30) * 2**number for number in range(MOST_ATTEMPTS - 1)]
    for attempt, pause in enumerate(pauses, start=1):
        assert row().attempts == attempt
        pass_time(seconds=pause.total_seconds() - 5)
        look()
        assert row().attempts == attempt
        pass_time(seconds=6)
        look()

    assert (row().state, row().attempts, row().last_error) == ("dead_letter", MOST_ATTEMPTS, "RetryLater")
    assert caplog.text.count("calcom.deferred_booking_dead_letter") == 1
    assert samples.now()["slotline_deferred_bookings_given_up"] == 1
    pass_time(days=1)
    look()
    assert simulator.count(READ) == MOST_ATTEMPTS - 1


@pytest.mark.parametrize("what", ["gone", "ignored"])
def test_deferred_booking_is_closed_when_it_needs_no_action(account, simulator, handler, what):
    """Cal.com does not know it any more, or it concerns no company."""
    if what == "gone":
        DeferredBooking.objects.update(remote_uid="no-such-booking")
    handler.error = Ignored("unknown")
    pass_time(seconds=31)

    look()

    assert not DeferredBooking.objects.exists()


def test_read_without_a_permit_is_no_attempt(account, simulator, handler):
    """Nothing was sent, so nothing can be said about the booking."""
    limiter_for(account.api_key, account.requests_per_minute).pause_background(300)
    pass_time(seconds=31)

    look()

    assert (row().state, row().attempts, simulator.count(READ)) == ("waiting", 1, 0)
    assert row().next_attempt_at > timezone.now() + timedelta(seconds=200)


@pytest.mark.parametrize("fault", ["error_before", "invalid_json"])
def test_unreadable_response_is_an_attempt(account, simulator, handler, fault):
    """Otherwise one that can never be read would be read for ever."""
    simulator.fail(READ, fault)
    pass_time(seconds=31)

    look()

    assert (row().state, row().attempts, row().last_error) == ("waiting", 2, "unavailable")


def test_two_workers_do_not_read_the_same(account, simulator, handler):
    """Both get a message; one claims the row."""
    pass_time(seconds=31)

    for _ in range(2):
        deferred.process()

    assert simulator.count(READ) == 1


def test_poll_retries_a_dead_letter_that_changed(account, simulator, handler):
    """What has not changed is left to people."""
    DeferredBooking.objects.update(state="dead_letter", attempts=10)
    polling.poll(account)
    assert len(handler.uids) == 1

    DeferredBooking.objects.update(remote_changed_at=F("remote_changed_at") - timedelta(seconds=1))
    polling.poll(account)
    assert (len(handler.uids), row().state, row().attempts) == (2, "waiting", 1)


def test_reconciliation_reads_all_deferred_bookings(account, simulator, handler):
    """Due or not, given up or not."""
    DeferredBooking.objects.update(state="dead_letter")
    handler.error = None

    call_command("reconcile_bookings", "--account", str(account.pk), "--dry-run", stdout=StringIO())
    assert row().state == "dead_letter"
    call_command("reconcile_bookings", "--account", str(account.pk), stdout=StringIO())

    assert not DeferredBooking.objects.exists()


def test_staff_has_a_booking_read_again(account, simulator, handler, client):
    """With all attempts, at once."""
    DeferredBooking.objects.update(state="dead_letter", attempts=10)
    client.force_login(User.objects.create_superuser("staff"))
    handler.error = None
    chosen = {"action": "look_again", "_selected_action": [row().pk]}

    said = client.post(reverse("admin:calcom_deferredbooking_changelist"), chosen, follow=True).text

    assert "1 will be read again." in said
    look()
    assert not DeferredBooking.objects.exists()


def test_deferred_bookings_of_other_accounts_are_not_touched(account, practice, simulator, handler):
    """A comparison is of one account."""
    other = DeferredBooking.objects.create(account=practice.account, remote_uid="x", last_error="RetryLater")
    handler.error = None

    deferred.process_all(account)

    assert list(DeferredBooking.objects.all()) == [other]
