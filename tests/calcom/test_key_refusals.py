"""An API key that Cal.com refuses: what sets and clears the state, who learns of it, what is not sent meanwhile."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import F
from django.test import Client as Browser

from cachectl import cache
from cachectl.infra.deadline import Deadline
from calcom import tasks
from calcom.errors import KeyRefused, Reason, Refused
from calcom.http.client import Client
from calcom.models import Account, Cursor, DeferredBooking, KeyRefusal, WebhookDelivery
from calcom.resilience import refusals
from calcom.resilience.refusals import Kind
from calcom.simulator import Simulator
from calcom.types import Priority
from calcom.webhooks import deferred, inbox
from monitoring import collectors
from tests import factories
from tests.calcom.webhooks import RecordingHandler
from tests.factories import SALON_CREDENTIAL, TUESDAY, at
from tests.monitoring import samples

pytestmark = pytest.mark.django_db(transaction=True)

BOOK, CANCEL, LIST, SLOTS = (
    "POST /v2/bookings",
    "POST /v2/bookings/{uid}/cancel",
    "GET /v2/bookings",
    "GET /v2/slots",
)


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    """Health and gauges are asked afresh."""
    collectors.PROBES.clear_cache()
    collectors.COLLECTORS.clear_cache()


@pytest.fixture
def account(simulator: Simulator, salon: factories.Salon) -> Account:
    """The salon's."""
    return salon.account


def another_process(account: Account) -> Client:
    """Return a client with an account of its own, as another process has it."""
    return Client(Account.objects.get(pk=account.pk))


def refused_kinds() -> set[str]:
    """Return for what keys are refused now."""
    return {row.kind for row in refusals.current()}


def cancel(client: Client) -> None:
    """Write something: what is refused for the key is refused before anything else."""
    client.cancel(uid="unknown", reason="No reason.")


def let_next_attempt_come() -> None:
    """Let the pause after the last refusal be over."""
    KeyRefusal.objects.update(next_attempt_at=F("refused_at"))


# --- what sets it ------------------------------------------------------------------------------------------------


def test_revoked_key_is_refused_for_what_was_asked(simulator: Simulator, account: Account) -> None:
    """A refused read says nothing of writes until one is refused."""
    simulator.revoke_key(SALON_CREDENTIAL)

    with pytest.raises(KeyRefused):
        another_process(account).event_types()
    assert refused_kinds() == {"reads"}

    with pytest.raises(KeyRefused):
        cancel(another_process(account))
    assert refused_kinds() == {"reads", "writes"}


def test_expired_key_is_refused_for_writes_and_stays_so_after_reads(simulator: Simulator, account: Account) -> None:
    """Recorded: an expired key still reads. That it does proves nothing about writes."""
    simulator.expire_key(SALON_CREDENTIAL)

    with pytest.raises(KeyRefused):
        cancel(another_process(account))
    another_process(account).me()
    another_process(account).event_types()

    assert refused_kinds() == {"writes"}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "booking_limit_reached"),
        (401, "User is not authorized to book this event type."),
        (403, "This event type is not yours."),
        (404, "Booking with uid=unknown was not found in the database"),
    ],
)
def test_refusal_that_is_not_about_the_key_sets_nothing(
    simulator: Simulator, account: Account, status: int, message: str
) -> None:
    """The status alone says nothing: limits of an event type are a 401, too."""
    simulator.fail(CANCEL, "refused", status=status, message=message)

    with pytest.raises(Refused) as refused:
        cancel(another_process(account))

    assert not isinstance(refused.value, KeyRefused)
    assert not KeyRefusal.objects.exists()


@pytest.mark.parametrize("text", ["Invalid Access Token.", "PermissionsGuard - no authentication provided."])
def test_every_refusal_of_the_credential_counts(simulator: Simulator, account: Account, text: str) -> None:
    """Recorded of tokens, and where no credential arrived."""
    simulator.fail(LIST, "refused", status=403, message=text)

    with pytest.raises(KeyRefused) as refused:
        another_process(account).changed_bookings(since=at(10))

    assert refused.value.reason is Reason.UNAUTHORIZED
    assert refused_kinds() == {"reads"}


# --- what is not sent meanwhile ----------------------------------------------------------------------------------


