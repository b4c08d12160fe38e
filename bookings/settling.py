"""
What becomes of a change at Cal.com: it is sent, its answer is heard, and where none came it is found out.

Each step is committed before the next one begins, so that whoever dies in between leaves a row from which somebody
else can go on: `queued` was not sent; `sending` and `unknown` may have been, and are looked up before they are sent
again.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from bookings import claims
from bookings.attendees import new_booking
from bookings.models import SILENCE, Appointment, AppointmentState, CallbackRequest, Change, ChangeState, Claim
from cachectl.models import Forgetting
from calcom.errors import CalcomError, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.models import Host
from calcom.service import CalcomService
from calcom.types import RemoteBooking, RemoteState

log = structlog.get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(seconds=60)

# Outcomes beside Cal.com's own reasons.
FOREIGN = "foreign_booking"
OTHER_START = "other_start"
NOT_IN_TIME = "not_in_time"
WITHDRAWN = "withdrawn"
_STAFF_MUST_ACT = {Reason.UNAUTHORIZED, Reason.INVALID}
_GONE = {Reason.ALREADY_CANCELLED, Reason.ALREADY_MOVED, Reason.NOT_FOUND}


@dataclass(frozen=True)
class _Case:
    """An open change, judged when we took it up."""

    change: Change
    calcom: CalcomService

    @property
    def appointment(self) -> Appointment:
        return self.change.appointment

    @property
    def is_cancel(self) -> bool:
        return self.change.operation == Change.Operation.CANCEL

    @property
    def host_ids(self) -> list[int]:
        """Who could have been chosen."""
        return list(self.appointment.event_type.hosts.order_by("pk").values_list("pk", flat=True))

    def tell(self, event: str, *, outcome: str, alert: bool = False) -> None:
        """Write a line to the log; nothing in it is personal."""
        (log.error if alert else log.info)(
            event,
            operation=self.change.operation,
            outcome=outcome,
            appointment_id=self.appointment.public_id,
            change_id=self.change.pk,
            attempts=self.change.attempts,
        )


def settle(*, change_id: int, calcom: CalcomService) -> None:
    """Bring an open change as far as it goes now. Safe at any moment, twice, and from several processes."""
    relations = "appointment__event_type", "appointment__service__branch"
    change = Change.objects.open().judged_now().select_related(*relations).filter(pk=change_id).first()
    if change is None:
        return
    case = _Case(change, calcom)
    if change.state == ChangeState.QUEUED:
        _send(case)
    elif change.state == ChangeState.UNKNOWN or change.is_silent:
        _find_out(case)


# --- sending -----------------------------------------------------------------------------------------------------


def _send(case: _Case) -> None:
    """Ask Cal.com, once, and write down what came of it."""
    if case.change.is_late and not case.is_cancel:
        _give_up(case)
        return
    if not (_has_its_turn(case) and _begin(case)):
        return
    began = time.monotonic()
    try:
        remote = _ask(case)
    except Unavailable as exc:
        _later(case, ChangeState.QUEUED, exc.retry_after)
    except OutcomeUnknown:
        _later(case, ChangeState.UNKNOWN)
    except Refused as exc:
        _hear_refusal(case, exc.reason)
    else:
        _hear(case, remote, took=timedelta(seconds=time.monotonic() - began))


def _has_its_turn(case: _Case) -> bool:
    """Return whether no write is in flight that could touch the same host; see Note [Two writes in flight]."""
    if not case.change.is_in_line:
        return True
    appointment = case.appointment
    try:
        with claims.writing(appointment.event_type):
            occupancy = claims.read(appointment.event_type, appointment.start, appointment.end)
            verdict, host_ids = claims.judge(occupancy, ahead_of=appointment.pk)
            if verdict is claims.Verdict.FREE:
                claims.release(appointment)
                claims.take(appointment, host_ids, Claim.Kind.PENDING)
    except claims.Contention:
        verdict = claims.Verdict.WAIT
    if verdict is claims.Verdict.TAKEN:
        _reject(case, Reason.NOT_AVAILABLE, list_was_wrong=False)
    elif verdict is claims.Verdict.WAIT:
        _later(case, ChangeState.QUEUED)
    return verdict is claims.Verdict.FREE


def _begin(case: _Case) -> bool:
    """Say that it is being sent, before it is; return whether nobody else did."""
    change = case.change
    return change.move_on(
        to=ChangeState.SENDING, attempts=change.attempts + 1, sent_at=Now(), next_attempt_at=Now() + SILENCE
    )


def _ask(case: _Case) -> RemoteBooking:
    appointment = case.appointment
    if case.is_cancel:
        return case.calcom.cancel(uid=appointment.remote_uid, reason=case.change.reason)
    return case.calcom.create_booking(event_type=appointment.event_type, booking=new_booking(appointment))


# --- hearing -----------------------------------------------------------------------------------------------------


def _hear(case: _Case, remote: RemoteBooking, took: timedelta | None = None) -> None:
    """Write down what Cal.com has, if it is what we asked for."""
    appointment = case.appointment
    if case.is_cancel:
        _release(case, took)
    elif remote.appointment_id != appointment.public_id or _belongs_to_another(remote.uid, appointment):
        # Cal.com returned somebody's existing booking as if it were new. It is not ours to cancel.
        _reject(case, FOREIGN, list_was_wrong=True)
    elif not remote.state.takes_time:
        _reject(case, remote.state)
    elif remote.start != appointment.start:
        _undo(case, remote)
    elif remote.state is RemoteState.PENDING:
        case.tell("booking awaits its host", outcome=remote.state, alert=True)
        _later(case, ChangeState.UNKNOWN)
    else:
        _confirm(case, remote, took)


def _belongs_to_another(uid: str, appointment: Appointment) -> bool:
    known = Appointment.objects.filter(Q(remote_uid=uid) | Q(earlier_remote_uids__contains=[uid]))
    return known.exclude(pk=appointment.pk).exists()


def _confirm(case: _Case, remote: RemoteBooking, took: timedelta | None) -> None:
    """Write down that it is booked, and with whom. Any yes counts, also a late one to an earlier send."""
    appointment, host_ids = case.appointment, _chosen(case, remote)
    with transaction.atomic(durable=True):
        won = appointment.move_on(
            to=AppointmentState.CONFIRMED,
            remote_uid=remote.uid,
            end=remote.end,
            host_id=host_ids[0] if len(host_ids) == 1 else None,
            changed_at=Now(),
        )
        was_free = won and claims.record(appointment, host_ids)
        forgettings = _forgettings(case, host_ids, Forgetting.Cause.OWN) if won else []
        _close(case, ChangeState.DONE, took=took)
    if not won:
        _cancel_superfluous(case, remote)
        return
    case.calcom.availability_changed(forgettings)
    case.tell("booking confirmed", outcome="done" if was_free else "overlaps at Cal.com", alert=not was_free)


def _chosen(case: _Case, remote: RemoteBooking) -> list[int]:
    """Return whom Cal.com chose, as our hosts; one whom no sync has seen yet is written down by number."""
    account_id = case.appointment.event_type.account_id
    known = dict(
        Host.objects.filter(account_id=account_id, calcom_id__in=remote.host_ids).values_list("calcom_id", "pk")
    )
    for calcom_id in set(remote.host_ids) - set(known):
        host, _ = Host.objects.get_or_create(
            account_id=account_id, calcom_id=calcom_id, defaults={"name": f"host {calcom_id}"}
        )
        known[calcom_id] = host.pk
    return sorted(known.values()) or case.host_ids


def _cancel_superfluous(case: _Case, remote: RemoteBooking) -> None:
    """Cancel a booking that carries our id although nobody wants it any more, or although another one stands."""
    appointment = case.appointment
    appointment.refresh_from_db(fields=["remote_uid", "earlier_remote_uids", "state"])
    if remote.uid in {appointment.remote_uid, *appointment.earlier_remote_uids}:
        return  # heard before, from a webhook or a look-up
    outcome = "cancelled there"
    try:
        case.calcom.cancel(uid=remote.uid, reason="Booked twice by mistake.")
    except CalcomError:
        outcome = "still stands there"
    case.tell("superfluous booking", outcome=outcome, alert=True)


def _undo(case: _Case, remote: RemoteBooking) -> None:
    """Cancel what was booked for us at another time than asked for; its uid is kept first, in case we die here."""
    Appointment.objects.filter(pk=case.appointment.pk).update(remote_uid=remote.uid)
    _later(case, ChangeState.UNKNOWN)
    try:
        case.calcom.cancel(uid=remote.uid, reason="Booked at another time than asked for.")
    except Refused as exc:
        if exc.reason not in _GONE:
            return
    except CalcomError:
        return
    _reject(case, OTHER_START)


def _release(case: _Case, took: timedelta | None = None) -> None:
    """Write down that it is cancelled, and give the host's time back."""
    appointment = case.appointment
    with transaction.atomic(durable=True):
        if not _close(case, ChangeState.DONE, took=took):
            return
        appointment.move_on(to=AppointmentState.CANCELLED, changed_at=Now())
        host_ids = [appointment.host_id] if appointment.host_id else case.host_ids
        claims.release(appointment)
        forgettings = _forgettings(case, host_ids, Forgetting.Cause.OWN)
    case.calcom.availability_changed(forgettings)
    case.tell("booking cancelled", outcome="done")


