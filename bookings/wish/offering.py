"""A search with its consequences: each offer gets a token, an exact match is held, and the next page is remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bookings.errors import AnotherTime
from bookings.models import Company, Conversation, SlotToken
from bookings.question import continuing
from bookings.question.finding import Asked, Found, Offer, Status, find
from bookings.wish import holds
from bookings.wish.holds import Held
from cachectl.deadline import Deadline
from calcom.ranges import minute_from
from calcom.service import CalcomService


@dataclass(frozen=True, slots=True)
class Offered:
    """What a caller is offered."""

    found: Found
    tokens: Sequence[SlotToken]
    """One for each offer that was found, in the same order."""
    held: Held | None
    """The offer, where it is kept free for this caller."""
    more_token: str | None
    """What goes on from here, where there may be something else."""


def offer(
    asked: Asked,
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

    Raises like `find`, and as `holds.hold` does where it could not be tried.
    """
    found = find(asked, now=now, calcom=calcom, deadline=deadline, max_age=max_age)
    tokens = _tokens(asked, found.offers, company, conversation, now)
    held = None
    if hold and found.status is Status.AVAILABLE and asked.wanted.start is not None:
        try:
            held = holds.hold(offer=tokens[0], calcom=calcom, deadline=deadline, now=now)
        except AnotherTime:
            # Somebody was faster. What could not be held is not offered, so the question is asked once more.
            found = find(asked, now=now, calcom=calcom, deadline=deadline)
            tokens = _tokens(asked, found.offers, company, conversation, now)
    return Offered(found, tokens, held, _more_token(asked, found, company))


def _tokens(
    asked: Asked, offers: Sequence[Offer], company: Company, conversation: Conversation | None, now: datetime
) -> list[SlotToken]:
    by_start: Mapping[datetime, SlotToken] = {
        token.start: token
        for calendar in {each.calendar for each in offers}
        for token in holds.issue_tokens(
            company=company,
            conversation=conversation,
            service=asked.service,
            starts=[each.start for each in offers if each.calendar == calendar],
            staff=calendar.staff,
            event_type=calendar.event_type,
            now=now,
        )
    }
    return [by_start[each.start] for each in offers]


def _more_token(asked: Asked, found: Found, company: Company) -> str | None:
    if not found.more:
        return None
    staff = asked.calendars[0].staff
    heard = asked.offered | {minute_from(each.start) for each in found.offers}
    search = continuing.Search(asked.service.pk, staff.pk if staff else None, asked.wanted, heard)
    return continuing.remember(search, company=company)
