"""Hosts' time: who has it, who may take it, and the locks that keep two from taking it at once."""

import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from math import ceil, floor
from typing import Any, NamedTuple

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from psycopg.errors import DeadlockDetected, ExclusionViolation, LockNotAvailable, UniqueViolation

from bookings.errors import DeadlineExceeded, RecordsLocked
from bookings.models import Appointment, AppointmentQuerySet, AppointmentState, Claim, SharedBooking
from bookings.question.offers import TakenTime, is_known, overlapping
from cachectl.deadline import Deadline
from calcom.models import EventType
from calcom.ranges import MINUTES_A_DAY

Kind = Claim.Kind
PLACED = (Kind.AWAITING, Kind.CONFIRMED)
"""Of the time that Cal.com has given an appointment."""

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
# One row for each host and claim, and one with NULLs for a host without any. Instants come as epoch seconds: a search
# reads those of two weeks, and each datetime would cost 3 µs and more (measured 2026-11).
READ = """
    SELECT host.host_id, coalesce(claim.appointment_id, 0), claim.kind,
           date_part('epoch', claim.start), date_part('epoch', claim."end"), date_part('epoch', claim.changed_at),
           coalesce(claim.expires_at <= statement_timestamp(), false), date_part('epoch', statement_timestamp()),
           host.fixed
    FROM calcom_eventtypehost AS host
    LEFT JOIN bookings_claim AS claim ON claim.host_id = host.host_id AND claim."end" > %s AND claim.start < %s
    WHERE host.event_type_id = %s
"""


class Row(NamedTuple):
    """A claim as the database says it, its instants in epoch seconds."""

    host_id: int
    appointment_id: int
    """0 where a booking has it that another account asked for."""
    kind: str
    start: float
    end: float
    changed_at: float
    is_dead: bool
    """A hold that ran out: it claims nothing, swept or not."""
    read_at: float
    is_fixed: bool = False
    """Whether the host attends each booking of the event type."""

    @property
    def time(self) -> TakenTime:
        """Return it as what it takes from a list of slots."""
        return TakenTime(
            host_id=self.host_id,
            start=floor(self.start / 60),
            end=ceil(self.end / 60),
            is_confirmed=self.kind == Kind.CONFIRMED,
            changed_at=self.changed_at,
        )


