"""POST /v1/holds and DELETE /v1/holds/{id}."""

from http import HTTPStatus
from typing import ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from structlog.contextvars import bind_contextvars

from bookings.api import openapi, presenters
from bookings.api.serializers.conversations import HoldSerializer
from bookings.api.views.base import AgentView
from bookings.models import AgentKey, AppointmentState
from bookings.scheduling import holds
from calcom.service import CalcomService

_HOLD_HINT = "Say read_back. Book with confirm_token as soon as the caller agrees, before expires_at."
_UNVERIFIED_HINT = (
    "It is kept for this caller, but it is not known whether it is still free: Cal.com could not be asked. Say"
    " read_back, book with confirm_token once the caller agrees, and promise nothing until it is confirmed."
)
_BOOKED_HINT = "It is booked already: POST /v1/bookings with this confirm_token says what became of it."


class HoldsView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.BOOKINGS_WRITE}

    @openapi.hold_slot
    def post(self, _request: Request) -> Response:
        """Keep one offered slot free while the caller decides."""
        body = self.parsed(HoldSerializer)
        conversation, key = self.enter(body["conversation_id"]), self.context.key
        offer = holds.resolve_slot_token(
            token=body["slot_token"], company=key.company, conversation=conversation, branch=key.branch
        )
        self.context = context = self.context.about(offer.service, offer.event_type)
        calcom = CalcomService(offer.event_type.account, tenant=key.company_id)
        held = holds.hold(offer=offer, calcom=calcom, deadline=context.deadline, now=timezone.now())
        bind_contextvars(appointment_id=held.appointment.public_id)
        shown = presenters.hold(held, staff=offer.staff.name if offer.staff else "", language=context.language)
        hint = _HOLD_HINT if held.verified else _UNVERIFIED_HINT
        return Response(
            {"ok": True, **shown, "agent_hint": hint if held.expires_at else _BOOKED_HINT},
            status=HTTPStatus.OK if held.replayed else HTTPStatus.CREATED,
        )


class HoldView(AgentView):
    scopes: ClassVar = {"DELETE": AgentKey.Scope.BOOKINGS_WRITE}
    works_after_call = True

    @openapi.release_slot
    def delete(self, _request: Request, hold_id: str) -> Response:
        """Release a hold. What has been booked stays booked, and the status says so."""
        appointment = self.appointment(hold_id)
        holds.release(appointment=appointment)
        is_over = appointment.state == AppointmentState.EXPIRED
        return Response({"ok": True, "status": "released" if is_over else appointment.state, "hold_id": hold_id})
