"""Clients of the Model Context Protocol find, hold, book, reschedule and cancel without a change on their side."""

from typing import Any

import pytest

from bookings.models import Appointment, AppointmentState
from bookings.voice.tools import TOOLS
from calcom.simulator import Simulator
from tests.acceptance.conftest import Program
from tests.factories import ANNA, at

pytestmark = pytest.mark.django_db(transaction=True)


def is_whole_call(told: dict[str, Any], simulator: Simulator) -> None:
    assert [told[step]["status"] for step in ("held", "booked", "again", "moved", "cancelled")] == [
        "held", "confirmed", "confirmed", "confirmed", "cancelled",
    ]  # fmt: skip
    assert told["again"]["replayed"]
    assert simulator.count("POST /v2/bookings") == 1
    appointment = Appointment.objects.exclude(state=AppointmentState.EXPIRED).get()
    assert (appointment.start, appointment.attendee_phone) == (at(11), ANNA.phone)


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
def test_sdk_of_the_protocol_plays_a_call(
    simulator: Simulator, call: dict[str, Any], run_client: Program, mode: str
) -> None:
    told = run_client("mcp_client.py", "mcp", mode=mode, **call)

    is_whole_call(told, simulator)
    assert told["tools"]["names"] == [tool.name for tool in TOOLS]
    assert told["refused"]["code"] == "service_unknown"


def test_fastmcp_plays_a_call(simulator: Simulator, call: dict[str, Any], run_client: Program) -> None:
    call["headers"].pop("Authorization")  # it makes the header of the key itself

    told = run_client("fastmcp_client.py", "fastmcp", **call)

    is_whole_call(told, simulator)


def test_openai_agent_books_with_what_its_model_saw(
    simulator: Simulator, call: dict[str, Any], run_client: Program
) -> None:
    told = run_client("openai_agent.py", "agents", **call)

    is_whole_call(told, simulator)
    assert told["last"]["spoken"] == told["cancelled"]["spoken"]


def test_livekit_session_books_with_what_its_model_saw(
    simulator: Simulator, call: dict[str, Any], run_client: Program
) -> None:
    told = run_client("livekit_agent.py", "livekit.agents", **call)

    is_whole_call(told, simulator)


def test_calendar_of_livekits_front_desk_is_filled_by_rest(
    simulator: Simulator, call: dict[str, Any], run_client: Program
) -> None:
    call["service"] = "Haarschnitt"

    told = run_client("livekit_front_desk.py", "livekit.agents", **call)

    assert told["booked"]["status"] == "confirmed"
    assert told["again"]["replayed"]
    assert Appointment.objects.get().state == AppointmentState.CONFIRMED


def test_pipecat_plays_a_call(simulator: Simulator, call: dict[str, Any], run_client: Program) -> None:
    told = run_client("pipecat_client.py", "pipecat", **call)

    is_whole_call(told, simulator)
