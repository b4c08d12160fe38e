"""What crosses the door of `CalcomService`: values, not dictionaries. Instants are aware and in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NotRequired, TypedDict

from calcom.day_ranges import LONGEST_CHANGE


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

    @property
    def takes_time(self) -> bool:
        """Return whether the host is busy with it, or may be."""
        return self in {RemoteState.ACCEPTED, RemoteState.PENDING}


@dataclass(frozen=True)
class NewBooking:
    """What Cal.com is asked to book."""

    start: datetime
    attendee_name: str = field(repr=False)
    attendee_email: str = field(repr=False)
    time_zone: str
    """IANA name; the attendee's."""
    appointment_id: str
    """Our public id; goes into the metadata, and is how we recognise our own booking."""
    attendee_phone: str | None = field(default=None, repr=False)
    language: str = "en"
    """BCP 47; Cal.com gets the nearest one it knows."""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Answers to booking fields, by slug."""


NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Start and end of a booking whose times could not be read: over, and no host's time."""
FURTHEST_AHEAD = timedelta(days=3660)
"""How far ahead an appointment may be at most."""


@dataclass(frozen=True)
class RemotePerson:
    """A person whom a booking names: one of its hosts, or an attendee, who may be a host as well."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    """Lower case."""
    id: int | None = None
    """Cal.com's; None for an attendee."""


@dataclass(frozen=True)
class RemoteBooking:
    """
    A booking as Cal.com has it.

    Members that no decision needs are empty or None where Cal.com does not say them, or not readably.
    """

    uid: str = field(repr=False)
    """A bearer right to read, move and cancel it: never logged, never shown."""
    state: RemoteState
    start: datetime
    end: datetime
    event_type_id: int | None
    """Cal.com's id; None where the event type was deleted."""
    host_ids: Sequence[int]
    """Cal.com's ids of the hosts."""
    attendee_email: str = field(repr=False)
    """Lower case; empty where there is no attendee."""
    appointment_id: str | None
    """What our metadata says, None for a booking made elsewhere. A booking that was moved keeps it."""
    rescheduled_from_uid: str | None = field(default=None, repr=False)
    rescheduled_to_uid: str | None = field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attendee_name: str = field(default="", repr=False)
    attendee_phone: str | None = field(default=None, repr=False)
    people: Sequence[RemotePerson] = ()
    """Everybody whom it names. Hosts beside the organizer stand among the attendees, without id (seen 2026-11-30)."""

    @property
    def flaw(self) -> str:
        """Return in a few words why no appointment can be at this time; empty where one can."""
        if self.end <= self.start:
            return "it ends before it begins"
        if self.end - self.start > LONGEST_CHANGE:
            return "it lasts longer than any appointment"
        if self.start > datetime.now(UTC) + FURTHEST_AHEAD:
            return "it is further ahead than any appointment"
        return ""


@dataclass(frozen=True)
class UnreadableBooking:
    """A booking in a list that cannot be read; what of it can."""

    uid: str = field(repr=False)
    """Empty where not even that."""
    updated_at: datetime | None = None


class UnsupportedReason(StrEnum):
    """Why an event type cannot be booked through us."""

    SEATS = "seats"
    RECURRENCE = "recurrence"
    MANAGED = "managed"
    COLLECTIVE = "collective"  # until the next sync: no event type has it any more, rows of an older version may
    CONFIRMATION = "confirmation"  # until the next sync, too
    BOOKING_LIMITS = "booking_limits"  # until the next sync, too
    PHONE_FIRST = "phone_first"
    EMAIL_CODE = "email_code"
    NUMBER_FIELD = "number_field"
    PAYMENT = "payment"
    NO_HOSTS = "no_hosts"

    @property
    def sentence(self) -> str:
        """Return it in words for the people who look after the account."""
        return _SENTENCES[self]


_SENTENCES = {
    UnsupportedReason.SEATS: "several people share one booking (seats)",
    UnsupportedReason.RECURRENCE: "one booking makes several appointments (recurrence)",
    UnsupportedReason.MANAGED: "it is the parent of managed event types; book its children",
    UnsupportedReason.COLLECTIVE: "all its hosts attend together (collective)",
    UnsupportedReason.CONFIRMATION: "the host must confirm each booking",
    UnsupportedReason.BOOKING_LIMITS: "bookings per day, week or month are limited",
    UnsupportedReason.PHONE_FIRST: "it wants a phone number instead of an e-mail address",
    UnsupportedReason.NUMBER_FIELD: "a required booking field is of type number, which the API accepts no answer to",
    UnsupportedReason.EMAIL_CODE: "the caller would have to type a code sent by e-mail",
    UnsupportedReason.PAYMENT: "it must be paid for when booking",
    UnsupportedReason.NO_HOSTS: "nobody serves it",
}


class ListReach(StrEnum):
    """
    How far around a booking an event type's list changes by its own rules, beyond the time of its hosts.

    A limit per week empties the week; where only the first slot of a day is listed, another one takes its place; a
    window that rolls on over free days only moves its end. What our own appointments take from such a list cannot be
    worked out here.
    """

    NONE = ""
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def days(self) -> int:
        """Return how many days before and after the booked ones. One more each way covers every time zone."""
        return _REACHES[self]


_REACHES = {ListReach.NONE: 0, ListReach.DAY: 1, ListReach.WEEK: 7, ListReach.MONTH: 31, ListReach.YEAR: 366}


@dataclass(frozen=True)
class RemoteHost:
    """A person who can be booked."""

    id: int
    name: str
    username: str = ""
    time_zone: str = ""
    """IANA name; empty where Cal.com does not say."""
    email: str = field(default="", repr=False)
    """Lower case; empty where Cal.com does not say."""
    fixed: bool = False
    """Whether they attend each booking of the event type, instead of taking turns."""


PHONE_FIELDS = frozenset({"attendeePhoneNumber", "smsReminderNumber"})
"""Slugs of the booking fields that the number of the attendee answers."""


class RequiredField(TypedDict):
    """A booking field that Cal.com insists on, beyond name and e-mail."""

    slug: str
    type: str
    options: list[str]
    label: NotRequired[str]
    """What staff called it; missing in rows of an older version."""


@dataclass(frozen=True)
class RemoteEventType:
    """An event type as Cal.com has it, with all its lengths."""

    id: int
    title: str
    slug: str
    lengths: Sequence[int]
    """Minutes; more than one where the caller chooses, none where Cal.com does not say it readably."""
    before_buffer: int
    """Minutes, as the next two."""
    after_buffer: int
    notice: int
    hosts: Sequence[RemoteHost]
    required_fields: Sequence[RequiredField]
    unsupported_reasons: Sequence[UnsupportedReason]
    list_reach: ListReach = ListReach.NONE
    limits_each_booker: bool = False
    """Whether each address may have so many bookings only."""
    booking_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By what is counted (`count`, or `duration` in minutes) how much a day, week, month or year allows."""
    cancelling_disabled: bool = False
    rescheduling_disabled: bool = False
    rescheduling_notice: int = 0
    """Minutes before its start from which a booking cannot be rescheduled any more."""
