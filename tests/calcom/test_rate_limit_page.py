"""The page of rate limits and breakers: what staff sees there, and what staff may do."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from calcom import rate_limit_page
from calcom.errors import CalcomError
from calcom.models import Account
from calcom.resilience import circuit_breaker
from calcom.resilience.circuit_breaker import Kind
from calcom.resilience.rate_limiter import Throttled, limiter_for
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.types import Priority
from script.lib.servers import free_port
from tests import factories

PAGE = "/admin/calcom/ratelimit/"
pytestmark = pytest.mark.usefixtures("staff_admitted")


def browser(*rights: str) -> Client:
    """Return a browser in which a member of the staff with these rights is logged in."""
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff(db) -> Client:
    """A user with the permissions of the rate limit page only."""
    return browser("view_ratelimit", "change_ratelimit")


def take(account: Account, priority: Priority, times: int) -> None:
    """Take permits as requests do."""
    limiter = limiter_for(account.api_key, account.requests_per_minute)
    for _ in range(times):
        limiter.permit(priority, tenant=None, longest_call_s=8, deadline_left_s=0)


def act(staff: Client, account: Account, verb: str, **more: str):
    """Press a button on the page, and return what is shown then."""
    return staff.post(PAGE, {"account": account.pk, "verb": verb, **more}, follow=True)


class TestSeen:
    """What the page tells."""

    def test_who_uses_how_much_of_what(self, staff: Client, salon: factories.Salon) -> None:
        """By priority, against the ceilings, with a bar."""
        take(salon.account, Priority.WRITE, 7)
        take(salon.account, Priority.LIVE, 11)

        shown = staff.get(PAGE).text

        assert "<strong>18</strong> of 120 requests of the last minute are used; 18 in flight." in shown
        assert 'style="width: 5.83%" title="Bookings and their look-ups: 7"' in shown
        assert 'title="Warming, sync, polling wait from 48 on"' in shown
        assert "Are sent." in shown
        assert "Runs." in shown
        assert shown.count("Closed: requests are sent.") == 2

    def test_what_cal_com_said_last_and_when(
        self, staff: Client, calcom: CalcomService, salon: factories.Salon
    ) -> None:
        """The headers of its last answer."""
        with pytest.raises(CalcomError):
            calcom.get_booking(uid="unknown")

        shown = staff.get(PAGE).text

        assert re.search(r"119 of 120 remain, \d+ seconds? ago; its window ends in ", shown)

    def test_a_pause_is_told_in_seconds(self, staff: Client, salon: factories.Salon) -> None:
        """FM-43: why nothing goes, and until when."""
        limiter = limiter_for(salon.account.api_key, 120)
        limiter.permit(Priority.LIVE, tenant=None, longest_call_s=8, deadline_left_s=0).ended({}, 429)

        shown = staff.get(PAGE).text

        assert "Pause for 61 seconds, as Cal.com demanded." in shown
        assert "Pauses for 2 minutes." in shown
        assert shown.count("<em>waits</em>") == 4
        assert '<span class="gov-badge gov-paused">paused</span>' in shown

    def test_levels_have_words(self, staff: Client, salon: factories.Salon) -> None:
        """The reports' warning and critical."""
        take(salon.account, Priority.LIVE, 101)
        assert "much used" in staff.get(PAGE).text
        take(salon.account, Priority.WRITE, 15)
        shown = staff.get(PAGE).text
        assert "bookings only" in shown
        assert shown.count("<em>waits</em>") == 3

    def test_somebody_else_with_the_key_is_named(
        self, staff: Client, calcom: CalcomService, salon: factories.Salon
    ) -> None:
        """The highest use by others is left to them."""
        said = {"X-RateLimit-Limit": "120", "X-RateLimit-Remaining": "80", "X-RateLimit-Reset": "30"}
        limiter = limiter_for(salon.account.api_key, 120)
        limiter.permit(Priority.LIVE, tenant=None, longest_call_s=8, deadline_left_s=0).ended(said, 200)

        shown = staff.get(PAGE).text

        assert "requests a minute are reserved: others use this key, too." in shown
        assert 'title="Others with the same key: ' in shown

    def test_an_open_breaker_with_its_history(self, staff: Client, salon: factories.Salon) -> None:
        """When it opened, and when Cal.com is asked again."""
        circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, Kind.WRITES).open()

        shown = staff.get(PAGE).text

        assert re.search(r"Open: nothing is sent; Cal\.com is tried again in \d+ seconds?\.", shown)
        assert re.search(r"\d+ seconds? ago: opened", shown)
        assert shown.count('value="probe"') == 1
        assert "Cal.com does not answer" in shown
        assert "in order" not in shown

    def test_the_changing_part_comes_alone(self, staff: Client, salon: factories.Salon) -> None:
        """That is what the page's script asks for every few seconds."""
        part = staff.get(PAGE, {"part": "accounts"}).text

        assert "<html" not in part
        assert f'id="account-{salon.account.pk}"' in part
        assert "csrfmiddlewaretoken" in part

    def test_without_redis_the_page_says_so(self, staff: Client, salon: factories.Salon, settings) -> None:
        """Plainly, and without a button that could do nothing."""
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

        shown = staff.get(PAGE).text

        assert "Redis is unavailable, so the rate limits are unknown." in shown
        assert "gov-unknown" in shown
        assert "<button name=" not in shown

    def test_neither_key_nor_its_hash_is_shown(self, staff: Client, salon: factories.Salon) -> None:
        """FM-83: accounts go by their names."""
        shown = staff.get(PAGE).text + staff.get(PAGE, {"account": salon.account.pk}).text

        assert salon.account.api_key not in shown
        assert limiter_for(salon.account.api_key, 120)._keys[0].split("{")[1].split("}")[0] not in shown

    def test_one_account_or_a_page_of_them(
        self, staff: Client, salon: factories.Salon, practice: factories.Practice
    ) -> None:
        """Nonsense shows none; an account that is not in use is not shown."""
        one = staff.get(PAGE, {"account": practice.account.pk}).text
        assert ("Practice</h2>" in one, "Salon</h2>" in one) == (True, False)
        for nonsense in ("x", "9" * 30, "-1", "0"):
            assert "There is no active account." in staff.get(PAGE, {"account": nonsense}).text
        Account.objects.update(active=False)
        assert "There is no active account." in staff.get(PAGE, {"page": "7"}).text


