"""What Cal.com has stored, and the indexes that keep questions about it fast."""

import string
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from random import Random
from typing import Literal

from calcom.simulator.diary import Diary, Span
from calcom.simulator.world import EventType, Json, User, World

Status = Literal["accepted", "pending", "cancelled", "rejected"]
Now = Callable[[], datetime]

_UID_LETTERS = string.ascii_letters + string.digits
_UID_LENGTH = 22


@dataclass
class Attendee:
    """Somebody who comes; `seat_uid` is set where several share the booking."""

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
    moved_by: str | None = None
    moved_from: "Booking | None" = None
    moved_to: "Booking | None" = None
    series: str | None = None
    host_absent: bool = False
    lost_its_type: bool = False
    fixed: "list[User]" = field(default_factory=list)

    @property
    def everybody(self) -> list[User]:
        """All hosts who attend: the organizer, then the others."""
        return [*self.fixed, *([] if self.host in self.fixed else [self.host])]

    @property
    def organizer(self) -> User:
        """The one host whom answers name as such; who it is where one of several is fixed is a guess (unreplayed)."""
        return self.everybody[0]

    @property
    def event_type_id(self) -> int | None:
        """The id that answers and messages name; none where the event type was deleted."""
        return None if self.lost_its_type else self.event_type.id

    @property
    def is_live(self) -> bool:
        """Whether it still stands, confirmed or waiting."""
        return self.status in {"accepted", "pending"}

    @property
    def title(self) -> str:
        """What the calendar shows."""
        return f"{self.event_type.title} between {self.organizer.name} and {self.attendees[0].name}"

    def has_attendee(self, email: str) -> bool:
        """Tell whether somebody with this address comes."""
        return any(attendee.email == email for attendee in self.attendees)

    def span(self) -> Span:
        """Return the time it takes, with the buffers of its event type."""
        before, after = self.event_type.before_minutes * 60, self.event_type.after_minutes * 60
        return Span(self.start - before, self.end + after, self.uid)


