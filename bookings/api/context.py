"""What is known about a request: who asks, until when, in which language, and in which phone call."""

import time
from dataclasses import dataclass, replace
from typing import Self

from django.conf import settings
from django.http import HttpRequest

from bookings.api import wire
from bookings.models import AgentKey, Appointment, Branch, Conversation, Service
from cachectl.infra.deadline import Deadline
from calcom.models import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """Never changed: as more becomes known of a request, its view replaces the context by a fuller one."""

    deadline: Deadline
    started_at: float
    """By time.perf_counter()."""
    wait: float | None = None
    """The seconds of `Prefer: wait` that are honoured; None where it was not sent."""
    accept_language: str = ""
    requested_language: str | None = None
    """Of the query or the body; it precedes Accept-Language."""
    agent_key: AgentKey | None = None
    """None before authentication."""
    conversation: Conversation | None = None
    branch: Branch | None = None
    """The branch that the request is about, as far as it is known."""
    service: Service | None = None
    event_type: EventType | None = None
    """What books the service, where that is not its own event type."""

    @classmethod
    def of(cls, request: HttpRequest, *, reads: bool) -> Self:
        """Return the context of a request that just arrived; `reads` decides how long it may wait by default."""
        wait = wire.preferred_wait(request.META.get("HTTP_PREFER", ""))
        default = settings.BOOKINGS_READ_WAIT if reads else settings.BOOKINGS_WRITE_WAIT
        return cls(
            deadline=Deadline.after(wait or default),
            started_at=time.perf_counter(),
            wait=wait,
            accept_language=request.META.get("HTTP_ACCEPT_LANGUAGE", ""),
            requested_language=request.GET.get("language"),
        )

    def authenticated(self, key: AgentKey) -> Self:
        return replace(self, agent_key=key, branch=key.branch)

    def in_language(self, requested: str | None) -> Self:
        return replace(self, requested_language=requested or self.requested_language)

    def in_conversation(self, conversation: Conversation) -> Self:
        """Return the context with a phone call, and its branch unless the service says which."""
        branch = self.branch if self.service else conversation.branch or self.branch
        return replace(self, conversation=conversation, branch=branch)

    def about(self, service: Service | None, event_type: EventType | None = None) -> Self:
        """Return the context with the service that the request is about, and its branch."""
        branch = service.branch if service else self.branch
        return replace(self, service=service, event_type=event_type, branch=branch)

    @property
    def key(self) -> AgentKey:
        """Return the key of an authenticated request."""
        assert self.agent_key is not None  # noqa: S101  HasScope refuses any other
        return self.agent_key

    @property
    def language(self) -> str:
        """Return the language to answer in: the one requested, Accept-Language's, the call's, the branch's."""
        requested = wire.spoken_language(self.requested_language or "") or wire.accepted_language(self.accept_language)
        usual = (self.conversation.language if self.conversation else "") or (
            self.branch.language if self.branch else ""
        )
        return requested or wire.spoken_language(usual) or "en"

    @property
    def caller_phone(self) -> str | None:
        """Return the number that the caller calls from, where it came from a trusted source."""
        return self.conversation.caller_phone if self.conversation else None

    def may_name(self, appointment: Appointment) -> bool:
        """Return whether an appointment may be named unasked: to a caller whose certain number it has."""
        is_theirs = self.caller_phone is not None and self.caller_phone == appointment.attendee_phone
        may_see = AgentKey.Scope.BOOKINGS_READ in self.key.scopes and self.key.branch_id in {
            None,
            appointment.branch_id,
        }
        return is_theirs and may_see
