"""Somebody wants to come: the wish is written down once, and booked. What becomes of it at Cal.com: `settling.py`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from django.db.models import Q

from bookings.availability.occupancy import Conflict, Occupancy, check_conflict, read_occupancy
from bookings.errors import (
    AlreadyBooked,
    AnotherTime,
    ConversationEnded,
    HoldExpired,
    HoldRequired,
    SlotNotOffered,
    SlotTaken,
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
from bookings.scheduling import booking_fields, claims, execution, holds, identity
from bookings.scheduling.customers import address_for, customer_for
from bookings.scheduling.execution import Booked
from bookings.scheduling.slot_check import Slot
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import MINUTE
from calcom.models import EventType
from calcom.service import CalcomService


@dataclass(frozen=True)
class BookingIntent:
    """
    What somebody asks for.

    An offer, a hold, a conversation or an idempotency key says which requests are the same wish; one of them is needed.
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
    """To booking fields, by slug."""
    agent_key: AgentKey | None = None
    conversation: Conversation | None = None
    idempotency_key: str | None = None
    request_digest: str = ""
    """What came with that key."""
    staff: Staff | None = None
    offer: SlotToken | None = None
    """Which offer is taken; its service, staff and start are the wish's."""
    hold: Appointment | None = None
    """Which hold was confirmed: nothing else will do."""

    def __post_init__(self) -> None:
        """Refuse what could be booked twice."""
        if not (self.conversation or self.idempotency_key or self.offer or self.hold):
            raise ValueError("A wish needs a conversation, an idempotency key or a token.")

    @property
    def event_type(self) -> EventType:
        """Return what books it: what was offered or held, else what books the service."""
        return (self.hold or self.offer or self.service).event_type

    @property
    def end(self) -> datetime:
        """When the appointment would end."""
        return self.start + self.event_type.length_minutes * MINUTE

    @property
    def deduplication_key(self) -> str:
        """Return what is equal for repeats of one wish: never raw arguments, never who comes."""
        if self.offer:
            return holds.deduplication_key_of(self.offer)
        asked_in = self.conversation.public_id if self.conversation else f"key {self.idempotency_key}"
        staff, start = str(self.staff.pk) if self.staff else "", self.start.astimezone(UTC).isoformat()
        parts = (str(self.company.pk), asked_in, Operation.Kind.CREATE, str(self.service.pk), staff, start)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def by_key_only(self) -> bool:
        """Return whether nothing but its idempotency key tells a repeat."""
        return not (self.conversation or self.offer or self.hold)

    @property
    def appointments(self) -> Q:
        """
        Return which appointments are this very wish: what its token led to, and its conversation's for the same slot.

        Note [Offers on the table]: an offer made before the caller took that slot is the same slot offered twice. One
        made afterwards is another slot at that time, for somebody else; so is one that is taken in another's name.
        """
        if self.hold:
            return Q(pk=self.hold.pk)
        led_to = Q(offers=self.offer)
        if self.conversation is None:
            return led_to
        same = Q(service=self.service, event_type=self.event_type, start=self.start, state__in=LIVE_STATES)
        if self.offer:
            same = led_to | same & Q(created_at__gte=self.offer.issued_at)
        return Q(conversation=self.conversation) & same


def book(*, intent: BookingIntent, calcom: CalcomService, deadline: Deadline, now: datetime) -> Booked:
    """
    Book what `wish` asks for. What its conversation holds of that slot becomes the booking.

    The same wish never books twice: a repeat gets what the first request came to. At the deadline the answer is what is
    known then; the booking goes on, and its change says what became of it.

    Raises:
        AnotherTime: not then, or not held any more; carries alternatives.
        HoldRequired: Cal.com could not be asked, so what is not held is not booked.
        AlreadyBooked: Cal.com would return another booking under the caller's address.
        PhoneRequired, AnswerRequired: the caller must be asked first; what is held stays held.
        TryLater: nothing was booked by this request.
        IdempotencyKeyReused: the key came with another request before.
        ConversationEnded: the phone call is over; nothing was booked by this request.
        ConfigurationError: staff must put something right; nothing was booked.
    """
    slot = Slot(
        intent.service, intent.event_type, intent.start, calcom, deadline, now, offered=intent.offer is not None
    )
    with holds.or_offers(slot, company=intent.company, conversation=intent.conversation, staff=intent.staff):
        operation, is_repeat = _earlier(intent), True
        if operation is None:
            _refuse_after_call(intent)
            operation, is_repeat = _enter(_answered(intent), slot)
        if is_repeat:
            operation = execution.join(operation, calcom.account_id, deadline)
        else:
            operation = execution.execute_and_wait(operation, calcom, deadline)
        return execution.answer(operation, replayed=is_repeat)


