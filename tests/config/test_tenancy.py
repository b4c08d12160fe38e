"""No person of one company sees, chooses or changes a row of another, on any page of the admin."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import serializers
from django.db import models
from django.forms import ModelChoiceField
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from bookings.models import (
    Appointment,
    Branch,
    CallbackRequest,
    Claim,
    Company,
    Conversation,
    Customer,
    Membership,
    Operation,
    Role,
    SharedBooking,
    SlotToken,
    ToolCall,
)
from bookings.roles import RIGHTS, scope_of
from cachectl.models import CacheInvalidation, Warming
from calcom.models import Cursor, DeferredBooking, EventType, Host, WebhookDelivery
from monitoring.models import Alert, Notification, Silence
from monitoring.tenancy import Scoped
from tests.factories import Practice, Salon, at

MARK = "Zebra"
"""Stands in every name of the other company, and in no text of ours."""
REGISTERED = list(admin.site._registry)


@pytest.fixture
def foreign(salon: Salon) -> dict[type[models.Model], models.Model]:
    """A row of each registered model that is the other company's: the salon's, all of whose names have the mark."""
    for row in (salon.account, salon.company, salon.branch, salon.emma, salon.ben, salon.cut, salon.agent_key):
        row.name = f"{MARK} {type(row).__name__}"
        row.save()
    Host.objects.filter(account=salon.account).update(name=MARK)
    EventType.objects.filter(account=salon.account).update(title=MARK)
    made = {type(row): row for row in _rows_of(salon)}
    known = (salon.account, salon.company, salon.branch, salon.emma, salon.emmas_cut, salon.cut, salon.agent_key)
    return made | {type(row): row for row in (*known, salon.emma.host, salon.cut.event_type)}


def _rows_of(salon: Salon) -> Iterator[models.Model]:
    ours, now = {"company": salon.company}, timezone.now()
    person = User.objects.create_user(f"{MARK}person", first_name=MARK)
    yield person
    yield Membership.objects.create(user=person, role=Role.RECEPTION, **ours)
    customer = Customer.objects.create(name=f"{MARK} Anna", phone="+4915112345678", **ours)
    yield customer
    call = Conversation.objects.create(branch=salon.branch, customer=customer, platform=MARK, **ours)
    yield call
    yield ToolCall.objects.create(
        conversation=call, endpoint=MARK, status=200, duration=timedelta(), request={"name": MARK}, **ours
    )
    placed = {"service": salon.cut, "event_type": salon.cut.event_type, "start": at(10)}
    appointment = Appointment.objects.create(
        branch=salon.branch,
        host=salon.emma.host,
        customer=customer,
        state=Appointment.State.CONFIRMED,
        end=at(11),
        attendee_name=f"{MARK} Anna",
        **placed,
        **ours,
    )
    yield appointment
    yield SlotToken.objects.create(staff=salon.emma, conversation=call, expires_at=now, **placed, **ours)
    yield Operation.objects.create(appointment=appointment, kind=Operation.Kind.CREATE, reason=MARK, **ours)
    yield Claim.objects.create(
        appointment=appointment, host=salon.emma.host, kind=Claim.Kind.CONFIRMED, start=at(10), end=at(11)
    )
    yield CallbackRequest.objects.create(branch=salon.branch, name=MARK, phone="+491", topic=MARK, **ours)
    there = {"account": salon.account}
    yield SharedBooking.objects.create(
        event_type=salon.cut.event_type, remote_uid="shared", start=at(12), end=at(13), **there
    )
    yield WebhookDelivery.objects.create(trigger=MARK, identity="1", body={}, **there)
    yield Cursor.objects.create(read_until=now, **there)
    yield DeferredBooking.objects.create(remote_uid="deferred", last_error=MARK, **there)
    account = {"account_id": salon.account.pk}
    yield CacheInvalidation.objects.create(
        event_type_ids=[], first=now.date(), last=now.date(), cause="command", **account
    )
    yield Warming.objects.create(**account)
    fired = {"severity": Alert.Severity.WARNING}
    yield Alert.objects.create(name=MARK, message=MARK, fired_at=now, **fired)
    yield Silence.objects.create(name=MARK, until=now)
    yield Notification.objects.create(channel="1", title=MARK, body=MARK, **fired)


@pytest.fixture(params=[Role.OWNER, Role.PROVIDER], ids=str)
def person(request: pytest.FixtureRequest, practice: Practice) -> User:
    """A person of the practice: with most rights, and with the fewest."""
    user = User.objects.create_user("petra")
    staff = practice.doctor if request.param == Role.PROVIDER else None
    Membership.objects.create(user=user, company=practice.company, role=request.param, staff=staff)
    return user


@pytest.fixture
def browser(client: Client, person: User) -> Client:
    """That person's browser."""
    client.force_login(person)
    return client


