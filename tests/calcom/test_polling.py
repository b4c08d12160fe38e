"""Polling: cheap, with the lowest priority, more often without webhooks, and without gaps."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from calcom import service, tasks
from calcom.errors import Unavailable
from calcom.http import client
from calcom.models import Cursor, DeferredBooking, WebhookDelivery
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import Priority
from calcom.webhooks import polling
from calcom.webhooks.events import Ignored, RetryLater
from tests.contract.api_user import ApiUser
from tests.factories import at

LIST = "GET /v2/bookings"


@pytest.fixture
def account(salon, calcom):
    """The salon's account, polled once."""
    Cursor.objects.create(account=salon.account, read_until=timezone.now() - timedelta(minutes=10))
    return salon.account


def pass_time(**span: float) -> None:
    """Let that much time pass for the cursors and the inbox; the clock at Cal.com goes on as it is."""
    step = timedelta(**span)
    Cursor.objects.update(next_poll_at=F("next_poll_at") - step)
    WebhookDelivery.objects.update(received_at=F("received_at") - step)


def test_changed_booking_is_dispatched_again_for_five_minutes(account, simulator, handler):
    """FM-73: made, moved, cancelled, announced or not. What was being written then may appear only later."""
    first = simulator.book_elsewhere(2, at(10), webhook=False)
    second = simulator.reschedule_elsewhere(first["uid"], at(12), webhook=False)

    assert polling.poll(account) == 2
    assert handler.uids == [second["uid"], first["uid"]]  # rescheduled bookings come last

    assert polling.poll(account) == 2
    Cursor.objects.update(read_until=F("read_until") + timedelta(minutes=11))
    assert polling.poll(account) == 0


def test_a_quiet_account_costs_one_request_a_poll(account, simulator, handler):
    """Lowest priority, one page; the cursor goes on although nothing changed."""
    before = Cursor.objects.get().read_until

    polling.poll(account)

    assert simulator.count() == simulator.count(LIST) == 1
    assert Cursor.objects.get().read_until > before
    assert Cursor.objects.get().polled_at is not None


def test_pages_go_on_by_time(account, simulator, handler, monkeypatch):
    """More than a page, some in one second: each is dispatched, none is skipped."""
    for module in (client, service):
        monkeypatch.setattr(module, "LARGEST_PAGE", 3)
    uids = {simulator.book_elsewhere(2, at(9 + number), webhook=False)["uid"] for number in range(8)}

    polling.poll(account)

    assert set(handler.uids) == uids


@pytest.mark.parametrize("trouble", [RetryLater("not settled"), Unavailable("down"), RuntimeError("a bug")])
def test_poll_advances_and_defers_what_cannot_be_applied(account, simulator, handler, trouble, caplog):
    """The others are applied all the same; the next polls do not read it again, however often it is in their list."""
    late = simulator.book_elsewhere(2, at(10), webhook=False)["uid"]
    simulator.book_elsewhere(2, at(12), webhook=False)
    handler.errors = {late: trouble}
    before = Cursor.objects.get().read_until

    polling.poll(account)
    assert (len(handler.uids), Cursor.objects.get().read_until > before) == (2, True)
    row = DeferredBooking.objects.get()
    assert (row.remote_uid, row.state, row.attempts, row.last_error) == (late, "waiting", 1, type(trouble).__name__)
    assert "calcom.booking_deferred" in caplog.text
    assert late not in caplog.text

    polling.poll(account)
    assert handler.uids.count(late) == 1


def test_poll_passes_what_concerns_no_company(account, simulator, handler):
    """Nothing is to be done about it, now or later."""
    odd = simulator.book_elsewhere(2, at(10), webhook=False)["uid"]
    simulator.book_elsewhere(2, at(12), webhook=False)
    handler.errors = {odd: Ignored("unknown")}

    polling.poll(account)

    assert len(handler.uids) == 2
    assert not DeferredBooking.objects.exists()


