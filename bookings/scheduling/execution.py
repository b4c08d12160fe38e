"""What becomes of a change that somebody asked for: an earlier request's, the wait for Cal.com, and the answer."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

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
from bookings.scheduling import booking_limits, cases, settling
from bookings.scheduling.handlers import handler_for
from cachectl.infra import bulkhead, executors, wakeups
from cachectl.infra.deadline import Deadline
from calcom.errors import Reason
from calcom.service import CalcomService
from calcom.types import RemoteState

P = ParamSpec("P")
log = structlog.get_logger(__name__)

# Whoever asked sends it at once; a worker takes over when that did not happen.
HEAD_START = timedelta(seconds=5)
# Seconds between two looks at an operation that another thread or process carries out: its end wakes those who wait,
# unless the message is lost, or Redis does not answer.
LOOK_EVERY = 1.0
# Seconds before another attempt where no operation is ahead: another writer has locked the hosts for a moment.
PAUSE = 0.1


@dataclass(frozen=True)
class Booked:
    """What a request came to. Its change is open where Cal.com has not said yes in time: then nothing is promised."""

    appointment: Appointment
    operation: Operation
    replayed: bool = False
    """An earlier request had asked for the same."""

    @property
    def is_settled(self) -> bool:
        """Return whether Cal.com has said yes."""
        return self.operation.state == OperationState.DONE


# --- what was asked before ---------------------------------------------------------------------------------------


def find_by_idempotency_key(company_id: int, key: str, digest: str) -> Operation | None:
    """
    Return the change that this Idempotency-Key led to, None if it is new.

    Raises:
        IdempotencyKeyReused: it came with another request.
        IdempotencyInProgress: whoever came first is still waiting for the answer.
    """
    operation = read(Operation.objects.filter(company_id=company_id, idempotency_key=key))
    if operation is None:
        return None
    if operation.request_digest != digest:
        raise IdempotencyKeyReused("The key came with another request before.")
    if operation.state in OPEN_STATES and operation.is_awaited:
        raise IdempotencyInProgress("The first request with this key still runs.")
    return operation


def read(operations: OperationQuerySet) -> Operation | None:
    """Return the first change of the query with all that an answer says of it. There mostly is none, at little cost."""
    operation_id = operations.values_list("pk", flat=True).first()
    return None if operation_id is None else _whole(operation_id)


def _whole(operation_id: int) -> Operation:
    relations = "appointment__branch", "appointment__service"
    return Operation.objects.with_timing().select_related(*relations).get(pk=operation_id)


# --- waiting for Cal.com -----------------------------------------------------------------------------------------


def timing(deadline: Deadline) -> dict[str, CombinedExpression]:
    """Return the columns that say how long the one who asks waits, and when a worker takes over."""
    return {"client_deadline_at": Now() + timedelta(seconds=deadline.left), "next_attempt_at": Now() + HEAD_START}


def execute_and_wait(operation: Operation, calcom: CalcomService, deadline: Deadline) -> Operation:
    """
    Have a change that was just written settled on a thread of its own, and return it as it is then, or at the deadline.

    Whoever stops waiting stops nothing. A change that waits in line tries again until its turn has come. It is written
    down: where PostgreSQL goes away meanwhile, all that is known of it is that it is on its way.
    """
    try:
        return _pursued(operation, calcom, deadline)
    except (OperationalError, InterfaceError) as exc:
        log.warning("change not followed further", operation_id=operation.pk, error_type=type(exc).__name__)
        return operation


def _pursued(operation: Operation, calcom: CalcomService, deadline: Deadline) -> Operation:
    account_id = calcom.account_id
    with bulkhead.acquire(account_id, deadline) as until:
        handler = handler_for(operation, calcom)
        if _work_until(until, account_id, settling.send, handler) and operation.state not in OPEN_STATES:
            return operation  # it was settled here: these objects are what their rows are
        operation = _whole(operation.pk)
        while operation.state == OperationState.QUEUED and not operation.attempts and not until.passed:
            ahead = settling.ahead_of(handler)
            if ahead is None:
                time.sleep(min(PAUSE, until.left))
            else:
                _await_end(ahead, until)
            _work_until(until, account_id, settling.settle, operation_id=operation.pk, calcom=calcom)
            operation = _whole(operation.pk)
    return operation


def _work_until(
    deadline: Deadline, account_id: int, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> bool:
    """Take a step on a thread for writes; return whether it was done by the deadline. It is taken to its end anyway."""
    job = executors.submit_write(account_id, step, *args, **kwargs)
    job.add_done_callback(_tell_crash)
    done, _ = wait([job], timeout=deadline.left)
    return bool(done)


def _tell_crash(job: "Future[None]") -> None:
    """A crash between two steps is like a dead process: a worker goes on from the row."""
    if (exc := job.exception()) is not None:
        log.error("settling crashed", exc_info=exc)


def join(operation: Operation, account_id: int, deadline: Deadline) -> Operation:
    """Wait until the deadline for a change that is carried out elsewhere, and return it as it is then."""
    with bulkhead.acquire(account_id, deadline) as until:
        if operation.state in OPEN_STATES and not until.passed:
            _await_end(operation, until)
            operation = _whole(operation.pk)
    return operation


def _await_end(operation: Operation, deadline: Deadline) -> None:
    """Wait until the change has come to its end, or the deadline."""
    while not wakeups.wait(operation.public_id, min(LOOK_EVERY, deadline.left)) and not deadline.passed:
        if not Operation.objects.open().filter(pk=operation.pk).exists():
            return


# --- answering ---------------------------------------------------------------------------------------------------

_REFUSALS: Mapping[str, type[BookingError]] = {
    Reason.NOT_AVAILABLE: SlotTaken,
    cases.FOREIGN: SlotTaken,
    cases.SAME_ADDRESS: AlreadyBooked,
    Reason.LIMIT_REACHED: LimitReached,
    Reason.BOOKER_LIMIT: AlreadyBooked,
    Reason.CANCELLING_OFF: CancelNotAllowed,
    Reason.OUT_OF_BOUNDS: SlotNotOffered,
    cases.OTHER_START: SlotNotOffered,
    cases.OTHER_LENGTH: SlotNotOffered,
    cases.OTHER_TYPE: SlotNotOffered,
    RemoteState.CANCELLED: SlotNotOffered,
    RemoteState.REJECTED: SlotNotOffered,
    cases.DECLINED: SlotNotOffered,
    Reason.IN_PAST: DateInPast,
    Reason.ALREADY_ENDED: DateInPast,
    cases.NOT_IN_TIME: DateInPast,
    cases.WITHDRAWN: AlreadyCancelled,
    Reason.ALREADY_CANCELLED: AlreadyCancelled,
    cases.VANISHED: BookingNotFound,
    cases.UNSETTLED: UpstreamUnavailable,
}


def waits_for_calcom(operation: Operation) -> bool:
    """Return whether it was tried, and nothing was sent, because Cal.com cannot be asked just now."""
    return operation.state == OperationState.QUEUED and operation.attempts > 0


def refusal(operation: Operation) -> BookingError:
    """Return why a refused change came to nothing, as whoever asked for it would have heard."""
    if operation.outcome == Reason.UNAUTHORIZED:
        return UpstreamUnavailable("Cal.com refuses access.", access_refused=True)
    return _REFUSALS.get(operation.outcome, ConfigurationError)(f"Cal.com did not accept it ({operation.outcome}).")


def answer(operation: Operation, *, replayed: bool = False) -> Booked:
    """Return what the change came to, or raise why it came to nothing."""
    if operation.state == OperationState.REFUSED:
        refused = refusal(operation)
        if isinstance(refused, AlreadyBooked) and operation.outcome == Reason.BOOKER_LIMIT:
            refused.appointment = booking_limits.booked_by(operation.appointment)
        raise refused
    if operation.state in OPEN_STATES:
        metrics.count_pending(operation)
    return Booked(operation.appointment, operation, replayed)