@dataclass
class Reservation:
    """A hold on a time, which hides it from slots and refuses nothing."""

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
    Remembers answers by their exact query.

    Cal.com caches slot lists for 2 s, and a booking does not clear them (recorded 2026-11-21).
    """

    def __init__(self) -> None:
        self.lifetime_s = 2.0
        self._answers: dict[str, tuple[float, bytes]] = {}

    def read(self, query: str, now: float) -> bytes | None:
        """Return the remembered answer, if it is young enough."""
        answered_at, body = self._answers.get(query, (0.0, None))
        return body if now - answered_at < self.lifetime_s else None

    def store(self, query: str, now: float, body: bytes) -> None:
        """Remember an answer, and forget all old ones now and then."""
        if len(self._answers) > 1000:
            self._answers = {asked: kept for asked, kept in self._answers.items() if now - kept[0] < self.lifetime_s}
        self._answers[query] = (now, body)


class DoubleBookingError(Exception):
    """An accepted booking of the same host has exactly the same start and end."""


class State:
    """The tables; every change to them goes through here so that the indexes stay true."""

    def __init__(self, world: World, seed: int, now: Now) -> None:
        self.clock = now
        self.random = Random(seed)
        self.users = {user.id: user for user in world.users}
        self.usernames = {user.username: user for user in world.users}
        self.keys = {user.api_key: user for user in world.users if user.api_key}
        self.expired_keys: set[str] = set()
        self.event_types = {event_type.id: event_type for event_type in world.event_types}
        self.bookings: dict[str, Booking] = {}
        self.reservations: dict[str, Reservation] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.unreachable_calendars: set[str] = set()
        self.cancels_what_was_moved = False
        self.slots_cache = SlotsCache()
        self._diaries: defaultdict[int, Diary] = defaultdict(Diary)
        self._busy: dict[str, tuple[int, Span]] = {}
        self._exact: dict[tuple[int, int, int], str] = {}
        self._turns: dict[int, int] = {}
        self._ids = count(1)

    def now(self) -> float:
        """Return the moment, in seconds since 1970, that the rules go by."""
        return self.clock().timestamp()

    # People and event types

    def owner(self, event_type: EventType) -> User:
        """Return the user to whom the event type belongs."""
        return self.usernames[event_type.owner]

    def hosts(self, event_type: EventType) -> list[User]:
        """Return who can serve the event type."""
        return [self.usernames[name] for name in event_type.hosts or (event_type.owner,)]

    def fixed_hosts(self, event_type: EventType) -> list[User]:
        """Return who attends each booking of the event type."""
        return [self.usernames[name] for name in event_type.fixed]

    def event_types_of(self, user: User) -> list[EventType]:
        """Return the event types that belong to the user."""
        return [event_type for event_type in self.event_types.values() if event_type.owner == user.username]

    def find_event_type(self, slug: str, username: str | None = None) -> EventType | None:
        """Find an event type by slug and the name of its owner."""
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
        """Remove an event type. Its bookings stay, and name none any more (seen 2026-11-30, not recorded)."""
        del self.event_types[event_type.id]
        for booking in self.bookings.values():
            if booking.event_type.id == event_type.id:
                booking.lost_its_type = True

    # Time

    def diary(self, host: User) -> Diary:
        """Return what occupies the host."""
        return self._diaries[host.id]

    def take_turns(self, hosts: list[User]) -> User:
        """Choose the host who was booked least recently."""
        return min(hosts, key=lambda host: self._turns.get(host.id, 0))

    def block(self, host: User, start: int, end: int) -> str:
        """Write an appointment of an outside calendar down and return its uid."""
        uid = self.new_uid()
        span = Span(start, end, uid)
        self._busy[uid] = (host.id, span)
        self._diaries[host.id].add(span)
        return uid

    def unblock(self, uid: str) -> None:
        """Strike an appointment of an outside calendar out; raises `KeyError` for an unknown one."""
        host_id, span = self._busy.pop(uid)
        self._diaries[host_id].remove(span)

    def holds(self, host: User) -> Iterator[Reservation]:
        """Yield the holds in force on the host's time, of whichever event type (recorded 2026-11-21)."""
        now = self.now()
        for uid in [uid for uid, reservation in self.reservations.items() if reservation.until <= now]:
            del self.reservations[uid]
        for reservation in self.reservations.values():
            if host in self.hosts(reservation.event_type):
                yield reservation

    # Bookings

    def add(self, booking: Booking, *, even_if_taken: bool = False) -> Booking:
        """
        Store a booking and give it its ids.

        Raises:
            DoubleBookingError: The one thing the database checks: same host, same start, same end, both accepted.

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

    def change(self, booking: Booking, status: Status) -> None:
        """Move a booking to another status."""
        self._vacate(booking)
        booking.status = status
        booking.updated_at = self.now()
        self._occupy(booking)

    def find_booking(self, event_type: EventType, start: int, email: str | None = None) -> Booking | None:
        """Find a live booking of the event type that starts then, of that attendee if one is named."""
        hosts = self.hosts(event_type)
        spans = (span for host in hosts for span in self.diary(host).overlapping(start, start + 1))
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
        """Make up a uid as bookings have them."""
        return "".join(self.random.choices(_UID_LETTERS, k=_UID_LENGTH))

    def new_uuid(self) -> str:
        """Make up a uid as seats, reservations, series and webhooks have them."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _occupy(self, booking: Booking) -> None:
        if booking.status == "accepted" or (booking.status == "pending" and booking.event_type.pending_blocks):
            for host in booking.everybody:
                self._diaries[host.id].add(booking.span())
        if booking.status == "accepted":
            self._exact[booking.organizer.id, booking.start, booking.end] = booking.uid

    def _vacate(self, booking: Booking) -> None:
        for host in booking.everybody:
            self._diaries[host.id].remove(booking.span())
        key = (booking.organizer.id, booking.start, booking.end)
        if self._exact.get(key) == booking.uid:
            del self._exact[key]
