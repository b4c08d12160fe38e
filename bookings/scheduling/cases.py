"""
An open change that was taken up: what is asked of Cal.com, and how its yes, its no and its silence are written down.

What a booking, a move and a cancellation have in common is here; each of them is a kind of case in `remote.py`, and
`settling.py` takes every case the same way.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import ClassVar

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from bookings.models import LOOKUP_DELAY, Appointment, Operation, OperationState
from bookings.scheduling import callbacks
from cachectl.models import CacheInvalidation
from calcom.errors import Reason
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

# Outcomes beside Cal.com's own reasons.
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
        FOREIGN,
        OTHER_START,
        OTHER_LENGTH,
        OTHER_TYPE,
        NOT_IN_TIME,
        VANISHED,
        UNSETTLED,
    }
)


class Refusal(Enum):
    """What a refusal by Cal.com leaves to be done."""

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


@dataclass(frozen=True)
class OperationHandler(ABC):
    """An open change, judged when we took it up."""

    operation: Operation
    calcom: CalcomService

    # What a person calls about when it could not be done, and the caller has gone.
    topic: ClassVar[str]
    # Whether the request names a booking that Cal.com has, so that a refusal may be about what became of it.
    names_a_booking: ClassVar[bool] = True

    @property
    def appointment(self) -> Appointment:
        """Whose change it is."""
        return self.operation.appointment

    @property
    def host_ids(self) -> list[int]:
        """Return who could have been chosen."""
        return list(self.appointment.event_type.hosts.order_by("pk").values_list("pk", flat=True))

    @property
    def start(self) -> datetime:
        """Return when the appointment begins if all goes well."""
        return self.appointment.start

    @property
    def end(self) -> datetime:
        """Return when it ends then."""
        return self.appointment.end

    @property
    def is_too_late(self) -> bool:
        """Return whether there is no point in it any more."""
        return self.operation.is_late

    @property
    def is_secured(self) -> bool:
        """Return whether no write is in flight that could touch the same host; see Note [Two writes in flight]."""
        return not self.operation.is_in_line

    @property
    def may_be_repeated(self) -> bool:
        """Return whether what was not found now is proven absent, so that it may be sent again."""
        return self.operation.is_silent or self.is_too_late

    def difference(self, remote: RemoteBooking) -> str:
        """Return as an outcome what of a standing booking is not what the caller was promised, empty if all is."""
        if remote.start != self.start:
            return OTHER_START
        if remote.end != self.end:
            return OTHER_LENGTH
        is_other_type = remote.event_type_id not in {None, self.appointment.event_type.calcom_id}
        return OTHER_TYPE if is_other_type else ""

    # What each kind does in its own way

    @abstractmethod
    def ask(self) -> RemoteBooking:
        """Send it to Cal.com, once. Raises like `CalcomService`."""

    @abstractmethod
    def apply_result(self, remote: RemoteBooking, duration: timedelta | None = None) -> None:
        """Write down what Cal.com has, if it is what we asked for. Any yes counts, also a late one, also twice."""

    @abstractmethod
    def look_up(self, *, only_refused: bool = False) -> RemoteBooking | None:
        """
        Return what has come of it at Cal.com, None if nothing has, or not yet. Raises like `CalcomService`.

        With `only_refused` it was sent once and refused, so whatever changed there is not its effect.
        """

    @abstractmethod
    def refuse(self, outcome: str, *, list_was_wrong: bool = False) -> None:
        """Write down that nothing came of it, and give back the time that it claimed."""

    def secure(self, host_ids: Collection[int]) -> None:
        """Claim its time on these hosts instead of waiting in line for it, within the transaction that is open."""
        raise NotImplementedError

    @abstractmethod
    def apply_not_found(self) -> None:
        """Take note that Cal.com does not know the booking's uid."""

    # What is written down for all of them alike

    def tell(self, event: str, *, outcome: str, alert: bool = False) -> None:
        """Write a line to the log; nothing in it is personal."""
        (log.error if alert or outcome in _STAFF_MUST_ACT else log.info)(
            event,
            operation=self.operation.kind,
            outcome=outcome,
            appointment_id=self.appointment.public_id,
            operation_id=self.operation.pk,
            attempts=self.operation.attempts,
        )

    def later(self, state: OperationState, retry_after: float | None = None, *, error: str = "") -> None:
        """
        Leave it for another attempt: after half the time it has been waiting, at least 5 s and at most 20.

        Sooner where it can be told apart sooner whether a send was lost; and where nothing could be sent, when the
        breaker or the budget says so. Later the longer it has been open, and the more answers have not settled it.
        """
        now, operation = timezone.now(), self.operation
        waited = now - operation.requested_at
        pause = max(min(waited / 2, LONGEST_PAUSE), waited / PAUSE_SHARE)
        if retry_after is not None:
            pause = timedelta(seconds=retry_after)
        elif (
            state == OperationState.UNKNOWN and operation.sent_at is not None and operation.sent_at + LOOKUP_DELAY > now
        ):
            pause = min(pause, operation.sent_at + LOOKUP_DELAY - now)
        if count := operation.inconclusive_answers:
            pause = max(pause, operation.retry_policy.delay(count))
        operation.transition(
            to=state,
            next_attempt_at=Now() + max(pause, SHORTEST_PAUSE),
            inconclusive_answers=count,
            last_error=error[:200],
        )

    def may_try_again(self, *, otherwise: str) -> bool:
        """
        Count an answer that did not settle it; after too many the operation ends with the outcome `otherwise`.

        The count is written down with the state that follows.
        """
        self.operation.inconclusive_answers += 1
        if self.operation.inconclusive_answers <= MOST_INCONCLUSIVE_ANSWERS:
            return True
        self.refuse(otherwise)
        return False

    def try_again(self, state: OperationState, *, otherwise: str) -> None:
        """Leave it for another attempt after such an answer."""
        if self.may_try_again(otherwise=otherwise):
            self.later(state)

    def wait_for_news(self, *, error: str = "") -> None:
        """Leave it to another look-up, unless its time has come."""
        if self.is_too_late:
            self.expire()
        else:
            self.later(OperationState.UNKNOWN, error=error)

    def expire(self) -> None:
        """Stop trying at the time it should have begun: a person calls the caller back."""
        self.refuse(NOT_IN_TIME)

    def have_called_back(self, outcome: str) -> None:
        """
        See to it that whoever asked hears of a refusal, within the transaction that writes it down.

        Who still waits is answered. Who was told that it is on its way would wait for it: a person calls them.
        """
        still_waits = Operation.objects.filter(pk=self.operation.pk, client_deadline_at__gt=Now())
        if not still_waits.exists() and not callbacks.owe(self.appointment, f"{self.topic} ({outcome})"):
            self.tell("nobody can call back", outcome=outcome, alert=True)

    def owe(
        self,
        start: datetime,
        end: datetime,
        host_ids: Collection[int],
        cause: CacheInvalidation.Cause = CacheInvalidation.Cause.OWN,
        *,
        freed: bool = False,
    ) -> list[CacheInvalidation]:
        """Write down that the hosts' time from `start` to `end` is taken, or `freed`, in the open transaction."""
        return self.calcom.record_invalidations(
            event_type=self.appointment.event_type, start=start, end=end, host_ids=host_ids, cause=cause, freed=freed
        )
