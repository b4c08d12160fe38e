"""
What is known of a run when it is over, from five sides: the callers, Cal.com, our rows, the queues, the clock.

All instants are seconds since 1970: every part of a run has the same clock. What could not be found out is None.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.load.call_log import Ledger
from tests.load.scenarios import Run

SLOTS = "GET /v2/slots"
OPEN = frozenset({"queued", "sending", "unknown"})


@dataclass(frozen=True)
class Request:
    """One request that Cal.com saw."""

    key: str
    """The beginning of a hash: which API key it was."""
    operation: str
    path: str
    arrived_at: float
    answered_at: float | None
    status: int
    """0: it was not answered."""

    @property
    def is_write(self) -> bool:
        """Return whether it books, moves or cancels, or looks where to move: what a wish costs by itself."""
        return self.operation.startswith("POST") or "bookingUidToReschedule" in self.path


@dataclass(frozen=True)
class Remote:
    """A booking that Cal.com has."""

    slug: str
    """Of the event type."""
    host: str
    start: float
    end: float
    status: str
    created_at: float
    updated_at: float
    booking: str | None
    """Our id, which it carries; None for a booking made elsewhere."""

    @property
    def stands(self) -> bool:
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
class Wish:
    """A change in our rows: what was asked for, and how far it is."""

    operation_id: str
    booking: str
    operation: str
    state: str
    asked_at: float
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
    """How many messages waited."""

    at: float
    by_queue: Mapping[str, int]


@dataclass(frozen=True)
class EventType:
    """What can be booked, and who serves it."""

    slug: str
    hosts: tuple[str, ...]
    minutes: int
    after_minutes: int = 0


@dataclass(frozen=True)
class Rows:
    """What our database says."""

    own: Sequence[Own]
    wishes: Sequence[Wish]
    claimed: Sequence[Claimed]


@dataclass(frozen=True)
class Evidence:
    """All of it."""

    run: Run
    began: float
    ended: float
    event_types: Mapping[str, EventType]
    """By the id of the service that callers ask for."""
    ledger: Ledger | None = None
    locust: int | None = None
    """Requests that locust's own statistics count."""
    requests: Sequence[Request] | None = None
    """All that Cal.com saw since the ground was brought up, in order of arrival."""
    remote: Sequence[Remote] | None = None
    rows: Rows | None = None
    depths: Sequence[Depth] | None = None
    marks: Mapping[str, float] = field(default_factory=dict)
    """When something was done that the scenario is about."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why something is None, by its name here."""


def overlaps(spans: Iterable[tuple[str, float, float]]) -> int:
    """Count the pairs of spans (host, start, end) of one host that share some time."""
    pairs, ends = 0, list[tuple[str, float]]()
    for host, start, end in sorted(spans):
        ends = [(whose, until) for whose, until in ends if whose == host and until > start]
        pairs += len(ends)
        ends.append((host, end))
    return pairs


def instant(text: str) -> float:
    """Return the instant that RFC 3339 text names."""
    return datetime.fromisoformat(text).timestamp()
