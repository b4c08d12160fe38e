"""Booking: a request becomes an appointment and an operation once. How the operation proceeds: `execution.py`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db.models import Q

from bookings import metrics
from bookings.errors import (
    AlreadyBooked,
    AnotherTime,
    ConversationEnded,
    HoldExpired,
    SlotNotOffered,
)
from bookings.models import (
    LIVE_STATES,
    AgentKey,
    Appointment,
    AppointmentState,
    Claim,
    Company,
    Conversation,
    Operation,
    Service,
    SlotToken,
    Staff,
    token,
)
from bookings.scheduling import booking_fields, claims, customers, execution, holds, identity
from bookings.scheduling.execution import Booked
from bookings.scheduling.slot_check import Slot
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import MINUTE
from calcom.models import EventType
from calcom.service import CalcomService


@dataclass(frozen=True)
class BookingIntent:
    """
    A request to book.

    An offer, a hold, a conversation or an idempotency key tells repeats from new requests; one of them is needed.
    """

    company: Company
    service: Service
    start: datetime
    attendee_name: str = field(repr=False)
    attendee_phone: str | None = field(default=None, repr=False)
    """E.164."""
    attendee_email: str | None = field(default=None, repr=False)
    language: str = ""
    notes: str = field(default="", repr=False)
    answers: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Answers to booking fields, by slug."""
    agent_key: AgentKey | None = None
    person: User | None = None
    """Who books at the desk."""
    conversation: Conversation | None = None
    idempotency_key: str | None = None
    request_digest: str = ""
    """SHA-256 of the request sent with that key."""
    staff: Staff | None = None
    offer: SlotToken | None = None
    """The offer that is taken; it has the same service, staff and start."""
    origin: Appointment.Origin = Appointment.Origin.AGENT
    hold: Appointment | None = None
    """The hold that is confirmed; no other slot is booked instead."""

    def __post_init__(self) -> None:
        """Refuse a request whose repeat would book twice."""
        if not (self.conversation or self.idempotency_key or self.offer or self.hold):
            raise ValueError("A booking needs a conversation, an idempotency key or a token.")

    @property
    def event_type(self) -> EventType:
        """Return the event type that was offered or held, else the service's."""
        return (self.hold or self.offer or self.service).event_type

    @property
    def end(self) -> datetime:
        """When the appointment would end."""
        return self.start + self.event_type.length_minutes * MINUTE

    @property
    def deduplication_key(self) -> str:
        """Return a hash that is equal for repeats: of the offer, or the call and the slot; never of contact data."""
        if self.offer:
            return holds.deduplication_key_of(self.offer)
        source = self.conversation.public_id if self.conversation else f"key {self.idempotency_key}"
        staff, start = str(self.staff.pk) if self.staff else "", self.start.astimezone(UTC).isoformat()
        parts = (str(self.company.pk), source, Operation.Kind.CREATE, str(self.service.pk), staff, start)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def by_key_only(self) -> bool:
        """Return whether only its idempotency key tells a repeat."""
        return not (self.conversation or self.offer or self.hold)

    @property
    def appointments(self) -> Q:
        """
        Return which appointments may come from an earlier request for the same: by its token, or by call and slot.

        Note [Offers for one slot]: an offer made before the caller took that slot is the same slot offered twice. One
        made afterwards is another slot at that time, for another person; so is one that is taken in another name.
        """
        if self.hold:
            return Q(pk=self.hold.pk)
        by_offer = Q(offers=self.offer)
        if self.conversation is None:
            return by_offer
        same = Q(service=self.service, event_type=self.event_type, start=self.start, state__in=LIVE_STATES)
        if self.offer:
            same = by_offer | same & Q(created_at__gte=self.offer.issued_at)
        return Q(conversation=self.conversation) & same


def book(*, intent: BookingIntent, calcom: CalcomService, deadline: Deadline, now: datetime) -> Booked:
    """
    Book the requested slot. If the conversation holds it, the hold becomes the booking.

    Idempotent: a repeat returns the outcome of the first request. At the deadline the outcome is what is known then;
    the operation goes on, and `GET /v1/operations/{id}` returns its end.

    Raises:
        AnotherTime: the slot cannot be had, or is not held any more; carries alternatives.
        HoldRequired: Cal.com was not reached, so the slot must be held before it is booked.
        AlreadyBooked: Cal.com would return another booking under the caller's address.
        PhoneRequired, AnswerRequired: ask the caller first; a hold stays.
        TryLater: nothing was booked by this request.
        IdempotencyKeyReused: the key came with another request before.
        ConversationEnded: the phone call is over; nothing was booked by this request.
        ConfigurationError: staff must change a setting; nothing was booked.
    """
    offered = intent.offer is not None
    slot = Slot(intent.service, intent.event_type, intent.start, calcom, deadline, now, offered=offered)
    operation = _earlier(intent)
    replayed = operation is not None
    try:
        if operation is None:
            if intent.conversation and intent.conversation.ended_at:
                raise ConversationEnded("Nothing is booked in a phone call that is over.")
            slot.refuse_unbookable()
            accepted = booking_fields.answers_of(
                slot.service, slot.event_type, intent.answers, phone=intent.attendee_phone, notes=intent.notes
            )
            operation, replayed = _commit_once(replace(intent, answers=accepted), slot)
        if replayed:
            operation = execution.wait_for(operation, calcom.account_id, deadline)
        else:
            operation = execution.execute_and_wait(operation, calcom, deadline)
        return execution.answer(operation, replayed=replayed)
    except AnotherTime as exc:
        if (offered or intent.hold) and not replayed:
            metrics.count_refused_offer("booking", exc.code)
        holds.add_alternatives(exc, slot, company=intent.company, conversation=intent.conversation, staff=intent.staff)
        raise