@dataclass(frozen=True)
class Occupancy:
    """Who serves an event type, and which of their time in a window is claimed."""

    host_ids: frozenset[int]
    rows: Sequence[Row]
    dead: frozenset[int] = frozenset()
    """Appointments whose hold ran out and still stands in the way of the constraint."""
    read_at: float = 0.0
    """When it was read, in epoch seconds by the database's clock."""
    fixed_ids: frozenset[int] = frozenset()
    """Those of the hosts who attend each booking: all of a collective type."""

    @property
    def needed(self) -> list[frozenset[int]]:
        """Return groups of hosts of each of which a booking takes one: each fixed host, and those who take turns."""
        in_turns = self.host_ids - self.fixed_ids
        return [*(frozenset({host_id}) for host_id in self.fixed_ids), *([in_turns] if in_turns else [])]

    @property
    def confirmed_hosts(self) -> frozenset[int]:
        """Return the hosts who are booked for some of the time."""
        return frozenset(row.host_id for row in self.rows if row.kind == Kind.CONFIRMED)

    def without(self, *appointment_ids: int) -> "Occupancy":
        """Return what is claimed by others than these appointments."""
        return replace(self, rows=[row for row in self.rows if row.appointment_id not in appointment_ids])

    def beside_holds(self) -> "Occupancy":
        """Return what is claimed more firmly than by a hold."""
        return replace(self, rows=[row for row in self.rows if row.kind != Kind.HELD])

    def left(self, event_type: EventType, starts: Sequence[int], loaded_at: Mapping[int, float]) -> list[int]:
        """
        Return those of the listed starts for which a host is still certain to be free.

        Note [A list proves one host]: with several hosts a list says that one is free and not who. Nobody is offered or
        promised a time on the strength of a list that may have meant the host who was booked since, or who is held for
        somebody else.

        Args:
            starts: epoch minutes, ascending.
            loaded_at: by day (epoch minutes divided by 1440), when the load of its list began, in epoch seconds.
        """
        return self.compare(event_type, starts, loaded_at).left

    def compare(self, event_type: EventType, starts: Sequence[int], loaded_at: Mapping[int, float]) -> "Comparison":
        """Compare a list of slots with what is claimed; the arguments are those of `left`."""
        taken = [row.time for row in self.rows]
        overlaps = overlapping(starts, shape=event_type.shape, taken=taken)
        hidden = {
            start: places
            for start, places in overlaps.items()
            if not all(is_known(taken[place], loaded_at.get(start // MINUTES_A_DAY)) for place in places)
        }
        uncertain = [start for start, places in hidden.items() if self._may_leave_a_host(places)]
        return Comparison(
            left=[start for start in starts if start not in hidden],
            uncertain=sorted(uncertain),
            askable=sorted(
                start for start in uncertain if all(is_known(taken[place], self.read_at) for place in hidden[start])
            ),
            contradicts_mirror=any(
                start not in hidden and self.host_ids.issubset(taken[place].host_id for place in places)
                for start, places in overlaps.items()
            ),
        )

    def _may_leave_a_host(self, places: Sequence[int]) -> bool:
        """Return whether the claims at these places, which all overlap one slot, may leave a host for it."""
        if len(self.host_ids) < 2:
            return False
        return judge(replace(self, rows=[self.rows[place] for place in places]))[0] is not Verdict.TAKEN


@dataclass(frozen=True, slots=True)
class Comparison:
    """What our own claims leave of a list of slots. Epoch minutes, ascending."""

    left: list[int]
    """Starts for which a host is certain to be free."""
    uncertain: list[int]
    """Starts that are hidden although a host may be free: the list is older than a claim that overlaps them."""
    askable: list[int]
    """Those of them of which a list would tell that is loaded now."""
    contradicts_mirror: bool
    """Whether the list knows of all claims, and has a slot at which all hosts of the event type are claimed."""


def around(event_type: EventType, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return the time that an appointment takes from its host, buffers included."""
    before = timedelta(minutes=event_type.before_buffer_minutes)
    after = timedelta(minutes=event_type.after_buffer_minutes)
    return start - before, end + after


def read(event_type: EventType, start: datetime, end: datetime) -> Occupancy:
    """Return who serves the event type and what claims their time from `start` to `end`, buffers included."""
    first, last = around(event_type, start, end)
    with connection.cursor() as cursor:
        cursor.execute(READ, [first, last, event_type.pk])
        rows = [Row._make(row) for row in cursor.fetchall()]
    claimed = [row for row in rows if row.kind]
    return Occupancy(
        host_ids=frozenset(row.host_id for row in rows),
        rows=[row for row in claimed if not row.is_dead],
        dead=frozenset(row.appointment_id for row in claimed if row.is_dead),
        read_at=rows[0].read_at if rows else 0.0,
        fixed_ids=frozenset(row.host_id for row in rows if row.is_fixed),
    )


class Contention(Exception):
    """Another writer was in the way. Look again: it says nothing about anybody's time."""

    def insist(self, deadline: Deadline, patience: Deadline) -> None:  # noqa: ARG002  who writes is soon done
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

    def insist(self, deadline: Deadline, patience: Deadline) -> None:
        """Give up, too, when the patience is at its end. Raises like any contention."""
        super().insist(deadline, patience)
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
        contention.insist(self._deadline, self._patience)
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


class Verdict(Enum):
    """Whether a wish may go to Cal.com."""

    FREE = "free"
    WAIT = "wait"
    TAKEN = "taken"


def judge(
    occupancy: Occupancy, *, ahead_of: int | None = None, listed_at: float | None = None
) -> tuple[Verdict, frozenset[int]]:
    """
    Return whether one more appointment fits, and which hosts it has to claim for that.

    Note [Two writes in flight]: Cal.com accepts two parallel bookings of overlapping times (recorded, 6 of 6), so a
    write waits until each write that could be given one of its hosts has been answered. "Taken" is said only when
    confirmed time, a hold, or the wishes ahead are certain to use up every host, or one that each booking needs.

    Args:
        ahead_of: an appointment that waits in line already: only wishes older than it go first.
        listed_at: when the load of a list began that has the slot, in epoch seconds. Where it knows of all that is
            confirmed, it proves a host free whom no sync has seen: Note [A newer list outranks the mirror]. Then the
            claims stand beside those of all known hosts, so that nobody else writes there meanwhile.
    """
    judged = [_judge_group(occupancy, group, ahead_of, listed_at) for group in occupancy.needed]
    verdicts = {verdict for verdict, _ in judged}
    host_ids = frozenset[int]().union(*(open_hosts for _, open_hosts in judged))
    if not judged or Verdict.TAKEN in verdicts:
        return Verdict.TAKEN, host_ids
    return (Verdict.WAIT if Verdict.WAIT in verdicts else Verdict.FREE), host_ids


def _judge_group(
    occupancy: Occupancy, group: frozenset[int], ahead_of: int | None, listed_at: float | None
) -> tuple[Verdict, frozenset[int]]:
    """Return the same where one of the group is needed, whichever."""
    rows = [row for row in occupancy.rows if row.host_id in group]
    confirmed = [row for row in rows if row.kind == Kind.CONFIRMED]
    open_hosts = group - {row.host_id for row in confirmed}
    if not open_hosts and all(is_known(row.time, listed_at) for row in confirmed):
        open_hosts = group
    ahead = [
        row for row in rows if row.kind != Kind.CONFIRMED and row.host_id in open_hosts and _goes_first(row, ahead_of)
    ]
    # Cal.com may choose the host whose time is only held here: it knows nothing of our holds, and a booking that waits
    # for its host takes no time there (recorded 2026-11-21).
    unknown_there = any(row.kind in {Kind.HELD, Kind.AWAITING} for row in ahead)
    if not open_hosts or unknown_there or _most_at_once(ahead) >= len(open_hosts):
        return Verdict.TAKEN, open_hosts
    return (Verdict.WAIT if ahead else Verdict.FREE), open_hosts


def _goes_first(row: Row, ahead_of: int | None) -> bool:
    if ahead_of is None:
        return True
    return row.appointment_id != ahead_of and (row.kind != Kind.QUEUED or row.appointment_id < ahead_of)


def _most_at_once(rows: Sequence[Row]) -> int:
    """Return how many appointments overlap at one moment: that many hosts they will need."""
    at_once = ({row.appointment_id for row in rows if row.start <= each.start < row.end} for each in rows)
    return max(map(len, at_once), default=0)


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
    first, last = around(appointment.event_type, start, end)
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
    first, last = around(booked.event_type, booked.start, booked.end)
    own = booked.claims.all()
    waits = isinstance(booked, Appointment) and booked.state == AppointmentState.AWAITING
    kind = Kind.AWAITING if waits else Kind.CONFIRMED
    chosen = Q(host_id__in=host_ids, start=first, end=last, conflicting=False)
    # Most often it is what was claimed: then a claim only becomes certain, and nothing new can overlap.
    uncertain = own.filter(chosen, kind__in=[Kind.PENDING, Kind.AWAITING])
    if uncertain.update(kind=kind, changed_at=Now()) == len(set(host_ids)):
        own.exclude(chosen, kind=kind).delete()
        return True
    own.delete()
    Claim.objects.overlapping(host_ids, first, last).filter(kind=Kind.HELD).delete()
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
    start, end = around(booked.event_type, booked.start, booked.end)
    shared: dict[str, Any] = {"kind": kind, "start": start, "end": end}
    if isinstance(booked, SharedBooking):
        shared["shared_booking"] = booked
    else:
        shared |= {"appointment": booked, "expires_at": booked.expires_at if kind == Kind.HELD else None}
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
