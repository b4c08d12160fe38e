"""What all endpoints share: the request context, the headers of every response, and the conversation's timeline."""

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

import orjson
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from structlog.contextvars import bind_contextvars

from bookings.api import wire
from bookings.api.auth import methods_without_scope
from bookings.api.context import RequestContext
from bookings.api.problems import RequestError, RequestInvalid
from bookings.errors import BookingNotFound, ConversationEnded
from bookings.models import AgentKey, Appointment, Conversation
from bookings.scheduling import conversations
from monitoring.logs import contained

_BOOKING_ID = re.compile(r"bk_[0-9A-Z]{16}")
_CONVERSATION_ID = re.compile(r"cv_[0-9A-Z]{16}")


class AgentView(APIView):
    """An endpoint for agents: parse, one call of a service, render. It knows no rule and catches nothing."""

    scopes: ClassVar[Mapping[str, AgentKey.Scope]] = {}
    """By method."""
    works_after_call: ClassVar[bool] = False
    """Whether an ended conversation is no reason to refuse: nothing new is done, or nothing is shown."""
    reads: ClassVar[bool] = False
    """Whether a POST only reads, and waits as long as a GET."""
    context: RequestContext
    rate_limit_headers: Mapping[str, str] = {}

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """
        Return the view for the URL map.

        Raises:
            ImproperlyConfigured: a method has no scope, so that it would be closed to every key.
        """
        if missing := methods_without_scope(cls):
            raise ImproperlyConfigured(f"{cls.__name__} needs a scope for {', '.join(missing)}.")
        return super().as_view(**initkwargs)

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Forbid caches on the way to keep a response."""
        return {"Cache-Control": "no-store"}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Start the clocks."""
        self.context = RequestContext.of(request, reads=self.reads or request.method == "GET")
        return super().initialize_request(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Authenticate, and keep the key in the context: an error response must not look it up again."""
        super().perform_authentication(request)
        if isinstance(request.auth, AgentKey):
            self.context = self.context.authenticated(request.auth)
            bind_contextvars(company_id=request.auth.company_id)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Admit the request, in the conversation that its query names."""
        super().initial(request, *args, **kwargs)
        if request.method == "OPTIONS" or request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)  # before anything else that is wrong with the request
        self.enter(request.query_params.get("conversation_id"))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Add language, time taken and what is left of the rate, and record the request in its conversation."""
        context, duration = self.context, time.perf_counter() - self.context.started_at
        with contained("answer.headers_incomplete"):
            self.headers["Content-Language"] = context.language
            if context.wait is not None:
                self.headers["Preference-Applied"] = f"wait={context.wait:g}"
            self.headers.update(self.rate_limit_headers)
            self.headers["Server-Timing"] = f"total;dur={duration * 1000:.2f}"
        if context.conversation is not None:
            with contained("timeline.line_lost", conversation_id=context.conversation.public_id):
                _record(context.conversation, request, response, timedelta(seconds=duration))
                conversations.keep_language(
                    context.conversation, wire.spoken_language(context.requested_language or "")
                )
        return super().finalize_response(request, response, *args, **kwargs)

    def enter(self, conversation_id: str | None, *, language: str | None = None) -> Conversation | None:
        """
        Go on in the conversation and language that the body names, and return that conversation.

        Raises:
            RequestInvalid: there is no such conversation.
            ConversationEnded: it is over, and the endpoint would do something new in it.
        """
        self.context = self.context.in_language(language)
        if conversation_id is None:
            return self.context.conversation  # of the query
        conversation = _conversation(self.context.key, conversation_id)
        if conversation is None:
            raise RequestInvalid("conversation_id", "There is no such conversation.")
        self.go_on_in(conversation)
        if conversations.has_ended(conversation) and not self.works_after_call:
            raise ConversationEnded("The phone call with this conversation_id is over.")
        return conversation

    def go_on_in(self, conversation: Conversation) -> None:
        """Set the phone call that the request belongs to, in the context and on the log lines."""
        self.context = self.context.in_conversation(conversation)
        bind_contextvars(conversation_id=conversation.public_id)

    def appointment(self, booking_id: str) -> Appointment:
        """
        Return the booking, if the key's company (and branch, where it has one) has it; the context is about it then.

        Raises:
            BookingNotFound: there is none.
        """
        appointment = _appointment(self.context.key, booking_id)
        if appointment is None:
            raise BookingNotFound("There is no booking with this id.")
        self.context = self.context.about(appointment.service)
        bind_contextvars(appointment_id=appointment.public_id)
        return appointment

    def parsed(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the validated body."""
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


class UnknownAddressView(AgentView):
    """Any other address below /v1."""

    schema = None

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Answer 404 whatever the method; a request without a key was refused before."""
        raise NotFound("There is nothing at this address.")


def request_digest(operation: str, body: Mapping[str, object]) -> str:
    """Return a digest that tells requests under the same Idempotency-Key apart."""
    return hashlib.sha256(orjson.dumps([operation, body], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _conversation(key: AgentKey, conversation_id: str) -> Conversation | None:
    if not _CONVERSATION_ID.fullmatch(conversation_id):
        return None
    return Conversation.objects.of(key.company).select_related("branch").filter(public_id=conversation_id).first()


def _appointment(key: AgentKey, booking_id: str) -> Appointment | None:
    """Return the booking with all that any response says of it: a response while PostgreSQL is away asks no more."""
    if not _BOOKING_ID.fullmatch(booking_id):
        return None
    found = Appointment.objects.of(key.company).select_related(
        "company", "branch", "service__branch", "event_type__account"
    )
    if key.branch_id:
        found = found.filter(branch=key.branch_id)
    appointment = found.filter(public_id=booking_id).first()
    if appointment is not None and appointment.merged_into_id:
        return found.filter(pk=appointment.merged_into_id).first() or appointment
    return appointment


def _record(conversation: Conversation, request: Request, response: Response, duration: timedelta) -> None:
    conversations.note_seen(conversation)
    match = request.resolver_match
    conversations.record(
        conversation,
        endpoint=f"{request.method} /{match.route if match else ''}",
        request=_body_of(request),
        response=response.data,
        status=response.status_code,
        cache_status=response.headers.get("Cache-Status", ""),
        duration=duration,
    )


def _body_of(request: Request) -> object:
    """Return the body, None where it cannot be read: then the response has said so, or did not need it."""
    try:
        return request.data
    except (APIException, RequestError, OSError):
        return None
