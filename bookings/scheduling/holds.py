"""
Offers by token, and holds: time that is kept free while the caller decides.

A hold is a row with host and range: an appointment in the state `held` and its claims. What is read back to the caller
is held; booking turns the very same row into a booking.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.db.models.functions import Now

from bookings.availability.occupancy import Conflict, check_conflict, read_occupancy
from bookings.errors import (
    AnotherTime,
    ConfirmTokenInvalid,
    ConversationEnded,
    DeadlineExceeded,
    SlotNotOffered,
    SlotTaken,
    UpstreamUnavailable,
)
from bookings.models import (
    Appointment,
    AppointmentState,
    Branch,
    Claim,
    Company,
    Conversation,
    Service,
    SlotToken,
    Staff,
    token,
)
from bookings.scheduling import claims
from bookings.scheduling.slot_check import Slot
from cachectl.infra import bulkhead
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import MINUTES_A_DAY, minute_from
from calcom.errors import KeyRefused
from calcom.models import EventType
from calcom.service import CalcomService

LIFETIME = timedelta(seconds=120)
OFFERED_FOR = timedelta(minutes=30)
# How long after that a repeat still gets what its token led to.
REPLAYED_FOR = timedelta(days=1)
# Crockford's alphabet forgives who reads O for 0, and I or L for 1.
_MISREAD = str.maketrans("OIL", "011", "- ")


class InDoubt(SlotTaken):
    """Somebody may have it, and a newer list would tell."""


@dataclass(frozen=True)
class Held:
    """A time that nobody else gets until `expires_at`; None where it has been booked since."""

    appointment: Appointment
    replayed: bool = False
    """An earlier request had held it."""
    verified: bool = True
    """Cal.com's list could be checked; else it was free when last known, and only a booking will tell."""

    @property
    def confirm_token(self) -> str:
        """Return what books it."""
        return self.appointment.confirm_token or ""

    @property
    def expires_at(self) -> datetime | None:
        """Return until when nobody else gets it."""
        return self.appointment.expires_at


# --- tokens ------------------------------------------------------------------------------------------------------


def new_offer(
    *,
    company: Company,
    conversation: Conversation | None,
    service: Service,
    start: datetime,
    staff: Staff | None = None,
    event_type: EventType | None = None,
    now: datetime,
) -> SlotToken:
    """
    Return an offer with a token of its own, which nobody can book before it is written down.

    Args:
        event_type: what books it, where it is not the service's own.
    """
    return SlotToken(
        company=company,
        conversation=conversation,
        service=service,
        staff=staff,
        event_type=event_type or service.event_type,
        start=start,
        expires_at=now + OFFERED_FOR,
    )


def issue_tokens(*, starts: Sequence[datetime], **offered: Any) -> list[SlotToken]:
    """Write down an offer for each start, made of `offered` as by `new_offer`; return them in the same order."""
    return SlotToken.objects.bulk_create(new_offer(start=start, **offered) for start in starts)


def tokens_of_others(refused: AnotherTime, *, conversation: Conversation | None, **offered: Any) -> tuple[str, ...]:
    """
    Return a slot_token for each alternative of a refusal, made of `offered` as by `new_offer`.

    None without a conversation; and none where they cannot be written down, which must not change the refusal.
    """
    if conversation is None or not refused.alternatives:
        return ()
    with suppress(DatabaseError):
        issued = issue_tokens(starts=refused.alternatives, conversation=conversation, **offered)
        return tuple(each.token for each in issued)
    return ()


@contextmanager
def or_offers(
    slot: Slot, *, company: Company, conversation: Conversation | None, staff: Staff | None
) -> Iterator[None]:
    """Do as `Slot.or_others` does; in a conversation each of the other times gets a slot_token."""
    try:
        with slot.or_others():
            yield
    except AnotherTime as exc:
        exc.tokens = tokens_of_others(
            exc,
            company=company,
            conversation=conversation,
            service=slot.service,
            event_type=slot.event_type if slot.event_type.active else None,
            staff=staff,
            now=slot.now,
        )
        raise


def resolve_slot_token(
    *, token: str, company: Company, conversation: Conversation | None, branch: Branch | None = None
) -> SlotToken:
    """
    Return the offer that was made in this conversation under `token`, also when it has run out.

    Args:
        branch: the only one whose offers count, where the agent may book for no other.

    Raises:
        SlotNotOffered: none was made here; whether one was made elsewhere is not said.
    """
    offers = SlotToken.objects.of(company).filter(token=_spelled(token), conversation=conversation)
    offer = offers.select_related("service__branch__company", "event_type__account", "staff").first()
    if offer is None or branch not in {None, offer.service.branch}:
        raise SlotNotOffered("No offer was made here under this slot_token.")
    return offer


