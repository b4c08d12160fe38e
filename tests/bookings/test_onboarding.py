"""A company is set up from an API key of Cal.com's, as often as wanted, and checked."""

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from bookings import onboarding
from bookings.management.commands import onboard
from bookings.models import AgentKey, Appointment, AppointmentState, Branch, Company, Membership, Role, Service, Staff
from calcom.models import Account, DeferredBooking, EventType, Host, KeyRefusal
from calcom.resilience import refusals
from calcom.resilience.rate_limiter import Throttled
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.types import RemoteHost
from tests.agent import Agent
from tests.factories import PRACTICE_CREDENTIAL, SALON_CREDENTIAL, Salon, at

PUBLIC = "http://localhost:8000"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def new_here(_jobs: None, simulator: Simulator, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A Cal.com of which nothing is known here, and whose lists count at once."""
    settings.CACHE_CONSISTENCY_LAG = 0.0
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the usual one takes its time
    settings.ALLOWED_HOSTS = ["localhost", "testserver", "slotline.example"]
    monkeypatch.setenv("CALCOM_API_KEY", SALON_CREDENTIAL)
    return simulator


def set_up(simulator: Simulator, *more: str) -> dict[str, Any]:
    """Run the command and return its result."""
    out = io.StringIO()
    options = ("--base-url", simulator.base_url, "--public-url", PUBLIC, "--json", *more)
    call_command("onboard", *options, stdout=out)
    result: dict[str, Any] = json.loads(out.getvalue())
    return result


def checked(*options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the status of the check and what it found of the one company, by what was looked at."""
    out, status = io.StringIO(), 0
    try:
        call_command("check_company", "--json", *options, stdout=out)
    except SystemExit as exc:
        status = int(exc.code or 0)
    [findings] = json.loads(out.getvalue()).values()
    return status, {each["what"]: each for each in findings}


def test_company_is_set_up_and_its_agent_can_book(new_here: Simulator) -> None:
    """The key that is shown is one that books, at a time that Cal.com has."""
    result = set_up(new_here)

    company, branch = Company.objects.get(), Branch.objects.get()
    assert (company.slug, branch.time_zone, branch.language, branch.phone_region) == (
        *(result["company"], "Europe/Berlin"),
        *("de", "DE"),
    )
    assert {line["service"] for line in result["services"] if line["service"]} == set(
        Service.objects.values_list("name", flat=True)
    )
    assert result["webhook"] == "created"
    assert result["call"]["start"]
    assert result["days_cached"] > 0
    service = Service.objects.get(name="Haircut")
    booked = Agent(result["agent_key"]).book(service, at(10))
    assert booked.json()["status"] == "confirmed"


def test_call_that_is_tried_leaves_nothing_held(new_here: Simulator) -> None:
    set_up(new_here)

    assert {each.state for each in Appointment.objects.all()} == {AppointmentState.EXPIRED}
    assert new_here.count("POST /v2/bookings") == 0


def test_setting_up_again_makes_nothing_twice_and_changes_nothing(new_here: Simulator) -> None:
    first = set_up(new_here)
    Service.objects.filter(name="Haircut").update(name="Haarschnitt", active=False)
    Branch.objects.update(language="en")

    again = set_up(new_here)

    assert (Account.objects.count(), Company.objects.count(), Branch.objects.count()) == (1, 1, 1)
    assert (AgentKey.objects.count(), Membership.objects.count()) == (1, 1)
    assert Service.objects.filter(name="Haarschnitt", active=False).exists()
    assert (again["agent_key"], again["agent_key_prefix"]) == ("", first["agent_key"][:8])
    assert (again["webhook"], again["owner_password"], again["language"]) == ("unchanged", "", "en")
    assert not any(line["is_new"] for line in again["services"])
    assert new_here.count("POST /v2/webhooks") == 1


def test_key_is_shown_where_no_login_can_be_made_for_the_owner(new_here: Simulator, salon: Salon) -> None:
    """The owner's address has a role elsewhere: that is told, and nothing is lost."""
    user = User.objects.create(username="salon@example.com", is_staff=True)
    Membership.objects.create(user=user, company=salon.company, role=Role.RECEPTION)
    Account.objects.filter(pk=salon.account.pk).update(owner_calcom_id=999, api_key="cal_other")

    result = set_up(new_here)

    assert (result["owner_login"], result["owner_password"]) == ("", "")
    assert result["agent_key"]


def test_another_key_is_given_on_request_only(new_here: Simulator) -> None:
    first = set_up(new_here)["agent_key"]

    second = set_up(new_here, "--new-key")["agent_key"]

    assert second
    assert second != first
    assert AgentKey.objects.filter(revoked_at=None).count() == 2


def test_what_callers_are_asked_for_is_told(new_here: Simulator, monkeypatch) -> None:
    monkeypatch.setenv("CALCOM_API_KEY", PRACTICE_CREDENTIAL)

    lines = {line["service"]: line for line in set_up(new_here)["services"]}

    assert lines["Check-up"]["remark"] == "callers are asked for insurance, unless the service answers it"
    assert {"Follow-up 15 min", "Follow-up 30 min"} <= set(lines)
    assert Branch.objects.get().phone_region == "US"


def test_event_type_that_cannot_be_booked_is_listed_with_its_reason_and_without_a_service(salon: Salon) -> None:
    Service.objects.all().delete()
    EventType.objects.filter(title="Colour").update(unsupported_reasons=["seats"])

    lines = {line.event_type: line for line in onboarding.add_services(branch=salon.branch)}

    refused = lines["Colour (60 min)"]
    assert (refused.service, refused.remark) == ("", "several people share one booking (seats)")
    assert not Service.objects.filter(name="Colour").exists()
    assert lines["Beard trim (15 min)"].is_new


def test_what_is_given_outweighs_what_is_proposed(new_here: Simulator) -> None:
    set_up(new_here, "--name", "Haar & Mehr", "--language", "de-CH", "--phone-region", "CH")

    branch = Branch.objects.get()
    assert (branch.company.slug, branch.name, branch.language) == ("haar-mehr", "Haar & Mehr", "de-CH")


def test_two_answers_set_a_company_up(new_here: Simulator, monkeypatch) -> None:
    """The API key and the public address; everything else is proposed."""
    monkeypatch.delenv("CALCOM_API_KEY")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SALON_CREDENTIAL}\n{PUBLIC}\n"))
    out = io.StringIO()

    call_command("onboard", "--base-url", new_here.base_url, stdout=out)

    assert "  new   Haircut" in out.getvalue()
    assert f"MCP         {PUBLIC}/mcp" in out.getvalue()
    assert Company.objects.exists()


