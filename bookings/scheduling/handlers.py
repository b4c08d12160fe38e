"""What is asked of Cal.com, and how its answers are checked and written down: a booking, a move, a cancellation."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from bookings.models import PLACED_STATES, Appointment, AppointmentState, Claim, Company, Operation, OperationState
from bookings.scheduling import callbacks, claims, confirmation, duplicates
from bookings.scheduling.cases import (
    FOREIGN,
    OTHER_LENGTH,
    OTHER_START,
    REFUSALS,
    SAME_ADDRESS,
    UNSETTLED,
    VANISHED,
    WITHDRAWN,
    OperationHandler,
    Refusal,
)
from bookings.scheduling.customers import new_booking
from cachectl.models import CacheInvalidation
from calcom.day_ranges import MINUTE
from calcom.errors import CalcomError, Reason, Refused, Unavailable
from calcom.service import CalcomService
from calcom.types import RemoteBooking, RemoteState

# Somebody who moves a booking at Cal.com more often than that while we look is looked up again later.
_LONGEST_TRAIL = 10
# How far around its time a booking is looked for: Cal.com may have made it otherwise than it was asked to.
_AROUND = timedelta(days=1)


def handler_for(operation: Operation, calcom: CalcomService) -> OperationHandler:
    """Take up a change that came from `judged_now`."""
    return _KINDS[Operation.Kind(operation.kind)](operation, calcom)


# --- a booking ---------------------------------------------------------------------------------------------------


class CreateHandler(OperationHandler):
    """An appointment that shall be made at Cal.com."""

    topic = "The appointment could not be entered at Cal.com."
    names_a_booking = False

    def ask(self) -> RemoteBooking:
        """Book."""
        return self.calcom.create_booking(event_type=self.appointment.event_type, booking=new_booking(self.appointment))

    def secure(self, host_ids: Collection[int]) -> None:
        """Claim the time on all who may be chosen."""
        claims.release(self.appointment)
        claims.take(self.appointment, host_ids, Claim.Kind.PENDING)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:  # noqa: ARG002  it carries our id
        """Return the booking that carries our id, also where Cal.com made it of another length or at another time."""
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
        """Confirm the appointment, if this is it."""
        appointment = self.appointment
        if remote.appointment_id is None:
            # A booking of somebody else's, or one whose metadata could not be read in this answer.
            try:
                remote = self.calcom.get_booking(uid=remote.uid)
            except CalcomError:
                self.try_again(OperationState.UNKNOWN, otherwise=FOREIGN)
                return
        if remote.appointment_id != appointment.public_id or _belongs_to_another(remote.uid, appointment):
            # Cal.com returned an existing booking as if it were new. It is not ours to cancel.
            is_same = (remote.attendee_email, remote.start) == (appointment.attendee_email, appointment.start)
            self.refuse(SAME_ADDRESS if is_same else FOREIGN, list_was_wrong=not is_same)
        elif remote.rescheduled_to_uid:
            self._follow(remote, duration)
        elif remote.state.takes_time and not remote.rescheduled_from_uid and (difference := self.difference(remote)):
            self._undo(remote, difference)  # what a person moved there is where that person wants it
        else:
            self._hear_ours(remote, duration)

    def _follow(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """Hear where it is by now: it was made, and moved at Cal.com before we heard of it."""
        try:
            *left, here = [remote, *_trail(self.calcom, remote.rescheduled_to_uid)]
        except CalcomError:
            self.later(OperationState.UNKNOWN)
        else:
            self._hear_ours(here, duration, left=left)

    def _hear_ours(self, remote: RemoteBooking, duration: timedelta | None, left: Sequence[RemoteBooking] = ()) -> None:
        if remote.state.takes_time:
            self._place(remote, duration, left)
        else:
            self.refuse(remote.state)

    def _place(self, remote: RemoteBooking, duration: timedelta | None, left: Sequence[RemoteBooking]) -> None:
        """Write down that Cal.com has it, confirmed or waiting for its host."""
        appointment, host_ids = self.appointment, _chosen(self, remote)
        is_accepted = remote.state is RemoteState.ACCEPTED
        if not duplicates.merge(appointment, [each.uid for each in (*left, remote)], self.calcom):
            self.later(OperationState.UNKNOWN)
            return
        with transaction.atomic(durable=True):
            # Where its twin was merged just now, it is where that was.
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
            invalidations = [owed for time in times for owed in self.owe(*time, host_ids)]
            if won and not is_accepted:
                confirmation.track(appointment, self.operation)
            else:
                self.operation.close(to=OperationState.DONE, duration=duration)
        if not won:
            _cancel_superfluous(self, remote)
            return
        self.calcom.availability_changed(invalidations)
        event = "booking confirmed" if is_accepted else "booking.awaits_host"
        self.tell(event, outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)

    def _undo(self, remote: RemoteBooking, outcome: str) -> None:
        """Cancel what was booked for us and is not what was asked for; its uid is kept first, in case we die here."""
        # Where it was imported meanwhile, that row has the uid, and this one finds it again by our id.
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
                self.tell("wrong booking still stands at Cal.com", outcome=exc.reason, alert=True)
        except CalcomError:
            self.try_again(OperationState.UNKNOWN, otherwise=outcome)
            return
        self.refuse(outcome)

    def apply_not_found(self) -> None:
        """Take note that the booking that was to be undone is gone; only such a one is looked up by its uid."""
        if self.appointment.remote_uid:
            self.refuse(OTHER_START)
        else:
            self.try_again(OperationState.UNKNOWN, otherwise=Reason.NOT_FOUND)

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        """Reject the appointment."""
        appointment = self.appointment
        invalidations: Sequence[CacheInvalidation] = ()
        with transaction.atomic(durable=True):
            if not self.operation.transition(to=OperationState.REFUSED, outcome=outcome, finished_at=Now()):
                return
            appointment.transition(to=AppointmentState.REJECTED, changed_at=Now())
            claims.release(appointment)
            self.have_called_back(outcome)
            if list_was_wrong:
                cause = CacheInvalidation.Cause.REFUSED
                invalidations = self.owe(appointment.start, appointment.end, self.host_ids, cause)
        self.calcom.availability_changed(invalidations)
        self.tell("booking refused", outcome=outcome)


# --- a move ------------------------------------------------------------------------------------------------------


class RescheduleHandler(OperationHandler):
    """
    An appointment that shall be at another time.

    Until Cal.com has said yes the appointment stands where it was, and claims the other time beside its own. A move
    gives it another uid and keeps our id, so an unknown outcome is found by following the uid we have.
    """

    topic = "The appointment could not be moved at Cal.com."

    @property
    def start(self) -> datetime:
        """Return where it shall be."""
        if self.operation.new_start is None:
            raise ValueError("A move without a new start.")
        return self.operation.new_start

    @property
    def end(self) -> datetime:
        """Return its end then: a move changes no length."""
        return self.start + (self.appointment.end - self.appointment.start)

    @property
    def is_secured(self) -> bool:
        """Return whether it claims the other time; whoever moved it at Cal.com meanwhile took these claims away."""
        return Claim.objects.filter(appointment=self.appointment, kind=Claim.Kind.PENDING).exists()

    def secure(self, host_ids: Collection[int]) -> None:
        """Claim what the old claim does not cover, on all who may be chosen."""
        claims.release_other_time(self.appointment)
        claims.take_other_time(self.appointment, host_ids, Claim.Kind.PENDING, self.start, self.end)

    def ask(self) -> RemoteBooking:
        """Move it from where we know it to be."""
        return self.calcom.reschedule(uid=self.appointment.remote_uid, start=self.start, reason=self.operation.reason)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:
        """
        Return where it is by now, None if it is where we know it to be.

        Where it was at the new time, a send of ours may have brought it there: then later steps are other people's.
        """
        known, *later = _trail(self.calcom, self.appointment.remote_uid)
        arrived = (step for step in later if step.start == self.start and not only_refused)
        here = next(arrived, later[-1] if later else known)
        return None if here is known and here.state.takes_time else here

    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        """Move the appointment, if this is it."""
        if self._is_ours(remote):
            self._hear_ours(remote, duration)
            return
        # An answer about somebody else's booking. What became of ours, its own uid says.
        self.tell("foreign booking in an answer", outcome=FOREIGN)
        try:
            here = self.look_up()
        except CalcomError:
            self.later(OperationState.UNKNOWN)
        else:
            if here is None:
                self.refuse(FOREIGN)
            else:
                self._hear_ours(here, duration)

    def _is_ours(self, remote: RemoteBooking) -> bool:
        appointment = self.appointment
        chain = {appointment.remote_uid, *appointment.earlier_remote_uids}
        made_there = appointment.origin == Appointment.Origin.CALCOM  # such a booking does not carry our id
        is_named = remote.appointment_id == appointment.public_id or (
            made_there and remote.rescheduled_from_uid in chain
        )
        return is_named and not _belongs_to_another(remote.uid, appointment)

    def _hear_ours(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        if not duplicates.merge(self.appointment, [remote.uid], self.calcom):
            self.later(OperationState.UNKNOWN)
            return
        stands = remote.state.takes_time or remote.rescheduled_to_uid
        if remote.start == self.start and stands:
            self._complete(remote, duration)
        elif stands:
            self._keep_up(remote)
        else:
            self._lose(Reason.ALREADY_CANCELLED)

    def _complete(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """
        Write down that it is there, and give the old time back, in one step.

        Where its event type has another length by now, so has the appointment: the old one is gone and cannot be had
        back. The caller hears how long it takes, and a person calls them about it.
        """
        length = remote.end - remote.start
        other_length = OTHER_LENGTH if remote.end != self.end else ""
        with transaction.atomic(durable=True):
            won, was_free, invalidations = _relocate(
                self, remote, self.operation, reschedules=self.appointment.reschedules + 1
            )
            if won:
                self.operation.close(to=OperationState.DONE, duration=duration, outcome=other_length)
                if other_length:
                    callbacks.owe(self.appointment, f"The moved appointment takes {length // MINUTE} minutes now.")
        if not won:
            self._catch_up(remote, duration)
            return
        self.calcom.availability_changed(invalidations)
        if other_length:
            self.calcom.request_sync(self.appointment.event_type)
        if self.appointment.state == AppointmentState.AWAITING:
            self.tell("booking.awaits_host", outcome="rescheduled")
        outcome = other_length or ("done" if was_free else "overlaps at Cal.com")
        self.tell("booking moved", outcome=outcome, alert=not was_free)

    def _catch_up(self, remote: RemoteBooking, duration: timedelta | None) -> None:
        """Go on from what the appointment is by now: a webhook said the same before, or that it is somewhere else."""
        appointment = self.appointment
        appointment.refresh_from_db()
        _cancel_superfluous(self, remote)
        was_here = remote.uid in appointment.earlier_remote_uids
        if appointment.state not in PLACED_STATES:
            self._lose(Reason.ALREADY_CANCELLED)
        elif was_here or appointment.start == self.start:
            with transaction.atomic(durable=True):
                if appointment.state == AppointmentState.AWAITING:
                    confirmation.track(appointment, self.operation)
                if self.operation.close(to=OperationState.DONE, duration=duration):
                    claims.release_other_time(appointment)
        else:
            self.try_again(OperationState.QUEUED, otherwise=OTHER_START)

    def _keep_up(self, remote: RemoteBooking) -> None:
        """
        Follow a booking that is at a time which nobody here asked for: somebody moved it at Cal.com, or Cal.com erred.

        What the caller wants is still wanted, so the move is made once more from there.
        """
        with transaction.atomic(durable=True):
            won, _, invalidations = _relocate(self, remote)
        if won:
            self.calcom.availability_changed(invalidations)
            self.tell("booking was moved at Cal.com before", outcome="followed", alert=True)
        else:
            self.appointment.refresh_from_db()
        self.try_again(OperationState.QUEUED, otherwise=OTHER_START)

    def apply_not_found(self) -> None:
        """Take note that it is gone from Cal.com altogether."""
        self._lose(VANISHED)

    def _lose(self, outcome: str) -> None:
        """Write down that it was cancelled at Cal.com: there is nothing left to move."""
        appointment = self.appointment
        with transaction.atomic(durable=True):
            if not self.operation.close(to=OperationState.REFUSED, outcome=outcome):
                return
            appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now())
            claims.release(appointment)
            confirmation.withdraw(appointment, outcome)
            self.have_called_back(outcome)
            host_ids = [appointment.host_id] if appointment.host_id else self.host_ids
            invalidations = self.owe(appointment.start, appointment.end, host_ids, freed=True)
        self.calcom.availability_changed(invalidations)
        self.tell("booking was cancelled at Cal.com before", outcome=outcome)

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        """Leave the appointment where it is."""
        invalidations: Sequence[CacheInvalidation] = ()
        with transaction.atomic(durable=True):
            if not self.operation.transition(to=OperationState.REFUSED, outcome=outcome, finished_at=Now()):
                return
            claims.release_other_time(self.appointment)
            self.have_called_back(outcome)
            if list_was_wrong:
                invalidations = self.owe(self.start, self.end, self.host_ids, CacheInvalidation.Cause.REFUSED)
        self.calcom.availability_changed(invalidations)
        self.tell("move refused", outcome=outcome)


# --- a cancellation ----------------------------------------------------------------------------------------------


class CancelHandler(OperationHandler):
    """An appointment that shall not take place. To ask for it twice does no harm, and it is never too late to try."""

    topic = "The appointment could not be cancelled at Cal.com."

    @property
    def is_too_late(self) -> bool:
        """Return False: the time must be given back, whenever that is."""
        return False

    @property
    def is_secured(self) -> bool:
        """Return True: it takes nobody's time."""
        return True

    @property
    def may_be_repeated(self) -> bool:
        """Return True: it need not be proven absent."""
        return True

    def ask(self) -> RemoteBooking:
        """Cancel it."""
        return self.calcom.cancel(uid=self.appointment.remote_uid, reason=self.operation.reason)

    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:  # noqa: ARG002  cancelled is cancelled
        """Return where it is by now, None if it stands where we know it to be. The appointment follows it there."""
        known, *later = _trail(self.calcom, self.appointment.remote_uid)
        if not later:
            return None if known.state.takes_time else known
        if not duplicates.merge(self.appointment, [step.uid for step in later], self.calcom):
            raise Unavailable("What was imported under a later uid is being changed.")
        self._follow(later[-1])
        return later[-1]

    def _follow(self, here: RemoteBooking) -> None:
        """Point the appointment at the booking that it is by now, which may be one that is cancelled."""
        with transaction.atomic(durable=True):
            won, was_free, invalidations = _relocate(self, here)
        if won:
            self.calcom.availability_changed(invalidations)
            self.tell("booking was moved at Cal.com before", outcome="followed", alert=not was_free)
        else:
            self.appointment.refresh_from_db()

    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        """
        Write down that it is cancelled, and give the host's time back, if that is said of the booking that it is now.

        Note [A yes about another booking]: while Cal.com thought, a person may have moved the booking there. Then the
        one that was moved away is cancelled in any case, and the one that replaced it stands.
        """
        if remote.uid != self.appointment.remote_uid or remote.rescheduled_to_uid:
            try:
                remote = self.look_up() or remote
            except CalcomError:
                self.later(OperationState.UNKNOWN)
                return
        is_cancelled = not (remote.state.takes_time or remote.rescheduled_to_uid)
        if not (is_cancelled and remote.uid == self.appointment.remote_uid and self._release(duration)):
            self.try_again(OperationState.QUEUED, otherwise=UNSETTLED)

    def apply_not_found(self) -> None:
        """Take note that there is nothing to cancel."""
        if not self._release(None):
            self.try_again(OperationState.QUEUED, otherwise=UNSETTLED)

    def _release(self, duration: timedelta | None) -> bool:
        """Write down that it is cancelled; return False if the appointment is another booking by now."""
        appointment = self.appointment
        with transaction.atomic(durable=True):
            locked = Appointment.objects.select_for_update(no_key=True).filter(pk=appointment.pk)
            if locked.values_list("remote_uid", flat=True).get() != appointment.remote_uid:
                appointment.refresh_from_db()
                return False
            if not self.operation.close(to=OperationState.DONE, duration=duration):
                return True
            if not appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now()):
                appointment.refresh_from_db()  # it ended in another way meanwhile
            host_ids = [appointment.host_id] if appointment.host_id else self.host_ids
            claims.release(appointment)
            confirmation.withdraw(appointment, WITHDRAWN)
            invalidations = self.owe(appointment.start, appointment.end, host_ids, freed=True)
        self.calcom.availability_changed(invalidations)
        self.tell("booking cancelled", outcome="done")
        return True

    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:  # noqa: ARG002  it asks for no time
        """Leave the appointment as it is."""
        with transaction.atomic(durable=True):
            if not self.operation.close(to=OperationState.REFUSED, outcome=outcome):
                return
            self.have_called_back(outcome)
        if outcome == Reason.CANCELLING_OFF:
            self.calcom.request_sync(self.appointment.event_type)
        self.tell("cancellation refused", outcome=outcome)