def resolve_confirm_token(
    *, token: str, company: Company, conversation: Conversation | None, branch: Branch | None = None
) -> Appointment:
    """
    Return the appointment that was held in this conversation under `token`, whatever became of it.

    Raises:
        ConfirmTokenInvalid: none was held here; whether one was held elsewhere is not said.
    """
    held = Appointment.objects.of(company).filter(confirm_token=_spelled(token), conversation=conversation)
    appointment = held.select_related("branch", "service__branch__company", "event_type__account").first()
    if appointment is None or branch not in {None, appointment.branch}:
        raise ConfirmTokenInvalid("Nothing was held here under this confirm_token.")
    return appointment


def delete_expired_offers(*, now: datetime) -> int:
    """Delete the offers that ran out long ago, so that nobody repeats a request with them, and return how many."""
    deleted, _ = SlotToken.objects.filter(expires_at__lt=now - REPLAYED_FOR).delete()
    return deleted


def deduplication_key_of(offer: SlotToken) -> str:
    """Return the identity of the wish for an offer: its token, whatever else is said."""
    return hashlib.sha256(f"{offer.company_id}\ntoken {offer.token}".encode()).hexdigest()


def _spelled(token: str) -> str:
    return token.upper().translate(_MISREAD)


# --- holding -----------------------------------------------------------------------------------------------------


def hold(*, offer: SlotToken, calcom: CalcomService, deadline: Deadline, now: datetime) -> Held:
    """
    Keep the time that was offered free for two minutes.

    A conversation holds one time: this one instead of what it held before. A repeat gets the same hold, or the booking
    that it became; what ran out may be held again. Where Cal.com cannot be asked, what was free when last known is
    held: the caller is promised that nobody else gets it from us, and no more.

    Raises:
        AnotherTime: it is not to be had; carries alternatives, and what was held before still is.
        TryLater: somebody is just booking there, or Cal.com could not be asked.
        ConfigurationError: the service cannot be booked through us.
    """
    slot = Slot(offer.service, offer.event_type, offer.start, calcom, deadline, now, offered=True)
    attempts, newer = claims.Attempts(deadline), False
    with or_offers(slot, company=offer.company, conversation=offer.conversation, staff=offer.staff):
        slot.refuse_unbookable()
        while True:
            earlier = _led_to(offer)
            if earlier is not None:
                return Held(earlier, replayed=True, verified=slot.is_verified())
            _refuse_unwritable(calcom)
            if offer.expires_at <= now:
                raise SlotNotOffered("The offer has run out.")
            listing = slot.listing(revalidate=newer)
            in_call = offer.conversation_id is not None
            refuse_taken(offer.event_type, offer.start, offer.end, in_call=in_call, listed_at=listing.loaded_at)
            try:
                return Held(_write_down(offer, listing.loaded_at, deadline), verified=listing.verified)
            except InDoubt:
                if newer:
                    raise
                newer = True
            except claims.Contention as exc:
                with bulkhead.acquire(offer.event_type.account_id, deadline) as until:
                    if until.passed:
                        raise DeadlineExceeded("Somebody else is just booking there.") from exc
                    attempts.pause(exc)


def hold_new(offer: SlotToken, *, loaded_at: float | None, verified: bool, deadline: Deadline) -> Held | None:
    """
    Hold what was found this very moment, and write the offer down with its hold; None where somebody is just writing.

    Args:
        offer: not written down yet, so nobody else knows its token. Where this fails it is good for nothing.
        loaded_at: when the load of the list began that has the slot, in epoch seconds.
        verified: whether that list may be believed without reserve.

    Raises:
        SlotTaken: somebody was faster.
    """
    try:
        return Held(_write_down(offer, loaded_at, deadline), verified=verified)
    except claims.Contention:
        return None


def release(*, appointment: Appointment) -> None:
    """Give a held time back at once; what is no hold, or none any more, stays as it is."""
    claims.end(Appointment.objects.held().filter(pk=appointment.pk))
    appointment.refresh_from_db(fields=["state"])


def _refuse_unwritable(calcom: CalcomService) -> None:
    """
    Refuse to hold what could not be booked.

    Raises:
        UpstreamUnavailable: Cal.com refused the account's API key a moment ago.
    """
    try:
        calcom.refuse_unwritable()
    except KeyRefused as exc:
        raise UpstreamUnavailable("Cal.com refuses access.", access_refused=True) from exc


