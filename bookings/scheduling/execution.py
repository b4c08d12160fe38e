"""Executing an operation: an earlier request for the same, settling, waiting for Cal.com, and the answer."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from django.utils import timezone
from structlog.contextvars import bind_contextvars, bound_contextvars

from bookings import metrics
from bookings.errors import (
    AlreadyBooked,
    AlreadyCancelled,
    BookingError,
    BookingNotFound,
    CancelNotAllowed,
    ConfigurationError,
    DateInPast,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    LimitReached,
    SlotNotOffered,
    SlotTaken,
    UpstreamUnavailable,
)
from bookings.models import OPEN_STATES, Appointment, Operation, OperationQuerySet, OperationState
from bookings.scheduling import booking_limits, confirmation
from bookings.scheduling.handlers import handler_for
from bookings.scheduling.settling import OperationHandler, Outcome
from cachectl.infra import bulkhead, executors, wakeups
from cachectl.infra.deadline import Deadline
from calcom.errors import Reason
from calcom.service import CalcomService
from calcom.types import RemoteBooking, RemoteState

P = ParamSpec("P")
log = structlog.get_logger(__name__)

# The request sends it at once; after that time a worker takes over.
HEAD_START = timedelta(seconds=5)
# Seconds between two looks at an operation that another thread or process executes: its end wakes the waiting threads
# unless the message is lost or Redis is down.
LOOK_EVERY = 1.0
# Seconds before another attempt if no operation is ahead: another writer has locked the hosts for a moment.
PAUSE = 0.1


@dataclass(frozen=True)
class Booked:
    """The outcome of a request. If its operation is open, Cal.com has not confirmed in time and nothing is promised."""

    appointment: Appointment
    operation: Operation
    replayed: bool = False
    """Whether an earlier request asked for the same."""

    @property
    def is_settled(self) -> bool:
        """Return whether Cal.com has confirmed."""
        return self.operation.state == OperationState.DONE


# --- earlier requests ---------------------------------------------------------------------------------------


def find_by_idempotency_key(company_id: int, key: str | None, digest: str) -> Operation | None:
    """
    Return the operation that this Idempotency-Key led to, None if the key is new, or there is none.

    Raises:
        IdempotencyKeyReused: it came with another request.
        IdempotencyInProgress: the first request with it still waits for its answer.
    """
    operation = read(Operation.objects.filter(company_id=company_id, idempotency_key=key)) if key else None
    if operation is None:
        return None
    if operation.request_digest != digest:
        raise IdempotencyKeyReused("The key came with another request before.")
    if operation.state in OPEN_STATES and operation.is_awaited:
        raise IdempotencyInProgress("The first request with this key still runs.")
    return operation


def read(operations: OperationQuerySet) -> Operation | None:
    """Return the first operation of the query with all that an answer needs; None, mostly, with one cheap query."""
    operation_id = operations.values_list("pk", flat=True).first()
    return None if operation_id is None else _load(operation_id)


def _load(operation_id: int) -> Operation:
    relations = "appointment__branch", "appointment__service"
    return Operation.objects.with_timing().select_related(*relations).get(pk=operation_id)


# --- settling ----------------------------------------------------------------------------------------------------


def settle(*, operation_id: int, calcom: CalcomService) -> None:
    """Bring an open operation as far as it goes now. Safe at any moment, twice, and from several processes."""
    with _handling(operation_id, calcom) as handler:
        if handler is None:
            return
        if handler.operation.state == OperationState.AWAITING:
            confirmation.check_deadline(handler)
        else:
            handler.settle()


def apply_result(*, operation_id: int, remote: RemoteBooking, calcom: CalcomService) -> None:
    """Settle an open operation by Cal.com's booking, from a webhook or a look-up that came before the response."""
    with _handling(operation_id, calcom) as handler:
        if handler is not None and handler.operation.state != OperationState.AWAITING:
            sent_at = handler.operation.sent_at
            handler.apply_result(remote, timezone.now() - sent_at if sent_at else None)


def decide(*, appointment: Appointment, remote: RemoteBooking, calcom: CalcomService) -> bool:
    """Write down the host's decision. Returns False if the appointment does not wait for one any more."""
    waiting = Operation.objects.filter(appointment=appointment, state=OperationState.AWAITING).first()
    if waiting is None:
        return False
    with _handling(waiting.pk, calcom) as handler:
        return handler is not None and confirmation.decide(handler, remote)


@contextmanager
def _handling(operation_id: int, calcom: CalcomService) -> Iterator[OperationHandler | None]:
    """Yield the handler of an operation that is not final, None if it is; log lines meanwhile are about it."""
    relations = "appointment__event_type", "appointment__service__branch"
    operation = Operation.objects.pending().with_timing().select_related(*relations).filter(pk=operation_id).first()
    if operation is None:
        yield None
        return
    with bound_contextvars(**_on_lines(operation)):
        yield handler_for(operation, calcom)


def _on_lines(operation: Operation) -> dict[str, object]:
    """Return what log lines about an operation carry, so that a booking can be followed through all processes."""
    return {
        "appointment_id": operation.appointment.public_id,
        "operation_id": operation.public_id,
        "company_id": operation.company_id,
    }


# --- waiting -----------------------------------------------------------------------------------------------------


def timing(deadline: Deadline) -> dict[str, CombinedExpression]:
    """Return the columns that say how long the client waits, and when a worker takes over."""
    return {"client_deadline_at": Now() + timedelta(seconds=deadline.left), "next_attempt_at": Now() + HEAD_START}


