"""What stands around every page: how things are, the sidebar of a role, the search."""

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from bookings import collectors
from bookings.frame import state
from bookings.models import Appointment, CallbackRequest, Claim, Company, Customer, Membership, Operation, Role
from monitoring.collectors import Unhealthy
from monitoring.models import Alert
from tests.factories import ANNA, Practice, Salon, at

PAGES = ("admin:index", "admin:bookings_customer_changelist", "admin:bookings_appointment_book")


def browser_of(company: Company | None, role: Role) -> Client:
    """Return the browser of a person."""
    user = User.objects.create_user(f"{role}-{company}")
    Membership.objects.create(user=user, company=company, role=role)
    browser = Client()
    browser.force_login(user)
    return browser


def fire(name: str, subject: str = "", severity: str = "critical") -> None:
    """Have an alert fire."""
    Alert.objects.create(name=name, subject=subject, severity=severity, message=name)


@pytest.fixture
def desk(salon: Salon) -> Client:
    """The salon's reception."""
    return browser_of(salon.company, Role.RECEPTION)


@pytest.mark.parametrize("page", PAGES)
def test_outage_of_calcom_is_told_on_every_page(desk, salon, page):
    fire("circuit_open", f"account={salon.account.pk} kind=reads")

    shown = desk.get(reverse(page)).text

    assert "Cal.com does not answer: bookings wait" in shown
    assert "Cal.com is away" in shown
    assert reverse("admin:bookings_operation_changelist") + "?open=1" in shown


def test_nothing_is_told_while_all_is_well(desk):
    shown = desk.get(reverse("admin:bookings_customer_changelist")).text

    assert 'id="state"' not in shown
    assert "In order" in shown


@pytest.mark.parametrize("name", list(state.KINDS))
def test_each_kind_has_a_sentence_and_a_page_that_opens(db, salon, name):
    """For an operator, who may open all of them."""
    fire(name, "outbox=operations" if name == "outbox_overdue" else "")
    browser = browser_of(None, Role.OPERATOR)

    shown = browser.get(reverse("admin:bookings_customer_changelist"))

    found = shown.context["state"]
    assert str(found.sentence) in unescape(shown.text)
    assert browser.get(found.address).status_code == 200


def test_outage_of_another_companys_account_is_not_told(desk, practice: Practice):
    """It is not their outage, and it would tell them who else is served."""
    fire("circuit_open", f"account={practice.account.pk} kind=reads")

    assert "does not answer" not in desk.get("/admin/bookings/customer/").text


def test_worst_is_told_first(desk, salon):
    fire("redis_away", severity="warning")
    fire("key_refused", f"account={salon.account.pk} kind=writes")

    shown = desk.get("/admin/bookings/customer/").text

    assert "refuses the API key" in shown
    assert "Redis is away" not in shown


def test_link_is_one_that_the_person_may_open(salon):
    """Only an owner can replace the key."""
    fire("key_refused", f"account={salon.account.pk} kind=writes")

    owner = browser_of(salon.company, Role.OWNER).get("/admin/bookings/customer/").context["state"]
    reception = browser_of(salon.company, Role.RECEPTION).get("/admin/bookings/customer/").context["state"]

    assert owner.address == reverse("admin:calcom_account_changelist")
    assert reception.address == reverse("admin:bookings_operation_changelist") + "?open=1"


def test_other_critical_alerts_are_told_to_operators_only(desk, salon):
    fire("disk_full")

    assert "disk" not in desk.get("/admin/bookings/customer/").text
    assert "of a disk is free" in browser_of(None, Role.OPERATOR).get("/admin/bookings/customer/").text


def test_resolved_alert_is_not_told(desk, salon):
    fire("redis_away")
    Alert.objects.update(resolved_at=at(10))

    assert "Redis is away" not in desk.get("/admin/bookings/customer/").text


def test_page_is_shown_when_the_state_cannot_be_read(desk, monkeypatch):
    """A banner that breaks pages would be worse than none."""

    def broken(_manager):
        raise DatabaseError

    monkeypatch.setattr(type(Alert.objects), "firing", broken)

    assert desk.get("/admin/bookings/customer/").status_code == 200


def test_state_costs_one_statement(desk, salon, django_assert_max_num_queries):
    """It is asked for the badge and for the banner."""
    desk.get("/admin/bookings/customer/")

    with django_assert_max_num_queries(7) as statements:
        desk.get("/admin/bookings/customer/")

    assert sum("monitoring_alert" in each["sql"] for each in statements.captured_queries) == 1


