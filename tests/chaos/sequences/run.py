"""A running sequence: requests and replies, tokens, what happened at Cal.com, and what failed."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.http import HttpResponse

from bookings.models import Appointment, AppointmentState
from calcom.http.parsing import METADATA_KEY
from calcom.simulator.state import Booking
from tests.chaos.sequences.sandbox import Sandbox, Tenant

_UNBOOKED = (AppointmentState.HELD, AppointmentState.EXPIRED)


class Reply(StrEnum):
    """How a request was answered."""

    DONE = "done"
    PENDING = "pending"
    IN_PROGRESS = "in progress: repeat"
    REFUSED = "refused"
    OVER = "done, and changed since"
    NONE = "none: killed"


@dataclass
class Request:
    """A write of an agent, however often it is sent."""

    tenant: Tenant
    operation: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    made: set[int] = field(default_factory=set)
    """Primary keys of the appointments that it created."""
    promised: set[str] = field(default_factory=set)
    """Ids of the appointments that were confirmed to the agent."""

    @property
    def intent(self) -> tuple[object, ...]:
        """Return what makes it the same request to us."""
        body = self.body
        token = body.get("confirm_token") or body.get("slot_token")
        if token:
            return (token,)
        if body.get("conversation_id"):
            return body["conversation_id"], body["service"], body["start"]
        return self.tenant.company.pk, self.headers["idempotency_key"], body["start"]


@dataclass(frozen=True)
class Token:
    """The token of an offer or a hold."""

    tenant: Tenant
    service: str
    start: datetime
    conversation: str | None
    text: str
    until: datetime
    is_promised: bool
    """Whether nothing had gone wrong until it was issued."""


@dataclass
class Run:
    """The state of a sequence."""

    sandbox: Sandbox
    requests: list[Request] = field(default_factory=list)
    offers: list[Token] = field(default_factory=list)
    holds: list[Token] = field(default_factory=list)
    is_undisturbed: bool = True
    """Whether there was no fault so far, and no change at Cal.com."""
    changed_at_calcom: set[str] = field(default_factory=set)
    """Uids of bookings that were made or changed at Cal.com itself."""
    delivered: set[int] = field(default_factory=set)
    """Ids of delivered webhooks."""
    hanging_since: datetime | None = None
    """Since when Cal.com may be holding a request."""
    log_lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def log(self, text: str) -> None:
        """Log what happens."""
        self.log_lines.append(f"{self.sandbox.clock.now():%H:%M:%S} {text}")

    def fail(self, problem: str) -> None:
        """Log what is wrong; the sequence fails."""
        self.log(f"!!! {problem}")
        self.problems.append(problem)

    def remote_bookings(self, tenant: Tenant) -> list[Booking]:
        """Return the accepted bookings of the tenant's account."""
        owner = self.sandbox.simulator.app.state.keys[tenant.account.api_key].id
        stored = self.sandbox.simulator.app.state.bookings.values()
        return [booking for booking in stored if booking.status == "accepted" and booking.owner.id == owner]

    def send(self, request: Request, body: dict[str, Any] | None = None) -> tuple[Reply, dict[str, Any]]:
        """Send a request, with another `body` if one is given, and check the reply."""
        before = _booked()
        answer = self.sandbox.process.run(
            lambda: request.tenant.agent.post(request.path, body or request.body, **request.headers)
        )
        reply, answered = _classify(answer, "cancelled" if request.operation == "cancel" else "confirmed")
        if request not in self.requests:
            self.requests.append(request)
        request.replies.append(reply)
        request.made |= _booked() - before
        sent = f"{request.operation} {request.path} {body or request.body} {request.headers}"
        self.log(f"{sent} -> {reply}: {answered.get('code', '')}")
        if answered.get("status") == 500:
            self.fail(f"answered 500: {answered['code']}")
        if reply is Reply.DONE:
            request.promised.add(answered["booking"]["id"])
        if reply is Reply.DONE and not answered["replayed"]:
            self._check(request, answered)
        return reply, answered

    def _check(self, request: Request, answered: dict[str, Any]) -> None:
        """Check that the reply is true at this moment."""
        booking = answered["booking"]
        row = Appointment.objects.get(public_id=booking["id"])
        there = [each for each in self.remote_bookings(request.tenant) if each.uid == row.remote_uid]
        if request.operation == "cancel":
            if there:
                self.fail("confirmed as cancelled, and is booked")
        elif [each.start for each in there] != [datetime.fromisoformat(booking["start"]).timestamp()]:
            self.fail("confirmed, and is not booked at that time")
        elif row.origin == "agent" and there[0].metadata.get(METADATA_KEY) != row.public_id:
            self.fail("confirmed, and the booking is another one")


def _booked() -> set[int]:
    return set(Appointment.objects.filter(origin="agent").exclude(state__in=_UNBOOKED).values_list("pk", flat=True))


def _classify(answer: HttpResponse | None, status: str) -> tuple[Reply, dict[str, Any]]:
    if answer is None:
        return Reply.NONE, {}
    body = answer.json()
    if answer.status_code == 202:
        return Reply.PENDING, body
    if answer.status_code in {200, 201}:
        return (Reply.DONE if body["status"] == status else Reply.OVER), body
    return (Reply.IN_PROGRESS if body["code"] == "idempotency_in_progress" else Reply.REFUSED), body
