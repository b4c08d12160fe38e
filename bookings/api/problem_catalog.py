"""
The one table from what went wrong to what an agent is told: status, whether to try again, a sentence, a hint.

The only place where an error of the domain meets a status. A code cannot be added without its sentence in every
language: a test holds the table complete.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response

from bookings.api import presenters
from bookings.errors import (
    AlreadyBooked,
    AnotherTime,
    AnswerRequired,
    AskCaller,
    BookingError,
    LimitReached,
    PhoneAmbiguous,
    ServiceUnknown,
    TimeAmbiguous,
    TryLater,
    UpstreamUnavailable,
)
from bookings.models import Service
from monitoring.logs import current_request_id

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
LANGUAGES = ("de", "en")
"""What can be spoken."""


class RequestError(Exception):
    """The request itself is wrong; nothing was asked of the domain."""

    code: ClassVar[str]


class RequestInvalid(RequestError):
    """Members are missing or are not what they must be."""

    code = "request_invalid"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class RequestTooLarge(RequestError):
    """The body is larger than any request of this API."""

    code = "request_too_large"


class WindowTooLong(RequestError):
    """More days than one question may cover."""

    code = "window_too_long"


class IdempotencyKeyRequired(RequestError):
    """Without a conversation only a key can tell a repeat from a second wish."""

    code = "idempotency_key_required"


class ScopeMissing(RequestError):
    """The key was not given what this operation needs."""

    code = "scope_missing"


class ServiceNotOffered(ServiceUnknown):
    """No service has this id or name; carries those that resemble it."""

    def __init__(self, message: str, *, services: Sequence[Service]) -> None:
        super().__init__(message, candidates=[service.name for service in services])
        self.services = services


class ServiceAmbiguous(AskCaller):
    """Several services are called so; carries them."""

    code = "service_ambiguous"

    def __init__(self, message: str, *, services: Sequence[Service]) -> None:
        super().__init__(message)
        self.services = services


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent is told about a code."""

    status: HTTPStatus
    retryable: bool
    title: str
    de: str
    en: str
    hint: str

    def spoken(self, language: str) -> str:
        """Return the sentence for the caller."""
        return self.de if language == "de" else self.en


_SORRY_DE = "Da ist bei uns gerade etwas schiefgegangen."
_SORRY_EN = "Something went wrong on our side just now."
_NOT_FOR_CALLERS = (
    "This is a fault of the integration: do not repeat the request as it is, tell the people who built it."
)

