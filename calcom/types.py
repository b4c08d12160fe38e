"""Values that `CalcomService` takes and returns. Instants are aware and in UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NotRequired, TypedDict

from calcom.day_ranges import LONGEST_CHANGE


class Priority(StrEnum):
    """Which requests go first when the rate limit is short."""

    WRITE = "write"  # writes of bookings and their look-ups
    LIVE = "live"  # a caller waits
    REFRESH = "refresh"
    BACKGROUND = "background"  # warming, sync, polling


class RemoteState(StrEnum):
    """Cal.com's state of a booking."""

    ACCEPTED = "accepted"
    PENDING = "pending"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def takes_time(self) -> bool:
        """Whether the host is busy with it, or may be."""
        return self in {RemoteState.ACCEPTED, RemoteState.PENDING}


@dataclass(frozen=True)
class NewBooking:
    """A booking to create."""

    start: datetime
    attendee_name: str = field(repr=False)
    attendee_email: str = field(repr=False)
    time_zone: str
    """IANA name; the attendee's."""
    appointment_id: str
    """Our public id, sent as metadata: it identifies our booking."""
    attendee_phone: str | None = field(default=None, repr=False)
    language: str = "en"
    """BCP 47; Cal.com gets the nearest language that it has."""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Values of booking fields, by slug."""


NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Start and end of a booking with unreadable times: past, and without length."""
FURTHEST_AHEAD = timedelta(days=3660)
"""The furthest that an appointment may be ahead."""


@dataclass(frozen=True)
class RemotePerson:
    """A host or an attendee of a booking; an attendee may be a host as well."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    """Lower case."""
    id: int | None = None
    """Cal.com's; None for an attendee."""


@dataclass(frozen=True)
class RemoteBooking:
    """
    A booking as Cal.com has it.

    Optional members are empty or None if Cal.com does not send them, or not readably.
    """

    uid: str = field(repr=False)
    """The right to read, reschedule and cancel it: never logged or shown."""
    state: RemoteState
    start: datetime
    end: datetime
    event_type_id: int | None
    """Cal.com's id; None if the event type was deleted."""
    host_ids: Sequence[int]
    """Cal.com's ids of the hosts."""
    attendee_email: str = field(repr=False)
    """Lower case; empty without an attendee."""
    appointment_id: str | None
    """From our metadata; None for a booking made elsewhere. Kept when the booking is rescheduled."""
    rescheduled_from_uid: str | None = field(default=None, repr=False)
    rescheduled_to_uid: str | None = field(default=None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attendee_name: str = field(default="", repr=False)
    attendee_phone: str | None = field(default=None, repr=False)
    people: Sequence[RemotePerson] = ()
    """Hosts and attendees. Hosts beside the organizer are among the attendees, without id (seen 2026-11-30)."""

    @property
    def flaw(self) -> str:
        """Why no appointment can be at this time, in words; empty if one can."""
        if self.end <= self.start:
            return "it ends before it begins"
        if self.end - self.start > LONGEST_CHANGE:
            return "it lasts longer than any appointment"
        if self.start > datetime.now(UTC) + FURTHEST_AHEAD:
            return "it is further ahead than any appointment"
        return ""


@dataclass(frozen=True)
class UnreadableBooking:
    """A booking in a list that cannot be read."""

    uid: str = field(repr=False)
    """Empty if unreadable, too."""
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
        """The reason in words, for staff."""
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
    UnsupportedReason.NO_HOSTS: "it has no hosts",
}


class ListReach(StrEnum):
    """
    How far around a booking rules of the event type change its list, beyond the time of its hosts.

    A limit per week empties the week; if only the first slot of a day is listed, another one replaces it. What our own
    appointments take from such a list cannot be computed here.
    """

    NONE = ""
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def days(self) -> int:
        """The days before and after the booked ones, one more on each side for time zones included."""
        return _REACHES[self]


_REACHES = {ListReach.NONE: 0, ListReach.DAY: 1, ListReach.WEEK: 7, ListReach.MONTH: 31, ListReach.YEAR: 366}


@dataclass(frozen=True)
class RemoteHost:
    """A host at Cal.com."""

    id: int
    name: str
    username: str = ""
    time_zone: str = ""
    """IANA name; empty if unknown."""
    email: str = field(default="", repr=False)
    """Lower case; empty if unknown."""
    fixed: bool = False
    """Whether the host attends each booking of the event type, instead of taking turns."""


@dataclass(frozen=True)
class RemoteWebhook:
    """A webhook of the key's owner, as Cal.com lists it."""

    id: str
    url: str
    triggers: frozenset[str]
    active: bool
    secret: str = field(default="", repr=False)
    """Empty without one."""


PHONE_FIELDS = frozenset({"attendeePhoneNumber", "smsReminderNumber"})
"""Slugs of the booking fields that get the phone number of the attendee."""


class RequiredField(TypedDict):
    """A booking field that Cal.com requires, beyond name and e-mail."""

    slug: str
    type: str
    options: list[str]
    label: NotRequired[str]
    """Its label at Cal.com; missing in rows of an older version."""


@dataclass(frozen=True)
class RemoteEventType:
    """An event type as Cal.com has it, with all its lengths."""

    id: int
    title: str
    slug: str
    lengths: Sequence[int]
    """Minutes; several if the caller chooses, none if unreadable."""
    before_buffer: int
    """Minutes, like the next two."""
    after_buffer: int
    notice: int
    hosts: Sequence[RemoteHost]
    required_fields: Sequence[RequiredField]
    unsupported_reasons: Sequence[UnsupportedReason]
    list_reach: ListReach = ListReach.NONE
    limits_each_booker: bool = False
    """Whether the number of bookings of each address is limited."""
    booking_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """{`count` or `duration` (minutes): {`day`, `week`, `month` or `year`: most}}."""
    cancelling_disabled: bool = False
    rescheduling_disabled: bool = False
    rescheduling_notice: int = 0
    """Minutes before its start within which a booking cannot be rescheduled."""