class TestDone:
    """What staff may do, each with a line in the admin's log."""

    def test_background_work_is_paused_and_goes_on(self, staff: Client, salon: factories.Salon) -> None:
        """Callers and bookings go on meanwhile."""
        said = act(staff, salon.account, "pause", minutes="15").text

        assert "Salon: Background work pauses for 15 minutes, until " in said
        assert "Pauses for 15 minutes." in said
        with pytest.raises(Throttled, match="paused"):
            take(salon.account, Priority.BACKGROUND, 1)
        take(salon.account, Priority.LIVE, 1)

        assert "Salon: Background work continues." in act(staff, salon.account, "resume").text
        take(salon.account, Priority.BACKGROUND, 1)
        lines = [(line.object_id, line.change_message.split(",")[0]) for line in LogEntry.objects.order_by("pk")]
        assert lines == [
            (str(salon.account.pk), "Background work pauses for 15 minutes"),
            (str(salon.account.pk), "Background work continues."),
        ]

    def test_the_lines_are_in_the_accounts_history(self, staff: Client, salon: factories.Salon) -> None:
        """The history explains why warming stopped."""
        act(staff, salon.account, "pause", minutes="5")
        root = Client()
        root.force_login(User.objects.create_superuser("root"))

        history = root.get(reverse("admin:calcom_account_history", args=[salon.account.pk])).text

        assert "Background work pauses for 5 minutes" in history

    def test_a_probe_is_let_through(self, staff: Client, simulator: Simulator, calcom: CalcomService, salon) -> None:
        """Staff know that Cal.com is back and need not wait."""
        circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, Kind.READS).open()

        said = act(staff, salon.account, "probe", kind="reads").text

        assert "Salon: Reads: the next call tries whether Cal.com answers." in said
        assert "Open: the next call tries" in said
        with pytest.raises(CalcomError):
            calcom.get_booking(uid="unknown")
        assert simulator.count() == 1
        assert "not open, so requests are sent anyway" in act(staff, salon.account, "probe", kind="writes").text

    def test_without_redis_nothing_was_changed(self, staff: Client, salon: factories.Salon, settings) -> None:
        """And that is said; the log has no line of what did not happen."""
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

        said = act(staff, salon.account, "pause", minutes="5").text

        assert "Salon: Redis does not answer; nothing was changed." in said
        assert not LogEntry.objects.exists()

    @pytest.mark.parametrize(
        "typed", [{"verb": "drop"}, {"verb": "pause", "minutes": "9999"}, {"verb": "probe", "kind": "all"}, {}]
    )
    def test_nonsense_does_nothing(self, staff: Client, salon: factories.Salon, typed: dict[str, str]) -> None:
        """Only what the page offers."""
        assert staff.post(PAGE, {"account": salon.account.pk, **typed}).status_code == 400
        assert staff.post(PAGE, {"verb": "pause", "minutes": "5"}).status_code == 400
        assert not LogEntry.objects.exists()


