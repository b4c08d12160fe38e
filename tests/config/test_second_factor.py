"""Operators and owners enter with a code beside their password, or with a recovery code that is good once."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from bookings.models import Membership, Role
from tests.factories import Salon

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def switched_on(settings) -> None:
    """As in production; the rest of the suite runs without."""
    settings.SECOND_FACTOR = True


def person(salon: Salon, role: Role) -> User:
    """Return a person of the salon."""
    user = User.objects.create_user(f"a-{role}", password=PASSWORD)
    Membership.objects.create(user=user, role=role, company=None if role == Role.OPERATOR else salon.company)
    return user


def log_in(user: User) -> Client:
    """Return a browser in which the password was right."""
    browser = Client()
    browser.post(reverse("admin:login"), {"username": user.username, "password": PASSWORD})
    return browser


def code_of(user: User) -> str:
    """Return what the person's app shows now."""
    device = TOTPDevice.objects.get(user=user)
    return f"{totp(device.bin_key, device.step, device.t0, device.digits, device.drift):06}"


def enter(browser: Client, code: str, following: str = "/admin/bookings/company/"):
    """Send a code."""
    return browser.post(f"{reverse('admin:second_factor')}?next={following}", {"code": code})


def set_up(user: User) -> tuple[Client, list[str]]:
    """Return a browser that has set up the second factor, and its recovery codes."""
    browser = log_in(user)
    browser.get(reverse("admin:second_factor"))
    return browser, enter(browser, code_of(user)).context["codes"]


@pytest.mark.parametrize("role", [Role.OWNER, Role.OPERATOR])
def test_password_alone_shows_no_page(salon, role):
    """Every page leads to the second factor, and from there back to where the person wanted to go."""
    browser = log_in(person(salon, role))

    answer = browser.get("/admin/bookings/company/", follow=True)

    assert answer.redirect_chain[-1][0].endswith("/admin/second-factor/?next=%2Fadmin%2Fbookings%2Fcompany%2F")
    assert "<svg" in answer.text
    assert salon.branch.name not in answer.text


def test_superuser_needs_it_too(db):
    browser = log_in(User.objects.create_superuser("root", password=PASSWORD))

    assert browser.get("/admin/")["Location"].startswith("/admin/login/")
    assert "/second-factor/" in browser.get("/admin/", follow=True).redirect_chain[-1][0]


def test_reception_enters_with_the_password(salon):
    """They see no keys and change no settings; a phone beside each desk would be in the way."""
    assert log_in(person(salon, Role.RECEPTION)).get("/admin/").status_code == 200


def test_right_code_sets_it_up_and_shows_recovery_codes_once(salon):
    user = person(salon, Role.OWNER)

    browser, codes = set_up(user)

    assert len(set(codes)) == 10
    assert browser.get("/admin/bookings/company/").status_code == 200
    assert browser.get(reverse("admin:second_factor"))["Location"] == "/admin/"


def test_secret_is_shown_until_it_is_set_up_and_never_again(salon):
    """Else a password would be enough after all: it would show the secret that codes are made of."""
    user = person(salon, Role.OWNER)
    set_up(user)

    page = log_in(user).get(reverse("admin:second_factor"))

    assert page.status_code == 200
    assert "<svg" not in page.text.partition("<form")[0].partition("<body")[2]
    assert "secret" not in page.context


def test_second_login_needs_a_new_code(salon):
    """A code that was used is worth nothing, so that one who looks over a shoulder gains nothing."""
    user = person(salon, Role.OWNER)
    set_up(user)
    browser = log_in(user)

    refused = enter(browser, code_of(user))

    assert "wrong or used up" in refused.text
    assert browser.get("/admin/bookings/company/").status_code == 302


def test_code_of_the_app_is_enough_afterwards(salon):
    user = person(salon, Role.OWNER)
    set_up(user)
    TOTPDevice.objects.filter(user=user).update(last_t=-1)
    browser = log_in(user)

    assert enter(browser, code_of(user))["Location"] == "/admin/bookings/company/"
    assert browser.get("/admin/bookings/company/").status_code == 200


def test_recovery_code_is_good_once(salon):
    user = person(salon, Role.OWNER)
    _, codes = set_up(user)

    first = enter(log_in(user), f" {codes[0].upper()} ")
    second = enter(log_in(user), codes[0])

    assert first.status_code == 302
    assert "wrong or used up" in second.text
    assert StaticToken.objects.filter(device__user=user).count() == 9


def test_guessing_is_slowed_down(salon):
    """After a wrong code even the right one has to wait."""
    user = person(salon, Role.OWNER)
    set_up(user)
    TOTPDevice.objects.filter(user=user).update(last_t=-1)
    browser = log_in(user)
    for guess in ("000000", "000001", "000002"):
        enter(browser, guess)

    assert "wrong or used up" in enter(browser, code_of(user)).text


def test_page_leads_to_our_own_pages_only(salon):
    user = person(salon, Role.OWNER)
    _, codes = set_up(user)

    assert enter(log_in(user), codes[1], "https://example.com/")["Location"] == "/admin/"


def test_page_is_for_people_with_a_password(client, db):
    assert client.get(reverse("admin:second_factor"))["Location"].startswith("/admin/login/")


def test_session_lasts_a_working_day(settings):
    assert settings.SESSION_COOKIE_AGE == 10 * 3600
