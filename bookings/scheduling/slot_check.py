"""Whether Cal.com lists a slot: looked up before anybody is promised it. Who is refused it hears of others."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bookings.availability import calendar_view
from bookings.availability.occupancy import read_occupancy
from bookings.availability.rules import Rules
from bookings.errors import (
    AnotherTime,
    BookingError,
    DeadlineExceeded,
    LimitReached,
    SlotNotOffered,
    SlotTaken,
)
from bookings.models import Service
from bookings.scheduling import booking_limits
from cachectl.cache import Freshness
from cachectl.infra.bulkhead import NO_TIME
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import EPOCH, MINUTE
from calcom.models import EventType
from calcom.service import CalcomService, OpenSlots
from calcom.types import ListReach


class Listing(NamedTuple):
    """What a list of Cal.com's that has a slot is worth."""

    loaded_at: float | None
    """When its load began, in epoch seconds; None if nobody knows."""
    verified: bool
    """Whether a caller may be told so without reserve."""
    settling: bool
    """Whether it is not verified only because its day changed moments ago."""

    @property
    def must_be_held(self) -> bool:
        """Return whether only a hold books it: Cal.com could not be asked. After a change the booking itself asks."""
        return not (self.verified or self.settling)


@dataclass(frozen=True)
class Slot:
    """A slot that somebody wants, and how long they wait for the answer."""

    service: Service
    event_type: EventType
    """What books it: the service's own, or that of one person."""
    start: datetime
    calcom: CalcomService
    deadline: Deadline
    now: datetime
    offered: bool = False
    """Whether it was offered to whoever wants it, so that Cal.com listed it then."""

    def refuse_unbookable(self) -> None:
        """
        Raise, saying why, if it cannot be booked through us.

        Raises:
            SlotNotOffered: it was offered at a length that its event type has not any more.
        """
        if not self.event_type.active and self.service.event_type.active:
            raise SlotNotOffered("Its event type has another length since.")
        calendar_view.refuse_unbookable(self.service, self.event_type)

    def listing(self, *, revalidate: bool = False) -> Listing:
        """
        Return what the list is worth that has it; with `newer` of one that knows what was booked up to a moment ago.

        Costs no request where its day is known.

        Raises:
            AnotherTime: rules forbid it, or Cal.com does not list it.
            TryLater: Cal.com could not be asked, and nothing is known of that day; an offer is known.
        """
        Rules.of(self.service, self.now, self.event_type).check(self.start)
        listed = self._look(self.deadline, revalidate=revalidate)
        if not revalidate and not self._is_in(listed) and _is_outdated(listed):
            listed = self._look(self.deadline, revalidate=True)
        calendar_view.refuse_deleted(listed.known)
        if self._is_in(listed):
            (day,) = listed.days.values()
            return Listing(day.loaded_at, listed.known.verified, listed.known.failure == "settling")
        if booking_limits.is_reached(self.event_type, self.start, self.service.branch.time_zone):
            raise LimitReached("The event type takes no more bookings then.")
        if self.offered and listed.known.freshness is Freshness.MISSING:
            return Listing(None, verified=False, settling=False)
        if self.offered and _is_outdated(listed):  # no load can know yet of the time that was given back
            return Listing(None, verified=False, settling=True)
        if listed.known.failure == "deadline":
            raise DeadlineExceeded("Cal.com's slots did not come in time.")
        if not listed.known.verified:
            raise calendar_view.unavailable(listed.known)
        if read_occupancy(self.event_type, self.start, self.start + self.event_type.length_minutes * MINUTE).rows:
            raise SlotTaken("Somebody else has it.")
        if _is_outdated(listed):
            raise calendar_view.unavailable(listed.known)
        raise SlotNotOffered("Cal.com does not offer it.")

    def _is_in(self, listed: OpenSlots) -> bool:
        return any(EPOCH + minute * MINUTE == self.start for minute in listed.starts)

    def is_verified(self) -> bool:
        """Return whether its day is known well enough to speak of it without reserve. Waits for nothing."""
        return self._look(NO_TIME).known.verified

    def _look(self, deadline: Deadline, *, revalidate: bool = False) -> OpenSlots:
        return self.calcom.open_slots(
            event_type=self.event_type,
            first=self.start,
            last=self.start + MINUTE,
            deadline=deadline,
            revalidate=revalidate,
        )

    @contextmanager
    def or_others(self) -> Iterator[None]:
        """Give whoever is refused it up to three other times that are free, with the same person if one was meant."""
        try:
            yield
        except AnotherTime as exc:
            with suppress(BookingError):  # that others cannot be had does not change why this one is refused
                exc.alternatives = tuple(self._others(on_other_days=isinstance(exc, LimitReached)))
            raise

    def _others(self, *, on_other_days: bool) -> list[datetime]:
        """Return other times; where a limit was reached, on other days, and as far ahead as it may reach."""
        if on_other_days:
            zone = ZoneInfo(self.service.branch.time_zone)
            reach = timedelta(days=ListReach(self.event_type.list_reach).days)
            found = self._alternatives(calendar_view.ALTERNATIVES_WITHIN + reach)
            return [each for each in found if each.astimezone(zone).date() != self.start.astimezone(zone).date()]
        return self._alternatives(calendar_view.ALTERNATIVES_WITHIN)

    def _alternatives(self, within: timedelta) -> list[datetime]:
        return calendar_view.alternatives(
            service=self.service,
            event_type=self.event_type if self.event_type.active else None,
            start=self.start,
            within=within,
            now=self.now,
            calcom=self.calcom,
            deadline=self.deadline,
        )


def _is_outdated(listed: OpenSlots) -> bool:
    """Return whether an appointment gave time back since the list was loaded, which the list may not have."""
    return any(day.freed for day in listed.days.values())
