"""A search with its effects: each offer gets a token, an exact match is held, and the next page is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bookings.availability import pagination
from bookings.availability.search import AvailabilityQuery, AvailabilityResult, Offer, Status, search
from bookings.errors import AnotherTime
from bookings.models import Company, Conversation, SlotToken
from bookings.scheduling import holds
from bookings.scheduling.holds import Held
from cachectl.infra.deadline import Deadline
from calcom.day_ranges import minute_from
from calcom.service import CalcomService


@dataclass(frozen=True, slots=True)
class Offered:
    """What a caller is offered."""

    result: AvailabilityResult
    tokens: Sequence[SlotToken]
    """One for each offer that was found, in the same order."""
    held: Held | None
    """The offer, where it is kept free for this caller."""
    more_token: str | None
    """What goes on from here, where there may be something else."""


def offer(
    query: AvailabilityQuery,
    *,
    company: Company,
    conversation: Conversation | None,
    hold: bool,
    calcom: CalcomService,
    deadline: Deadline,
    now: datetime,
    max_age: float | None = None,
) -> Offered:
    """
    Return what was found, ready to be chosen from. With `hold` the one time that was asked for is held, if it is free.

    Raises like `search`, and as `holds.hold` does where it could not be tried.
    """
    table = _Table(query, company, conversation, now)
    result = search(query, now=now, calcom=calcom, deadline=deadline, max_age=max_age)
    if not (hold and result.status is Status.AVAILABLE and query.criteria.start is not None):
        return Offered(result, table.lay(result.offers), None, _more_token(query, result, company))
    try:
        token, held = _hold(table, result.offers[0], calcom, deadline)
    except AnotherTime:
        # Another caller was faster. A slot that could not be held is not offered, so the search is repeated.
        result = search(query, now=now, calcom=calcom, deadline=deadline)
        return Offered(result, table.lay(result.offers), None, _more_token(query, result, company))
    return Offered(result, [token], held, _more_token(query, result, company))


def last_offered(conversation: Conversation) -> list[datetime]:
    """Return the starts that were offered last in a call, in the order in which they were named."""
    offers = SlotToken.objects.filter(conversation=conversation)
    newest = offers.order_by("-issued_at").values("issued_at")[:1]
    return list(offers.filter(issued_at=newest).order_by("pk").values_list("start", flat=True))


def _hold(table: "_Table", offer: Offer, calcom: CalcomService, deadline: Deadline) -> tuple[SlotToken, Held]:
    """Hold the requested slot: in one step with saving the offer, or after a concurrent writer."""
    token = table.new(offer)
    held = holds.hold_new(token, loaded_at=offer.loaded_at, verified=offer.verified, deadline=deadline)
    if held is None:
        (token,) = table.lay([offer])
        held = holds.hold(offer=token, calcom=calcom, deadline=deadline, now=table.now, was_told=False)
    return token, held


@dataclass(frozen=True, slots=True)
class _Table:
    """Where offers are laid for a caller."""

    query: AvailabilityQuery
    company: Company
    conversation: Conversation | None
    now: datetime

    def new(self, offer: Offer) -> SlotToken:
        """Return the token of an offer, not written down yet."""
        return holds.new_offer(
            company=self.company,
            conversation=self.conversation,
            service=self.query.service,
            start=offer.start,
            staff=offer.calendar.staff,
            event_type=offer.calendar.event_type,
            now=self.now,
        )

    def lay(self, offers: Sequence[Offer]) -> list[SlotToken]:
        """Write the offers down, and return their tokens in the same order."""
        return SlotToken.objects.bulk_create(self.new(each) for each in offers)


def _more_token(query: AvailabilityQuery, result: AvailabilityResult, company: Company) -> str | None:
    if not result.more:
        return None
    staff = query.calendars[0].staff
    heard = query.offered | {minute_from(each.start) for each in result.offers}
    saved = pagination.SavedSearch(query.service.pk, staff.pk if staff else None, query.criteria, heard)
    return pagination.save(saved, company=company)
