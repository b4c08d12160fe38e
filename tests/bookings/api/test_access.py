"""Access to the API: keys, scopes, companies and branches."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, RequestFactory
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import auth, directory, urls
from bookings.api.views.base import AgentView, UnknownAddressView
from bookings.api.views.services import ServicesView
from bookings.models import AgentKey
from tests.bookings.api.helpers import Agent, agent_with, booking_body
from tests.factories import Practice, Salon, at

PUBLIC = {"openapi", "docs"}
SAMPLE = {
    "booking_id": "bk_0000000000000000",
    "conversation_id": "cv_0000000000000000",
    "hold_id": "bk_0000000000000000",
    "operation_id": "op_0000000000000000",
    "rest": "anything/else",
}

pytestmark = pytest.mark.django_db


def _endpoints() -> Iterator[tuple[str, str, str]]:
    """Yield name, method and path of each endpoint below /v1."""
    for pattern in urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        path = str(pattern.pattern)
        for name, value in SAMPLE.items():
            path = path.replace(f"<str:{name}>", value).replace(f"<path:{name}>", value)
        for method in ("get", "post", "put", "patch", "delete", "options"):
            yield pattern.name or "", method, f"/v1/{path}"


def test_endpoint_list_covers_all_of_v1() -> None:
    """All of /v1 is in this one list, so that nothing escapes the walk below."""
    below = [pattern for pattern in get_resolver().url_patterns if str(pattern.pattern).startswith("v1")]

    assert [pattern.urlconf_module for pattern in below] == [urls]
    assert not any("<" in path for _, _, path in _endpoints())


@pytest.mark.parametrize(("name", "method", "path"), [each for each in _endpoints() if each[0] not in PUBLIC])
def test_endpoint_refuses_request_without_key(client: Client, name: str, method: str, path: str) -> None:
    """FM-59: for every endpoint and method, and for addresses that do not exist."""
    answer = getattr(client, method)(path)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_openapi_document_is_public(client: Client, name: str) -> None:
    path = next(path for known, _, path in _endpoints() if known == name)

    assert client.get(path).status_code == 200


@pytest.mark.parametrize("name", sorted(PUBLIC))
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"])
def test_openapi_document_allows_only_get(name: str, method: str) -> None:
    path = next(path for known, _, path in _endpoints() if known == name)

    answer = Client(enforce_csrf_checks=True).generic(method, path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/webhooks/", "/webhooks/calcom/", "/webhooks/calcom/x", "/webhooks/x"]
)
def test_unknown_address_answers_json_problem(client: Client, path: str) -> None:
    answer = client.post(path, b"{}", content_type="application/json")

    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["agent_hint"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer sl_",
        "Bearer sl_" + "x" * 43,
        "Bearer sl_" + "x" * 10_000,
        "Bearer sl_\x00" + "x" * 40,
        "Basic c2w6c2w=",
        "Token {key}",
        "Bearer {key}x",
        "Bearer {key} {key}",
    ],
)
def test_invalid_key_is_refused(client: Client, salon: Salon, header: str) -> None:
    """Wrong, cut, wrapped or disguised keys are refused."""
    answer = client.get("/v1/services", headers={"Authorization": header.format(key=salon.key)})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_revoked_key_is_refused_within_five_seconds(
    agent: Agent, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(directory, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert agent.get("services").status_code == 200

    AgentKey.objects.update(revoked_at=timezone.now())
    now[0] += 5

    assert agent.get("services").status_code == 401


def test_inactive_company_is_refused(agent: Agent, salon: Salon) -> None:
    salon.company.active = False
    salon.company.save()

    assert agent.get("services").status_code == 401


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ([AgentKey.Scope.AVAILABILITY_READ], {"services", "conversations"}),
        ([AgentKey.Scope.BOOKINGS_READ], {"booking", "operation"}),
        ([AgentKey.Scope.BOOKINGS_WRITE], {"bookings", "cancel", "holds", "hold"}),
        ([AgentKey.Scope.CALLBACKS_WRITE], {"callbacks"}),
        ([], set()),
    ],
)
def test_key_is_limited_to_its_scopes(salon: Salon, scopes: list[str], allowed: set[str]) -> None:
    """A scope that is missing is named, before anything else is looked at."""
    limited = agent_with(salon, scopes=scopes)
    answers = {
        "services": limited.get("services"),
        "booking": limited.get(f"bookings/{SAMPLE['booking_id']}"),
        "operation": limited.get(f"operations/{SAMPLE['operation_id']}"),
        "bookings": limited.post("bookings", booking_body(salon.cut, at(10))),
        "cancel": limited.post(f"bookings/{SAMPLE['booking_id']}/cancel"),
        "conversations": limited.post("conversations", {"call_id": "call-1"}),
        "holds": limited.post("holds", {"slot_token": "ZZZZZZZZZZ"}),
        "hold": limited.delete(f"holds/{SAMPLE['hold_id']}"),
        "callbacks": limited.post("callbacks", {"topic": "A perm"}),
    }

    refused = {name for name, answer in answers.items() if answer.json().get("code") == "scope_missing"}

    assert refused == set(answers) - allowed
    assert all(answers[name].status_code == 403 for name in refused)


def test_head_and_options_respect_scopes(salon: Salon) -> None:
    """HEAD is a GET that keeps its body to itself, and OPTIONS tells nothing."""
    limited = agent_with(salon, scopes=[AgentKey.Scope.BOOKINGS_WRITE])
    signed = {"Authorization": f"Bearer {limited.key}"}

    assert limited.client.head("/v1/services", headers=signed).status_code == 403
    assert limited.client.options("/v1/services", headers=signed).status_code == 405


def test_every_view_names_a_scope_per_method() -> None:
    operations = [view for view in AgentView.__subclasses__() if view is not UnknownAddressView]

    for view in operations:
        methods = {method for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)}
        assert {method.upper() for method in methods} == set(view.scopes), view


class Careless(ServicesView):
    """A view with a method that no scope opens."""

    def post(self, _request: Request) -> Response:
        """Answer every key."""
        return Response()


def test_view_without_scope_for_a_method_does_not_start() -> None:
    with pytest.raises(ImproperlyConfigured, match="Careless needs a scope for POST"):
        Careless.as_view()


def test_method_without_scope_is_closed_to_every_key(salon: Salon, rf: RequestFactory) -> None:
    signed = rf.post("/", headers={"Authorization": f"Bearer {salon.key}"})

    answer = super(AgentView, Careless).as_view()(signed)

    assert (answer.status_code, answer.data["code"]) == (403, "scope_missing")


def test_key_sees_only_its_company(agent: Agent, stranger: Agent, salon: Salon, practice: Practice) -> None:
    """The key decides the company; nothing in a request can."""
    ours = {service["name"] for service in agent.get("services", {"company": practice.company.pk}).json()["services"]}

    assert ours == {"Haircut", "Colour", "Beard trim"}
    assert stranger.get("availability", {"service": f"sv_{salon.cut.pk}", "date": "2027-01-01"}).json()["code"] == (
        "service_unknown"
    )


def test_unknown_key_is_not_cached(client: Client, salon: Salon) -> None:
    for number in range(20):
        client.get("/v1/services", headers={"Authorization": f"Bearer sl_{number:040}"})

    assert len(auth.key_named) == 0


def test_throttled_request_names_retry_after(agent: Agent, settings) -> None:
    """429 with Retry-After and the rate, and the next key is served as before."""
    settings.BOOKINGS_THROTTLE_RATE = "2/day"

    answers = [agent.get("services") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limited"
    assert 1 <= int(answers[2]["Retry-After"]) <= 86_400
    assert answers[2]["RateLimit"].startswith('"agent-key";r=0;t=')
