"""Wrong input of every kind gets its problem, and changes nothing."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from bookings.api.urls import urlpatterns
from bookings.models import Appointment, Customer, Operation
from tests.bookings.api.helpers import FUZZ, JSON, TEXT, Agent, booking_body
from tests.factories import SUNDAY, Salon, at

pytestmark = pytest.mark.django_db

NAIVE = "2027-03-01T10:00:00"


@pytest.fixture(autouse=True)
def _nothing_changes(salon: Salon) -> Iterator[None]:
    """After each of these tests there is nothing that was, or could ever be, sent to Cal.com."""
    yield
    assert not Appointment.objects.exists()
    assert not Operation.objects.exists()
    assert not Customer.objects.exists()


def _code(answer) -> str:
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer["X-Request-Id"]
    assert body["spoken"]
    return f"{answer.status_code} {body['code']}"


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", "400 request_malformed"),
        (b"{'service': 1}", "application/json", "400 request_malformed"),
        (b"\xff\xfe", "application/json", "400 request_malformed"),
        (b'{"start": NaN}', "application/json", "400 request_malformed"),
        (b'{"service": "\\ud800"}', "application/json", "400 request_malformed"),
        (b"[" * 50_000, "application/json", "400 request_malformed"),
        (b"[]", "application/json", "422 request_invalid"),
        (b"null", "application/json", "422 request_invalid"),
        (b'"text"', "application/json", "422 request_invalid"),
        (b"17", "application/json", "422 request_invalid"),
        (b"{}", "application/json", "422 request_invalid"),
        (b"", "application/json", "422 request_invalid"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "application/json", "400 request_malformed"),
        (b'{"a":' * 21 + b"1" + b"}" * 21, "application/json", "400 request_malformed"),
        (b'{"a":' * 20 + b"1" + b"}" * 20, "application/json", "422 request_invalid"),
        (b'{"a":[' + b"{}," * 200 + b"{}]}", "application/json", "422 request_invalid"),
        (b'{"notes":"' + b"x" * 1_000_000 + b'"}', "application/json", "413 request_too_large"),
        (b"service=1", "application/x-www-form-urlencoded", "415 unsupported_media_type"),
        (b"<a/>", "application/xml", "415 unsupported_media_type"),
        (b"{}", "text/plain", "415 unsupported_media_type"),
        (b"{}", "\x00", "415 unsupported_media_type"),
    ],
)
def test_unreadable_body_is_refused(agent: Agent, body: bytes, content_type: str, expected: str) -> None:
    """What cannot be read is refused before anything is understood."""
    assert _code(agent.send("bookings", body, content_type, idempotency_key="one")) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"service": "sv_999999999"}, "422 service_unknown"),
        ({"service": "999999999999999999"}, "422 service_unknown"),
        ({"service": 10**40}, "422 request_invalid"),
        ({"service": "Zahnreinigung"}, "422 service_unknown"),
        ({"service": "sv_1\x00"}, "422 service_unknown"),
        ({"service": "\u202e\U0001f488"}, "422 service_unknown"),
        ({"service": ""}, "422 request_invalid"),
        ({"service": None}, "422 request_invalid"),
        ({"service": ["sv_1"]}, "422 request_invalid"),
        ({"service": True}, "422 request_invalid"),
        ({"service": "x" * 201}, "422 request_invalid"),
        ({"start": NAIVE}, "422 time_not_understood"),
        ({"start": "2027-03-01"}, "422 time_not_understood"),
        ({"start": "tomorrow at ten"}, "422 time_not_understood"),
        ({"start": 1_800_000_000}, "422 time_not_understood"),
        ({"start": "2027-02-30T10:00:00Z"}, "422 time_not_understood"),
        ({"start": "2027-03-01T25:00:00Z"}, "422 time_not_understood"),
        ({"start": "2027-03-01T10:00:00+25:00"}, "422 time_not_understood"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "422 time_not_understood"),
        ({"start": "9999-12-31T23:59:59-14:00"}, "422 time_not_understood"),
        ({"start": "\uff12\uff10\uff12\uff17-03-01T10:00:00Z"}, "422 time_not_understood"),
        ({"start": "2027-03-01T10:00:00Z\x00"}, "422 time_not_understood"),
        ({"start": "1999-12-31T10:00:00Z"}, "422 date_in_past"),
        ({"start": "9999-12-30T10:00:00Z"}, "422 time_not_understood"),
        ({"start": "2999-12-30T10:00:00Z"}, "422 too_far"),
        ({"start": at(10, on=SUNDAY).isoformat()}, "422 closed"),
        ({"start": at(3).isoformat()}, "422 closed"),
        ({"caller": None}, "422 request_invalid"),
        ({"caller": "Anna"}, "422 request_invalid"),
        ({"caller": {}}, "422 request_invalid"),
        ({"caller": {"name": ""}}, "422 request_invalid"),
        ({"caller": {"name": "\x00\u202e"}}, "422 request_invalid"),
        ({"caller": {"name": "{{caller_name}}"}}, "422 request_invalid"),
        ({"caller": {"name": "unknown"}}, "422 request_invalid"),
        ({"caller": {"name": "null"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "phone": "12"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "phone": "call me"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "phone": "+49151\x00"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "phone": 4915112345678}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "email": "anna"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "email": "a\x00@example.com"}}, "422 request_invalid"),
        ({"caller": {"name": "Anna", "language": "german please"}}, "422 request_invalid"),
        ({"notes": 7}, "422 request_invalid"),
        ({"notes": "x" * 1001}, "422 request_invalid"),
        ({"conversation_id": "cv_0000000000000000"}, "422 request_invalid"),
        ({"conversation_id": "latest"}, "422 request_invalid"),
    ],
)
def test_invalid_booking_is_refused(agent: Agent, salon: Salon, change: dict[str, object], expected: str) -> None:
    """Each mistake has its own answer."""
    body = booking_body(salon.cut, at(10)) | change

    assert _code(agent.post("bookings", body, idempotency_key="one")) == expected


def test_error_names_field_by_path(agent: Agent, salon: Salon) -> None:
    """The people who built the agent see where to look."""
    body = booking_body(salon.cut, at(10)) | {"caller": {"name": "", "email": "x"}}

    errors = agent.post("bookings", body, idempotency_key="one").json()["errors"]

    assert {error["field"] for error in errors} == {"caller.name", "caller.email"}


def test_booking_without_idempotency_key_is_refused(agent: Agent, salon: Salon) -> None:
    """Without a conversation a key is required, and it must be one."""
    body = booking_body(salon.cut, at(10))

    assert _code(agent.post("bookings", body)) == "400 idempotency_key_required"
    assert _code(agent.post("bookings", body, idempotency_key="")) == "422 request_invalid"
    assert _code(agent.post("bookings", body, idempotency_key="x" * 256)) == "422 request_invalid"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"service": "sv_999999999"}, "422 service_unknown"),
        ({"service": None}, "422 request_invalid"),
        ({"service": "x" * 201}, "422 request_invalid"),
        ({"service": "\x00"}, "422 request_invalid"),
        ({"from": None}, "422 request_invalid"),
        ({"to": None}, "422 request_invalid"),
        ({"from": NAIVE}, "422 time_not_understood"),
        ({"to": NAIVE}, "422 time_not_understood"),
        ({"from": "2027-03-01T10:00:00Z", "to": "2027-03-01T10:00:00Z"}, "422 time_not_understood"),
        ({"from": "2027-03-02T10:00:00Z", "to": "2027-03-01T10:00:00Z"}, "422 time_not_understood"),
        ({"from": "2027-03-01T10:00:00Z", "to": "2027-04-01T10:00:01Z"}, "422 window_too_long"),
        ({"from": "1970-01-02T10:00:00Z", "to": "2999-04-01T10:00:01Z"}, "422 window_too_long"),
        ({"from": "2020-03-01T10:00:00Z", "to": "2020-03-02T10:00:00Z"}, "422 date_in_past"),
        ({"from": "2099-03-01T10:00:00Z", "to": "2099-03-02T10:00:00Z"}, "422 too_far"),
        ({"date": "2020-03-01"}, "422 date_in_past"),
        ({"date": "0001-01-01"}, "422 time_not_understood"),
        ({"date": "9999-12-31"}, "422 time_not_understood"),
        ({"date": "2027-13-01"}, "422 time_not_understood"),
        ({"date": "20270301"}, "422 time_not_understood"),
        ({"date": "2027-W09-1"}, "422 time_not_understood"),
        ({"date": "next tuesday"}, "422 time_not_understood"),
        ({"date": ""}, "422 time_not_understood"),
    ],
)
def test_invalid_availability_query_is_refused(
    agent: Agent, salon: Salon, change: dict[str, object], expected: str
) -> None:
    """Each mistake has its own answer; none is sent on to Cal.com."""
    query = {"service": f"sv_{salon.cut.pk}", "from": at(9).isoformat(), "to": at(18).isoformat()} | change

    assert (
        _code(agent.get("availability", {name: value for name, value in query.items() if value is not None}))
        == expected
    )


@pytest.mark.parametrize("words", ["x" * 201, "\x00" * 201])
def test_service_search_with_long_query_is_refused(agent: Agent, words: str) -> None:
    assert _code(agent.get("services", {"q": words})) == "422 request_invalid"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bookings/bk_0000000000000000", "404 booking_not_found"),
        ("bookings/1", "404 booking_not_found"),
        ("bookings/bk_%00", "404 booking_not_found"),
        ("bookings/bk_000000000000000%0A", "404 booking_not_found"),
        ("bookings/" + "x" * 5000, "404 booking_not_found"),
        ("operations/op_0000000000000000", "404 not_found"),
        ("operations/%F0%9F%92%88", "404 not_found"),
        ("nothing", "404 not_found"),
        ("services/", "404 not_found"),
        ("", "404 not_found"),
        ("%0A", "404 not_found"),
    ],
)
def test_unknown_address_is_404(agent: Agent, path: str, expected: str) -> None:
    """Ids that are none are like ids that are unknown."""
    assert _code(agent.get(path)) == expected


def test_unsupported_method_is_405(agent: Agent) -> None:
    """405 names what is."""
    answer = agent.client.delete("/v1/services", headers={"Authorization": f"Bearer {agent.key}"})

    assert _code(answer) == "405 method_not_allowed"
    assert answer["Allow"] == "GET, HEAD"


def test_unknown_host_is_refused(agent: Agent) -> None:
    """Django's own refusals below /v1 are problems, too."""
    answer = agent.client.get("/v1/services", headers={"Host": "evil.example", "Authorization": f"Bearer {agent.key}"})

    assert _code(answer) == "400 request_malformed"


