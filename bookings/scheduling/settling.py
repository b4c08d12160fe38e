"""
The state machine of an operation: it is sent to Cal.com, the result is applied, and an unknown outcome is looked up.

`queued` was not sent. `sending` and `unknown` may have been, and are looked up before they are sent again. Each step is
committed before the next one begins, so after a crash another process continues from the row. What creating,
rescheduling and cancelling do differently is in `handlers.py`.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, ClassVar

import structlog
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from bookings import metrics
from bookings.availability.occupancy import Conflict, check_conflict, read_occupancy
from bookings.models import LOOKUP_DELAY, OPEN_STATES, Claim, Operation, OperationState, with_buffers
from bookings.scheduling import callbacks, claims
from cachectl.models import CacheInvalidation
from calcom.errors import CalcomError, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.service import CalcomService
from calcom.types import RemoteBooking

log = structlog.get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = Operation.retry_policy.first, timedelta(seconds=20)
# Later on a pause is this share of the time that the operation has been open, so that the number of requests grows with
# the logarithm of that time: about 130 in a month.
PAUSE_SHARE = 20
# An operation ends when Cal.com's answers have left it open so often. The pauses between them double, so that this
# takes twenty minutes and more.
MOST_INCONCLUSIVE_ANSWERS = 8


class Outcome(StrEnum):
    """Why an operation was refused, beside Cal.com's own reasons."""

    FOREIGN = "foreign_booking"
    SAME_ADDRESS = "same_address"
    OTHER_START = "other_start"
    OTHER_LENGTH = "other_length"
    OTHER_TYPE = "other_event_type"
    NOT_IN_TIME = "not_in_time"
    WITHDRAWN = "withdrawn"
    VANISHED = "vanished"
    UNSETTLED = "unsettled"
    DECLINED = "declined"


_STAFF_MUST_ACT = frozenset(
    {
        Reason.UNAUTHORIZED,
        Reason.INVALID,
        Reason.NOT_FOUND,
        Outcome.FOREIGN,
        Outcome.OTHER_START,
        Outcome.OTHER_LENGTH,
        Outcome.OTHER_TYPE,
        Outcome.NOT_IN_TIME,
        Outcome.VANISHED,
        Outcome.UNSETTLED,
    }
)
# Refusals of a time that a list had: the list is outdated.
_CONTRADICT_THE_LIST = frozenset({Reason.NOT_AVAILABLE, Reason.OUT_OF_BOUNDS, Reason.LIMIT_REACHED})


class Refusal(Enum):
    """What follows from a refusal by Cal.com."""

    FINAL = "the operation has ended"
    FINAL_IF_UNCHANGED = "the booking is looked up, and if it is where it was, the operation has ended"
    REPEATED_IF_UNCHANGED = "the booking is looked up, and if it is where it was, the answers contradict each other"


# Which refusals end an operation: sent again, it would be refused again. Whatever the table says, a request that was
# sent more than once is looked up first, because the earlier one may be what refuses it.
REFUSALS: Mapping[Reason, Refusal] = {
    Reason.NOT_AVAILABLE: Refusal.FINAL,
    Reason.OUT_OF_BOUNDS: Refusal.FINAL,
    Reason.IN_PAST: Refusal.FINAL,
    Reason.LIMIT_REACHED: Refusal.FINAL,
    Reason.BOOKER_LIMIT: Refusal.FINAL,
    Reason.CANCELLING_OFF: Refusal.FINAL,
    Reason.ALREADY_ENDED: Refusal.FINAL,
    Reason.UNAUTHORIZED: Refusal.FINAL,
    Reason.INVALID: Refusal.FINAL,
    Reason.NOT_FOUND: Refusal.FINAL_IF_UNCHANGED,  # of the booking, or of its event type
    Reason.ALREADY_CANCELLED: Refusal.REPEATED_IF_UNCHANGED,
    Reason.ALREADY_MOVED: Refusal.REPEATED_IF_UNCHANGED,
}


def transition(operation: Operation, *, to: OperationState, **fields: Any) -> bool:
    """Change the state like `Operation.transition`, and count the operation if it has ended."""
    won = operation.transition(to=to, **fields)
    if won and to not in OPEN_STATES:
        metrics.count_end(operation)
    return won


def close(operation: Operation, *, to: OperationState, **fields: Any) -> bool:
    """End the operation like `Operation.close`, and count it."""
    won = operation.close(to=to, **fields)
    if won:
        metrics.count_end(operation)
    return won


def withdraw(operation: Operation) -> bool:
    """End an operation that was not sent. Returns False if it has been by now."""
    return transition(operation, to=OperationState.REFUSED, outcome=Outcome.WITHDRAWN, finished_at=Now())


