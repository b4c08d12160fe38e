"""What Cal.com has stored, with indexes by host and time."""

import string
import uuid
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from random import Random
from typing import Literal, NamedTuple

from calcom.simulator.dataset import Dataset, EventType, Json, User


class Span(NamedTuple):
    """A half-open interval, buffers included, and the uid of the booking or appointment that fills it."""

    start: int
    end: int
    uid: str


class BusyTimes:
    """The spans of one host; they may overlap, because Cal.com lets them."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._longest = 0

    def add(self, span: Span) -> None:
        insort(self._spans, span)
        self._longest = max(self._longest, span.end - span.start)

    def remove(self, span: Span) -> None:
        """Remove a span if it is there."""
        at = bisect_left(self._spans, span)
        if at < len(self._spans) and self._spans[at] == span:
            del self._spans[at]

    def overlapping(self, start: int, end: int, ignored: Container[str] = ()) -> Iterator[Span]:
        """Yield the spans that overlap the interval, by start, except the uids in `ignored`."""
        for at in range(bisect_left(self._spans, (start - self._longest,)), len(self._spans)):
            span = self._spans[at]
            if span.start >= end:
                return
            if span.end > start and span.uid not in ignored:
                yield span

    def is_free(self, start: int, end: int, ignored: Container[str] = ()) -> bool:
        """Return whether no span overlaps the interval, except the uids in `ignored`."""
        return next(self.overlapping(start, end, ignored), None) is None


Status = Literal["accepted", "pending", "cancelled", "rejected"]
Now = Callable[[], datetime]

_UID_LETTERS = string.ascii_letters + string.digits
_UID_LENGTH = 22


@dataclass
class Attendee:
    """An attendee; `seat_uid` is set if the event type has seats."""

    name: str
    email: str
    time_zone: str
    phone: str | None = None
    language: str = "en"
    absent: bool = False
    seat_uid: str | None = None
    responses: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)


@dataclass
class Booking:
    """One booking of one host; `start` and `end` are seconds since 1970."""

    event_type: EventType
    owner: User
    host: User
    start: int
    end: int
    status: Status
    attendees: list[Attendee]
    location: str = ""
    description: str = ""
    metadata: Json = field(default_factory=dict)
    responses: Json = field(default_factory=dict)
    guests: list[str] = field(default_factory=list)
    external: bool = False
    id: int = 0
    uid: str = ""
    ics_uid: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    cancellation_reason: str = ""
    rejection_reason: str = ""
    rescheduling_reason: str | None = None
    rescheduled_by: str | None = None
    rescheduled_from: "Booking | None" = None
    rescheduled_to: "Booking | None" = None
    series: str | None = None
    host_absent: bool = False
    event_type_deleted: bool = False
    fixed: "list[User]" = field(default_factory=list)

    @property
    def all_hosts(self) -> list[User]:
        """All hosts who attend: the organizer, then the others."""
        return [*self.fixed, *([] if self.host in self.fixed else [self.host])]

    @property
    def organizer(self) -> User:
        """The host that responses name; which one if some of several are fixed is a guess (unreplayed)."""
        return self.all_hosts[0]

    @property
    def event_type_id(self) -> int | None:
        """The id in responses and messages; `None` if the event type was deleted."""
        return None if self.event_type_deleted else self.event_type.id

    @property
    def is_live(self) -> bool:
        """Whether it is accepted or pending."""
        return self.status in {"accepted", "pending"}

    @property
    def title(self) -> str:
        return f"{self.event_type.title} between {self.organizer.name} and {self.attendees[0].name}"

    def has_attendee(self, email: str) -> bool:
        return any(attendee.email == email for attendee in self.attendees)

    def span(self) -> Span:
        """Return its time with the buffers of its event type."""
        before, after = self.event_type.before_minutes * 60, self.event_type.after_minutes * 60
        return Span(self.start - before, self.end + after, self.uid)


@dataclass
class Reservation:
    """A reservation hides a time from slots; it refuses no booking."""

    uid: str
    event_type: EventType
    start: int
    end: int
    until: float


@dataclass
class Webhook:
    """A subscription of a user or of an event type."""

    id: str
    url: str
    triggers: list[str]
    active: bool
    secret: str | None
    template: str | None
    version: str
    created_at: float
    user_id: int | None = None
    event_type_id: int | None = None


class SlotsCache:
    """
    Caches responses by their exact query.

    Cal.com caches slot lists for 2 s, and a booking does not clear them (recorded 2026-11-21).
    """

    def __init__(self) -> None:
        self.lifetime_s = 2.0
        self._answers: dict[str, tuple[float, bytes]] = {}

    def read(self, query: str, now: float) -> bytes | None:
        """Return the cached body, or `None` if it is missing or too old."""
        answered_at, body = self._answers.get(query, (0.0, None))
        return body if now - answered_at < self.lifetime_s else None

    def store(self, query: str, now: float, body: bytes) -> None:
        """Cache a body; drop expired ones now and then."""
        if len(self._answers) > 1000:
            self._answers = {fields: kept for fields, kept in self._answers.items() if now - kept[0] < self.lifetime_s}
        self._answers[query] = (now, body)


class DoubleBookingError(Exception):
    """An accepted booking of the same host has exactly the same start and end."""


class State:
    """The tables. All changes go through its methods, which keep the indexes consistent."""

    def __init__(self, dataset: Dataset, seed: int, now: Now) -> None:
        self.clock = now
        self.random = Random(seed)
        self.users = {user.id: user for user in dataset.users}
        self.usernames = {user.username: user for user in dataset.users}
        self.keys = {user.api_key: user for user in dataset.users if user.api_key}
        self.expired_keys: set[str] = set()
        self.event_types = {event_type.id: event_type for event_type in dataset.event_types}
        self.bookings: dict[str, Booking] = {}
        self.reservations: dict[str, Reservation] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.unreachable_calendars: set[str] = set()
        self.cancels_rescheduled = False
        self.slots_cache = SlotsCache()
        self._busy_times: defaultdict[int, BusyTimes] = defaultdict(BusyTimes)
        self._busy: dict[str, tuple[int, Span]] = {}
        self._exact: dict[tuple[int, int, int], str] = {}
        self._turns: dict[int, int] = {}
        self._ids = count(1)

    def now(self) -> float:
        """Return the time of the booking rules in seconds since 1970."""
        return self.clock().timestamp()

    # Users and event types

    def owner(self, event_type: EventType) -> User:
        return self.usernames[event_type.owner]

    def hosts(self, event_type: EventType) -> list[User]:
        return [self.usernames[name] for name in event_type.hosts or (event_type.owner,)]

    def fixed_hosts(self, event_type: EventType) -> list[User]:
        """Return the hosts who attend each booking of the event type."""
        return [self.usernames[name] for name in event_type.fixed]

    def event_types_of(self, user: User) -> list[EventType]:
        return [event_type for event_type in self.event_types.values() if event_type.owner == user.username]

    def find_event_type(self, slug: str, username: str | None = None) -> EventType | None:
        """Find an event type by slug and, if given, the username of its owner."""
        for event_type in self.event_types.values():
            if event_type.slug == slug and username in {None, event_type.owner}:
                return event_type
        return None

    def put_event_type(self, event_type: EventType) -> EventType:
        """Add or replace an event type; id 0 gets the next free one."""
        if not event_type.id:
            event_type = replace(event_type, id=max(self.event_types, default=0) + 1)
        self.event_types[event_type.id] = event_type
        return event_type

    def delete_event_type(self, event_type: EventType) -> None:
        """Remove an event type. Its bookings stay, without an event type (seen 2026-11-30, not recorded)."""
        del self.event_types[event_type.id]
        for booking in self.bookings.values():
            if booking.event_type.id == event_type.id:
                booking.event_type_deleted = True

    # Time

    def busy_times(self, host: User) -> BusyTimes:
        return self._busy_times[host.id]

    def take_turns(self, hosts: list[User]) -> User:
        """Return the host who was booked least recently."""
        return min(hosts, key=lambda host: self._turns.get(host.id, 0))

    def block(self, host: User, start: int, end: int) -> str:
        """Add an appointment of an outside calendar and return its uid."""
        uid = self.new_uid()
        span = Span(start, end, uid)
        self._busy[uid] = (host.id, span)
        self._busy_times[host.id].add(span)
        return uid

    def unblock(self, uid: str) -> None:
        """Remove an appointment of an outside calendar; raises `KeyError` for an unknown uid."""
        host_id, span = self._busy.pop(uid)
        self._busy_times[host_id].remove(span)

    def reservations_of(self, host: User) -> Iterator[Reservation]:
        """Yield the reservations in force on the host's time, of any event type (recorded 2026-11-21)."""
        now = self.now()
        for uid in [uid for uid, reservation in self.reservations.items() if reservation.until <= now]:
            del self.reservations[uid]
        for reservation in self.reservations.values():
            if host in self.hosts(reservation.event_type):
                yield reservation

    # Bookings

    def add(self, booking: Booking, *, even_if_taken: bool = False) -> Booking:
        """
        Store a booking and set its ids.

        Raises:
            DoubleBookingError: An accepted booking of the host has the same start and end; no more is checked here.

        """
        booking.fixed = self.fixed_hosts(booking.event_type)
        key = (booking.organizer.id, booking.start, booking.end)
        if booking.status == "accepted" and key in self._exact and not even_if_taken:
            raise DoubleBookingError
        booking.id = next(self._ids)
        booking.uid = self.new_uid()
        booking.ics_uid = booking.ics_uid or f"{booking.uid}@Cal.diy"
        booking.created_at = booking.updated_at = self.now()
        self.bookings[booking.uid] = booking
        self._turns[booking.host.id] = booking.id
        self._occupy(booking)
        return booking

    def set_status(self, booking: Booking, status: Status) -> None:
        self._vacate(booking)
        booking.status = status
        booking.updated_at = self.now()
        self._occupy(booking)

    def find_booking(self, event_type: EventType, start: int, email: str | None = None) -> Booking | None:
        """Find a live booking of the event type by start and, if given, by attendee."""
        hosts = self.hosts(event_type)
        spans = (span for host in hosts for span in self.busy_times(host).overlapping(start, start + 1))
        waiting = (uid for uid, booking in self.bookings.items() if booking.status == "pending")
        for uid in (*(span.uid for span in spans), *(waiting if event_type.confirmation else ())):
            booking = self.bookings.get(uid)
            if (
                booking
                and booking.event_type.id == event_type.id
                and booking.start == start
                and (email is None or booking.has_attendee(email))
            ):
                return booking
        return None

    def new_uid(self) -> str:
        """Return a new uid of a booking."""
        return "".join(self.random.choices(_UID_LETTERS, k=_UID_LENGTH))

    def new_uuid(self) -> str:
        """Return a new uid of a seat, reservation, series or webhook."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _occupy(self, booking: Booking) -> None:
        if booking.status == "accepted" or (booking.status == "pending" and booking.event_type.pending_blocks):
            for host in booking.all_hosts:
                self._busy_times[host.id].add(booking.span())
        if booking.status == "accepted":
            self._exact[booking.organizer.id, booking.start, booking.end] = booking.uid

    def _vacate(self, booking: Booking) -> None:
        for host in booking.all_hosts:
            self._busy_times[host.id].remove(booking.span())
        key = (booking.organizer.id, booking.start, booking.end)
        if self._exact.get(key) == booking.uid:
            del self._exact[key]
