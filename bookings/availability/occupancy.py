"""Which hosts serve an event type, what claims their time, and whether one more appointment fits. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from math import ceil, floor
from typing import NamedTuple

from django.db import connection

from bookings.availability.rules import TakenTime, hidden_starts, is_known, overlapping
from bookings.models import Claim, with_buffers
from calcom.models import EventType

Kind = Claim.Kind


PLACED = (Kind.AWAITING, Kind.CONFIRMED)
"""Of the time that Cal.com has given an appointment."""


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

        Note [A list proves one host]: with several hosts a list says that one is free and not which. A slot is hidden
        while its list may mean a host who was booked since, or who is held for another caller.

        Args:
            starts: epoch minutes, ascending.
            loaded_at: by day (epoch minutes divided by 1440), when the load of its list began, in epoch seconds.
        """
        return self.compare(event_type, starts, loaded_at).left

    def compare(self, event_type: EventType, starts: Sequence[int], loaded_at: Mapping[int, float]) -> "Comparison":
        """Compare a list of slots with what is claimed; the arguments are those of `left`."""
        taken = [row.time for row in self.rows]
        overlaps = overlapping(starts, footprint=event_type.footprint, taken=taken)
        hidden = hidden_starts(overlaps, taken=taken, loaded_at=loaded_at)
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
        return check_conflict(replace(self, rows=[self.rows[place] for place in places]))[0] is not Conflict.TAKEN


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


def read_occupancy(event_type: EventType, start: datetime, end: datetime) -> Occupancy:
    """Return who serves the event type and what claims their time from `start` to `end`, buffers included."""
    first, last = with_buffers(event_type, start, end)
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


class Conflict(Enum):
    """Whether an appointment may be sent to Cal.com."""

    FREE = "free"
    WAIT = "wait"
    TAKEN = "taken"


def check_conflict(
    occupancy: Occupancy, *, ahead_of: int | None = None, listed_at: float | None = None
) -> tuple[Conflict, frozenset[int]]:
    """
    Return whether one more appointment fits, and which hosts it has to claim for that.

    Note [Two writes in flight]: Cal.com accepts two parallel bookings of overlapping times (recorded, 6 of 6), so a
    write waits until each write that could be given one of its hosts has been answered. "Taken" is said only when
    confirmed time, a hold, or the wishes ahead are certain to use up every host, or one that each booking needs.

    Args:
        ahead_of: an appointment that waits in line already: only wishes older than it go first.
        listed_at: when the load of a list began that has the slot, in epoch seconds. Where it knows of all that is
            confirmed, it proves a host free whom no sync has seen: Note [A newer list outranks the mirror]. Then the
            claims stand beside those of all known hosts, so that no other writer uses that time meanwhile.
    """
    checked = [_check_group(occupancy, group, ahead_of, listed_at) for group in occupancy.needed]
    results = {result for result, _ in checked}
    host_ids = frozenset[int]().union(*(open_hosts for _, open_hosts in checked))
    if not checked or Conflict.TAKEN in results:
        return Conflict.TAKEN, host_ids
    return (Conflict.WAIT if Conflict.WAIT in results else Conflict.FREE), host_ids


def _check_group(
    occupancy: Occupancy, group: frozenset[int], ahead_of: int | None, listed_at: float | None
) -> tuple[Conflict, frozenset[int]]:
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
        return Conflict.TAKEN, open_hosts
    return (Conflict.WAIT if ahead else Conflict.FREE), open_hosts


def _goes_first(row: Row, ahead_of: int | None) -> bool:
    if ahead_of is None:
        return True
    return row.appointment_id != ahead_of and (row.kind != Kind.QUEUED or row.appointment_id < ahead_of)


def _most_at_once(rows: Sequence[Row]) -> int:
    """Return how many appointments overlap at one moment: that many hosts they will need."""
    at_once = ({row.appointment_id for row in rows if row.start <= each.start < row.end} for each in rows)
    return max(map(len, at_once), default=0)
