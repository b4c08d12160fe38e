"""What staff sees of Cal.com."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from calcom.models import Account, EventType, Host, WebhookDelivery
from calcom.simulator import Simulator
from tests import factories

UID = "k7Qp2ZtW9aXcV4bN8mLs1D"


@pytest.fixture
def staff(db) -> Client:
    """A browser in which a superuser is logged in."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("staff"))
    return browser


def page(model: type, *ids: int) -> str:
    """Return the address of a model's list, or of one row."""
    view = "change" if ids else "changelist"
    return reverse(f"admin:calcom_{model.__name__.lower()}_{view}", args=ids)


def form(**changes: object) -> dict[str, object]:
    """Return what is typed into an account's form."""
    typed = {"name": "Salon", "base_url": "http://127.0.0.1:9/", "api_key": "", "webhook_secret": ""}
    return {**typed, "requests_per_minute": "120", "active": "on", **changes}


@pytest.mark.parametrize("model", [Account, Host, EventType, WebhookDelivery])
def test_every_list_and_page_opens(staff, salon: factories.Salon, model):
    """What is mirrored can be looked at, filtered and searched."""
    WebhookDelivery.objects.create(
        account=salon.account, trigger="BOOKING_CREATED", remote_uid=UID, identity="x", body={"uid": UID}
    )
    row = model.objects.first()

    answers = [staff.get(page(model)), staff.get(page(model), {"q": "a"}), staff.get(page(model, row.pk))]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    for answer in answers:
        assert UID not in answer.text
        assert factories.SALON_CREDENTIAL not in answer.text


@pytest.mark.parametrize("model", [Host, EventType, WebhookDelivery])
def test_synced_rows_are_read_only(staff, salon: factories.Salon, model):
    """It is changed at Cal.com and synced; history is history."""
    row = WebhookDelivery.objects.create(account=salon.account, trigger="x", identity="x", body={})
    row = row if model is WebhookDelivery else model.objects.first()

    answers = [
        staff.post(page(model, row.pk), {"name": "changed"}),
        staff.get(reverse(f"admin:calcom_{model.__name__.lower()}_add")),
        staff.post(reverse(f"admin:calcom_{model.__name__.lower()}_delete", args=[row.pk]), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_unsupported_reasons_are_shown_in_words(staff, practice: factories.Practice):
    """FM-61: staff reads why a vaccination cannot be booked."""
    factories.cannot_be_booked(practice.vaccination)

    listed = staff.get(page(EventType)).text

    assert "several people share one booking" in listed


def test_api_key_is_never_shown_after_saving(staff):
    """FM-83: not in the page, not in the form's values."""
    staff.post(reverse("admin:calcom_account_add"), form(api_key="cal_live_1", webhook_secret="whsec_1"))

    account = Account.objects.get()
    shown = staff.get(page(Account, account.pk)).text
    assert (account.api_key, account.webhook_secret) == ("cal_live_1", "whsec_1")
    assert "cal_live_1" not in shown
    assert "whsec_1" not in shown


def test_an_empty_secret_keeps_the_old_one(staff, salon: factories.Salon):
    """FM-83: changing the name does not wipe the key; typing one replaces it."""
    staff.post(page(Account, salon.account.pk), form(name="Salon Mitte"))
    kept = Account.objects.get()

    staff.post(page(Account, salon.account.pk), form(webhook_secret="whsec_2"))

    assert (kept.name, kept.api_key) == ("Salon Mitte", factories.SALON_CREDENTIAL)
    assert (Account.objects.get().api_key, Account.objects.get().webhook_secret) == (
        factories.SALON_CREDENTIAL,
        "whsec_2",
    )


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"api_key": ""}, "This field is required"),
        ({"api_key": "x", "base_url": "https://api.cal.com"}, "not this machine"),
        ({"api_key": "x", "base_url": "ftp://127.0.0.1"}, "must look like https://api.cal.com"),
    ],
)
def test_a_wrong_account_is_refused(staff, typed, complaint):
    """FM-82: the form knows where a key must not go."""
    answer = staff.post(reverse("admin:calcom_account_add"), form(**typed))

    assert complaint in answer.text
    assert not Account.objects.exists()


def test_an_account_is_synced_from_the_list(staff, simulator: Simulator):
    """FM-61: one click, one sentence."""
    account = Account.objects.create(name="Fresh", base_url=simulator.base_url, api_key=factories.SALON_CREDENTIAL)
    dark = Account.objects.create(name="Dark", base_url=factories.NOWHERE, api_key="x")

    said = staff.post(
        page(Account), {"action": "sync_now", "_selected_action": [account.pk, dark.pk]}, follow=True
    ).text

    assert account.event_types.count() == 4
    assert "Fresh: 4 event types." in said
    assert "Dark was not synced: Cal.com cannot be reached" in said
