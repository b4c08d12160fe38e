"""/v1/bookings: make, read, find, reschedule and cancel bookings."""

import time
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar

from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings import metrics
from bookings.api import openapi, presenters, wire
from bookings.api.context import RequestContext
from bookings.api.directory import service_of
from bookings.api.problems import IdempotencyKeyRequired, RequestInvalid
from bookings.api.serializers.bookings import BookingSerializer, CancelSerializer, FindSerializer, RescheduleSerializer
from bookings.api.serializers.fields import phone_number
from bookings.api.views.base import AgentView, request_digest
from bookings.errors import SlotNotOffered
from bookings.language import booking_sentences as sentences
from bookings.models import AgentKey, Appointment, Conversation, SlotToken
from bookings.scheduling import booking, cancelling, holds, identity, rescheduling
from bookings.scheduling.execution import Booked
from calcom.service import CalcomService

_FOUND_HINT = "Read out only the one the caller means, then use its id to move or cancel it."
_NOT_FOUND_HINT = "Tell the caller. To look under another number, ask for the reference, or for the name and the date."


class BookingsView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}
    works_after_call = True  # a repeat is answered as the first request was; anything else is refused

    @openapi.create_booking
    def post(self, request: Request) -> Response:
        """Book one slot for a caller."""
        body = self.parsed(BookingSerializer)
        self.enter(body["conversation_id"], language=body["caller"]["language"])
        intent = self._intent(request, body)
        self.context = context = self.context.about(intent.service, intent.event_type)
        calcom = CalcomService(intent.event_type.account, tenant=context.key.company_id)
        booked = booking.book(intent=intent, calcom=calcom, deadline=context.deadline, now=timezone.now())
        return _response(context, booked, HTTPStatus.CREATED, attendee_name=intent.attendee_name)

    def _intent(self, request: Request, body: Mapping[str, Any]) -> booking.BookingIntent:
        key, slot = wire.idempotency_key(request.META), _slot(self.context, body)
        service, caller = slot["service"], body["caller"]
        self.context = context = self.context.about(service)
        if context.conversation is None and key is None and not (body["confirm_token"] or body["slot_token"]):
            raise IdempotencyKeyRequired("Send Idempotency-Key, or the conversation_id of the phone call.")
        return booking.BookingIntent(
            company=context.key.company,
            agent_key=context.key,
            attendee_name=caller["name"],
            attendee_phone=phone_number(caller["phone"], service.branch.phone_region) or context.caller_phone,
            attendee_email=caller["email"],
            language=context.language,
            notes=body["notes"],
            answers=body.get("answers") or {},
            conversation=context.conversation,
            idempotency_key=key,
            request_digest=request_digest("book", body),
            **slot,
        )


