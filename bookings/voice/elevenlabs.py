"""ElevenLabs: webhook tools and the start of a conversation (both with a key), and the event after it (signed)."""

import time
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from bookings.voice import call_events, envelope, signatures
from bookings.voice.calls import Call
from bookings.voice.envelope import adapter, member, text_of

HEADER = "ElevenLabs-Signature"


@adapter
def tool(request: HttpRequest, company: str, tool: str) -> HttpResponse:
    """Run a tool; its arguments are the body. There is no envelope: call and caller come in headers."""
    return envelope.answer_by_headers(request, company, tool, "elevenlabs")


@adapter
def initiation(request: HttpRequest, company: str) -> HttpResponse:
    """Answer with what the agent needs before it says a word, as dynamic variables."""
    key = envelope.key_shown(request, company)
    data = envelope.parsed(envelope.raw_body(request))
    call = Call(
        platform="elevenlabs",
        call_id=text_of(data, "conversation_id"),
        caller_number=text_of(data, "caller_id"),
        called_number=text_of(data, "called_number"),
    )
    variables = call_events.start(call, key=key, environ=request.META)
    return JsonResponse({"type": "conversation_initiation_client_data", "dynamic_variables": variables})


@adapter
def events(request: HttpRequest, company: str) -> HttpResponse:
    """End the conversation after a post-call event, and compare what was said with what was booked."""
    body, header, now = envelope.raw_body(request), request.headers.get(HEADER, ""), time.time()
    key = envelope.key_that_signed(
        request, company, "elevenlabs", lambda secret: signatures.is_elevenlabs(secret["secret"], body, header, now=now)
    )
    event = envelope.parsed(body)
    data = member(event, "data")
    if text_of(event, "type") == "post_call_transcription":
        call = Call(platform="elevenlabs", call_id=text_of(data, "conversation_id"))
        call_events.end(call, key=key, report=_report(data))
    return JsonResponse({"ok": True})


def _report(data: dict[str, Any]) -> call_events.Report:
    metadata, analysis = member(data, "metadata"), member(data, "analysis")
    seconds, turns = metadata.get("call_duration_secs"), data.get("transcript")
    collected = {
        name: found.get("value")
        for name, found in member(analysis, "data_collection_results").items()
        if isinstance(found, dict)
    }
    said = (
        [f"{text_of(turn, 'role')}: {text_of(turn, 'message')}" for turn in turns if isinstance(turn, dict)]
        if isinstance(turns, list)
        else []
    )
    return call_events.Report(
        duration_ms=seconds * 1000 if isinstance(seconds, int | float) else None,
        cost_cents=None,  # it is told in credits
        analysis=collected,
        transcript="\n".join(said),
    )
