"""POST /v1/callbacks: a person shall call back. It needs PostgreSQL only: Cal.com and Redis may be away."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi, presenters, wire
from bookings.api.problems import RequestInvalid
from bookings.api.serializers.callbacks import CallbackSerializer
from bookings.api.serializers.fields import phone_number
from bookings.api.views.base import AgentView, request_digest
from bookings.errors import PhoneRequired
from bookings.models import LIVE_STATES, AgentKey, Appointment, Branch
from bookings.scheduling import callbacks, identity
from bookings.scheduling.waiting_list import may_wait


class CallbacksView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.CALLBACKS_WRITE}
    works_after_call = True

    @openapi.request_callback
    def post(self, request: Request) -> Response:
        """Have a person call back."""
        body = self.parsed(CallbackSerializer)
        self.enter(body["conversation_id"], language=body["language"])
        booked = self._booked(body)
        branches = _branches(self.context.key, body["branch"])
        place = _place(branches, booked.branch if booked else self.context.branch, body["branch"])
        self.context = context = replace(self.context, branch=place or self.context.branch)
        number = phone_number(body["phone"], _region(place, branches), field="phone") or context.caller_phone
        if number is None:
            raise PhoneRequired("There is no number to call.")
        row, replayed = callbacks.request_callback(
            callbacks.CallbackIntent(
                company=context.key.company,
                branch=place,
                conversation=context.conversation,
                appointment=booked,
                requested_by=context.key,
                name=body["name"],
                phone=number,
                language=context.language,
                wants_earlier=body["wants_earlier"] and booked is not None and may_wait(booked, timezone.now()),
                topic=_topic(body, booked),
                idempotency_key=wire.idempotency_key(request.META) or "",
                request_digest=request_digest("call back", body),
            )
        )
        shown = presenters.callback(row, own_number=context.caller_phone, replayed=replayed, language=context.language)
        return Response({"ok": True, **shown}, status=HTTPStatus.OK if replayed else HTTPStatus.CREATED)

    def _booked(self, body: Mapping[str, Any]) -> Appointment | None:
        """
        Return the booking it is about.

        An unknown reference is no error: a caller who is not verified must not learn which references exist.
        """
        if body["booking_id"] is not None:
            return self.appointment(body["booking_id"])
        if body["reference"] is None:
            return None
        key = self.context.key
        live = Appointment.objects.of(key.company).filter(state__in=LIVE_STATES)
        if key.branch_id:
            live = live.filter(branch=key.branch_id)
        return live.select_related("branch").filter(reference=identity.letters(body["reference"])).first()


def _branches(key: AgentKey, name: str | None) -> list[Branch]:
    """Return the branches that may be meant."""
    branches = Branch.objects.of(key.company)
    if key.branch_id:
        branches = branches.filter(pk=key.branch_id)
    found = list(branches.filter(name=name) if name is not None else branches)
    if name is not None and not found:
        raise RequestInvalid("branch", "There is no such branch.")
    return found


def _place(branches: Sequence[Branch], known: Branch | None, named: str | None) -> Branch | None:
    """Return the branch that calls back: the one named, else the one it is about, else the only one there is."""
    if named is None and known is not None:
        return known
    return branches[0] if len(branches) == 1 else None


def _region(place: Branch | None, branches: Sequence[Branch]) -> str | None:
    """Return how a number without country code is read, None where branches would read it differently."""
    regions = {branch.phone_region for branch in ([place] if place else branches)}
    return regions.pop() if len(regions) == 1 else None


def _topic(body: Mapping[str, Any], booked: Appointment | None) -> str:
    """Return what it is about; a reference that fits no booking is added, for staff to make something of."""
    unknown = body["reference"] if booked is None else None
    return f"{body['topic']} (reference as said: {unknown})" if unknown else str(body["topic"])
