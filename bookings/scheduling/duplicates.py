"""
Two rows for one chain of uids: the appointment that began it, and a twin that was imported for a later uid.

Cal.com gives a booking another uid with each reschedule. A message about a later one may come before all that led to
it, and may carry neither our id nor the uid before: it is then written down as a booking made there. As soon as the
chain is known, the chain belongs to the appointment that began it, and the twin is merged into that.
"""

from collections.abc import Sequence

import structlog
from django.db.models.functions import Now

from bookings.availability.occupancy import PLACED
from bookings.models import PLACED_STATES, Appointment, AppointmentState, CallbackRequest, Operation, OperationState
from bookings.scheduling import claims
from cachectl.models import CacheInvalidation
from calcom.service import CalcomService

log = structlog.get_logger(__name__)

_GO_ON = (AppointmentState.PENDING, *PLACED_STATES)


def merge(appointment: Appointment, uids: Sequence[str], calcom: CalcomService) -> bool:
    """
    Merge into the appointment whatever was imported under these uids of its chain; return False if that has to wait.

    The appointment is then where the twin was: at its time, with its host, cancelled if it was. It keeps its id, its
    reference, its conversation and its own operations, and gets those of the twin. The twin is kept without a uid and
    leads to the appointment, for callers and agents who know it.

    It waits while an operation of the twin is open, or while others write about the same hosts. Call it with no
    transaction open; the appointment is read again if anything was merged.
    """
    while appointment.state in _GO_ON and (duplicates := _imported(appointment, uids)):
        try:
            with claims.writing(appointment.event_type):
                invalidations = _merge(appointment, duplicates[0], calcom)
        except claims.Contention:
            return False
        if invalidations is None:
            return False
        appointment.refresh_from_db()
        calcom.availability_changed(invalidations)
        log.info(
            "bookings.duplicate_merged", appointment_id=appointment.public_id, duplicate_id=duplicates[0].public_id
        )
    return True


def _imported(appointment: Appointment, uids: Sequence[str]) -> list[Appointment]:
    called = Appointment.objects.called(*uids).filter(origin=Appointment.Origin.CALCOM).exclude(pk=appointment.pk)
    return [duplicate for duplicate in called if duplicate.company.account_id == appointment.company.account_id]


def _merge(appointment: Appointment, duplicate: Appointment, calcom: CalcomService) -> list[CacheInvalidation] | None:
    """Merge one twin within the transaction that is open; return the days that this changes, None if it has to wait."""
    both = (
        Appointment.objects.select_for_update(of=("self",)).filter(pk__in=[appointment.pk, duplicate.pk]).order_by("pk")
    )
    rows = {row.pk: row for row in both.select_related("event_type")}
    mine, duplicate = rows[appointment.pk], rows[duplicate.pk]
    is_busy = Operation.objects.open().filter(appointment=duplicate)
    if mine.state not in _GO_ON or not duplicate.remote_uid or is_busy:
        return None
    hosts = sorted(set(mine.claims.values_list("host_id", flat=True)))
    invalidations = calcom.record_invalidations(
        event_type=mine.event_type,
        start=mine.start,
        end=mine.end,
        host_ids=hosts,
        cause=CacheInvalidation.Cause.OWN,
        freed=True,
    )
    _take_its_place(mine, duplicate)
    if mine.company_id == duplicate.company_id:
        _take_its_history(mine, duplicate)
    return invalidations


def _take_its_place(mine: Appointment, duplicate: Appointment) -> None:
    chain = [*mine.earlier_remote_uids, mine.remote_uid, *duplicate.earlier_remote_uids]
    Appointment.objects.filter(pk=duplicate.pk).update(
        state=AppointmentState.CANCELLED, remote_uid="", earlier_remote_uids=[], merged_into=mine, changed_at=Now()
    )
    Appointment.objects.filter(pk=mine.pk).update(
        state=duplicate.state,
        remote_uid=duplicate.remote_uid,
        earlier_remote_uids=[uid for uid in dict.fromkeys(chain) if uid and uid != duplicate.remote_uid],
        event_type=duplicate.event_type,
        host=duplicate.host,
        start=duplicate.start,
        end=duplicate.end,
        changed_at=Now(),
    )
    freed = mine.claims.all()
    if duplicate.is_live and mine.state in PLACED_STATES:
        # What it claims for a reschedule that is on its way stays claimed.
        freed = freed.filter(kind__in=PLACED)
    freed.delete()
    duplicate.claims.update(appointment=mine)


def _take_its_history(mine: Appointment, duplicate: Appointment) -> None:
    """Give the appointment what was asked of its twin, and what hangs on it."""
    Appointment.objects.filter(pk=mine.pk).update(
        reschedules=mine.reschedules + duplicate.reschedules,
        customer=mine.customer_id or duplicate.customer_id,
        conversation=mine.conversation_id or duplicate.conversation_id,
    )
    operations = Operation.objects.filter(appointment=duplicate)
    cancellation = Operation.Kind.CANCEL
    if Operation.objects.filter(appointment=mine, kind=cancellation).exclude(state=OperationState.REFUSED).exists():
        # An appointment is cancelled once: the twin's own cancellation stays with the twin.
        operations = operations.exclude(kind=cancellation)
    operations.update(appointment=mine)
    CallbackRequest.objects.filter(appointment=duplicate).update(appointment=mine)
