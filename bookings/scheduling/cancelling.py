"""An appointment shall not take place. A booking or a move that has not left for Cal.com is taken back."""

from datetime import datetime, timedelta

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
from bookings.scheduling import cases, claims, execution
from bookings.scheduling.execution import Booked
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService


def cancel(
    *,
    appointment: Appointment,
    reason: str,
    requested_by: AgentKey | None,
    idempotency_key: str | None = None,
    request_digest: str = "",
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> Booked:
    """
    Cancel an appointment. Whoever asks twice gets what the first request came to.

    Cal.com is told the reason. Without `requested_by` it is staff who ask, and no notice binds them.

    Raises:
        AlreadyCancelled: somebody cancelled it at Cal.com.
        BookingNotFound: it never came to be.
        CancelNotAllowed: the event type does not allow it.
        DateInPast, ChangeTooLate: it has begun, or begins too soon to be cancelled by phone.
        IdempotencyInProgress: it is just being booked or moved; try again.
        IdempotencyKeyReused: the key came with another request before.
    """
    ask = Operation(
        company_id=appointment.company_id,
        appointment=appointment,
        kind=Operation.Kind.CANCEL,
        reason=reason.strip()[:300] or "Cancelled by phone.",
        requested_by=requested_by,
        idempotency_key=idempotency_key or "",
        request_digest=request_digest,
    )
    earlier = _earlier_cancel(ask)
    if earlier is None:
        if _withdraw(ask):
            return execution.answer(ask)
        earlier = _queue(ask, deadline, now)
    if earlier is not None:
        return execution.answer(execution.join(earlier, calcom.account_id, deadline), replayed=True)
    return execution.answer(execution.execute_and_wait(ask, calcom, deadline))


def _earlier_cancel(ask: Operation) -> Operation | None:
    """Return the change by which the same was asked before: an appointment is cancelled once."""
    if ask.idempotency_key:
        operation = execution.find_by_idempotency_key(ask.company_id, ask.idempotency_key, ask.request_digest)
        if operation is not None:
            return operation
    asked = Operation.objects.filter(appointment=ask.appointment, kind=Operation.Kind.CANCEL)
    return execution.read(asked.exclude(state=OperationState.REFUSED))


def _withdraw(ask: Operation) -> bool:
    """Take back a booking that has not left for Cal.com; return whether there was one."""
    booking = Operation.objects.filter(
        appointment=ask.appointment, kind=Operation.Kind.CREATE, state=OperationState.QUEUED
    ).first()
    if booking is None:
        return False
    with transaction.atomic(durable=True):
        if not booking.transition(to=OperationState.REFUSED, outcome=cases.WITHDRAWN, finished_at=Now()):
            return False
        ask.appointment.transition(to=AppointmentState.CANCELLED, changed_at=Now())
        claims.release(ask.appointment)
        ask.state, ask.finished_at = OperationState.DONE, timezone.now()
        ask.save()
        metrics.count_end(ask)
    return True


def _withdraw_reschedule(ask: Operation, now: datetime) -> None:
    """Take back a move that has not left for Cal.com: what is cancelled need not be moved first."""
    reschedules = Operation.objects.filter(appointment=ask.appointment, kind=Operation.Kind.RESCHEDULE)
    reschedule = reschedules.filter(state=OperationState.QUEUED).first()
    if reschedule is None:
        return
    _refuse_uncancellable(ask, now)
    with transaction.atomic(durable=True):
        if reschedule.transition(to=OperationState.REFUSED, outcome=cases.WITHDRAWN, finished_at=Now()):
            claims.release_other_time(ask.appointment)


def await_others(appointment: Appointment, deadline: Deadline) -> None:
    """
    Wait for a change that is on its way: only what is there can be cancelled or moved.

    Raises:
        IdempotencyInProgress: it has not come to its end by the deadline.
    """
    operation = execution.read(Operation.objects.open().filter(appointment=appointment))
    account_id = appointment.event_type.account_id
    if operation is not None and execution.join(operation, account_id, deadline).state in OPEN_STATES:
        raise IdempotencyInProgress("The appointment is just being changed.")
    appointment.refresh_from_db(
        fields=["state", "start", "end", "host", "reschedules", "remote_uid", "earlier_remote_uids"]
    )


def refuse_unchangeable(ask: Operation, now: datetime) -> None:
    """
    Raise why the appointment can be neither cancelled nor moved, if so.

    Without `requested_by` it is staff who ask, and no notice binds them.
    """
    appointment = ask.appointment
    if appointment.state == AppointmentState.CANCELLED:
        raise AlreadyCancelled("It was cancelled before, at Cal.com.")
    if appointment.state in {AppointmentState.HELD, AppointmentState.REJECTED, AppointmentState.EXPIRED}:
        raise BookingNotFound("It was never booked.")
    if appointment.state not in PLACED_STATES or appointment.start <= now:
        raise DateInPast("It has begun already.")
    if ask.requested_by and appointment.start < now + timedelta(hours=appointment.company.cancel_notice_hours):
        raise ChangeTooLate("It begins too soon to be changed by phone.")


def _refuse_uncancellable(ask: Operation, now: datetime) -> None:
    refuse_unchangeable(ask, now)
    if ask.appointment.event_type.cancelling_disabled:  # for staff, too: Cal.com binds the key (seen 2026-11-30)
        raise CancelNotAllowed("Cal.com cancels no booking of this event type.")


def _queue(ask: Operation, deadline: Deadline, now: datetime) -> Operation | None:
    """Write the cancellation down as soon as nothing else is open; return the change of a twin if one was faster."""
    attempts = claims.Attempts(deadline)
    while True:
        _withdraw_reschedule(ask, now)
        await_others(ask.appointment, deadline)
        if (duplicate := _earlier_cancel(ask)) is not None:
            return duplicate
        _refuse_uncancellable(ask, now)
        for name, value in execution.timing(deadline).items():
            setattr(ask, name, value)
        try:
            ask.save()
        except IntegrityError:
            if deadline.passed:
                raise IdempotencyInProgress("The appointment is just being changed.") from None
            attempts.pause(claims.Contention())
        else:
            ask.just_written(in_line=False)
            return None
