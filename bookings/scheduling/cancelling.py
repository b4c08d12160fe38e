"""Cancelling an appointment. A booking or reschedule that was not sent to Cal.com yet is withdrawn instead."""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from bookings import metrics
from bookings.errors import (
    AlreadyCancelled,
    BookingNotFound,
    CancelNotAllowed,
    ChangeTooLate,
    DateInPast,
    IdempotencyInProgress,
)
from bookings.models import (
    OPEN_STATES,
    PLACED_STATES,
    AgentKey,
    Appointment,
    AppointmentState,
    Operation,
    OperationState,
)
from bookings.scheduling import claims, execution, settling
from bookings.scheduling.execution import Booked
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService


def cancel(
    *,
    appointment: Appointment,
    reason: str,
    requested_by: AgentKey | None,
    person: User | None = None,
    idempotency_key: str | None = None,
    request_digest: str = "",
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> Booked:
    """
    Cancel an appointment. Idempotent: a repeat returns the outcome of the first request.

    Cal.com is sent the reason. Without `requested_by` the request is staff's, of `person`, and the notice period
    does not apply.

    Raises:
        AlreadyCancelled: it was cancelled at Cal.com.
        BookingNotFound: it was never booked.
        CancelNotAllowed: the event type does not allow it.
        DateInPast, ChangeTooLate: it has begun, or begins too soon to be cancelled by phone.
        IdempotencyInProgress: it is just being booked or rescheduled; try again.
        IdempotencyKeyReused: the key came with another request before.
    """
    operation = Operation(
        company_id=appointment.company_id,
        appointment=appointment,
        kind=Operation.Kind.CANCEL,
        reason=reason.strip()[:300] or "Cancelled by phone.",
        requested_by=requested_by,
        person=person,
        idempotency_key=idempotency_key or "",
        request_digest=request_digest,
    )
    earlier = _earlier_cancel(operation)
    if earlier is None:
        if _withdraw(operation):
            return execution.answer(operation)
        earlier = _queue(operation, deadline, now)
    if earlier is not None:
        return execution.answer(execution.wait_for(earlier, calcom.account_id, deadline), replayed=True)
    return execution.answer(execution.execute_and_wait(operation, calcom, deadline))


def _earlier_cancel(operation: Operation) -> Operation | None:
    """Return the operation of an earlier request for the same: an appointment is cancelled once."""
    earlier = execution.find_by_idempotency_key(
        operation.company_id, operation.idempotency_key, operation.request_digest
    )
    same = Operation.objects.filter(appointment=operation.appointment, kind=Operation.Kind.CANCEL)
    return earlier or execution.read(same.exclude(state=OperationState.REFUSED))


def _withdraw(operation: Operation) -> bool:
    """End a booking that was not sent to Cal.com yet, and its appointment. Returns False if there is none."""
    booking = Operation.objects.filter(
        appointment=operation.appointment, kind=Operation.Kind.CREATE, state=OperationState.QUEUED
    ).first()
    if booking is None:
        return False
    with transaction.atomic(durable=True):
        if not settling.withdraw(booking):
            return False
        operation.appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now())
        claims.release(operation.appointment)
        operation.state, operation.finished_at = OperationState.DONE, timezone.now()
        operation.save()
        metrics.count_end(operation)
    return True


def _withdraw_reschedule(operation: Operation, now: datetime) -> None:
    """End a reschedule that was not sent to Cal.com yet: it is not needed before a cancellation."""
    reschedules = Operation.objects.filter(appointment=operation.appointment, kind=Operation.Kind.RESCHEDULE)
    reschedule = reschedules.filter(state=OperationState.QUEUED).first()
    if reschedule is None:
        return
    _refuse_uncancellable(operation, now)
    with transaction.atomic(durable=True):
        if settling.withdraw(reschedule):
            claims.release_other_time(operation.appointment)


def await_others(appointment: Appointment, deadline: Deadline) -> None:
    """
    Wait for an open operation of the appointment, and read the appointment again.

    Raises:
        IdempotencyInProgress: the operation has not ended by the deadline.
    """
    ahead = execution.read(Operation.objects.open().filter(appointment=appointment))
    account_id = appointment.event_type.account_id
    if ahead is not None and execution.wait_for(ahead, account_id, deadline).state in OPEN_STATES:
        raise IdempotencyInProgress("The appointment is just being changed.")
    fields = ["state", "start", "end", "host", "reschedules", "remote_uid", "earlier_remote_uids"]
    appointment.refresh_from_db(fields=fields)


def refuse_unchangeable(operation: Operation, now: datetime) -> None:
    """Raise if the appointment can be neither cancelled nor rescheduled. Notice periods do not bind staff."""
    appointment = operation.appointment
    if appointment.state == AppointmentState.CANCELLED:
        raise AlreadyCancelled("It was cancelled before, at Cal.com.")
    if appointment.state in {AppointmentState.HELD, AppointmentState.REJECTED, AppointmentState.EXPIRED}:
        raise BookingNotFound("It was never booked.")
    if appointment.state not in PLACED_STATES or appointment.start <= now:
        raise DateInPast("It has begun already.")
    if operation.requested_by and appointment.start < now + timedelta(hours=appointment.company.cancel_notice_hours):
        raise ChangeTooLate("It begins too soon to be changed by phone.")


def _refuse_uncancellable(operation: Operation, now: datetime) -> None:
    refuse_unchangeable(operation, now)
    if operation.appointment.event_type.cancelling_disabled:  # for staff, too: Cal.com binds the key (seen 2026-11-30)
        raise CancelNotAllowed("Cal.com cancels no booking of this event type.")


def _queue(operation: Operation, deadline: Deadline, now: datetime) -> Operation | None:
    """Commit the cancellation once no other operation is open; or return that of a concurrent duplicate."""
    attempts = claims.Attempts(deadline)
    while True:
        _withdraw_reschedule(operation, now)
        await_others(operation.appointment, deadline)
        if (duplicate := _earlier_cancel(operation)) is not None:
            return duplicate
        _refuse_uncancellable(operation, now)
        for name, value in execution.timing(deadline).items():
            setattr(operation, name, value)
        try:
            operation.save()
        except IntegrityError:
            if deadline.passed:
                raise IdempotencyInProgress("The appointment is just being changed.") from None
            attempts.pause(claims.Contention())
        else:
            operation.just_written(in_line=False)
            return None
