"""Where agents say that a person shall call back. It asks PostgreSQL and nobody else, so it works when little does."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi as described
from bookings.api import presenters, wire
from bookings.api.problems import RequestInvalid
from bookings.api.serializers.requests import CallbackRequest, phone_number
from bookings.api.views.base import AgentView, appointment_of, digest
from bookings.errors import PhoneRequired
from bookings.models import LIVE_STATES, AgentKey, Appointment, Branch
from bookings.scheduling import callbacks, identity


class Callbacks(AgentView):
    """Where callers ask to be called back."""

    scopes: ClassVar = {"POST": AgentKey.Scope.CALLBACKS_WRITE}
    works_after_call = True
    place: Branch | None = None
    """Which branch shall call, as far as that is known."""

    @property
    def branch(self) -> Branch | None:
        """Return the branch that the request is about."""
        return self.place or super().branch

    @described.call_back
    def post(self, request: Request) -> Response:
        """Have a person call back."""
        asked = self.parsed(CallbackRequest)
        self.asked_language = asked["language"] or self.asked_language
        self.conversation(asked["conversation_id"])
        booked = self._booked(asked)
        branches = self._branches(asked["branch"])
        self.place = _place(branches, booked.branch if booked else self.branch, asked["branch"])
        row, replayed = callbacks.ask(
            callbacks.Ask(
                company=self.key.company,
                branch=self.place,
                conversation=self.call,
                appointment=booked,
                requested_by=self.key,
                name=asked["name"],
                phone=self._number(asked["phone"], _region(self.place, branches)),
                language=self.language,
                topic=_topic(asked, booked),
                idempotency_key=wire.idempotency_key(request.META) or "",
                request_digest=digest("call back", asked),
            )
        )
        body = presenters.callback(row, own_number=self.own_number, replayed=replayed, language=self.language)
        return Response({"ok": True, **body}, status=HTTPStatus.OK if replayed else HTTPStatus.CREATED)

    def _booked(self, asked: Mapping[str, Any]) -> Appointment | None:
        """
        Return the booking it is about.

        An unknown reference is no error: whoever is not verified must not learn which references there are.
        """
        if asked["booking_id"] is not None:
            return appointment_of(self, asked["booking_id"])
        if asked["reference"] is None:
            return None
        live = Appointment.objects.of(self.key.company).filter(state__in=LIVE_STATES)
        if self.key.branch_id:
            live = live.filter(branch=self.key.branch_id)
        return live.select_related("branch").filter(reference=identity.letters(asked["reference"])).first()

    def _branches(self, name: str | None) -> list[Branch]:
        """Return the branches that may be meant."""
        branches = Branch.objects.of(self.key.company)
        if self.key.branch_id:
            branches = branches.filter(pk=self.key.branch_id)
        found = list(branches.filter(name=name) if name is not None else branches)
        if name is not None and not found:
            raise RequestInvalid("branch", "There is no such branch.")
        return found

    def _number(self, said: str | None, region: str | None) -> str:
        """Return the number to call: the one that was said, else the one that the caller calls from."""
        number = phone_number(said, region, field="phone") or self.own_number
        if number is None:
            raise PhoneRequired("Nobody knows what number to call.")
        return number


def _place(branches: Sequence[Branch], known: Branch | None, named: str | None) -> Branch | None:
    """Return who shall call: the branch that is named, else the one it is about, else the only one there is."""
    if named is None and known is not None:
        return known
    return branches[0] if len(branches) == 1 else None


def _region(place: Branch | None, branches: Sequence[Branch]) -> str | None:
    """Return how a number without country code is read, None where branches would read it differently."""
    regions = {branch.phone_region for branch in ([place] if place else branches)}
    return regions.pop() if len(regions) == 1 else None


def _topic(asked: Mapping[str, Any], booked: Appointment | None) -> str:
    """Return what it is about; with a reference that fits no booking, the staff may make something of it."""
    unknown = asked["reference"] if booked is None else None
    return f"{asked['topic']} (reference as said: {unknown})" if unknown else str(asked["topic"])
