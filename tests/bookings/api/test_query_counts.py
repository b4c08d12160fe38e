"""How many statements each endpoint and admin list sends from the thread that answers: a new one is noticed here."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent
from tests.factories import ANNA, KARL, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

APPS = ("bookings", "calcom", "cachectl", "monitoring")
AT_MOST = {
    "list_services": 0,
    "list_slots": 1,
    "begin": 5,
    "search": 6,
    "hold": 18,
    "book": 19,
    "read": 1,
    "find": 6,
    "reschedule": 19,
    "call_back": 8,
    "cancel": 8,
    "end": 7,
}
"""Statements, transactions and savepoints included."""


def test_endpoint_sends_no_more_statements_than_before(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    sent: dict[str, int] = {}

    def step(name: str, request: Callable[[], Any]) -> Any:
        with CaptureQueriesContext(connection) as statements:
            response = request()
        assert response.status_code < 300, (name, response.content)
        sent[name] = len(statements)
        return response.json() if response.content else None

    caller = {"name": ANNA.name, "phone": ANNA.phone}
    day = {"service": f"sv_{salon.colour.pk}", "date": TUESDAY.isoformat()}
    agent.get("services")
    agent.get("availability", day)  # the cache is warm from here on
    step("list_services", lambda: agent.get("services"))
    step("list_slots", lambda: agent.get("availability", day))
    call = step("begin", lambda: agent.post("conversations", {"platform": "retell", "call_id": "c", "caller": caller}))
    when = {"windows": [{"from": at(14).isoformat(), "to": at(16).isoformat()}]}
    in_call = {"conversation_id": call["conversation_id"]}
    question = {"service": day["service"], "when": when, **in_call}
    found = step("search", lambda: agent.post("availability/search", question))
    token = {"slot_token": found["offers"][0]["slot_token"], **in_call}
    held = step("hold", lambda: agent.post("holds", token))
    order = {"confirm_token": held["confirm_token"], "caller": caller, **in_call}
    booking = step("book", lambda: agent.post("bookings", order))["booking"]
    step("read", lambda: agent.get(f"bookings/{booking['id']}"))
    step("find", lambda: agent.post("bookings/find", {"reference": booking["reference"], **in_call}))
    moved = {"start": at(10).isoformat(), **in_call}
    step("reschedule", lambda: agent.post(f"bookings/{booking['id']}/reschedule", moved))
    step("call_back", lambda: agent.post("callbacks", {"topic": "a question", "phone": ANNA.phone, **in_call}))
    step("cancel", lambda: agent.post(f"bookings/{booking['id']}/cancel", in_call))
    step("end", lambda: agent.post(f"conversations/{call['conversation_id']}/end"))

    assert {name: (count, AT_MOST[name]) for name, count in sent.items() if count > AT_MOST[name]} == {}


def test_admin_list_sends_as_many_statements_for_many_rows_as_for_few(
    simulator: Simulator, agent: Agent, salon: Salon, client: Client
) -> None:
    client.force_login(User.objects.create_superuser("owner"))
    models = [
        model for app in APPS for model in apps.get_app_config(app).get_models() if admin.site.is_registered(model)
    ]

    def make_rows(hour: int, key: str) -> None:
        caller = ANNA if hour < 13 else KARL
        call = agent.post("conversations", {"platform": "retell", "call_id": key, "caller": {"phone": caller.phone}})
        in_call = {"conversation_id": call.json()["conversation_id"]}
        assert agent.book(salon.colour, at(hour), caller=caller, key=key).status_code == 201
        agent.post("availability/search", {"service": f"sv_{salon.cut.pk}", **in_call})
        agent.post("callbacks", {"topic": key, "phone": caller.phone, **in_call})

    def statements() -> dict[str, int]:
        sent = {}
        for model in models:
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            client.get(address)  # content types and the like are looked up once per process
            with CaptureQueriesContext(connection) as captured:
                assert client.get(address).status_code == 200
            sent[model.__name__] = len(captured)
        return sent

    make_rows(10, "first")
    few = statements()
    for hour in (12, 14, 16):
        make_rows(hour, f"at-{hour}")

    assert statements() == few
    assert len(few) > 15
