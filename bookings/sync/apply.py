"""
Applies what happens at Cal.com: appointments made, rescheduled, cancelled, attended or missed there.

`classify.py` says what an update means, here it is done. Each step checks the row once more under its lock: if it has
changed since, the update is retried later.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from structlog.contextvars import bound_contextvars

from bookings.availability.occupancy import PLACED
from bookings.models import Appointment, AppointmentState, Operation, SharedBooking
from bookings.scheduling import attendance, claims, confirmation, duplicates, execution
from bookings.scheduling.settling import Outcome
from bookings.sync import catalog, import_booking
from bookings.sync.classify import Drift, Finding, RemoteUpdate, classify
from cachectl.conf import lifetimes
from cachectl.models import CacheInvalidation
from calcom.day_ranges import LONGEST_CHANGE
from calcom.errors import CalcomError, Reason, Refused
from calcom.models import Account, EventType
from calcom.service import CalcomService
from calcom.types import Priority, RemoteBooking
from calcom.webhooks.events import (
    AbsenceMarked,
    BookingSnapshot,
    BookingWebhook,
    Event,
    EventTypesSynced,
    HostAway,
    Ignored,
    MeetingEnded,
    RetryLater,
)

log = structlog.get_logger(__name__)

State = AppointmentState
Cause = CacheInvalidation.Cause

# Look-ups that one update may cause: the booking itself, the one it was rescheduled to, and so on.
_MAX_LOOK_UPS = 5
_WRITE_ITS_TIME = {Drift.ANSWER, Drift.NEW, Drift.REQUESTED, Drift.MOVED, Drift.OTHERWISE, Drift.SHARED}
# How far ahead the days of a host's absence are invalidated; later ones are not cached for long.
_ABSENCE_AHEAD = timedelta(days=93)
# By how much Cal.com's clock and ours may differ.
_CLOCKS_DIFFER = timedelta(minutes=5)


def handle(account: Account, event: Event) -> str:
    """Apply an event of Cal.com and return in a few words what was done; see `calcom.webhooks.events.EventHandler`."""
    match event:
        case BookingWebhook(booking, reported_at, is_certain):
            update = RemoteUpdate(account, booking, is_read=False, reported_at=reported_at, is_certain=is_certain)
            return apply_update(update, CalcomService(account)).value
        case BookingSnapshot(booking):
            return apply_update(RemoteUpdate(account, booking), CalcomService(account)).value
        case MeetingEnded(uid):
            return _end(account, uid)
        case AbsenceMarked():
            return _mark_absence(account, event)
        case HostAway():
            return _invalidate_absence(account, event)
        case EventTypesSynced():
            return catalog.follow_event_types(account)


def apply_update(update: RemoteUpdate, calcom: CalcomService) -> Drift:
    """
    Apply an update to our rows, and return its classification.

    Raises:
        Ignored: it concerns none of our companies, or is impossible.
        RetryLater, CalcomError: try again later.
    """
    for _ in range(_MAX_LOOK_UPS):
        finding = classify(update)
        uid = _to_look_up(update, finding)
        if uid is not None:
            began = finding.appointment if finding.drift is Drift.MOVED_ON else None
            update = RemoteUpdate(update.account, _looked_up(uid, calcom), began=began.pk if began else None)
            continue
        appointment_id = finding.appointment.public_id if finding.appointment else None
        with bound_contextvars(appointment_id=appointment_id):
            _ACTIONS.get(finding.drift, _nothing)(_Context(update, finding, calcom))
            if not update.is_read:
                log.info("webhook.applied", account_id=update.account.pk, outcome=finding.drift.value)
        if finding.drift is Drift.SHARED_ENDED and update.booking.rescheduled_to_uid:
            update = RemoteUpdate(update.account, _looked_up(update.booking.rescheduled_to_uid, calcom))
        elif finding.drift not in {Drift.LINK, Drift.TWIN}:
            return finding.drift
    raise RetryLater("it is being moved again and again")


def _to_look_up(update: RemoteUpdate, finding: Finding) -> str | None:
    """Return the uid that has to be read before anything is done; raise `Ignored` where that would say no more."""
    if finding.drift is Drift.MOVED_ON:
        return update.booking.rescheduled_to_uid
    if update.booking.flaw and _needs_its_time(update, finding):
        if update.is_read or finding.appointment is None:
            raise Ignored(update.booking.flaw)
        return update.booking.uid
    return update.booking.uid if finding.drift is Drift.UNCERTAIN else None


def _needs_its_time(update: RemoteUpdate, finding: Finding) -> bool:
    """Return whether its time is written down. That a known booking has ended is true whatever its time is."""
    if finding.drift is Drift.SHARED_ENDED:
        return finding.shared is None
    stands = update.booking.state.takes_time
    return finding.drift is Drift.GONE or (stands and finding.drift in _WRITE_ITS_TIME)


def _looked_up(uid: str, calcom: CalcomService) -> RemoteBooking:
    """Read a booking that a message or a list was about; callers' requests go first."""
    try:
        return calcom.get_booking(uid=uid, priority=Priority.BACKGROUND)
    except Refused as exc:
        if exc.reason is Reason.NOT_FOUND:
            raise Ignored("not to be found at Cal.com") from exc
        raise