def test_set_up_waits_while_the_budget_is_used_up(new_here: Simulator, monkeypatch) -> None:
    refused, waited, real = [Throttled("recovering", retry_after=7.0)], [], onboard.sync

    def sync(**arguments: Any) -> Any:
        if refused:
            raise refused.pop()
        return real(**arguments)

    monkeypatch.setattr(onboard, "sync", sync)
    monkeypatch.setattr("bookings.management.commands.onboard.time.sleep", waited.append)

    assert set_up(new_here)["services"]
    assert waited == [7.0]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("slotline.example", "must look like"),
        ("http://slotline.example", "use https"),
        ("https://other.example", "ALLOWED_HOSTS"),
        ("https://slotline.example/path", "must look like"),
    ],
)
def test_public_address_that_would_not_work_is_refused_before_anything_is_made(
    new_here: Simulator, address: str, why: str
) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("onboard", "--base-url", new_here.base_url, "--public-url", address, "--yes")

    assert not Account.objects.exists()
    assert new_here.count() == 0


def test_refused_key_is_told_and_nothing_is_stored(new_here: Simulator, monkeypatch) -> None:
    monkeypatch.setenv("CALCOM_API_KEY", "cal_wrong")

    with pytest.raises(CommandError, match=r"Cal\.com refuses the key"):
        call_command("onboard", "--base-url", new_here.base_url, "--public-url", PUBLIC, "--yes")

    assert not Account.objects.exists()


@pytest.mark.parametrize(
    ("zone", "language", "region"),
    [
        ("Europe/Berlin", "de", "DE"),
        ("Europe/Zurich", "de-CH", "CH"),
        ("America/Chicago", "en-US", "US"),
        ("Europe/Paris", "en", "GB"),
    ],
)
def test_language_and_region_are_proposed_by_zone(zone: str, language: str, region: str) -> None:
    proposal = onboarding.propose(RemoteHost(1, "Anna", time_zone=zone))

    assert (proposal.time_zone, proposal.language, proposal.phone_region) == (zone, language, region)


