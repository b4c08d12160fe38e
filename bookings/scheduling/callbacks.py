"""
Requests that staff call back. They need PostgreSQL only, so they work while Cal.com or Redis is down.

Callers make them; Slotline itself makes one for a caller who was told that an operation is pending when it fails.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from bookings.errors import IdempotencyKeyReused
from bookings.models import AgentKey, Appointment, Branch, CallbackRequest, Company, Conversation
from bookings.scheduling import claims


@dataclass(frozen=True)
class CallbackIntent:
    """Whom staff should call, and what about."""

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
    wants_earlier: bool = False
    """Whether they keep the appointment and are called only once an earlier time opens."""
    idempotency_key: str = ""
    request_digest: str = ""
    """SHA-256 of the request sent with that key."""

    @property
    def deduplication_key(self) -> str:
        """
        Return a hash of the call (without one, the number), the appointment and the topic.

        Within a call neither name nor number counts: platforms repeat a request with what they have learned since.
        """
        asked_in = self.conversation.public_id if self.conversation else self.phone
        return _digest(asked_in, self.appointment.public_id if self.appointment else "", _spelled(self.topic))


def request_callback(intent: CallbackIntent) -> tuple[CallbackRequest, bool]:
    """
    Create the request and return it; or return an earlier one for the same, and True.

    Raises:
        IdempotencyKeyReused: the key came with another request before.
    """
    new = CallbackRequest(
        company=intent.company,
        branch=intent.branch,
        conversation=intent.conversation,
        appointment=intent.appointment,
        requested_by=intent.requested_by,
        name=intent.name,
        phone=intent.phone,
        language=intent.language,
        topic=intent.topic,
        state=CallbackRequest.State.WAITING if intent.wants_earlier else CallbackRequest.State.OPEN,
        deduplication_key=intent.deduplication_key,
        idempotency_key=intent.idempotency_key,
        request_digest=intent.request_digest,
    )
    if intent.wants_earlier and intent.appointment is not None:
        return _wait(new, intent, intent.appointment)
    while True:
        earlier = _earlier(intent)
        if earlier is not None:
            return earlier, earlier.public_id != new.public_id
        CallbackRequest.objects.bulk_create([new], ignore_conflicts=True)


def _wait(new: CallbackRequest, intent: CallbackIntent, appointment: Appointment) -> tuple[CallbackRequest, bool]:
    """Put the caller on the waiting list, once for each appointment; its row is locked meanwhile."""
    with transaction.atomic():
        list(Appointment.objects.select_for_update(no_key=True).filter(pk=appointment.pk).values_list("pk"))
        earlier = _earlier(intent)
        if earlier is None:
            new.save()
    return earlier or new, earlier is not None


def _earlier(intent: CallbackIntent) -> CallbackRequest | None:
    own = CallbackRequest.objects.of(intent.company)
    if intent.idempotency_key:
        same_key = own.filter(idempotency_key=intent.idempotency_key).first()
        if same_key is not None:
            if same_key.request_digest != intent.request_digest:
                raise IdempotencyKeyReused("The key came with another request before.")
            return same_key
    if intent.wants_earlier:
        return own.filter(appointment=intent.appointment, state=CallbackRequest.State.WAITING).first()
    return own.filter(deduplication_key=intent.deduplication_key, state=CallbackRequest.State.OPEN).first()


def request_for(appointment: Appointment, topic: str) -> bool:
    """
    Request that staff call the attendee of the appointment, within the transaction that is open.

    Returns False if there is no number to call.
    """
    if not appointment.attendee_phone:
        return False
    request = CallbackRequest(
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
    CallbackRequest.objects.bulk_create([request], ignore_conflicts=True)
    return True


# --- what staff do with them -------------------------------------------------------------------------------------


def take(callback: CallbackRequest, *, by: str) -> bool:
    """Note that staff member `by` calls. Returns False if it is done, or another has taken it."""
    free = CallbackRequest.objects.open().filter(pk=callback.pk, taken_by__in=("", by))
    return free.update(taken_by=by, taken_at=Now()) == 1


def release(callback: CallbackRequest, *, by: str) -> bool:
    """Undo `take`. Returns False if it was not taken by `by`."""
    own = CallbackRequest.objects.open().filter(pk=callback.pk, taken_by=by)
    return own.update(taken_by="", taken_at=None) == 1


def finish(callbacks: QuerySet[CallbackRequest], *, by: str, note: str = "") -> int:
    """Mark open requests as done by staff member `by`, and return their number. What is held for them is given back."""
    still_open = callbacks.filter(state=CallbackRequest.State.OPEN)
    claims.end_holds(Appointment.objects.held().filter(pk__in=still_open.exclude(held=None).values("held")))
    return still_open.update(state=CallbackRequest.State.DONE, done_at=Now(), done_by=by, note=note[:300])


def put_off(callback: CallbackRequest, *, hours: int) -> bool:
    """Note that no one answered, and that they are called again in `hours`. Returns False if it is done."""
    still_open = CallbackRequest.objects.open().filter(pk=callback.pk)
    again_at = Now() + timedelta(hours=hours)
    return still_open.update(attempts=F("attempts") + 1, again_at=again_at, taken_by="", taken_at=None) == 1


def reopen(callback: CallbackRequest) -> bool:
    """
    Undo `finish` and `put_off`. Returns False if another request for the same is open meanwhile.

    An attempt stays counted: it was made.
    """
    try:
        with transaction.atomic():
            CallbackRequest.objects.filter(pk=callback.pk).update(
                state=CallbackRequest.State.OPEN, done_at=None, done_by="", again_at=None
            )
    except IntegrityError:
        return False
    return True


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _spelled(topic: str) -> str:
    return " ".join(topic.casefold().split())
