"""
What Cal.com tells us, as values, and who listens. The listener registers itself from above.

Webhooks are lost, late, repeated and out of order, so what they tell is only what was true when it was told. What was
read at Cal.com is true at the moment of reading.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DataError

from calcom.models import Account
from calcom.types import RemoteBooking


@dataclass(frozen=True)
class BookingWebhook:
    """A webhook said how a booking is."""

    booking: RemoteBooking
    reported_at: datetime | None = None
    """By Cal.com's clock."""
    is_certain: bool = True
    """False where it may be about a part of the booking only, as one of several seats."""


@dataclass(frozen=True)
class BookingSnapshot:
    """A booking was read at Cal.com just now."""

    booking: RemoteBooking


@dataclass(frozen=True)
class MeetingEnded:
    """The time of a booking is over."""

    uid: str = field(repr=False)


@dataclass(frozen=True)
class AbsenceMarked:
    """Somebody noted who did not come to a booking, or took that back."""

    uid: str = field(repr=False)
    absent: frozenset[str] = field(repr=False)
    """Addresses, in lower case, of those who did not come."""
    present: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class HostAway:
    """A host will be out of office."""

    host_id: int
    """Cal.com's id."""
    start: datetime
    end: datetime


@dataclass(frozen=True)
class EventTypesSynced:
    """The mirror of the account's event types says what Cal.com says now."""


Event = BookingWebhook | BookingSnapshot | MeetingEnded | AbsenceMarked | HostAway | EventTypesSynced


class Ignored(Exception):
    """There is nothing to do about it, now or later; the message says why."""


class RetryLater(Exception):
    """What it means depends on something that is still going on here: tell it again later."""


EventHandler = Callable[[Account, Event], str]
"""
Does what an event asks for and returns in a few words what that was. Safe at any moment, twice, and in any order.

Raises:
    Ignored: nothing is to be done.
    RetryLater, CalcomError: tell it again later.
"""


class _Registry:
    """The one listener."""

    handler: EventHandler | None = None


def register(handler: EventHandler) -> None:
    """Make `listener` the one who is told; called from `AppConfig.ready()`."""
    _Registry.handler = staticmethod(handler)


def dispatch(account: Account, event: Event) -> str:
    """Tell the listener, and return what it did. Raises like a `Listener`."""
    if _Registry.handler is None:
        raise Ignored("nobody listens")
    try:
        return _Registry.handler(account, event)
    except (DataError, OverflowError) as exc:
        # It says the same the next time, and no row can hold it then.
        raise Ignored("it says what cannot be stored") from exc
