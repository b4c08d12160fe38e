"""
Appointments that their host has to confirm at Cal.com.

Cal.com has answered, so nothing is looked up: a webhook or a poll brings the host's decision. Until then the time stays
claimed and the operation is `awaiting`; at the start of the appointment it ends. Staff call the caller about a no.
"""

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from bookings.models import OPEN_STATES, Appointment, AppointmentState, Operation, OperationQuerySet, OperationState
from bookings.scheduling import callbacks, claims
from bookings.scheduling.settling import OperationHandler, Outcome, transition
from calcom.types import RemoteBooking, RemoteState


def track(appointment: Appointment, operation: Operation | None = None) -> None:
    """
    Keep exactly one `awaiting` operation while the appointment waits for its host, within the open transaction.

    Call it after the appointment was updated. Earlier ones end: the host has confirmed, or the booking was rescheduled.
    `operation` is what made the appointment wait, None if that happened at Cal.com.
    """
    waiting = Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING)
    if appointment.state != AppointmentState.AWAITING:
        _end(waiting, OperationState.DONE)
    elif operation is not None:
        if operation.state in OPEN_STATES:
            # The client has its answer; the host's decision comes later.
            transition(
                operation, to=OperationState.AWAITING, next_attempt_at=appointment.start, client_deadline_at=None
            )
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
    """End the operation that waits for the host of a cancelled appointment, within the transaction that is open."""
    _end(
        Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING),
        OperationState.REFUSED,
        outcome,
    )


def confirm(handler: OperationHandler, remote: RemoteBooking) -> bool:
    """Write down that the host has confirmed. Returns False if the appointment does not wait any more."""
    appointment = handler.appointment
    host_ids = handler.calcom.hosts_of(remote) or _claimed(appointment)
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, remote.uid) and appointment.replace_remote(remote, host_ids)):
            return False
        was_free = claims.record(appointment, host_ids)
        track(appointment)
        invalidations = handler.invalidate(remote.start, remote.end, host_ids)
    handler.calcom.availability_changed(invalidations)
    handler.log("booking.confirmed_by_host", outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)
    return True


def decline(handler: OperationHandler, uid: str, outcome: str = Outcome.DECLINED) -> bool:
    """
    Write down that the host has declined the booking `uid`, or has not decided until its start.

    Returns False if the appointment does not wait any more, or is another booking.
    """
    appointment, host_ids = handler.appointment, _claimed(handler.appointment)
    state = AppointmentState.EXPIRED if outcome == Outcome.NOT_IN_TIME else AppointmentState.REJECTED
    with transaction.atomic(durable=True):
        if not (_still_waits(appointment, uid) and appointment.transition(to=state, changed_at=Now())):
            return False
        claims.release(appointment)
        withdraw(appointment, outcome)
        can_be_called = callbacks.request_for(appointment, f"The appointment was not confirmed ({outcome}).")
        invalidations = handler.invalidate(appointment.start, appointment.end, host_ids or handler.host_ids, freed=True)
    handler.calcom.availability_changed(invalidations)
    handler.log("booking.not_confirmed_by_host", outcome=outcome)
    if not can_be_called:
        handler.log("booking.caller_unreachable", outcome=outcome, alert=True)
    return True


def decide(handler: OperationHandler, remote: RemoteBooking) -> bool:
    """Write down the host's decision. Returns False if the appointment does not wait any more."""
    return confirm(handler, remote) if remote.state is RemoteState.ACCEPTED else decline(handler, remote.uid)


def check_deadline(handler: OperationHandler) -> None:
    """End the wait for the host at the start of the appointment, which may have been moved since it was scheduled."""
    appointment = handler.appointment
    if appointment.start > timezone.now():
        Operation.objects.filter(pk=handler.operation.pk).update(next_attempt_at=appointment.start)
    else:
        decline(handler, appointment.remote_uid, Outcome.NOT_IN_TIME)


def _still_waits(appointment: Appointment, uid: str) -> bool:
    """Lock the appointment; return whether it waits for a decision about this very booking."""
    same = Appointment.objects.select_for_update(no_key=True).filter(
        pk=appointment.pk, state=AppointmentState.AWAITING, remote_uid=uid
    )
    return appointment.remote_uid == uid and bool(same.values_list("pk"))


def _claimed(appointment: Appointment) -> list[int]:
    return sorted(set(appointment.claims.values_list("host_id", flat=True)))


def _end(waiting: OperationQuerySet, to: OperationState, outcome: str = "") -> None:
    """End them without counting: they were counted when Cal.com had answered."""
    waiting.update(state=to, outcome=outcome, finished_at=Now())
