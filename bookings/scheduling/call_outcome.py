"""What a call came to, when it is over, and whether the caller was told of a booking that it did not make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from django.db.models import Q

from bookings.models import CallbackRequest, Conversation, ToolCall
from bookings.scheduling import conversations
from monitoring import metrics

Outcome = Conversation.Outcome
_BOOK, _CALLBACK = "POST /v1/bookings", "POST /v1/callbacks"
_TOPIC = {
    "de": "Im Gespräch wurde ein Termin zugesagt, aber keiner gebucht. Bitte anrufen und den Termin klären.",
    "en": "The caller was told of an appointment, but none was booked. Please call and settle it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What a voice platform tells of a call that is over, as far as it does."""

    duration: timedelta | None = None
    cost_cents: Decimal | None = None
    told_booked: bool = False
    """Whether the caller was told of a booking, by the platform's analysis or transcript."""


def close(conversation: Conversation, report: CallReport) -> None:
    """
    End the call, keep what the platform told of it, and what it came to. Safe to repeat: later reports add to it.

    Where the caller was told of a booking that this call did not make, staff get a callback request about it.
    """
    conversations.end(conversation)
    outcome = outcome_of(
        (each.endpoint, each.status, each.response)
        for each in ToolCall.objects.filter(conversation=conversation).order_by("pk")
    )
    fields: dict[str, Any] = {"outcome": outcome}
    if report.duration is not None:
        fields["duration"] = report.duration
    if report.cost_cents is not None:
        fields["cost_cents"] = report.cost_cents
    Conversation.objects.filter(pk=conversation.pk).update(**fields)
    if report.told_booked and not _has_appointment(conversation, outcome):
        _warn(conversation)


def outcome_of(timeline: Iterable[tuple[str, int, Mapping[str, Any]]]) -> str:
    """
    Return what a call came to, from its requests as (endpoint, status, response) in their order.

    The last change counts; a call without one asked only, or gave up where it had held a time or was refused.
    """
    came_to, tried = "", False
    for endpoint, status, response in timeline:
        done = status < HTTPStatus.BAD_REQUEST and response.get("status") not in {"rejected", "expired"}
        if change := _change(endpoint):
            came_to, tried = (change, tried) if done else (came_to, True)
        elif endpoint == _CALLBACK and done:
            came_to = came_to or Outcome.CALLBACK
        elif endpoint == "POST /v1/holds" or response.get("held"):
            tried = True
    return came_to or (Outcome.GAVE_UP if tried else Outcome.ONLY_ASKED)


def _change(endpoint: str) -> str:
    if endpoint == _BOOK:
        return Outcome.BOOKED
    if endpoint.startswith(f"{_BOOK}/"):
        kind = endpoint.rpartition("/")[2]
        return {"reschedule": Outcome.RESCHEDULED, "cancel": Outcome.CANCELLED}.get(kind, "")
    return ""


def _has_appointment(conversation: Conversation, outcome: str) -> bool:
    """Return whether the call made or moved an appointment, or one is still on its way."""
    if outcome in {Outcome.BOOKED, Outcome.RESCHEDULED}:
        return True
    return conversation.appointments.exclude(Q(state="expired") | Q(state="rejected")).exists()


def _warn(conversation: Conversation) -> None:
    """Flag the call, count it, and have staff call back; once for each call."""
    won = Conversation.objects.filter(pk=conversation.pk, told_booked=False).update(told_booked=True)
    if not won:
        return
    metrics.TOLD_BOOKED.inc()
    if conversation.caller_phone is None:
        return  # the call itself is marked in the admin
    language = conversation.language if conversation.language in _TOPIC else "en"
    CallbackRequest.objects.create(
        company_id=conversation.company_id,
        branch=conversation.branch,
        conversation=conversation,
        name=conversation.customer.name if conversation.customer else "",
        phone=conversation.caller_phone,
        language=language,
        topic=_TOPIC[language],
    )
