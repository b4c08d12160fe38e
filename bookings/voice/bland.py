"""Bland: custom tools (with a key), and the webhook after a call (signed)."""

from django.http import HttpRequest, HttpResponse, JsonResponse

from bookings.voice import call_events, envelope, signatures
from bookings.voice.calls import Call
from bookings.voice.envelope import adapter, member, text_of

HEADER = "X-Webhook-Signature"


@adapter
def tool(request: HttpRequest, company: str, tool: str) -> HttpResponse:
    """Run a tool; its arguments are the body, call and caller come in headers that Bland fills in."""
    return envelope.answer_by_headers(request, company, tool, "bland")


@adapter
def events(request: HttpRequest, company: str) -> HttpResponse:
    """End the conversation of a call that is over. The signature has no time: a repeat changes nothing."""
    body, header = envelope.raw_body(request), request.headers.get(HEADER, "")
    key = envelope.key_that_signed(
        request, company, "bland", lambda secret: signatures.is_bland(secret["secret"], body, header)
    )
    data = envelope.parsed(body)
    if data.get("completed") is True:
        minutes, price = data.get("call_length"), data.get("price")
        report = call_events.Report(
            duration_ms=minutes * 60_000 if isinstance(minutes, int | float) else None,
            cost_cents=price * 100 if isinstance(price, int | float) else None,
            analysis=member(data, "analysis"),
            transcript=text_of(data, "concatenated_transcript"),
        )
        call_events.end(Call(platform="bland", call_id=text_of(data, "call_id")), key=key, report=report)
    return JsonResponse({"ok": True})
