"""Where agents search: a question of a caller becomes at most three offers and one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi as described
from bookings.api import presenters, wire
from bookings.api.directory import people_called, people_of, service_of
from bookings.api.problems import ScopeMissing
from bookings.api.serializers.search import NEEDS_CLARIFICATION, SearchRequest, wanted_of
from bookings.api.views.base import AgentView
from bookings.availability import pagination
from bookings.availability.calendar_view import Calendar
from bookings.availability.criteria import TimeCriteria
from bookings.availability.search import AvailabilityQuery, AvailabilityResult, Offer, Status
from bookings.language import sentences
from bookings.models import AgentKey, Service, SlotToken, Staff
from bookings.scheduling.offering import Offered, offer
from cachectl.infra.deadline import Deadline
from cachectl.loaders import ACCESS_REFUSED
from calcom.day_ranges import MINUTE
from calcom.service import CalcomService

_OFFER_HINT = "Offer only these times. Then hold the slot_token of the one the caller chooses."
_HINTS = {
    Status.AVAILABLE: _OFFER_HINT,
    Status.ALTERNATIVES: _OFFER_HINT,
    Status.NONE: "Say so. With more_token look further ahead; else ask for another service or person, or a call back.",
    Status.DEGRADED: (
        "These were free when last known, and Cal.com could not be asked. Promise nothing: hold the slot_token of the"
        " one the caller chooses, a booking needs it."
    ),
}
_NOBODY_KNOWS_HINT = (
    "Nothing is known: this does not mean that nothing is free. Search once more after Retry-After; if it is degraded"
    " again, say spoken, and send who shall be called back to POST /v1/callbacks."
)
_ACCESS_REFUSED_HINT = (
    "Nothing is known: this does not mean that nothing is free. Do not search again: staff must put it right. Say"
    " spoken, and send who shall be called back to POST /v1/callbacks."
)
_HELD_HINT = "It is held. Say spoken, and book with the confirm_token of hold once the caller agrees."
_STAFF_HINT = "Ask the caller, then search again with the id of a candidate as staff, or without staff for anybody."
MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, whether from the beginning or from where an earlier search left off."""

    service: Service
    criteria: TimeCriteria
    staff: str
    """Id or name; empty for anybody."""
    offered: frozenset[int] = frozenset()


