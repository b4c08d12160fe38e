"""The OpenAPI document is complete, and true."""

import os
import re
from typing import Any

import jsonschema
import orjson
import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from bookings.api.openapi import openapi_document
from bookings.api.problem_catalog import PROBLEMS
from bookings.api.views.base import AgentView, UnknownAddressView
from bookings.models import Conversation
from bookings.scheduling import holds
from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent
from tests.factories import ANNA, TUESDAY, Salon, at


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document as agents get it."""
    return orjson.loads(openapi_document())


def test_document_is_valid_without_warnings() -> None:
    """The generator knew every field and every answer."""
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", os.devnull)


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_document_has_every_view(document: dict[str, Any]) -> None:
    """What can be asked is documented, with its answers, its problems, its headers and its key."""
    documented = {(method, path) for path, method, _ in _operations(document)}
    views = [view for view in AgentView.__subclasses__() if view is not UnknownAddressView]

    assert document["openapi"].startswith("3.1")
    assert len(documented) == sum(len(view.scopes) for view in views)
    for _, _, operation in _operations(document):
        assert operation["operationId"]
        assert operation["security"] == [{"AgentKey": []}]
        assert {"401", "403", "429", "500", "503"} <= set(operation["responses"])
        assert any(status.startswith("2") for status in operation["responses"])
    assert document["components"]["securitySchemes"]["AgentKey"]["scheme"] == "bearer"


def test_problems_are_documented_by_code(document: dict[str, Any]) -> None:
    """Each status names its codes, and their media type is that of RFC 9457."""
    named = set()
    for _, _, operation in _operations(document):
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                continue
            assert list(response["content"]) == ["application/problem+json"]
            codes = re.findall(r"`(\w+)`", response["description"])
            assert {PROBLEMS[code].status.value for code in codes} == {int(status)}
            named |= set(codes)

    assert named == set(PROBLEMS) - {"method_not_allowed", "signature_invalid"}  # the latter is the adapters'


def test_headers_are_documented(document: dict[str, Any]) -> None:
    """Those that come in, and those that go out."""
    availability = document["paths"]["/v1/availability"]["get"]
    sent = {parameter["name"] for parameter in availability["parameters"] if parameter["in"] == "header"}

    assert {"Prefer", "Cache-Control", "traceparent", "Accept-Language"} <= sent
    assert {"Cache-Status", "X-Cache-Hit", "Age", "Server-Timing", "RateLimit"} <= set(
        availability["responses"]["200"]["headers"]
    )
    booking = document["paths"]["/v1/bookings"]["post"]
    assert {"Location", "Retry-After"} <= set(booking["responses"]["202"]["headers"])
    assert "Idempotency-Key" in {parameter["name"] for parameter in booking["parameters"]}


def test_page_loads_only_local_assets(client: Client) -> None:
    """It works in a cellar, and tells no third party who reads it."""
    page = client.get("/v1/docs").content.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assets = [link for link in links if link != "/v1/docs?script="]

    assert len(assets) == len(links) - 1
    assert "/v1/openapi.json" in client.get("/v1/docs?script=").content.decode()
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert all(asset.startswith("/static/") for asset in assets)
    assert not re.search(r"https?://", page)
    assert all(finders.find(asset.removeprefix("/static/")) for asset in assets)


@pytest.mark.django_db(transaction=True)
def test_responses_match_the_document(
    simulator: Simulator, agent: Agent, salon: Salon, document: dict[str, Any]
) -> None:
    """What is assembled by hand keeps to its description: each answer of a phone call is checked against it."""
    service = f"sv_{salon.cut.pk}"
    call = agent.post("conversations", {"call_id": "call-1", "caller_phone": ANNA.phone})
    call_id = call.json()["conversation_id"]
    (offer,) = holds.issue_tokens(
        company=salon.company,
        conversation=Conversation.objects.get(public_id=call_id),
        service=salon.colour,
        starts=[at(14)],
        now=timezone.now(),
    )
    held = agent.post("holds", {"slot_token": offer.token, "conversation_id": call_id})
    booked = agent.book(salon.cut, at(10))
    booking, operation = booked.json()["booking"]["id"], booked.json()["operation_id"]
    answers = [
        ("post", "/v1/conversations", call),
        ("post", "/v1/holds", held),
        ("post", "/v1/holds", agent.post("holds", {"slot_token": "ZZZZZZZZZZ", "conversation_id": call_id})),
        ("delete", "/v1/holds/{hold_id}", agent.delete(f"holds/{held.json()['hold_id']}")),
        ("get", "/v1/services", agent.get("services", {"q": "haar"})),
        ("get", "/v1/availability", agent.get("availability", {"service": service, "date": TUESDAY.isoformat()})),
        ("get", "/v1/availability", agent.get("availability", {"service": "x", "date": TUESDAY.isoformat()})),
        ("post", "/v1/bookings", booked),
        ("post", "/v1/bookings", agent.post("bookings", {})),
        ("get", "/v1/bookings/{booking_id}", agent.get(f"bookings/{booking}")),
        ("get", "/v1/operations/{operation_id}", agent.get(f"operations/{operation}")),
        ("post", "/v1/bookings/find", agent.post("bookings/find", {"conversation_id": _call_of(salon)})),
        ("post", "/v1/bookings/find", agent.post("bookings/find", {})),
        ("post", "/v1/callbacks", agent.post("callbacks", {"topic": "A perm", "conversation_id": call_id})),
        ("post", "/v1/callbacks", agent.post("callbacks", {"topic": "A perm"})),
        (
            "post",
            "/v1/bookings/{booking_id}/reschedule",
            agent.post(f"bookings/{booking}/reschedule", {"start": at(11).isoformat()}),
        ),
        ("post", "/v1/bookings/{booking_id}/cancel", agent.post(f"bookings/{booking}/cancel", {"reason": "ill"})),
    ]

    for method, path, answer in answers:
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"][answer["Content-Type"]]["schema"]
        _strict(schema, document).validate(answer.json())


def _call_of(salon: Salon) -> str:
    """Return the call of a caller who has an appointment."""
    return Conversation.objects.create(company=salon.company, caller_phone=ANNA.phone).public_id


def _strict(schema: dict[str, Any], document: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """Return a validator that accepts no member which the document does not name."""
    components = {
        name: {**component, "additionalProperties": False} if component.get("type") == "object" else component
        for name, component in document["components"]["schemas"].items()
    }
    return jsonschema.Draft202012Validator({**schema, "components": {"schemas": components}})
