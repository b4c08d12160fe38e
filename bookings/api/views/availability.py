"""GET /v1/availability: free slots in a window. POST /v1/availability/search: offers and a sentence for a caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from bookings import metrics
from bookings.api import openapi, presenters, wire
from bookings.api.directory import people_called, people_of, service_of
from bookings.api.problems import ScopeMissing
from bookings.api.serializers.availability import NEEDS_CLARIFICATION, SearchSerializer, SlotQuery, criteria_of
from bookings.api.views.base import AgentView
from bookings.availability import pagination
from bookings.availability.calendar_view import Calendar, open_times, unavailable
from bookings.availability.criteria import TimeCriteria
from bookings.availability.search import UNKNOWN, AvailabilityQuery, AvailabilityResult, Offer, Status
from bookings.errors import DateInPast, DeadlineExceeded, TooFar
from bookings.language import sentences
from bookings.language.phrase_criteria import criteria_of_phrase
from bookings.models import AgentKey, Service, SlotToken, Staff
from bookings.scheduling.offering import Offered, last_offered, offer
from cachectl.cache import CacheResult, Freshness
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
_UNKNOWN_HINT = (
    "Nothing is known: this does not mean that nothing is free. Search once more after Retry-After; if it is degraded"
    " again, say spoken, and send who shall be called back to POST /v1/callbacks."
)
_ACCESS_REFUSED_HINT = (
    "Nothing is known: this does not mean that nothing is free. Do not search again: staff must put it right. Say"
    " spoken, and send who shall be called back to POST /v1/callbacks."
)
_HELD_HINT = "It is held. Say spoken, and book with the confirm_token of hold once the caller agrees."
_STAFF_HINT = "Ask the caller, then search again with the id of a candidate as staff, or without staff for any person."
MOST_CANDIDATES = 5


class AvailabilityView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.AVAILABILITY_READ}

    @openapi.list_availability
    def get(self, request: Request) -> Response:
        """List the free slots of a service in a window."""
        query, now = SlotQuery.parse(request.query_params, self.context.key), timezone.now()
        service = query.service
        self.context = context = self.context.about(service)
        _check_window(query, now)
        view = open_times(
            service=service,
            first=query.first,
            last=query.last,
            now=now,
            calcom=CalcomService(service.event_type.account, tenant=context.key.company_id),
            deadline=context.deadline,
            max_age=wire.max_age(request.META.get("HTTP_CACHE_CONTROL", "")),
        )
        zone, known = service.branch.time_zone, view.known_in_full
        status = _list_status(known, is_free=bool(view.starts))
        metrics.count_answer(known)
        metrics.count_result(UNKNOWN if status == Status.DEGRADED and not view.starts else status)
        body = {
            "ok": True,
            "status": status,
            "service": presenters.service(service),
            "time_zone": zone,
            "slots": presenters.slots(
                tuple(view.starts), zone=zone, minutes=service.event_type.length_minutes, language=context.language
            ),
            "unknown_days": _unknown_days(known),
            "freshness": presenters.freshness(known),
        }
        return Response(body, headers=wire.cache_headers(view.known))


def _check_window(query: SlotQuery, now: datetime) -> None:
    """Raise for a window that no slot can be in, instead of calling it full."""
    if query.last <= now:
        raise DateInPast("The window has passed.")
    if query.first > now + timedelta(days=query.service.horizon_days):
        raise TooFar("The window is further ahead than callers may book.")


def _list_status(known: CacheResult, *, is_free: bool) -> str:
    """Return `degraded` for a list that is outdated, and for one without slots that hides what may be free."""
    if not known.freshness.verified or (known.uncertain and not is_free):
        return "degraded"
    return "available" if is_free else "none"


def _unknown_days(known: CacheResult) -> list[str]:
    """Return the UTC dates of which nothing is known; raises where that is all of them."""
    if known.freshness is not Freshness.MISSING:
        return []
    unknown = [day.date.isoformat() for day in known.days.values() if day.freshness is Freshness.MISSING]
    if len(unknown) < len(known.days):
        return unknown
    if known.failure == "deadline":
        raise DeadlineExceeded("The calendar did not answer in time.", retry_after=known.retry_after or 1.0)
    raise unavailable(known)


class SearchView(AgentView):
    scopes: ClassVar = {"POST": AgentKey.Scope.AVAILABILITY_READ}
    reads = True

    @openapi.search_availability
    def post(self, request: Request) -> Response:
        """Find what the caller asks for, or up to three real times instead and the reason why."""
        body, now, key = self.parsed(SearchSerializer), timezone.now(), self.context.key
        self.context = self.context.in_language(body["language"])
        if body["hold"] and AgentKey.Scope.BOOKINGS_WRITE not in key.scopes:
            raise ScopeMissing(f"To hold a time a key needs the scope {AgentKey.Scope.BOOKINGS_WRITE}.")
        conversation = self.enter(body["conversation_id"])
        wanted = self._wanted(body, now)
        service = wanted.service
        response = _SearchResponse(service, wanted.criteria, now, self.context.language, wanted.understood)
        people = people_called(service, wanted.staff) if wanted.staff else ()
        calendars = _calendars(service, people, any_person=not wanted.staff)
        if not calendars:
            return Response(response.clarification(people))
        query = AvailabilityQuery(service, calendars, wanted.criteria, wanted.offered, body["max_offers"])
        offered = offer(
            query,
            company=key.company,
            conversation=conversation,
            hold=body["hold"] is not None,
            calcom=CalcomService(service.event_type.account, tenant=key.company_id),
            deadline=self.context.deadline,
            now=now,
            max_age=wire.max_age(request.META.get("HTTP_CACHE_CONTROL", "")),
        )
        known, headers = offered.result.known, wire.cache_headers(offered.result.known)
        if _is_unknown(offered.result) and not _is_access_refused(offered.result):
            headers |= wire.retry_after(known.retry_after)
        return Response(response.result(query, offered), headers=headers)

    def _wanted(self, body: Mapping[str, Any], now: datetime) -> "_Wanted":
        """Return what is asked for, or what an earlier search asked for; the context is about its service then."""
        key = self.context.key
        if body["more_token"] is not None:
            saved = pagination.load(body["more_token"], company=key.company)
            service = service_of(key, str(saved.service_id))
            self.context = self.context.about(service)
            return _Wanted(service, saved.criteria, str(saved.staff_id or ""), saved.offered)
        service = service_of(key, body["service"])
        self.context = self.context.about(service)
        staff, when = body["staff"] or "", body["when"] or {}
        if not when.get("phrase"):
            return _Wanted(service, criteria_of(when, _zone(service), now), staff)
        found = criteria_of_phrase(
            when["phrase"],
            branch=service.branch,
            language=self.context.language,
            now=now,
            offered=last_offered(self.context.conversation) if self.context.conversation else (),
        )
        return _Wanted(service, found.criteria, staff, understood=found.understood)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, whether from the beginning or from where an earlier search left off."""

    service: Service
    criteria: TimeCriteria
    staff: str
    """Id or name; empty for any person."""
    offered: frozenset[int] = frozenset()
    understood: str = ""
    """What was understood of a phrase."""