def _hear_refusal(case: _Case, reason: Reason) -> None:
    """Write the refusal down, unless what refuses us may be our own earlier send."""
    if case.is_cancel and reason in _GONE:
        _find_out(case, may_send=False)
    elif case.is_cancel:
        if _close(case, ChangeState.REFUSED, outcome=reason):
            case.tell("cancellation refused", outcome=reason, alert=reason in _STAFF_MUST_ACT)
    elif case.change.attempts > 1 and _may_be_there(case):
        return
    else:
        _reject(case, reason, list_was_wrong=reason is Reason.NOT_AVAILABLE)


def _may_be_there(case: _Case) -> bool:
    """Look once more after a send that followed others; return whether that settled it, or could not tell."""
    try:
        remote = _look_up(case)
    except CalcomError:
        _later(case, ChangeState.UNKNOWN)
        return True
    if remote is not None:
        _hear(case, remote)
    return remote is not None


def _reject(case: _Case, outcome: str, *, list_was_wrong: bool = False) -> None:
    """Write down that nothing was booked, and give the claimed time back."""
    appointment = case.appointment
    forgettings: Sequence[Forgetting] = ()
    with transaction.atomic(durable=True):
        if not case.change.move_on(to=ChangeState.REFUSED, outcome=outcome, finished_at=Now()):
            return
        appointment.move_on(to=AppointmentState.REJECTED, changed_at=Now())
        claims.release(appointment)
        if list_was_wrong:
            forgettings = _forgettings(case, case.host_ids, Forgetting.Cause.REFUSED)
    case.calcom.availability_changed(forgettings)
    alert = outcome in {*_STAFF_MUST_ACT, FOREIGN, OTHER_START, NOT_IN_TIME}
    case.tell("booking refused", outcome=outcome, alert=alert)


