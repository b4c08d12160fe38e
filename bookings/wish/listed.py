"""Whether Cal.com lists a slot: looked up before anybody is promised it. Who is refused it hears of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from bookings import claims
from bookings.errors import AnotherTime, DeadlineExceeded, SlotNotOffered, SlotTaken, UpstreamUnavailable
from bookings.models import Service
from bookings.question import search
from bookings.question.offers import Rules
from cachectl.deadline import Deadline
from calcom.models import EventType
from calcom.ranges import EPOCH, MINUTE
from calcom.service import CalcomService


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

    def loaded_at(self) -> float | None:
        """
        Return when the load of the list that has it began, in epoch seconds; None if nobody knows.

        Costs no request where its day is known.

        Raises:
            AnotherTime: rules forbid it, or Cal.com does not list it.
            TryLater: Cal.com could not be asked.
        """
        Rules.of(self.service, self.now, self.event_type).check(self.start)
        listed = self.calcom.open_slots(
            event_type=self.event_type, first=self.start, last=self.start + MINUTE, deadline=self.deadline
        )
        if any(EPOCH + minute * MINUTE == self.start for minute in listed.starts):
            return next(iter(listed.days.values())).loaded_at
        if listed.known.failure == "deadline":
            raise DeadlineExceeded("Cal.com's slots did not come in time.")
        if not listed.known.verified:
            raise UpstreamUnavailable("Cal.com's slots are not known.", retry_after=listed.known.retry_after or 1.0)
        if claims.read(self.event_type, self.start, self.start + self.event_type.length_minutes * MINUTE).rows:
            raise SlotTaken("Somebody else has it.")
        raise SlotNotOffered("Cal.com does not offer it.")

    @contextmanager
    def or_others(self) -> Iterator[None]:
        """Give whoever is refused it up to three other times that are free, with the same person if one was meant."""
        try:
            yield
        except AnotherTime as exc:
            others = search.alternatives(
                service=self.service,
                event_type=self.event_type,
                wished=self.start,
                now=self.now,
                calcom=self.calcom,
                deadline=self.deadline,
            )
            exc.alternatives = tuple(others)
            raise