# --- sidebar ----------------------------------------------------------------------------------------------------------


def titles(browser: Client) -> set[str]:
    """Return what the sidebar offers."""
    groups = browser.get("/admin/").context["sidebar_navigation"]
    return {str(item["title"]) for group in groups for item in group["items"] if item["has_permission"]}


def test_sidebar_shows_what_the_role_may_open(desk, salon):
    reception, operator = titles(desk), titles(browser_of(None, Role.OPERATOR))

    assert {"Today", "Callbacks", "Appointments", "Book for a caller"} <= reception
    assert reception.isdisjoint({"Agent keys", "Alerts", "Rate limits", "Logins"})
    assert {"Agent keys", "Alerts", "Rate limits"} <= operator


@pytest.mark.parametrize("role", [Role.OWNER, Role.OPERATOR])
def test_every_page_of_the_sidebar_opens(salon, role):
    browser = browser_of(None if role == Role.OPERATOR else salon.company, role)
    groups = browser.get("/admin/").context["sidebar_navigation"]

    answers = {str(item["link"]): browser.get(str(item["link"])).status_code for g in groups for item in g["items"]}

    assert len(answers) > 10
    assert set(answers.values()) == {200}


def test_badge_counts_the_companys_callers_who_wait(desk, salon, practice):
    for company in (salon.company, practice.company, salon.company):
        CallbackRequest.objects.create(
            company=company, phone="+491", topic=f"{company} {CallbackRequest.objects.count()}"
        )

    items = {str(item["title"]): item for g in desk.get("/admin/").context["sidebar_navigation"] for item in g["items"]}

    assert items["Callbacks"]["badge"] == 2


# --- search -----------------------------------------------------------------------------------------------------------


def test_search_finds_pages_appointments_and_customers(desk, salon):
    """A number as people write it; nothing is kept in the cache, where a name would outlive its right to be seen."""
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        event_type=salon.cut.event_type,
        state=Appointment.State.CONFIRMED,
        start=at(10),
        end=at(11),
        attendee_name=ANNA.name,
        attendee_phone=ANNA.phone,
    )
    customer = Customer.objects.create(company=salon.company, name=ANNA.name, phone=ANNA.phone)

    by_number = desk.get(reverse("admin:search"), {"s": "0151 12345678", "extended": "1"}).text
    by_page = desk.get(reverse("admin:search"), {"s": "callb"}).text

    assert reverse("admin:bookings_appointment_change", args=[appointment.pk]) in by_number
    assert reverse("admin:bookings_customer_change", args=[customer.pk]) in by_number
    assert reverse("admin:bookings_callbackrequest_changelist") in by_page


# --- names ------------------------------------------------------------------------------------------------------------


def test_login_names_the_only_company(client, salon):
    assert f"{salon.company.name}" in client.get("/admin/login/").context["site_title"]


def test_login_names_the_product_where_there_are_several(client, salon, practice):
    assert client.get("/admin/login/").context["site_title"] == "Slotline"


def test_demo_is_labelled(client, salon, settings):
    settings.DEMO = True
    desk = browser_of(salon.company, Role.RECEPTION)

    assert "Demo" in desk.get("/admin/").text
    assert "Demo" not in client.get("/v1/openapi.json").text


def test_conflict_is_red_in_the_list_of_appointments(desk, salon):
    """A double booking must not look like two good ones."""
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        event_type=salon.cut.event_type,
        host=salon.emma.host,
        state=Appointment.State.CONFIRMED,
        start=at(10),
        end=at(11),
    )
    address = reverse("admin:bookings_appointment_changelist")
    assert "taken twice" not in desk.get(address).text

    appointment.claims.create(
        host=salon.emma.host, kind=Claim.Kind.CONFIRMED, start=at(10), end=at(11), conflicting=True
    )

    assert "taken twice" in desk.get(address).text


def test_health_tells_of_bookings_that_wait(salon):
    """The same as the banner tells; not of one that was sent a moment ago."""
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        event_type=salon.cut.event_type,
        state=Appointment.State.PENDING,
        start=at(10),
        end=at(11),
    )
    operation = Operation.objects.create(
        company=salon.company, appointment=appointment, kind=Operation.Kind.CREATE, requested_at=timezone.now()
    )
    collectors.waiting()

    Operation.objects.filter(pk=operation.pk).update(requested_at=timezone.now() - timedelta(minutes=2))

    with pytest.raises(Unhealthy, match="more than a minute: 1"):
        collectors.waiting()