def _led_to(offer: SlotToken) -> Appointment | None:
    """Return the hold or booking that the offer has led to, unless it was a hold that has ended."""
    # It mostly is none, at little cost.
    appointment_id = SlotToken.objects.values_list("appointment", flat=True).get(pk=offer.pk)
    if appointment_id is None:
        return None
    lasting = ~Q(state__in=[AppointmentState.HELD, AppointmentState.EXPIRED])
    found = Appointment.objects.filter(lasting | Q(state=AppointmentState.HELD, expires_at__gt=Now()))
    appointment = found.select_related("branch", "service", "event_type").filter(pk=appointment_id).first()
    if appointment is not None and not appointment.is_live:
        raise SlotNotOffered("This slot_token was used; what it led to is over.")
    return appointment


def refuse_taken(
    event_type: EventType, start: datetime, end: datetime, *, in_call: bool, listed_at: float | None
) -> None:
    """
    Say no where that is certain without a lock: who loses a race need not queue behind those who may win.

    Args:
        in_call: whether a hold there may be this very conversation's own; then holds do not count.
        listed_at: when the load of the list began that has the slot, in epoch seconds.

    Raises:
        SlotTaken: somebody else has it.
    """
    occupancy = read_occupancy(event_type, start, end)
    others = occupancy.beside_holds() if in_call else occupancy
    if check_conflict(others, listed_at=listed_at)[0] is Conflict.TAKEN:
        raise SlotTaken("Somebody else has it.")


def _write_down(offer: SlotToken, loaded_at: float | None, deadline: Deadline) -> Appointment:
    """
    Commit the hold, in place of what the conversation held before: both or neither.

    Raises:
        SlotTaken: the time is somebody's.
        InDoubt: it may be, see Note [A list proves one host].
        Contention: somebody is just writing there; look again.
        ConversationEnded: the phone call ended meanwhile.
    """
    event_type = offer.event_type
    is_new = offer.pk is None
    with claims.writing(event_type, deadline):
        if offer.conversation_id is not None:
            _lock_call(offer.conversation_id)
        if not is_new and _led_to(offer) is not None:
            raise claims.Contention
        claims.end(Appointment.objects.held().filter(_replaced_by(offer)))
        occupancy = read_occupancy(event_type, offer.start, offer.end)
        conflict, host_ids = check_conflict(occupancy, listed_at=loaded_at)
        if conflict is Conflict.WAIT:
            raise claims.Contention
        if conflict is Conflict.TAKEN:
            raise SlotTaken("Somebody else has it.")
        minute = minute_from(offer.start)
        compared = occupancy.compare(event_type, [minute], {minute // MINUTES_A_DAY: loaded_at} if loaded_at else {})
        if not compared.left:
            raise (InDoubt if compared.askable else SlotTaken)("Somebody else may have it.")
        if occupancy.dead:
            claims.expire(occupancy.dead)
        appointment = _new_hold(offer, datetime.fromtimestamp(occupancy.read_at, UTC) + LIFETIME)
        # Cal.com may choose any of them, and knows nothing of our holds: so the time of each is kept.
        claims.take(appointment, host_ids, Claim.Kind.HELD, occupancy.confirmed_hosts)
        offer.appointment = appointment
        offer.save(force_insert=is_new, update_fields=None if is_new else ["appointment"])
    return appointment


def _lock_call(conversation_id: int) -> None:
    """Keep the call from ending before this hold is committed: its end releases what it holds by then."""
    going_on = Conversation.objects.select_for_update(no_key=True).filter(pk=conversation_id, ended_at__isnull=True)
    if not going_on.values_list("pk"):
        raise ConversationEnded("The phone call ended before the time was held.")


def _replaced_by(offer: SlotToken) -> Q:
    own = Q(deduplication_key=deduplication_key_of(offer))
    return own if offer.conversation_id is None else own | Q(conversation=offer.conversation_id)


def _new_hold(offer: SlotToken, expires_at: datetime) -> Appointment:
    return Appointment.objects.create(
        company_id=offer.company_id,
        branch=offer.service.branch,
        service=offer.service,
        event_type=offer.event_type,
        conversation_id=offer.conversation_id,
        state=AppointmentState.HELD,
        start=offer.start,
        end=offer.end,
        deduplication_key=deduplication_key_of(offer),
        confirm_token=token(),
        expires_at=expires_at,
    )
