"""
Appointments that their host has to confirm at Cal.com: what is waited for, and what becomes of it.

Cal.com's answer is known, so nothing is looked up: a webhook or a poll tells what the host decides. Until then the time
stays claimed, and the operation that led here is `awaiting`; at the start it ends. Who asked is called about a no.
"""

from django.db import transaction
from django.db.models.functions import Now

from bookings.models import OPEN_STATES, Appointment, AppointmentState, Operation, OperationQuerySet, OperationState
from bookings.scheduling import callbacks, claims
from bookings.scheduling.cases import DECLINED, NOT_IN_TIME, OperationHandler
from calcom.types import RemoteBooking, RemoteState


def track(appointment: Appointment, operation: Operation | None = None) -> None:
    """
    Keep the one operation of the appointment that waits for its host, within the transaction that is open.

    Call it after the appointment has become what it is now. What waited before has ended: its host said yes, or the
    booking was rescheduled. `change` is the operation that made the appointment wait, None where Cal.com did.
    """
    waiting = Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING)
    if appointment.state != AppointmentState.AWAITING:
        _end(waiting, OperationState.DONE)
    elif operation is not None:
        if operation.state in OPEN_STATES:
            # Who waited for the answer has it: a no is another call's.
            operation.transition(to=OperationState.AWAITING, next_attempt_at=appointment.start, client_deadline_at=None)
        _end(waiting.exclude(pk=operation.pk), OperationState.DONE)
    elif not waiting.update(next_attempt_at=appointment.start):
        Operation.objects.create(
            company_id=appointment.company_id,
            appointment=appointment,
            kind=Operation.Kind.RESCHEDULE,
            state=OperationState.AWAITING,
            new_start=appointment.start,
            next_attempt_at=appointment.start,
            reason="Rescheduled at Cal.com.",
        )
    else:
        waiting.filter(kind=Operation.Kind.RESCHEDULE).update(new_start=appointment.start)


def withdraw(appointment: Appointment, outcome: str) -> None:
    """End what waits for the host of an appointment that is cancelled, within the transaction that is open."""
    _end(
        Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING),
        OperationState.REFUSED,
        outcome,
    )


def confirm(handler: OperationHandler, remote: RemoteBooking) -> bool:
    """Write down that its host has said yes; return False if the appointment does not wait any more."""
    appointment = handler.appointment
    host_ids = handler.calcom.hosts_of(remote) or _claimed(appointment)
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, remote.uid) and appointment.replace_remote(remote, host_ids)):
            return False
        was_free = claims.record(appointment, host_ids)
        track(appointment)
        invalidations = handler.owe(remote.start, remote.end, host_ids)
    handler.calcom.availability_changed(invalidations)
    handler.tell("booking.confirmed_by_host", outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)
    return True


def decline(handler: OperationHandler, uid: str, outcome: str = DECLINED) -> bool:
    """
    Write down that the host has said no about the booking `uid`, or nothing until its start.

    Returns False if the appointment does not wait any more, or is another booking.
    """
    appointment, host_ids = handler.appointment, _claimed(handler.appointment)
    state = AppointmentState.EXPIRED if outcome == NOT_IN_TIME else AppointmentState.REJECTED
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, uid) and appointment.transition(to=state, changed_at=Now())):
            return False
        claims.release(appointment)
        withdraw(appointment, outcome)
        can_be_called = callbacks.owe(appointment, f"The appointment was not confirmed ({outcome}).")
        invalidations = handler.owe(appointment.start, appointment.end, host_ids or handler.host_ids, freed=True)
    handler.calcom.availability_changed(invalidations)
    handler.tell("booking.not_confirmed_by_host", outcome=outcome)
    if not can_be_called:
        handler.tell("nobody can call back", outcome=outcome, alert=True)
    return True


def decide(handler: OperationHandler, remote: RemoteBooking) -> bool:
    """Write down what its host has decided; return False if the appointment does not wait any more."""
    return confirm(handler, remote) if remote.state is RemoteState.ACCEPTED else decline(handler, remote.uid)


def _still_waits(appointment: Appointment, uid: str) -> bool:
    """Lock the appointment; return whether it waits for a decision about this very booking."""
    same = Appointment.objects.select_for_update(no_key=True).filter(
        pk=appointment.pk, state=AppointmentState.AWAITING, remote_uid=uid
    )
    return appointment.remote_uid == uid and bool(same.values_list("pk"))


def _claimed(appointment: Appointment) -> list[int]:
    return sorted(set(appointment.claims.values_list("host_id", flat=True)))


def _end(waiting: OperationQuerySet, to: OperationState, outcome: str = "") -> None:
    """End them. What a host's decision takes is no figure of ours: they were counted when Cal.com had answered."""
    waiting.update(state=to, outcome=outcome, finished_at=Now())
