"""What staff can do in the admin, and what the admin refuses to all."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from bookings.models import AgentKey, Appointment, CallbackRequest, Conversation, Operation
from bookings.scheduling import conversations, holds
from tests.bookings.helpers import book, intent
from tests.factories import TUESDAY, at

MODELS = list(apps.get_app_config("bookings").get_models())
HISTORY = {"appointment", "claim", "conversation", "operation", "sharedbooking", "slottoken", "toolcall"}


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def url(model, page="changelist", *args):
    """An address in the admin."""
    return reverse(f"admin:bookings_{model}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_its_list(desk, salon, model):
    """Filters, search and columns work, also on an empty table."""
    address = url(model._meta.model_name)

    assert desk.get(address).status_code == 200
    assert desk.get(address, {"q": "emma"}).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_history_cannot_be_edited(desk, rf, model):
    """What happened is looked at; everything else has a form."""
    page = desk.get(reverse(f"admin:bookings_{model._meta.model_name}_changelist")).wsgi_request
    can_add = admin.site.get_model_admin(model).has_add_permission(page)

    assert can_add == (model._meta.model_name not in HISTORY | {"callbackrequest"})


@pytest.mark.parametrize("name", ["company", "branch", "service", "staff", "staffservice", "customer", "agentkey"])
def test_forms_open(desk, salon, name):
    """For something new."""
    assert desk.get(url(name, "add")).status_code == 200


def test_rows_open(desk, salon):
    """With what belongs to them."""
    for row in (salon.company, salon.branch, salon.cut, salon.emma, salon.emmas_cut, salon.agent_key):
        assert desk.get(url(row._meta.model_name, "change", row.pk)).status_code == 200


def test_a_key_is_shown_once(desk, salon):
    """FM-59: what is stored recognises the key and cannot tell it."""
    fields = {"company": salon.company.pk, "branch": "", "name": "Retell", "scopes": AgentKey.Scope.values}
    shown = desk.post(url("agentkey", "add"), fields).content.decode()

    key = AgentKey.objects.get(name="Retell")
    text = shown.split("<code>")[1].split("<")[0].strip()
    assert AgentKey.objects.valid(text).get() == key
    assert text not in desk.get(url("agentkey", "change", key.pk)).content.decode()


def test_a_revoked_key_is_valid_no_more(desk, salon):
    """At once in the database, and within seconds everywhere."""
    desk.post(url("agentkey"), {"action": "revoke", "_selected_action": [salon.agent_key.pk]})

    assert not AgentKey.objects.valid(salon.key).exists()


def test_a_key_of_one_company_gets_no_branch_of_another(desk, salon, practice):
    """FM-26: nothing that is typed here may cross tenants."""
    fields = {
        "company": salon.company.pk,
        "branch": practice.branch.pk,
        "name": "mixed",
        "scopes": AgentKey.Scope.values,
    }
    desk.post(url("agentkey", "add"), fields)

    assert not AgentKey.objects.filter(name="mixed").exists()


def test_hours_are_checked_where_they_are_typed(desk, salon):
    """The sentence says what is expected."""
    fields = {
        "company": salon.company.pk,
        "name": "Mitte",
        "time_zone": "Europe/Berlin",
        "language": "de",
        "phone_region": "DE",
        "opening_hours": '{"mon": "nine to six"}',
        "closures": "[]",
    }
    answer = desk.post(url("branch", "change", salon.branch.pk), fields).content.decode()

    assert "The hours of mon are written as" in answer


def test_a_service_cannot_book_another_companys_calendar(desk, salon, practice):
    """FM-26: the event type's account is the company's."""
    fields = {
        "branch": salon.branch.pk,
        "event_type": practice.check_up.event_type.pk,
        "name": "Stolen",
        "aliases": "",
        "duration_minutes": 30,
        "notice_minutes": 0,
        "horizon_days": 90,
        "field_defaults": "{}",
        "active": "on",
    }
    answer = desk.post(url("service", "add"), fields).content.decode()

    assert "another company" in answer


def test_an_appointment_is_cancelled_at_cal_com_first(desk, salon, calcom, simulator):
    """FM-10: the button goes the same way as the agent."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment

    fields = {"action": "cancel", "reason": "Emma is ill", "_selected_action": [appointment.pk]}
    answer = desk.post(url("appointment"), fields, follow=True).content.decode()

    assert f"{appointment.reference} is cancelled." in answer
    assert simulator.bookings()[0]["status"] == "cancelled"
    assert Operation.objects.get(kind="cancel").reason == "Emma is ill"


