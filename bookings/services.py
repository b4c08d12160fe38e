"""Every change that somebody asks for: book, cancel. What becomes of it at Cal.com is in `settling.py`."""

import hashlib
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from django.db import IntegrityError, transaction
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now
from django.utils import timezone

from bookings import claims, search, settling
from bookings.attendees import customer_for
from bookings.errors import (
    AlreadyCancelled,
    AnotherTime,
    BookingError,
    BookingNotFound,
    ConfigurationError,
    DateInPast,
    DeadlineExceeded,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    SlotNotOffered,
    SlotTaken,
    TooSoon,
    UpstreamUnavailable,
)
from bookings.models import (
    OPEN_STATES,
    AgentKey,
    Appointment,
    AppointmentState,
    Change,
    ChangeQuerySet,
    ChangeState,
    Claim,
    Company,
    Conversation,
    Service,
)
from bookings.offers import Rules
from cachectl import background
from cachectl.deadline import Deadline
from calcom.errors import Reason
from calcom.ranges import EPOCH, MINUTE
from calcom.service import CalcomService
from calcom.types import RemoteState

log = structlog.get_logger(__name__)

# Whoever asked sends it at once; the sweep takes over when that did not happen.
HEAD_START = timedelta(seconds=5)
# Seconds between two looks at a write that somebody else is working on.
PAUSE = 0.1


@dataclass(frozen=True)
class Wish:
    """
    What somebody asks for.

    A conversation or an idempotency key says which requests are the same wish; one of them is needed.
    """

    company: Company
    service: Service
    start: datetime
    attendee_name: str = field(repr=False)
    attendee_phone: str | None = field(default=None, repr=False)
    """E.164."""
    attendee_email: str | None = field(default=None, repr=False)
    language: str = ""
    notes: str = field(default="", repr=False)
    agent_key: AgentKey | None = None
    conversation: Conversation | None = None
    idempotency_key: str | None = None
    request_digest: str = ""
    """What came with that key."""

    def __post_init__(self) -> None:
        """Refuse what could be booked twice."""
        if self.conversation is None and not self.idempotency_key:
            raise ValueError("A wish needs a conversation or an idempotency key.")

    @property
    def end(self) -> datetime:
        """When the appointment would end."""
        return self.start + self.service.event_type.length_minutes * MINUTE

    @property
    def identity(self) -> str:
        """Return what is equal for repeats of one wish: never raw arguments, never who comes."""
        asked_in = self.conversation.public_id if self.conversation else f"key {self.idempotency_key}"
        start = self.start.astimezone(UTC).isoformat()
        parts = (str(self.company.pk), asked_in, Change.Operation.CREATE, str(self.service.pk), "", start)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Booked:
    """What a request came to. Its change is open where Cal.com has not said yes in time: then nothing is promised."""

    appointment: Appointment
    change: Change
    replayed: bool = False
    """An earlier request had asked for the same."""

    @property
    def is_settled(self) -> bool:
        """Return whether Cal.com has said yes."""
        return self.change.state == ChangeState.DONE


def book(*, wish: Wish, calcom: CalcomService, deadline: Deadline, now: datetime) -> Booked:
    """
    Book what `wish` asks for.

    The same wish never books twice: a repeat gets what the first request came to. At the deadline the answer is what is
    known then; the booking goes on, and its change says what became of it.

    Raises:
        AnotherTime: not then; carries alternatives.
        TryLater: nothing was booked by this request.
        IdempotencyKeyReused: the key came with another request before.
        ConfigurationError: staff must put something right; nothing was booked.
    """
    try:
        change, is_repeat = _earlier(wish), True
        if change is None:
            change, is_repeat = _enter(wish, calcom, deadline, now)
        change = _join(change, deadline) if is_repeat else _pursue(change, calcom, deadline)
        return _answer(change, replayed=is_repeat)
    except AnotherTime as exc:
        exc.alternatives = tuple(
            search.alternatives(service=wish.service, wished=wish.start, now=now, calcom=calcom, deadline=deadline)
        )
        raise


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
        DateInPast, TooSoon: it has begun, or begins too soon to be cancelled by phone.
        IdempotencyInProgress: it is just being booked; try again.
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
            return _answer(ask)
        _await_booking(appointment, deadline)
        earlier = _earlier_cancel(ask)
    if earlier is None:
        _refuse_uncancellable(appointment, asked_by, now)
        earlier = _queue(ask, deadline)
    if earlier is not None:
        return _answer(_join(earlier, deadline), replayed=True)
    return _answer(_pursue(ask, calcom, deadline))


# --- what was asked before ---------------------------------------------------------------------------------------


def _earlier(wish: Wish) -> Change | None:
    """Return the change that this wish led to before, as long as its appointment lives or its key is known."""
    if wish.idempotency_key:
        change = _under_key(wish.company.pk, wish.idempotency_key, wish.request_digest)
        if change is not None or wish.conversation is None:
            return change
    live = Appointment.objects.live().filter(company=wish.company, wish=wish.identity)
    return _read(Change.objects.filter(appointment__in=live, operation=Change.Operation.CREATE))


