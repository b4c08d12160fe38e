"""
Offers by token, and holds: time that is kept free while the caller decides.

A hold is a row with host and range: an appointment in the state `held` and its claims. What is read back to the caller
is held; booking turns the very same row into a booking.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Greatest, Least, Now

from bookings import metrics
from bookings.availability.occupancy import read_occupancy
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
from bookings.models.appointments import AppointmentQuerySet
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
# How long after that a repeat still gets the booking made with its token.
REPLAYED_FOR = timedelta(days=1)
# Crockford's alphabet: O is read as 0, and I or L as 1.
_MISREAD = str.maketrans("OIL", "011", "- ")


class SlotUncertain(SlotTaken):
    """Another appointment may have it, and a newer list would tell."""


@dataclass(frozen=True)
class Held:
    """A slot kept for one caller until `expires_at`; None if it has been booked since."""

    appointment: Appointment
    replayed: bool = False
    """Whether an earlier request held it."""
    verified: bool = True
    """Whether Cal.com's list could be checked. If not, it was free when last known, and only a booking will tell."""

    @property
    def confirm_token(self) -> str:
        """Return the token that books it."""
        return self.appointment.confirm_token or ""

    @property
    def expires_at(self) -> datetime | None:
        """When it is given back."""
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
    Return a new offer with a token, not saved yet.

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
    """Save an offer for each start, with the other arguments of `new_offer`, and return them in the same order."""
    return SlotToken.objects.bulk_create(new_offer(start=start, **offered) for start in starts)


def tokens_of_others(refused: AnotherTime, *, conversation: Conversation | None, **offered: Any) -> tuple[str, ...]:
    """
    Return a slot_token for each alternative of a refusal; `offered` are the other arguments of `new_offer`.

    Empty without a conversation, and if they cannot be saved: that must not change the refusal.
    """
    if conversation is None or not refused.alternatives:
        return ()
    with suppress(DatabaseError):
        issued = issue_tokens(starts=refused.alternatives, conversation=conversation, **offered)
        return tuple(each.token for each in issued)
    return ()