@dataclass(frozen=True)
class _Context:
    """An update, its classification, and the account at Cal.com."""

    update: RemoteUpdate
    finding: Finding
    calcom: CalcomService

    @property
    def appointment(self) -> Appointment:
        """The row that it is about."""
        if self.finding.appointment is None:
            raise RetryLater("its row is gone")
        return self.finding.appointment

    def log(self, event: str, appointment: Appointment | None, *, alert: bool = False) -> None:
        """Write a line to the log; nothing in it is personal."""
        (log.error if alert else log.info)(
            event,
            account_id=self.update.account.pk,
            appointment_id=appointment.public_id if appointment else None,
            outcome=self.finding.drift.value,
        )


def _nothing(_context: _Context) -> None:
    """Leave everything as it is."""


def _wait(_context: _Context) -> None:
    raise RetryLater("a change of ours is not settled yet")


def _settle(context: _Context) -> None:
    """Apply it as the result of our own operation, whose response may come later or never."""
    if context.finding.operation is not None:
        execution.apply_result(
            operation_id=context.finding.operation.pk, remote=context.update.booking, calcom=context.calcom
        )


# --- bookings that we do not know --------------------------------------------------------------------------------


def _import_booking(context: _Context) -> None:
    """Import an appointment that was made there."""
    booking = context.update.booking
    chosen = context.calcom.hosts_of(booking)
    event_type, is_known = import_booking.event_type_of(context.update.account, booking, chosen)
    host_ids = chosen or list(event_type.hosts.values_list("pk", flat=True))
    home = import_booking.home_of(event_type, host_ids)
    with _writing(event_type):
        appointment = import_booking.appointment_of(booking, event_type, home)
        appointment.host_id = host_ids[0] if len(host_ids) == 1 else None
        appointment.save()
        was_free = not appointment.is_live or claims.record(appointment, host_ids)
        # Only what we know in full, buffers too, leaves the days answerable; freed time was never known as taken.
        cause = Cause.OWN if appointment.is_live and is_known else Cause.ELSEWHERE
        invalidations = _invalidations(context.calcom, appointment, host_ids, cause)
    context.calcom.availability_changed(invalidations)
    context.log("sync.appointment_imported", appointment, alert=not was_free)
    if booking.rescheduled_from_uid and _may_be_in_lists(context.update):
        with suppress(CalcomError, Ignored):  # then the days grow stale by themselves
            _invalidate_replaced(context, str(booking.rescheduled_from_uid))


def _may_be_in_lists(update: RemoteUpdate) -> bool:
    """Return whether it was made so recently that a list from before may still be answered."""
    made_at = update.booking.created_at or update.reported_at
    age = timedelta(milliseconds=lifetimes().stale_while_revalidate)
    return made_at is not None and timezone.now() - made_at < age


def _invalidate_replaced(context: _Context, uid: str) -> None:
    """Invalidate the days of a booking that was replaced before it was known here: lists may lack its time."""
    replaced = _looked_up(uid, context.calcom)
    if replaced.flaw or replaced.end <= timezone.now():
        return
    host_ids = context.calcom.hosts_of(replaced)
    event_type, _ = import_booking.event_type_of(context.update.account, replaced, host_ids)
    with transaction.atomic(durable=True):
        invalidations = context.calcom.record_invalidations(
            event_type=event_type, start=replaced.start, end=replaced.end, host_ids=host_ids, cause=Cause.ELSEWHERE
        )
    context.calcom.availability_changed(invalidations)


