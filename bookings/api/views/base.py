"""The agents' operations: parse, one call, render. They know no rule and catch nothing."""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, ClassVar, NoReturn

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from bookings import metrics
from bookings.api import openapi as described
from bookings.api import presenters, wire
from bookings.api.auth import methods_without_scope
from bookings.api.directory import ranked, service_of, services_of
from bookings.api.problems import IdempotencyKeyRequired, RequestError, RequestInvalid, problem_of
from bookings.api.serializers.requests import BookingRequest, CancelRequest, Question, phone_number
from bookings.availability import calendar_view
from bookings.errors import (
    BookingNotFound,
    ConversationEnded,
    DateInPast,
    DeadlineExceeded,
    TooFar,
)
from bookings.models import AgentKey, Appointment, Branch, Conversation, Operation, Service, Staff
from bookings.scheduling import booking, cancelling, conversations, execution, holds
from bookings.scheduling.execution import Booked
from cachectl.cache import CacheResult, Freshness
from cachectl.infra.deadline import Deadline
from calcom.models import EventType
from calcom.service import CalcomService
from monitoring.logs import contained

_BOOKING_ID = re.compile(r"bk_[0-9A-Z]{16}")
_CONVERSATION_ID = re.compile(r"cv_[0-9A-Z]{16}")
_OPERATION_ID = re.compile(r"op_[0-9A-Z]{16}")


class AgentView(APIView):
    """One operation for agents: who asks, until when, in which language; and the headers of every answer."""

    scopes: ClassVar[Mapping[str, AgentKey.Scope]] = {}
    works_after_call: ClassVar[bool] = False
    """Whether a conversation that has ended is no reason to refuse: nothing new is done, or nothing is shown."""
    service: Service | None = None
    event_type: EventType | None = None
    """What books it, where it is not the service's own."""
    staff: Staff | None = None
    """Who is meant by that."""
    call: Conversation | None = None
    asked_language: str | None = None
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
    def key(self) -> AgentKey:
        """Return the key that was shown."""
        key = self.request.auth
        assert isinstance(key, AgentKey)  # noqa: S101  HasScope lets nobody else in
        return key

    @property
    def branch(self) -> Branch | None:
        """Return the branch that the request is about, as far as that is known."""
        if self.service is not None:
            return self.service.branch
        if self.call is not None and self.call.branch is not None:
            return self.call.branch
        return self.accepted_key.branch if self.accepted_key else None

    @property
    def language(self) -> str:
        """Return the language to answer in: the one asked for, Accept-Language's, the call's, the branch's."""
        accepted = self.request.META.get("HTTP_ACCEPT_LANGUAGE", "")
        asked = wire.spoken_language(self.asked_language or "") or wire.accepted_language(accepted)
        usual = (self.call.language if self.call else "") or (self.branch.language if self.branch else "")
        return asked or wire.spoken_language(usual) or "en"

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return what every answer carries: nobody on the way may keep it."""
        return {"Cache-Control": "no-store"}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Start the clocks."""
        self.began = time.perf_counter()
        self.applied_wait = wire.preferred_wait(request.META.get("HTTP_PREFER", ""))
        default = settings.BOOKINGS_READ_WAIT if request.method == "GET" else settings.BOOKINGS_WRITE_WAIT
        self.deadline = Deadline.after(self.applied_wait or default)
        self.asked_language = request.GET.get("language")
        return super().initialize_request(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Authenticate, and keep the key for answers that must not authenticate again."""
        super().perform_authentication(request)
        self.accepted_key = request.auth if isinstance(request.auth, AgentKey) else None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Admit the request. With `conversation_id` in its address it goes into that call's timeline."""
        super().initial(request, *args, **kwargs)
        if request.method == "OPTIONS" or request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)  # what else is wrong with the request does not matter then
        self.conversation(request.query_params.get("conversation_id"))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Tell language, time taken, and what is left of the rate."""
        duration = time.perf_counter() - self.began
        with contained("answer.headers_incomplete"):
            self.headers["Content-Language"] = self.language
            if self.applied_wait is not None:
                self.headers["Preference-Applied"] = f"wait={self.applied_wait:g}"
            self.headers.update(self.rate_limit_headers)
            self.headers["Server-Timing"] = f"total;dur={duration * 1000:.2f}"
        if self.call is not None:
            with contained("timeline.line_lost", conversation_id=self.call.public_id):
                self._tell_timeline(self.call, request, response, timedelta(seconds=duration))
        return super().finalize_response(request, response, *args, **kwargs)

    def _tell_timeline(self, call: Conversation, request: Request, response: Response, duration: timedelta) -> None:
        conversations.note_seen(call)
        match = request.resolver_match
        conversations.record(
            call,
            endpoint=f"{request.method} /{match.route if match else ''}",
            request=_body_of(request),
            response=response.data,
            status=response.status_code,
            cache_status=response.headers.get("Cache-Status", ""),
            duration=duration,
        )

    def times(self, starts: Sequence[datetime], tokens: Sequence[str]) -> list[dict[str, str]]:
        """Return times of the service as answers spell them; where there are tokens, each with its slot_token."""
        assert self.service is not None  # noqa: S101
        length = timedelta(minutes=(self.event_type or self.service.event_type).length_minutes)
        zone = self.service.branch.time_zone
        spelled = [presenters.time_of(start, start + length, zone=zone, language=self.language) for start in starts]
        if not tokens:
            return spelled
        return [{"slot_token": token, **each} for token, each in zip(tokens, spelled, strict=True)]

    def conversation(self, public_id: str | None) -> Conversation | None:
        """Return the phone call that a request names, None where it names none. The request goes into its timeline."""
        if public_id is None:
            return None
        calls = Conversation.objects.of(self.key.company).select_related("branch")
        self.call = calls.filter(public_id=public_id).first() if _CONVERSATION_ID.fullmatch(public_id) else None
        if self.call is None:
            raise RequestInvalid("conversation_id", "There is no such conversation.")
        if conversations.has_ended(self.call) and not self.works_after_call:
            raise ConversationEnded("The phone call with this conversation_id is over.")
        return self.call

    @property
    def own_number(self) -> str | None:
        """Return the number that the caller calls from, where it came from a trusted source."""
        return self.call.caller_phone if self.call else None

    def may_name(self, appointment: Appointment) -> bool:
        """Return whether an appointment may be named that nobody asked for: to the one whose certain number it has."""
        is_theirs = self.own_number is not None and self.own_number == appointment.attendee_phone
        return (
            is_theirs
            and AgentKey.Scope.BOOKINGS_READ in self.key.scopes
            and self.key.branch_id in {None, appointment.branch_id}
        )

    def parsed(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return what the body says, checked."""
        body = serializer(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)