def _slot(context: RequestContext, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the intent that say which slot. A token decides; service and start beside it must agree."""
    key = context.key
    within: dict[str, Any] = {"company": key.company, "conversation": context.conversation, "branch": key.branch}
    named = None if body["service"] is None else service_of(key, body["service"])
    if body["confirm_token"]:
        held = holds.resolve_confirm_token(token=body["confirm_token"], **within)
        slot: dict[str, Any] = {"hold": held, "service": held.service, "start": held.start}
    elif body["slot_token"]:
        offer = holds.resolve_slot_token(token=body["slot_token"], **within)
        slot = {"offer": offer, "service": offer.service, "start": offer.start, "staff": offer.staff}
    else:
        return {"service": named, "start": body["start"]}
    if named not in {None, slot["service"]}:
        raise RequestInvalid("service", "The token is for another service.")
    if body["start"] not in {None, slot["start"]}:
        raise RequestInvalid("start", "The token is for another time.")
    return slot


class BookingView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.BOOKINGS_READ}

    @openapi.get_booking
    def get(self, _request: Request, booking_id: str) -> Response:
        """Return a booking with its state."""
        appointment = self.appointment(booking_id)
        shown = presenters.booking(appointment, language=self.context.language)
        return Response({"ok": True, "status": appointment.state, "booking": shown})


class FindBookingsView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_READ}

    @openapi.find_bookings
    def post(self, _request: Request) -> Response:
        """Find the upcoming appointments of the caller, once it is known who that is."""
        body = self.parsed(FindSerializer)
        found = identity.find(
            conversation=self.enter(body["conversation_id"]),
            branch_id=self.context.key.branch_id,
            proof=identity.Proof(reference=body["reference"], name=body["name"], day=body["date"]),
            now=timezone.now(),
        )
        self.context = context = self.context.about(found[0].service if found else None)
        return Response(
            {
                "ok": True,
                "status": "found" if found else "none",
                "bookings": [presenters.booking(each, language=context.language) for each in found],
                "spoken": sentences.appointments_found(len(found), context.language),
                "agent_hint": _FOUND_HINT if found else _NOT_FOUND_HINT,
            }
        )


class CancelView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}

    @openapi.cancel_booking
    def post(self, request: Request, booking_id: str) -> Response:
        """Cancel a booking."""
        body = self.parsed(CancelSerializer)
        appointment = self.appointment(booking_id)
        cancelled = cancelling.cancel(
            appointment=appointment,
            reason=body["reason"],
            requested_by=self.context.key,
            idempotency_key=wire.idempotency_key(request.META),
            request_digest=request_digest("cancel", body | {"booking_id": booking_id}),
            calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
            deadline=self.context.deadline,
            now=timezone.now(),
        )
        return _response(self.context, cancelled, HTTPStatus.OK)


class RescheduleView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}
    works_after_call = True  # a repeat is answered as the first request was; anything else is refused

    @openapi.reschedule_booking
    def post(self, request: Request, booking_id: str) -> Response:
        """Move a booking to another time."""
        body = self.parsed(RescheduleSerializer)
        appointment = self.appointment(booking_id)
        self.context = self.context.about(appointment.service, appointment.event_type)
        conversation = self.enter(body["conversation_id"])
        offer = _offer(self.context.key, body["slot_token"], appointment, conversation)
        rescheduled = rescheduling.reschedule(
            appointment=appointment,
            start=offer.start if offer else body["start"],
            reason=body["reason"],
            requested_by=self.context.key,
            offer=offer,
            conversation=conversation,
            idempotency_key=wire.idempotency_key(request.META),
            request_digest=request_digest("reschedule", body | {"booking_id": booking_id}),
            calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
            deadline=self.context.deadline,
            now=timezone.now(),
        )
        return _response(self.context, rescheduled, HTTPStatus.OK)


def _offer(
    key: AgentKey, token: str | None, appointment: Appointment, conversation: Conversation | None
) -> SlotToken | None:
    """Return the offer under a slot_token, if one was sent; it must fit the appointment."""
    if token is None:
        return None
    offer = holds.resolve_slot_token(token=token, company=key.company, conversation=conversation, branch=key.branch)
    if offer.event_type_id != appointment.event_type_id:
        raise SlotNotOffered("The offer is for another service, length or person than the appointment.")
    return offer


def _response(context: RequestContext, booked: Booked, done: HTTPStatus, *, attendee_name: str = "") -> Response:
    """Return `done`, or 202 with the address of the operation. `attendee_name`: see `presenters.outcome`."""
    appointment, operation, language = booked.appointment, booked.operation, context.language
    pending = not booked.is_settled
    body = {
        "ok": True,
        "status": presenters.status_of(operation) if pending else str(appointment.state),
        "booking": presenters.booking(appointment, language=language),
        "operation_id": operation.public_id,
        **presenters.outcome(operation, language=language, attendee_name=attendee_name),
        "replayed": booked.replayed,
    }
    if pending:
        location = reverse("v1:operation", args=[operation.public_id])
        headers = {"Location": location, "Retry-After": presenters.retry_after(operation)}
        return Response(body, status=HTTPStatus.ACCEPTED, headers=headers)
    if not booked.replayed:
        metrics.count_own_share(operation, answered_after=timedelta(seconds=time.perf_counter() - context.started_at))
    return Response(body, status=done, headers={"Location": reverse("v1:booking", args=[appointment.public_id])})