TABLE: Mapping[str, Told] = {
    # another time
    "slot_taken": Told(
        HTTPStatus.CONFLICT,
        False,
        "Somebody else has this time",
        "Diese Zeit wurde leider gerade vergeben. Darf es eine andere sein?",
        "I'm sorry, that time has just been taken. Would another time suit you?",
        "Offer one of the alternatives, or ask for availability again. Never offer this time again.",
    ),
    "limit_reached": Told(
        HTTPStatus.CONFLICT,
        False,
        "The service takes no more bookings then",
        "Für diesen Tag sind leider keine Termine mehr möglich. Darf es ein anderer Tag sein?",
        "I'm sorry, no more appointments are possible on that day. Would another day suit you?",
        "Offer one of the alternatives, or a day from next_possible_day on. Never offer this day again.",
    ),
    "slot_not_offered": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "This time is not offered",
        "Zu dieser Zeit gibt es leider keinen Termin. Darf es eine andere sein?",
        "I'm sorry, there is no appointment at that time. Would another time suit you?",
        "Offer one of the alternatives, or only times that availability returned.",
    ),
    "hold_expired": Told(
        HTTPStatus.CONFLICT,
        False,
        "The hold has run out",
        "So lange konnte ich die Zeit leider nicht freihalten. Soll ich noch einmal nachsehen?",
        "I'm sorry, I could not keep that time free any longer. Shall I check again?",
        "Hold the same slot_token once more, or offer one of the alternatives. Nothing was booked.",
    ),
    "date_in_past": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "This time is over",
        "Diese Zeit liegt schon hinter uns. Welchen Tag meinen Sie?",
        "That time has already passed. Which day do you mean?",
        "Check which day is today for this branch, then ask the caller for the day.",
    ),
    "too_soon": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "This time is too soon",
        "So kurzfristig geht es leider nicht. Darf es etwas später sein?",
        "I'm sorry, that is too soon. Could it be a little later?",
        "Offer a later time; the service needs some notice.",
    ),
    "too_far": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "This time is too far ahead",
        "So weit im Voraus kann ich noch nichts eintragen. Darf es früher sein?",
        "I cannot book that far ahead yet. Could it be earlier?",
        "Offer an earlier time; the service can only be booked up to its horizon.",
    ),
    "closed": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "The branch is closed then",
        "Zu dieser Zeit ist geschlossen. Darf es eine andere sein?",
        "We are closed at that time. Would another time suit you?",
        "Offer one of the alternatives, or ask for availability.",
    ),
    # ask the caller
    "service_unknown": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "There is no such service",
        "Das habe ich nicht in unserem Angebot gefunden. Was darf es sein?",
        "I could not find that among our services. What would you like?",
        "Ask which of the candidates is meant. Never choose one yourself.",
    ),
    "service_ambiguous": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Several services fit",
        "Da gibt es mehrere Möglichkeiten. Welche meinen Sie?",
        "There are several options. Which one do you mean?",
        "Ask which of the candidates is meant, then use its id.",
    ),
    "confirm_token_invalid": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "There is no such confirm_token in this conversation",
        "Ich lese Ihnen den Termin noch einmal vor. Einen Moment bitte.",
        "Let me read the appointment back to you once more. One moment, please.",
        "Hold the slot by its slot_token, read read_back to the caller, and send the confirm_token of that answer.",
    ),
    "identity_required": Told(
        HTTPStatus.FORBIDDEN,
        False,
        "Nobody knows who is calling",
        "Wie lautet Ihre Terminnummer? Oder nennen Sie mir Ihren Namen und den Tag des Termins.",
        "What is your booking reference? Or tell me your name and the day of the appointment.",
        "Ask for the reference, or for the exact name and the date, and send what the caller says. Never guess.",
    ),
    "identity_mismatch": Told(
        HTTPStatus.FORBIDDEN,
        False,
        "Nothing was found under what was said",
        "Damit kann ich leider keinen Termin zuordnen. Können Sie das noch einmal prüfen?",
        "I'm sorry, I cannot match that to an appointment. Could you check it once more?",
        "Say nothing about whether such an appointment exists. After three tries offer a call back.",
    ),
    "phone_required": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "The caller's phone number is needed",
        "Unter welcher Nummer erreichen wir Sie?",
        "What number can we reach you on?",
        "Ask for the number, and send it as the caller says it, with the country code if it is a foreign one.",
    ),
    "answer_required": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Something must be asked of the caller first",
        "Dafür brauche ich noch eine Angabe von Ihnen.",
        "I need one more detail from you for that.",
        "Ask the caller for what field and label name, as one of options where there are any, and send the same request"
        " with it in answers, as {field: value}. What is held stays held. Never answer for the caller.",
    ),
    "time_not_understood": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "The time was not understood",
        "Welchen Tag und welche Uhrzeit meinen Sie?",
        "Which day and what time do you mean?",
        "Send instants with their offset, as in 2026-11-24T10:00:00+01:00, and the end after the start; to search,"
        " when with windows, or with date, part_of_day, not_before or time.",
    ),
    "time_ambiguous": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Clocks show this time twice",
        "Diese Zeit kommt in der Nacht der Zeitumstellung zweimal. Meinen Sie davor oder danach?",
        "That time comes twice in the night when the clocks change. Do you mean before or after that?",
        "Ask which of the readings is meant, then send it as an instant.",
    ),
    "phone_ambiguous": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "The number may be read in two ways",
        "Ist das eine inländische oder eine ausländische Nummer? Bitte nennen Sie sie mit der Landesvorwahl.",
        "Is that a number from here or from abroad? Please say it with the country code.",
        "Ask which of the readings is meant, then send it with plus and country code.",
    ),
    "time_nonexistent": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Clocks skip this time",
        "Diese Zeit fällt wegen der Zeitumstellung aus. Welche Zeit meinen Sie?",
        "That time is skipped when the clocks change. What time do you mean?",
        "Ask the caller for another time.",
    ),
    # hold first
    "hold_required": Told(
        HTTPStatus.CONFLICT,
        False,
        "This time is not certain and must be held first",
        "Ich halte die Zeit erst einmal für Sie fest. Einen Moment bitte.",
        "Let me keep that time for you first. One moment, please.",
        "Nothing was booked: Cal.com could not be asked whether the time is still free. Hold its slot_token (search for"
        " the time where you have none), say read_back, and book with confirm_token once the caller agrees.",
    ),
    # try again
    "upstream_unavailable": Told(
        HTTPStatus.SERVICE_UNAVAILABLE,
        True,
        "The calendar cannot be reached",
        "Unser Kalender antwortet gerade nicht. Soll Sie jemand zurückrufen?",
        "Our calendar is not answering right now. Shall somebody call you back?",
        "Nothing was changed. Try again after Retry-After. If it fails again, say spoken, and send who shall be called"
        " back to POST /v1/callbacks: that works without the calendar.",
    ),
    "deadline_exceeded": Told(
        HTTPStatus.GATEWAY_TIMEOUT,
        True,
        "The time to answer was over",
        "Das dauert gerade etwas länger. Einen Moment bitte.",
        "This is taking a little longer. One moment, please.",
        "Nothing was promised. Try again, with a longer Prefer: wait if the caller can wait; if it fails again, offer a"
        " call back (POST /v1/callbacks).",
    ),
    "idempotency_in_progress": Told(
        HTTPStatus.CONFLICT,
        True,
        "The first request with this key still runs",
        "Ich bin noch dabei. Einen Moment bitte.",
        "I am still working on it. One moment, please.",
        "Send the same request again after Retry-After; it gets the outcome of the first.",
    ),
    "rate_limited": Told(
        HTTPStatus.TOO_MANY_REQUESTS,
        True,
        "Too many requests",
        "Einen Moment bitte.",
        "One moment, please.",
        "Wait for Retry-After, then try again.",
    ),
    "temporarily_unavailable": Told(
        HTTPStatus.SERVICE_UNAVAILABLE,
        True,
        "We cannot work right now",
        "Unser System antwortet gerade nicht. Einen Moment bitte.",
        "Our system is not answering right now. One moment, please.",
        "Try again after Retry-After, with the same Idempotency-Key.",
    ),
    # final
    "idempotency_key_reused": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "This key came with another request",
        _SORRY_DE,
        _SORRY_EN,
        "Use a new Idempotency-Key for a new wish, and the old one only for the very same request.",
    ),
    "more_token_unknown": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "No search goes on under this more_token",
        "Einen Moment bitte, ich sehe noch einmal nach.",
        "One moment, please, let me check again.",
        "Search again with service and when. A more_token lasts half an hour.",
    ),
    "booking_not_found": Told(
        HTTPStatus.NOT_FOUND,
        False,
        "There is no such booking",
        "Diesen Termin habe ich nicht gefunden.",
        "I could not find that appointment.",
        "Check the id; only bookings of the key's company are found.",
    ),
    "conversation_ended": Told(
        HTTPStatus.CONFLICT,
        False,
        "The phone call is over",
        "Dieses Gespräch ist schon beendet. Bitte rufen Sie noch einmal an.",
        "This call has already ended. Please call us again.",
        "Nothing was done. Begin a new conversation, with another call_id, and use its id."
        " POST /v1/callbacks works with this one, too.",
    ),
    "already_cancelled": Told(
        HTTPStatus.CONFLICT,
        False,
        "It is cancelled already",
        "Dieser Termin ist bereits abgesagt.",
        "That appointment is already cancelled.",
        "Tell the caller; nothing else is to be done.",
    ),
    "already_booked": Told(
        HTTPStatus.CONFLICT,
        False,
        "There is an appointment under the same details",
        "Unter Ihren Angaben gibt es schon einen Termin. Möchten Sie ihn verlegen, oder ist dieser für jemand anderen?",
        "There is already an appointment under your details. Would you like to move it, or is this one for somebody"
        " else?",
        "Nothing was booked. To move the appointment that exists send its id, from booking or from POST"
        " /v1/bookings/find, to POST /v1/bookings/{id}/reschedule. For another person send another e-mail address and"
        " phone number, or none.",
    ),
    "change_too_late": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "It begins too soon to be changed by phone",
        "So kurz vorher kann ich den Termin leider nicht mehr ändern. Soll sich jemand bei Ihnen melden?",
        "I'm sorry, I can no longer change the appointment this close to its start. Shall somebody call you?",
        "The company sets how long before its start an appointment can be moved or cancelled. Offer a call back.",
    ),
    "cancel_not_allowed": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Appointments of this kind cannot be cancelled",
        "Dieser Termin lässt sich leider nicht absagen. Soll sich jemand bei Ihnen melden?",
        "I'm sorry, this appointment cannot be cancelled. Shall somebody call you?",
        "The appointment stands. Offer to move it, or a call back (POST /v1/callbacks).",
    ),
    "reschedule_not_allowed": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "Appointments of this kind cannot be rescheduled, or not so late",
        "Dieser Termin lässt sich leider nicht verlegen. Soll sich jemand bei Ihnen melden?",
        "I'm sorry, this appointment cannot be moved. Shall somebody call you?",
        "The appointment stands where it is. Offer to keep it, to cancel it, or a call back (POST /v1/callbacks).",
    ),
    "too_many_moves": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        False,
        "It was moved as often as the company allows",
        "Diesen Termin kann ich leider nicht noch einmal verlegen. Soll sich jemand bei Ihnen melden?",
        "I'm sorry, I cannot move this appointment again. Shall somebody call you?",
        "The appointment stands where it is. Offer to keep it, to cancel it, or a call back.",
    ),
    "configuration_error": Told(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        False,
        "Something is set up wrongly",
        "Das kann ich Ihnen gerade nicht einrichten. Soll sich jemand bei Ihnen melden?",
        "I cannot set that up for you right now. Shall somebody get back to you?",
        "Do not try again: staff must put it right. Say spoken; send who shall be called back to POST /v1/callbacks.",
    ),
    # the request itself
    "unauthorized": Told(
        HTTPStatus.UNAUTHORIZED, False, "No valid key was shown", _SORRY_DE, _SORRY_EN,
        "Send Authorization: Bearer with a key that is not revoked.",
    ),
    "scope_missing": Told(
        HTTPStatus.FORBIDDEN, False, "The key may not do this", _SORRY_DE, _SORRY_EN,
        "Use a key that was given this scope.",
    ),
    "request_malformed": Told(
        HTTPStatus.BAD_REQUEST, False, "The request cannot be read", _SORRY_DE, _SORRY_EN, _NOT_FOR_CALLERS
    ),
    "request_invalid": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY, False, "Something in the request is wrong",
        "Das habe ich nicht verstanden. Können Sie es noch einmal sagen?",
        "I did not understand that. Could you say it again?",
        "See errors: each names the field and what is wrong with it.",
    ),
    "idempotency_key_required": Told(
        HTTPStatus.BAD_REQUEST, False, "An Idempotency-Key is required", _SORRY_DE, _SORRY_EN,
        "Send Idempotency-Key, made once per wish and repeated with it, or name the conversation.",
    ),
    "window_too_long": Told(
        HTTPStatus.UNPROCESSABLE_ENTITY, False, "The window is too long",
        "Das ist ein langer Zeitraum. Welche Woche passt Ihnen?",
        "That is a long time. Which week would suit you?",
        "Ask for at most thirty-one days at once.",
    ),
    "request_too_large": Told(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, False, "The body is too large", _SORRY_DE, _SORRY_EN, _NOT_FOR_CALLERS
    ),
    "unsupported_media_type": Told(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, False, "The body must be JSON", _SORRY_DE, _SORRY_EN,
        "Send Content-Type: application/json.",
    ),
    "not_found": Told(
        HTTPStatus.NOT_FOUND, False, "There is nothing at this address", _SORRY_DE, _SORRY_EN, _NOT_FOR_CALLERS
    ),
    "method_not_allowed": Told(
        HTTPStatus.METHOD_NOT_ALLOWED, False, "This method is not for this address", _SORRY_DE, _SORRY_EN,
        "Use one of the methods that Allow names.",
    ),
    "internal_error": Told(
        HTTPStatus.INTERNAL_SERVER_ERROR, False, "Something broke", _SORRY_DE, _SORRY_EN,
        "Report request_id. A booking may be repeated with the same Idempotency-Key only.",
    ),
}  # fmt: skip