def addresses() -> Iterator[tuple[str, str]]:
    """Yield the route of every page of the admin, and its name."""
    site = next(each for each in get_resolver().url_patterns if getattr(each, "namespace", None) == "admin")
    yield from _routes(site, "/")


def _routes(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, str]]:
    prefix += str(resolver.pattern).lstrip("^")
    for each in resolver.url_patterns:
        if isinstance(each, URLPattern):
            yield prefix + str(each.pattern).lstrip("^").removesuffix("$"), each.name or ""
        else:
            yield from _routes(each, prefix)


def model_of(route: str) -> type[models.Model] | None:
    """Return the model that a route belongs to."""
    parts = route.split("/")
    of = (model for model in REGISTERED if [model._meta.app_label, model._meta.model_name] == parts[2:4])
    return next(of, None)


def _stored(foreign) -> str:
    """Return all that the database has of the rows."""
    return serializers.serialize("json", [type(row).objects.get(pk=row.pk) for row in foreign.values()])


def filled(route: str, row: models.Model) -> str:
    """Return the address of a row's page."""
    return re.sub(r"<[^>]+>", str(row.pk), route)


OF_A_ROW = [route for route, _ in addresses() if model_of(route) and "<" in route]
OF_NONE = [route for route, name in addresses() if "<" not in route and "(?P" not in route and name != "logout"]


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_every_model_says_how_it_reaches_a_company(model):
    """A new model needs an answer: `tenancy` on its admin."""
    page = admin.site.get_model_admin(model)

    assert isinstance(page, Scoped)
    assert page.tenancy is not None


def test_walk_knows_a_foreign_row_of_every_model(foreign):
    """A new model needs a row in `_rows_of`, or else its pages are not walked."""
    assert {model for model in REGISTERED if not model._meta.proxy} - set(foreign) == set()
    assert len(OF_A_ROW) > 3 * len(REGISTERED) - 5


def test_pages_of_foreign_rows_are_not_found(browser, foreign):
    """To look, to change, to delete, for history: as if the row did not exist. No request changes it."""
    before = _stored(foreign)
    answers = {}
    for route in OF_A_ROW:
        address = filled(route, foreign[model_of(route)])
        for method in (browser.get, browser.post):
            answer = method(address, follow=True)
            answers[(route, method.__name__)] = answer.status_code
            assert MARK not in answer.text, route

    assert {key: code for key, code in answers.items() if code not in {403, 404, 405}} == {}
    assert _stored(foreign) == before


def test_pages_of_rows_that_role_may_see_answer_404_for_foreign_ones(browser, person, foreign):
    """403 would tell that the row exists; it stays for pages that the role has no right to at all."""
    role = scope_of(person).role
    seen = [model for model in foreign if f"{model._meta.app_label}.view_{model._meta.model_name}" in RIGHTS[role]]

    pages = {m: f"/admin/{m._meta.app_label}/{m._meta.model_name}/{foreign[m].pk}/change/" for m in seen}

    assert seen
    assert {browser.get(page).status_code for page in pages.values()} == {404}


@pytest.mark.parametrize("asked", [{}, {"q": MARK, "s": MARK, "extended": "1"}], ids=str)
def test_pages_without_a_row_name_no_foreign_one(browser, foreign, asked):
    """Lists, forms, searches, the start page."""
    told = {route for route in OF_NONE if MARK in _shown(browser.get(route, asked))}

    assert told == set()


