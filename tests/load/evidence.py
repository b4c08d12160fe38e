"""
What is known of a run when it is over: from the callers, Cal.com, our rows, the queues, and the clock.

All instants are seconds since 1970: every part of a run has the same clock. What could not be found out is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bookings.models import Appointment, Claim
from bookings.models import Operation as OperationRow
from calcom.http.parsing import METADATA_KEY
from calcom.simulator import SimulatorClient
from monitoring.alert_forms import History
from script.lib.tenants import Tenant
from tests.load import dataset
from tests.load.call_log import CallLog
from tests.load.scenarios import Run

OPEN = frozenset({"queued", "sending", "unknown"})


@dataclass(frozen=True)
class Request:
    """One request that Cal.com saw."""

    key: str
    """The beginning of the API key's hash."""
    route: str
    path: str
    arrived_at: float
    answered_at: float | None
    status: int
    """0: it was not answered."""

    @property
    def is_write(self) -> bool:
        """Return whether it is a write, or lists where a booking can be rescheduled to."""
        return self.route.startswith("POST") or "bookingUidToReschedule" in self.path


@dataclass(frozen=True)
class Remote:
    """A booking at Cal.com."""

    slug: str
    """Of the event type."""
    host: str
    start: float
    end: float
    status: str
    created_at: float
    updated_at: float
    booking: str | None
    """Our id; None for a booking made elsewhere."""

    @property
    def is_accepted(self) -> bool:
        """Return whether it takes its host's time."""
        return self.status == "accepted"


@dataclass(frozen=True)
class Own:
    """An appointment in our rows, holds included."""

    booking: str
    slug: str
    state: str
    start: float
    end: float
    created_at: float
    changed_at: float


@dataclass(frozen=True)
class Operation:
    """An operation in our rows."""

    operation_id: str
    booking: str
    kind: str
    state: str
    requested_at: float
    finished_at: float | None
    new_start: float | None = None


@dataclass(frozen=True)
class Claimed:
    """Confirmed time of a host in our rows."""

    host: str
    start: float
    end: float
    conflicting: bool = False


@dataclass(frozen=True)
class Depth:
    """How many messages waited in each queue."""

    at: float
    by_queue: Mapping[str, int]


@dataclass(frozen=True)
class EventType:
    """What can be booked, and its hosts."""

    slug: str
    hosts: tuple[str, ...]
    minutes: int
    after_minutes: int = 0


@dataclass(frozen=True)
class Rows:
    """What our database says."""

    own: Sequence[Own]
    operations: Sequence[Operation]
    claimed: Sequence[Claimed]


@dataclass(frozen=True)
class Evidence:
    """All of it."""

    run: Run
    began: float
    ended: float
    event_types: Mapping[str, EventType]
    """By the id of the service."""
    log: CallLog | None = None
    locust: int | None = None
    """Requests that locust's own statistics count."""
    requests: Sequence[Request] | None = None
    """All that Cal.com saw since the environment was started, in order of arrival."""
    remote: Sequence[Remote] | None = None
    rows: Rows | None = None
    depths: Sequence[Depth] | None = None
    counters: History | None = None
    """What was counted from the beginning to the end, as a history of one step: see `levels`."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """When a step of the scenario happened."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why something is None, by its name here."""


def overlaps(spans: Iterable[tuple[str, float, float]]) -> int:
    """Count the pairs of spans (host, start, end) of one host that share some time."""
    pairs, ends = 0, list[tuple[str, float]]()
    for host, start, end in sorted(spans):
        ends = [(other, until) for other, until in ends if other == host and until > start]
        pairs += len(ends)
        ends.append((host, end))
    return pairs


def instant(text: str) -> float:
    """Return the instant of an RFC 3339 text."""
    return datetime.fromisoformat(text).timestamp()


# --- what is read when a run is over -------------------------------------------------------------------------------


def event_types_of(tenants: Mapping[str, Tenant]) -> dict[str, EventType]:
    """Return what can be booked, by the id of the service."""
    found = {}
    for tenant in tenants.values():
        for slug, service in tenant.services.items():
            minutes, hosts, after = dataset.EVENT_TYPES[slug]
            found[service] = EventType(slug, hosts, minutes, after)
    return found


def read_requests(simulator: SimulatorClient) -> list[Request]:
    """Return what Cal.com saw."""
    names = Request.__dataclass_fields__
    return [Request(**{name: each[name] for name in names}) for each in simulator.requests() if each["counted"]]


def read_remote(simulator: SimulatorClient) -> list[Remote]:
    """Return the bookings of Cal.com, cancelled ones included."""
    return [
        Remote(
            slug=each["event_type"],
            host=each["host"],
            status=each["status"],
            booking=each["metadata"].get(METADATA_KEY),
            **{name: instant(each[name]) for name in ("start", "end", "created_at", "updated_at")},
        )
        for each in simulator.bookings()
    ]


def read_rows() -> Rows:
    """Return what our database says."""
    own = Appointment.objects.values_list(
        "public_id", "event_type__slug", "state", "start", "end", "created_at", "changed_at"
    )
    operations = OperationRow.objects.values_list(
        "public_id", "appointment__public_id", "kind", "state", "requested_at", "finished_at", "new_start"
    )
    claimed = Claim.objects.filter(kind=Claim.Kind.CONFIRMED).values_list(
        "host__username", "start", "end", "conflicting"
    )
    return Rows(
        own=[Own(*_in_seconds(row)) for row in own],
        operations=[Operation(*_in_seconds(row)) for row in operations],
        claimed=[Claimed(*_in_seconds(row)) for row in claimed],
    )


def _in_seconds(row: Sequence[Any]) -> list[Any]:
    return [each.timestamp() if isinstance(each, datetime) else each for each in row]