def test_unreadable_booking_is_deferred_and_hides_no_other(account, simulator, handler, monkeypatch):
    """A page with an unreadable booking is still a page; what is known of it is its uid."""
    odd = simulator.book_elsewhere(2, at(10), webhook=False)["uid"]
    readable = simulator.book_elsewhere(2, at(12), webhook=False)["uid"]
    read = client.parsing.booking

    def choosy(data):
        if data["uid"] == odd:
            raise KeyError("start")
        return read(data)

    monkeypatch.setattr(client.parsing, "booking", choosy)

    assert polling.poll(account) == 2
    assert handler.uids == [readable]
    row = DeferredBooking.objects.get()
    assert (row.remote_uid, row.last_error) == (odd, "unreadable")


def test_without_an_answer_nothing_is_lost(account, simulator, handler):
    """The next poll goes on from where this one could not begin."""
    simulator.book_elsewhere(2, at(10), webhook=False)
    simulator.fail(LIST, "error_before")
    before = Cursor.objects.get().read_until

    tasks.poll_account(account_id=account.pk, of_the_future=1)
    assert (handler.uids, Cursor.objects.get().read_until) == ([], before)

    tasks.poll_account(account_id=account.pk)
    assert len(handler.uids) == 1


def test_throttled_poll_is_repeated_soon(account, simulator, handler):
    """Refused background work goes back to its queue, which is the row; the waiting is not a loop."""
    polling.due_accounts()
    limiter_for(account.api_key, account.requests_per_minute).pause_background(30)

    tasks.poll_account(account_id=account.pk)
    assert polling.due_accounts() == []
    pass_time(seconds=31)
    assert polling.due_accounts() == [account.pk]

    assert simulator.count(LIST) == 0


@pytest.mark.parametrize("live", [83, 102])
def test_poll_passes_while_callers_use_what_they_may(account, simulator, handler, live):
    """So a webhook that was lost is found after a minute, and not after the rush."""
    limiter = limiter_for(account.api_key, account.requests_per_minute)
    for priority, requests in ((Priority.LIVE, live), (Priority.WRITE, 117 - live)):
        for _ in range(requests):
            limiter.permit(priority, tenant=None, longest_call_s=8, deadline_left_s=0)
    lost = simulator.book_elsewhere(2, at(10), webhook=False)

    tasks.poll_account(account_id=account.pk)

    assert handler.uids == [lost["uid"]]
    assert simulator.count(LIST) == 1


def test_silence_is_polled_more_often(account, settings):
    """FM-73: every minute without webhooks, every four with them."""
    settings.CALCOM_POLL_EVERY, settings.CALCOM_POLL_EVERY_IN_SILENCE = 240, 60
    WebhookDelivery.objects.create(account=account, trigger="x", identity="x", body={})
    assert polling.due_accounts() == [account.pk]
    assert polling.due_accounts() == []

    pass_time(seconds=61)
    assert polling.due_accounts() == []
    pass_time(seconds=180)
    assert polling.due_accounts() == [account.pk]

    pass_time(minutes=9)
    assert polling.due_accounts() == [account.pk]  # that time it is silent
    pass_time(seconds=61)
    assert polling.due_accounts() == [account.pk]


def test_a_new_account_is_polled_from_yesterday_and_one_that_is_off_never(salon, calcom, practice):
    """Each account has its own place."""
    practice.account.active = False
    practice.account.save()

    assert polling.due_accounts() == [salon.account.pk]
    assert timezone.now() - Cursor.objects.get().read_until < timedelta(hours=25)

    tasks.poll_account(account_id=practice.account.pk)
    assert not Cursor.objects.filter(account=practice.account).exists()


def test_only_the_own_bookings_are_read(account, practice, simulator, handler):
    """Invariant 7: the key decides."""
    ApiUser(simulator, key=practice.account.api_key).get("/v2/me")
    simulator.book_elsewhere(11, at(10), webhook=False)

    assert polling.poll(account) == 0
