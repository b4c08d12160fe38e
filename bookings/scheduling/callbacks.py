"""
A person shall call back: the way out that works when neither Cal.com nor Redis does, because it needs PostgreSQL only.

Callers ask for it; and whoever was told that something is on its way is called when it came to nothing after all.
"""

import hashlib
from dataclasses import dataclass, field

from django.db.models import QuerySet
from django.db.models.functions import Now

from bookings.errors import IdempotencyKeyReused
from bookings.models import AgentKey, Appointment, Branch, CallbackRequest, Company, Conversation


@dataclass(frozen=True)
class Ask:
    """Who shall be called, and what it is about."""

    company: Company
    phone: str = field(repr=False)
    """E.164."""
    topic: str = field(repr=False)
    name: str = field(default="", repr=False)
    branch: Branch | None = None
    conversation: Conversation | None = None
    appointment: Appointment | None = None
    requested_by: AgentKey | None = None
    language: str = ""
    idempotency_key: str = ""
    request_digest: str = ""
    """What came with that key."""

    @property
    def deduplication_key(self) -> str:
        """
        Return what is equal for repeats: the call and its topic; without a call, the number instead.

        Within a call neither name nor number counts: platforms repeat a request with what they have learned since.
        """
        asked_in = self.conversation.public_id if self.conversation else self.phone
        return _digest(asked_in, self.appointment.public_id if self.appointment else "", _spelled(self.topic))


def ask(asked: Ask) -> tuple[CallbackRequest, bool]:
    """
    Write down that somebody shall be called; return the row, and whether an earlier request had asked for the same.

    Raises:
        IdempotencyKeyReused: the key came with another request before.
    """
    new = CallbackRequest(
        company=asked.company,
        branch=asked.branch,
        conversation=asked.conversation,
        appointment=asked.appointment,
        requested_by=asked.requested_by,
        name=asked.name,
        phone=asked.phone,
        language=asked.language,
        topic=asked.topic,
        deduplication_key=asked.deduplication_key,
        idempotency_key=asked.idempotency_key,
        request_digest=asked.request_digest,
    )
    while True:
        earlier = _earlier(asked)
        if earlier is not None:
            return earlier, earlier.public_id != new.public_id
        CallbackRequest.objects.bulk_create([new], ignore_conflicts=True)


def _earlier(asked: Ask) -> CallbackRequest | None:
    own = CallbackRequest.objects.of(asked.company)
    if asked.idempotency_key:
        same_key = own.filter(idempotency_key=asked.idempotency_key).first()
        if same_key is not None:
            if same_key.request_digest != asked.request_digest:
                raise IdempotencyKeyReused("The key came with another request before.")
            return same_key
    return own.filter(deduplication_key=asked.deduplication_key, state=CallbackRequest.State.OPEN).first()


def owe(appointment: Appointment, topic: str) -> bool:
    """
    Have whoever made the appointment called, within the transaction that is open; return whether that is possible.

    Without a number it is not.
    """
    if not appointment.attendee_phone:
        return False
    owed = CallbackRequest(
        company_id=appointment.company_id,
        branch_id=appointment.branch_id,
        conversation_id=appointment.conversation_id,
        appointment=appointment,
        name=appointment.attendee_name,
        phone=appointment.attendee_phone,
        language=appointment.language,
        topic=topic,
        deduplication_key=_digest(appointment.public_id, topic),
    )
    CallbackRequest.objects.bulk_create([owed], ignore_conflicts=True)
    return True


def finish(callbacks: QuerySet[CallbackRequest], *, by: str) -> int:
    """Take open callbacks off the list, because somebody has called; return how many that were."""
    still_open = callbacks.filter(state=CallbackRequest.State.OPEN)
    return still_open.update(state=CallbackRequest.State.DONE, done_at=Now(), done_by=by)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _spelled(topic: str) -> str:
    return " ".join(topic.casefold().split())
