"""The same phone call by two voice platforms, in German words: signed as Retell signs, and over MCP."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import date
from itertools import count
from typing import Any

from calcom.simulator import SimulatorClient
from script.lib.agent import Agent, Answer
from script.lib.call import BOOK, CANCEL, SETTLED_WITHIN, Line, Transcript
from script.lib.processes import HarnessError

MONTHS = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
CALLER = "+4915187654321"
Told = dict[str, Any]
CallTool = Callable[[Agent, str, dict[str, str]], tuple[Answer, Told]]


def play(*, url: str, salon_key: str, simulator: SimulatorClient, tuesday: date) -> None:
    """
    Play the call by each platform.

    Raises:
        HarnessError: something went otherwise than promised; the message lists what.
    """
    transcript = Transcript(simulator)
    day = f"am Dienstag, dem {tuesday.day}. {MONTHS[tuesday.month - 1]}"
    for platform, call_tool, said in (
        ("Retell", _retell(salon_key), f"{day}, um halb zwölf"),
        ("MCP", _mcp(), f"{day} um Viertel nach zwei, nein, um drei"),
    ):
        with Agent(url, salon_key) as agent:
            _call(transcript, platform, agent, call_tool, said)
    if transcript.complaints:
        raise HarnessError("The call was not as it should be:\n  " + "\n  ".join(transcript.complaints))


def _call(transcript: Transcript, platform: str, agent: Agent, call_tool: CallTool, said: str) -> None:
    transcript.say("Karl", f"Bartpflege, bitte, {said}.")
    with transcript.line(
        f"{platform}: check_availability", calcom=("GET /v2/slots",) if platform == "Retell" else ()
    ) as line:
        held = _told(line, call_tool, agent, "check_availability", service="Bartpflege, bitte", when=said)
    transcript.note(held["spoken"])
    transcript.expect(held.get("status") == "held", f"The time should be held: {held}")

    transcript.say("Karl", "Ja, gern. Karl Weber.")
    confirm = {"confirm_token": held.get("confirm_token", ""), "name": "Karl Weber"}
    with transcript.line(f"{platform}: book_appointment", calcom=(BOOK,)) as line:
        booked = _settled(line, call_tool, agent, "book_appointment", **confirm)
    transcript.note(booked["spoken"])
    transcript.expect(booked.get("status") == "confirmed", f"It should be booked: {booked}")

    transcript.say("Karl", "Moment, da kann ich doch nicht. Bitte wieder absagen.")
    with transcript.line(f"{platform}: find_my_appointments") as line:
        found = _told(line, call_tool, agent, "find_my_appointments")
    (mine, *_) = found.get("bookings") or [{}]
    with transcript.line(f"{platform}: cancel_appointment", calcom=(CANCEL,)) as line:
        cancelled = _settled(line, call_tool, agent, "cancel_appointment", booking_id=mine.get("booking_id", ""))
    transcript.note(cancelled["spoken"])
    transcript.expect(cancelled.get("status") == "cancelled", f"It should be cancelled: {cancelled}")


def _settled(line: Line, call_tool: CallTool, agent: Agent, tool: str, **arguments: str) -> Told:
    """Call the tool until its outcome is known, as its hint tells the model to."""
    until = time.monotonic() + SETTLED_WITHIN
    while (told := _told(line, call_tool, agent, tool, **arguments)).get("status") == "pending":
        if time.monotonic() > until:
            raise HarnessError(f"{tool} has not come to an end within {SETTLED_WITHIN:.0f} s.")
        time.sleep(0.5)
    return told


def _told(line: Line, call_tool: CallTool, agent: Agent, tool: str, **arguments: str) -> Told:
    answer, told = call_tool(agent, tool, arguments)
    line.got(answer)
    return told


def _retell(secret: str) -> CallTool:
    call = {"call_id": f"demo-{time.time_ns()}", "call_type": "phone_call", "from_number": CALLER}

    def call_tool(agent: Agent, tool: str, arguments: dict[str, str]) -> tuple[Answer, Told]:
        body = {"name": tool, "call": call, "args": arguments}
        stamp = str(time.time_ns() // 1_000_000)
        digest = hmac.new(secret.encode(), (json.dumps(body) + stamp).encode(), hashlib.sha256).hexdigest()
        answer = agent.post("/adapters/retell/salon/fn", body, X_Retell_Signature=f"v={stamp},d={digest}")
        return answer, answer.body

    return call_tool


def _mcp() -> CallTool:
    call_id, ids = f"demo-{time.time_ns()}", count(1)

    def call_tool(agent: Agent, tool: str, arguments: dict[str, str]) -> tuple[Answer, Told]:
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": next(ids), "method": "tools/call", "params": params}
        answer = agent.post("/mcp", body, MCP_Protocol_Version="2026-07-28", X_Call_Id=call_id, X_Caller_Id=CALLER)
        return answer, json.loads(answer.body["result"]["content"][0]["text"])

    return call_tool