# Instead of the line of `upstream_unavailable`, where no repeat helps.
ACCESS_REFUSED = replace(
    TABLE["upstream_unavailable"],
    retryable=False,
    title="The calendar refuses us access",
    de="An unseren Kalender komme ich gerade nicht heran. Soll Sie jemand zurückrufen?",
    en="I cannot get into our calendar right now. Shall somebody call you back?",
    hint="Nothing was changed. Do not try again: staff must put it right. Say spoken, and send who shall be called back"
    " to POST /v1/callbacks: that works without the calendar.",
)

_BY_TYPE: Mapping[type[Exception], str] = {
    drf.NotAuthenticated: "unauthorized",
    drf.AuthenticationFailed: "unauthorized",
    drf.ParseError: "request_malformed",
    drf.ValidationError: "request_invalid",
    drf.NotFound: "not_found",
    Http404: "not_found",
    drf.MethodNotAllowed: "method_not_allowed",
    drf.UnsupportedMediaType: "unsupported_media_type",
    drf.Throttled: "rate_limited",
    OperationalError: "temporarily_unavailable",
    InterfaceError: "temporarily_unavailable",
}


def code_of(exc: Exception) -> str:
    """Return the code of whatever was raised."""
    if isinstance(exc, BookingError | RequestError):
        return exc.code
    return next((code for kind, code in _BY_TYPE.items() if isinstance(exc, kind)), "internal_error")