# --- what was asked before ---------------------------------------------------------------------------------------


def _earlier(intent: BookingIntent) -> Operation | None:
    """Return the change that this wish led to before, if that still binds: a token and a key do so for good."""
    if intent.idempotency_key:
        operation = execution.find_by_idempotency_key(intent.company.pk, intent.idempotency_key, intent.request_digest)
        if operation is not None:
            return operation
    return _booked_before(intent)


def _booked_before(intent: BookingIntent) -> Operation | None:
    if intent.by_key_only:
        return None
    made = Appointment.objects.of(intent.company).filter(intent.appointments).distinct()
    rows = [intent.hold] if intent.hold else made.prefetch_related("offers")
    theirs = [row.pk for row in rows if _is_of_intent(row, intent)]
    operations = Operation.objects.filter(appointment__in=theirs, kind=Operation.Kind.CREATE)
    return execution.read(operations.order_by("-requested_at"))


def _is_of_intent(row: Appointment, intent: BookingIntent) -> bool:
    """
    Return whether an appointment for the same slot is the wish's: what its token led to, or one for the same person.

    Without a token every one is: a platform may repeat a booking with other contact fields.
    """
    return (
        intent.offer is None
        or row == intent.hold
        or intent.offer in row.offers.all()
        or identity.may_be_one_person(row.attendee_name, intent.attendee_name)
    )


# --- entering a wish ---------------------------------------------------------------------------------------------


def _enter(intent: BookingIntent, slot: Slot) -> tuple[Operation, bool]:
    """
    Write the wish down and return its change, or a twin's who was faster, and whether it is that.

    Who is faster takes the slot, so a slot that is not to be had any more may well be this very wish's.
    """
    slot.refuse_unbookable()
    attempts = claims.Attempts(slot.deadline)
    while True:
        try:
            held = _standing_hold(intent)
            if held is None:
                listed_at = _refuse_unoffered(intent, slot)
                in_call = intent.conversation is not None
                holds.refuse_taken(intent.event_type, intent.start, intent.end, in_call=in_call, listed_at=listed_at)
            else:  # what it was held for was listed then
                listed_at = held.created_at.timestamp()
            return _write_down(intent, slot.deadline, held, listed_at), False
        except (AnotherTime, AlreadyBooked, claims.Contention) as exc:
            duplicate = _earlier(intent)
            if duplicate is not None:
                return duplicate, True
            if not isinstance(exc, claims.Contention):
                raise
            attempts.pause(exc)


def _answered(intent: BookingIntent) -> BookingIntent:
    """Return the booking request with those of its answers that Cal.com is told."""
    if intent.service.unsupported_reason(intent.event_type):
        return intent
    accepted = booking_fields.answers_of(
        intent.service, intent.event_type, intent.answers, phone=intent.attendee_phone, notes=intent.notes
    )
    return replace(intent, answers=accepted)


def _refuse_after_call(intent: BookingIntent) -> None:
    if intent.conversation and intent.conversation.ended_at:
        raise ConversationEnded("Nothing is booked in a phone call that is over.")


def _standing_hold(intent: BookingIntent) -> Appointment | None:
    """Return the hold that the wish is about to book, None where it goes without one."""
    if intent.by_key_only:
        return None
    held = Appointment.objects.standing().filter(intent.appointments, company=intent.company).first()
    if held is None and intent.hold:
        raise HoldExpired("It was held until a moment ago, and not booked.")
    return held


