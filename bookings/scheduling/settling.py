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
from bookings.models import SILENCE, Appointment, Change, ChangeState, Claim
from bookings.scheduling import claims, confirmation
from bookings.scheduling.cases import NOT_IN_TIME, REFUSALS, UNSETTLED, Case, Refusal
from bookings.scheduling.handlers import case_of
from calcom.errors import CalcomError, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.service import CalcomService
from calcom.types import RemoteBooking

# Refusals of a time that a list had: the list is none any more.
_REFUTE_THE_LIST = frozenset({Reason.NOT_AVAILABLE, Reason.OUT_OF_BOUNDS, Reason.LIMIT_REACHED})


def settle(*, change_id: int, calcom: CalcomService) -> None:
    """Bring an open change as far as it goes now. Safe at any moment, twice, and from several processes."""
    case = _take_up(change_id, calcom)
    if case is None:
        return
    if case.change.state == ChangeState.AWAITING:
        _await_host(case)
    elif case.change.state == ChangeState.QUEUED:
        send(case)
    elif case.change.state == ChangeState.UNKNOWN or case.change.is_silent:
        _find_out(case)


def hear(*, change_id: int, remote: RemoteBooking, calcom: CalcomService) -> None:
    """Settle an open change by what Cal.com has of it, told by a webhook or read there before it answered us."""
    case = _take_up(change_id, calcom)
    if case is not None and case.change.state != ChangeState.AWAITING:
        sent_at = case.change.sent_at
        case.hear(remote, took=timezone.now() - sent_at if sent_at else None)


def decide(*, appointment: Appointment, remote: RemoteBooking, calcom: CalcomService) -> bool:
    """Write down what the host has decided; return False if the appointment does not wait for that any more."""
    waiting = Change.objects.filter(appointment=appointment, state=ChangeState.AWAITING).first()
    case = None if waiting is None else _take_up(waiting.pk, calcom)
    return case is not None and confirmation.decide(case, remote)


def _await_host(case: Case) -> None:
    """Stop waiting for the host at the start; that may be later by now than when it was written down."""
    if case.appointment.start > timezone.now():
        Change.objects.filter(pk=case.change.pk).update(next_attempt_at=case.appointment.start)
    else:
        confirmation.decline(case, case.appointment.remote_uid, NOT_IN_TIME)


def _take_up(change_id: int, calcom: CalcomService) -> Case | None:
    relations = "appointment__event_type", "appointment__service__branch"
    change = Change.objects.pending().judged_now().select_related(*relations).filter(pk=change_id).first()
    return None if change is None else case_of(change, calcom)


# --- sending -----------------------------------------------------------------------------------------------------


def send(case: Case) -> None:
    """Ask Cal.com, once, and write down what came of it."""
    if case.is_too_late:
        case.give_up()
        return
    if not (_has_its_turn(case) and begin(case)):
        return
    began = time.monotonic()
    try:
        remote = case.ask()
    except Unavailable as exc:
        case.later(ChangeState.QUEUED, exc.retry_after, error=str(exc))
    except OutcomeUnknown as exc:
        case.later(ChangeState.UNKNOWN, error=str(exc))
    except Refused as exc:
        _hear_refusal(case, exc.reason)
    else:
        case.hear(remote, took=timedelta(seconds=time.monotonic() - began))


def _has_its_turn(case: Case) -> bool:
    """Return whether no write is in flight that could touch the same host; see Note [Two writes in flight]."""
    if case.is_secured:
        return True
    appointment = case.appointment
    try:
        with claims.writing(appointment.event_type):
            occupancy = read_occupancy(appointment.event_type, case.start, case.end).without(appointment.pk)
            conflict, host_ids = check_conflict(occupancy, ahead_of=appointment.pk)
            if conflict is Conflict.FREE:
                case.secure(host_ids)
    except claims.Contention:
        conflict = Conflict.WAIT
    if conflict is Conflict.TAKEN:
        case.refuse(Reason.NOT_AVAILABLE)
    elif conflict is Conflict.WAIT:
        case.later(ChangeState.QUEUED)
    return conflict is Conflict.FREE


def ahead_of(case: Case) -> Change | None:
    """Return an open change that ends before the case's turn comes, the last one in line; None if there is none."""
    appointment = case.appointment
    first, last = with_buffers(appointment.event_type, case.start, case.end)
    in_the_way = Claim.objects.overlapping(appointment.event_type.hosts.values("pk"), first, last)
    goes_first = Q(kind=Claim.Kind.PENDING) | Q(kind=Claim.Kind.QUEUED, appointment__lt=appointment.pk)
    others = in_the_way.filter(goes_first).exclude(appointment=appointment)
    return Change.objects.open().filter(appointment__in=others.values("appointment")).order_by("appointment").last()


def begin(case: Case) -> bool:
    """Say that it is being sent, before it is; return whether nobody else did."""
    change = case.change
    return change.move_on(
        to=ChangeState.SENDING,
        attempts=change.attempts + 1,
        inconclusive_answers=change.inconclusive_answers,
        sent_at=Now(),
        next_attempt_at=Now() + SILENCE,
    )


def _hear_refusal(case: Case, reason: Reason) -> None:
    """Write the refusal down, unless the booking is not what it was, or our own earlier send is what refuses us."""
    refusal = REFUSALS[reason]
    may_have_changed = case.names_a_booking and refusal is not Refusal.FINAL
    sent_before = case.change.attempts > 1
    if (may_have_changed or sent_before) and _look_up(case, only_refused=not sent_before):
        return
    if may_have_changed and refusal is Refusal.REPEATED_IF_UNCHANGED:
        case.try_again(ChangeState.QUEUED, otherwise=UNSETTLED)  # it was refused, so nothing is on its way
    else:
        case.refuse(reason, list_was_wrong=reason in _REFUTE_THE_LIST)


# --- finding out -------------------------------------------------------------------------------------------------


def _find_out(case: Case) -> None:
    """Look up what became of a send without a clear answer; send again only what is proven absent."""
    if _look_up(case):
        return
    if not case.may_be_repeated:
        case.later(ChangeState.UNKNOWN)
    elif case.is_too_late or case.may_try_again(otherwise=UNSETTLED):
        send(case)


def _look_up(case: Case, *, only_refused: bool = False) -> bool:
    """Look up what became of it and write that down. Returns False if nothing did: the booking is where it was."""
    try:
        remote = case.look_up(only_refused=only_refused)
    except Refused as exc:
        if exc.reason is Reason.NOT_FOUND:
            case.hear_missing()
        elif case.is_too_late:
            case.give_up()
        else:
            case.try_again(ChangeState.UNKNOWN, otherwise=exc.reason)
    except CalcomError as exc:
        case.wait_for_news(error=str(exc))
    else:
        if remote is None:
            return False
        case.hear(remote)
    return True
