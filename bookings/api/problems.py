"""
Errors become problems as RFC 9457 has them, with the status and words of `problem_catalog`.

The only place where an error of the domain meets a status. It writes nothing: a handler that writes could fail itself.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

import structlog
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response

from bookings.api import presenters
from bookings.api.problem_catalog import ACCESS_REFUSED, PROBLEMS, Problem
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

if TYPE_CHECKING:  # it reads headers, whose module raises errors of this one
    from bookings.api.context import RequestContext

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"


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
    """Without a conversation only a key can tell a repeat from a second booking."""

    code = "idempotency_key_required"


class ScopeMissing(RequestError):
    """The key was not given what this operation needs."""

    code = "scope_missing"


class SignatureInvalid(RequestError):
    """A voice platform's request is not signed with a secret of the company, or too old."""

    code = "signature_invalid"


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
    """Return the code of an exception; `internal_error` for one that is not foreseen."""
    if isinstance(exc, BookingError | RequestError):
        return exc.code
    return next((code for kind, code in _BY_TYPE.items() if isinstance(exc, kind)), "internal_error")


def problem_of(exc: Exception) -> Problem:
    """Return what an agent is told about an exception."""
    if isinstance(exc, UpstreamUnavailable) and exc.access_refused:
        return ACCESS_REFUSED
    return PROBLEMS[code_of(exc)]


def body_of(
    code: str, problem: Problem | None = None, *, language: str = "en", detail: str = "", **members: object
) -> dict[str, object]:
    """Return a problem as RFC 9457 has it, with our own members; `problem` is that of the code by default."""
    problem = problem or PROBLEMS[code]
    return {
        "type": f"urn:slotline:problem:{code}",
        "title": problem.title,
        "status": problem.status.value,
        "detail": detail or f"{problem.title}.",
        "ok": False,
        "code": code,
        "retryable": problem.retryable,
        "spoken": problem.spoken(language),
        "agent_hint": problem.hint,
        "alternatives": [],
        "request_id": current_request_id(),
        **members,
    }


def exception_handler(exc: Exception, drf_context: Mapping[str, Any]) -> Response:
    """Answer an exception of a view: DRF's exception handler."""
    code, problem, view = code_of(exc), problem_of(exc), drf_context["view"]
    context: RequestContext | None = getattr(view, "context", None)  # the page of the document has none
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, TryLater):
        log.error("request failed", code=code, exc_info=exc)
    members = _members(exc, context)
    detail = "" if code == "internal_error" else _detail(exc)
    return Response(
        body_of(code, problem, language=context.language if context else "en", detail=detail, **members),
        status=problem.status,
        headers=_headers(exc, view, problem),
        content_type=CONTENT_TYPE,
    )


def _detail(exc: Exception) -> str:
    """Return what developers may read: our own sentences, never those of a library below us."""
    if isinstance(exc, drf.ValidationError):
        return "See errors."
    if isinstance(exc, drf.APIException):
        return str(exc.detail)
    return str(exc) if isinstance(exc, BookingError | RequestError) else ""


def _members(exc: Exception, context: "RequestContext | None") -> dict[str, object]:
    """Return the members that only some problems have."""
    members: dict[str, object] = {}
    service = context.service if context else None
    if context and service and isinstance(exc, AnotherTime):
        zone = service.branch.time_zone
        members["alternatives"] = presenters.alternatives(
            exc.alternatives,
            exc.tokens,
            zone=zone,
            minutes=(context.event_type or service.event_type).length_minutes,
            language=context.language,
        )
        if isinstance(exc, LimitReached):
            members["next_possible_day"] = _next_day(exc, zone)
    if context and isinstance(exc, AlreadyBooked) and exc.appointment and context.may_name(exc.appointment):
        members["booking"] = presenters.booking(exc.appointment, language=context.language)
    if isinstance(exc, ServiceNotOffered | ServiceAmbiguous):
        members["candidates"] = [presenters.candidate(service) for service in exc.services[:5]]
    if isinstance(exc, AskCaller):
        members |= _asked(exc)
    if isinstance(exc, RequestInvalid):
        members["errors"] = [{"field": exc.field, "detail": str(exc)}]
    if isinstance(exc, drf.ValidationError):
        members["errors"] = [{"field": field, "detail": detail} for field, detail in _flat(exc.detail)]
    return members


def _asked(exc: AskCaller) -> dict[str, object]:
    """Return what the question is about, and the question itself where it was made for this request."""
    members: dict[str, object] = {"spoken": exc.question} if exc.question else {}
    if isinstance(exc, PhoneAmbiguous):
        members["readings"] = list(exc.readings)
    if isinstance(exc, TimeAmbiguous):
        members["readings"] = [reading.isoformat() for reading in exc.readings]
    if isinstance(exc, AnswerRequired):
        slug, label, kind, options = presenters.booking_field(exc.field).values()
        members |= {"field": slug, "label": label, "answer_type": kind, "options": options}
    if exc.other_language:
        members["agent_hint"] = (
            f"These words are of another language: send them again with language {exc.other_language}."
        )
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


def _headers(exc: Exception, view: Any, problem: Problem) -> dict[str, str]:
    headers = {}
    wait = exc.retry_after if isinstance(exc, TryLater) and problem.retryable else getattr(exc, "wait", None)
    if wait is not None or problem.retryable:
        headers["Retry-After"] = str(max(1, math.ceil(wait or 1)))
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if isinstance(exc, drf.MethodNotAllowed):
        headers["Allow"] = ", ".join(method for method in view.allowed_methods if method != "OPTIONS")
    return headers


# --- What Django answers before or after a view of ours -----------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what Django refuses itself, such as a wrong Host."""
    return plain("request_malformed") if _ours(request) else defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that no pattern knows."""
    return plain("not_found") if _ours(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what broke outside a view."""
    return plain("internal_error") if _ours(request) else defaults.server_error(request)


def _ours(request: HttpRequest) -> bool:
    """Return whether a program reads the answer, and no person."""
    return request.path_info.startswith(("/v1/", "/webhooks/", "/adapters/", "/mcp"))


def plain(code: str, detail: str = "", **headers: str) -> JsonResponse:
    """Return a problem outside a view of DRF."""
    body = body_of(code, detail=detail)
    return JsonResponse(body, status=PROBLEMS[code].status, headers=headers, content_type=CONTENT_TYPE)