def _refuse_unoffered(intent: BookingIntent, slot: Slot) -> float | None:
    """
    Raise unless the offer is valid and Cal.com lists the slot, now or as far as it could be asked.

    Returns when the load of that list began, in epoch seconds; None where that is not known.
    """
    if intent.offer and intent.offer.expires_at <= slot.now:
        raise SlotNotOffered("The offer has run out.")
    listing = slot.listing()
    if listing.must_be_held:
        raise HoldRequired("Cal.com could not be asked whether the time is still free.")
    return listing.loaded_at


def _write_down(
    intent: BookingIntent, deadline: Deadline, held: Appointment | None = None, listed_at: float | None = None
) -> Operation:
    """Commit the appointment, its claims and its change: from here on it will be settled, whoever dies."""
    event_type = intent.event_type
    with claims.writing(event_type, deadline):
        if _booked_before(intent) is not None:
            raise claims.Contention
        occupancy = _others(read_occupancy(event_type, intent.start, intent.end), intent, held)
        conflict, host_ids = check_conflict(occupancy, listed_at=listed_at)
        if conflict is Conflict.TAKEN:
            raise SlotTaken("Somebody else has it.")
        if occupancy.dead:
            claims.expire(occupancy.dead)
        kind = Claim.Kind.PENDING if conflict is Conflict.FREE else Claim.Kind.QUEUED
        appointment = _new_appointment(intent) if held is None else _consume(held, intent)
        claim = claims.take if held is None else claims.convert
        claim(appointment, host_ids, kind, occupancy.confirmed_hosts)
        if intent.offer:
            SlotToken.objects.filter(pk=intent.offer.pk).update(appointment=appointment)
        operation = Operation.objects.create(
            company=intent.company,
            appointment=appointment,
            kind=Operation.Kind.CREATE,
            requested_by=intent.agent_key,
            idempotency_key=intent.idempotency_key or "",
            request_digest=intent.request_digest,
            **execution.timing(deadline),
        )
    return operation.just_written(in_line=kind is Claim.Kind.QUEUED)


def _others(occupancy: Occupancy, intent: BookingIntent, held: Appointment | None) -> Occupancy:
    """Return what others claim. Whatever else this conversation holds there is given up: the caller takes this."""
    if held is not None:
        return occupancy.without(held.pk)
    in_the_way = {row.appointment_id for row in occupancy.rows if row.kind == Claim.Kind.HELD}
    if intent.conversation is None or not in_the_way:
        return occupancy
    own = Appointment.objects.held().filter(conversation=intent.conversation, pk__in=in_the_way)
    return occupancy.without(*claims.end(own))


def _consume(held: Appointment, intent: BookingIntent) -> Appointment:
    """Turn the hold into a booking, if it still stands this very moment; else look again."""
    if not held.confirm_hold(**_attendee(intent)):
        raise claims.Contention
    return held


def _new_appointment(intent: BookingIntent) -> Appointment:
    return Appointment.objects.create(
        company=intent.company,
        branch=intent.service.branch,
        service=intent.service,
        event_type=intent.event_type,
        conversation=intent.conversation,
        state=AppointmentState.PENDING,
        start=intent.start,
        end=intent.end,
        deduplication_key=intent.deduplication_key,
        confirm_token=token() if intent.offer else None,
        **_attendee(intent),
    )


def _attendee(intent: BookingIntent) -> Mapping[str, object]:
    """
    Return the columns that say who comes.

    Raises:
        AlreadyBooked: Cal.com would return another booking under their address instead of a new one.
    """
    customer = customer_for(
        company=intent.company,
        name=intent.attendee_name,
        phone=intent.attendee_phone,
        email=intent.attendee_email,
        language=intent.language,
    )
    return {
        "customer": customer,
        "attendee_name": intent.attendee_name,
        "attendee_email": address_for(
            customer=customer, email=intent.attendee_email, event_type=intent.event_type, start=intent.start
        ),
        "attendee_phone": intent.attendee_phone,
        "language": intent.language,
        "notes": intent.notes,
        "answers": dict(intent.answers),
    }
