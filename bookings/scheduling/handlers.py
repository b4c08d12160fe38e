"""What creating, rescheduling and cancelling each send to Cal.com, and how they check and write down the result."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from bookings import metrics
from bookings.models import PLACED_STATES, Appointment, AppointmentState, Claim, Company, Operation, OperationState
from bookings.scheduling import callbacks, claims, confirmation, duplicates
from bookings.scheduling.customers import new_booking
from bookings.scheduling.settling import REFUSALS, OperationHandler, Outcome, Refusal, close, transition
from cachectl.models import CacheInvalidation
from calcom.day_ranges import MINUTE
from calcom.errors import CalcomError, Reason, Refused, Unavailable
from calcom.service import CalcomService
from calcom.types import RemoteBooking, RemoteState

# Reschedules at Cal.com that one look-up follows; more of them are followed by the next look-up.
_LONGEST_CHAIN = 10
# How far around its time a booking is looked for: Cal.com may have made it otherwise than it was asked to.
_AROUND = timedelta(days=1)


def handler_for(operation: Operation, calcom: CalcomService) -> OperationHandler:
    return _HANDLERS[Operation.Kind(operation.kind)](operation, calcom)


# --- create ---------------------------------------------------------------------------------------------------


class CreateHandler(OperationHandler):
    """Makes the booking of an appointment at Cal.com."""

    topic = "The appointment could not be entered at Cal.com."
    names_a_booking = False

    def execute(self) -> RemoteBooking:
        return self.calcom.create_booking(event_type=self.appointment.event_type, booking=new_booking(self.appointment))

    def secure(self, host_ids: Collection[int]) -> None:
        claims.release(self.appointment)
        claims.take(self.appointment, host_ids, Claim.Kind.PENDING)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:  # noqa: ARG002  it carries our id
        """Return the booking that carries our id, also if its time or length is not the requested one."""
        appointment = self.appointment
        if appointment.remote_uid:
            return self.calcom.get_booking(uid=appointment.remote_uid)
        return self.calcom.find_booking(
            attendee_email=appointment.attendee_email,
            start=appointment.start - _AROUND,
            end=appointment.end + _AROUND,
            appointment_id=appointment.public_id,
        )

    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        appointment = self.appointment
        if remote.appointment_id is None:
            # Another booking, or one whose metadata could not be read in this response.
            try:
                remote = self.calcom.get_booking(uid=remote.uid)
            except CalcomError:
                self.try_again(OperationState.UNKNOWN, otherwise=Outcome.FOREIGN)
                return
        if remote.appointment_id != appointment.public_id or belongs_to_another(remote.uid, appointment):
            # Cal.com returned an existing booking as if it were new. It is not ours to cancel.
            is_same = (remote.attendee_email, remote.start) == (appointment.attendee_email, appointment.start)
            self.refuse(Outcome.SAME_ADDRESS if is_same else Outcome.FOREIGN, list_was_wrong=not is_same)
        elif remote.rescheduled_to_uid:
            self._follow(remote, duration)
        elif remote.state.takes_time and not remote.rescheduled_from_uid and (mismatch := self._mismatch(remote)):
            self._cancel_mismatch(remote, mismatch)  # a person who rescheduled it there wants it so
        else:
            self._apply(remote, duration)

    def _mismatch(self, remote: RemoteBooking) -> Outcome | None:
        """Return what of a live booking differs from what the caller was promised, None if nothing does."""
        appointment = self.appointment
        if remote.start != appointment.start:
            return Outcome.OTHER_START
        if remote.end != appointment.end:
            return Outcome.OTHER_LENGTH
        is_other_type = remote.event_type_id not in {None, appointment.event_type.calcom_id}
        return Outcome.OTHER_TYPE if is_other_type else None

    def _follow(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """Apply the booking that it was rescheduled to at Cal.com before its creation was known here."""
        try:
            *left, here = [remote, *_chain(self.calcom, remote.rescheduled_to_uid)]
        except CalcomError:
            self.later(OperationState.UNKNOWN)
        else:
            self._apply(here, duration, left=left)

    def _apply(self, remote: RemoteBooking, duration: timedelta | None, left: Sequence[RemoteBooking] = ()) -> None:
        if remote.state.takes_time:
            self._place(remote, duration, left)
        else:
            self.refuse(remote.state)

    def _place(self, remote: RemoteBooking, duration: timedelta | None, left: Sequence[RemoteBooking]) -> None:
        """Write down Cal.com's booking, confirmed or waiting for its host."""
        appointment, host_ids = self.appointment, _hosts_of(self, remote)
        is_accepted = remote.state is RemoteState.ACCEPTED
        if not duplicates.merge(appointment, [each.uid for each in (*left, remote)], self.calcom):
            self.later(OperationState.UNKNOWN)
            return
        with transaction.atomic(durable=True):
            # Not pending any more if a duplicate was merged just now: then it has the state of that.
            won = appointment.state == AppointmentState.PENDING and appointment.transition(
                to=AppointmentState.CONFIRMED if is_accepted else AppointmentState.AWAITING,
                remote_uid=remote.uid,
                earlier_remote_uids=[each.uid for each in left] or list(filter(None, [remote.rescheduled_from_uid])),
                start=remote.start,
                end=remote.end,
                host_id=host_ids[0] if len(host_ids) == 1 else None,
                changed_at=Now(),
            )
            was_free = won and claims.record(appointment, host_ids)
            times = [(each.start, each.end) for each in (*left, remote)] if won else []
            invalidations = [each for time in times for each in self.invalidate(*time, host_ids)]
            if won and not is_accepted:
                confirmation.track(appointment, self.operation)
            else:
                close(self.operation, to=OperationState.DONE, duration=duration)
        if not won:
            _cancel_duplicate(self, remote)
            return
        self.calcom.availability_changed(invalidations)
        event = "booking.confirmed" if is_accepted else "booking.awaits_host"
        self.log(event, outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)

    def _cancel_mismatch(self, remote: RemoteBooking, outcome: str) -> None:
        """Cancel a booking that is not what was requested; its uid is committed first, in case of a crash."""
        # If it was imported meanwhile, that row has the uid, and this one is found again by our id.
        with suppress(IntegrityError), transaction.atomic():
            Appointment.objects.filter(pk=self.appointment.pk).update(remote_uid=remote.uid)
        self.later(OperationState.UNKNOWN)
        self.calcom.request_sync(self.appointment.event_type)
        try:
            self.calcom.cancel(uid=remote.uid, reason="Booked otherwise than asked for.")
        except Refused as exc:
            if exc.reason is Reason.ALREADY_MOVED:
                self.try_again(OperationState.UNKNOWN, otherwise=outcome)
                return
            if REFUSALS[exc.reason] is Refusal.FINAL:
                self.log("booking.mismatch_not_cancelled", outcome=exc.reason, alert=True)
        except CalcomError:
            self.try_again(OperationState.UNKNOWN, otherwise=outcome)
            return
        self.refuse(outcome)

    def apply_not_found(self) -> None:
        if self.appointment.remote_uid:  # known only of a mismatch that was to be cancelled
            self.refuse(Outcome.OTHER_START)
        else:
            self.try_again(OperationState.UNKNOWN, otherwise=Reason.NOT_FOUND)

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        appointment = self.appointment
        invalidations: Sequence[CacheInvalidation] = ()
        with transaction.atomic(durable=True):
            if not transition(self.operation, to=OperationState.REFUSED, outcome=outcome, finished_at=Now()):
                return
            appointment.transition(to=AppointmentState.REJECTED, changed_at=Now())
            claims.release(appointment)
            self.request_callback(outcome)
            if list_was_wrong:
                cause = CacheInvalidation.Cause.REFUSED
                invalidations = self.invalidate(appointment.start, appointment.end, self.host_ids, cause)
        self.calcom.availability_changed(invalidations)
        self.log("booking.refused", outcome=outcome)