class Search(AgentView):
    """One question of a caller."""

    scopes: ClassVar = {"POST": AgentKey.Scope.AVAILABILITY_READ}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Wait as long as for any question, although its body makes it a POST."""
        made = super().initialize_request(request, *args, **kwargs)
        self.deadline = Deadline.after(self.applied_wait or settings.BOOKINGS_READ_WAIT)
        return made

    @described.search
    def post(self, request: Request) -> Response:
        """Find what the caller asks for, or up to three real times instead and the reason why."""
        body, now = self.parsed(SearchRequest), timezone.now()
        self.asked_language = body["language"] or self.asked_language
        if body["hold"] and AgentKey.Scope.BOOKINGS_WRITE not in self.key.scopes:
            raise ScopeMissing(f"To hold a time a key needs the scope {AgentKey.Scope.BOOKINGS_WRITE}.")
        conversation = self.conversation(body["conversation_id"])
        question = self._question(body, now)
        service = question.service
        people = people_called(service, question.staff) if question.staff else ()
        calendars = _calendars(service, people, anybody=not question.staff)
        if not calendars:
            return Response(self._clarification(question, people, now))
        query = AvailabilityQuery(service, calendars, question.criteria, question.offered, body["max_offers"])
        offered = offer(
            query,
            company=self.key.company,
            conversation=conversation,
            hold=body["hold"] is not None,
            calcom=CalcomService(service.event_type.account, tenant=self.key.company_id),
            deadline=self.deadline,
            now=now,
            max_age=wire.max_age(request.META.get("HTTP_CACHE_CONTROL", "")),
        )
        result = offered.result
        told = wire.cache_headers(result.known)
        if _nobody_knows(result) and not _is_access_refused(result):
            told |= wire.retry_after(result.known.retry_after)
        return Response(self._answer(query, offered, now), headers=told)

    def _question(self, body: Mapping[str, Any], now: datetime) -> _Question:
        """Return what is asked, or what was asked before; the service is known first, for its zone and language."""
        if body["more_token"] is not None:
            before = pagination.load(body["more_token"], company=self.key.company)
            self.service = service_of(self.key, str(before.service_id))
            return _Question(self.service, before.criteria, str(before.staff_id or ""), before.offered)
        self.service = service_of(self.key, body["service"])
        return _Question(self.service, wanted_of(body["when"], _zone(self.service), now), body["staff"] or "")

    def _answer(self, query: AvailabilityQuery, offered: Offered, now: datetime) -> dict[str, object]:
        result, staff = offered.result, query.calendars[0].staff
        return self._frame(query.service, query.criteria, now) | {
            "status": result.status,
            "reason": result.reason,
            "offers": [
                self._offer(number, each, token, now)
                for number, (each, token) in enumerate(zip(result.offers, offered.tokens, strict=True), start=1)
            ],
            "hold": presenters.hold(offered.held, staff=_name(staff) or "", language=self.language)
            if offered.held
            else None,
            "more_token": offered.more_token,
            "spoken": sentences.search_result(_spoken_about(query, offered, now), self.language),
            "agent_hint": _hint(offered),
            "freshness": presenters.freshness(result.known),
        }

    def _offer(self, number: int, offer: Offer, token: SlotToken, now: datetime) -> dict[str, object]:
        assert self.service is not None  # noqa: S101
        zone = _zone(self.service)
        end = offer.start + offer.calendar.event_type.length_minutes * MINUTE
        return {
            "option": number,
            "slot_token": token.token,
            **presenters.time_of(offer.start, end, zone=zone.key, language=self.language),
            "staff": _name(offer.calendar.staff),
            "spoken": sentences.one_time(offer.start.astimezone(zone), now.astimezone(zone).date(), self.language),
        }

    def _clarification(self, question: _Question, people: Sequence[Staff], now: datetime) -> dict[str, object]:
        """Ask who is meant: nobody is called so, several are, or there is no way to promise that one person."""
        bookable = [one for one, calendar in people_of(question.service).items() if calendar]
        candidates = people if len(people) > 1 else bookable
        reason = ("staff_unknown", "staff_not_bookable", "staff_ambiguous")[min(len(people), 2)]
        names = [one.name for one in candidates]
        return self._frame(question.service, question.criteria, now, ambiguous=True) | {
            "status": NEEDS_CLARIFICATION,
            "reason": reason,
            "candidates": [{"id": f"st_{one.pk}", "name": one.name} for one in candidates[:MOST_CANDIDATES]],
            "spoken": sentences.any_person(self.language)
            if len(people) == 1
            else sentences.which_person(names, several=len(people) > 1, language=self.language),
            "agent_hint": _STAFF_HINT,
        }

    def _frame(
        self, service: Service, criteria: TimeCriteria, now: datetime, *, ambiguous: bool = False
    ) -> dict[str, object]:
        """Return what every answer has, in its order; the other members are empty as yet."""
        zone = _zone(service)
        return {
            "ok": True,
            "status": None,
            "reason": None,
            "request": {
                "understood": sentences.understood(criteria, zone, now.astimezone(zone).date(), self.language),
                "ambiguous": ambiguous,
            },
            "service": presenters.service(service),
            "offers": [],
            "candidates": [],
            "hold": None,
            "more_token": None,
            "spoken": None,
            "agent_hint": None,
            "freshness": None,
        }


def _calendars(service: Service, people: Sequence[Staff], *, anybody: bool) -> list[Calendar]:
    """Return where to look: with the one person asked for first, and with anybody; nothing where that is not clear."""
    any_host = Calendar(service.event_type)
    if anybody:
        return [any_host]
    own = people_of(service).get(people[0]) if len(people) == 1 else None
    if own is None:
        return []
    others = own.event_type != service.event_type and not service.unsupported_reason()
    return [own, any_host] if others else [own]


def _spoken_about(query: AvailabilityQuery, offered: Offered, now: datetime) -> sentences.SearchResult:
    result, zone, preferred = offered.result, _zone(query.service), query.calendars[0]
    return sentences.SearchResult(
        status=result.status,
        times=[sentences.Time(each.start.astimezone(zone), each.calendar != preferred) for each in result.offers],
        today=now.astimezone(zone).date(),
        until=(result.until - MINUTE).astimezone(zone).date(),
        reason=result.reason,
        staff=_name(preferred.staff) or "",
        exact=query.criteria.start is not None,
        held=offered.held is not None,
        further=result.more,
        access_refused=_is_access_refused(result),
    )


def _nobody_knows(result: AvailabilityResult) -> bool:
    return result.status is Status.DEGRADED and not result.offers


def _is_access_refused(result: AvailabilityResult) -> bool:
    """Return whether Cal.com could not be asked because it refuses us."""
    return result.known.failure == ACCESS_REFUSED


def _hint(offered: Offered) -> str:
    if offered.held:
        return _HELD_HINT
    if not _nobody_knows(offered.result):
        return _HINTS[offered.result.status]
    return _ACCESS_REFUSED_HINT if _is_access_refused(offered.result) else _NOBODY_KNOWS_HINT


def _name(staff: Staff | None) -> str | None:
    return staff.name if staff else None


def _zone(service: Service) -> ZoneInfo:
    return ZoneInfo(service.branch.time_zone)