def _earlier_cancel(ask: Change) -> Change | None:
    """Return the change by which the same was asked before: an appointment is cancelled once."""
    if ask.idempotency_key:
        change = _under_key(ask.company_id, ask.idempotency_key, ask.request_digest)
        if change is not None:
            return change
    asked = Change.objects.filter(appointment=ask.appointment, operation=Change.Operation.CANCEL)
    return _read(asked.exclude(state=ChangeState.REFUSED))


def _under_key(company_id: int, key: str, digest: str) -> Change | None:
    change = _read(Change.objects.filter(company_id=company_id, idempotency_key=key))
    if change is None:
        return None
    if change.request_digest != digest:
        raise IdempotencyKeyReused("The key came with another request before.")
    if change.state in OPEN_STATES and change.is_awaited:
        raise IdempotencyInProgress("The first request with this key still runs.")
    return change


def _read(changes: ChangeQuerySet) -> Change | None:
    """Return the one change of the query with all that an answer says of it. There mostly is none, at little cost."""
    change_id = changes.values_list("pk", flat=True).first()
    return None if change_id is None else _whole(change_id)


def _whole(change_id: int) -> Change:
    relations = "appointment__branch", "appointment__service"
    return Change.objects.judged_now().select_related(*relations).get(pk=change_id)


# --- entering a wish ---------------------------------------------------------------------------------------------


def _enter(wish: Wish, calcom: CalcomService, deadline: Deadline, now: datetime) -> tuple[Change, bool]:
    """
    Write the wish down and return its change, or a twin's who was faster, and whether it is that.

    Who is faster takes the slot, so a slot that is not to be had any more may well be this very wish's.
    """
    search.refuse_unbookable(wish.service)
    while True:
        try:
            _refuse_unoffered(wish, calcom, deadline, now)
            return _write_down(wish, deadline), False
        except (AnotherTime, claims.Contention) as exc:
            twin = _earlier(wish)
            if twin is not None:
                return twin, True
            if isinstance(exc, AnotherTime):
                raise
            if deadline.passed:
                raise DeadlineExceeded("Too many write at once.") from exc


def _refuse_unoffered(wish: Wish, calcom: CalcomService, deadline: Deadline, now: datetime) -> None:
    """Raise why not, unless Cal.com lists the slot. Costs no request where its day is known."""
    Rules.of(wish.service, now).check(wish.start)
    event_type = wish.service.event_type
    listed = calcom.open_slots(event_type=event_type, first=wish.start, last=wish.start + MINUTE, deadline=deadline)
    if any(EPOCH + start * MINUTE == wish.start for start in listed.starts):
        return
    if listed.known.failure == "deadline":
        raise DeadlineExceeded("Cal.com's slots did not come in time.")
    if not listed.known.verified:
        raise UpstreamUnavailable("Cal.com's slots are not known.", retry_after=listed.known.retry_after or 1.0)
    if claims.read(event_type, wish.start, wish.end).rows:
        raise SlotTaken("Somebody else has it.")
    raise SlotNotOffered("Cal.com does not offer it.")


def _write_down(wish: Wish, deadline: Deadline) -> Change:
    """Commit the appointment, its claims and its change: from here on it will be settled, whoever dies."""
    event_type = wish.service.event_type
    with claims.writing(event_type):
        occupancy = claims.read(event_type, wish.start, wish.end)
        verdict, host_ids = claims.judge(occupancy)
        if verdict is claims.Verdict.TAKEN:
            raise SlotTaken("Somebody else has it.")
        if occupancy.dead:
            claims.expire(occupancy.dead)
        appointment = _new_appointment(wish)
        is_free = verdict is claims.Verdict.FREE
        claims.take(appointment, host_ids, Claim.Kind.PENDING if is_free else Claim.Kind.QUEUED)
        return Change.objects.create(
            company=wish.company,
            appointment=appointment,
            operation=Change.Operation.CREATE,
            asked_by=wish.agent_key,
            idempotency_key=wish.idempotency_key or "",
            request_digest=wish.request_digest,
            **_timing(deadline),
        )


def _new_appointment(wish: Wish) -> Appointment:
    customer, address = customer_for(
        company=wish.company,
        name=wish.attendee_name,
        phone=wish.attendee_phone,
        email=wish.attendee_email,
        language=wish.language,
    )
    return Appointment.objects.create(
        company=wish.company,
        branch=wish.service.branch,
        service=wish.service,
        event_type=wish.service.event_type,
        customer=customer,
        conversation=wish.conversation,
        state=AppointmentState.PENDING,
        start=wish.start,
        end=wish.end,
        attendee_name=wish.attendee_name,
        attendee_email=address,
        attendee_phone=wish.attendee_phone,
        language=wish.language,
        notes=wish.notes,
        wish=wish.identity,
    )


