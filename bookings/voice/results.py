"""What a model is told: one object of at most 2 kB, `spoken` first, with everything it needs for the next call."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone

from bookings.language import sentences
from bookings.voice.rest import Reply

LONGEST = 2_000  # bytes; Vapi caps tokens, and every byte is read by a model while a caller waits
_CALLBACK = "Say spoken, and offer request_callback: it works without the calendar."
_HINTS: Mapping[str, str] = {
    "pending": (
        "Say spoken and promise nothing. Call the same tool with the same arguments again after a few seconds: it tells"
        " the outcome and never acts twice. If the call ends before, the caller is called back if it fails."
    ),
    "awaiting_confirmation": (
        "Say spoken and promise nothing: a person has to confirm it, which may take hours. Do not wait for it."
    ),
    "held": "Say spoken. Once the caller agrees, call book_appointment with confirm_token.",
    "available": "Offer only these times. Then call hold_slot with the slot_token of the one the caller chooses.",
    "alternatives": "Offer only these times. Then call hold_slot with the slot_token of the one the caller chooses.",
    "none": "Say spoken. With more_token look further ahead; else ask for another service, or offer request_callback.",
    "degraded": "Cal.com could not be asked: promise nothing. Offer these times; hold the one the caller chooses.",
    "found": "Name only the one the caller means, then use its booking_id to reschedule or cancel.",
    "unknown": "Nothing is known: this does not mean that nothing is free. Try once more, then offer request_callback.",
    "upstream_unavailable": f"Nothing was changed. Try once more in a few seconds. If it fails again: {_CALLBACK}",
    "deadline_exceeded": f"Nothing was promised. Try once more. If it fails again: {_CALLBACK}",
    "idempotency_in_progress": "Call the same tool with the same arguments again: it gets the outcome of the first.",
    "temporarily_unavailable": f"Try once more in a few seconds, with the same arguments. Then: {_CALLBACK}",
    "rate_limited": f"Try once more in a few seconds. Then: {_CALLBACK}",
    "configuration_error": f"Do not try again: staff must put it right. {_CALLBACK}",
    "internal_error": f"Try once more with the same arguments. Then: {_CALLBACK}",
    "conversation_ended": "This call is over: nothing was done. Only request_callback still works.",
    "already_booked": (
        "Nothing was booked. To move the appointment that exists: find_my_appointments, then reschedule_appointment."
        " For another person send another phone or email."
    ),
    "cancel_not_allowed": "The appointment stands. Offer to move it, or request_callback.",
    "reschedule_not_allowed": "The appointment stands. Offer to keep it, to cancel it, or request_callback.",
    "hold_required": "Nothing was booked. Call hold_slot with its slot_token, say spoken, then book once agreed.",
    "hold_expired": "Nothing was booked. Call hold_slot with the same slot_token, or offer one of the offers.",
    "confirm_token_invalid": "Nothing was booked. Call hold_slot with a slot_token that was offered, then book.",
    "time_not_understood": "Ask what spoken says, then call again with the caller's words.",
    "time_ambiguous": "Ask what spoken says, then call again with the caller's answer in full.",
    "booking_not_found": "Call find_my_appointments, and use a booking_id from its answer.",
    "identity_mismatch": "Never say whether such an appointment exists. After three tries offer request_callback.",
    "request_invalid": "See errors: each names the parameter and what is wrong with it. Correct it and call again.",
    "scope_missing": "The key may not do this: tell the integrator. Offer request_callback.",
}
"""Where REST's hint names headers or addresses that a model does not see; by status or code."""


def told(reply: Reply) -> dict[str, object]:
    """Return what the model is told about an answer of the API."""
    body, language = reply.body, reply.language
    hold = body.get("hold") or (body if "confirm_token" in body else {})
    result = {
        "spoken": body.get("spoken") or hold.get("read_back") or "",
        "ok": bool(body.get("ok")),
        "status": "held" if hold.get("confirm_token") else body.get("status") if body.get("ok") else None,
        "code": body.get("code"),
        "confirm_token": hold.get("confirm_token"),
        "offers": _offers(body, language),
        "more_token": body.get("more_token"),
        "candidates": [_named(each) for each in body.get("candidates", ())],
        "bookings": [_booking(each, language) for each in body.get("bookings", ())],
        **_booked(body),
        "field": body.get("field"),
        "label": body.get("label"),
        "options": body.get("options"),
        "errors": body.get("errors"),
        "readings": body.get("readings") if body.get("code") == "phone_ambiguous" else None,
        "agent_hint": _hint(body, is_held=bool(hold.get("confirm_token"))),
        "replayed": body.get("replayed") or None,
    }
    return _fitted({name: value for name, value in result.items() if value is not None and value != []})


def text(result: Mapping[str, object]) -> str:
    """Return a result as JSON in one line."""
    return orjson.dumps(result).decode()


def _hint(body: Mapping[str, Any], *, is_held: bool) -> str:
    status = "held" if is_held else str(body.get("code") or body.get("status") or "")
    if status == "degraded" and not body.get("offers"):
        status = "unknown"
    return _HINTS.get(status) or str(body.get("agent_hint") or "")


def _offers(body: Mapping[str, Any], language: str) -> list[dict[str, object]]:
    found: Sequence[Mapping[str, Any]] = body.get("offers") or body.get("alternatives") or ()
    offers = []
    for option, each in enumerate(found, start=1):
        offer = {
            "option": option,
            "slot_token": each.get("slot_token"),
            "spoken": each.get("spoken") or spoken_time(each, language),
            "staff": each.get("staff"),
        }
        offers.append({name: value for name, value in offer.items() if value})
    return offers


def spoken_time(time: Mapping[str, Any], language: str) -> str:
    """Return a time as people say it: models read an instant aloud, digit by digit."""
    zone = ZoneInfo(time["time_zone"])
    start = datetime.fromisoformat(time["start"]).astimezone(zone)
    return sentences.one_time(start, timezone.now().astimezone(zone).date(), language)


def _named(candidate: Mapping[str, Any]) -> dict[str, object]:
    return {name: candidate[name] for name in ("id", "name", "branch") if candidate.get(name)}


def _booking(booking: Mapping[str, Any], language: str) -> dict[str, object]:
    service = booking.get("service") or {}
    return {
        "booking_id": booking["id"],
        "service": service.get("name"),
        "spoken": spoken_time(booking, language),
        "state": booking["state"],
        "reference": booking["reference"],
    }


def _booked(body: Mapping[str, Any]) -> dict[str, object]:
    """Return the one booking that an answer is about."""
    booking = body.get("booking")
    return {"booking_id": booking["id"], "reference": booking["reference"]} if booking else {}


def _fitted(result: dict[str, object]) -> dict[str, object]:
    """Return the result without the ends of its lists, and at last without its hint, until it is short enough."""
    while len(orjson.dumps(result)) > LONGEST:
        lists = [name for name, value in result.items() if isinstance(value, list) and value]
        if lists:
            longest = max(lists, key=lambda name: len(orjson.dumps(result[name])))
            result[longest] = result[longest][:-1]  # type: ignore[index]  # it is a list
        elif not result.pop("agent_hint", None):
            return {"spoken": str(result["spoken"])[:250], "ok": result["ok"]}
    return result