def test_companies_of_one_name_have_slugs_of_their_own(salon: Salon) -> None:
    other = Account.objects.create(name="Other", base_url="http://127.0.0.1:9", api_key="cal_other")
    proposal = onboarding.propose(RemoteHost(1, "Salon", time_zone="Europe/Berlin"))

    branch = onboarding.open_company(account=other, proposal=proposal)

    assert branch.company.slug == "salon-2"


@pytest.fixture
def in_order(salon: Salon, calcom: CalcomService) -> Salon:
    """A company that was set up, with all in order."""
    Account.objects.update(synced_at=timezone.now(), owner_calcom_id=101)
    salon.account.refresh_from_db()
    calcom.subscribe_webhooks(public_url=PUBLIC)
    return salon


def host_of_another() -> Host:
    other = Account.objects.create(name="Other", base_url="http://127.0.0.1:9", api_key="cal_other")
    return Host.objects.create(account=other, calcom_id=9, name="Another")


def give_up() -> None:
    given_up = DeferredBooking.State.DEAD_LETTER
    DeferredBooking.objects.create(account=Account.objects.get(), remote_uid="u", state=given_up)


def refuse_key() -> None:
    refusals.note(Account.objects.get(), KeyRefusal.Kind.WRITES)


class TestCheck:
    """`check_company`: each thing that is not in order has its line with a repair, and the status is 1."""

    def test_company_that_was_just_set_up_is_in_order(self, new_here: Simulator) -> None:
        set_up(new_here)

        status, found = checked()

        assert [each for each in found.values() if not each["ok"]] == []
        assert status == 0
        assert {"webhook at Cal.com", "a call: search, hold, release"} <= set(found)

    def test_nothing_is_asked_offline(self, in_order: Salon, simulator: Simulator) -> None:
        before = simulator.count()

        status, found = checked("--offline")

        assert (status, simulator.count()) == (0, before)
        assert "webhook at Cal.com" not in found

    @pytest.mark.parametrize(
        ("what", "break_it"),
        [
            ("agent key", lambda: AgentKey.objects.all().delete()),
            ("secret of webhooks", lambda: Account.objects.update(webhook_secret="")),
            ("mirror of Cal.com", lambda: Account.objects.update(synced_at=None)),
            ("services", lambda: Service.objects.update(active=False)),
            ("service “Haircut”", lambda: Service.objects.filter(name="Haircut").update(duration_minutes=7)),
            ("company and account are served", lambda: Account.objects.update(active=False)),
            ("person “Emma”", lambda: Staff.objects.filter(name="Emma").update(host=host_of_another())),
            ("what Cal.com told", give_up),
            ("Cal.com's API key", refuse_key),
        ],
    )
    def test_what_is_not_in_order_is_told_with_its_repair(self, in_order: Salon, what: str, break_it: Any) -> None:
        break_it()

        status, found = checked("--offline")

        assert status == 1
        assert [each["what"] for each in found.values() if not each["ok"]] == [what]
        assert all(found[what][part] for part in ("problem", "repair"))

    @pytest.mark.parametrize(
        ("what", "break_it"),
        [
            ("webhook at Cal.com", lambda: Account.objects.update(webhook_secret="another")),
            ("Cal.com's answer", lambda: Account.objects.update(owner_calcom_id=7)),
            ("a call: search, hold, release", lambda: Service.objects.update(notice_minutes=60 * 24 * 90)),
        ],
    )
    def test_what_only_cal_com_knows_is_told_with_its_repair(self, in_order: Salon, what: str, break_it: Any) -> None:
        break_it()

        status, found = checked()

        assert status == 1
        assert [each["what"] for each in found.values() if not each["ok"]] == [what]
        assert all(found[what][part] for part in ("problem", "repair"))

    def test_text_says_what_and_how_to_repair_it(self, in_order: Salon) -> None:
        AgentKey.objects.all().delete()
        out = io.StringIO()

        with pytest.raises(SystemExit):
            call_command("check_company", "--offline", stdout=out)

        assert "  NO  agent key: there is none\n      → manage.py onboard --new-key" in out.getvalue()

    def test_no_company_is_an_error(self) -> None:
        with pytest.raises(CommandError, match=r"manage\.py onboard"):
            call_command("check_company")