def _timing(deadline: Deadline) -> dict[str, CombinedExpression]:
    return {"answer_by": Now() + timedelta(seconds=deadline.left), "next_attempt_at": Now() + HEAD_START}


# --- cancelling --------------------------------------------------------------------------------------------------


def _withdraw(ask: Change) -> bool:
    """Take back a booking that has not left for Cal.com; return whether there was one."""
    booking = Change.objects.filter(
        appointment=ask.appointment, operation=Change.Operation.CREATE, state=ChangeState.QUEUED
    ).first()
    if booking is None:
        return False
    with transaction.atomic(durable=True):
        if not booking.move_on(to=ChangeState.REFUSED, outcome=settling.WITHDRAWN, finished_at=Now()):
            return False
        ask.appointment.move_on(to=AppointmentState.CANCELLED, changed_at=Now())
        claims.release(ask.appointment)
        ask.state, ask.finished_at = ChangeState.DONE, timezone.now()
        ask.save()
    return True


def _await_booking(appointment: Appointment, deadline: Deadline) -> None:
    """Wait for a booking that is on its way: only what is there can be cancelled."""
    change = _read(Change.objects.open().filter(appointment=appointment))
    if change is not None and _join(change, deadline).state in OPEN_STATES:
        raise IdempotencyInProgress("The appointment is just being changed.")
    appointment.refresh_from_db(fields=["state", "start", "remote_uid"])


def _refuse_uncancellable(appointment: Appointment, asked_by: AgentKey | None, now: datetime) -> None:
    if appointment.state == AppointmentState.CANCELLED:
        raise AlreadyCancelled("It was cancelled before, at Cal.com.")
    if appointment.state in {AppointmentState.HELD, AppointmentState.REJECTED, AppointmentState.EXPIRED}:
        raise BookingNotFound("It was never booked.")
    if appointment.state != AppointmentState.CONFIRMED or appointment.start <= now:
        raise DateInPast("It has begun already.")
    if asked_by and appointment.start < now + timedelta(hours=appointment.company.cancel_notice_hours):
        raise TooSoon("It is too late to cancel it by phone.")


def _queue(ask: Change, deadline: Deadline) -> Change | None:
    """Write the cancellation down; return the change of a twin if one was faster."""
    for name, value in _timing(deadline).items():
        setattr(ask, name, value)
    try:
        ask.save()
    except IntegrityError as exc:
        twin = _earlier_cancel(ask)
        if twin is None:
            raise IdempotencyInProgress("The appointment is just being changed.") from exc
        return twin
    return None


# --- waiting for Cal.com -----------------------------------------------------------------------------------------


def _pursue(change: Change, calcom: CalcomService, deadline: Deadline) -> Change:
    """
    Have the change settled on a thread of its own, and return it as it is then, or as it is at the deadline.

    Whoever stops waiting stops nothing. A change that waits in line tries again until its turn has come.
    """
    while True:
        job = background.submit_write(settling.settle, change_id=change.pk, calcom=calcom)
        job.add_done_callback(_tell_crash)
        wait([job], timeout=deadline.left)
        change.refresh_from_db(fields=["state", "attempts", "outcome", "finished_at", "took"])
        change.appointment.refresh_from_db(fields=["state", "end", "host", "remote_uid", "changed_at"])
        waits_in_line = change.state == ChangeState.QUEUED and not change.attempts
        if deadline.passed or not waits_in_line:
            return change
        time.sleep(min(PAUSE, deadline.left))


def _tell_crash(job: "Future[None]") -> None:
    """A crash between two steps is like a dead process: the sweep goes on from the row."""
    if (exc := job.exception()) is not None:
        log.error("settling crashed", exc_info=exc)


def _join(change: Change, deadline: Deadline) -> Change:
    """Wait until the deadline for a change that somebody else is working on, and return it as it is then."""
    while change.state in OPEN_STATES and not deadline.passed:
        time.sleep(min(PAUSE, deadline.left))
        change = _whole(change.pk)
    return change


# --- answering ---------------------------------------------------------------------------------------------------

_REFUSALS: Mapping[str, type[BookingError]] = {
    Reason.NOT_AVAILABLE: SlotTaken,
    settling.FOREIGN: SlotTaken,
    Reason.OUT_OF_BOUNDS: SlotNotOffered,
    settling.OTHER_START: SlotNotOffered,
    RemoteState.CANCELLED: SlotNotOffered,
    RemoteState.REJECTED: SlotNotOffered,
    Reason.IN_PAST: DateInPast,
    Reason.ALREADY_ENDED: DateInPast,
    settling.NOT_IN_TIME: DateInPast,
    settling.WITHDRAWN: AlreadyCancelled,
}


def _answer(change: Change, *, replayed: bool = False) -> Booked:
    """Return what the change came to, or raise why it came to nothing."""
    if change.state == ChangeState.REFUSED:
        refusal = _REFUSALS.get(change.outcome, ConfigurationError)
        raise refusal(f"Cal.com did not accept it ({change.outcome}).")
    return Booked(change.appointment, change, replayed)