# --- finding out -------------------------------------------------------------------------------------------------


def _find_out(case: _Case, *, may_send: bool = True) -> None:
    """Look up what became of a send without a clear answer; send again only what is proven absent."""
    try:
        remote = _look_up(case)
    except CalcomError as exc:
        if case.is_cancel and isinstance(exc, Refused) and exc.reason is Reason.NOT_FOUND:
            _release(case)
        elif case.change.is_late and not case.is_cancel:
            _give_up(case)
        else:
            _later(case, ChangeState.UNKNOWN)
        return
    if case.is_cancel and remote is not None:
        _go_on_cancelling(case, remote, may_send=may_send)
    elif remote is not None:
        _hear(case, remote)
    elif case.change.is_silent or case.change.is_late:
        _send(case)
    else:
        _later(case, ChangeState.UNKNOWN)


def _look_up(case: _Case) -> RemoteBooking | None:
    """Return what Cal.com has of it now, None if it has nothing."""
    appointment = case.appointment
    if appointment.remote_uid:
        return case.calcom.get_booking(uid=appointment.remote_uid)
    return case.calcom.find_booking(
        event_type=appointment.event_type,
        attendee_email=appointment.attendee_email,
        start=appointment.start,
        end=appointment.end,
        appointment_id=appointment.public_id,
    )


def _go_on_cancelling(case: _Case, remote: RemoteBooking, *, may_send: bool) -> None:
    if remote.moved_to_uid:
        _follow(case.appointment, remote.moved_to_uid)
    elif not remote.state.takes_time:
        _release(case)
        return
    if may_send:
        _send(case)
    else:
        _later(case, ChangeState.QUEUED)


def _follow(appointment: Appointment, uid: str) -> None:
    """Keep up with somebody who moved the booking at Cal.com: there it has a new uid since."""
    appointment.earlier_remote_uids = [*appointment.earlier_remote_uids, appointment.remote_uid]
    appointment.remote_uid = uid
    appointment.save(update_fields=["remote_uid", "earlier_remote_uids"])


def _give_up(case: _Case) -> None:
    """Stop trying at the time it should have begun: a person calls the caller back."""
    appointment = case.appointment
    _reject(case, NOT_IN_TIME)
    if case.change.state == ChangeState.REFUSED and appointment.attendee_phone:
        CallbackRequest.objects.create(
            company_id=appointment.company_id,
            branch_id=appointment.branch_id,
            appointment=appointment,
            name=appointment.attendee_name,
            phone=appointment.attendee_phone,
            topic="The appointment could not be entered at Cal.com in time.",
        )


# --- writing it down ---------------------------------------------------------------------------------------------


def _later(case: _Case, state: ChangeState, retry_after: float | None = None) -> None:
    """Leave it for another attempt: after half the time it has been waiting, at least 5 s and at most 60."""
    waited = timezone.now() - case.change.asked_at
    pause = min(max(waited / 2, SHORTEST_PAUSE), LONGEST_PAUSE)
    pause = max(pause, timedelta(seconds=retry_after or 0))
    case.change.move_on(to=state, next_attempt_at=Now() + pause)


def _close(case: _Case, state: ChangeState, *, outcome: str = "", took: timedelta | None = None) -> bool:
    """End the change from whatever open state it is in; return whether it was open."""
    still_open = Change.objects.open().filter(pk=case.change.pk)
    return still_open.update(state=state, outcome=outcome, took=took, finished_at=Now()) == 1


def _forgettings(case: _Case, host_ids: Collection[int], cause: Forgetting.Cause) -> Sequence[Forgetting]:
    appointment = case.appointment
    return case.calcom.write_forgettings(
        event_type=appointment.event_type,
        start=appointment.start,
        end=appointment.end,
        host_ids=host_ids,
        cause=cause,
    )
