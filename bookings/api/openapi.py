"""The OpenAPI document, the page that shows it, and what it says about each endpoint. Both are public."""

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import orjson
from django.http import HttpResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from bookings.api.problem_catalog import PROBLEMS
from bookings.api.problems import CONTENT_TYPE
from bookings.api.serializers import availability, bookings, callbacks, conversations, shared
from bookings.api.wire import Renderer

F = TypeVar("F", bound=Callable[..., Any])

_ALWAYS = ("unauthorized", "scope_missing", "rate_limited", "temporarily_unavailable", "internal_error")
_IN_CALL = ("conversation_ended",)
_BODY = ("request_malformed", "request_invalid", "request_too_large", "unsupported_media_type", "time_not_understood")


def _problems(*codes: str, after_call: bool = False) -> dict[Any, OpenApiResponse]:
    """Return the problems of an operation, by status; `after_call` where it works when the phone call is over."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in (*codes, *(() if after_call else _IN_CALL), *_ALWAYS):
        by_status[PROBLEMS[code].status.value].append(code)
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            shared.ProblemSerializer, description="\n".join(f"- `{code}`: {PROBLEMS[code].title}" for code in named)
        )
        for status, named in by_status.items()
    }


def _query(name: str, description: str, *, required: bool = False, type_: Any = str) -> OpenApiParameter:
    return OpenApiParameter(name, type_, OpenApiParameter.QUERY, required=required, description=description)


def _header(name: str, description: str, *, answers: tuple[int, ...] | bool = False) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, response=answers)


_LANGUAGE = _query("language", "BCP 47; else Accept-Language, else the branch's")
_EVERY = [
    _LANGUAGE,
    _query(
        "conversation_id",
        "the phone call that the request belongs to, where its body does not say so",
        type_={"type": "string", "pattern": "^cv_[0-9A-Z]{16}$"},
    ),
    _header("Accept-Language", "which language the answer is in: de, en"),
    _header("X-Request-Id", "8 to 64 of A-Z a-z 0-9 _ -, a letter among them; made up where it is missing"),
    _header("traceparent", "W3C Trace Context; its trace is the request id where there is no X-Request-Id"),
    _header("X-Request-Id", "names the request in our logs", answers=True),
    _header("Content-Language", "the language of what may be spoken", answers=True),
    _header("Server-Timing", "how long we took, ms", answers=True),
    _header("RateLimit", "what is left of the key's rate, and when it is full again", answers=True),
    _header("RateLimit-Policy", "the key's rate at this process", answers=True),
]
_WAIT = [
    _header("Prefer", "wait=N: seconds the caller can wait, 0.5 to 8"),
    _header("Preference-Applied", "the wait that was honoured", answers=True),
]
_CACHE = [
    _header("Cache-Status", "RFC 9211, such as `Slotline; hit; ttl=87` or `Slotline; fwd=stale`", answers=(200,)),
    _header("X-Cache-Hit", "true where Cal.com was not asked for this answer", answers=(200,)),
    _header("Age", "of the oldest day in the answer, s", answers=(200,)),
]
_AGAIN = _header("Retry-After", "seconds until asking again makes sense, where nothing is known", answers=(200,))
_LATER = [
    _header("Location", "where the outcome, or the booking, is found", answers=(200, 201, 202)),
    _header("Retry-After", "seconds until asking again makes sense", answers=(202,)),
]
_IDEMPOTENCY = _header("Idempotency-Key", "1 to 255 visible ASCII characters, the same in each repeat of a request")

list_services = extend_schema(
    operation_id="list_services",
    tags=["availability"],
    parameters=[_query("q", "what the caller said; at most 200 characters"), *_EVERY],
    responses={200: shared.ServiceListResponseSerializer, **_problems("request_invalid")},
)

list_availability = extend_schema(
    operation_id="list_availability",
    tags=["availability"],
    description="Give `from` and `to`, or `date`. A window may have at most 31 days.",
    parameters=[
        _query("service", "id or exact name", required=True),
        _query("from", "first instant, RFC 3339 with offset", type_=OpenApiTypes.DATETIME),
        _query("to", "instant before which slots start, RFC 3339 with offset", type_=OpenApiTypes.DATETIME),
        _query("date", "a day of the branch, instead of from and to", type_=OpenApiTypes.DATE),
        _header("Cache-Control", "max-age=N: how old the answer may be, s; no-cache: not at all"),
        *_EVERY,
        *_WAIT,
        *_CACHE,
    ],
    responses={
        200: availability.AvailabilityResponseSerializer,
        **_problems(
            "request_invalid", "service_unknown", "service_ambiguous", "time_not_understood", "window_too_long",
            "date_in_past", "too_far", "upstream_unavailable", "deadline_exceeded", "configuration_error",
        ),
    },
)  # fmt: skip

start_conversation = extend_schema(
    operation_id="start_conversation",
    tags=["conversations"],
    description="Repeats of one platform and call id are one conversation: 201 the first time, then 200.",
    parameters=[*_EVERY],
    request=conversations.ConversationSerializer,
    responses={
        200: conversations.ConversationResponseSerializer,
        201: conversations.ConversationResponseSerializer,
        **_problems(*_BODY),
    },
)

end_conversation = extend_schema(
    operation_id="end_conversation",
    tags=["conversations"],
    description=(
        "The phone call is over: what it holds is free at once, and nothing new is done in it. A quarter of an hour"
        " without a request does the same. Repeats get 200, too."
    ),
    parameters=[*_EVERY],
    request=None,
    responses={
        200: conversations.ConversationEndedResponseSerializer,
        **_problems("request_invalid", after_call=True),
    },
)

hold_slot = extend_schema(
    operation_id="hold_slot",
    tags=["bookings"],
    description="Two minutes; one per conversation, a new one replaces the old. A repeat gets the same hold with 200.",
    parameters=[*_EVERY, *_WAIT],
    request=conversations.HoldSerializer,
    responses={
        200: conversations.HoldDetailResponseSerializer,
        201: conversations.HoldDetailResponseSerializer,
        **_problems(
            *_BODY, "slot_taken", "slot_not_offered", "date_in_past", "too_soon", "too_far", "closed",
            "upstream_unavailable", "deadline_exceeded", "configuration_error",
        ),
    },
)  # fmt: skip

release_slot = extend_schema(
    operation_id="release_slot",
    tags=["bookings"],
    description="Give a held time back at once. What has been booked stays booked.",
    parameters=[*_EVERY],
    responses={
        200: conversations.HoldReleasedResponseSerializer,
        **_problems("request_invalid", "booking_not_found", after_call=True),
    },
)

search_availability = extend_schema(
    operation_id="search_availability",
    tags=["availability"],
    description=(
        "What was asked for, or up to three real times instead and the reason why. Cal.com is asked once at most,"
        " however far it has to look. `degraded`: it could not be asked; offers are as last known and must be held to"
        " be booked; no offers does not mean that nothing is free: then offer a call back."
    ),
    parameters=[
        _header("Cache-Control", "max-age=N: how old the answer may be, s; no-cache: not at all"),
        *_EVERY,
        *_WAIT,
        *_CACHE,
        _AGAIN,
    ],
    request=availability.SearchSerializer,
    responses={
        200: availability.SearchResponseSerializer,
        **_problems(
            *_BODY, "service_unknown", "service_ambiguous", "time_ambiguous", "time_nonexistent", "window_too_long",
            "more_token_unknown", "upstream_unavailable", "deadline_exceeded",
            "configuration_error",
        ),
    },
)  # fmt: skip

create_booking = extend_schema(
    operation_id="create_booking",
    tags=["bookings"],
    description=(
        "By confirm_token of a hold, by slot_token, or by service and start. 201 when Cal.com said yes; 202 when it did"
        " not within the caller's wait, then ask the operation; or `awaiting_confirmation`, where a person must confirm"
        " it. While Cal.com cannot be asked whether the time is still"
        " free, only what is held is booked (`hold_required`)."
    ),
    parameters=[_IDEMPOTENCY, *_EVERY, *_WAIT, *_LATER],
    request=bookings.BookingSerializer,
    responses={
        201: bookings.BookingOperationResponseSerializer,
        202: bookings.BookingOperationResponseSerializer,
        **_problems(
            *_BODY, "idempotency_key_required", "idempotency_key_reused", "idempotency_in_progress",
            "service_unknown", "service_ambiguous", "confirm_token_invalid", "hold_expired", "hold_required",
            "already_booked", "limit_reached", "slot_taken", "slot_not_offered", "date_in_past", "too_soon", "too_far",
            "closed", "phone_required", "phone_ambiguous", "answer_required", "upstream_unavailable",
            "deadline_exceeded", "configuration_error",
        ),
    },
)  # fmt: skip

get_booking = extend_schema(
    operation_id="get_booking",
    tags=["bookings"],
    parameters=[*_EVERY],
    responses={
        200: bookings.BookingDetailResponseSerializer,
        **_problems("request_invalid", "booking_not_found"),
    },
)

cancel_booking = extend_schema(
    operation_id="cancel_booking",
    tags=["bookings"],
    parameters=[_IDEMPOTENCY, *_EVERY, *_WAIT, *_LATER],
    request=bookings.CancelSerializer,
    responses={
        200: bookings.BookingOperationResponseSerializer,
        202: bookings.BookingOperationResponseSerializer,
        **_problems(
            *_BODY, "booking_not_found", "already_cancelled", "cancel_not_allowed", "idempotency_key_reused",
            "idempotency_in_progress",
            "date_in_past", "change_too_late", "upstream_unavailable", "deadline_exceeded", "configuration_error",
        ),
    },
)  # fmt: skip

reschedule_booking = extend_schema(
    operation_id="reschedule_booking",
    tags=["bookings"],
    description="The old time is given back only after Cal.com has said yes to the new one.",
    parameters=[_IDEMPOTENCY, *_EVERY, *_WAIT, *_LATER],
    request=bookings.RescheduleSerializer,
    responses={
        200: bookings.BookingOperationResponseSerializer,
        202: bookings.BookingOperationResponseSerializer,
        **_problems(
            *_BODY, "booking_not_found", "already_cancelled", "reschedule_not_allowed", "change_too_late",
            "too_many_reschedules", "limit_reached",
            "idempotency_key_reused", "idempotency_in_progress", "slot_taken", "slot_not_offered", "date_in_past",
            "too_soon", "too_far", "closed", "upstream_unavailable", "deadline_exceeded", "configuration_error",
        ),
    },
)  # fmt: skip

find_bookings = extend_schema(
    operation_id="find_bookings",
    tags=["bookings"],
    description="Nothing is said to unverified callers, nor after three wrong answers in one conversation.",
    parameters=[*_EVERY],
    request=bookings.FindSerializer,
    responses={
        200: bookings.FoundBookingsResponseSerializer,
        **_problems(*_BODY, "identity_required", "identity_mismatch"),
    },
)

request_callback = extend_schema(
    operation_id="request_callback",
    tags=["callbacks"],
    description=(
        "A person shall call back: it works when Cal.com cannot be reached. The same topic in the same conversation, or"
        " for the same number, is one callback while it is open: 201 the first time, then 200."
    ),
    parameters=[_IDEMPOTENCY, *_EVERY],
    request=callbacks.CallbackSerializer,
    responses={
        200: callbacks.CallbackResponseSerializer,
        201: callbacks.CallbackResponseSerializer,
        **_problems(
            *_BODY, "phone_required", "phone_ambiguous", "booking_not_found", "idempotency_key_reused", after_call=True
        ),
    },
)

get_operation = extend_schema(
    operation_id="get_operation",
    tags=["bookings"],
    parameters=[*_EVERY, _header("Retry-After", "while it is pending, s", answers=(200,))],
    responses={
        200: bookings.OperationDetailResponseSerializer,
        **_problems("request_invalid", "not_found", after_call=True),
    },
)

list_tools = extend_schema(
    operation_id="list_tools",
    tags=["tools"],
    description="What an integrator pastes into a voice platform: the tools as it takes them, and a system prompt.",
    parameters=[_query("format", "openai, retell, vapi, elevenlabs, bland or mcp", required=True), *_EVERY],
    responses={200: shared.ToolsResponseSerializer, **_problems("request_invalid")},
)


class AgentKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it."""

    target_class = "bookings.api.auth.AgentKeyAuthentication"
    name = "AgentKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002
        """Return the OpenAPI security scheme."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "sl_…", "description": "A key from the admin."}


@cache
def openapi_document() -> bytes:
    """Return the OpenAPI document. It does not change while the process runs."""
    generated = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(generated, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


class DocumentView(APIView):
    """The OpenAPI document."""

    schema = None
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def get(self, _request: Request) -> HttpResponse:
        return HttpResponse(openapi_document(), content_type="application/vnd.oai.openapi+json;version=3.1")


class DocumentPageView(SpectacularSwaggerSplitView):
    """The page that shows it. Its scripts are files from a package: the content policy forbids inline ones."""

    url_name = "v1:openapi"
    http_method_names = ["get", "head"]
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def handle_exception(self, exc: Exception) -> Response:
        """Answer with a problem in JSON, as everywhere, and not with a page."""
        self.request.accepted_renderer = Renderer()
        return super().handle_exception(exc)
