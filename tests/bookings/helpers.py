"""Steps that the tests of bookings share."""

import itertools
import time
from datetime import UTC, datetime, timedelta

from django.db.models import F
from django.utils import timezone

from bookings.availability import calendar_view
from bookings.models import AgentKey, Appointment, Claim, Conversation, Operation, Service
from bookings.scheduling import booking, cancelling, execution, rescheduling
from bookings.scheduling.handlers import handler_for
from bookings.scheduling.settling import OperationHandler
from cachectl.infra import bulkhead, executors
from cachectl.infra.deadline import Deadline
from calcom.service import CalcomService
from tests import redis_time
from tests.factories import ANNA, Caller, at

PATIENCE = 60.0
"""Seconds in which everything is done, also beside much else on the same machine."""

_numbers = itertools.count(1)


class AfterWriting(Deadline):
    """
    A deadline whose seconds begin when an operation is written down: what comes before takes as long as it takes.

    With it a test may wait for a fraction of a second for an answer that Cal.com withholds. A fixture for all tests
    starts it.
    """

    seconds: float

    def __init__(self, seconds: float) -> None:
        super().__init__(time.monotonic() + PATIENCE)
        object.__setattr__(self, "seconds", seconds)

    def begin(self) -> None:
        """Start the seconds."""
        object.__setattr__(self, "at", time.monotonic() + self.seconds)


def _deadline(wait: float | Deadline) -> Deadline:
    return wait if isinstance(wait, Deadline) else AfterWriting(wait)


def intent(
    service: Service,
    start: datetime,
    caller: Caller = ANNA,
    *,
    key: str | None = None,
    digest: str = "",
    conversation: Conversation | None = None,
    agent_key: AgentKey | None = None,
) -> booking.BookingIntent:
    """Wish for a slot; without key or conversation it is a wish of its own."""
    return booking.BookingIntent(
        company=service.branch.company,
        service=service,
        start=start,
        attendee_name=caller.name,
        attendee_phone=caller.phone,
        attendee_email=caller.email,
        agent_key=agent_key,
        conversation=conversation,
        idempotency_key=key or (None if conversation else f"key-{next(_numbers)}"),
        request_digest=digest,
    )


def book(
    intent: booking.BookingIntent, calcom: CalcomService, *, wait: float | Deadline = PATIENCE
) -> execution.Booked:
    """Book it, waiting so many seconds from when it is written down; or until a deadline, where nothing may be."""
    return booking.book(intent=intent, calcom=calcom, deadline=_deadline(wait), now=timezone.now())


def write_down(intent: booking.BookingIntent) -> Operation:
    """Commit the wish and die before anything is sent."""
    return booking.commit(intent, Deadline.after(0))


def begin(operation: Operation, calcom: CalcomService) -> OperationHandler:
    """Commit that the change is being sent, and go no further."""
    handler = handler_for(Operation.objects.with_timing().get(pk=operation.pk), calcom)
    assert handler.begin()
    return handler


def settle(operation: Operation, calcom: CalcomService) -> Operation:
    """Take the change up again, as the sweep does; return what it is then."""
    execution.settle(operation_id=operation.pk, calcom=calcom)
    return Operation.objects.select_related("appointment").get(pk=operation.pk)


def pass_time(seconds: float) -> None:
    """Let time pass for all changes: what happened is longer ago, what is due comes sooner."""
    step = timedelta(seconds=seconds)
    Operation.objects.update(
        requested_at=F("requested_at") - step,
        sent_at=F("sent_at") - step,
        client_deadline_at=F("client_deadline_at") - step,
        next_attempt_at=F("next_attempt_at") - step,
    )


def let_lists_know() -> None:
    """Let all that was booked be long enough ago for a list that is loaded now to know of it; none is loaded."""
    Claim.objects.update(changed_at=F("changed_at") - timedelta(seconds=10))
    redis_time.let_all_pass(10)


def cancel(
    appointment: Appointment,
    calcom: CalcomService,
    *,
    wait: float | Deadline = PATIENCE,
    reason: str = "",
    **asked: object,
) -> execution.Booked:
    """Cancel it, waiting as in `book`; asked by staff unless `requested_by` says otherwise."""
    return cancelling.cancel(
        appointment=appointment,
        reason=reason,
        calcom=calcom,
        deadline=_deadline(wait),
        now=timezone.now(),
        **{"requested_by": None, **asked},
    )


def reschedule(
    appointment: Appointment,
    start: datetime,
    calcom: CalcomService,
    *,
    wait: float | Deadline = PATIENCE,
    **asked: object,
) -> execution.Booked:
    """Move it, waiting as in `book`; asked by staff unless `requested_by` says otherwise."""
    return rescheduling.reschedule(
        appointment=appointment,
        start=start,
        calcom=calcom,
        deadline=_deadline(wait),
        now=timezone.now(),
        **{"requested_by": None, "reason": "", **asked},
    )


def starts_of(
    service: Service,
    calcom: CalcomService,
    first: datetime | None = None,
    last: datetime | None = None,
    *,
    now: datetime | None = None,
) -> list[datetime]:
    """Return the starts at which the service can be booked, on Tuesday unless said otherwise."""
    found = calendar_view.open_times(
        service=service,
        first=first or at(0),
        last=last or at(23, 59),
        now=now or timezone.now(),
        calcom=calcom,
        deadline=Deadline.after(PATIENCE),
    )
    return [datetime.fromtimestamp(minute * 60, UTC) for minute in found.starts]


def claims_of(appointment: Appointment) -> dict[str, str]:
    """Return whose time the appointment claims, and how certain that is."""
    return {claim.host.name: claim.kind for claim in Claim.objects.filter(appointment=appointment)}


def let_jobs_finish() -> None:
    """Wait for what goes on after its caller has gone."""
    for name in (
        "questions",
        "writes",
        "loads",
        "background",
    ):  # in the order in which they start each other
        executors._executor(name).finish()
    executors._executor.cache_clear()
    bulkhead._bulkhead.cache_clear()