def _invalidate_requested(context: _Context) -> None:
    """Invalidate the days of a booking that waits for its host: it depends on the event type whether it takes time."""
    booking = context.update.booking
    if context.update.is_read:
        return  # polled again and again; the days grow stale by themselves
    host_ids = context.calcom.hosts_of(booking)
    event_type, _ = import_booking.event_type_of(context.update.account, booking, host_ids)
    with transaction.atomic(durable=True):
        invalidations = context.calcom.record_invalidations(
            event_type=event_type, start=booking.start, end=booking.end, host_ids=host_ids, cause=Cause.ELSEWHERE
        )
    context.calcom.availability_changed(invalidations)


# --- bookings that another account asked for ---------------------------------------------------------------------


def _claim_shared(context: _Context) -> None:
    """Claim the time of this account's hosts for it. Who comes is the other account's matter, and is not written."""
    booking = context.update.booking
    host_ids = _known_hosts(context)
    event_type, is_known = import_booking.event_type_of(context.update.account, booking, host_ids)
    with _writing(event_type):
        invalidations = _end_shared(context, event_type)
        row = SharedBooking.objects.get(account=context.update.account, remote_uid=booking.uid)
        row.event_type, row.start, row.end, row.ended = event_type, booking.start, booking.end, False
        row.save()
        was_free = claims.record(row, host_ids)
        invalidations += _invalidations(context.calcom, row, host_ids, Cause.OWN if is_known else Cause.ELSEWHERE)
    context.calcom.availability_changed(invalidations)
    context.log("sync.shared_booking_claimed", None, alert=not was_free)


def _release_shared(context: _Context) -> None:
    """Give back the time of this account's hosts."""
    row = context.finding.shared
    event_type = (
        row.event_type
        if row
        else import_booking.event_type_of(context.update.account, context.update.booking, _known_hosts(context))[0]
    )
    with _writing(event_type):
        invalidations = _end_shared(context, event_type)
        if row is None:
            # What a list of slots may still lack: nothing here ever knew of this time as taken.
            invalidations += context.calcom.record_invalidations(
                event_type=event_type,
                start=context.update.booking.start,
                end=context.update.booking.end,
                host_ids=_known_hosts(context),
                cause=Cause.ELSEWHERE,
            )
    context.calcom.availability_changed(invalidations)
    context.log("sync.shared_booking_released", None)


def release_shared(row: SharedBooking, calcom: CalcomService) -> None:
    """
    Write down that it does not stand at Cal.com any more, and give back the time of this account's hosts.

    Raises:
        RetryLater: another writer is changing it.
    """
    with _writing(row.event_type):
        invalidations = _ended(SharedBooking.objects.filter(pk=row.pk), calcom)
    calcom.availability_changed(invalidations)


def _end_shared(context: _Context, event_type: EventType) -> list[CacheInvalidation]:
    """
    End it and the one that it replaced, within the transaction that is open; return the days that this changes.

    One that was not known is written down as ended, with these times: a late message must not claim its time again.
    """
    account, booking = context.update.account, context.update.booking
    uids = [uid for uid in (booking.uid, booking.rescheduled_from_uid) if uid]
    time = {"start": booking.start, "end": booking.end}
    unknown = [
        SharedBooking(account=account, event_type=event_type, remote_uid=uid, ended=True, **time) for uid in uids
    ]
    SharedBooking.objects.bulk_create([] if booking.flaw else unknown, ignore_conflicts=True)
    rows = SharedBooking.objects.filter(account=account, remote_uid__in=uids)
    return [*_ended(rows, context.calcom), *_disowned(account, uids, context.calcom)]


def _disowned(account: Account, uids: Sequence[str], calcom: CalcomService) -> list[CacheInvalidation]:
    """End what was imported under these uids before it was known whose it is, and keep nothing of who comes."""
    invalidations = list[CacheInvalidation]()
    imports = Appointment.objects.called(*uids).filter(company__account=account, origin=Appointment.Origin.CALCOM)
    for row in imports.select_for_update(of=("self",)).select_related("event_type").order_by("pk"):
        if Operation.objects.open().filter(appointment=row):
            raise RetryLater("a change of ours is not settled yet")
        if host_ids := sorted(set(row.claims.values_list("host_id", flat=True))):
            invalidations += _invalidations(calcom, row, host_ids, Cause.OWN, freed=True)
            claims.release(row)
        row.state, row.remote_uid, row.earlier_remote_uids, row.customer = State.CANCELLED, "", [], None
        row.attendee_name, row.attendee_email, row.attendee_phone = "", "", None
        row.save()
    return invalidations