# --- earlier requests --------------------------------------------------------------------------------------------


def _earlier(intent: BookingIntent) -> Operation | None:
    """Return the operation of an earlier request for the same, if it still binds: a token and a key bind for good."""
    company_id, key = intent.company.pk, intent.idempotency_key
    return execution.find_by_idempotency_key(company_id, key, intent.request_digest) or _booked_before(intent)


def _booked_before(intent: BookingIntent) -> Operation | None:
    if intent.by_key_only:
        return None
    made = Appointment.objects.of(intent.company).filter(intent.appointments).distinct()
    rows = [intent.hold] if intent.hold else made.prefetch_related("offers")
    own = [row.pk for row in rows if _is_of_intent(row, intent)]
    operations = Operation.objects.filter(appointment__in=own, kind=Operation.Kind.CREATE)
    return execution.read(operations.order_by("-requested_at"))


def _is_of_intent(row: Appointment, intent: BookingIntent) -> bool:
    """
    Return whether an appointment for the same slot comes from its token, or is for the same person.

    Without a token each one is: a platform may repeat a booking with other contact fields.
    """
    return (
        intent.offer is None
        or row == intent.hold
        or intent.offer in row.offers.all()
        or identity.may_be_one_person(row.attendee_name, intent.attendee_name)
    )


# --- committing --------------------------------------------------------------------------------------------------


def _commit_once(intent: BookingIntent, slot: Slot) -> tuple[Operation, bool]:
    """
    Commit the operation, or return that of a concurrent duplicate, and True.

    The faster one takes the slot, so a refusal may be the effect of a duplicate.
    """
    attempts = claims.Attempts(slot.deadline)
    while True:
        try:
            held = _standing_hold(intent)
            if held is not None:  # its slot was listed when it was held
                return commit(intent, slot.deadline, held, held.created_at.timestamp()), False
            if intent.offer and intent.offer.expires_at <= slot.now:
                raise SlotNotOffered("The offer has run out.")
            listed = slot.check(in_call=intent.conversation is not None, allow_unverified=False)
            return commit(intent, slot.deadline, listed_at=listed.loaded_at), False
        except (AnotherTime, AlreadyBooked, claims.Contention) as exc:
            duplicate = _earlier(intent)
            if duplicate is not None:
                return duplicate, True
            if not isinstance(exc, claims.Contention):
                raise
            attempts.pause(exc)


def _standing_hold(intent: BookingIntent) -> Appointment | None:
    """Return the hold that is about to be booked, None if there is none."""
    if intent.by_key_only:
        return None
    held = Appointment.objects.standing().filter(intent.appointments, company=intent.company).first()
    if held is None and intent.hold:
        raise HoldExpired("It was held until a moment ago, and not booked.")
    return held


def commit(
    intent: BookingIntent, deadline: Deadline, held: Appointment | None = None, listed_at: float | None = None
) -> Operation:
    """
    Commit the appointment, its claims and its operation: from then on a worker settles it, whatever fails here.

    Args:
        held: the hold that becomes the booking.
        listed_at: when the load of the list that has the slot began, in epoch seconds.

    Raises:
        SlotTaken: another appointment has the time.
        AlreadyBooked: Cal.com would return another booking under the caller's address.
        Contention: another writer was in the way; look for a duplicate, and try again.
    """
    appointment = held or _new_appointment(intent)
    event_type, end = appointment.event_type, appointment.end
    with claims.writing(event_type, deadline):
        if _booked_before(intent) is not None:
            raise claims.Contention
        free = claims.find_hosts(
            event_type,
            intent.start,
            end,
            listed_at=listed_at,
            own_id=held.pk if held else None,
            own_holds=Q(conversation=intent.conversation) if intent.conversation else None,
        )
        attendee = customers.attendee_of(
            company=intent.company,
            name=intent.attendee_name,
            phone=intent.attendee_phone,
            email=intent.attendee_email,
            language=intent.language,
            event_type=event_type,
            start=intent.start,
        )
        details = {**attendee, "notes": intent.notes, "answers": dict(intent.answers)}
        if held is None:
            for name, value in details.items():
                setattr(appointment, name, value)
            appointment.save()
        elif not held.confirm_hold(**details):  # it has ended a moment ago
            raise claims.Contention
        if intent.offer:
            SlotToken.objects.filter(pk=intent.offer.pk).update(appointment=appointment)
        operation = Operation.objects.create(
            company=intent.company,
            appointment=appointment,
            kind=Operation.Kind.CREATE,
            requested_by=intent.agent_key,
            person=intent.person,
            idempotency_key=intent.idempotency_key or "",
            request_digest=intent.request_digest,
            **execution.timing(deadline),
        )
        claim = claims.take if held is None else claims.convert
        claim(appointment, free.host_ids, free.kind, free.beside)
    return operation.just_written(in_line=free.kind is Claim.Kind.QUEUED)


def _new_appointment(intent: BookingIntent) -> Appointment:
    """Return the appointment without its attendee, not saved yet."""
    return Appointment(
        company=intent.company,
        branch=intent.service.branch,
        service=intent.service,
        event_type=intent.event_type,
        conversation=intent.conversation,
        state=AppointmentState.PENDING,
        origin=intent.origin,
        start=intent.start,
        end=intent.end,
        deduplication_key=intent.deduplication_key,
        confirm_token=token() if intent.offer else None,
    )