def add_alternatives(
    refusal: AnotherTime, slot: Slot, *, company: Company, conversation: Conversation | None, staff: Staff | None
) -> None:
    """Add alternatives like `Slot.add_alternatives`, in a conversation each with a slot_token."""
    slot.add_alternatives(refusal)
    refusal.tokens = tokens_of_others(
        refusal,
        company=company,
        conversation=conversation,
        service=slot.service,
        event_type=slot.event_type if slot.event_type.active else None,
        staff=staff,
        now=slot.now,
    )


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
    Return the appointment that was held in this conversation under `token`, whatever its state is now.

    Raises:
        ConfirmTokenInvalid: none was held here; whether one was held elsewhere is not said.
    """
    held = Appointment.objects.of(company).filter(confirm_token=_spelled(token), conversation=conversation)
    appointment = held.select_related("branch", "service__branch__company", "event_type__account").first()
    if appointment is None or branch not in {None, appointment.branch}:
        raise ConfirmTokenInvalid("Nothing was held here under this confirm_token.")
    return appointment


def delete_expired_offers(*, now: datetime) -> int:
    """Delete the offers that expired so long ago that no request is repeated with them, and return their number."""
    deleted, _ = SlotToken.objects.filter(expires_at__lt=now - REPLAYED_FOR).delete()
    return deleted


def deduplication_key_of(offer: SlotToken) -> str:
    """Return the deduplication key of requests for an offer: they are repeats, whatever else they say."""
    return hashlib.sha256(f"{offer.company_id}\ntoken {offer.token}".encode()).hexdigest()


def _spelled(token: str) -> str:
    return token.upper().translate(_MISREAD)


# --- as long as the call goes on ---------------------------------------------------------------------------------


def renew(holds: AppointmentQuerySet) -> int:
    """
    Extend the holds that stand by two minutes from now, in all as long as their company allows; return how many.

    What has run out is not revived: another caller may have been offered it.
    """
    longest = Company.objects.filter(pk=OuterRef("company")).values("longest_hold_minutes")[:1]
    allowed = ExpressionWrapper(Subquery(longest) * Value(timedelta(minutes=1)), output_field=DurationField())
    latest = ExpressionWrapper(F("created_at") + allowed, output_field=DateTimeField())
    until = Greatest(F("expires_at"), Least(Now() + LIFETIME, latest))
    with transaction.atomic(savepoint=False):
        standing = list(holds.standing().select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
        if standing:
            Appointment.objects.filter(pk__in=standing).update(expires_at=until)
            own = Appointment.objects.filter(pk=OuterRef("appointment")).values("expires_at")[:1]
            claimed = Claim.objects.filter(appointment_id__in=standing, kind=Claim.Kind.HELD)
            claimed.update(expires_at=Subquery(own))
    return len(standing)


def keep(held: Appointment, *, until: datetime) -> bool:
    """Extend a hold to `until`, for a caller whom staff must reach first. Returns False if it has run out."""
    with transaction.atomic(savepoint=False):
        won = Appointment.objects.standing().filter(pk=held.pk).update(expires_at=until) == 1
        if won:
            Claim.objects.filter(appointment=held, kind=Claim.Kind.HELD).update(expires_at=until)
    return won


# --- holding -----------------------------------------------------------------------------------------------------


def hold(*, offer: SlotToken, calcom: CalcomService, deadline: Deadline, now: datetime, was_told: bool = True) -> Held:
    """
    Keep the offered slot for this caller for two minutes.

    A conversation holds one slot: this one replaces what it held before. A repeat gets the same hold, or the booking
    made from it; an expired hold may be taken again. While Cal.com is not reached, a slot that was last known to be
    free is held: then no other caller gets it from us, and no more is promised. `was_told` says whether the caller has
    heard the offer, so that a refusal is counted.

    Raises:
        AnotherTime: it is taken or not offered; carries alternatives, and the previous hold stays.
        TryLater: another caller is just booking there, or Cal.com was not reached.
        ConfigurationError: the service cannot be booked through us.
    """
    slot = Slot(offer.service, offer.event_type, offer.start, calcom, deadline, now, offered=True)
    try:
        return _hold(offer, slot)
    except AnotherTime as exc:
        if was_told:
            metrics.count_refused_offer("hold", exc.code)
        add_alternatives(exc, slot, company=offer.company, conversation=offer.conversation, staff=offer.staff)
        raise


def _hold(offer: SlotToken, slot: Slot) -> Held:
    attempts, revalidate = claims.Attempts(slot.deadline), False
    slot.refuse_unbookable()
    while True:
        earlier = _made_from(offer)
        if earlier is not None:
            return Held(earlier, replayed=True, verified=slot.is_verified())
        _refuse_unwritable(slot.calcom)
        if offer.expires_at <= slot.now:
            raise SlotNotOffered("The offer has run out.")
        listed = slot.check(in_call=offer.conversation_id is not None, revalidate=revalidate)
        try:
            return Held(commit(offer, listed.loaded_at, slot.deadline), verified=listed.verified)
        except SlotUncertain:
            if revalidate:
                raise
            revalidate = True
        except claims.Contention as exc:
            with bulkhead.acquire(offer.event_type.account_id, slot.deadline) as until:
                if until.passed:
                    raise DeadlineExceeded("Another caller is just booking there.") from exc
                attempts.pause(exc)


def hold_new(offer: SlotToken, *, loaded_at: float | None, verified: bool, deadline: Deadline) -> Held | None:
    """
    Hold a slot that was found a moment ago, and save the offer with its hold; None if another writer is in the way.

    Args:
        offer: not saved yet. If this fails, discard it.
        loaded_at: when the load of the list began that has the slot, in epoch seconds.
        verified: whether that list is verified.

    Raises:
        SlotTaken: another caller was faster.
    """
    try:
        return Held(commit(offer, loaded_at, deadline), verified=verified)
    except claims.Contention:
        return None


def release(*, appointment: Appointment) -> None:
    """End a hold at once. Does nothing if it is not held any more."""
    claims.end_holds(Appointment.objects.held().filter(pk=appointment.pk))
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


def _made_from(offer: SlotToken) -> Appointment | None:
    """Return the hold or booking that was made from the offer, unless it was a hold that has ended."""
    # Mostly there is none, at little cost.
    appointment_id = SlotToken.objects.values_list("appointment", flat=True).get(pk=offer.pk)
    if appointment_id is None:
        return None
    lasting = ~Q(state__in=[AppointmentState.HELD, AppointmentState.EXPIRED])
    found = Appointment.objects.filter(lasting | Q(state=AppointmentState.HELD, expires_at__gt=Now()))
    appointment = found.select_related("branch", "service", "event_type").filter(pk=appointment_id).first()
    if appointment is not None and not appointment.is_live:
        raise SlotNotOffered("This slot_token was used, and its booking has ended.")
    return appointment


def commit(offer: SlotToken, loaded_at: float | None, deadline: Deadline) -> Appointment:
    """
    Commit the hold, and end what the conversation held before, in one transaction.

    Raises:
        SlotTaken: another appointment has the time.
        SlotUncertain: one may have it, see Note [A list proves one host].
        Contention: another writer is in the way; try again.
        ConversationEnded: the phone call ended meanwhile.
    """
    event_type = offer.event_type
    is_new = offer.pk is None
    with claims.writing(event_type, deadline):
        if offer.conversation_id is not None:
            _lock_call(offer.conversation_id)
        if not is_new and _made_from(offer) is not None:
            raise claims.Contention
        claims.end_holds(Appointment.objects.held().filter(_replaced_by(offer)))
        occupancy = read_occupancy(event_type, offer.start, offer.end)
        free = claims.free_hosts(occupancy, listed_at=loaded_at)
        if free.kind is Claim.Kind.QUEUED:
            raise claims.Contention
        minute = minute_from(offer.start)
        compared = occupancy.compare(event_type, [minute], {minute // MINUTES_A_DAY: loaded_at} if loaded_at else {})
        if not compared.left:
            raise (SlotUncertain if compared.askable else SlotTaken)("Another appointment may have it.")
        appointment = _new_hold(offer, datetime.fromtimestamp(occupancy.read_at, UTC) + LIFETIME)
        # Cal.com may choose any of them, and knows nothing of our holds: so the time of each is kept.
        claims.take(appointment, free.host_ids, Claim.Kind.HELD, free.beside)
        offer.appointment = appointment
        offer.save(force_insert=is_new, update_fields=None if is_new else ["appointment"])
    return appointment


def _lock_call(conversation_id: int) -> None:
    """Lock the call, so that it does not end before this hold is committed: its end releases its holds."""
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
