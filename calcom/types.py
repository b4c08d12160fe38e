"""What crosses the door of `CalcomService`: values, not dictionaries. Instants are aware and in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Priority(StrEnum):
    """Who goes first when requests are scarce."""

    WRITE = "write"  # booking writes and their look-ups
    LIVE = "live"  # a caller waits for it
    REFRESH = "refresh"
    BACKGROUND = "background"  # warming, sync, polling


class RemoteState(StrEnum):
    """Cal.com's word for where a booking is."""

    ACCEPTED = "accepted"
    PENDING = "pending"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True)
class NewBooking:
    """What Cal.com is asked to book."""

    start: datetime
    attendee_name: str
    attendee_email: str
    time_zone: str
    """IANA name; the attendee's."""
    appointment_id: str
    """Our public id; goes into the metadata, and is how we recognise our own booking."""
    attendee_phone: str | None = None
    language: str = "en"
    fields: Mapping[str, object] = field(default_factory=dict)
    """Answers to booking fields, by slug."""


@dataclass(frozen=True)
class RemoteBooking:
    """A booking as Cal.com has it."""

    uid: str = field(repr=False)
    """A bearer right to read, move and cancel it: never logged, never shown."""
    state: RemoteState
    start: datetime
    end: datetime
    event_type_id: int
    """Cal.com's id."""
    host_ids: Sequence[int]
    """Cal.com's ids of the hosts."""
    attendee_email: str = field(repr=False)
    appointment_id: str | None
    """What our metadata says, None for a booking made elsewhere."""
    moved_from_uid: str | None = field(default=None, repr=False)
    moved_to_uid: str | None = field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attendee_name: str = field(default="", repr=False)
    attendee_phone: str | None = field(default=None, repr=False)
