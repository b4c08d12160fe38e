"""Retell: custom functions, the hook before an inbound call, and events of a call. All are signed."""

import time
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from bookings.models import AgentKey
from bookings.voice import call_events, envelope, signatures
from bookings.voice.calls import Call
from bookings.voice.envelope import Malformed, adapter, member, text_of

HEADER = "X-Retell-Signature"
_ENDED = frozenset({"call_ended", "call_analyzed"})


@adapter
def function(request: HttpRequest, company: str) -> HttpResponse:
    """Run a tool. Call and caller come from the envelope; with args_at_root there is none, so that is refused."""
    body, key = _verified(request, company)
    data = envelope.parsed(body)
    name, call = text_of(data, "name"), member(data, "call")
    if not name or not call:
        raise Malformed("name and call are missing: switch off 'Payload: args only' (args_at_root) of the function.")
    told = envelope.once(
        request.headers[HEADER],
        lambda: envelope.tool_answer(name, data.get("args"), call=_call(call), key=key, request=request),
    )
    return envelope.flat_answer(told)


@adapter
def inbound(request: HttpRequest, company: str) -> HttpResponse:
    """Answer with what the agent needs before it says a word, as dynamic variables."""
    body, key = _verified(request, company)
    call = _call(member(envelope.parsed(body), "call_inbound"))
    variables = call_events.start(call, key=key, environ=request.META)
    return JsonResponse({"call_inbound": {"dynamic_variables": variables, "metadata": {}}})


@adapter
def events(request: HttpRequest, company: str) -> HttpResponse:
    """End the conversation when the call has ended, and compare what was said with what was booked."""
    body, key = _verified(request, company)
    data = envelope.parsed(body)
    call = member(data, "call")
    if text_of(data, "event") in _ENDED:
        call_events.end(_call(call), key=key, report=_report(call))
    return JsonResponse({"ok": True})


def _verified(request: HttpRequest, company: str) -> tuple[bytes, AgentKey]:
    body, header, now = envelope.raw_body(request), request.headers.get(HEADER, ""), time.time()
    key = envelope.key_that_signed(
        request, company, "retell", lambda secret: signatures.is_retell(secret["secret"], body, header, now=now)
    )
    return body, key


def _call(call: dict[str, Any]) -> Call:
    return Call(
        platform="retell",
        call_id=text_of(call, "call_id"),
        caller_number=text_of(call, "to_number" if call.get("direction") == "outbound" else "from_number"),
        called_number=text_of(call, "from_number" if call.get("direction") == "outbound" else "to_number"),
    )


def _report(call: dict[str, Any]) -> call_events.Report:
    """Return what Retell says of a call that is over; its analysis is made by a model, its times are not."""
    analysis, cost = member(call, "call_analysis"), member(call, "call_cost")
    return call_events.Report(
        duration_ms=call.get("duration_ms"),
        cost_cents=cost.get("combined_cost"),
        analysis=member(analysis, "custom_analysis_data"),
        transcript=text_of(call, "transcript"),
    )
