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
    Change,
    Claim,
    Company,
    Conversation,
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
class Wish:
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
    def identity(self) -> str:
        """Return what is equal for repeats of one wish: never raw arguments, never who comes."""
        if self.offer:
            return holds.wish_of(self.offer)
        asked_in = self.conversation.public_id if self.conversation else f"key {self.idempotency_key}"
        staff, start = str(self.staff.pk) if self.staff else "", self.start.astimezone(UTC).isoformat()
        parts = (str(self.company.pk), asked_in, Change.Operation.CREATE, str(self.service.pk), staff, start)
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


def book(*, wish: Wish, calcom: CalcomService, deadline: Deadline, now: datetime) -> Booked:
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
    slot = Slot(wish.service, wish.event_type, wish.start, calcom, deadline, now, offered=wish.offer is not None)
    with holds.or_offers(slot, company=wish.company, conversation=wish.conversation, staff=wish.staff):
        change, is_repeat = _earlier(wish), True
        if change is None:
            _refuse_after_call(wish)
            change, is_repeat = _enter(_answered(wish), slot)
        if is_repeat:
            change = execution.join(change, calcom.account_id, deadline)
        else:
            change = execution.pursue(change, calcom, deadline)
        return execution.answer(change, replayed=is_repeat)


# --- what was asked before ---------------------------------------------------------------------------------------


def _earlier(wish: Wish) -> Change | None:
    """Return the change that this wish led to before, if that still binds: a token and a key do so for good."""
    if wish.idempotency_key:
        change = execution.under_key(wish.company.pk, wish.idempotency_key, wish.request_digest)
        if change is not None:
            return change
    return _booked_before(wish)


def _booked_before(wish: Wish) -> Change | None:
    if wish.by_key_only:
        return None
    made = Appointment.objects.of(wish.company).filter(wish.appointments).distinct()
    rows = [wish.hold] if wish.hold else made.prefetch_related("offers")
    theirs = [row.pk for row in rows if _is_of_wish(row, wish)]
    changes = Change.objects.filter(appointment__in=theirs, operation=Change.Operation.CREATE)
    return execution.read(changes.order_by("-asked_at"))


def _is_of_wish(row: Appointment, wish: Wish) -> bool:
    """
    Return whether an appointment for the same slot is the wish's: what its token led to, or one for the same person.

    Without a token every one is: a platform may repeat a booking with other contact fields.
    """
    return (
        wish.offer is None
        or row == wish.hold
        or wish.offer in row.offers.all()
        or identity.may_be_one_person(row.attendee_name, wish.attendee_name)
    )


# --- entering a wish ---------------------------------------------------------------------------------------------


def _enter(wish: Wish, slot: Slot) -> tuple[Change, bool]:
    """
    Write the wish down and return its change, or a twin's who was faster, and whether it is that.

    Who is faster takes the slot, so a slot that is not to be had any more may well be this very wish's.
    """
    slot.refuse_unbookable()
    attempts = claims.Attempts(slot.deadline)
    while True:
        try:
            held = _standing_hold(wish)
            if held is None:
                listed_at = _refuse_unoffered(wish, slot)
                in_a_call = wish.conversation is not None
                holds.refuse_taken(wish.event_type, wish.start, wish.end, in_a_call=in_a_call, listed_at=listed_at)
            else:  # what it was held for was listed then
                listed_at = held.created_at.timestamp()
            return _write_down(wish, slot.deadline, held, listed_at), False
        except (AnotherTime, AlreadyBooked, claims.Contention) as exc:
            twin = _earlier(wish)
            if twin is not None:
                return twin, True
            if not isinstance(exc, claims.Contention):
                raise
            attempts.pause(exc)


def _answered(wish: Wish) -> Wish:
    """Return the booking request with those of its answers that Cal.com is told."""
    if wish.service.unsupported_reason(wish.event_type):
        return wish
    accepted = booking_fields.answers_of(
        wish.service, wish.event_type, wish.answers, phone=wish.attendee_phone, notes=wish.notes
    )
    return replace(wish, answers=accepted)


def _refuse_after_call(wish: Wish) -> None:
    if wish.conversation and wish.conversation.ended_at:
        raise ConversationEnded("Nothing is booked in a phone call that is over.")