_KINDS: Mapping[Operation.Kind, type[OperationHandler]] = {
    Operation.Kind.CREATE: CreateHandler,
    Operation.Kind.RESCHEDULE: RescheduleHandler,
    Operation.Kind.CANCEL: CancelHandler,
}


# --- which booking it is -----------------------------------------------------------------------------------------


def _trail(calcom: CalcomService, uid: str | None) -> Iterator[RemoteBooking]:
    """Yield the booking of this uid, and each one that replaced it."""
    for _ in range(_LONGEST_TRAIL):
        if uid is None:
            return
        step = calcom.get_booking(uid=uid)
        yield step
        uid = step.rescheduled_to_uid


def _belongs_to_another(uid: str, appointment: Appointment) -> bool:
    """
    Return whether the account has it as another appointment that an agent asked for.

    What other accounts made of it says nothing, and what was imported is its duplicate.
    """
    called = Appointment.objects.called(uid).filter(origin=Appointment.Origin.AGENT).values_list("pk", "company")
    companies = {company for pk, company in called if pk != appointment.pk}
    return bool(companies) and Company.objects.filter(pk__in=companies, account=appointment.company.account_id).exists()


def _chosen(handler: OperationHandler, remote: RemoteBooking) -> list[int]:
    """Return whom Cal.com chose. One whom no sync has seen is written down by number; without any it may be each."""
    return handler.calcom.hosts_of(remote) or handler.host_ids


