"""The Model Context Protocol on the wire, as the clients of both eras were recorded to speak it."""

import base64
from typing import Any

import pytest
from django.test import Client

from bookings.models import AgentKey
from bookings.voice.tools import TOOLS
from calcom.simulator import Simulator
from tests.bookings.voice.platforms import JSON, Mcp
from tests.bookings.voice.said import DAY
from tests.factories import Salon

pytestmark = pytest.mark.django_db(transaction=True)


def rpc(method: str, params: dict[str, Any] | None = None, id_: int | None = 1) -> dict[str, Any]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        message["params"] = params
    return message if id_ is None else message | {"id": id_}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_initialize_answers_in_the_version_of_the_client(mcp: Mcp, version: str) -> None:
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}

    answered = mcp.post(rpc("initialize", params))
    result = answered.json()["result"]

    assert (answered.status_code, result["protocolVersion"]) == (200, version)
    assert result["capabilities"] == {"tools": {}}
    assert "Mcp-Session-Id" not in answered.headers
    assert "resultType" not in result


def test_initialize_of_an_unknown_version_offers_the_newest_of_that_era(mcp: Mcp) -> None:
    result = mcp.post(rpc("initialize", {"protocolVersion": "2199-01-01"})).json()["result"]

    assert result["protocolVersion"] == "2025-11-25"


def test_notification_is_accepted_without_a_body(mcp: Mcp) -> None:
    answered = mcp.post(rpc("notifications/initialized", id_=None))

    assert (answered.status_code, answered.content) == (202, b"")


def test_discover_names_all_versions(mcp: Mcp) -> None:
    result = mcp.request("server/discover").json()["result"]

    assert result["supportedVersions"][0] == "2026-07-28"
    assert len(result["supportedVersions"]) == 5
    assert (result["resultType"], result["cacheScope"]) == ("complete", "private")


def test_tools_are_listed_with_hints_and_without_an_output_schema(mcp: Mcp) -> None:
    old = mcp.post(rpc("tools/list")).json()["result"]
    new = mcp.request("tools/list").json()["result"]
    by_name = {tool["name"]: tool for tool in new["tools"]}

    assert list(by_name) == [tool.name for tool in TOOLS]
    assert old["tools"] == new["tools"]
    assert all("outputSchema" not in tool for tool in by_name.values())
    assert by_name["check_availability"]["annotations"]["readOnlyHint"]
    assert by_name["cancel_appointment"]["annotations"]["destructiveHint"]
    assert not by_name["book_appointment"]["annotations"]["destructiveHint"]


def test_call_has_one_text_with_everything_in_it(simulator: Simulator, mcp: Mcp) -> None:
    arguments = {"service": "Haarschnitt", "when": f"am {DAY} um zehn"}

    answered = mcp.request("tools/call", {"name": "check_availability", "arguments": arguments}).json()["result"]

    assert [each["type"] for each in answered["content"]] == ["text"]
    assert answered["structuredContent"]["confirm_token"] in answered["content"][0]["text"]
    assert answered["isError"] is False


def test_problem_is_a_result_that_is_an_error(simulator: Simulator, mcp: Mcp) -> None:
    answered = mcp.request("tools/call", {"name": "check_availability", "arguments": {"service": "Mondfahrt"}})

    result = answered.json()["result"]
    assert (answered.status_code, result["isError"]) == (200, True)
    assert result["structuredContent"]["code"] == "service_unknown"


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ([rpc("ping")], -32600, 400),
        ({"jsonrpc": "2.0", "id": 1}, -32600, 400),
        ({"jsonrpc": "1.0", "id": 1, "method": "ping"}, -32600, 400),
        (rpc("resources/list"), -32601, 200),
        (rpc("tools/call", {"name": "no_such_tool"}), -32602, 200),
    ],
)
def test_wrong_message_gets_the_code_of_the_older_versions(mcp: Mcp, body: object, code: int, status: int) -> None:
    answered = mcp.post(body)

    assert (answered.json()["error"]["code"], answered.status_code) == (code, status)


def test_wrong_message_gets_the_status_of_the_newest_version(mcp: Mcp) -> None:
    unknown = mcp.request("resources/list")
    tool = mcp.request("tools/call", {"name": "no_such_tool"})

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, -32601)
    assert (tool.status_code, tool.json()["error"]["code"]) == (400, -32602)


def test_header_that_differs_from_the_body_is_refused(mcp: Mcp) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    call = {"name": "request_callback", "arguments": {"topic": "x"}, "_meta": meta}

    method = mcp.post(rpc("ping", {"_meta": meta}), mcp_protocol_version="2026-07-28", mcp_method="tools/list")
    version = mcp.post(rpc("ping", {"_meta": meta}), mcp_protocol_version="2025-11-25")
    name = mcp.post(rpc("tools/call", call), mcp_protocol_version="2026-07-28", mcp_name="cancel_appointment")

    assert [each.json()["error"]["code"] for each in (method, version, name)] == [-32020] * 3


def test_name_in_the_header_may_be_encoded(simulator: Simulator, mcp: Mcp) -> None:
    encoded = f"=?base64?{base64.b64encode(b'request_callback').decode()}?="
    params = {"name": "request_callback", "arguments": {"topic": "x"}}

    answered = mcp.request("tools/call", params, mcp_name=encoded)

    assert answered.status_code == 200


def test_version_that_does_not_exist_is_told_those_that_do(mcp: Mcp) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2199-01-01"}

    error = mcp.post(rpc("ping", {"_meta": meta})).json()["error"]

    assert error["code"] == -32022
    assert error["data"]["requested"] == "2199-01-01"


@pytest.mark.parametrize("authorization", ["", "Bearer sl_unknown_unknown_unknown", "Basic eDp5"])
def test_without_a_valid_key_the_message_is_in_the_body(salon: Salon, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}

    answered = Client().post("/mcp", rpc("tools/list"), content_type=JSON, headers=headers)

    assert (answered.status_code, answered["WWW-Authenticate"][:6]) == (401, "Bearer")
    assert answered.json()["error"]["code"] == -32001
    assert answered.json()["id"] is None


@pytest.mark.parametrize("method", ["get", "delete", "put"])
def test_other_methods_are_told_to_post(voice_key: AgentKey, method: str) -> None:
    answered = getattr(Client(), method)("/mcp")

    assert (answered.status_code, answered["Allow"]) == (405, "POST")


@pytest.mark.parametrize("address", ["/mcp", "/mcp/"])
def test_both_addresses_answer_without_a_redirect(voice_key: AgentKey, salon: Salon, address: str) -> None:
    headers = {"Authorization": f"Bearer {salon.key}"}

    assert Client().post(address, rpc("ping"), content_type=JSON, headers=headers).json()["result"] == {}


def test_page_of_another_origin_is_refused(mcp: Mcp) -> None:
    assert mcp.post(rpc("ping"), origin="https://elsewhere.example").status_code == 403
    assert mcp.post(rpc("ping"), origin="http://testserver").status_code == 200


def test_call_may_be_named_in_meta(simulator: Simulator, mcp: Mcp) -> None:
    mcp.call_id = mcp.number = ""
    meta = {"call_id": "from-meta", "caller_number": "+4915112345678"}

    told = mcp.post(rpc("tools/call", {"name": "request_callback", "arguments": {"topic": "x"}, "_meta": meta}))

    assert told.json()["result"]["structuredContent"]["ok"]