def _body_of(request: Request) -> object:
    """Return what the body says, None where it cannot be read: the answer has said so, or did not need it."""
    try:
        return request.data
    except (APIException, RequestError, OSError):
        return None


class Services(AgentView):
    """What callers can book."""

    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @described.services
    def get(self, request: Request) -> Response:
        """List the services; with q, those whose name or alias resembles it, the best match first."""
        words = request.query_params.get("q", "").strip()
        if len(words) > 200:
            raise RequestInvalid("q", "It may have at most 200 characters.")
        offered = services_of(self.key)
        found = ranked(offered, words) if words else [(service, None) for service in offered]
        return Response({"ok": True, "services": [presenters.listed_service(*pair) for pair in found]})


class Availability(AgentView):
    """When a service can be booked."""

    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @described.availability
    def get(self, request: Request) -> Response:
        """List the free slots of a service in a window."""
        question = Question.parse(request.query_params, self.key)
        self.service, now = question.service, timezone.now()
        _refuse_hopeless(question, now)
        found = calendar_view.open_times(
            service=question.service,
            first=question.first,
            last=question.last,
            now=now,
            calcom=CalcomService(question.service.event_type.account, tenant=self.key.company_id),
            deadline=self.deadline,
            max_age=wire.max_age(request.META.get("HTTP_CACHE_CONTROL", "")),
        )
        metrics.count_answer(found.known_in_full)
        return Response(self._answer(question.service, found), headers=wire.cache_headers(found.known))

    def _answer(self, service: Service, found: calendar_view.CalendarView) -> dict[str, object]:
        zone, known = service.branch.time_zone, found.known_in_full
        return {
            "ok": True,
            "status": _status(known, is_free=bool(found.starts)),
            "service": presenters.service(service),
            "time_zone": zone,
            "slots": presenters.slots(
                tuple(found.starts), zone=zone, minutes=service.event_type.length_minutes, language=self.language
            ),
            "unknown_days": _unknown_days(known),
            "freshness": presenters.freshness(known),
        }


