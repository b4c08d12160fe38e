"""
An appointment shall be at another time. What becomes of it at Cal.com is in `settling.py` and `remote.py`.

The new time is claimed before anything is sent, beside the old one, and the old one is given back when Cal.com has said
yes: so whoever dies on the way, the caller has one appointment.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

# Not that of functools: before Python 3.12 it holds one lock for all instances while it computes, and this one waits.
from django.utils.functional import cached_property

from bookings.availability import calendar_view
from bookings.availability.criteria import TimeCriteria
from bookings.availability.occupancy import Conflict, check_conflict, read_occupancy
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
"""How far beyond the day asked for other times are looked for. It costs the same request."""


def reschedule(
    *,
    appointment: Appointment,
    start: datetime,
    reason: str,
    requested_by: AgentKey | None,
    offer: SlotToken | None = None,
    conversation: Conversation | None = None,
    idempotency_key: str | None = None,
    request_digest: str = "",
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
) -> Booked:
    """
    Move an appointment to `start`. Whoever asks twice gets what the first request came to.

    What tells one move from another is the appointment and its place in its chain of times: from each place it moves
    once. A hold of that time by the same caller, by `offer` or in `conversation`, is used up. Without `requested_by`
    it is staff who ask, and no notice binds them.

    Raises:
        AnotherTime: not then; carries alternatives, and the appointment stands where it was.
        TryLater: nothing was changed by this request.
        AlreadyCancelled, BookingNotFound: there is nothing to move.
        RescheduleNotAllowed: the event type does not allow callers to.
        ChangeTooLate, TooManyMoves: the company does not allow it by phone.
        IdempotencyKeyReused: the key came with another request before.
        ConversationEnded: the phone call is over; nothing was changed by this request.
        ConfigurationError: staff must put something right; nothing was changed.
    """
    ask = Operation(
        company_id=appointment.company_id,
        appointment=appointment,
        kind=Operation.Kind.RESCHEDULE,
        new_start=start,
        reason=reason.strip()[:300] or "Moved by phone.",
        requested_by=requested_by,
        idempotency_key=idempotency_key or "",
        request_digest=request_digest,
    )
    earlier = _earlier(ask)
    if earlier is None:
        await_others(appointment, deadline)
        earlier = _earlier(ask)
    if earlier is not None:
        return execution.answer(execution.join(earlier, calcom.account_id, deadline), replayed=True)
    if conversation is not None and conversation.ended_at:
        raise ConversationEnded("Nothing is rescheduled in a phone call that is over.")
    _refuse_unreschedulable(ask, now)
    calendar, operation = _Calendar(ask, calcom, deadline, now), None
    try:
        if offer is not None and offer.expires_at <= now:
            raise SlotNotOffered("The offer has run out.")
        duplicate = _enter(ask, calendar, _own_holds(start, offer, conversation))
        operation = (
            execution.join(duplicate, calcom.account_id, deadline)
            if duplicate
            else execution.execute_and_wait(ask, calcom, deadline)
        )
        return execution.answer(operation, replayed=duplicate is not None)
    except AnotherTime as exc:
        # Cal.com has refused a time that its list had: others come out of a new list, or not at all.
        others = calendar if operation is None else replace(calendar)
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


# --- what was asked before ---------------------------------------------------------------------------------------


def _earlier(ask: Operation) -> Operation | None:
    """Return the change by which the same was asked before, or that brought the appointment to where it shall be."""
    if ask.idempotency_key:
        operation = execution.find_by_idempotency_key(ask.company_id, ask.idempotency_key, ask.request_digest)
        if operation is not None:
            return operation
    operations = Operation.objects.filter(appointment=ask.appointment)
    under_way = operations.open().filter(kind=Operation.Kind.RESCHEDULE, new_start=ask.new_start)
    return execution.read(under_way) or _brought_here(ask)


def _brought_here(ask: Operation) -> Operation | None:
    """Return the change that last succeeded, if the appointment is at that time; `ask` as done if there is none."""
    stands_there = Appointment.objects.filter(pk=ask.appointment.pk, state__in=PLACED_STATES, start=_new_start(ask))
    if not stands_there.exists():
        return None
    done = Operation.objects.filter(appointment=ask.appointment, state__in=_SUCCEEDED).order_by("-requested_at", "-pk")
    operation = execution.read(done)
    if operation is None:  # it was made at Cal.com
        ask.state, ask.finished_at = OperationState.DONE, timezone.now()
        ask.save()
        operation = execution.read(Operation.objects.filter(pk=ask.pk))
    return operation


# --- whether it may be moved -------------------------------------------------------------------------------------


def _refuse_unreschedulable(ask: Operation, now: datetime) -> None:
    refuse_unchangeable(ask, now)
    appointment, event_type = ask.appointment, ask.appointment.event_type
    # Cal.com does not keep the host's key from it (recorded 2026-11-30): the setting is for those who book.
    notice = timedelta(minutes=event_type.rescheduling_notice_minutes)
    if ask.requested_by and (event_type.rescheduling_disabled or appointment.start < now + notice):
        raise RescheduleNotAllowed("Callers may not reschedule it, or not so shortly before its start.")
    if ask.requested_by and appointment.reschedules >= appointment.company.max_reschedules:
        raise TooManyReschedules("It was moved as often as the company allows.")
    if appointment.service:
        calendar_view.refuse_unbookable(appointment.service)
    elif unsupported_reason := ", ".join(appointment.event_type.unsupported_reasons):
        raise ConfigurationError(unsupported_reason)


# --- when it may be ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Calendar:
    """When the appointment could be. Cal.com is asked once, for the day asked for and the week after."""

    ask: Operation
    calcom: CalcomService
    deadline: Deadline
    now: datetime

    @property
    def appointment(self) -> Appointment:
        return self.ask.appointment

    @property
    def length(self) -> timedelta:
        return self.appointment.end - self.appointment.start

    def refuse_unoffered(self) -> float | None:
        """Raise unless Cal.com would move it there; return when the list that says so was asked for, epoch seconds."""
        start = _new_start(self.ask)
        if self.rules is not None:
            self.rules.check(start)
        elif start <= self.now:
            raise DateInPast("That time has passed.")
        minute = minute_from(start)
        if EPOCH + minute * MINUTE == start and minute in self.listed:
            return self.now.timestamp()
        appointment = self.appointment
        if booking_limits.is_reached(
            appointment.event_type, start, appointment.branch.time_zone, rescheduling=appointment
        ):
            raise LimitReached("The event type takes no more bookings then.")
        if read_occupancy(self.appointment.event_type, start, start + self.length).without(self.appointment.pk).rows:
            raise SlotTaken("Somebody else has it.")
        if not self._offers_everybody(start):
            raise SlotNotOffered("Cal.com does not offer it.")
        return None

    def _offers_everybody(self, start: datetime) -> bool:
        """
        Return whether Cal.com lists the time for whoever asks, as far as that is known for certain.

        Cal.com lays starts from the beginning of a free stretch, and that of this appointment begins earlier where its
        own time counts as free: so a time that was offered to the caller may be missing in the list for the move.
        """
        listed = self.calcom.open_slots(
            event_type=self.appointment.event_type, first=start, last=start + MINUTE, deadline=Deadline.after(0)
        )
        return listed.known.verified and any(EPOCH + minute * MINUTE == start for minute in listed.starts)

    def alternatives(self) -> list[datetime]:
        """Return up to three other times, the most convenient first; none where they are not known in time."""
        start = _new_start(self.ask)
        no_others = {minute_from(start), minute_from(self.appointment.start)}
        try:
            free = self._minus_others(self._allowed(minute for minute in self.listed if minute not in no_others))
        except BookingError:
            return []
        zone = ZoneInfo(self.appointment.branch.time_zone)
        best = rank(map(Candidate, free), criteria=TimeCriteria.at(start), zone=zone, after=minute_from(self.now))
        return [EPOCH + candidate.start * MINUTE for candidate in best]

    @cached_property
    def rules(self) -> Rules | None:
        """What binds callers; an appointment that was made at Cal.com may be of no service of ours."""
        service = self.appointment.service
        return Rules.of(service, self.now, self.appointment.event_type) if service else None

    @cached_property
    def listed(self) -> Sequence[int]:
        """
        What Cal.com lists, as epoch minutes; the appointment's own time counts as free.

        Raises:
            DeadlineExceeded: it did not come in time.
            UpstreamUnavailable: Cal.com was not reached, or refuses us access.
            ConfigurationError: Cal.com refuses to say.
        """
        try:
            with bulkhead.acquire(self.calcom.account_id, self.deadline) as until:
                return self._asked(until)
        except NotInTime as exc:
            raise DeadlineExceeded("Cal.com's slots did not come in time.") from exc
        except Unavailable as exc:
            raise UpstreamUnavailable("Cal.com's slots are not known.", retry_after=exc.retry_after or 1.0) from exc
        except Refused as exc:
            if exc.reason is Reason.UNAUTHORIZED:
                raise UpstreamUnavailable("Cal.com refuses access.", access_refused=True) from exc
            raise ConfigurationError("Cal.com does not say when the appointment could be.") from exc

    def _asked(self, until: Deadline) -> Sequence[int]:
        if until.passed:  # nobody would hear the answer, and it would be a request all the same
            raise NotInTime
        start = _new_start(self.ask)
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
        Return the starts that appointments of others leave.

        FM-11: free means that the host is free, and the only appointment that does not count is the one that moves.
        """
        if not starts:
            return []
        event_type, last = self.appointment.event_type, EPOCH + starts[-1] * MINUTE + self.length
        occupancy = read_occupancy(event_type, EPOCH + starts[0] * MINUTE, last)
        loaded_at = {minute // MINUTES_A_DAY: self.now.timestamp() for minute in starts}
        return occupancy.without(self.appointment.pk).left(event_type, starts, loaded_at)


# --- writing it down ---------------------------------------------------------------------------------------------


def _enter(ask: Operation, calendar: _Calendar, kept: Q | None) -> Operation | None:
    """
    Write the move down; return the change of a twin if one was faster.

    The faster one takes the time, so a time that is not to be had any more may be where the appointment is already.
    """
    deadline = calendar.deadline
    attempts = claims.Attempts(deadline)
    while True:
        try:
            _write_down(ask, kept, deadline, calendar.refuse_unoffered())
        except AnotherTime:
            if (duplicate := _earlier(ask)) is not None:
                return duplicate
            raise
        except claims.Contention as exc:
            attempts.pause(exc)
        else:
            return None
        await_others(ask.appointment, deadline)
        if (duplicate := _earlier(ask)) is not None:
            return duplicate
        _refuse_unreschedulable(ask, calendar.now)


def _write_down(ask: Operation, kept: Q | None, deadline: Deadline, listed_at: float | None = None) -> None:
    """Commit the claims on the new time and the change: from here on it will be settled, whoever dies."""
    appointment, start = ask.appointment, _new_start(ask)
    end = start + (appointment.end - appointment.start)
    with claims.writing(appointment.event_type, deadline):
        _insist_on_its_place(appointment)
        if kept is not None:
            claims.end(Appointment.objects.held().filter(kept))
        occupancy = read_occupancy(appointment.event_type, start, end).without(appointment.pk)
        conflict, host_ids = check_conflict(occupancy, listed_at=listed_at)
        if conflict is Conflict.TAKEN:
            raise SlotTaken("Somebody else has it.")
        if occupancy.dead:
            claims.expire(occupancy.dead)
        kind = Claim.Kind.PENDING if conflict is Conflict.FREE else Claim.Kind.QUEUED
        claims.take_other_time(appointment, host_ids, kind, start, end, beside=occupancy.confirmed_hosts)
        for name, value in execution.timing(deadline).items():
            setattr(ask, name, value)
        ask.save()
    ask.just_written(in_line=kind is Claim.Kind.QUEUED)


def _insist_on_its_place(appointment: Appointment) -> None:
    """Lock the appointment where we saw it; somewhere else in its chain of times the caller's wish is another one."""
    same = Appointment.objects.select_for_update(no_key=True).filter(
        pk=appointment.pk, state=appointment.state, start=appointment.start, remote_uid=appointment.remote_uid
    )
    if not same.values_list("pk"):
        raise claims.Contention


def _own_holds(start: datetime, offer: SlotToken | None, conversation: Conversation | None) -> Q | None:
    """Return which holds keep the new time for this very caller."""
    if offer is not None:
        return Q(offers=offer)
    return None if conversation is None else Q(conversation=conversation, start=start)


def _new_start(ask: Operation) -> datetime:
    if ask.new_start is None:
        raise ValueError("A move without a new start.")
    return ask.new_start
