"""A sequence being played: what its people know, what was asked for and told, and what happened at Cal.com."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.http import HttpResponse

from bookings.models import Appointment, AppointmentState
from calcom.http.parsing import METADATA_KEY
from calcom.simulator.state import Booking
from tests.chaos.sequences.stage import Line, Stage

_UNBOOKED = (AppointmentState.HELD, AppointmentState.EXPIRED)


class Told(StrEnum):
    """What an agent was told."""

    DONE = "done"
    PENDING = "pending"
    UNDER_WAY = "under way: ask again"
    REFUSED = "refused"
    OVER = "over since"
    NOTHING = "nothing: we died"


@dataclass
class Ask:
    """Something that an agent wants done, however often it says so."""

    line: Line
    operation: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    made: set[int] = field(default_factory=set)
    """The appointments that it led to, by their keys."""
    promised: set[str] = field(default_factory=set)
    """The appointments that were told confirmed, by their ids."""

    @property
    def wish(self) -> tuple[object, ...]:
        """Return what tells it from other wishes."""
        said = self.body
        token = said.get("confirm_token") or said.get("slot_token")
        if token:
            return (token,)
        if said.get("conversation_id"):
            return said["conversation_id"], said["service"], said["start"]
        return self.line.company.pk, self.headers["idempotency_key"], said["start"]


@dataclass(frozen=True)
class Token:
    """What an agent holds: an offer, or a hold."""

    line: Line
    service: str
    start: datetime
    conversation: str | None
    text: str
    until: datetime
    is_promised: bool
    """Nothing had gone wrong until it was given."""


@dataclass
class Play:
    """What is going on."""

    stage: Stage
    asks: list[Ask] = field(default_factory=list)
    offers: list[Token] = field(default_factory=list)
    holds: list[Token] = field(default_factory=list)
    is_calm: bool = True
    """Nothing has gone wrong so far, and nobody has changed anything at Cal.com."""
    by_people: set[str] = field(default_factory=set)
    """Bookings that people at Cal.com made, or put where they are."""
    delivered: set[int] = field(default_factory=set)
    """Webhooks that have come."""
    hanging_since: datetime | None = None
    """Since when Cal.com may be holding a request."""
    lines: list[str] = field(default_factory=list)
    """What happened, for people."""
    problems: list[str] = field(default_factory=list)
    """What should not have happened."""

    def say(self, line: str) -> None:
        """Write down what happens."""
        self.lines.append(f"{self.stage.clock.now():%H:%M:%S} {line}")

    def object(self, problem: str) -> None:
        """Write down what should not have happened."""
        self.say(f"!!! {problem}")
        self.problems.append(problem)

    # --- what is true at Cal.com

    def standing(self, line: Line) -> list[Booking]:
        """Return what is booked in the line's account."""
        owner = self.stage.simulator.app.state.keys[line.account.api_key].id
        stored = self.stage.simulator.app.state.bookings.values()
        return [booking for booking in stored if booking.status == "accepted" and booking.owner.id == owner]

    # --- asking

    def ask(self, ask: Ask, body: dict[str, Any] | None = None) -> tuple[Told, dict[str, Any]]:
        """Ask for something, in other words if `body` says so, and write down what is told."""
        before = _booked()
        answer = self.stage.process.run(lambda: ask.line.agent.post(ask.path, body or ask.body, **ask.headers))
        told, said = _read(answer, "cancelled" if ask.operation == "cancel" else "confirmed")
        if ask not in self.asks:
            self.asks.append(ask)
        ask.told.append(told)
        ask.made |= _booked() - before
        self.say(f"{ask.operation} {ask.path} {body or ask.body} {ask.headers} -> {told}: {said.get('code', '')}")
        if said.get("status") == 500:
            self.object(f"answered 500: {said['code']}")
        if told is Told.DONE:
            ask.promised.add(said["booking"]["id"])
        if told is Told.DONE and not said["replayed"]:
            self._check(ask, said)
        return told, said

    def _check(self, ask: Ask, said: dict[str, Any]) -> None:
        """What an agent is told is so at that moment."""
        booking = said["booking"]
        row = Appointment.objects.get(public_id=booking["id"])
        there = [each for each in self.standing(ask.line) if each.uid == row.remote_uid]
        if ask.operation == "cancel":
            if there:
                self.object("told cancelled, and it stands")
        elif [each.start for each in there] != [datetime.fromisoformat(booking["start"]).timestamp()]:
            self.object("told confirmed, and it does not stand there")
        elif row.origin == "agent" and there[0].metadata.get(METADATA_KEY) != row.public_id:
            self.object("told confirmed, and it is somebody else's")


def _booked() -> set[int]:
    return set(Appointment.objects.filter(origin="agent").exclude(state__in=_UNBOOKED).values_list("pk", flat=True))


def _read(answer: HttpResponse | None, status: str) -> tuple[Told, dict[str, Any]]:
    if answer is None:
        return Told.NOTHING, {}
    body = answer.json()
    if answer.status_code == 202:
        return Told.PENDING, body
    if answer.status_code in {200, 201}:
        return (Told.DONE if body["status"] == status else Told.OVER), body
    return (Told.UNDER_WAY if body["code"] == "idempotency_in_progress" else Told.REFUSED), body
