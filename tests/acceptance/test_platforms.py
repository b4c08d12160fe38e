"""The platforms' own SDKs check definitions and answers, and what they sign is accepted."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.test import Client

from bookings.models import AgentKey
from bookings.voice.formats import definitions
from bookings.voice.tools import BY_NAME
from calcom.simulator import Simulator
from tests.acceptance.conftest import SECRET, Program
from tests.bookings.voice.said import DAY
from tests.factories import Salon

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/json"
ARGUMENTS = {"service": "Haarschnitt", "when": f"am {DAY} um zehn Uhr"}


def tools_of(platform: str) -> list[dict[str, Any]]:
    return definitions(platform, language="de", base_url="https://slotline.example", company="salon")


def test_retells_sdk_takes_the_definitions_and_signs_a_request(
    simulator: Simulator, voice_key: AgentKey, run_client: Program
) -> None:
    call = {"call_id": "call_1", "from_number": "+4915112345678", "direction": "inbound"}
    body = json.dumps({"name": "check_availability", "call": call, "args": ARGUMENTS}, ensure_ascii=False)

    made = run_client("retell_sdk.py", "retell", tools=tools_of("retell"), body=body, secret=SECRET)
    answered = Client().generic(
        "POST", "/adapters/retell/salon/fn", body.encode(), JSON, headers={"X-Retell-Signature": made["signature"]}
    )

    assert made["checked"] == list(BY_NAME)
    assert made["verified"]
    assert answered.json()["status"] == "held"


def test_vapis_sdk_takes_the_definitions_writes_a_request_and_reads_the_answer(
    simulator: Simulator, voice_key: AgentKey, salon: Salon, run_client: Program
) -> None:
    made = run_client("vapi_sdk.py", "vapi", tools=tools_of("vapi"), arguments=ARGUMENTS)
    headers = {"Authorization": f"Bearer {salon.key}"}

    answered = Client().post("/adapters/vapi/salon", made["message"], content_type=JSON, headers=headers).json()

    assert made["checked"] == list(BY_NAME)
    assert json.loads(answered["results"][0]["result"])["status"] == "held"
    run_client("vapi_sdk.py", "vapi", answer=answered)


def test_elevenlabs_sdk_takes_the_definitions_and_the_signature_that_is_accepted(
    voice_key: AgentKey, run_client: Program
) -> None:
    event: dict[str, Any] = {"type": "post_call_transcription", "data": {"conversation_id": "none"}}
    body, stamp = json.dumps(event), int(time.time())
    signature = f"t={stamp},v0={hmac.new(SECRET.encode(), f'{stamp}.{body}'.encode(), hashlib.sha256).hexdigest()}"

    tools = tools_of("elevenlabs")
    made = run_client("elevenlabs_sdk.py", "elevenlabs", tools=tools, body=body, signature=signature, secret=SECRET)
    answered = Client().generic(
        "POST", "/adapters/elevenlabs/salon/events", body.encode(), JSON, headers={"ElevenLabs-Signature": signature}
    )

    assert made == {"checked": list(BY_NAME), "event": "post_call_transcription"}
    assert answered.status_code == 200