def _relocate(
    handler: OperationHandler, remote: RemoteBooking, operation: Operation | None = None, **fields: object
) -> tuple[bool, bool, list[CacheInvalidation]]:
    """
    Put the appointment where Cal.com has it, and set `fields`, within the transaction that is open.

    Where it waits for its host there, `change` is what made it wait.

    Returns whether it still was the booking that this one replaced, whether the time was free, and what is invalidated.
    """
    appointment = handler.appointment
    was = appointment.start, appointment.end, [appointment.host_id] if appointment.host_id else handler.host_ids
    host_ids = _chosen(handler, remote)
    if not appointment.replace_remote(remote, host_ids, **fields):
        return False, False, []
    confirmation.track(appointment, operation)
    was_free = claims.record(appointment, host_ids)
    return True, was_free, [*handler.owe(*was, freed=True), *handler.owe(remote.start, remote.end, host_ids)]


def _cancel_superfluous(handler: OperationHandler, remote: RemoteBooking) -> None:
    """Cancel a booking that carries our id although nobody wants it any more, or although another one stands."""
    appointment = handler.appointment
    appointment.refresh_from_db()
    if remote.uid in {appointment.remote_uid, *appointment.earlier_remote_uids}:
        return  # heard before, from a webhook or a look-up
    outcome = "cancelled there"
    try:
        handler.calcom.cancel(uid=remote.uid, reason="Booked twice by mistake.")
    except CalcomError:
        outcome = "still stands there"
    handler.tell("superfluous booking", outcome=outcome, alert=True)
