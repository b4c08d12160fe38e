"""Hosts' time: who has it, who may take it, and the locks that keep two from taking it at once."""

import random
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from psycopg.errors import DeadlockDetected, ExclusionViolation, LockNotAvailable, UniqueViolation

from bookings.availability.occupancy import PLACED, with_buffers
from bookings.errors import DeadlineExceeded, RecordsLocked
from bookings.models import Appointment, AppointmentQuerySet, AppointmentState, Claim, SharedBooking
from cachectl.infra.deadline import Deadline
from calcom.models import EventType

# Writers take these locks before they look at claims. Without them a fifth of racing losers die of a deadlock instead
# of a clean refusal (measured 2026-11). Taken in the order of ids; whoever waits longer than the time-out tries again.
_LOCK = """
    SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(host_id)
    FROM (SELECT host_id FROM calcom_eventtypehost WHERE event_type_id = %s ORDER BY host_id) AS hosts
"""
LONGEST_LOCK_S = 0.5
# A writer has them for milliseconds. Who got them in none of several tries waits for somebody who hangs.
PATIENCE_S = 1.4
# Between two attempts of one writer. At the longest a caller who waits for 8 s makes about fifty.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2


class Contention(Exception):
    """Another writer was in the way. Look again: it says nothing about anybody's time."""

    def raise_if_exhausted(self, deadline: Deadline, patience: Deadline) -> None:  # noqa: ARG002  who writes is soon done
        """
        Do nothing where it is worth looking again.

        Raises:
            DeadlineExceeded: the caller waits no longer.
            RecordsLocked: it would be in vain; see PATIENCE_S.
        """
        if deadline.passed:
            raise DeadlineExceeded("Too many write at once.") from self


class Locked(Contention):
    """Somebody keeps the locks of the hosts, or of a row that is to be written, for longer than a writer does."""

    def raise_if_exhausted(self, deadline: Deadline, patience: Deadline) -> None:
        """Give up, too, when the patience is at its end. Raises like any contention."""
        super().raise_if_exhausted(deadline, patience)
        if patience.passed:
            raise RecordsLocked("Records are locked for longer than anybody writes.") from self


class Attempts:
    """
    Attempts at a write that other writers are in the way of, within the caller's deadline.

    The pauses between them double and are spread at random, so that writers who met once do not meet each time.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._patience = Deadline.after(PATIENCE_S)
        self._pause_s = SHORTEST_PAUSE_S

    def pause(self, contention: Contention) -> None:
        """
        Wait until it is worth another attempt.

        Raises:
            DeadlineExceeded: the caller waits no longer.
            RecordsLocked: it would be in vain; see PATIENCE_S.
        """
        contention.raise_if_exhausted(self._deadline, self._patience)
        spread = random.uniform(self._pause_s / 2, self._pause_s)  # noqa: S311  nothing is to be kept secret
        time.sleep(min(spread, self._deadline.left))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


@contextmanager
def writing(event_type: EventType, deadline: Deadline | None = None) -> Iterator[None]:
    """
    Open a transaction in which nobody else takes time of the event type's hosts.

    Raises:
        Contention: somebody wrote the same row; nothing was written here.
        Locked: somebody did so for longer than half a second, or than the caller waits.
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


def take(appointment: Appointment, host_ids: Collection[int], kind: Claim.Kind, beside: Collection[int] = ()) -> None:
    """
    Claim the appointment's time on these hosts, within the transaction that is open.

    Of the hosts in `beside` it is claimed beside what they are booked for: a list proves another host whom we do not
    know (Note [A newer list outranks the mirror]).
    """
    Claim.objects.bulk_create(_claims(appointment, host_ids, kind, conflicting=beside))


def convert(
    appointment: Appointment, host_ids: Collection[int], kind: Claim.Kind, beside: Collection[int] = ()
) -> None:
    """
    Make the claims of a hold those of a booking: they change what they are, and are never out of our hands.

    Whoever of `host_ids` became free since the hold is claimed as well: Cal.com may choose them.
    """
    own = Claim.objects.filter(appointment=appointment)
    own.update(kind=kind, expires_at=None, changed_at=Now())
    take(appointment, set(host_ids) - set(own.values_list("host_id", flat=True)), kind, beside)


def release(appointment: Appointment) -> None:
    """Give the appointment's time back."""
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

    So it can be moved while the old time stands, also to a time that overlaps it.
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
    """Give back what an appointment claims beside the time it has."""
    Claim.objects.filter(appointment=appointment).exclude(kind__in=PLACED).delete()


def record(booked: Appointment | SharedBooking, host_ids: Collection[int]) -> bool:
    """
    Claim the time that Cal.com has given the booking instead of what it claimed; return whether it was free here.

    What is true at Cal.com is stored even where it overlaps: such a claim is marked `conflicting`. A hold, which
    nobody there knows of, gives way: it may still be booked with another host, and is refused where there is none.

    Note [Claims that wait for a host]: of an appointment that waits for its host the time stays claimed here, and no
    list of Cal.com's outranks that.
    """
    first, last = with_buffers(booked.event_type, booked.start, booked.end)
    own = booked.claims.all()
    waits = isinstance(booked, Appointment) and booked.state == AppointmentState.AWAITING
    kind = Claim.Kind.AWAITING if waits else Claim.Kind.CONFIRMED
    chosen = Q(host_id__in=host_ids, start=first, end=last, conflicting=False)
    # Most often it is what was claimed: then a claim only becomes certain, and nothing new can overlap.
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
    """End holds that ran out, all of them or those named, and return how many there were."""
    dead = Appointment.objects.held().filter(expires_at__lte=Now())
    named = dead if appointment_ids is None else dead.filter(pk__in=appointment_ids)
    return len(end(named, skip_locked=appointment_ids is None))


def end(holds: AppointmentQuerySet, *, skip_locked: bool = False) -> list[int]:
    """End the holds and return their ids. One that became a booking this moment is none of them."""
    with transaction.atomic(savepoint=False):
        ended = list(holds.select_for_update(of=("self",), skip_locked=skip_locked).values_list("pk", flat=True))
        if ended:
            Appointment.objects.filter(pk__in=ended).update(state=AppointmentState.EXPIRED, changed_at=Now())
            Claim.objects.filter(appointment_id__in=ended).delete()
    return ended
