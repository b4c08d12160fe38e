"""
What becomes of a change at Cal.com: it is sent, its answer is heard, and where none came it is found out.

Each step is committed before the next one begins, so that whoever dies in between leaves a row from which somebody
else can go on: `queued` was not sent; `sending` and `unknown` may have been, and are looked up before they are sent
again. What a booking, a move and a cancellation do differently is in `remote.py`.
"""

import time
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from bookings.availability.occupancy import Conflict, check_conflict, read_occupancy, with_buffers
from bookings.models import LOOKUP_DELAY, Appointment, Claim, Operation, OperationState
from bookings.scheduling import claims, confirmation
from bookings.scheduling.cases import NOT_IN_TIME, REFUSALS, UNSETTLED, OperationHandler, Refusal
from bookings.scheduling.handlers import handler_for
from calcom.errors import CalcomError, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.service import CalcomService
from calcom.types import RemoteBooking

# Refusals of a time that a list had: the list is none any more.
_REFUTE_THE_LIST = frozenset({Reason.NOT_AVAILABLE, Reason.OUT_OF_BOUNDS, Reason.LIMIT_REACHED})


def settle(*, operation_id: int, calcom: CalcomService) -> None:
    """Bring an open change as far as it goes now. Safe at any moment, twice, and from several processes."""
    handler = _take_up(operation_id, calcom)
    if handler is None:
        return
    if handler.operation.state == OperationState.AWAITING:
        _await_host(handler)
    elif handler.operation.state == OperationState.QUEUED:
        send(handler)
    elif handler.operation.state == OperationState.UNKNOWN or handler.operation.is_silent:
        _find_out(handler)


def apply_result(*, operation_id: int, remote: RemoteBooking, calcom: CalcomService) -> None:
    """Settle an open change by what Cal.com has of it, told by a webhook or read there before it answered us."""
    handler = _take_up(operation_id, calcom)
    if handler is not None and handler.operation.state != OperationState.AWAITING:
        sent_at = handler.operation.sent_at
        handler.apply_result(remote, duration=timezone.now() - sent_at if sent_at else None)


def decide(*, appointment: Appointment, remote: RemoteBooking, calcom: CalcomService) -> bool:
    """Write down what the host has decided; return False if the appointment does not wait for that any more."""
    waiting = Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING).first()
    handler = None if waiting is None else _take_up(waiting.pk, calcom)
    return handler is not None and confirmation.decide(handler, remote)


def _await_host(handler: OperationHandler) -> None:
    """Stop waiting for the host at the start; that may be later by now than when it was written down."""
    if handler.appointment.start > timezone.now():
        Operation.objects.filter(pk=handler.operation.pk).update(next_attempt_at=handler.appointment.start)
    else:
        confirmation.decline(handler, handler.appointment.remote_uid, NOT_IN_TIME)


def _take_up(operation_id: int, calcom: CalcomService) -> OperationHandler | None:
    relations = "appointment__event_type", "appointment__service__branch"
    operation = Operation.objects.pending().with_timing().select_related(*relations).filter(pk=operation_id).first()
    return None if operation is None else handler_for(operation, calcom)


# --- sending -----------------------------------------------------------------------------------------------------


def send(handler: OperationHandler) -> None:
    """Ask Cal.com, once, and write down what came of it."""
    if handler.is_too_late:
        handler.expire()
        return
    if not (_has_its_turn(handler) and begin(handler)):
        return
    began = time.monotonic()
    try:
        remote = handler.ask()
    except Unavailable as exc:
        handler.later(OperationState.QUEUED, exc.retry_after, error=str(exc))
    except OutcomeUnknown as exc:
        handler.later(OperationState.UNKNOWN, error=str(exc))
    except Refused as exc:
        _hear_refusal(handler, exc.reason)
    else:
        handler.apply_result(remote, duration=timedelta(seconds=time.monotonic() - began))


def _has_its_turn(handler: OperationHandler) -> bool:
    """Return whether no write is in flight that could touch the same host; see Note [Two writes in flight]."""
    if handler.is_secured:
        return True
    appointment = handler.appointment
    try:
        with claims.writing(appointment.event_type):
            occupancy = read_occupancy(appointment.event_type, handler.start, handler.end).without(appointment.pk)
            conflict, host_ids = check_conflict(occupancy, ahead_of=appointment.pk)
            if conflict is Conflict.FREE:
                handler.secure(host_ids)
    except claims.Contention:
        conflict = Conflict.WAIT
    if conflict is Conflict.TAKEN:
        handler.refuse(Reason.NOT_AVAILABLE)
    elif conflict is Conflict.WAIT:
        handler.later(OperationState.QUEUED)
    return conflict is Conflict.FREE


def ahead_of(handler: OperationHandler) -> Operation | None:
    """Return an open change that ends before the case's turn comes, the last one in line; None if there is none."""
    appointment = handler.appointment
    first, last = with_buffers(appointment.event_type, handler.start, handler.end)
    in_the_way = Claim.objects.overlapping(appointment.event_type.hosts.values("pk"), first, last)
    goes_first = Q(kind=Claim.Kind.PENDING) | Q(kind=Claim.Kind.QUEUED, appointment__lt=appointment.pk)
    others = in_the_way.filter(goes_first).exclude(appointment=appointment)
    return Operation.objects.open().filter(appointment__in=others.values("appointment")).order_by("appointment").last()


def begin(handler: OperationHandler) -> bool:
    """Say that it is being sent, before it is; return whether nobody else did."""
    operation = handler.operation
    return operation.transition(
        to=OperationState.SENDING,
        attempts=operation.attempts + 1,
        inconclusive_answers=operation.inconclusive_answers,
        sent_at=Now(),
        next_attempt_at=Now() + LOOKUP_DELAY,
    )


def _hear_refusal(handler: OperationHandler, reason: Reason) -> None:
    """Write the refusal down, unless the booking is not what it was, or our own earlier send is what refuses us."""
    refusal = REFUSALS[reason]
    may_have_changed = handler.names_a_booking and refusal is not Refusal.FINAL
    sent_before = handler.operation.attempts > 1
    if (may_have_changed or sent_before) and _look_up(handler, only_refused=not sent_before):
        return
    if may_have_changed and refusal is Refusal.REPEATED_IF_UNCHANGED:
        handler.try_again(OperationState.QUEUED, otherwise=UNSETTLED)  # it was refused, so nothing is on its way
    else:
        handler.refuse(reason, list_was_wrong=reason in _REFUTE_THE_LIST)


# --- finding out -------------------------------------------------------------------------------------------------


def _find_out(handler: OperationHandler) -> None:
    """Look up what became of a send without a clear answer; send again only what is proven absent."""
    if _look_up(handler):
        return
    if not handler.may_be_repeated:
        handler.later(OperationState.UNKNOWN)
    elif handler.is_too_late or handler.may_try_again(otherwise=UNSETTLED):
        send(handler)


def _look_up(handler: OperationHandler, *, only_refused: bool = False) -> bool:
    """Look up what became of it and write that down. Returns False if nothing did: the booking is where it was."""
    try:
        remote = handler.look_up(only_refused=only_refused)
    except Refused as exc:
        if exc.reason is Reason.NOT_FOUND:
            handler.apply_not_found()
        elif handler.is_too_late:
            handler.expire()
        else:
            handler.try_again(OperationState.UNKNOWN, otherwise=exc.reason)
    except CalcomError as exc:
        handler.wait_for_news(error=str(exc))
    else:
        if remote is None:
            return False
        handler.apply_result(remote)
    return True