def _refuse_hopeless(question: Question, now: datetime) -> None:
    """Name a window that no slot can be in, instead of calling it full."""
    if question.last <= now:
        raise DateInPast("The window has passed.")
    if question.first > now + timedelta(days=question.service.horizon_days):
        raise TooFar("The window is further ahead than callers may book.")


def _status(known: CacheResult, *, is_free: bool) -> str:
    """Return `degraded` for a list that is old, and for one without slots that hides what may be free."""
    if not known.freshness.verified or (known.uncertain and not is_free):
        return "degraded"
    return "available" if is_free else "none"


def _unknown_days(known: CacheResult) -> list[str]:
    """Return the UTC dates of which nothing is known; when nothing is known at all, that is no answer."""
    if known.freshness is not Freshness.MISSING:
        return []
    unknown = [day.date.isoformat() for day in known.days.values() if day.freshness is Freshness.MISSING]
    if len(unknown) < len(known.days):
        return unknown
    if known.failure == "deadline":
        raise DeadlineExceeded("The calendar did not answer in time.", retry_after=known.retry_after or 1.0)
    raise calendar_view.unavailable(known)


class Bookings(AgentView):
    """Where bookings are made."""

    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}
    works_after_call = True  # a repeat is answered as the first request was; anything else is refused

    @described.book
    def post(self, request: Request) -> Response:
        """Book one slot for a caller."""
        asked = self.parsed(BookingRequest)
        self.asked_language = asked["caller"]["language"] or self.asked_language
        self.conversation(asked["conversation_id"])
        intent = self._intent(request, asked)
        self.event_type = intent.event_type
        calcom = CalcomService(intent.event_type.account, tenant=self.key.company_id)
        booked = booking.book(intent=intent, calcom=calcom, deadline=self.deadline, now=timezone.now())
        return changed(self, booked, HTTPStatus.CREATED, attendee_name=intent.attendee_name)

    def _intent(self, request: Request, asked: Mapping[str, Any]) -> booking.BookingIntent:
        caller, key, slot = asked["caller"], wire.idempotency_key(request.META), self._slot(asked)
        self.service = service = slot["service"]
        self.staff = slot.get("staff")
        if self.call is None and key is None and not (asked["confirm_token"] or asked["slot_token"]):
            raise IdempotencyKeyRequired("Send Idempotency-Key, or the conversation_id of the phone call.")
        return booking.BookingIntent(
            company=self.key.company,
            agent_key=self.key,
            attendee_name=caller["name"],
            attendee_phone=phone_number(caller["phone"], service.branch.phone_region) or self.own_number,
            attendee_email=caller["email"],
            language=self.language,
            notes=asked["notes"],
            answers=asked.get("answers") or {},
            conversation=self.call,
            idempotency_key=key,
            request_digest=digest("book", asked),
            **slot,
        )

    def _slot(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parts of the wish that say which slot. A token decides; what is said beside it may only agree."""
        within: dict[str, Any] = {"company": self.key.company, "conversation": self.call, "branch": self.key.branch}
        named = None if asked["service"] is None else service_of(self.key, asked["service"])
        if asked["confirm_token"]:
            held = holds.resolve_confirm_token(token=asked["confirm_token"], **within)
            slot: dict[str, Any] = {"hold": held, "service": held.service, "start": held.start}
        elif asked["slot_token"]:
            offer = holds.resolve_slot_token(token=asked["slot_token"], **within)
            slot = {"offer": offer, "service": offer.service, "start": offer.start, "staff": offer.staff}
        else:
            return {"service": named, "start": asked["start"]}
        if named not in {None, slot["service"]}:
            raise RequestInvalid("service", "The token is for another service.")
        if asked["start"] not in {None, slot["start"]}:
            raise RequestInvalid("start", "The token is for another time.")
        return slot


class Booking(AgentView):
    """One booking."""

    scopes: ClassVar = {"GET": AgentKey.Scope.BOOKINGS_READ}

    @described.booking
    def get(self, _request: Request, booking_id: str) -> Response:
        """Return a booking with its state."""
        appointment = appointment_of(self, booking_id)
        body = {"ok": True, "status": appointment.state}
        return Response(body | {"booking": presenters.booking(appointment, language=self.language)})


class Cancel(AgentView):
    """Where a booking is cancelled."""

    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}

    @described.cancel
    def post(self, request: Request, booking_id: str) -> Response:
        """Cancel a booking."""
        asked = self.parsed(CancelRequest)
        appointment = appointment_of(self, booking_id)
        cancelled = cancelling.cancel(
            appointment=appointment,
            reason=asked["reason"],
            requested_by=self.key,
            idempotency_key=wire.idempotency_key(request.META),
            request_digest=digest("cancel", asked | {"booking_id": booking_id}),
            calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
            deadline=self.deadline,
            now=timezone.now(),
        )
        return changed(self, cancelled, HTTPStatus.OK)


class OperationView(AgentView):
    """One change of a booking."""

    scopes: ClassVar = {"GET": AgentKey.Scope.BOOKINGS_READ}
    works_after_call = True

    @described.operation
    def get(self, _request: Request, operation_id: str) -> Response:
        """Say what became of a pending write."""
        operation = _operation_of(self, operation_id)
        self.service = operation.appointment.service
        status = presenters.status_of(operation)
        body = {
            "ok": True,
            "status": status,
            "operation": presenters.operation(operation),
            "booking": presenters.booking(operation.appointment, language=self.language),
            **self._told(operation),
        }
        retry_after = presenters.retry_after(operation)
        return Response(body, headers={"Retry-After": retry_after} if retry_after else None)

    def _told(self, operation: Operation) -> dict[str, object]:
        """Return what the caller may hear of it; of a refusal what they would have heard had they waited."""
        if operation.state != Operation.State.REFUSED:
            return presenters.told(operation, language=self.language)
        refused = problem_of(execution.refusal(operation))
        return {"spoken": refused.spoken(self.language), "agent_hint": refused.hint}


class Nothing(AgentView):
    """Every other address."""

    schema = None

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        """Say that there is nothing, whatever the method; a request without a key was refused before."""
        raise NotFound("There is nothing at this address.")


def appointment_of(view: AgentView, booking_id: str) -> Appointment:
    """
    Return the booking, if the key's company (and branch, where it has one) has it.

    With it comes all that any answer says of it: an answer that PostgreSQL is away must not ask for more.
    """
    found = Appointment.objects.of(view.key.company).select_related(
        "company", "branch", "service__branch", "event_type__account"
    )
    if view.key.branch_id:
        found = found.filter(branch=view.key.branch_id)
    appointment = found.filter(public_id=booking_id).first() if _BOOKING_ID.fullmatch(booking_id) else None
    if appointment is not None and appointment.merged_into_id:
        appointment = found.filter(pk=appointment.merged_into_id).first() or appointment
    if appointment is None:
        raise BookingNotFound("There is no booking with this id.")
    view.service = appointment.service
    return appointment


def _operation_of(view: AgentView, operation_id: str) -> Operation:
    """Return the change, if the key's company (and branch, where it has one) has it."""
    found = Operation.objects.of(view.key.company).select_related("appointment__branch", "appointment__service__branch")
    if view.key.branch_id:
        found = found.filter(appointment__branch=view.key.branch_id)
    operation = found.filter(public_id=operation_id).first() if _OPERATION_ID.fullmatch(operation_id) else None
    if operation is None:
        raise NotFound("There is no operation with this id.")
    return operation


def changed(view: AgentView, made: Booked, done: HTTPStatus, *, attendee_name: str = "") -> Response:
    """Answer a change: done, or 202 with the address of its outcome. `attendee_name`: see `answers.told`."""
    appointment, operation = made.appointment, made.operation
    pending = not made.is_settled
    status = presenters.status_of(operation) if pending else str(appointment.state)
    body = {
        "ok": True,
        "status": status,
        "booking": presenters.booking(appointment, language=view.language),
        "operation_id": operation.public_id,
        **presenters.told(operation, language=view.language, attendee_name=attendee_name),
        "replayed": made.replayed,
    }
    if pending:
        location = {
            "Location": reverse("operation", args=[operation.public_id]),
            "Retry-After": presenters.retry_after(operation),
        }
        return Response(body, status=HTTPStatus.ACCEPTED, headers=location)
    if not made.replayed:
        metrics.count_own_share(operation, answered_after=timedelta(seconds=time.perf_counter() - view.began))
    return Response(body, status=done, headers={"Location": reverse("booking", args=[appointment.public_id])})


def digest(operation: str, asked: Mapping[str, object]) -> str:
    """Return what tells one request from another under the same Idempotency-Key."""
    return hashlib.sha256(orjson.dumps([operation, asked], option=orjson.OPT_SORT_KEYS)).hexdigest()