def told_of(exc: Exception) -> Told:
    """Return what an agent is told about whatever was raised."""
    if isinstance(exc, UpstreamUnavailable) and exc.access_refused:
        return ACCESS_REFUSED
    return TABLE[code_of(exc)]


def body_of(
    code: str, told: Told | None = None, *, language: str = "en", detail: str = "", **members: object
) -> dict[str, object]:
    """Return a problem as RFC 9457 has it, with what an agent needs beside; what is told is the code's by default."""
    told = told or TABLE[code]
    return {
        "type": f"urn:slotline:problem:{code}",
        "title": told.title,
        "status": told.status.value,
        "detail": detail or f"{told.title}.",
        "ok": False,
        "code": code,
        "retryable": told.retryable,
        "spoken": told.spoken(language),
        "agent_hint": told.hint,
        "alternatives": [],
        "request_id": current_request_id.get(),
        **members,
    }


def problem(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Answer an exception of a view: DRF's exception handler."""
    code, told, view = code_of(exc), told_of(exc), context["view"]
    if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, TryLater):
        log.error("request failed", code=code, exc_info=exc)
    members = _members(exc, view)
    detail = "" if code == "internal_error" else _detail(exc)
    return Response(
        # A page for people has no language of callers.
        body_of(code, told, language=getattr(view, "language", "en"), detail=detail, **members),
        status=told.status,
        headers=_headers(exc, view, told),
        content_type=CONTENT_TYPE,
    )


