"""Who may enter the staff's site, how often one may try, and what its pages never show."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client, RequestFactory
from django.urls import reverse

from bookings.models import AgentKey
from cachectl.infra.redis import redis_client
from calcom.fields import EncryptedTextField
from calcom.models import Account
from config.admin import PER_ACCOUNT, Site
from monitoring import metrics
from tests import factories

LOGIN = "/admin/login/"
PASSWORD = "correct horse battery staple"
TYPED_SECRETS = {"api_key": "cal_live_of_the_test", "webhook_secret": "whsec_of_the_test"}


@pytest.fixture
def owner(db) -> User:
    """A superuser with a password."""
    return User.objects.create_superuser("Owner", password=PASSWORD)


def log_in(browser: Client, name: str, password: str, address: str = "127.0.0.1"):
    """Send the form."""
    return browser.post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address)


def logins(outcome: str) -> float:
    """Return how many were counted."""
    return metrics.LOGINS.labels(outcome)._value.get()


def test_login_is_refused_after_five_wrong_passwords_of_an_account(client, owner):
    """The right one is not even looked at, from any address and in any spelling of the name."""
    before = logins("throttled")
    for number in range(5):
        assert "correct username" in log_in(client, "Owner", "wrong", f"192.0.2.{number}").text

    refused = [log_in(client, name, PASSWORD, "192.0.2.77") for name in ("Owner", "OWNER")]

    assert all("Too many wrong passwords" in answer.text for answer in refused)
    assert "_auth_user_id" not in client.session
    assert logins("throttled") == before + 2


def test_login_is_refused_after_twenty_wrong_passwords_from_an_address(client, owner):
    """One password tried for many accounts is stopped as well; other addresses are not."""
    for number in range(20):
        log_in(client, f"account-{number}", "wrong", "198.51.100.7")

    assert "Too many wrong passwords" in log_in(client, "Owner", PASSWORD, "198.51.100.7").text
    assert log_in(client, "Owner", PASSWORD, "198.51.100.8")["Location"] == "/admin/"


def test_login_limit_holds_while_redis_is_away(client, owner, settings):
    """Each process counts for itself then."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for _ in range(5):
        log_in(client, "Other", "wrong", "192.0.2.200")

    assert "Too many wrong passwords" in log_in(client, "other", "wrong", "192.0.2.201").text


def test_limits_keep_neither_names_nor_addresses_in_redis(owner):
    """What is counted under is a keyed hash."""
    PER_ACCOUNT.hit("anna.berg")

    keys = b" ".join(redis_client().keys("sl1:throttle:*"))
    assert keys
    assert b"anna" not in keys


def test_site_admits_superusers_only(client, db):
    """Every page shows every company, so that staff of one must not see any."""
    clerk = User.objects.create_user("clerk", password=PASSWORD, is_staff=True)
    clerk.user_permissions.set(Permission.objects.all())

    assert "correct username" in log_in(client, "clerk", PASSWORD).text
    client.force_login(clerk)
    assert client.get("/admin/").status_code == 302
    assert isinstance(admin.site, Site)


# --- what pages never show --------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(client, db, staff_admitted) -> Client:
    """A browser of a user who may look at everything and change nothing."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.fixture
def secrets(salon: factories.Salon) -> list[str]:
    """What is secret in the rows of the salon."""
    for name, value in TYPED_SECRETS.items():
        setattr(salon.account, name, value)
    salon.account.save()
    salon.agent_key.platform_secrets = "whsec_of_a_platform"
    salon.agent_key.save()
    return [*TYPED_SECRETS.values(), "whsec_of_a_platform", salon.agent_key.digest]


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.label)
def test_pages_of_every_model_hide_secrets_from_viewers(viewer, secrets, model):
    """A page without the right to change shows values in the place of fields: a secret is none of them."""
    named = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    pages = [viewer.get(reverse(f"{named}_changelist"))]
    if model._meta.model_name != "ratelimit":  # one page for all
        rows = model._default_manager.all()[:3]
        pages += [
            viewer.get(reverse(f"{named}_{page}", args=[row.pk])) for row in rows for page in ("change", "history")
        ]

    assert {page.status_code for page in pages} == {200}
    assert not [secret for secret in secrets for page in pages if secret in page.text]


@pytest.mark.parametrize("model", apps.get_models(), ids=lambda model: model._meta.label)
def test_no_form_offers_an_encrypted_field_to_viewers(rf: RequestFactory, viewer, model):
    """Also of models whose rows the test before does not have."""
    page = admin.site._registry.get(model)
    encrypted = {field.name for field in model._meta.get_fields() if isinstance(field, EncryptedTextField)}
    if page is None or not encrypted:
        return
    request = rf.get("/")
    request.user = User.objects.get(username="viewer")

    assert not encrypted & set(page.get_fields(request, model(pk=1)))


def test_viewer_of_accounts_gets_a_page(viewer, salon):
    """It used to fail for want of a field."""
    shown = viewer.get(reverse("admin:calcom_account_change", args=[salon.account.pk]))

    assert shown.status_code == 200
    assert salon.account.base_url in shown.text


def test_new_agent_key_is_shown_once_and_in_no_cookie(client, owner, salon):
    """A message would lie in the browser's cookie, and a reload would show it again."""
    client.force_login(owner)
    form = {"company": salon.company.pk, "name": "phone", "scopes": ["availability:read"]}

    saved = client.post(reverse("admin:bookings_agentkey_add"), form)

    key = AgentKey.objects.latest("pk")
    text = saved.text.partition("<code>")[2].partition("</code>")[0]
    assert AgentKey.objects.valid(text).get() == key
    assert "no-store" in saved["Cache-Control"]
    assert "messages" not in saved.cookies
    assert text not in client.get(reverse("admin:bookings_agentkey_changelist")).text
    assert key.shown_once == ""


# --- where a stored key may be sent -----------------------------------------------------------------------------------


def account_form(**changes: object) -> dict[str, object]:
    """Return what is typed into an account's form."""
    typed = {"name": "Salon", "base_url": "http://127.0.0.1:9", "api_key": "", "webhook_secret": ""}
    return {**typed, "requests_per_minute": "120", "active": "on", **changes}


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:10", "http://localhost:9", "http://127.0.0.1:9/other"])
def test_new_address_of_an_account_needs_its_key_again(client, owner, elsewhere):
    """Else the right to edit an account would be the right to have its key sent to any server."""
    client.force_login(owner)
    account = Account.objects.create(name="Salon", base_url="http://127.0.0.1:9", api_key="cal_stored")
    page = reverse("admin:calcom_account_change", args=[account.pk])

    refused = client.post(page, account_form(base_url=elsewhere))

    assert "Type the key again" in refused.text
    account.refresh_from_db()
    assert (account.base_url, account.api_key) == ("http://127.0.0.1:9", "cal_stored")
    assert client.post(page, account_form(base_url=elsewhere, api_key="cal_new")).status_code == 302


def test_address_that_is_spelled_differently_keeps_the_key(client, owner):
    """A slash at its end, or /v2, leads to the same server."""
    client.force_login(owner)
    account = Account.objects.create(name="Salon", base_url="http://127.0.0.1:9", api_key="cal_stored")
    page = reverse("admin:calcom_account_change", args=[account.pk])

    assert client.post(page, account_form(base_url="http://127.0.0.1:9/v2/")).status_code == 302
    account.refresh_from_db()
    assert (account.base_url, account.api_key) == ("http://127.0.0.1:9", "cal_stored")
