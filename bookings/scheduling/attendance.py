"""Who came and who did not. What staff mark here is told to Cal.com, and what is marked there arrives by webhook."""

from datetime import datetime

import structlog
from django.db import transaction

from bookings.models import Appointment, AppointmentState
from bookings.scheduling import claims
from cachectl.infra import bulkhead, executors
from cachectl.infra.deadline import Deadline
from calcom.errors import CalcomError
from calcom.service import CalcomService

log = structlog.get_logger(__name__)

MARKABLE = frozenset({AppointmentState.CONFIRMED, AppointmentState.COMPLETED, AppointmentState.NO_SHOW})


class NotMarkable(Exception):
    """Whether the caller came cannot be said: it has not begun, was never confirmed, or is just being changed."""


def finish(appointment: Appointment, *, to: AppointmentState) -> bool:
    """End an appointment that was confirmed, and give its host's time back. Returns False if another writer won."""
    with transaction.atomic(durable=True):
        if not appointment.transition(to=to):
            return False
        claims.release(appointment)
    return True


def mark(*, appointment: Appointment, came: bool, calcom: CalcomService, deadline: Deadline, now: datetime) -> bool:
    """
    Mark whether the caller came; may be marked again. Returns whether Cal.com was told by the deadline.

    Cal.com is told once, as far as it goes: its mark changes no time of anyone, and staff see ours.

    Raises:
        NotMarkable: nothing was changed.
    """
    if appointment.state not in MARKABLE or appointment.start > now:
        raise NotMarkable("It has not begun, or was not confirmed.")
    to = AppointmentState.COMPLETED if came else AppointmentState.NO_SHOW
    if appointment.state != to and not finish(appointment, to=to):
        raise NotMarkable("It is just being changed.")
    if not appointment.remote_uid or not appointment.attendee_email:
        return False
    with bulkhead.acquire(calcom.account_id, deadline) as until:
        job = executors.submit_write(
            calcom.account_id, _tell, calcom, appointment.remote_uid, appointment.attendee_email, absent=not came
        )
        try:
            return job.result(timeout=until.left)
        except TimeoutError:
            return False


def _tell(calcom: CalcomService, uid: str, address: str, *, absent: bool) -> bool:
    try:
        calcom.mark_absent(uid=uid, attendee_email=address, absent=absent)
    except CalcomError as exc:
        log.warning("attendance.not_told", account_id=calcom.account_id, error_type=type(exc).__name__)
        return False
    return True