def test_internal_error_hides_its_message(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """FM-83: the answer has an id to ask about, and nothing of what went wrong."""

    def broken(_key: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("bookings.api.views.services.services_of", broken)

    answer = agent.get("services")

    assert _code(answer) == "500 internal_error"
    assert "hunter2" not in answer.text


ADDRESSES = [
    "services",
    "availability",
    "availability/search",
    "conversations",
    "conversations/cv_0000000000000000/end",
    "holds",
    "holds/bk_0000000000000000",
    "bookings",
    "bookings/find",
    "bookings/bk_0000000000000000",
    "bookings/bk_0000000000000000/cancel",
    "bookings/bk_0000000000000000/reschedule",
    "callbacks",
    "operations/op_0000000000000000",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"]
BODIES = [
    (b"", "application/json"),
    (b"service=1", "application/x-www-form-urlencoded"),
    (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', "multipart/form-data; boundary=x"),
    (b"--x", "multipart/form-data"),
    (b"words", "text/plain"),
    (b"{", "application/json"),
    (b"[" * 300 + b"]" * 300, "application/json"),
    (b'{"caller":{"name":"A"},"ignored":' + b"[" * 300 + b"]" * 300 + b"}", "application/json"),
    (b'{"ignored":' + b"9" * 400 + b"}", "application/json"),
]


def begun(agent: Agent) -> str:
    return str(agent.post("conversations", {"platform": "test", "call_id": "1"}).json()["conversation_id"])


def test_every_endpoint_is_covered_here() -> None:
    """A new one is added to the list above."""
    fixed = {re.sub("/?<[^>]*>", "", str(each.pattern)) for each in urlpatterns}
    tried = {re.sub("/?[a-z]+_0+", "", address) for address in ADDRESSES}

    assert fixed - tried == {"", "openapi.json", "docs"}


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("method", METHODS)
def test_unsupported_method_is_405_with_any_body(agent: Agent, address: str, method: str) -> None:
    """Before the conversation, the parameters and the body are looked at; and no answer is a fault of ours."""
    offered = agent.client.generic("BREW", f"/v1/{address}", headers=agent.headers())["Allow"].split(", ")

    for call in ("", begun(agent), "latest", "\x00"):
        for body, content_type in BODIES:
            path = f"/v1/{address}?{urlencode({'conversation_id': call} if call else {})}"
            answer = agent.client.generic(method, path, body, content_type, headers=agent.headers())

            assert answer.status_code < 500, (method, path, body)
            assert (answer.status_code == 405) is (method not in offered), (method, path, answer.status_code)
            if answer.status_code >= 400 and method != "HEAD":
                _code(answer)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address.startswith("bookings/bk")])
@pytest.mark.parametrize(("body", "content_type"), BODIES[1:5])
def test_unreadable_body_in_a_conversation_is_415(agent: Agent, address: str, body: bytes, content_type: str) -> None:
    """The timeline asks for the body once more, when the answer has been decided."""
    path = f"{address}?{urlencode({'conversation_id': begun(agent)})}"
    expected = "405 method_not_allowed" if address.endswith("0") else "415 unsupported_media_type"

    assert _code(agent.send(path, body, content_type)) == expected


@pytest.mark.parametrize("path", ["health", "health/live", "health/ready", "metrics", "performance-metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_monitoring_refuses_methods_that_change(path: str, method: str) -> None:
    """Also where Django would ask for the token of a form first."""
    assert Client(enforce_csrf_checks=True).generic(method, f"/{path}").status_code == 405


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_webhooks_refuse_other_methods(method: str) -> None:
    """And say which one is meant."""
    answer = Client(enforce_csrf_checks=True).generic(method, "/webhooks/calcom/1")

    assert (answer.status_code, answer["Allow"]) == (405, "POST")


INSTANTS = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)


@FUZZ
@given(
    body=st.fixed_dictionaries(
        {},
        optional={
            "service": JSON | st.just("Haircut"),
            "start": JSON | INSTANTS,
            "slot_token": JSON,
            "confirm_token": JSON,
            "caller": JSON
            | st.fixed_dictionaries({"name": JSON}, optional={"phone": JSON, "email": JSON, "language": JSON}),
            "notes": JSON,
            "conversation_id": JSON,
        },
    ),
    key=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=20),
)
def test_arbitrary_booking_never_fails_with_500(agent: Agent, body: dict[str, object], key: str | None) -> None:
    """Whatever is sent, the answer is a problem with a code of the table, and never a fault of ours."""
    headers = {} if key is None else {"idempotency_key": key}

    answer = agent.send("bookings", json.dumps(body).encode(), **headers)

    assert answer.status_code in {400, 422}
    _code(answer)


@FUZZ
@given(
    body=JSON
    | st.fixed_dictionaries({}, optional={"slot_token": JSON, "conversation_id": JSON, "when": JSON, "language": JSON}),
    query=st.dictionaries(st.just("conversation_id"), TEXT),
)
def test_arbitrary_hold_never_fails_with_500(agent: Agent, body: object, query: dict[str, str]) -> None:
    """Nothing is held but what was offered."""
    answer = agent.send(f"holds?{urlencode(query)}", json.dumps(body).encode())

    assert answer.status_code == 422
    assert _code(answer).split()[1] in {"request_invalid", "slot_not_offered"}


@FUZZ
@given(
    query=st.dictionaries(
        st.sampled_from(["service", "from", "to", "date", "q", "language"]),
        TEXT | INSTANTS | st.just("Haircut") | st.dates().map(str),
    ),
    path=st.sampled_from(["availability", "services"]),
    headers=st.dictionaries(
        st.sampled_from(["prefer", "cache_control", "accept_language", "traceparent", "x_request_id", "accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    ),
)
def test_arbitrary_availability_query_never_fails_with_500(
    agent: Agent, query: dict[str, str], path: str, headers: dict[str, str]
) -> None:
    """Parameters and headers are read or refused, and never a fault of ours."""
    answer = agent.get(path, query, **headers)

    assert answer.status_code in ({200} if path == "services" else {200, 422, 503})