def _shown(answer) -> str:
    """Return what a page tells beyond what was typed."""
    text = "" if answer.streaming else answer.text
    return re.sub(r'value="Zebra"|<input[^>]*>|for “?Zebra|q=Zebra|s=Zebra|q%3DZebra', "", text)


def test_start_page_of_a_foreign_branch_is_not_shown(browser, foreign):
    assert MARK not in browser.get("/admin/", {"branch": foreign[Branch].pk}).text


def test_filters_name_no_foreign_row(browser, foreign):
    """A chosen row is shown by its name: a chosen foreign one by none."""
    for model, page in admin.site._registry.items():
        for each in page.list_filter:
            if isinstance(each, tuple) and isinstance(each[0], str):
                related = _related(model, each[0])
                if related in foreign:
                    asked = {f"{each[0]}__id__exact": foreign[related].pk}
                    shown = browser.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/", asked)
                    assert MARK not in shown.text, (model, each[0])


def _related(model: type[models.Model], path: str) -> type[models.Model] | None:
    for name in path.split("__"):
        field = model._meta.get_field(name)
        model = field.related_model or model
    return model if field.is_relation else None


def test_autocompletes_find_no_foreign_row(browser, foreign):
    """The relations of every model, by the address that forms and filters ask."""
    for model in REGISTERED:
        for field in model._meta.get_fields():
            if isinstance(field, models.ForeignKey) and admin.site.is_registered(field.related_model):
                named = {"app_label": model._meta.app_label, "model_name": model._meta.model_name}
                found = browser.get("/admin/autocomplete/", {**named, "field_name": field.name, "term": ""})
                assert MARK not in found.text, (model, field.name)


def _is_form(page, request) -> bool:
    return bool(page.has_change_permission(request))


def _form_of(page, request):
    """Return the form for a new row, with all fields that are not only shown."""
    shown = {each for each in page.get_fields(request) if isinstance(each, str)}
    return page.get_form(request, fields=sorted(shown - set(map(str, page.get_readonly_fields(request)))))


def test_forms_offer_no_foreign_row(rf: RequestFactory, person, foreign):
    """What is no choice is refused when it is sent."""
    request = rf.get("/")
    request.user = person
    offered = []
    for model, page in admin.site._registry.items():
        inlines = [each for each in page.get_inline_instances(request) if _is_form(each, request)]
        for form in [_form_of(page, request)] * _is_form(page, request) + [
            each.get_formset(request).form for each in inlines
        ]:
            for name, field in form.base_fields.items():
                if isinstance(field, ModelChoiceField) and MARK in " ".join(map(str, field.queryset.all())):
                    offered.append((model, name))

    assert offered == []


def test_actions_leave_foreign_rows_alone(browser, foreign):
    """The ids of an action's form are typed by the browser."""
    before = _stored(foreign)
    for model, page in admin.site._registry.items():
        if model in foreign:
            for name in (*page.actions, "delete_selected"):
                chosen = {"action": name, "_selected_action": [foreign[model].pk], "post": "yes"}
                answer = browser.post(f"/admin/{model._meta.app_label}/{model._meta.model_name}/", chosen, follow=True)
                assert MARK not in answer.text

    assert _stored(foreign) == before


# --- what people do see -----------------------------------------------------------------------------------------------


def login(client: Client, name: str, **membership: object) -> Client:
    """Return a browser of a person with that membership."""
    user = User.objects.create_user(name)
    Membership.objects.create(user=user, **membership)
    client.force_login(user)
    return client


def test_owner_sees_the_rows_of_the_company(client, salon, foreign):
    """The walk above would also pass if nothing were shown at all."""
    browser = login(client, "owner", company=salon.company, role=Role.OWNER)
    rights = RIGHTS[Role.OWNER]
    seen = [model for model in foreign if f"{model._meta.app_label}.view_{model._meta.model_name}" in rights]

    hidden = []
    for model in seen:
        named = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if browser.get(f"{named}{foreign[model].pk}/change/").status_code != 200:
            hidden.append(model)

    assert len(seen) > 12
    assert hidden == []


