"""The definitions hold what every platform keeps of a schema, and name nothing that a platform refuses."""

import json
import re
from typing import Any

import pytest
from django.core.management import call_command

from bookings.api.problem_catalog import PROBLEMS
from bookings.voice import results
from bookings.voice.formats import FORMATS, definitions, schema
from bookings.voice.rest import Reply
from bookings.voice.tools import PROMPTS, TOOLS, Tool
from tests.agent import Agent
from tests.factories import Salon

RESERVED = frozenset(
    [
        "input",
        "speak",
        "transfer",
        "switch",
        "wait",
        "finish",
        "press",
        "button",
        "say",
        "pause",
        "record",
        "play",
        "dial",
        "hang",
    ]
)
NOT_FOR_MODELS = re.compile(r"/v1/|Retry-After|Prefer:|Idempotency-Key|[A-Z]+ /")


def defined(platform: str, language: str = "de") -> list[dict[str, Any]]:
    return definitions(platform, language=language, base_url="https://slotline.example", company="salon")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_tool_is_flat_named_and_described(tool: Tool) -> None:
    parameters = schema(tool)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool.name)
    assert not RESERVED & set(tool.name.split("_"))
    assert len(tool.parameters) <= 6
    assert all(
        each == {"type": "string", "description": each["description"]} for each in parameters["properties"].values()
    )
    assert set(parameters["required"]) <= set(parameters["properties"])
    assert set(tool.filler) == set(PROMPTS)


def test_openai_strict_schema_requires_all_and_lets_optional_ones_be_null() -> None:
    for tool in defined("openai"):
        parameters = tool["parameters"]
        assert (tool["strict"], parameters["additionalProperties"]) == (True, False)
        assert parameters["required"] == list(parameters["properties"])
    (check, *_) = defined("openai")
    assert check["parameters"]["properties"]["staff"]["type"] == ["string", "null"]
    assert check["parameters"]["properties"]["service"]["type"] == "string"


@pytest.mark.parametrize("platform", FORMATS)
@pytest.mark.parametrize("language", PROMPTS)
def test_definitions_name_all_tools_in_order_and_are_json(platform: str, language: str) -> None:
    written = json.loads(json.dumps(defined(platform, language)))

    names = [each.get("name") or each["function"]["name"] for each in written]
    assert names == [tool.name for tool in TOOLS]


@pytest.mark.parametrize("platform", ["retell", "vapi", "elevenlabs", "bland"])
def test_webhook_definitions_have_retries_off_and_end_after_ours(platform: str) -> None:
    text = json.dumps(defined(platform))

    assert "https://slotline.example/adapters/" in text
    assert '"max_retry": 0' in text or platform != "retell"
    assert re.search(r'"(timeout_ms|timeoutSeconds|response_timeout_secs|timeout)": (6000|6)\b', text)


def test_elevenlabs_does_not_let_the_caller_interrupt_a_write() -> None:
    by_name = {tool["name"]: tool["interruption_mode"] for tool in defined("elevenlabs")}

    assert by_name["check_availability"] == "allow"
    assert by_name["book_appointment"] == "disable_during_tool"


def test_tools_are_served_with_the_addresses_of_this_installation(salon: Salon) -> None:
    answered = Agent(salon.key).get("tools", {"format": "retell", "language": "en"})

    assert answered.json()["tools"][0]["url"] == "http://testserver/adapters/retell/salon/fn"
    assert answered.json()["tools"][0]["execution_message_description"] == "Let me check."
    assert "confirmed" in answered.json()["prompt"]


def test_unknown_format_is_refused_with_those_that_exist(salon: Salon) -> None:
    refused = Agent(salon.key).get("tools", {"format": "fax"})

    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert "elevenlabs" in refused.content.decode()


def test_command_writes_what_is_served(salon: Salon, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("export_tools", "vapi", "--language", "en", "--base-url", "http://testserver/", "--company", "salon")

    served = Agent(salon.key).get("tools", {"format": "vapi", "language": "en"}).json()["tools"]
    assert json.loads(capsys.readouterr().out) == served


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_hint_of_a_problem_names_nothing_a_model_cannot_see(code: str) -> None:
    reply = Reply({"ok": False, "code": code, "spoken": "x", "agent_hint": PROBLEMS[code].hint}, "de")

    hint = str(results.told(reply).get("agent_hint", ""))

    assert code in {"unauthorized", "idempotency_key_required", "idempotency_key_reused"} or not NOT_FOR_MODELS.search(
        hint
    )
