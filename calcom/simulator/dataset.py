"""The data a simulated Cal.com starts with, readable from JSON: users, their working hours, event types."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Json = dict[str, Any]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Hours:
    """Working hours on some weekdays, in the user's time zone; an `end` of 23:59 means midnight."""

    days: tuple[str, ...] = WEEKDAYS[:5]
    start: str = "09:00"
    end: str = "17:00"


@dataclass(frozen=True)
class Override:
    """The hours of one date instead of those of its weekday; equal `start` and `end` close it."""

    date: str
    start: str = "00:00"
    end: str = "00:00"


@dataclass(frozen=True)
class User:
    """A user with a schedule: owner of event types and of an API key, host, or both."""

    id: int
    username: str
    name: str
    time_zone: str = "UTC"
    email: str = ""
    api_key: str | None = None
    hours: tuple[Hours, ...] = (Hours(),)
    overrides: tuple[Override, ...] = ()

    @property
    def address(self) -> str:
        return self.email or f"{self.username}@example.com"


@dataclass(frozen=True)
class EventType:
    """
    What can be booked with `owner`; without `hosts` the owner is the host, several take turns (round robin).

    Those of them in `fixed` attend each booking, beside the one whose turn it is; all of them do in a collective type.

    `booking_window`, `confirmation`, `seats`, `recurrence`, `locations` and `fields` (the custom booking fields)
    are written as Cal.com writes them. `phone_first` asks for a phone number instead of an e-mail address, and
    `phone_required` for one beside it;
    `first_slot_only` lists the first slot of each of the owner's days (not recorded). `limits_count` and
    `limits_duration` (minutes) are by period, `rescheduling` says when it is disabled, all as Cal.com writes them;
    `booker_limit` is how many bookings to come each address may have.
    """

    id: int
    owner: str
    slug: str
    title: str
    minutes: int = 30
    hosts: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    minutes_options: tuple[int, ...] = ()
    description: str = ""
    notice_minutes: int = 0
    before_minutes: int = 0
    after_minutes: int = 0
    interval_minutes: int | None = None
    booking_window: Json | None = None
    confirmation: Json | None = None
    seats: Json | None = None
    recurrence: Json | None = None
    locations: tuple[Json, ...] = ()
    fields: tuple[Json, ...] = ()
    phone_first: bool = False
    phone_required: bool = False
    requires_authentication: bool = False
    hidden: bool = False
    first_slot_only: bool = False
    limits_count: Json | None = None
    limits_duration: Json | None = None
    booker_limit: int = 0
    cancelling_disabled: bool = False
    rescheduling: Json | None = None

    @property
    def seat_count(self) -> int:
        """The seats of each booking; 0 without seats."""
        return int(self.seats["seatsPerTimeSlot"]) if self.seats else 0

    @property
    def pending_blocks(self) -> bool:
        """Whether a pending booking occupies its time."""
        return bool(self.confirmation and self.confirmation.get("blockUnconfirmedBookingsInBooker"))


@dataclass(frozen=True)
class Dataset:
    """The state before the first request."""

    users: tuple[User, ...] = ()
    event_types: tuple[EventType, ...] = ()

    def to_json(self) -> Json:
        """Return JSON for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a dataset; raises `TypeError` for unknown members."""
        return cls(
            users=tuple(_user(user) for user in data.get("users", ())),
            event_types=tuple(EventType(**_tuples(event_type)) for event_type in data.get("event_types", ())),
        )


def demo() -> Dataset:
    """Build the dataset of the demo: a salon in Berlin and a practice in New York, unrelated."""
    hours = (Hours(days=WEEKDAYS[:6], start="09:00", end="18:00"),)
    return Dataset(
        users=(
            User(101, "salon", "Salon Berlin", "Europe/Berlin", api_key="cal_demo_salon", hours=hours),
            User(102, "emma", "Emma", "Europe/Berlin", hours=hours),
            User(103, "ben", "Ben", "Europe/Berlin", hours=hours),
            User(201, "practice", "Practice New York", "America/New_York", api_key="cal_demo_practice"),
        ),
        event_types=(
            EventType(1, "salon", "haircut", "Haircut", 30, hosts=("emma", "ben")),
            EventType(2, "salon", "colour", "Colour", 60, hosts=("emma",)),
            EventType(3, "salon", "beard-trim", "Beard trim", 15, hosts=("ben",)),
            EventType(11, "practice", "check-up", "Check-up", 30, fields=(_INSURANCE,)),
            EventType(12, "practice", "follow-up", "Follow-up", 15, minutes_options=(15, 30)),
            EventType(13, "practice", "vaccination", "Vaccination", 15, confirmation=_CONFIRMED_BY_HAND),
        ),
    )


_INSURANCE: Json = {
    "type": "select",
    "slug": "insurance",
    "label": "Insurance",
    "required": True,
    "placeholder": "",
    "options": ["Public", "Private", "None"],
}
_CONFIRMED_BY_HAND: Json = {"type": "always", "blockUnconfirmedBookingsInBooker": False}


def _user(data: Mapping[str, Any]) -> User:
    known = dict(data)
    known["hours"] = tuple(Hours(**_tuples(hours)) for hours in data.get("hours", (asdict(Hours()),)))
    known["overrides"] = tuple(Override(**override) for override in data.get("overrides", ()))
    return User(**known)


def _tuples(data: Mapping[str, Any]) -> Json:
    """Turn lists, which JSON has instead of tuples, back into tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