# --- reschedule ------------------------------------------------------------------------------------------------------


class RescheduleHandler(OperationHandler):
    """
    Reschedules the booking of an appointment at Cal.com.

    Until Cal.com confirms, the appointment keeps its time and claims the new one beside it. Rescheduling changes the
    uid and keeps our id in the metadata, so an unknown outcome is found by following the uid that we have.
    """

    topic = "The appointment could not be rescheduled at Cal.com."

    @property
    def start(self) -> datetime:
        if self.operation.new_start is None:
            raise ValueError("A reschedule without a new start.")
        return self.operation.new_start

    @property
    def end(self) -> datetime:
        return self.start + (self.appointment.end - self.appointment.start)

    @property
    def is_secured(self) -> bool:
        """Return whether it claims the new time; a reschedule at Cal.com meanwhile has removed these claims."""
        return Claim.objects.filter(appointment=self.appointment, kind=Claim.Kind.PENDING).exists()

    def secure(self, host_ids: Collection[int]) -> None:
        claims.release_other_time(self.appointment)
        claims.take_other_time(self.appointment, host_ids, Claim.Kind.PENDING, self.start, self.end)

    def execute(self) -> RemoteBooking:
        return self.calcom.reschedule(uid=self.appointment.remote_uid, start=self.start, reason=self.operation.reason)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:
        """
        Return its latest booking, None if that is the one we know.

        If one of the chain was at the new time, return that: our own send may have caused it, and what follows was done
        by others.
        """
        known, *later = _chain(self.calcom, self.appointment.remote_uid)
        arrived = (step for step in later if step.start == self.start and not only_refused)
        here = next(arrived, later[-1] if later else known)
        return None if here is known and here.state.takes_time else here

    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        if self._is_ours(remote):
            self._apply(remote, duration)
            return
        # A response about another booking. The outcome of ours is found by its own uid.
        self.log("booking.foreign_in_response", outcome=Outcome.FOREIGN)
        try:
            here = self.look_up()
        except CalcomError:
            self.later(OperationState.UNKNOWN)
        else:
            if here is None:
                self.refuse(Outcome.FOREIGN)
            else:
                self._apply(here, duration)

    def _is_ours(self, remote: RemoteBooking) -> bool:
        appointment = self.appointment
        chain = {appointment.remote_uid, *appointment.earlier_remote_uids}
        made_there = appointment.origin == Appointment.Origin.CALCOM  # such a booking does not carry our id
        is_named = remote.appointment_id == appointment.public_id or (
            made_there and remote.rescheduled_from_uid in chain
        )
        return is_named and not belongs_to_another(remote.uid, appointment)

    def _apply(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        if not duplicates.merge(self.appointment, [remote.uid], self.calcom):
            self.later(OperationState.UNKNOWN)
            return
        stands = remote.state.takes_time or remote.rescheduled_to_uid
        if remote.start == self.start and stands:
            self._record_reschedule(remote, duration)
        elif stands:
            self._follow_reschedule(remote)
        else:
            self._end_as_cancelled(Reason.ALREADY_CANCELLED)

    def _record_reschedule(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """
        Write down the new time and give the old one back, in one transaction.

        If its event type has another length by now, so has the appointment, because the old booking cannot be restored.
        The caller is told how long it takes, and staff call them back.
        """
        length = remote.end - remote.start
        other_length = Outcome.OTHER_LENGTH if remote.end != self.end else ""
        with transaction.atomic(durable=True):
            won, was_free, invalidations = _replace_remote(
                self, remote, self.operation, reschedules=self.appointment.reschedules + 1
            )
            if won:
                close(self.operation, to=OperationState.DONE, duration=duration, outcome=other_length)
                if other_length:
                    callbacks.request_for(
                        self.appointment, f"The rescheduled appointment takes {length // MINUTE} minutes now."
                    )
        if not won:
            self._apply_again(remote, duration)
            return
        self.calcom.availability_changed(invalidations)
        if other_length:
            self.calcom.request_sync(self.appointment.event_type)
        if self.appointment.state == AppointmentState.AWAITING:
            self.log("booking.awaits_host", outcome="rescheduled")
        outcome = other_length or ("done" if was_free else "overlaps at Cal.com")
        self.log("booking.rescheduled", outcome=outcome, alert=not was_free)

    def _apply_again(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """Continue from the appointment's present row, which a webhook has changed before this response was applied."""
        appointment = self.appointment
        appointment.refresh_from_db()
        _cancel_duplicate(self, remote)
        was_here = remote.uid in appointment.earlier_remote_uids
        if appointment.state not in PLACED_STATES:
            self._end_as_cancelled(Reason.ALREADY_CANCELLED)
        elif was_here or appointment.start == self.start:
            with transaction.atomic(durable=True):
                if appointment.state == AppointmentState.AWAITING:
                    confirmation.track(appointment, self.operation)
                if close(self.operation, to=OperationState.DONE, duration=duration):
                    claims.release_other_time(appointment)
        else:
            self.try_again(OperationState.QUEUED, otherwise=Outcome.OTHER_START)

    def _follow_reschedule(self, remote: RemoteBooking) -> None:
        """
        Follow a booking that is at a time not requested here, and schedule the reschedule again from there.

        A person rescheduled it at Cal.com, or Cal.com erred.
        """
        with transaction.atomic(durable=True):
            won, _, invalidations = _replace_remote(self, remote)
        if won:
            self.calcom.availability_changed(invalidations)
            self.log("booking.rescheduled_at_calcom", outcome="followed", alert=True)
        else:
            self.appointment.refresh_from_db()
        self.try_again(OperationState.QUEUED, otherwise=Outcome.OTHER_START)

    def apply_not_found(self) -> None:
        metrics.count_missing(self.appointment)
        self._end_as_cancelled(Outcome.VANISHED)

    def _end_as_cancelled(self, outcome: str) -> None:
        """Write down that it was cancelled at Cal.com."""
        appointment = self.appointment
        with transaction.atomic(durable=True):
            if not close(self.operation, to=OperationState.REFUSED, outcome=outcome):
                return
            appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now())
            claims.release(appointment)
            confirmation.withdraw(appointment, outcome)
            self.request_callback(outcome)
            host_ids = [appointment.host_id] if appointment.host_id else self.host_ids
            invalidations = self.invalidate(appointment.start, appointment.end, host_ids, freed=True)
        self.calcom.availability_changed(invalidations)
        self.log("booking.cancelled_at_calcom", outcome=outcome)

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        invalidations: Sequence[CacheInvalidation] = ()
        with transaction.atomic(durable=True):
            if not transition(self.operation, to=OperationState.REFUSED, outcome=outcome, finished_at=Now()):
                return
            claims.release_other_time(self.appointment)
            self.request_callback(outcome)
            if list_was_wrong:
                invalidations = self.invalidate(self.start, self.end, self.host_ids, CacheInvalidation.Cause.REFUSED)
        self.calcom.availability_changed(invalidations)
        self.log("booking.reschedule_refused", outcome=outcome)


# --- cancel ----------------------------------------------------------------------------------------------


class CancelHandler(OperationHandler):
    """Cancels the booking of an appointment at Cal.com. Idempotent there, and never too late."""

    topic = "The appointment could not be cancelled at Cal.com."

    @property
    def is_too_late(self) -> bool:
        return False

    @property
    def is_secured(self) -> bool:
        return True

    @property
    def may_be_repeated(self) -> bool:
        return True

    def execute(self) -> RemoteBooking:
        return self.calcom.cancel(uid=self.appointment.remote_uid, reason=self.operation.reason)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:  # noqa: ARG002  cancelled is cancelled
        """Return its latest booking, None if that is the one we know and it is live. The appointment follows it."""
        known, *later = _chain(self.calcom, self.appointment.remote_uid)
        if not later:
            return None if known.state.takes_time else known
        if not duplicates.merge(self.appointment, [step.uid for step in later], self.calcom):
            raise Unavailable("What was imported under a later uid is being changed.")
        self._follow(later[-1])
        return later[-1]

    def _follow(self, here: RemoteBooking) -> None:
        """Point the appointment at its latest booking, which may be cancelled."""
        with transaction.atomic(durable=True):
            won, was_free, invalidations = _replace_remote(self, here)
        if won:
            self.calcom.availability_changed(invalidations)
            self.log("booking.rescheduled_at_calcom", outcome="followed", alert=not was_free)
        else:
            self.appointment.refresh_from_db()

    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        """
        Write down the cancellation and give the host's time back, if the response is about the present booking.

        Note [A response about a replaced booking]: while Cal.com worked, a person may have rescheduled the booking
        there. Then the replaced one is cancelled in any case, and the one that replaced it is live.
        """
        if remote.uid != self.appointment.remote_uid or remote.rescheduled_to_uid:
            try:
                remote = self.look_up() or remote
            except CalcomError:
                self.later(OperationState.UNKNOWN)
                return
        is_cancelled = not (remote.state.takes_time or remote.rescheduled_to_uid)
        if not (is_cancelled and remote.uid == self.appointment.remote_uid and self._record_cancellation(duration)):
            self.try_again(OperationState.QUEUED, otherwise=Outcome.UNSETTLED)

    def apply_not_found(self) -> None:
        if not self._record_cancellation(None):
            self.try_again(OperationState.QUEUED, otherwise=Outcome.UNSETTLED)

    def _record_cancellation(self, duration: timedelta | None) -> bool:
        """Write down the cancellation. Returns False if the appointment has another booking by now."""
        appointment = self.appointment
        with transaction.atomic(durable=True):
            locked = Appointment.objects.select_for_update(no_key=True).filter(pk=appointment.pk)
            if locked.values_list("remote_uid", flat=True).get() != appointment.remote_uid:
                appointment.refresh_from_db()
                return False
            if not close(self.operation, to=OperationState.DONE, duration=duration):
                return True
            if not appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now()):
                appointment.refresh_from_db()  # it ended in another way meanwhile
            host_ids = [appointment.host_id] if appointment.host_id else self.host_ids
            claims.release(appointment)
            confirmation.withdraw(appointment, Outcome.WITHDRAWN)
            invalidations = self.invalidate(appointment.start, appointment.end, host_ids, freed=True)
        self.calcom.availability_changed(invalidations)
        self.log("booking.cancelled", outcome="done")
        return True

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:  # noqa: ARG002  it asks for no time
        with transaction.atomic(durable=True):
            if not close(self.operation, to=OperationState.REFUSED, outcome=outcome):
                return
            self.request_callback(outcome)
        if outcome == Reason.CANCELLING_OFF:
            self.calcom.request_sync(self.appointment.event_type)
        self.log("booking.cancel_refused", outcome=outcome)


_HANDLERS: Mapping[Operation.Kind, type[OperationHandler]] = {
    Operation.Kind.CREATE: CreateHandler,
    Operation.Kind.RESCHEDULE: RescheduleHandler,
    Operation.Kind.CANCEL: CancelHandler,
}


# --- shared -----------------------------------------------------------------------------------------


def _chain(calcom: CalcomService, uid: str | None) -> Iterator[RemoteBooking]:
    """Yield the booking of this uid, and each one that replaced it."""
    for _ in range(_LONGEST_CHAIN):
        if uid is None:
            return
        step = calcom.get_booking(uid=uid)
        yield step
        uid = step.rescheduled_to_uid


def belongs_to_another(uid: str, appointment: Appointment) -> bool:
    """
    Return whether the account has the uid under another appointment that was requested here.

    Rows of other accounts do not count, and an imported row is a duplicate.
    """
    called = Appointment.objects.called(uid).exclude(origin=Appointment.Origin.CALCOM).values_list("pk", "company")
    companies = {company for pk, company in called if pk != appointment.pk}
    return bool(companies) and Company.objects.filter(pk__in=companies, account=appointment.company.account_id).exists()


def _hosts_of(handler: OperationHandler, remote: RemoteBooking) -> list[int]:
    """Return the hosts whom Cal.com chose, or may have chosen if it names none. Unknown ones are added by number."""
    return handler.calcom.hosts_of(remote) or handler.host_ids


def _replace_remote(
    handler: OperationHandler, remote: RemoteBooking, operation: Operation | None = None, **fields: object
) -> tuple[bool, bool, list[CacheInvalidation]]:
    """
    Point the appointment at the booking that replaced its own, and set `fields`, within the transaction that is open.

    `operation` is what made it wait for its host, if it does.

    Returns whether no other writer did so first, whether the time was free, and the invalidations.
    """
    appointment = handler.appointment
    was = appointment.start, appointment.end, [appointment.host_id] if appointment.host_id else handler.host_ids
    host_ids = _hosts_of(handler, remote)
    if not appointment.replace_remote(remote, host_ids, **fields):
        return False, False, []
    confirmation.track(appointment, operation)
    was_free = claims.record(appointment, host_ids)
    return (
        True,
        was_free,
        [*handler.invalidate(*was, freed=True), *handler.invalidate(remote.start, remote.end, host_ids)],
    )


def _cancel_duplicate(handler: OperationHandler, remote: RemoteBooking) -> None:
    """Cancel a booking that carries our id although the appointment has another one, or has ended."""
    appointment = handler.appointment
    appointment.refresh_from_db()
    if remote.uid in {appointment.remote_uid, *appointment.earlier_remote_uids}:
        return  # applied before, from a webhook or a look-up
    outcome = "cancelled there"
    try:
        handler.calcom.cancel(uid=remote.uid, reason="Booked twice by mistake.")
    except CalcomError:
        outcome = "still stands there"
    handler.log("booking.duplicate_at_calcom", outcome=outcome, alert=True)