class TestRights:
    """Who may see and who may do."""

    def test_who_may_only_see_has_no_buttons(self, db, salon: factories.Salon) -> None:
        """And pressing them all the same is refused."""
        reader = browser("view_ratelimit")

        assert "<button name=" not in reader.get(PAGE).text
        assert reader.post(PAGE, {"account": salon.account.pk, "verb": "pause"}).status_code == 403

    def test_rights_over_accounts_are_others(self, db, salon: factories.Salon) -> None:
        """Who may change keys may not stop the house by that, and the other way round."""
        assert browser("view_account", "change_account").get(PAGE).status_code == 403

    def test_the_page_opens_no_form_of_the_account(self, db, salon: factories.Salon) -> None:
        """It is a proxy of the account, so a model's usual pages would be the account's."""
        root = Client()
        root.force_login(User.objects.create_superuser("root"))

        for page in (f"{salon.account.pk}/change/", f"{salon.account.pk}/", "add/", f"{salon.account.pk}/delete/"):
            assert root.get(PAGE + page).status_code == 404

    def test_a_stranger_is_sent_to_the_login(self, client: Client, db) -> None:
        """As everywhere in the admin; and a form without its token is refused."""
        assert client.get(PAGE).status_code == 302
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(User.objects.create_superuser("root"))
        assert strict.post(PAGE, {"verb": "resume"}).status_code == 403

    def test_it_is_found(self, db, salon: factories.Salon) -> None:
        """In the sidebar, in the list of accounts, and from each account."""
        root = Client()
        root.force_login(User.objects.create_superuser("root"))

        assert f'href="{PAGE}"' in root.get("/admin/").text
        link = f"{PAGE}?account={salon.account.pk}"
        assert link in root.get(reverse("admin:calcom_account_changelist")).text
        assert link in root.get(reverse("admin:calcom_account_change", args=[salon.account.pk])).text
        assert "-" in root.get(reverse("admin:calcom_account_add")).text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"), (1, "1 second"), (89.4, "89 seconds"), (90, "2 minutes"), (899, "15 minutes"),
        (5400, "2 hours"), (129_600, "2 days"),
    ],
)  # fmt: skip
def test_spans_are_as_precise_as_people_want_them(seconds: float, words: str) -> None:
    """Seconds while something is about to happen, hours where it is history."""
    assert rate_limit_page.span(timedelta(seconds=seconds)) == words