def _detail(exc: Exception) -> str:
    """Return what developers may read: our own sentences, never those of a library below us."""
    if isinstance(exc, drf.ValidationError):
        return "See errors."
    if isinstance(exc, drf.APIException):
        return str(exc.detail)
    return str(exc) if isinstance(exc, BookingError | RequestError) else ""


def _members(exc: Exception, view: Any) -> dict[str, object]:
    """Return the members that only some problems have."""
    members: dict[str, object] = {}
    if isinstance(exc, AnotherTime) and view.service is not None:
        members["alternatives"] = view.times(exc.alternatives, exc.tokens)
    if isinstance(exc, LimitReached) and view.service is not None:
        members["next_possible_day"] = _next_day(exc, view.service.branch.time_zone)
    if isinstance(exc, AlreadyBooked) and exc.appointment is not None and view.may_name(exc.appointment):
        members["booking"] = presenters.booking(exc.appointment, language=view.language)
    if isinstance(exc, ServiceNotOffered | ServiceAmbiguous):
        members["candidates"] = [presenters.candidate(service) for service in exc.services[:5]]
    if isinstance(exc, PhoneAmbiguous):
        members["readings"] = list(exc.readings)
    if isinstance(exc, TimeAmbiguous):
        members["readings"] = [reading.isoformat() for reading in exc.readings]
    if isinstance(exc, AnswerRequired):
        slug, label, kind, options = presenters.booking_field(exc.field).values()
        members |= {"field": slug, "label": label, "answer_type": kind, "options": options}
    if isinstance(exc, RequestInvalid):
        members["errors"] = [{"field": exc.field, "detail": str(exc)}]
    if isinstance(exc, drf.ValidationError):
        members["errors"] = [{"field": field, "detail": detail} for field, detail in _flat(exc.detail)]
    return members