def execute_and_wait(operation: Operation, calcom: CalcomService, deadline: Deadline) -> Operation:
    """
    Execute an operation that was just committed, on another thread; return it as it is then, or at the deadline.

    It goes on after the deadline. While it is queued behind another write it is tried again. If PostgreSQL is gone
    meanwhile, the operation is returned as it was committed.
    """
    bind_contextvars(**_on_lines(operation))
    try:
        return _execute(operation, calcom, deadline)
    except (OperationalError, InterfaceError) as exc:
        log.warning("operation.wait_interrupted", error_type=type(exc).__name__)
        return operation


def _execute(operation: Operation, calcom: CalcomService, deadline: Deadline) -> Operation:
    account_id = calcom.account_id
    with bulkhead.acquire(account_id, deadline) as until:
        if _run_until(until, account_id, _send, operation, calcom) and operation.state not in OPEN_STATES:
            return operation  # settled by this process: its objects are what their rows are
        operation = _load(operation.pk)
        while operation.state == OperationState.QUEUED and not operation.attempts and not until.passed:
            ahead = handler_for(operation, calcom).ahead()
            if ahead is None:
                time.sleep(min(PAUSE, until.left))
            else:
                _await_end(ahead, until)
            _run_until(until, account_id, settle, operation_id=operation.pk, calcom=calcom)
            operation = _load(operation.pk)
    return operation


def _send(operation: Operation, calcom: CalcomService) -> None:
    handler_for(operation, calcom).send()


def _run_until(deadline: Deadline, account_id: int, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Run a step on a thread for writes; return whether it ended by the deadline. It runs to its end anyway."""
    job = executors.submit_write(account_id, step, *args, **kwargs)
    job.add_done_callback(_log_failure)
    done, _ = wait([job], timeout=deadline.left)
    return bool(done)


def _log_failure(job: "Future[None]") -> None:
    """Log an exception. A failure between two steps is like a crash: a worker goes on from the row."""
    if (exc := job.exception()) is not None:
        log.error("operation.settling_failed", exc_info=exc)


def wait_for(operation: Operation, account_id: int, deadline: Deadline) -> Operation:
    """Wait until the deadline for an operation that runs elsewhere, and return it as it is then."""
    with bulkhead.acquire(account_id, deadline) as until:
        if operation.state in OPEN_STATES and not until.passed:
            _await_end(operation, until)
            operation = _load(operation.pk)
    return operation


def _await_end(operation: Operation, deadline: Deadline) -> None:
    """Wait until the operation has ended, or until the deadline."""
    while not wakeups.wait(operation.public_id, min(LOOK_EVERY, deadline.left)) and not deadline.passed:
        if not Operation.objects.open().filter(pk=operation.pk).exists():
            return


# --- answering ---------------------------------------------------------------------------------------------------

_REFUSALS: Mapping[str, type[BookingError]] = {
    Reason.NOT_AVAILABLE: SlotTaken,
    Outcome.FOREIGN: SlotTaken,
    Outcome.SAME_ADDRESS: AlreadyBooked,
    Reason.LIMIT_REACHED: LimitReached,
    Reason.BOOKER_LIMIT: AlreadyBooked,
    Reason.CANCELLING_OFF: CancelNotAllowed,
    Reason.OUT_OF_BOUNDS: SlotNotOffered,
    Outcome.OTHER_START: SlotNotOffered,
    Outcome.OTHER_LENGTH: SlotNotOffered,
    Outcome.OTHER_TYPE: SlotNotOffered,
    RemoteState.CANCELLED: SlotNotOffered,
    RemoteState.REJECTED: SlotNotOffered,
    Outcome.DECLINED: SlotNotOffered,
    Reason.IN_PAST: DateInPast,
    Reason.ALREADY_ENDED: DateInPast,
    Outcome.NOT_IN_TIME: DateInPast,
    Outcome.WITHDRAWN: AlreadyCancelled,
    Reason.ALREADY_CANCELLED: AlreadyCancelled,
    Outcome.VANISHED: BookingNotFound,
    Outcome.UNSETTLED: UpstreamUnavailable,
}


def waits_for_calcom(operation: Operation) -> bool:
    """Return whether it was tried and could not be sent, because Cal.com is unavailable or the limit is reached."""
    return operation.state == OperationState.QUEUED and operation.attempts > 0


def refusal(operation: Operation) -> BookingError:
    """Return the error that a client gets for a refused operation."""
    if operation.outcome == Reason.UNAUTHORIZED:
        return UpstreamUnavailable("Cal.com refuses access.", access_refused=True)
    return _REFUSALS.get(operation.outcome, ConfigurationError)(f"Cal.com did not accept it ({operation.outcome}).")


def answer(operation: Operation, *, replayed: bool = False) -> Booked:
    """Return the outcome of the operation, or raise the error of a refused one."""
    if operation.state == OperationState.REFUSED:
        refused = refusal(operation)
        if isinstance(refused, AlreadyBooked) and operation.outcome == Reason.BOOKER_LIMIT:
            refused.appointment = booking_limits.booked_by(operation.appointment)
        raise refused
    if operation.state in OPEN_STATES:
        metrics.count_pending(operation)
        log.info("operation.pending", kind=operation.kind, state=operation.state, attempts=operation.attempts)
    return Booked(operation.appointment, operation, replayed)
