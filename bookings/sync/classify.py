"""How a booking at Cal.com differs from our rows, and so what is to be done about it. Reads only; changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import FilteredRelation, Q
from django.utils import timezone

from bookings.models import (
    OPEN_STATES,
    PLACED_STATES,
    Appointment,
    AppointmentState,
    Operation,
    OperationQuerySet,
    SharedBooking,
)
from calcom.models import Account
from calcom.types import RemoteBooking, RemoteState

State = AppointmentState

# What was told longer ago about a booking that we do not know may be a repeat of old times: it is looked up.
OLD_NEWS = timedelta(minutes=10)
# By how much Cal.com's clock and ours may differ.
_CLOCKS_DIFFER = timedelta(seconds=5)
_OPEN_OPERATION = "open_operation"
_WERE_THERE = {State.COMPLETED, State.NO_SHOW}


class Drift(StrEnum):
    """What a booking means for us. The value is what people read."""

    NONE = "known already"
    OLD = "old news"
    LINK = "replaces one that we do not know"
    OVER = "over before it was known here"
    ANSWER = "answers a change of ours"
    UNSETTLED = "a change of ours is not settled yet"
    UNCERTAIN = "must be looked up"
    NEW = "made there"
    GONE = "cancelled there before it was known here"
    REQUESTED = "waits there for its host"
    MOVED = "moved there"
    MOVED_ON = "moved there, whereto must be looked up"
    DECIDED = "its host has decided there"
    OTHERWISE = "another time or host there"
    CANCELLED = "cancelled there"
    ENDED = "took place"
    DUPLICATE = "carries the id of a wish that is settled without it"
    OVERTOOK = "moved there while it was being cancelled"
    MISSING = "not to be found there"
    RESURRECTED = "stands there though it is cancelled here"
    TWIN = "goes on in a row that was imported"
    SHARED = "another account's, takes time of a host of ours"
    SHARED_ENDED = "another account's, takes no time any more"
    STRANGE = "another account's, of none of our hosts"

    @property
    def is_drift(self) -> bool:
        """Return whether our rows have to change, or Cal.com has to."""
        return self not in {Drift.NONE, Drift.OLD, Drift.LINK, Drift.OVER, Drift.STRANGE}


@dataclass(frozen=True)
class RemoteUpdate:
    """What Cal.com reports about a booking."""

    account: Account
    booking: RemoteBooking
    is_read: bool = True
    """Whether it was read at Cal.com just now. Otherwise a webhook reported it, which may be outdated."""
    reported_at: datetime | None = None
    is_certain: bool = True
    began: int | None = None
    """Key of the appointment whose trail led here: it began the chain of uids, however many it has not heard of."""

    @property
    def is_old(self) -> bool:
        """Return whether it was told so long ago that more may have happened since."""
        return self.reported_at is not None and timezone.now() - self.reported_at > OLD_NEWS


@dataclass(frozen=True)
class Finding:
    """What to do, and about which of our rows."""

    drift: Drift
    appointment: Appointment | None = None
    operation: Operation | None = None
    """The open one, where it is what this answers."""
    shared: SharedBooking | None = None
    """What is known of it here, where another account asked for it."""


def classify(update: RemoteUpdate) -> Finding:
    """Classify an update, given what our rows say now."""
    family = _Family.of(update)
    if family.stranded is not None:
        # Told in the wrong order: the booking that this one replaces had a row of its own, and lives on in another.
        return Finding(Drift.CANCELLED, family.stranded)
    if family.has_twin:
        return Finding(Drift.TWIN, family.appointment)
    appointment = family.appointment
    if appointment is None or appointment.origin == Appointment.Origin.CALCOM:
        shared = _shared_rows(update)
        is_asked_elsewhere = family.is_of_another_account or _may_be_of_another_account(update)
        if shared or family.is_named_elsewhere or (appointment is None and is_asked_elsewhere):
            mine = shared.get(update.booking.uid)
            return Finding(_of_shared(update, mine, shared.get(update.booking.rescheduled_from_uid or "")), shared=mine)
    if appointment is None:
        return Finding(_of_unknown(update))
    if family.lacks_origin:
        return Finding(Drift.LINK, appointment)
    operation: Operation | None = getattr(appointment, _OPEN_OPERATION, None)
    return Finding(_of_known(update, appointment, operation), appointment, operation)


@dataclass(frozen=True)
class _Family:
    """Our rows that a booking may be about."""

    appointment: Appointment | None
    stranded: Appointment | None = None
    has_twin: bool = False
    """It began the chain of uids, and an import has a part of it."""
    lacks_origin: bool = False
    """It replaces a booking that no row of ours knows: a late message about that one must find this row."""
    is_of_another_account: bool = False
    """An agent of another account asked for it, by its uids or by the id in its metadata."""
    is_named_elsewhere: bool = False
    """By that id, which Cal.com says and no other account can: then an import of ours is none of ours."""

    @classmethod
    def of(cls, update: RemoteUpdate) -> "_Family":
        """Match by uid, then by the uid it was moved from, then by our id in its metadata, within the account."""
        booking = update.booking
        by_uid, by_origin, by_id, begun = None, None, None, None
        is_of_another_account, is_named_elsewhere = False, False
        for row in _rows(update):
            chain = _chain(row)
            if row.event_type.account_id != update.account.pk:
                is_of_another_account |= row.origin != Appointment.Origin.CALCOM
                is_named_elsewhere |= row.public_id == booking.appointment_id
                continue
            by_uid = row if booking.uid in chain else by_uid
            by_origin = row if booking.rescheduled_from_uid in chain else by_origin
            by_id = row if row.public_id == booking.appointment_id else by_id
            begun = row if row.pk == update.began else begun
        by_origin = begun or by_origin
        if by_uid and by_origin and by_origin is not by_uid and _leads_to(by_origin, update):
            is_import = by_uid.origin == Appointment.Origin.CALCOM
            return cls(by_origin, has_twin=True) if is_import else cls(by_uid, stranded=by_origin)
        lacks_origin = bool(by_uid and booking.rescheduled_from_uid and not by_origin)
        return cls(
            by_uid or by_origin or by_id,
            lacks_origin=lacks_origin,
            is_of_another_account=is_of_another_account,
            is_named_elsewhere=is_named_elsewhere,
        )


def _leads_to(appointment: Appointment, update: RemoteUpdate) -> bool:
    """Return whether the booking replaced the one that the appointment has now, or its trail led there."""
    is_next = appointment.remote_uid == update.booking.rescheduled_from_uid
    return appointment.is_live and (is_next or appointment.pk == update.began)


def _rows(update: RemoteUpdate) -> Iterable[Appointment]:
    """
    Return the rows that may be meant, of other accounts too, each with its open change.

    Both come of one statement: a webhook comes within milliseconds of the answer to our own request, and between two
    statements that answer would be written down. Then the update could not be matched, and would cost a look-up.
    """
    booking = update.booking
    about = Appointment.objects.called(*(uid for uid in (booking.uid, booking.rescheduled_from_uid) if uid))
    if isinstance(booking.appointment_id, str):
        about |= Appointment.objects.filter(public_id=booking.appointment_id)
    if update.began is not None:
        about |= Appointment.objects.filter(pk=update.began)
    rows = about.annotate(
        **{_OPEN_OPERATION: FilteredRelation("operations", condition=Q(operations__state__in=OPEN_STATES))}
    )
    return rows.select_related("event_type", "company", _OPEN_OPERATION).order_by("pk")


def _chain(appointment: Appointment) -> list[str]:
    return [uid for uid in (*appointment.earlier_remote_uids, appointment.remote_uid) if uid]


# --- a booking that another account asked for --------------------------------------------------------------------


def _shared_rows(update: RemoteUpdate) -> dict[str, SharedBooking]:
    """Return what this account knows of the booking and of the one that it replaced, by uid."""
    uids = [uid for uid in (update.booking.uid, update.booking.rescheduled_from_uid) if uid]
    rows = SharedBooking.objects.filter(account=update.account, remote_uid__in=uids).select_related("event_type")
    return {row.remote_uid: row for row in rows}


def _may_be_of_another_account(update: RemoteUpdate) -> bool:
    """Return whether it may be one that another account is just booking: a cancellation does not carry its id."""
    if update.is_read or update.booking.state.takes_time or _may_be_ours(update):
        return False
    return _just_booked(update.booking).exclude(appointment__event_type__account=update.account).exists()


def _of_shared(update: RemoteUpdate, mine: SharedBooking | None, replaced: SharedBooking | None) -> Drift:
    """Return what it means for the hosts of this account, which is all that it may mean here."""
    booking = update.booking
    if booking.end <= timezone.now() and (mine is None or booking.state.takes_time):
        return Drift.OVER
    if mine is not None and mine.ended and not (update.is_read and booking.state.takes_time):
        # What it says of itself is old. That it replaced another stays true.
        is_new = booking.rescheduled_from_uid and (replaced is None or not replaced.ended)
        return Drift.SHARED_ENDED if is_new else Drift.OLD
    if not booking.state.takes_time:
        return Drift.SHARED_ENDED
    if not update.is_read and (update.is_old or not update.is_certain or not booking.host_ids):
        return Drift.UNCERTAIN
    hosts = set(update.account.hosts.named_by(booking).values_list("pk", flat=True))
    if not hosts and mine is None and replaced is None:
        return Drift.STRANGE
    return Drift.REQUESTED if booking.state is RemoteState.PENDING else _of_shared_standing(update, mine, hosts)


def _of_shared_standing(update: RemoteUpdate, mine: SharedBooking | None, hosts: set[int]) -> Drift:
    if mine is None or mine.ended:
        return Drift.SHARED
    known = mine.start, mine.end, set(mine.claims.values_list("host_id", flat=True))
    if (update.booking.start, update.booking.end, hosts) == known:
        return Drift.NONE
    return Drift.SHARED if update.is_read else Drift.UNCERTAIN


# --- a booking that we do not know -------------------------------------------------------------------------------


def _of_unknown(update: RemoteUpdate) -> Drift:
    booking = update.booking
    if not update.is_read and not update.is_certain and booking.state.takes_time:
        return Drift.UNCERTAIN
    if booking.end <= timezone.now():
        return Drift.OVER
    if not booking.state.takes_time:
        return Drift.UNSETTLED if not update.is_read and _may_be_ours(update) else Drift.GONE
    if not update.is_read and (update.is_old or not update.is_certain or not booking.host_ids):
        return Drift.UNCERTAIN
    return Drift.NEW if booking.state is RemoteState.ACCEPTED else Drift.REQUESTED


def _may_be_ours(update: RemoteUpdate) -> bool:
    """Return whether it may be one that is just being booked: a cancellation does not carry our id."""
    return _just_booked(update.booking).filter(appointment__event_type__account=update.account).exists()


def _just_booked(booking: RemoteBooking) -> OperationQuerySet:
    return Operation.objects.open().filter(
        kind=Operation.Kind.CREATE,
        appointment__start=booking.start,
        appointment__attendee_email=booking.attendee_email,
    )


# --- a booking that we know --------------------------------------------------------------------------------------


def _of_known(update: RemoteUpdate, mine: Appointment, operation: Operation | None) -> Drift:
    booking = update.booking
    if booking.uid == mine.remote_uid:
        return _of_current(update, mine, operation)
    if booking.uid in mine.earlier_remote_uids:
        return Drift.OLD
    if booking.rescheduled_from_uid in mine.earlier_remote_uids:
        return _of_twin(update, mine)
    if booking.rescheduled_from_uid:
        return _of_successor(update, mine, operation)
    return _of_same_id(update, mine, operation)


def _of_current(update: RemoteUpdate, mine: Appointment, operation: Operation | None) -> Drift:
    if mine.state == State.PENDING:
        return Drift.NONE  # its change is being settled, and looks for itself
    if mine.state == State.AWAITING:
        return _of_awaiting(update, mine, operation)
    if mine.state != State.CONFIRMED:
        revived = update.booking.state.takes_time and update.is_read and mine.state not in _WERE_THERE
        return Drift.RESURRECTED if revived else Drift.OLD
    if not update.is_certain:
        return Drift.UNCERTAIN
    return _of_standing(update, mine) if update.booking.state.takes_time else _of_fallen(update, operation)


def _of_awaiting(update: RemoteUpdate, mine: Appointment, operation: Operation | None) -> Drift:
    """Return what it means for an appointment that its host has to confirm."""
    if not update.is_certain:
        return Drift.UNCERTAIN
    if update.booking.state is RemoteState.ACCEPTED:
        return Drift.DECIDED
    if update.booking.state is RemoteState.PENDING:
        if not _differs(update.booking, mine):
            return Drift.NONE
        return Drift.OTHERWISE if update.is_read else Drift.UNCERTAIN
    fallen = _of_fallen(update, operation)
    return Drift.DECIDED if fallen is Drift.CANCELLED else fallen


def _of_fallen(update: RemoteUpdate, operation: Operation | None) -> Drift:
    if update.booking.rescheduled_to_uid:
        return Drift.MOVED_ON
    asked_for = operation is not None and operation.kind == Operation.Kind.CANCEL
    return Drift.ANSWER if asked_for else Drift.CANCELLED


def _of_standing(update: RemoteUpdate, mine: Appointment) -> Drift:
    if update.booking.state is RemoteState.PENDING:
        return Drift.OLD
    if _differs(update.booking, mine):
        return Drift.OTHERWISE if update.is_read else Drift.UNCERTAIN
    return Drift.ENDED if update.is_read and mine.end <= timezone.now() else Drift.NONE


def _differs(booking: RemoteBooking, mine: Appointment) -> bool:
    hosts = {mine.host.calcom_id} if mine.host else set()
    other_host = hosts and booking.host_ids and not hosts & set(booking.host_ids)
    return bool(other_host) or (booking.start, booking.end) != (mine.start, mine.end)


def _of_successor(update: RemoteUpdate, mine: Appointment, operation: Operation | None) -> Drift:
    """Return what it means that a booking of ours was moved, and is this one now."""
    booking = update.booking
    if mine.state == State.PENDING:
        return Drift.UNSETTLED
    if mine.state not in PLACED_STATES:
        return _of_successor_of_none(update, mine) if booking.state.takes_time else Drift.OLD
    is_next = booking.rescheduled_from_uid == mine.remote_uid
    if not update.is_read and not (is_next and update.is_certain and booking.host_ids):
        return Drift.UNCERTAIN
    if booking.state.takes_time:
        asked_for = operation is not None and operation.new_start == booking.start
        return Drift.ANSWER if asked_for else Drift.MOVED
    return Drift.MOVED_ON if booking.rescheduled_to_uid else Drift.CANCELLED


def _of_successor_of_none(update: RemoteUpdate, mine: Appointment) -> Drift:
    """
    Return what it means that a booking stands which has replaced one that ended here.

    Where our own cancellation ended it, the booking was moved before that had its effect: Cal.com moves nothing that is
    cancelled, unless the event type allows it, and then later. So it is the one that the caller wanted cancelled.
    """
    done = Operation.objects.filter(appointment=mine, kind=Operation.Kind.CANCEL, state=Operation.State.DONE)
    finished_at = done.values_list("finished_at", flat=True).first()
    if finished_at is None:
        return _of_unknown(update)
    if not update.is_read:
        return Drift.UNCERTAIN
    created_at = update.booking.created_at
    is_earlier = created_at is not None and created_at <= finished_at + _CLOCKS_DIFFER
    return Drift.OVERTOOK if is_earlier else _of_unknown(update)


def _of_twin(update: RemoteUpdate, mine: Appointment) -> Drift:
    """Return what it means that a booking was moved to this one, though we know of another that it was moved to."""
    booking = update.booking
    if not booking.state.takes_time or mine.state not in PLACED_STATES:
        return Drift.OLD
    if not update.is_read:
        return Drift.UNCERTAIN
    # A move that was sent twice: the later one stands beside the one that we know.
    return Drift.DUPLICATE if booking.appointment_id == mine.public_id else Drift.OLD


def _of_same_id(update: RemoteUpdate, mine: Appointment, operation: Operation | None) -> Drift:
    """Return what it means that a booking we did not know carries our id."""
    booking = update.booking
    if mine.state == State.PENDING and operation is not None:
        return Drift.ANSWER if update.is_read or booking.start == mine.start else Drift.UNCERTAIN
    if not booking.state.takes_time:
        return Drift.OLD
    # Only what was read is cancelled there: an old message must not cost anybody an appointment.
    return Drift.DUPLICATE if update.is_read else Drift.UNCERTAIN