def _next_day(exc: LimitReached, time_zone: str) -> str | None:
    """Return the first day, by the branch's clock, on which a booking is possible; None where that is not known."""
    return min((str(each.astimezone(ZoneInfo(time_zone)).date()) for each in exc.alternatives), default=None)


def _flat(detail: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the errors of nested serializers as (caller.name, sentence)."""
    if isinstance(detail, Mapping):
        for name, below in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _flat(below, f"{path}.{own}".strip("."))
    elif isinstance(detail, list):
        for below in detail:
            yield from _flat(below, path)
    else:
        yield path, str(detail)


def _headers(exc: Exception, view: Any, told: Told) -> dict[str, str]:
    headers = {}
    wait = exc.retry_after if isinstance(exc, TryLater) and told.retryable else getattr(exc, "wait", None)
    if wait is not None or told.retryable:
        headers["Retry-After"] = str(max(1, math.ceil(wait or 1)))
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(exc, drf.MethodNotAllowed):
        headers["Allow"] = ", ".join(method for method in view.allowed_methods if method != "OPTIONS")
    return headers


# --- What Django answers before or after a view of ours -----------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses itself, such as a wrong Host."""
    return _plain("request_malformed") if _ours(request) else defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that no pattern knows."""
    return _plain("not_found") if _ours(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what broke outside a view."""
    return _plain("internal_error") if _ours(request) else defaults.server_error(request)


def _ours(request: HttpRequest) -> bool:
    """Return whether a program reads the answer, and no person."""
    return request.path_info.startswith(("/v1/", "/webhooks/"))


def _plain(code: str) -> JsonResponse:
    return JsonResponse(body_of(code), status=TABLE[code].status, content_type=CONTENT_TYPE)