def test_nothing_is_sent_while_the_refusal_is_recent(simulator: Simulator, account: Account) -> None:
    """Neither by this process nor by another one; the other kind is sent as ever."""
    simulator.expire_key(SALON_CREDENTIAL)
    for _ in range(3):
        with pytest.raises(KeyRefused):
            cancel(another_process(account))

    assert simulator.count(CANCEL) == 1
    assert another_process(account).event_types()


def test_pause_grows_with_the_time_of_refusal(simulator: Simulator, account: Account) -> None:
    """Half a minute at first, a quarter of an hour in the end: nothing is retried without bounds."""
    simulator.revoke_key(SALON_CREDENTIAL)
    pauses = []
    for hours in (0, 0.1, 5):
        KeyRefusal.objects.update(refused_at=F("refused_at") - timedelta(hours=hours))
        let_next_attempt_come()
        with pytest.raises(KeyRefused):
            another_process(account).event_types()
        found = refusals.standing(account, Kind.READS)
        assert found is not None
        pauses.append(found.left_s)

    assert [round(pause, -1) for pause in pauses] == [30, 360, 900]


def test_accepted_request_clears_its_kind(simulator: Simulator, account: Account) -> None:
    """The same key is valid again: what comes next after the pause is sent, and its answer decides."""
    simulator.fail(CANCEL, "refused", status=401, message="Invalid API Key")
    booked = simulator.book_elsewhere(2, at(10))
    with pytest.raises(KeyRefused):
        cancel(another_process(account))
    let_next_attempt_come()

    another_process(account).cancel(uid=booked["uid"], reason="Not wanted.")

    assert not KeyRefusal.objects.exists()


def test_answer_that_needs_no_key_clears_nothing(simulator: Simulator, salon: factories.Salon) -> None:
    """Slots and single bookings are read with an expired key, too, while lists of bookings are refused."""
    simulator.fail(LIST, "refused", status=401, message="Invalid API Key")
    with pytest.raises(KeyRefused):
        another_process(salon.account).changed_bookings(since=at(10))
    let_next_attempt_come()

    client = another_process(salon.account)
    client.open_slots(event_type=salon.colour.event_type, start=at(9), end=at(18), priority=Priority.LIVE)

    assert refused_kinds() == {"reads"}


# --- another key -------------------------------------------------------------------------------------------------


def test_new_key_works_in_a_process_that_still_has_the_old_one(simulator: Simulator, account: Account) -> None:
    """No restart, no wait: neither for the pause nor for what processes remember of accounts."""
    mine, other = another_process(account), another_process(account)
    booked = simulator.book_elsewhere(2, at(10))
    simulator.revoke_key(SALON_CREDENTIAL)
    for refuse in (cancel, Client.event_types):
        with pytest.raises(KeyRefused):
            refuse(mine)

    simulator.issue_key("salon", "cal_new")
    entered = Account.objects.get(pk=account.pk)
    entered.api_key = "cal_new"
    entered.save()

    assert refused_kinds() == set()
    assert other.event_types()
    mine.cancel(uid=booked["uid"], reason="Not wanted.")


def test_refusal_of_the_old_key_does_not_reach_the_new_one(simulator: Simulator, account: Account) -> None:
    """Its answer came after the new key was entered: the request is sent again with that."""
    late = another_process(account)
    simulator.issue_key("salon", "cal_new")
    simulator.revoke_key(SALON_CREDENTIAL)
    Account.objects.filter(pk=account.pk).update(api_key="cal_new")

    assert late.event_types()
    assert not KeyRefusal.objects.exists()


def test_new_key_that_is_refused_begins_anew(simulator: Simulator, account: Account) -> None:
    """The pause of the old key is not its own."""
    simulator.revoke_key(SALON_CREDENTIAL)
    with pytest.raises(KeyRefused):
        another_process(account).event_types()
    KeyRefusal.objects.update(refused_at=F("refused_at") - timedelta(hours=5))
    Account.objects.filter(pk=account.pk).update(api_key="cal_unknown")

    with pytest.raises(KeyRefused):
        another_process(account).event_types()

    found = refusals.standing(Account.objects.get(pk=account.pk), Kind.READS)
    assert found is not None
    assert 25 < found.left_s <= 30


# --- who learns of it -------------------------------------------------------------------------------------------------


