"""
Events at Cal.com, and the handler that the app above registers for them.

Webhooks are lost, late, repeated and out of order: they report what was true when they were sent. A snapshot is true at
the moment of reading.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DataError

from calcom.models import Account
from calcom.types import RemoteBooking


@dataclass(frozen=True)
class BookingWebhook:
    """A webhook reported a booking."""

    booking: RemoteBooking
    reported_at: datetime | None = None
    """By Cal.com's clock."""
    is_certain: bool = True
    """False if it may be about a part of the booking only, such as one of several seats."""


@dataclass(frozen=True)
class BookingSnapshot:
    """A booking was read at Cal.com just now."""

    booking: RemoteBooking


@dataclass(frozen=True)
class MeetingEnded:
    """A booking has ended."""

    uid: str = field(repr=False)


@dataclass(frozen=True)
class AbsenceMarked:
    """Attendees of a booking were marked as absent or as present."""

    uid: str = field(repr=False)
    absent: frozenset[str] = field(repr=False)
    """Addresses in lower case."""
    present: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class HostAway:
    """A host is out of office from `start` to `end`."""

    host_id: int
    """Cal.com's id."""
    start: datetime
    end: datetime


@dataclass(frozen=True)
class EventTypesSynced:
    """Event types of the account were synced."""


Event = BookingWebhook | BookingSnapshot | MeetingEnded | AbsenceMarked | HostAway | EventTypesSynced


class Ignored(Exception):
    """The event needs no action, now or later; the message says why."""


class RetryLater(Exception):
    """The event cannot be handled while something else is in progress here: dispatch it again later."""


EventHandler = Callable[[Account, Event], str]
"""
Applies an event and returns in a few words what it did. Safe at any time, twice, and in any order.

Raises:
    Ignored: it needs no action.
    RetryLater, CalcomError: dispatch it again later.
"""


class _Registry:
    handler: EventHandler | None = None


def register(handler: EventHandler | None) -> EventHandler | None:
    """Set the handler of all events, from `AppConfig.ready()`; return the one before."""
    before, _Registry.handler = _Registry.handler, None if handler is None else staticmethod(handler)
    return before


def dispatch(account: Account, event: Event) -> str:
    """Pass an event to the handler; returns and raises what an `EventHandler` does."""
    if _Registry.handler is None:
        raise Ignored("no handler is registered")
    try:
        return _Registry.handler(account, event)
    except (DataError, OverflowError) as exc:
        # No row can hold it, now or later.
        raise Ignored("its values cannot be stored") from exc