def _ended(rows: QuerySet[SharedBooking], calcom: CalcomService) -> list[CacheInvalidation]:
    invalidations = list[CacheInvalidation]()
    for row in rows.select_for_update(of=("self",)).select_related("event_type").order_by("pk"):
        if host_ids := sorted(row.claims.values_list("host_id", flat=True)):
            invalidations += _invalidations(calcom, row, host_ids, Cause.OWN, freed=True)
            row.claims.all().delete()
        row.ended = True
        row.save()
    return invalidations


def _known_hosts(context: _Context) -> list[int]:
    """Return our ids of its hosts whom this account has: others' time is not this account's matter."""
    hosts = context.update.account.hosts.named_by(context.update.booking)
    return list(hosts.order_by("pk").values_list("pk", flat=True))


# --- appointments of ours ----------------------------------------------------------------------------------------


def _reschedule(context: _Context) -> None:
    """Write down its new time or host; in most cases it has another uid, too."""
    appointment, booking = context.appointment, context.update.booking
    hosts_before = _host_ids(appointment)
    host_ids = context.calcom.hosts_of(booking) or hosts_before
    with _locked(appointment):
        invalidations = _invalidations(context.calcom, appointment, hosts_before, Cause.OWN, freed=True)
        appointment.replace_remote(booking, host_ids)  # no other writer does, under the lock
        confirmation.track(appointment)
        was_free = claims.record(appointment, host_ids)
        invalidations += _invalidations(context.calcom, appointment, host_ids, Cause.OWN)
    context.calcom.availability_changed(invalidations)
    context.log("sync.appointment_rescheduled", appointment, alert=not was_free)


def _link(context: _Context) -> None:
    """Note the uid of the booking that this one replaced: messages about that one may still come."""
    appointment = context.appointment
    with _locked(appointment):
        appointment.earlier_remote_uids = [
            *appointment.earlier_remote_uids,
            str(context.update.booking.rescheduled_from_uid),
        ]
        appointment.save(update_fields=["earlier_remote_uids"])


def _merge(context: _Context) -> None:
    if not duplicates.merge(context.appointment, [context.update.booking.uid], context.calcom):
        raise RetryLater("its twin is being changed")


def _decide(context: _Context) -> None:
    """Write down that its host has confirmed it, or has not."""
    if not execution.decide(appointment=context.appointment, remote=context.update.booking, calcom=context.calcom):
        raise RetryLater("it is being changed")


def _cancel(context: _Context) -> None:
    release(context.appointment, context.calcom, as_uid=context.update.booking.uid)
    context.log("sync.appointment_cancelled", context.appointment)


def release(appointment: Appointment, calcom: CalcomService, as_uid: str = "") -> None:
    """
    Write down that it does not stand at Cal.com any more, and give its host's time back.

    `as_uid` is what Cal.com called it last: late messages about that must find this row.

    Raises:
        RetryLater: another writer is changing it.
    """
    chain = [*appointment.earlier_remote_uids, appointment.remote_uid]
    named = {"remote_uid": as_uid, "earlier_remote_uids": chain} if as_uid and as_uid not in chain else {}
    with _locked(appointment):
        host_ids = _host_ids(appointment)
        appointment.transition(to=State.CANCELLED, changed_at=Now(), **named)
        claims.release(appointment)
        confirmation.withdraw(appointment, Outcome.VANISHED)
        invalidations = _invalidations(calcom, appointment, host_ids, Cause.OWN, freed=True)
    calcom.availability_changed(invalidations)


def _complete(context: _Context) -> None:
    _finish(context.appointment, State.COMPLETED)


def _cancel_at_calcom(context: _Context) -> None:
    """
    Cancel a booking that carries the id of a wish which was settled without it, or that ours was moved to while we
    cancelled that. It was read, not only told.
    """
    is_moved = context.finding.drift is Drift.OVERTOOK
    try:
        context.calcom.cancel(
            uid=context.update.booking.uid, reason="Cancelled by phone." if is_moved else "Booked twice by mistake."
        )
    except Refused as exc:
        log.warning("sync.duplicate_not_cancelled", account_id=context.update.account.pk, reason=exc.reason.value)
    context.log("sync.duplicate_cancelled", context.appointment, alert=True)


def _report_resurrected(context: _Context) -> None:
    """Tell staff, unless it was cancelled while the list was on its way: which of the two is right, people know."""
    if _looked_up(context.update.booking.uid, context.calcom).state.takes_time:
        context.log("sync.appointment_resurrected", context.appointment, alert=True)


