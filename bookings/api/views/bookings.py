"""The caller's appointments: which they are, and moving one of them."""

from http import HTTPStatus
from typing import ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi as described
from bookings.api import presenters, wire
from bookings.api.serializers.requests import FindRequest, RescheduleRequest
from bookings.api.views.base import AgentView, appointment_of, changed, digest
from bookings.errors import SlotNotOffered
from bookings.language import booking_sentences as sentences
from bookings.models import AgentKey, Appointment, Conversation, SlotToken
from bookings.scheduling import holds, identity, rescheduling
from calcom.service import CalcomService

_HINT = "Read out only the one the caller means, then use its id to move or cancel it."
_HINT_NONE = "Tell the caller. To look under another number, ask for the reference, or for the name and the date."


class Reschedule(AgentView):
    """Where a booking is moved."""

    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}
    works_after_call = True  # a repeat is answered as the first request was; anything else is refused

    @described.reschedule
    def post(self, request: Request, booking_id: str) -> Response:
        """Move a booking to another time."""
        asked = self.parsed(RescheduleRequest)
        appointment = appointment_of(self, booking_id)
        self.event_type = appointment.event_type
        conversation = self.conversation(asked["conversation_id"])
        offer = self._offer(asked["slot_token"], appointment, conversation)
        moved = rescheduling.reschedule(
            appointment=appointment,
            start=offer.start if offer else asked["start"],
            reason=asked["reason"],
            requested_by=self.key,
            offer=offer,
            conversation=conversation,
            idempotency_key=wire.idempotency_key(request.META),
            request_digest=digest("reschedule", asked | {"booking_id": booking_id}),
            calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
            deadline=self.deadline,
            now=timezone.now(),
        )
        return changed(self, moved, HTTPStatus.OK)

    def _offer(
        self, token: str | None, appointment: Appointment, conversation: Conversation | None
    ) -> SlotToken | None:
        """Return the offer under a slot_token. What was offered for something else does not fit this appointment."""
        if token is None:
            return None
        offer = holds.resolve_slot_token(
            token=token, company=self.key.company, conversation=conversation, branch=self.key.branch
        )
        if offer.event_type_id != appointment.event_type_id:
            raise SlotNotOffered("The offer is for another service, length or person than the appointment.")
        return offer


class Find(AgentView):
    """Where a caller's appointments are found."""

    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_READ}

    @described.find
    def post(self, _request: Request) -> Response:
        """Find the upcoming appointments of the caller, once it is known who that is."""
        asked = self.parsed(FindRequest)
        found = identity.find(
            conversation=self.conversation(asked["conversation_id"]),
            branch_id=self.key.branch_id,
            proof=identity.Proof(reference=asked["reference"], name=asked["name"], day=asked["date"]),
            now=timezone.now(),
        )
        self.service = found[0].service if found else None
        status = "found" if found else "none"
        return Response(
            {
                "ok": True,
                "status": status,
                "bookings": [presenters.booking(each, language=self.language) for each in found],
                "spoken": sentences.found(len(found), self.language),
                "agent_hint": _HINT if found else _HINT_NONE,
            }
        )
