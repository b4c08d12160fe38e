"""
Appointments that their host has to confirm at Cal.com: what is waited for, and what becomes of it.

Cal.com's answer is known, so nothing is looked up: a webhook or a poll tells what the host decides. Until then the time
stays claimed, and the operation that led here is `awaiting`; at the start it ends. Who asked is called about a no.
"""

from django.db import transaction
from django.db.models.functions import Now

from bookings.models import OPEN_STATES, Appointment, AppointmentState, Change, ChangeQuerySet, ChangeState
from bookings.scheduling import callbacks, claims
from bookings.scheduling.cases import DECLINED, NOT_IN_TIME, Case
from calcom.types import RemoteBooking, RemoteState


def track(appointment: Appointment, change: Change | None = None) -> None:
    """
    Keep the one operation of the appointment that waits for its host, within the transaction that is open.

    Call it after the appointment has become what it is now. What waited before has ended: its host said yes, or the
    booking was rescheduled. `change` is the operation that made the appointment wait, None where Cal.com did.
    """
    waiting = Change.objects.filter(appointment=appointment, state=ChangeState.AWAITING)
    if appointment.state != AppointmentState.AWAITING:
        _end(waiting, ChangeState.DONE)
    elif change is not None:
        if change.state in OPEN_STATES:
            # Who waited for the answer has it: a no is another call's.
            change.move_on(to=ChangeState.AWAITING, next_attempt_at=appointment.start, answer_by=None)
        _end(waiting.exclude(pk=change.pk), ChangeState.DONE)
    elif not waiting.update(next_attempt_at=appointment.start):
        Change.objects.create(
            company_id=appointment.company_id,
            appointment=appointment,
            operation=Change.Operation.MOVE,
            state=ChangeState.AWAITING,
            new_start=appointment.start,
            next_attempt_at=appointment.start,
            reason="Rescheduled at Cal.com.",
        )
    else:
        waiting.filter(operation=Change.Operation.MOVE).update(new_start=appointment.start)


def withdraw(appointment: Appointment, outcome: str) -> None:
    """End what waits for the host of an appointment that is cancelled, within the transaction that is open."""
    _end(Change.objects.filter(appointment=appointment, state=ChangeState.AWAITING), ChangeState.REFUSED, outcome)


def confirm(case: Case, remote: RemoteBooking) -> bool:
    """Write down that its host has said yes; return False if the appointment does not wait any more."""
    appointment = case.appointment
    host_ids = case.calcom.hosts_of(remote) or _claimed(appointment)
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, remote.uid) and appointment.become(remote, host_ids)):
            return False
        was_free = claims.record(appointment, host_ids)
        track(appointment)
        invalidations = case.owe(remote.start, remote.end, host_ids)
    case.calcom.availability_changed(invalidations)
    case.tell("booking.confirmed_by_host", outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)
    return True


def decline(case: Case, uid: str, outcome: str = DECLINED) -> bool:
    """
    Write down that the host has said no about the booking `uid`, or nothing until its start.

    Returns False if the appointment does not wait any more, or is another booking.
    """
    appointment, host_ids = case.appointment, _claimed(case.appointment)
    state = AppointmentState.EXPIRED if outcome == NOT_IN_TIME else AppointmentState.REJECTED
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, uid) and appointment.move_on(to=state, changed_at=Now())):
            return False
        claims.release(appointment)
        withdraw(appointment, outcome)
        can_be_called = callbacks.owe(appointment, f"The appointment was not confirmed ({outcome}).")
        invalidations = case.owe(appointment.start, appointment.end, host_ids or case.host_ids, freed=True)
    case.calcom.availability_changed(invalidations)
    case.tell("booking.not_confirmed_by_host", outcome=outcome)
    if not can_be_called:
        case.tell("nobody can call back", outcome=outcome, alert=True)
    return True


def decide(case: Case, remote: RemoteBooking) -> bool:
    """Write down what its host has decided; return False if the appointment does not wait any more."""
    return confirm(case, remote) if remote.state is RemoteState.ACCEPTED else decline(case, remote.uid)


def _still_waits(appointment: Appointment, uid: str) -> bool:
    """Lock the appointment; return whether it waits for a decision about this very booking."""
    same = Appointment.objects.select_for_update(no_key=True).filter(
        pk=appointment.pk, state=AppointmentState.AWAITING, remote_uid=uid
    )
    return appointment.remote_uid == uid and bool(same.values_list("pk"))


def _claimed(appointment: Appointment) -> list[int]:
    return sorted(set(appointment.claims.values_list("host_id", flat=True)))


def _end(waiting: ChangeQuerySet, to: ChangeState, outcome: str = "") -> None:
    """End them. What a host's decision takes is no figure of ours: they were counted when Cal.com had answered."""
    waiting.update(state=to, outcome=outcome, finished_at=Now())