def test_times_are_those_of_the_clock_on_the_wall(desk, salon, calcom):
    """FM-50: who works in Berlin reads 14:00, whatever the server's zone is."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment

    page = desk.get(url("appointment")).content.decode()

    assert appointment.reference in page
    assert f"{TUESDAY:%a %d %b %Y}, 14:00" in page


def test_what_cannot_be_cancelled_is_said(desk, salon, calcom):
    """One sentence for each appointment."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    Appointment.objects.update(state="rejected")

    fields = {"action": "cancel", "reason": "", "_selected_action": [appointment.pk]}
    answer = desk.post(url("appointment"), fields, follow=True).content.decode()

    assert f"{appointment.reference} was not cancelled" in answer


def test_an_appointment_shows_no_uid(desk, salon, calcom):
    appointment = book(intent(salon.colour, at(14)), calcom).appointment

    page = desk.get(url("appointment", "change", appointment.pk)).content.decode()

    assert appointment.reference in page
    assert appointment.remote_uid not in page


def test_a_callback_is_done(desk, salon):
    callback = CallbackRequest.objects.create(company=salon.company, phone="+4930123456")

    desk.post(url("callbackrequest"), {"action": "mark_done", "_selected_action": [callback.pk]})

    callback.refresh_from_db()
    assert (callback.state, callback.done_by) == ("done", "owner")


def test_whoever_waits_longest_to_be_called_back_comes_first(desk, salon):
    """And what is done comes last; a click on the state shows only what is open."""
    for minutes, topic, state in ((1, "Newest", "open"), (9, "Oldest", "open"), (30, "Done before", "done")):
        CallbackRequest.objects.create(
            company=salon.company,
            phone="+4930123456",
            topic=topic,
            state=state,
            requested_at=timezone.now() - timedelta(minutes=minutes),
        )

    page = desk.get(url("callbackrequest")).content.decode()
    still_open = desk.get(url("callbackrequest"), {"state__exact": "open"}).content.decode()

    assert page.index("Oldest") < page.index("Newest") < page.index("Done before")
    assert "Done before" not in still_open


def test_a_callback_is_done_by_the_button_only(desk, salon):
    """So that it always says by whom."""
    callback = CallbackRequest.objects.create(company=salon.company, phone="+4930123456", topic="A perm")

    desk.post(
        url("callbackrequest", "change", callback.pk), {"phone": "+4930123457", "topic": "A perm", "state": "done"}
    )

    callback.refresh_from_db()
    assert (callback.state, callback.phone) == ("open", "+4930123457")


def test_a_call_shows_its_timeline(desk, salon):
    """In order: what was asked, what was answered, how long it took and where the data came from; no token."""
    call = Conversation.objects.create(company=salon.company)
    for endpoint, cache_status in (("POST /v1/availability/search", "Slotline; hit; ttl=87"), ("POST /v1/holds", "")):
        conversations.record(
            call,
            endpoint=endpoint,
            request={"service": "Colour", "when": {"date": "2026-11-24"}, "caller": {"name": "Anna"}},
            response={"status": "held", "read_back": "Ist das so richtig?", "offers": [{"start": "2026-11-24T14:00"}]},
            status=200,
            cache_status=cache_status,
            duration=timedelta(milliseconds=12),
        )
    (offer,) = holds.issue_tokens(
        company=salon.company, conversation=call, service=salon.colour, starts=[at(14)], now=timezone.now()
    )

    page = desk.get(url("conversation", "change", call.pk)).content.decode()

    assert page.index("/v1/availability/search") < page.index("/v1/holds")
    for shown in ("when: (date: 2026-11-24)", "read_back: Ist das so richtig?", "offers: 2026-11-24T14:00", "12 ms"):
        assert shown in page
    assert "Slotline; hit; ttl=87" in page
    assert "Anna" not in page
    assert offer.token not in page
