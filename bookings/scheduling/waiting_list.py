"""
The waiting list: callers who keep their appointment and would like an earlier one.

When an earlier time opens, it is held for the one who has waited longest, and staff call them: their request becomes a
callback with the time held. Nothing is changed before they have agreed.
"""

from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from bookings.availability.calendar_view import Calendar, open_times
from bookings.errors import BookingError
from bookings.models import PLACED_STATES, Appointment, CallbackRequest, SlotToken
from bookings.scheduling import holds
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE
from calcom.service import CalcomService

log = structlog.get_logger(__name__)

HELD_FOR = timedelta(hours=1)
"""For how long a time that has opened is held, so that staff can reach the caller."""
SOONER_BY = timedelta(hours=1)
"""What is less than that sooner is worth no call."""
NOT_BEFORE = timedelta(hours=2)
"""Who is called must still be able to come."""
MOST_AT_ONCE = 200
# Seconds in which the hold of one time is written.
_WAIT = 2.0


def may_wait(appointment: Appointment, now: datetime) -> bool:
    """Return whether a caller can wait for a time before this appointment."""
    return (
        appointment.service_id is not None
        and appointment.state in PLACED_STATES
        and appointment.start > now + NOT_BEFORE + SOONER_BY
    )


def serve(*, now: datetime) -> int:
    """Hold the times that have opened, each for the caller who has waited longest; return how many."""
    waiting = CallbackRequest.objects.filter(state=CallbackRequest.State.WAITING).select_related(
        "appointment__service__branch", "appointment__event_type__account", "company"
    )
    return sum(_serve(request, now) for request in waiting.order_by("requested_at", "pk")[:MOST_AT_ONCE])


def _serve(request: CallbackRequest, now: datetime) -> bool:
    appointment = request.appointment
    if appointment is None or not may_wait(appointment, now):
        _end(request)
        return False
    try:
        start = _earliest(appointment, now)
        return start is not None and _hold(request, appointment, start, now)
    except BookingError as exc:
        log.info("waiting_list.not_served", company_id=request.company_id, reason=exc.code)
        return False


def _earliest(appointment: Appointment, now: datetime) -> datetime | None:
    """Return the first time that is certainly free and early enough. Stale days are reloaded behind this, if any."""
    if appointment.service is None:
        return None
    view = open_times(
        service=appointment.service,
        calendar=Calendar(appointment.event_type),
        first=now + NOT_BEFORE,
        last=appointment.start - SOONER_BY,
        now=now,
        calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
        deadline=Deadline.after(0),
    )
    starts = view.certain.starts
    return EPOCH + starts[0] * MINUTE if starts else None


def _hold(request: CallbackRequest, appointment: Appointment, start: datetime, now: datetime) -> bool:
    offer = holds.new_offer(
        company=request.company,
        conversation=None,
        service=appointment.service,  # type: ignore[arg-type]  # whose times were just read
        start=start,
        event_type=appointment.event_type,
        now=now,
    )
    offer.expires_at = now + HELD_FOR
    offer.save()
    held = holds.hold(
        offer=offer,
        calcom=CalcomService(appointment.event_type.account, tenant=appointment.company_id),
        deadline=Deadline.after(_WAIT),
        now=now,
        was_told=False,
    )
    is_kept = held.verified and holds.keep(held.appointment, until=now + HELD_FOR)
    won = is_kept and _open(request, held.appointment)
    if not won:
        holds.release(appointment=held.appointment)
    return won


def _open(request: CallbackRequest, held: Appointment) -> bool:
    same = CallbackRequest.objects.filter(pk=request.pk, state=CallbackRequest.State.WAITING)
    try:
        with transaction.atomic():
            return same.update(state=CallbackRequest.State.OPEN, held=held, opened_at=Now()) == 1
    except IntegrityError:  # another request for the same is open: staff call anyway
        return False


def _end(request: CallbackRequest) -> None:
    """Take a request off the list: its appointment has ended, or is so near that no earlier one makes sense."""
    same = CallbackRequest.objects.filter(pk=request.pk, state=CallbackRequest.State.WAITING)
    same.update(state=CallbackRequest.State.DONE, done_at=Now())


def offer_of(request: CallbackRequest) -> SlotToken | None:
    """Return the offer of the time that is held for the request; None if none is held any more."""
    if request.held is None:
        return None
    standing = Appointment.objects.standing().filter(pk=request.held.pk)
    return SlotToken.objects.filter(appointment__in=standing).order_by("-pk").first()