def test_staff_are_told_by_health_log_figures_and_page(
    simulator: Simulator, account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    """Until now all of them said that everything was in order."""
    simulator.expire_key(SALON_CREDENTIAL)
    with pytest.raises(KeyRefused):
        cancel(another_process(account))
    User.objects.create_superuser("root", password="none")
    browser = Browser()
    browser.force_login(User.objects.get())

    health = browser.get("/health")
    page = browser.get("/admin/calcom/ratelimit/").text
    seen = samples.now()

    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["probes"]["calcom_keys"]["detail"].endswith(f"account {account.pk} (writes)")
    assert "Cal.com refuses the API key: writes for " in page
    assert seen[f'slotline_key_refused{{account="{account.pk}",kind="writes"}}'] == 1
    assert seen[f'slotline_key_refused{{account="{account.pk}",kind="reads"}}'] == 0
    assert [record.levelname for record in caplog.records if "calcom.key_refused" in record.getMessage()] == ["ERROR"]
    assert SALON_CREDENTIAL not in caplog.text


def test_nothing_is_told_of_a_key_that_is_taken(account: Account) -> None:
    """The usual day."""
    health = Browser().get("/health").json()

    assert health["probes"]["calcom_keys"]["ok"]


def test_key_typed_by_staff_is_tried_at_once(simulator: Simulator, account: Account) -> None:
    """The same key, which was made valid again at Cal.com."""
    simulator.fail(CANCEL, "refused", status=401, message="Invalid API Key")
    with pytest.raises(KeyRefused):
        cancel(another_process(account))
    User.objects.create_superuser("root", password="none")
    browser = Browser()
    browser.force_login(User.objects.get())
    form = {"name": "Salon", "base_url": account.base_url, "requests_per_minute": 120, "active": "on"}

    browser.post(f"/admin/calcom/account/{account.pk}/change/", form)
    assert refused_kinds() == {"writes"}
    browser.post(f"/admin/calcom/account/{account.pk}/change/", {**form, "api_key": SALON_CREDENTIAL})

    assert refused_kinds() == set()


# --- background work ---------------------------------------------------------------------------------------------


def test_polling_asks_once_and_goes_on_with_a_new_key(simulator: Simulator, account: Account) -> None:
    """Polls come as often as ever, and cost no request while the key is refused."""
    simulator.revoke_key(SALON_CREDENTIAL)
    Cursor.objects.create(account=account, read_until=at(10) - timedelta(days=1))
    before = len(simulator.requests())
    for _ in range(5):
        tasks.poll_account(account_id=account.pk)
    assert len(simulator.requests()) - before == 1

    simulator.issue_key("salon", "cal_new")
    Account.objects.filter(pk=account.pk).update(api_key="cal_new")
    tasks.poll_account(account_id=account.pk)

    assert Cursor.objects.get().polled_at is not None


def test_warming_asks_once(simulator: Simulator, salon: factories.Salon) -> None:
    """The first event type finds out, and the others are not asked for."""
    simulator.revoke_key(SALON_CREDENTIAL)
    before = len(simulator.requests())

    call_command("warm_calcom_cache", "--top", "5")

    assert len(simulator.requests()) - before <= 1


def test_deferred_booking_keeps_its_attempts(simulator: Simulator, account: Account) -> None:
    """It waits for a key instead of becoming a dead letter."""
    simulator.revoke_key(SALON_CREDENTIAL)
    row = DeferredBooking.objects.create(account=account, remote_uid="uid", last_error="RetryLater")

    deferred.process()

    row.refresh_from_db()
    assert (row.attempts, row.state) == (0, "waiting")
    assert refused_kinds() == {"reads"}


def test_webhook_keeps_its_attempts(account: Account, handler: RecordingHandler) -> None:
    """Likewise, if its booking must be looked up."""
    handler.error = KeyRefused("refused", retry_after=60.0)
    body = {"triggerEvent": "BOOKING_CANCELLED", "payload": {"uid": "uid", "startTime": at(10).isoformat()}}
    delivery = WebhookDelivery.objects.create(account=account, trigger="BOOKING_CANCELLED", identity="1", body=body)

    inbox.process()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_error) == ("failed", 0, "refused")


def test_loads_say_that_access_is_refused(simulator: Simulator, salon: factories.Salon) -> None:
    """The response does not ask the caller to repeat."""
    simulator.revoke_key(SALON_CREDENTIAL)

    known = cache.read(
        account_id=salon.account.pk,
        event_type_id=salon.colour.event_type_id,
        first=TUESDAY,
        last=TUESDAY,
        deadline=Deadline.after(5),
    )

    assert known.failure == "unauthorized"
