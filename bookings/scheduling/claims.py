"""Claims on hosts' time, and the locks under which they are written."""

import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from psycopg.errors import DeadlockDetected, ExclusionViolation, LockNotAvailable, UniqueViolation

from bookings.availability.occupancy import PLACED, Conflict, Occupancy, check_conflict, read_occupancy
from bookings.errors import DeadlineExceeded, RecordsLocked, SlotTaken
from bookings.models import Appointment, AppointmentQuerySet, AppointmentState, Claim, SharedBooking, with_buffers
from cachectl.infra.deadline import Deadline
from calcom.models import EventType

# Writers take these locks before they read claims. Without them a fifth of racing losers ended in a deadlock instead of
# a clean refusal (measured 2026-11). They are taken in the order of ids; a writer that times out tries again.
_LOCK = """
    SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(host_id)
    FROM (SELECT host_id FROM calcom_eventtypehost WHERE event_type_id = %s ORDER BY host_id) AS hosts
"""
LONGEST_LOCK_S = 0.5
# A writer has them for milliseconds. A writer that got them in none of several tries waits for one that hangs.
PATIENCE_S = 1.4
# Between two attempts of one writer. At the longest a caller who waits for 8 s makes about fifty.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2


class Contention(Exception):
    """Another writer was in the way. Try again: it says nothing about the time."""

    def raise_if_exhausted(self, deadline: Deadline, patience: Deadline) -> None:  # noqa: ARG002
        """
        Do nothing if another attempt is worth it.

        Raises:
            DeadlineExceeded: the caller waits no longer.
            RecordsLocked: the locks are held for longer than PATIENCE_S.
        """
        if deadline.passed:
            raise DeadlineExceeded("Too many write at once.") from self


class Locked(Contention):
    """The locks of the hosts, or of a row that is to be written, were held for longer than a writer needs."""

    def raise_if_exhausted(self, deadline: Deadline, patience: Deadline) -> None:
        super().raise_if_exhausted(deadline, patience)
        if patience.passed:
            raise RecordsLocked("Records are locked for longer than a write takes.") from self


@dataclass
class Attempts:
    """
    Attempts at a contended write, within the caller's deadline.

    The pauses between them double, with random jitter.
    """

    deadline: Deadline
    patience: Deadline = field(default_factory=lambda: Deadline.after(PATIENCE_S))
    pause_s: float = SHORTEST_PAUSE_S

    def pause(self, contention: Contention) -> None:
        """
        Wait until the next attempt.

        Raises:
            DeadlineExceeded: the caller waits no longer.
            RecordsLocked: the locks are held for longer than PATIENCE_S.
        """
        contention.raise_if_exhausted(self.deadline, self.patience)
        spread = random.uniform(self.pause_s / 2, self.pause_s)  # noqa: S311  nothing is to be kept secret
        time.sleep(min(spread, self.deadline.left))
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)


@contextmanager
def writing(event_type: EventType, deadline: Deadline | None = None) -> Iterator[None]:
    """
    Open a transaction in which no other writer claims time of the event type's hosts.

    Raises:
        Contention: another writer wrote the same row; nothing was written here.
        Locked: the locks were held for longer than half a second, or than the caller waits.
    """
    patience = LONGEST_LOCK_S if deadline is None else min(LONGEST_LOCK_S, deadline.left)
    try:
        with transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                # Never 0: that means for ever.
                cursor.execute(_LOCK, [f"{max(1, round(patience * 1000))}ms", event_type.pk])
            yield
    except (OperationalError, IntegrityError) as exc:
        if isinstance(exc.__cause__, LockNotAvailable):
            raise Locked from exc
        if isinstance(exc.__cause__, DeadlockDetected | UniqueViolation | ExclusionViolation):
            raise Contention from exc
        raise


class FreeHosts(NamedTuple):
    """The hosts whose time an appointment may claim."""

    host_ids: Collection[int]
    kind: Claim.Kind
    """PENDING; or QUEUED if another write must be answered first, see Note [Two writes in flight]."""
    beside: Collection[int]
    """Those of them who are booked for some of the time all the same, see `take`."""


def find_hosts(
    event_type: EventType,
    start: datetime,
    end: datetime,
    *,
    listed_at: float | None,
    own_id: int | None = None,
    own_holds: Q | None = None,
) -> FreeHosts:
    """
    Return the hosts that one more appointment has to claim, within the transaction of `writing`.

    Args:
        listed_at: when the load of the list that has the slot began, in epoch seconds.
        own_id: the appointment that is to have the time; its claims do not count.
        own_holds: holds of the same caller, which end if they are in the way.

    Raises:
        SlotTaken: another appointment has the time.
    """
    occupancy = read_occupancy(event_type, start, end)
    if own_id is not None:
        occupancy = occupancy.without(own_id)
    elif own_holds is not None and (
        held := {row.appointment_id for row in occupancy.rows if row.kind == Claim.Kind.HELD}
    ):
        occupancy = occupancy.without(*end_holds(Appointment.objects.held().filter(own_holds, pk__in=held)))
    return free_hosts(occupancy, listed_at=listed_at)


def free_hosts(occupancy: Occupancy, *, listed_at: float | None) -> FreeHosts:
    """
    Return the hosts that one more appointment has to claim, and end expired holds in its way.

    Raises:
        SlotTaken: another appointment has the time.
    """
    conflict, host_ids = check_conflict(occupancy, listed_at=listed_at)
    if conflict is Conflict.TAKEN:
        raise SlotTaken("Another appointment has it.")
    if occupancy.dead:
        expire(occupancy.dead)
    kind = Claim.Kind.PENDING if conflict is Conflict.FREE else Claim.Kind.QUEUED
    return FreeHosts(host_ids, kind, occupancy.confirmed_hosts)


