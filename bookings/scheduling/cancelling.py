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
from bookings.models import OPEN_STATES, PLACED_STATES, AgentKey, Appointment, AppointmentState, Change, ChangeState
from bookings.scheduling import cases, claims, execution
from bookings.scheduling.execution import Booked
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService


def cancel(
    *,
    appointment: Appointment,
    reason: str,
    asked_by: AgentKey | None,
    idempotency_key: str | None = None,
    request_digest: str = "",
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> Booked:
    """
    Cancel an appointment. Whoever asks twice gets what the first request came to.

    Cal.com is told the reason. Without `asked_by` it is staff who ask, and no notice binds them.

    Raises:
        AlreadyCancelled: somebody cancelled it at Cal.com.
        BookingNotFound: it never came to be.
        CancelNotAllowed: the event type does not allow it.
        DateInPast, ChangeTooLate: it has begun, or begins too soon to be cancelled by phone.
        IdempotencyInProgress: it is just being booked or moved; try again.
        IdempotencyKeyReused: the key came with another request before.
    """
    ask = Change(
        company_id=appointment.company_id,
        appointment=appointment,
        operation=Change.Operation.CANCEL,
        reason=reason.strip()[:300] or "Cancelled by phone.",
        asked_by=asked_by,
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
    return execution.answer(execution.pursue(ask, calcom, deadline))


def _earlier_cancel(ask: Change) -> Change | None:
    """Return the change by which the same was asked before: an appointment is cancelled once."""
    if ask.idempotency_key:
        change = execution.under_key(ask.company_id, ask.idempotency_key, ask.request_digest)
        if change is not None:
            return change
    asked = Change.objects.filter(appointment=ask.appointment, operation=Change.Operation.CANCEL)
    return execution.read(asked.exclude(state=ChangeState.REFUSED))


def _withdraw(ask: Change) -> bool:
    """Take back a booking that has not left for Cal.com; return whether there was one."""
    booking = Change.objects.filter(
        appointment=ask.appointment, operation=Change.Operation.CREATE, state=ChangeState.QUEUED
    ).first()
    if booking is None:
        return False
    with transaction.atomic(durable=True):
        if not booking.move_on(to=ChangeState.REFUSED, outcome=cases.WITHDRAWN, finished_at=Now()):
            return False
        ask.appointment.move_on(to=AppointmentState.CANCELLED, changed_at=Now())
        claims.release(ask.appointment)
        ask.state, ask.finished_at = ChangeState.DONE, timezone.now()
        ask.save()
        metrics.count_end(ask)
    return True


def _withdraw_move(ask: Change, now: datetime) -> None:
    """Take back a move that has not left for Cal.com: what is cancelled need not be moved first."""
    moves = Change.objects.filter(appointment=ask.appointment, operation=Change.Operation.MOVE)
    move = moves.filter(state=ChangeState.QUEUED).first()
    if move is None:
        return
    _refuse_uncancellable(ask, now)
    with transaction.atomic(durable=True):
        if move.move_on(to=ChangeState.REFUSED, outcome=cases.WITHDRAWN, finished_at=Now()):
            claims.release_other_time(ask.appointment)


def await_others(appointment: Appointment, deadline: Deadline) -> None:
    """
    Wait for a change that is on its way: only what is there can be cancelled or moved.

    Raises:
        IdempotencyInProgress: it has not come to its end by the deadline.
    """
    change = execution.read(Change.objects.open().filter(appointment=appointment))
    account_id = appointment.event_type.account_id
    if change is not None and execution.join(change, account_id, deadline).state in OPEN_STATES:
        raise IdempotencyInProgress("The appointment is just being changed.")
    appointment.refresh_from_db(fields=["state", "start", "end", "host", "moves", "remote_uid", "earlier_remote_uids"])


def refuse_unchangeable(ask: Change, now: datetime) -> None:
    """
    Raise why the appointment can be neither cancelled nor moved, if so.

    Without `asked_by` it is staff who ask, and no notice binds them.
    """
    appointment = ask.appointment
    if appointment.state == AppointmentState.CANCELLED:
        raise AlreadyCancelled("It was cancelled before, at Cal.com.")
    if appointment.state in {AppointmentState.HELD, AppointmentState.REJECTED, AppointmentState.EXPIRED}:
        raise BookingNotFound("It was never booked.")
    if appointment.state not in PLACED_STATES or appointment.start <= now:
        raise DateInPast("It has begun already.")
    if ask.asked_by and appointment.start < now + timedelta(hours=appointment.company.cancel_notice_hours):
        raise ChangeTooLate("It begins too soon to be changed by phone.")


def _refuse_uncancellable(ask: Change, now: datetime) -> None:
    refuse_unchangeable(ask, now)
    if ask.appointment.event_type.cancelling_disabled:  # for staff, too: Cal.com binds the key (seen 2026-11-30)
        raise CancelNotAllowed("Cal.com cancels no booking of this event type.")


def _queue(ask: Change, deadline: Deadline, now: datetime) -> Change | None:
    """Write the cancellation down as soon as nothing else is open; return the change of a twin if one was faster."""
    attempts = claims.Attempts(deadline)
    while True:
        _withdraw_move(ask, now)
        await_others(ask.appointment, deadline)
        if (twin := _earlier_cancel(ask)) is not None:
            return twin
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
