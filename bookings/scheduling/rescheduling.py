"""
Rescheduling an appointment. How the operation proceeds at Cal.com: `execution.py`.

The new time is claimed beside the old one before anything is sent, and the old one is given back when Cal.com has
confirmed: so after a crash at any point the caller has one appointment.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

# Not that of functools: before Python 3.12 it holds one lock for all instances while it computes, and this one waits.
from django.utils.functional import cached_property

from bookings.availability import calendar_view
from bookings.availability.criteria import TimeCriteria
from bookings.availability.occupancy import read_occupancy
from bookings.availability.ranking import Candidate, rank
from bookings.availability.rules import Rules
from bookings.errors import (
    AnotherTime,
    BookingError,
    ConfigurationError,
    ConversationEnded,
    DateInPast,
    DeadlineExceeded,
    LimitReached,
    RescheduleNotAllowed,
    SlotNotOffered,
    SlotTaken,
    TooManyReschedules,
    UpstreamUnavailable,
)
from bookings.models import (
    PLACED_STATES,
    AgentKey,
    Appointment,
    Claim,
    Conversation,
    Operation,
    OperationState,
    SlotToken,
)
from bookings.scheduling import booking_limits, claims, execution, holds
from bookings.scheduling.cancelling import await_others, refuse_unchangeable
from bookings.scheduling.execution import Booked
from cachectl.infra import bulkhead, executors
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE, MINUTES_A_DAY, minute_from
from calcom.errors import Reason, Refused, Unavailable
from calcom.service import CalcomService

_SUCCEEDED = (OperationState.DONE, OperationState.AWAITING)
SEARCHED = timedelta(days=7)
"""How far beyond the requested day alternatives are searched. It costs the same request."""


def reschedule(
    *,
    appointment: Appointment,
    start: datetime,
    reason: str,
    requested_by: AgentKey | None,
    person: User | None = None,
    offer: SlotToken | None = None,
    conversation: Conversation | None = None,
    idempotency_key: str | None = None,
    request_digest: str = "",
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> Booked:
    """
    Reschedule an appointment to `start`. Idempotent: a repeat returns the outcome of the first request.

    A repeat is a request for the same start while the appointment has the same time. A hold of the new time by the same
    caller, by `offer` or in `conversation`, is used up. Without `requested_by` the request is staff's, of
    `person`, and no notice period applies.

    Raises:
        AnotherTime: the slot cannot be had; carries alternatives, and the appointment keeps its time.
        TryLater: nothing was changed by this request.
        AlreadyCancelled, BookingNotFound: there is nothing to reschedule.
        RescheduleNotAllowed: the event type does not allow callers to.
        ChangeTooLate, TooManyReschedules: the company does not allow it by phone.
        IdempotencyKeyReused: the key came with another request before.
        ConversationEnded: the phone call is over; nothing was changed by this request.
        ConfigurationError: staff must change a setting; nothing was changed.
    """
    operation = Operation(
        company_id=appointment.company_id,
        appointment=appointment,
        kind=Operation.Kind.RESCHEDULE,
        new_start=start,
        reason=reason.strip()[:300] or "Rescheduled by phone.",
        requested_by=requested_by,
        person=person,
        idempotency_key=idempotency_key or "",
        request_digest=request_digest,
    )
    earlier = _earlier(operation)
    if earlier is None:
        await_others(appointment, deadline)
        earlier = _earlier(operation)
    if earlier is not None:
        return execution.answer(execution.wait_for(earlier, calcom.account_id, deadline), replayed=True)
    if conversation is not None and conversation.ended_at:
        raise ConversationEnded("Nothing is rescheduled in a phone call that is over.")
    _refuse_unreschedulable(operation, now)
    calendar, outcome = _Calendar(operation, calcom, deadline, now), None
    try:
        if offer is not None and offer.expires_at <= now:
            raise SlotNotOffered("The offer has run out.")
        duplicate = _commit_once(operation, calendar, _own_holds(start, offer, conversation))
        if duplicate is not None:
            outcome = execution.wait_for(duplicate, calcom.account_id, deadline)
        else:
            outcome = execution.execute_and_wait(operation, calcom, deadline)
        return execution.answer(outcome, replayed=duplicate is not None)
    except AnotherTime as exc:
        # If Cal.com has refused a time that its list had, alternatives come from a new list.
        others = calendar if outcome is None else replace(calendar)
        exc.alternatives = tuple(others.alternatives())
        if appointment.service is not None:
            exc.tokens = holds.tokens_of_others(
                exc,
                company=appointment.company,
                conversation=conversation,
                service=appointment.service,
                event_type=appointment.event_type,
                now=now,
            )
        raise


# --- earlier requests --------------------------------------------------------------------------------------------


def _earlier(operation: Operation) -> Operation | None:
    """Return the operation of an earlier request for the same, or the one that gave the appointment this time."""
    earlier = execution.find_by_idempotency_key(
        operation.company_id, operation.idempotency_key, operation.request_digest
    )
    same = Operation.objects.open().filter(
        appointment=operation.appointment, kind=Operation.Kind.RESCHEDULE, new_start=operation.new_start
    )
    return earlier or execution.read(same) or _last_done(operation)


def _last_done(operation: Operation) -> Operation | None:
    """Return the last operation that succeeded, if the appointment has that time; else `operation` itself as done."""
    appointment = operation.appointment
    if not Appointment.objects.filter(pk=appointment.pk, state__in=PLACED_STATES, start=_new_start(operation)).exists():
        return None
    succeeded = Operation.objects.filter(appointment=appointment, state__in=_SUCCEEDED)
    last = execution.read(succeeded.order_by("-requested_at", "-pk"))
    if last is None:  # it was made at Cal.com
        operation.state, operation.finished_at = OperationState.DONE, timezone.now()
        operation.save()
        last = execution.read(Operation.objects.filter(pk=operation.pk))
    return last


# --- whether it may be rescheduled -------------------------------------------------------------------------------


def _refuse_unreschedulable(operation: Operation, now: datetime) -> None:
    refuse_unchangeable(operation, now)
    appointment, event_type = operation.appointment, operation.appointment.event_type
    # Cal.com does not enforce it for the host's key (recorded 2026-11-30): the setting is for attendees.
    notice = timedelta(minutes=event_type.rescheduling_notice_minutes)
    if operation.requested_by and (event_type.rescheduling_disabled or appointment.start < now + notice):
        raise RescheduleNotAllowed("Callers may not reschedule it, or not so shortly before its start.")
    if operation.requested_by and appointment.reschedules >= appointment.company.max_reschedules:
        raise TooManyReschedules("It was rescheduled as often as the company allows.")
    if appointment.service:
        calendar_view.refuse_unbookable(appointment.service)
    elif unsupported_reason := ", ".join(appointment.event_type.unsupported_reasons):
        raise ConfigurationError(unsupported_reason)


# --- free starts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calendar:
    """The free starts for the appointment. Cal.com is asked once, for the requested day and the week after."""

    operation: Operation
    calcom: CalcomService
    deadline: Deadline
    now: datetime

    @property
    def appointment(self) -> Appointment:
        return self.operation.appointment

    @property
    def length(self) -> timedelta:
        return self.appointment.end - self.appointment.start

    def refuse_unoffered(self) -> float | None:
        """Raise unless Cal.com lists the new time. Returns when that list was loaded, in epoch seconds, or None."""
        start = _new_start(self.operation)
        if self.rules is not None:
            self.rules.check(start)
        elif start <= self.now:
            raise DateInPast("That time has passed.")
        minute = minute_from(start)
        if EPOCH + minute * MINUTE == start and minute in self.starts:
            return self.now.timestamp()
        appointment = self.appointment
        if booking_limits.is_reached(
            appointment.event_type, start, appointment.branch.time_zone, rescheduling=appointment
        ):
            raise LimitReached("The event type takes no more bookings then.")
        if read_occupancy(self.appointment.event_type, start, start + self.length).without(self.appointment.pk).rows:
            raise SlotTaken("Another appointment has it.")
        if not self._is_listed_for_new_bookings(start):
            raise SlotNotOffered("Cal.com does not offer it.")
        return None

    def _is_listed_for_new_bookings(self, start: datetime) -> bool:
        """
        Return whether Cal.com certainly lists the time for new bookings.

        Cal.com lays starts from the beginning of a free stretch, which begins earlier if the appointment's own time
        counts as free: so a time that was offered to the caller may be missing in the list for the reschedule.
        """
        listed = self.calcom.open_slots(
            event_type=self.appointment.event_type, first=start, last=start + MINUTE, deadline=Deadline.after(0)
        )
        return listed.known.verified and any(EPOCH + minute * MINUTE == start for minute in listed.starts)

    def alternatives(self) -> list[datetime]:
        """Return up to three other times, the most convenient first; none if they are not known in time."""
        start = _new_start(self.operation)
        no_others = {minute_from(start), minute_from(self.appointment.start)}
        try:
            free = self._minus_others(self._allowed(minute for minute in self.starts if minute not in no_others))
        except BookingError:
            return []
        zone = ZoneInfo(self.appointment.branch.time_zone)
        best = rank(map(Candidate, free), criteria=TimeCriteria.at(start), zone=zone, after=minute_from(self.now))
        return [EPOCH + candidate.start * MINUTE for candidate in best]

    @cached_property
    def rules(self) -> Rules | None:
        """The rules of its service; None for an appointment made at Cal.com that is of no service."""
        service = self.appointment.service
        return Rules.of(service, self.now, self.appointment.event_type) if service else None

    @cached_property
    def starts(self) -> Sequence[int]:
        """
        The starts that Cal.com lists, as epoch minutes; the appointment's own time counts as free.

        Raises:
            DeadlineExceeded: it did not come in time.
            UpstreamUnavailable: Cal.com was not reached, or refuses access.
            ConfigurationError: Cal.com refuses the request.
        """
        try:
            with bulkhead.acquire(self.calcom.account_id, self.deadline) as until:
                return self._load(until)
        except NotInTime as exc:
            raise DeadlineExceeded("Cal.com's slots did not come in time.") from exc
        except Unavailable as exc:
            raise UpstreamUnavailable("Cal.com's slots are not known.", retry_after=exc.retry_after or 1.0) from exc
        except Refused as exc:
            if exc.reason is Reason.UNAUTHORIZED:
                raise UpstreamUnavailable("Cal.com refuses access.", access_refused=True) from exc
            raise ConfigurationError("Cal.com does not say when the appointment could be.") from exc

    def _load(self, until: Deadline) -> Sequence[int]:
        if until.passed:  # it would cost a request without a client that waits
            raise NotInTime
        start = _new_start(self.operation)
        first = max(start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0), self.now)
        job = executors.submit_load(
            self.calcom.account_id,
            self.calcom.open_slots_for_reschedule,
            event_type=self.appointment.event_type,
            uid=self.appointment.remote_uid,
            first=first,
            last=max(first, start) + SEARCHED,
        )
        return job.result(timeout=until.left)

    def _allowed(self, starts: Iterable[int]) -> list[int]:
        starts = list(starts)
        if self.rules is None or not starts:
            return starts
        first, last = EPOCH + starts[0] * MINUTE, EPOCH + starts[-1] * MINUTE
        first, last = max(first, self.rules.earliest), min(last, self.rules.latest)
        within = [minute for minute in starts if first <= EPOCH + minute * MINUTE <= last]
        return self.rules.allowed(within, first, last)

    def _minus_others(self, starts: Sequence[int]) -> list[int]:
        """
        Return the starts that other appointments leave.

        FM-11: free means that the host is free; only the appointment that is rescheduled does not count.
        """
        if not starts:
            return []
        event_type, last = self.appointment.event_type, EPOCH + starts[-1] * MINUTE + self.length
        occupancy = read_occupancy(event_type, EPOCH + starts[0] * MINUTE, last)
        loaded_at = {minute // MINUTES_A_DAY: self.now.timestamp() for minute in starts}
        return occupancy.without(self.appointment.pk).left(event_type, starts, loaded_at)


# --- committing --------------------------------------------------------------------------------------------------


def _commit_once(operation: Operation, calendar: _Calendar, own_holds: Q | None) -> Operation | None:
    """
    Commit the operation; return that of a concurrent duplicate instead, if there is one.

    The faster one takes the time, so a refusal may be the effect of a duplicate.
    """
    deadline = calendar.deadline
    attempts = claims.Attempts(deadline)
    while True:
        try:
            commit(operation, own_holds, deadline, calendar.refuse_unoffered())
        except AnotherTime:
            if (duplicate := _earlier(operation)) is not None:
                return duplicate
            raise
        except claims.Contention as exc:
            attempts.pause(exc)
        else:
            return None
        await_others(operation.appointment, deadline)
        if (duplicate := _earlier(operation)) is not None:
            return duplicate
        _refuse_unreschedulable(operation, calendar.now)


def commit(operation: Operation, own_holds: Q | None, deadline: Deadline, listed_at: float | None = None) -> None:
    """Commit the claims on the new time and the operation: from then on a worker settles it, whatever fails here."""
    appointment, start = operation.appointment, _new_start(operation)
    end = start + (appointment.end - appointment.start)
    with claims.writing(appointment.event_type, deadline):
        _lock_unchanged(appointment)
        if own_holds is not None:
            claims.end_holds(Appointment.objects.held().filter(own_holds))
        free = claims.find_hosts(appointment.event_type, start, end, listed_at=listed_at, own_id=appointment.pk)
        claims.take_other_time(appointment, free.host_ids, free.kind, start, end, beside=free.beside)
        for name, value in execution.timing(deadline).items():
            setattr(operation, name, value)
        operation.save()
    operation.just_written(in_line=free.kind is Claim.Kind.QUEUED)


def _lock_unchanged(appointment: Appointment) -> None:
    """Lock the appointment's row. Raises `Contention` if it was changed, because the request may mean another thing."""
    same = Appointment.objects.select_for_update(no_key=True).filter(
        pk=appointment.pk, state=appointment.state, start=appointment.start, remote_uid=appointment.remote_uid
    )
    if not same.values_list("pk"):
        raise claims.Contention


def _own_holds(start: datetime, offer: SlotToken | None, conversation: Conversation | None) -> Q | None:
    """Return the filter of the holds that keep the new time for this caller, None if there can be none."""
    if offer is not None:
        return Q(offers=offer)
    return None if conversation is None else Q(conversation=conversation, start=start)


def _new_start(operation: Operation) -> datetime:
    if operation.new_start is None:
        raise ValueError("A reschedule without a new start.")
    return operation.new_start