class OperationHandler(ABC):
    """An open operation from `with_timing`, and the account at Cal.com that it is sent to."""

    # What a person calls about when it could not be done, and the caller has gone.
    topic: ClassVar[str]
    # Whether the request names a booking that Cal.com has, so that a refusal may be about what became of it.
    names_a_booking: ClassVar[bool] = True

    def __init__(self, operation: Operation, calcom: CalcomService) -> None:
        self.operation = operation
        self.calcom = calcom
        self.appointment = operation.appointment

    # --- what each kind does differently ---

    @property
    def start(self) -> datetime:
        """Return when the appointment begins if the operation succeeds."""
        return self.appointment.start

    @property
    def end(self) -> datetime:
        """Return when it ends then."""
        return self.appointment.end

    @property
    def is_too_late(self) -> bool:
        """Return whether it is not worth trying any more."""
        return self.operation.is_late

    @property
    def is_secured(self) -> bool:
        """Return whether no write in flight could take the same host; see Note [Two writes in flight]."""
        return not self.operation.is_in_line

    @property
    def may_be_repeated(self) -> bool:
        """Return whether what was not found now is proven absent, so that it may be sent again."""
        return self.operation.is_silent or self.is_too_late

    @abstractmethod
    def execute(self) -> RemoteBooking:
        """Send the request to Cal.com, once. Raises like `CalcomService`."""

    @abstractmethod
    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        """Write down Cal.com's booking, if it is what was requested. A late or repeated result is applied, too."""

    @abstractmethod
    def apply_not_found(self) -> None:
        """Write down that Cal.com does not know the booking's uid."""

    @abstractmethod
    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:
        """
        Return the result at Cal.com, None if there is none, or none yet. Raises like `CalcomService`.

        With `only_refused` it was sent once and refused, so whatever changed there is not its effect.
        """

    @abstractmethod
    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        """End it as refused, and give back the time that it claimed."""

    def secure(self, host_ids: Collection[int]) -> None:
        """Turn its queued claim into pending ones on these hosts, within the transaction that is open."""
        raise NotImplementedError

    # --- settling ---

    def settle(self) -> None:
        """Bring it as far as it goes now."""
        if self.operation.state == OperationState.QUEUED:
            self.send()
        elif self.operation.state == OperationState.UNKNOWN or self.operation.is_silent:
            self._find_outcome()

    def send(self) -> None:
        """Send the request, once, and write down the result."""
        if self.is_too_late:
            self.expire()
            return
        if not (self._has_its_turn() and self.begin()):
            return
        began = time.monotonic()
        try:
            remote = self.execute()
        except Unavailable as exc:
            self.later(OperationState.QUEUED, exc.retry_after, error=str(exc))
        except OutcomeUnknown as exc:
            self.later(OperationState.UNKNOWN, error=str(exc))
        except Refused as exc:
            self._apply_refusal(exc.reason)
        else:
            self.apply_result(remote, timedelta(seconds=time.monotonic() - began))

    def _has_its_turn(self) -> bool:
        """Return whether no write is in flight that could take the same host; see Note [Two writes in flight]."""
        if self.is_secured:
            return True
        appointment = self.appointment
        try:
            with claims.writing(appointment.event_type):
                occupancy = read_occupancy(appointment.event_type, self.start, self.end).without(appointment.pk)
                conflict, host_ids = check_conflict(occupancy, ahead_of=appointment.pk)
                if conflict is Conflict.FREE:
                    self.secure(host_ids)
        except claims.Contention:
            conflict = Conflict.WAIT
        if conflict is Conflict.TAKEN:
            self.refuse(Reason.NOT_AVAILABLE)
        elif conflict is Conflict.WAIT:
            self.later(OperationState.QUEUED)
        return conflict is Conflict.FREE

    def ahead(self) -> Operation | None:
        """Return the last open operation that must end before this one's turn comes; None if there is none."""
        appointment = self.appointment
        first, last = with_buffers(appointment.event_type, self.start, self.end)
        overlapping = Claim.objects.overlapping(appointment.event_type.hosts.values("pk"), first, last)
        goes_first = Q(kind=Claim.Kind.PENDING) | Q(kind=Claim.Kind.QUEUED, appointment__lt=appointment.pk)
        others = overlapping.filter(goes_first).exclude(appointment=appointment)
        return (
            Operation.objects.open().filter(appointment__in=others.values("appointment")).order_by("appointment").last()
        )

    def begin(self) -> bool:
        """Commit that it is being sent, before it is. Returns False if another process did so first."""
        return transition(
            self.operation,
            to=OperationState.SENDING,
            attempts=self.operation.attempts + 1,
            inconclusive_answers=self.operation.inconclusive_answers,
            sent_at=Now(),
            next_attempt_at=Now() + LOOKUP_DELAY,
        )

    def _apply_refusal(self, reason: Reason) -> None:
        """Write the refusal down, unless the booking is not what it was, or an earlier send of ours caused it."""
        refusal = REFUSALS[reason]
        may_have_changed = self.names_a_booking and refusal is not Refusal.FINAL
        sent_before = self.operation.attempts > 1
        if (may_have_changed or sent_before) and self._look_up(only_refused=not sent_before):
            return
        if may_have_changed and refusal is Refusal.REPEATED_IF_UNCHANGED:
            self.try_again(OperationState.QUEUED, otherwise=Outcome.UNSETTLED)  # it was refused: nothing is on its way
        else:
            self.refuse(reason, list_was_wrong=reason in _CONTRADICT_THE_LIST)

    def _find_outcome(self) -> None:
        """Look up the outcome of a send without a clear answer; send again only what is proven absent."""
        if self._look_up():
            return
        if not self.may_be_repeated:
            self.later(OperationState.UNKNOWN)
        elif self.is_too_late or self._may_try_again(otherwise=Outcome.UNSETTLED):
            self.send()

    def _look_up(self, *, only_refused: bool = False) -> bool:
        """Look up the outcome and write it down. Returns False if there is none: the booking is where it was."""
        try:
            remote = self.look_up(only_refused=only_refused)
        except Refused as exc:
            if exc.reason is Reason.NOT_FOUND:
                self.apply_not_found()
            elif self.is_too_late:
                self.expire()
            else:
                self.try_again(OperationState.UNKNOWN, otherwise=exc.reason)
        except CalcomError as exc:
            if self.is_too_late:
                self.expire()
            else:
                self.later(OperationState.UNKNOWN, error=str(exc))
        else:
            if remote is None:
                return False
            self.apply_result(remote)
        return True

    # --- what follows ---

    def later(self, state: OperationState, retry_after: float | None = None, *, error: str = "") -> None:
        """
        Schedule another attempt: after half the time that it has been open, at least 5 s and at most 20.

        Sooner as soon as a look-up proves absence; and where nothing could be sent, after `retry_after` seconds. Later
        the longer it has been open, and the more answers have not settled it.
        """
        now, operation = timezone.now(), self.operation
        waited = now - operation.requested_at
        pause = max(min(waited / 2, LONGEST_PAUSE), waited / PAUSE_SHARE)
        if retry_after is not None:
            pause = timedelta(seconds=retry_after)
        elif state == OperationState.UNKNOWN and operation.sent_at is not None:
            provable_in = operation.sent_at + LOOKUP_DELAY - now
            pause = min(pause, provable_in) if provable_in > timedelta() else pause
        if count := operation.inconclusive_answers:
            pause = max(pause, operation.retry_policy.delay(count))
        transition(
            operation,
            to=state,
            next_attempt_at=Now() + max(pause, SHORTEST_PAUSE),
            inconclusive_answers=count,
            last_error=error[:200],
        )

    def try_again(self, state: OperationState, *, otherwise: str) -> None:
        """Schedule another attempt after an answer that did not settle it; after too many, refuse as `otherwise`."""
        if self._may_try_again(otherwise=otherwise):
            self.later(state)

    def _may_try_again(self, *, otherwise: str) -> bool:
        """Count such an answer. The count is written down with the state that follows."""
        self.operation.inconclusive_answers += 1
        if self.operation.inconclusive_answers <= MOST_INCONCLUSIVE_ANSWERS:
            return True
        self.refuse(otherwise)
        return False

    def expire(self) -> None:
        """Stop trying when the appointment should have begun; staff call the caller back."""
        self.refuse(Outcome.NOT_IN_TIME)

    def request_callback(self, outcome: str) -> None:
        """
        Have staff tell a refusal to a client that does not wait any more, within the transaction that writes it down.

        A client that still waits is answered.
        """
        still_waits = Operation.objects.filter(pk=self.operation.pk, client_deadline_at__gt=Now())
        if not still_waits.exists() and not callbacks.request_for(self.appointment, f"{self.topic} ({outcome})"):
            self.log("booking.caller_unreachable", outcome=outcome, alert=True)
            metrics.count_unreachable_caller()

    def invalidate(
        self,
        start: datetime,
        end: datetime,
        host_ids: Collection[int],
        cause: CacheInvalidation.Cause = CacheInvalidation.Cause.OWN,
        *,
        freed: bool = False,
    ) -> list[CacheInvalidation]:
        """Record that the hosts' time from `start` to `end` is taken, or `freed`, in the open transaction."""
        return self.calcom.record_invalidations(
            event_type=self.appointment.event_type, start=start, end=end, host_ids=host_ids, cause=cause, freed=freed
        )

    def log(self, event: str, *, outcome: str, alert: bool = False) -> None:
        """Write a log line without personal data; an error where staff must act."""
        (log.error if alert or outcome in _STAFF_MUST_ACT else log.info)(
            event,
            operation=self.operation.kind,
            outcome=outcome,
            appointment_id=self.appointment.public_id,
            operation_id=self.operation.public_id,
            attempts=self.operation.attempts,
        )

    @property
    def host_ids(self) -> list[int]:
        """Return the hosts whom Cal.com may choose."""
        return list(self.appointment.event_type.hosts.order_by("pk").values_list("pk", flat=True))
