"""Each platform's envelope: what it sends is understood; what it must not send is refused and writes nothing."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from bookings.models import AgentKey, Appointment, CallbackRequest, Conversation, ToolCall
from bookings.voice import envelope
from calcom.simulator import Simulator
from tests.bookings.voice.platforms import JSON, Mcp, Retell
from tests.bookings.voice.said import DAY, check_body
from tests.factories import ANNA, Practice, Salon

pytestmark = pytest.mark.django_db(transaction=True)


def post(address: str, body: object, **headers: str) -> HttpResponse:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return Client().post(address, body, content_type=JSON, headers=sent)


# --- Retell --------------------------------------------------------------------------------------------------------


def test_retell_request_repeated_with_its_signature_gets_the_same_answer(simulator: Simulator, retell: Retell) -> None:
    raw = json.dumps(check_body(retell.call)).encode()
    signature = retell.sign(raw)

    first, again = (retell.send_raw("fn", raw, signature) for _ in range(2))

    assert first.content == again.content
    assert ToolCall.objects.count() == 1


@pytest.mark.parametrize("wrong", ["", "v=1,d=0", "nonsense"])
def test_retell_wrong_signature_writes_nothing(retell: Retell, wrong: str) -> None:
    refused = retell.send("fn", check_body(retell.call), signature=wrong)

    assert (refused.status_code, refused.json()["code"]) == (401, "signature_invalid")
    assert not Conversation.objects.exists()


def test_retell_unknown_company_looks_like_a_wrong_signature(retell: Retell) -> None:
    retell.company = "no-such-company"

    unknown = retell.send("fn", check_body(retell.call))
    retell.company = "salon"
    wrong = retell.send("fn", check_body(retell.call), signature="v=1,d=0")

    assert (unknown.status_code, unknown.json()["detail"]) == (wrong.status_code, wrong.json()["detail"])


def test_retell_arguments_at_root_are_refused_with_what_to_change(retell: Retell) -> None:
    refused = retell.send("fn", {"service": "Haarschnitt"})

    assert refused.status_code == 400
    assert "args_at_root" in refused.json()["detail"]


def test_retell_unknown_tool_is_refused_with_those_that_exist(retell: Retell) -> None:
    refused = retell.send("fn", {"name": "move_appointment", "call": retell.call, "args": {}})

    assert refused.status_code == 400
    assert "reschedule_appointment" in refused.json()["detail"]


def test_second_secret_is_valid_while_the_first_is_replaced(
    simulator: Simulator, voice_key: AgentKey, retell: Retell
) -> None:
    voice_key.add_secret("retell", secret="new")
    voice_key.save()
    old_works = retell.send("fn", check_body(retell.call)).status_code
    voice_key.add_secret("retell", secret="newest")
    voice_key.save()
    envelope.clear_keys()

    assert old_works == 200
    assert retell.send("fn", check_body(retell.call)).status_code == 401
    assert Retell("salon", "new", call_id="2").tool("check_availability", service="Haarschnitt")["ok"]


def test_signature_of_a_revoked_key_is_refused(voice_key: AgentKey, retell: Retell) -> None:
    voice_key.revoked_at = voice_key.created_at
    voice_key.save()

    assert retell.send("fn", check_body(retell.call)).status_code == 401


def test_many_wrong_signatures_from_one_address_are_throttled(retell: Retell) -> None:
    statuses = [retell.send("fn", {}, signature=f"v={n},d=0").status_code for n in range(65)]

    assert (statuses[0], statuses[-1]) == (401, 429)


def test_retell_inbound_hook_answers_with_what_the_prompt_needs(
    simulator: Simulator, retell: Retell, salon: Salon
) -> None:
    salon.branch.opening_hours = {}  # always open
    salon.branch.transfer_phone = "+493011111111"
    salon.branch.save()

    answered = retell.send("inbound", {"event": "call_inbound", "call_inbound": retell.call}).json()
    variables = answered["call_inbound"]["dynamic_variables"]

    assert all(isinstance(value, str) for value in variables.values())
    assert "Haircut" in variables["services"]
    assert variables["today"].startswith("heute")
    assert variables["transfer_number"] == "+493011111111"
    assert Conversation.objects.get().call_id == "call_1"


# --- Vapi ----------------------------------------------------------------------------------------------------------


def vapi_message(*tool_calls: dict[str, Any], kind: str = "tool-calls", **more: Any) -> dict[str, Any]:
    call = {"call": {"id": "c-77"}, "customer": {"number": ANNA.phone}, "phoneNumber": {"number": "+493012345678"}}
    return {"message": {"type": kind, "toolCallList": list(tool_calls), **call, **more}}


ARGUMENTS = {"service": "Haarschnitt", "when": f"am {DAY} um zehn Uhr"}
FORMS = [
    {"id": "t1", "type": "function", "function": {"name": "check_availability", "arguments": json.dumps(ARGUMENTS)}},
    {"id": "t1", "name": "check_availability", "arguments": ARGUMENTS},
    {"id": "t1", "name": "check_availability", "parameters": ARGUMENTS},
]


@pytest.mark.parametrize("form", FORMS)
def test_vapi_tool_call_is_answered_in_each_of_its_forms(
    simulator: Simulator, voice_key: AgentKey, salon: Salon, form: dict[str, Any]
) -> None:
    answered = post("/adapters/vapi/salon", vapi_message(form), Authorization=f"Bearer {salon.key}")
    (result,) = answered.json()["results"]

    assert (result["toolCallId"], result["name"]) == ("t1", "check_availability")
    assert json.loads(result["result"])["status"] == "held"
    assert "\n" not in result["result"]
    assert Conversation.objects.get().caller_phone == ANNA.phone


def test_vapi_several_calls_are_answered_in_order_and_a_wrong_one_does_not_hide_the_others(
    simulator: Simulator, voice_key: AgentKey, salon: Salon
) -> None:
    message = vapi_message({"id": "t0", "name": "no_such_tool"}, FORMS[1])

    results = post("/adapters/vapi/salon", message, X_Vapi_Secret=salon.key).json()["results"]

    assert [each["toolCallId"] for each in results] == ["t0", "t1"]
    assert [json.loads(each["result"])["ok"] for each in results] == [False, True]


def test_vapi_signature_of_the_plan_is_accepted_once(simulator: Simulator, voice_key: AgentKey) -> None:
    raw, stamp = json.dumps(vapi_message(FORMS[0])).encode(), str(int(time.time()))
    signature = hmac.new(b"key_of_retell", f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
    headers = {"X-Signature": signature, "X-Timestamp": stamp}

    answers = [Client().generic("POST", "/adapters/vapi/salon", raw, JSON, headers=headers) for _ in range(2)]

    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert ToolCall.objects.count() == 1


def test_vapi_assistant_request_gets_variables(simulator: Simulator, voice_key: AgentKey, salon: Salon) -> None:
    asked = vapi_message(kind="assistant-request")

    answered = post("/adapters/vapi/salon", asked, Authorization=f"Bearer {salon.key}").json()

    assert answered["assistantOverrides"]["variableValues"]["branch"] == "Mitte"


def test_vapi_other_message_is_taken_note_of(voice_key: AgentKey, salon: Salon) -> None:
    answered = post("/adapters/vapi/salon", vapi_message(kind="status-update"), Authorization=f"Bearer {salon.key}")

    assert answered.status_code == 200
    assert not Conversation.objects.exists()


# --- ElevenLabs and Bland ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ["elevenlabs", "bland"])
def test_tool_by_headers_knows_call_and_caller(
    simulator: Simulator, voice_key: AgentKey, salon: Salon, platform: str
) -> None:
    headers = {"X_Call_Id": "conv_1", "X_Caller_Id": str(ANNA.phone), "Authorization": f"Bearer {salon.key}"}

    told = post(f"/adapters/{platform}/salon/check_availability", ARGUMENTS, **headers).json()

    assert told["status"] == "held"
    conversation = Conversation.objects.get()
    assert (conversation.platform, conversation.call_id) == (platform, "conv_1")
    assert conversation.caller_phone == ANNA.phone


@pytest.mark.parametrize("unfilled", ["", "{{call_id}}", "null"])
def test_header_that_was_not_filled_in_names_no_call(
    simulator: Simulator, voice_key: AgentKey, salon: Salon, unfilled: str
) -> None:
    headers = {"X_Call_Id": unfilled, "Authorization": f"Bearer {salon.key}"}

    told = post("/adapters/bland/salon/check_availability", ARGUMENTS, **headers).json()

    assert told["ok"]
    assert not Conversation.objects.exists()


def test_key_of_another_company_does_not_open_the_address(
    voice_key: AgentKey, practice: Practice, salon: Salon
) -> None:
    refused = post(
        "/adapters/elevenlabs/salon/request_callback", {"topic": "x"}, Authorization=f"Bearer {practice.key}"
    )

    assert refused.status_code == 401
    assert not CallbackRequest.objects.exists()


def test_elevenlabs_initiation_has_the_type_that_it_expects(
    simulator: Simulator, voice_key: AgentKey, salon: Salon
) -> None:
    body = {"caller_id": ANNA.phone, "agent_id": "a", "called_number": "+493012345678", "call_sid": "CA1"}

    answered = post("/adapters/elevenlabs/salon/initiation", body, Authorization=f"Bearer {salon.key}").json()

    assert answered["type"] == "conversation_initiation_client_data"
    assert answered["dynamic_variables"]["branch"] == "Mitte"


# --- what is wrong with a request itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"[1]", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400),
        (b"\xff\xfe", 400),
        (b" " * (envelope.LONGEST_BODY + 1), 413),
    ],
)
def test_hostile_body_gets_its_code_and_writes_nothing(retell: Retell, raw: bytes, status: int) -> None:
    refused = retell.send_raw("fn", raw, retell.sign(raw))

    assert refused.status_code == status
    assert not Conversation.objects.exists()


def test_body_larger_than_the_api_takes_is_read(simulator: Simulator, retell: Retell) -> None:
    body = check_body(retell.call | {"transcript": "la " * 700_000})

    assert retell.send("fn", body).status_code == 200


@pytest.mark.parametrize("address", ["/adapters/retell/salon/fn", "/adapters/vapi/salon", "/adapters/bland/salon/x"])
def test_other_methods_are_refused(db: None, address: str) -> None:
    refused = Client().get(address)

    assert (refused.status_code, refused["Allow"]) == (405, "POST")


def test_text_of_the_model_never_becomes_the_caller(simulator: Simulator, mcp: Mcp) -> None:
    mcp.number = ""
    held = mcp.tool("check_availability", **ARGUMENTS, caller_number="+4915187654321", conversation_id="cv_X")
    mcp.tool("book_appointment", confirm_token=held["confirm_token"], name="Karl", caller_phone="+4915187654321")

    assert Appointment.objects.get().attendee_phone is None