def take(appointment: Appointment, host_ids: Collection[int], kind: Claim.Kind, beside: Collection[int] = ()) -> None:
    """
    Claim the appointment's time on these hosts, within the transaction that is open.

    Claims on the hosts in `beside` overlap what those are booked for: a list proves a host whom we do not know (Note
    [A newer list outranks the mirror]).
    """
    Claim.objects.bulk_create(_claims(appointment, host_ids, kind, conflicting=beside))


def convert(
    appointment: Appointment, host_ids: Collection[int], kind: Claim.Kind, beside: Collection[int] = ()
) -> None:
    """
    Turn the claims of a hold into those of a booking, without giving them back in between.

    Hosts of `host_ids` who became free since the hold are claimed as well: Cal.com may choose them.
    """
    own = Claim.objects.filter(appointment=appointment)
    own.update(kind=kind, expires_at=None, changed_at=Now())
    take(appointment, set(host_ids) - set(own.values_list("host_id", flat=True)), kind, beside)


def release(appointment: Appointment) -> None:
    """Delete the claims of the appointment."""
    Claim.objects.filter(appointment=appointment).delete()


def take_other_time(
    appointment: Appointment,
    host_ids: Collection[int],
    kind: Claim.Kind,
    start: datetime,
    end: datetime,
    *,
    beside: Collection[int] = (),
) -> None:
    """
    Claim the part of another time that the appointment has not claimed yet, within the transaction that is open.

    So it can be rescheduled while it keeps the old time, also to a time that overlaps it.
    """
    first, last = with_buffers(appointment.event_type, start, end)
    standing = Claim.objects.filter(appointment=appointment, kind__in=PLACED, conflicting=False)
    own = {claim.host_id: (claim.start, claim.end) for claim in standing}
    Claim.objects.bulk_create(
        Claim(
            appointment=appointment,
            host_id=host_id,
            kind=kind,
            start=begin,
            end=stop,
            conflicting=host_id in beside,
        )
        for host_id in sorted(host_ids)
        for begin, stop in _uncovered(first, last, own.get(host_id))
    )


def _uncovered(
    first: datetime, last: datetime, own: tuple[datetime, datetime] | None
) -> Iterator[tuple[datetime, datetime]]:
    start, end = own or (last, last)
    for begin, stop in ((first, min(last, start)), (max(first, end), last)):
        if begin < stop:
            yield begin, stop


def release_other_time(appointment: Appointment) -> None:
    """Delete the claims of the appointment on other time than its own."""
    Claim.objects.filter(appointment=appointment).exclude(kind__in=PLACED).delete()


def record(booked: Appointment | SharedBooking, host_ids: Collection[int]) -> bool:
    """
    Replace the booking's claims by the time that Cal.com has given it. Returns whether that time was free here.

    What is true at Cal.com is stored even if it overlaps: such a claim is marked `conflicting`. A hold, which Cal.com
    does not know, gives way: it can still be booked with another host, and is refused if there is none.

    Note [Claims that wait for a host]: of an appointment that waits for its host the time stays claimed here, and no
    list of Cal.com's outranks that.
    """
    first, last = with_buffers(booked.event_type, booked.start, booked.end)
    own = booked.claims.all()
    waits = isinstance(booked, Appointment) and booked.state == AppointmentState.AWAITING
    kind = Claim.Kind.AWAITING if waits else Claim.Kind.CONFIRMED
    chosen = Q(host_id__in=host_ids, start=first, end=last, conflicting=False)
    # Usually it is what was claimed: then claims change their kind only, and nothing new can overlap.
    uncertain = own.filter(chosen, kind__in=[Claim.Kind.PENDING, Claim.Kind.AWAITING])
    if uncertain.update(kind=kind, changed_at=Now()) == len(set(host_ids)):
        own.exclude(chosen, kind=kind).delete()
        return True
    own.delete()
    Claim.objects.overlapping(host_ids, first, last).filter(kind=Claim.Kind.HELD).delete()
    try:
        with transaction.atomic():
            Claim.objects.bulk_create(_claims(booked, host_ids, kind))
    except IntegrityError:
        Claim.objects.bulk_create(_claims(booked, host_ids, kind, conflicting=host_ids))
        return False
    return True


def _claims(
    booked: Appointment | SharedBooking,
    host_ids: Collection[int],
    kind: Claim.Kind,
    *,
    conflicting: Collection[int] = (),
) -> list[Claim]:
    start, end = with_buffers(booked.event_type, booked.start, booked.end)
    shared: dict[str, Any] = {"kind": kind, "start": start, "end": end}
    if isinstance(booked, SharedBooking):
        shared["shared_booking"] = booked
    else:
        shared |= {"appointment": booked, "expires_at": booked.expires_at if kind == Claim.Kind.HELD else None}
    return [Claim(host_id=host_id, conflicting=host_id in conflicting, **shared) for host_id in sorted(host_ids)]


def expire(appointment_ids: Collection[int] | None = None) -> int:
    """End expired holds, all or those named, and return their number."""
    dead = Appointment.objects.held().filter(expires_at__lte=Now())
    named = dead if appointment_ids is None else dead.filter(pk__in=appointment_ids)
    return len(end_holds(named, skip_locked=appointment_ids is None))


def end_holds(holds: AppointmentQuerySet, *, skip_locked: bool = False) -> list[int]:
    """End the holds and return their ids. A hold that has just become a booking is left out."""
    with transaction.atomic(savepoint=False):
        ended = list(holds.select_for_update(of=("self",), skip_locked=skip_locked).values_list("pk", flat=True))
        if ended:
            Appointment.objects.filter(pk__in=ended).update(state=AppointmentState.EXPIRED, changed_at=Now())
            Claim.objects.filter(appointment_id__in=ended).delete()
    return ended