@dataclass(frozen=True, slots=True)
class _SearchResponse:
    """The body of a response to a search."""

    service: Service
    criteria: TimeCriteria
    now: datetime
    language: str
    understood: str = ""

    def result(self, query: AvailabilityQuery, offered: Offered) -> dict[str, object]:
        result, staff = offered.result, query.calendars[0].staff
        numbered = enumerate(zip(result.offers, offered.tokens, strict=True), start=1)
        return self._frame() | {
            "status": result.status,
            "reason": result.reason,
            "offers": [self._offer(number, each, token) for number, (each, token) in numbered],
            "hold": presenters.hold(offered.held, staff=_name(staff) or "", language=self.language)
            if offered.held
            else None,
            "more_token": offered.more_token,
            "spoken": sentences.search_result(_spoken(query, offered, self.now), self.language),
            "agent_hint": _hint(offered),
            "freshness": presenters.freshness(result.known),
        }

    def _offer(self, number: int, offer: Offer, token: SlotToken) -> dict[str, object]:
        zone = _zone(self.service)
        end = offer.start + offer.calendar.event_type.length_minutes * MINUTE
        today = self.now.astimezone(zone).date()
        return {
            "option": number,
            "slot_token": token.token,
            **presenters.time_of(offer.start, end, zone=zone.key, language=self.language),
            "staff": _name(offer.calendar.staff),
            "spoken": sentences.one_time(offer.start.astimezone(zone), today, self.language),
        }

    def clarification(self, people: Sequence[Staff]) -> dict[str, object]:
        """Ask which of `people` is meant; or, where that is none or one, name those whom the service can promise."""
        bookable = [one for one, calendar in people_of(self.service).items() if calendar]
        candidates = people if len(people) > 1 else bookable
        if len(people) == 1:
            spoken = sentences.any_person(self.language)
        else:
            names = [one.name for one in candidates]
            spoken = sentences.which_person(names, several=len(people) > 1, language=self.language)
        return self._frame(ambiguous=True) | {
            "status": NEEDS_CLARIFICATION,
            "reason": ("staff_unknown", "staff_not_bookable", "staff_ambiguous")[min(len(people), 2)],
            "candidates": [{"id": f"st_{one.pk}", "name": one.name} for one in candidates[:MOST_CANDIDATES]],
            "spoken": spoken,
            "agent_hint": _STAFF_HINT,
        }

    def _frame(self, *, ambiguous: bool = False) -> dict[str, object]:
        """Return the members of every response, in their order; most are empty as yet."""
        zone = _zone(self.service)
        today = self.now.astimezone(zone).date()
        understood = self.understood or sentences.understood(self.criteria, zone, today, self.language)
        return {
            "ok": True,
            "status": None,
            "reason": None,
            "request": {"understood": understood, "ambiguous": ambiguous},
            "service": presenters.service(self.service),
            "offers": [],
            "candidates": [],
            "hold": None,
            "more_token": None,
            "spoken": None,
            "agent_hint": None,
            "freshness": None,
        }


def _calendars(service: Service, people: Sequence[Staff], *, any_person: bool) -> list[Calendar]:
    """Return where to look: the calendar of the one person asked for, then that of any; none if it is not clear who."""
    any_host = Calendar(service.event_type)
    if any_person:
        return [any_host]
    own = people_of(service).get(people[0]) if len(people) == 1 else None
    if own is None:
        return []
    others = own.event_type != service.event_type and not service.unsupported_reason()
    return [own, any_host] if others else [own]


def _spoken(query: AvailabilityQuery, offered: Offered, now: datetime) -> sentences.SearchResult:
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


def _is_unknown(result: AvailabilityResult) -> bool:
    return result.status is Status.DEGRADED and not result.offers


def _is_access_refused(result: AvailabilityResult) -> bool:
    """Return whether Cal.com could not be asked because it refuses us."""
    return result.known.failure == ACCESS_REFUSED


def _hint(offered: Offered) -> str:
    if offered.held:
        return _HELD_HINT
    if not _is_unknown(offered.result):
        return _HINTS[offered.result.status]
    return _ACCESS_REFUSED_HINT if _is_access_refused(offered.result) else _UNKNOWN_HINT


def _name(staff: Staff | None) -> str | None:
    return staff.name if staff else None


def _zone(service: Service) -> ZoneInfo:
    return ZoneInfo(service.branch.time_zone)
