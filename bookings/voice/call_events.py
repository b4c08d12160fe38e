"""A call begins: what the agent needs before it says a word. A call is over: what the platform tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from django.utils import timezone

from bookings.api import wire
from bookings.language.told_booked import told_booked
from bookings.models import AgentKey, Conversation
from bookings.scheduling import call_outcome
from bookings.scheduling.call_outcome import CallReport
from bookings.voice import calls, rest, results
from bookings.voice.calls import Call
from bookings.voice.hand_over import hand_over

log = structlog.get_logger(__name__)

START_WAIT_S = 1.0
_LONGEST_CALL_MS = 86_400_000
_BOOKED_NAMES = frozenset(
    {"booked", "appointment_booked", "booking_made", "booking_confirmed", "appointment_confirmed", "is_booked"}
)
_YES = frozenset({"true", "yes", "ja", "1", "booked", "gebucht"})


# --- it begins -----------------------------------------------------------------------------------------------------


def start(call: Call, *, key: AgentKey, environ: Mapping[str, Any]) -> dict[str, str]:
    """
    Begin the conversation and return variables for the prompt, all of them texts: platforms take nothing else.

    Where the call cannot be begun, the variables say only how a person is reached: a call is never refused.
    """
    branch = calls.branch_of(key, call)
    body = {"platform": call.platform, "call_id": call.call_id or f"unnamed-{timezone.now().timestamp()}"}
    body |= {"caller_phone": call.caller_number} if call.caller_number else {}
    body |= {"branch": branch.name} if branch and key.branch is None else {}
    reply = rest.post("conversations", body, key=key, wait_s=START_WAIT_S, environ=environ)
    reached = hand_over(branch, now=timezone.now())
    if not reply.body.get("ok"):
        log.warning("call.not_begun", code=reply.body.get("code"))
        return reached
    return reached | _variables(reply.body, reply.language)


def _variables(body: Mapping[str, Any], language: str) -> dict[str, str]:
    today = body["days"][0]
    return {
        "slotline_conversation_id": body["conversation_id"],
        "branch": body["branch"],
        "today": today["name"],
        "today_date": today["date"],
        "now": datetime.fromisoformat(body["now"]).strftime("%H:%M"),
        "days": "; ".join(f"{day['name']}{'' if day['open'] else ' (-)'}" for day in body["days"][:7]),
        "services": ", ".join(service["name"] for service in body["services"]),
        "caller_name": body["caller"]["name"] or "",
        "appointments": "; ".join(
            f"{(each['service'] or {}).get('name', '')} {results.spoken_time(each, language)}".strip()
            for each in body["appointments"]
        ),
    }


# --- it is over ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a platform tells of a call that is over, in its own types: whatever is no number or no text is left out."""

    duration_ms: object = None
    cost_cents: object = None
    analysis: Mapping[str, object] = field(default_factory=dict)
    """What the platform's model was asked to say of the call, by name."""
    transcript: str = ""
    """Read once and not stored."""


def end(call: Call, *, key: AgentKey, report: Report) -> None:
    """End the conversation of the call; one of which nothing was ever asked does not exist, and is not made."""
    conversation = (
        Conversation.objects.of(key.company)
        .filter(platform=call.platform, call_id=call.call_id[:120])
        .exclude(call_id="")
        .select_related("branch", "customer")
        .first()
    )
    if conversation is None:
        return
    log.info("call.ended", platform=call.platform, conversation_id=conversation.public_id)
    call_outcome.close(
        conversation,
        CallReport(
            duration=_duration(report.duration_ms),
            cost_cents=_cost(report.cost_cents),
            told_booked=_was_told(report, conversation),
        ),
    )


def _duration(milliseconds: object) -> timedelta | None:
    if not isinstance(milliseconds, int | float) or not 0 <= milliseconds <= _LONGEST_CALL_MS:
        return None
    return timedelta(milliseconds=milliseconds)


def _cost(cents: object) -> Decimal | None:
    if not isinstance(cents, int | float) or not 0 <= cents < 1_000_000:
        return None
    return Decimal(str(cents)).quantize(Decimal("0.001"))


def _was_told(report: Report, conversation: Conversation) -> bool:
    """Return what the platform's analysis says of a booking; where it says nothing, what the transcript does."""
    for name, value in report.analysis.items():
        if name.casefold() in _BOOKED_NAMES and value is not None:
            return str(value).strip().casefold() in _YES
    usual = conversation.language or (conversation.branch.language if conversation.branch else "")
    return told_booked(report.transcript, wire.spoken_language(usual) or "en")