def _standing_hold(wish: Wish) -> Appointment | None:
    """Return the hold that the wish is about to book, None where it goes without one."""
    if wish.by_key_only:
        return None
    held = Appointment.objects.standing().filter(wish.appointments, company=wish.company).first()
    if held is None and wish.hold:
        raise HoldExpired("It was held until a moment ago, and not booked.")
    return held


def _refuse_unoffered(wish: Wish, slot: Slot) -> float | None:
    """
    Raise unless the offer is valid and Cal.com lists the slot, now or as far as it could be asked.

    Returns when the load of that list began, in epoch seconds; None where that is not known.
    """
    if wish.offer and wish.offer.expires_at <= slot.now:
        raise SlotNotOffered("The offer has run out.")
    listing = slot.listing()
    if listing.must_be_held:
        raise HoldRequired("Cal.com could not be asked whether the time is still free.")
    return listing.loaded_at


def _write_down(
    wish: Wish, deadline: Deadline, held: Appointment | None = None, listed_at: float | None = None
) -> Change:
    """Commit the appointment, its claims and its change: from here on it will be settled, whoever dies."""
    event_type = wish.event_type
    with claims.writing(event_type, deadline):
        if _booked_before(wish) is not None:
            raise claims.Contention
        occupancy = _others(read_occupancy(event_type, wish.start, wish.end), wish, held)
        conflict, host_ids = check_conflict(occupancy, listed_at=listed_at)
        if conflict is Conflict.TAKEN:
            raise SlotTaken("Somebody else has it.")
        if occupancy.dead:
            claims.expire(occupancy.dead)
        kind = Claim.Kind.PENDING if conflict is Conflict.FREE else Claim.Kind.QUEUED
        appointment = _new_appointment(wish) if held is None else _consume(held, wish)
        claim = claims.take if held is None else claims.convert
        claim(appointment, host_ids, kind, occupancy.confirmed_hosts)
        if wish.offer:
            SlotToken.objects.filter(pk=wish.offer.pk).update(appointment=appointment)
        change = Change.objects.create(
            company=wish.company,
            appointment=appointment,
            operation=Change.Operation.CREATE,
            asked_by=wish.agent_key,
            idempotency_key=wish.idempotency_key or "",
            request_digest=wish.request_digest,
            **execution.timing(deadline),
        )
    return change.just_written(in_line=kind is Claim.Kind.QUEUED)


def _others(occupancy: Occupancy, wish: Wish, held: Appointment | None) -> Occupancy:
    """Return what others claim. Whatever else this conversation holds there is given up: the caller takes this."""
    if held is not None:
        return occupancy.without(held.pk)
    in_the_way = {row.appointment_id for row in occupancy.rows if row.kind == Claim.Kind.HELD}
    if wish.conversation is None or not in_the_way:
        return occupancy
    own = Appointment.objects.held().filter(conversation=wish.conversation, pk__in=in_the_way)
    return occupancy.without(*claims.end(own))


def _consume(held: Appointment, wish: Wish) -> Appointment:
    """Turn the hold into a booking, if it still stands this very moment; else look again."""
    if not held.consume(**_attendee(wish)):
        raise claims.Contention
    return held


def _new_appointment(wish: Wish) -> Appointment:
    return Appointment.objects.create(
        company=wish.company,
        branch=wish.service.branch,
        service=wish.service,
        event_type=wish.event_type,
        conversation=wish.conversation,
        state=AppointmentState.PENDING,
        start=wish.start,
        end=wish.end,
        wish=wish.identity,
        confirm_token=token() if wish.offer else None,
        **_attendee(wish),
    )


def _attendee(wish: Wish) -> Mapping[str, object]:
    """
    Return the columns that say who comes.

    Raises:
        AlreadyBooked: Cal.com would return another booking under their address instead of a new one.
    """
    customer = customer_for(
        company=wish.company,
        name=wish.attendee_name,
        phone=wish.attendee_phone,
        email=wish.attendee_email,
        language=wish.language,
    )
    return {
        "customer": customer,
        "attendee_name": wish.attendee_name,
        "attendee_email": address_for(
            customer=customer, email=wish.attendee_email, event_type=wish.event_type, start=wish.start
        ),
        "attendee_phone": wish.attendee_phone,
        "language": wish.language,
        "notes": wish.notes,
        "answers": dict(wish.answers),
    }
