"""Whether a slot can be had: checked before a caller is promised it. A refusal carries alternatives."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bookings.availability import calendar_view
from bookings.availability.occupancy import Conflict, check_conflict, read_occupancy
from bookings.availability.rules import Rules
from bookings.errors import (
    AnotherTime,
    BookingError,
    DeadlineExceeded,
    HoldRequired,
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


class SlotCheck(NamedTuple):
    """How well it is known that Cal.com lists a slot."""

    loaded_at: float | None
    """When the load of the list began, in epoch seconds; None if unknown."""
    verified: bool
    """Whether a caller may be told so without reserve."""
    settling: bool = False
    """Whether it is unverified only because its day changed moments ago: then the booking itself asks Cal.com."""


@dataclass(frozen=True)
class Slot:
    """A slot that a caller wants, and how long they wait for the answer."""

    service: Service
    event_type: EventType
    """What books it: the service's own, or that of one person."""
    start: datetime
    calcom: CalcomService
    deadline: Deadline
    now: datetime
    offered: bool = False
    """Whether it was offered to this caller, so that Cal.com listed it then."""

    def refuse_unbookable(self) -> None:
        """
        Raise if it cannot be booked through us; the message says why.

        Raises:
            SlotNotOffered: its event type has another length than when it was offered.
        """
        if not self.event_type.active and self.service.event_type.active:
            raise SlotNotOffered("Its event type has another length since.")
        calendar_view.refuse_unbookable(self.service, self.event_type)

    def check(self, *, in_call: bool, revalidate: bool = False, allow_unverified: bool = True) -> SlotCheck:
        """
        Check that rules allow the slot, Cal.com lists it, and no claim certainly takes it.

        Costs no request if its day is cached. The claims are read without a lock, so that a caller who certainly loses
        does not queue behind those who may win.

        Args:
            in_call: whether a hold there may be this conversation's own; then holds do not count.
            revalidate: whether the list must know what was booked up to a moment ago.
            allow_unverified: whether a slot is enough that was listed when Cal.com was last reached.

        Raises:
            AnotherTime: rules forbid it, Cal.com does not list it, or it is taken.
            HoldRequired: it is unverified, and that is not allowed.
            TryLater: Cal.com was not reached, and nothing is known of that day; an offer is known.
        """
        Rules.of(self.service, self.now, self.event_type).check(self.start)
        listed = self._listed(revalidate=revalidate)
        if not (allow_unverified or listed.verified or listed.settling):
            raise HoldRequired("Cal.com could not be asked whether the time is still free.")
        occupancy = read_occupancy(self.event_type, self.start, self._end)
        others = occupancy.beside_holds() if in_call and occupancy.rows else occupancy
        if check_conflict(others, listed_at=listed.loaded_at)[0] is Conflict.TAKEN:
            raise SlotTaken("Another appointment has it.")
        return listed

    @property
    def _end(self) -> datetime:
        return self.start + self.event_type.length_minutes * MINUTE

    def _listed(self, *, revalidate: bool) -> SlotCheck:
        listed = self._read(self.deadline, revalidate=revalidate)
        if not revalidate and not self._is_in(listed) and _is_outdated(listed):
            listed = self._read(self.deadline, revalidate=True)
        if listed.known.failure:
            calendar_view.refuse_deleted(listed.known)
        if self._is_in(listed):
            (day,) = listed.days.values()
            return SlotCheck(day.loaded_at, listed.known.verified, listed.known.failure == "settling")
        return self._unlisted(listed)

    def _unlisted(self, listed: OpenSlots) -> SlotCheck:
        """Raise why the slot is not listed, unless it was offered and nothing says that it is taken."""
        if booking_limits.is_reached(self.event_type, self.start, self.service.branch.time_zone):
            raise LimitReached("The event type takes no more bookings then.")
        if self.offered and listed.known.freshness is Freshness.MISSING:
            return SlotCheck(None, verified=False)
        if self.offered and _is_outdated(listed):  # no load can know yet of the time that was given back
            return SlotCheck(None, verified=False, settling=True)
        if listed.known.failure == "deadline":
            raise DeadlineExceeded("Cal.com's slots did not come in time.")
        if not listed.known.verified:
            raise calendar_view.unavailable(listed.known)
        if read_occupancy(self.event_type, self.start, self._end).rows:
            raise SlotTaken("Another appointment has it.")
        if _is_outdated(listed):
            raise calendar_view.unavailable(listed.known)
        raise SlotNotOffered("Cal.com does not offer it.")

    def _is_in(self, listed: OpenSlots) -> bool:
        return any(EPOCH + minute * MINUTE == self.start for minute in listed.starts)

    def is_verified(self) -> bool:
        """Return whether its day is known well enough to speak of it without reserve. Does not wait."""
        return self._read(NO_TIME).known.verified

    def _read(self, deadline: Deadline, *, revalidate: bool = False) -> OpenSlots:
        return self.calcom.open_slots(
            event_type=self.event_type,
            first=self.start,
            last=self.start + MINUTE,
            deadline=deadline,
            revalidate=revalidate,
        )

    def add_alternatives(self, refusal: AnotherTime) -> None:
        """
        Add up to three other times to a refusal, with the same person if one was meant.

        After a reached limit they are on other days, and as far ahead as the limit may reach. There are none where they
        cannot be had: that does not change the refusal.
        """
        within = calendar_view.ALTERNATIVES_WITHIN
        with suppress(BookingError):
            if not isinstance(refusal, LimitReached):
                refusal.alternatives = tuple(self._alternatives(within))
                return
            zone = ZoneInfo(self.service.branch.time_zone)
            found = self._alternatives(within + timedelta(days=ListReach(self.event_type.list_reach).days))
            day = self.start.astimezone(zone).date()
            refusal.alternatives = tuple(each for each in found if each.astimezone(zone).date() != day)

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
    """Return whether an appointment gave back time since the list was loaded, so that the list may lack it."""
    return any(day.freed for day in listed.days.values())