_ACTIONS: Mapping[Drift, Callable[[_Context], None]] = {
    Drift.ANSWER: _settle,
    Drift.UNSETTLED: _wait,
    Drift.NEW: _import_booking,
    Drift.GONE: _import_booking,
    Drift.REQUESTED: _invalidate_requested,
    Drift.MOVED: _reschedule,
    Drift.OTHERWISE: _reschedule,
    Drift.CANCELLED: _cancel,
    Drift.DECIDED: _decide,
    Drift.LINK: _link,
    Drift.TWIN: _merge,
    Drift.ENDED: _complete,
    Drift.DUPLICATE: _cancel_at_calcom,
    Drift.OVERTOOK: _cancel_at_calcom,
    Drift.RESURRECTED: _report_resurrected,
    Drift.SHARED: _claim_shared,
    Drift.SHARED_ENDED: _release_shared,
}


# --- who came, who is away ---------------------------------------------------------------------------------------


def _end(account: Account, uid: str) -> str:
    appointment = _current(account, uid)
    if appointment.state != State.CONFIRMED:
        raise Ignored("it is not confirmed here")
    if appointment.end > timezone.now() + _CLOCKS_DIFFER:
        raise Ignored("it is not over")
    _finish(appointment, State.COMPLETED)
    return Drift.ENDED.value


def _mark_absence(account: Account, marked: AbsenceMarked) -> str:
    """Write down who did not come; staff may take that back."""
    appointment = _current(account, marked.uid)
    address = appointment.attendee_email.lower()
    if address in marked.absent and appointment.state in {State.CONFIRMED, State.COMPLETED}:
        if appointment.start > timezone.now() + _CLOCKS_DIFFER:
            raise Ignored("it has not begun")
        _finish(appointment, State.NO_SHOW)
        return "did not come"
    if address in marked.present and appointment.state == State.NO_SHOW:
        _finish(appointment, State.COMPLETED)
        return "came after all"
    raise Ignored("about no attendee whom we expect")


def _current(account: Account, uid: str) -> Appointment:
    appointment = Appointment.objects.filter(event_type__account=account, remote_uid=uid).first()
    if appointment is None:
        raise Ignored("not known here")
    return appointment


def _finish(appointment: Appointment, state: AppointmentState) -> None:
    if not attendance.finish(appointment, to=state):
        raise RetryLater("another writer is changing it")


def _invalidate_absence(account: Account, away: HostAway) -> str:
    """Invalidate the days on which a host is away, month by month."""
    calcom = CalcomService(account)
    event_type = EventType.objects.filter(account=account, hosts__calcom_id=away.host_id).first()
    first, last = max(away.start, timezone.now()), min(away.end, timezone.now() + _ABSENCE_AHEAD)
    if event_type is None or first >= last:
        raise Ignored("this host cannot be booked then")
    while first < last:
        until = min(last, first + LONGEST_CHANGE)
        with transaction.atomic(durable=True):
            invalidations = calcom.record_invalidations(
                event_type=event_type,
                start=first,
                end=until,
                host_ids=calcom.host_ids([away.host_id]),
                cause=Cause.ELSEWHERE,
            )
        calcom.availability_changed(invalidations)
        first = until
    return "a host is away"


# --- writing it down ---------------------------------------------------------------------------------------------


@contextmanager
def _locked(appointment: Appointment) -> Iterator[None]:
    """Open a transaction in which the row is locked. Raises RetryLater if it changed since it was classified."""
    with _writing(appointment.event_type):
        same = Appointment.objects.filter(pk=appointment.pk, state=appointment.state, remote_uid=appointment.remote_uid)
        if not same.select_for_update().values_list("pk"):
            raise RetryLater("another writer changed it")
        yield


@contextmanager
def _writing(event_type: EventType) -> Iterator[None]:
    try:
        with claims.writing(event_type):
            yield
    except claims.Contention as exc:
        raise RetryLater("another writer is in the way") from exc


def _host_ids(appointment: Appointment) -> list[int]:
    """Return whose time it takes; a move of ours that is on its way may claim more."""
    if appointment.host_id:
        return [appointment.host_id]
    confirmed = appointment.claims.filter(kind__in=PLACED).order_by("host_id")
    return list(confirmed.values_list("host_id", flat=True)) or list(
        appointment.event_type.hosts.values_list("pk", flat=True)
    )


def _invalidations(
    calcom: CalcomService,
    booked: Appointment | SharedBooking,
    host_ids: Collection[int],
    cause: Cause,
    *,
    freed: bool = False,
) -> list[CacheInvalidation]:
    return calcom.record_invalidations(
        event_type=booked.event_type,
        start=booked.start,
        end=booked.end,
        host_ids=host_ids,
        cause=cause,
        freed=freed,
    )
