"""Vapi: server messages. One URL takes tool calls, the request for an assistant, and the report when a call is over."""

import time
from dataclasses import fields
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from bookings.models import AgentKey
from bookings.voice import call_events, envelope, results, signatures
from bookings.voice.calls import Call
from bookings.voice.envelope import adapter, member, text_of

SECRET_HEADER = "X-Vapi-Secret"  # noqa: S105  its name
_PLAN = frozenset(each.name for each in fields(signatures.VapiPlan))


@adapter
def message(request: HttpRequest, company: str) -> HttpResponse:
    """Answer a server message; those that ask nothing are taken note of."""
    body = envelope.raw_body(request)
    key, signature = _authenticated(request, company, body)
    said = member(envelope.parsed(body), "message")
    call, kind = _call(said), text_of(said, "type")
    if kind == "tool-calls":

        def produce() -> dict[str, object]:
            return {"results": [_result(each, call, key, request) for each in _tool_calls(said)]}

        return JsonResponse(envelope.once(signature, produce) if signature else produce())
    if kind == "assistant-request":
        variables = call_events.start(call, key=key, environ=request.META)
        return JsonResponse({"assistantOverrides": {"variableValues": variables}})
    if kind == "end-of-call-report":
        call_events.end(call, key=key, report=_report(said))
    return JsonResponse({"ok": True})


def _authenticated(request: HttpRequest, company: str, body: bytes) -> tuple[AgentKey, str]:
    """Return the key shown as bearer or in the old header; or the one whose secret signed, and the signature."""
    if old := request.headers.get(SECRET_HEADER):
        request.META["HTTP_AUTHORIZATION"] = f"Bearer {old}"
    if request.META.get("HTTP_AUTHORIZATION"):
        return envelope.key_shown(request, company), ""
    headers = {name.lower(): value for name, value in request.headers.items()}
    url, now = request.build_absolute_uri(), time.time()
    accepted: list[str] = []

    def is_signed(secret: Any) -> bool:
        plan = signatures.VapiPlan(**{name: value for name, value in secret.items() if name in _PLAN})
        accepted.append(headers.get(plan.signature_header, ""))
        return signatures.is_vapi(plan, body, headers, method="POST", url=url, now=now)

    key = envelope.key_that_signed(request, company, "vapi", is_signed)
    return key, accepted[-1]


def _call(said: dict[str, Any]) -> Call:
    call = member(said, "call")
    customer = member(said, "customer") or member(call, "customer")
    number = member(said, "phoneNumber") or member(call, "phoneNumber")
    return Call(
        platform="vapi",
        call_id=text_of(call, "id"),
        caller_number=text_of(customer, "number") or text_of(customer, "sipUri"),
        called_number=text_of(number, "number"),
    )


def _tool_calls(said: dict[str, Any]) -> list[dict[str, Any]]:
    found = said.get("toolCallList") or said.get("toolCalls") or []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _result(tool_call: dict[str, Any], call: Call, key: AgentKey, request: HttpRequest) -> dict[str, object]:
    """Return the result of one call. The SDK has the arguments as JSON text, guides show two forms of an object."""
    function = member(tool_call, "function") or tool_call
    name = text_of(function, "name")
    arguments: object = next((function[each] for each in ("arguments", "parameters") if each in function), {})
    try:
        told = results.text(envelope.tool_answer(name, arguments, call=call, key=key, request=request))
    except envelope.Malformed as exc:
        told = results.text({"spoken": "", "ok": False, "code": "request_malformed", "agent_hint": str(exc)})
    return {"toolCallId": text_of(tool_call, "id"), "name": name, "result": told}


def _report(said: dict[str, Any]) -> call_events.Report:
    analysis, artifact, cost = member(said, "analysis"), member(said, "artifact"), said.get("cost")
    seconds = said.get("durationSeconds")
    return call_events.Report(
        duration_ms=seconds * 1000 if isinstance(seconds, int | float) else said.get("durationMs"),
        cost_cents=cost * 100 if isinstance(cost, int | float) else None,
        analysis=member(analysis, "structuredData"),
        transcript=text_of(artifact, "transcript") or text_of(said, "transcript"),
    )