def test_account_that_companies_share_is_hidden_from_their_owners(client, salon, foreign):
    """Its rows are of both; its key books for both."""
    browser = login(client, "owner", company=salon.company, role=Role.OWNER)
    address = f"/admin/calcom/account/{salon.account.pk}/change/"
    assert browser.get(address).status_code == 200

    Company.objects.create(name="Second", slug="second", account=salon.account)

    assert browser.get(address).status_code == 404
    assert MARK not in browser.get("/admin/calcom/host/").text.replace(salon.company.name, "")


def test_reception_of_a_branch_sees_no_other_branch(client, salon, foreign):
    """What belongs to no branch is everyone's: a callback must not be lost between two."""
    other = Branch.objects.create(company=salon.company, name="Other", time_zone="Europe/Berlin")
    CallbackRequest.objects.create(company=salon.company, name="Of all branches", phone="+492", topic="-")

    browser = login(client, "desk", company=salon.company, branch=other, role=Role.RECEPTION)

    assert browser.get(f"/admin/bookings/appointment/{foreign[Appointment].pk}/change/").status_code == 404
    shown = browser.get("/admin/bookings/callbackrequest/", {"state__exact": "open"}).text
    assert "Of all branches" in shown
    assert MARK not in shown.replace(f"{MARK} Company", "")


def test_provider_sees_the_own_calendar_only(client, salon, foreign):
    browser = login(client, "ben", company=salon.company, staff=salon.ben, role=Role.PROVIDER)
    appointment, address = foreign[Appointment], "/admin/bookings/appointment/{}/change/"
    assert browser.get(address.format(appointment.pk)).status_code == 404

    Appointment.objects.filter(pk=appointment.pk).update(host=salon.ben.host)

    assert browser.get(address.format(appointment.pk)).status_code == 200


def test_operator_sees_all_companies_and_no_passwords(client, salon, practice, foreign):
    browser = login(client, "operator", role=Role.OPERATOR)

    assert browser.get(f"/admin/bookings/company/{practice.company.pk}/change/").status_code == 200
    assert browser.get(f"/admin/bookings/company/{salon.company.pk}/change/").status_code == 200
    assert browser.get("/admin/auth/user/").status_code == 403


def test_two_roles_give_what_the_least_allows(client, salon, practice):
    """The form refuses them; a row that got there in another way must not widen the rights of the other one."""
    user = User.objects.create_user("both")
    Membership.objects.create(user=user, company=salon.company, role=Role.OWNER)
    Membership.objects.create(user=user, company=practice.company, role=Role.RECEPTION)

    assert not user.has_perm("bookings.change_company")
    assert user.has_perm("bookings.change_callbackrequest")


def test_inactive_person_sees_nothing(salon):
    user = User.objects.create_user("gone", is_active=False)
    Membership.objects.create(user=user, company=salon.company, role=Role.OWNER)

    assert scope_of(user).role is None
    assert not user.has_perm("bookings.view_company")
    assert not scope_of(user).branches().exists()


def test_owner_changes_a_service_whose_account_is_shared(client, salon, foreign):
    """Its event type cannot be chosen then, and need not be: everything else of the service can be changed."""
    Company.objects.create(name="Second", slug="second", account=salon.account)
    browser = login(client, "owner", company=salon.company, role=Role.OWNER)
    typed = {"branch": salon.branch.pk, "name": "Trim", "duration_minutes": 30, "notice_minutes": 0, "active": "on"}

    saved = browser.post(
        f"/admin/bookings/service/{salon.cut.pk}/change/",
        {**typed, "horizon_days": 30, "aliases": "", "field_defaults": "{}", "event_type": salon.colour.event_type.pk},
    )

    event_type = salon.cut.event_type_id
    salon.cut.refresh_from_db()
    assert saved.status_code == 302
    assert (salon.cut.name, salon.cut.event_type_id) == ("Trim", event_type)
