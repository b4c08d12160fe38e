"""
A phone call as a conversation: what was asked, what was said, when, and how it ended later. Pure, but for `read`.

Lines hold no names, numbers or tokens: `scheduling.conversations.record` keeps none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from bookings.admin.free_times import choice, day_words
from bookings.models import OPEN_STATES, Conversation, Operation, OperationState, Service, ToolCall

MOST_LINES = 300
_ASKED: dict[str, str | Promise] = {
    "POST /v1/conversations": gettext_lazy("The call begins."),
    "POST /v1/conversations/<id>/end": gettext_lazy("The call ends."),
    "GET /v1/services": gettext_lazy("Which services are there?"),
    "POST /v1/availability/search": gettext_lazy("When is there something?"),
    "GET /v1/availability": gettext_lazy("Which times are free?"),
    "POST /v1/holds": gettext_lazy("Hold this time."),
    "DELETE /v1/holds/<id>": gettext_lazy("Do not hold it any longer."),
    "POST /v1/bookings": gettext_lazy("Book it."),
    "POST /v1/bookings/find": gettext_lazy("Which appointments does the caller have?"),
    "GET /v1/bookings/<id>": gettext_lazy("What about this appointment?"),
    "POST /v1/bookings/<id>/cancel": gettext_lazy("Cancel it."),
    "POST /v1/bookings/<id>/reschedule": gettext_lazy("Move it."),
    "POST /v1/callbacks": gettext_lazy("The caller wants to be called back."),
    "GET /v1/operations/<id>": gettext_lazy("How did it end?"),
}
_PARTS: dict[str, str | Promise] = {
    "morning": gettext_lazy("in the morning"),
    "noon": gettext_lazy("around noon"),
    "afternoon": gettext_lazy("in the afternoon"),
    "evening": gettext_lazy("in the evening"),
}
_SERVICE = re.compile(r"(?:sv_)?([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of the agent and its answer."""

    at: str
    """Since the beginning of the call: 1:07."""
    asked: str
    wishes: Sequence[str]
    """What the caller wanted, in words: service, person, day."""
    said: str
    offers: Sequence[str]
    tone: str
    """done, refused, waiting or plain."""
    later: str = ""
    """How it ended after the caller had been told to wait; empty where they were told the end."""
    facts: Sequence[str] = field(default=())
    """For operators: the endpoint, its status, how long it took and where the data came from."""


def read(conversation: Conversation, now: datetime) -> list[Turn]:
    """Return the turns of a call, in three statements at most."""
    calls = list(ToolCall.objects.filter(conversation=conversation).order_by("called_at", "pk")[:MOST_LINES])
    asked_for = {found[1] for call in calls if (found := _SERVICE.fullmatch(str(call.request.get("service", ""))))}
    services = Service.objects.of(conversation.company_id).filter(pk__in=map(int, asked_for)) if asked_for else ()
    ids = [str(call.response["operation_id"]) for call in calls if call.response.get("operation_id")]
    operations = Operation.objects.of(conversation.company_id).filter(public_id__in=ids) if ids else ()
    return turns_of(
        calls,
        began=conversation.started_at,
        zone=ZoneInfo(getattr(conversation, "row_zone", None) or "UTC"),
        services={str(each.pk): each.name for each in services},
        operations={each.public_id: each for each in operations},
        now=now,
    )


def turns_of(
    calls: Iterable[ToolCall],
    *,
    began: datetime,
    zone: ZoneInfo,
    services: Mapping[str, str],
    operations: Mapping[str, Operation],
    now: datetime,
) -> list[Turn]:
    """Return the turns, in the order of the tool calls."""
    words = _Words(zone, services, now)
    return [_turn(call, began, words, operations.get(str(call.response.get("operation_id")))) for call in calls]


def _turn(call: ToolCall, began: datetime, words: "_Words", operation: Operation | None) -> Turn:
    name = re.sub(r"<str:[a-z_]+>", "<id>", call.endpoint)
    asked_at = call.called_at - call.duration
    return Turn(
        at=clock(asked_at - began),
        asked=str(_ASKED.get(name, name)),
        wishes=words.wishes(call.request),
        said=str(call.response.get("spoken") or call.response.get("read_back") or _unspoken(call)),
        offers=words.offers(call.response),
        tone=_tone(call, operation),
        later=_later(operation, asked_at) if call.status == HTTPStatus.ACCEPTED else "",
        facts=[
            call.endpoint,
            str(call.status),
            f"{call.duration.total_seconds() * 1000:.0f} ms",
            *filter(None, [call.cache_status]),
        ],
    )


def clock(time: timedelta) -> str:
    """Return a duration as a clock shows it: 1:07."""
    seconds = max(0, int(time.total_seconds()))
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def _unspoken(call: ToolCall) -> str:
    code = call.response.get("code")
    return _("Refused: %s") % code if code else ""


def _tone(call: ToolCall, operation: Operation | None) -> str:
    if call.status >= HTTPStatus.BAD_REQUEST:
        return "refused"
    if call.status == HTTPStatus.ACCEPTED and operation is not None:
        return _outcome(operation)[0]
    if call.status == HTTPStatus.ACCEPTED:
        return "waiting"
    return "done" if call.endpoint.startswith(("POST /v1/bookings", "POST /v1/callbacks")) else "plain"


def _later(operation: Operation | None, asked_at: datetime) -> str:
    if operation is None:
        return ""
    sentence = _outcome(operation)[1]
    if operation.finished_at is None:
        return sentence
    return _("%(outcome)s, after %(seconds)d s") % {
        "outcome": sentence,
        "seconds": max(0, round((operation.finished_at - asked_at).total_seconds())),
    }


def _outcome(operation: Operation) -> tuple[str, str]:
    """Return how an operation ended, as a tone and in words."""
    if operation.state == OperationState.DONE:
        return "done", _("Cal.com confirmed it")
    if operation.state == OperationState.REFUSED:
        return "refused", _("Cal.com refused it")
    if operation.state in OPEN_STATES:
        return "waiting", _("Cal.com has not answered yet")
    return "waiting", _("The host has not confirmed it yet")


@dataclass(frozen=True, slots=True)
class _Words:
    """Puts what was recorded into words, by the clock of the branch."""

    zone: ZoneInfo
    services: Mapping[str, str]
    now: datetime

    def wishes(self, request: Mapping[str, object]) -> list[str]:
        """Return what the caller wanted."""
        wishes = []
        if service := request.get("service"):
            number = _SERVICE.fullmatch(str(service))
            wishes.append(self.services.get(number[1], str(service)) if number else str(service))
        if staff := request.get("staff"):
            wishes.append(_("with %s") % staff)
        if start := request.get("start"):
            wishes.append(self.instant(start))
        if day := request.get("date"):
            wishes.append(self.day(day))
        when = request.get("when")
        return wishes + (self.when(when) if isinstance(when, Mapping) else [])

    def when(self, when: Mapping[str, object]) -> list[str]:
        """Return the words for a time that was asked for."""
        wishes = [f"“{when['phrase']}”"] if when.get("phrase") else []
        if day := when.get("date"):
            wishes.append(self.day(day))
        if part := when.get("part_of_day"):
            wishes.append(str(_PARTS.get(str(part), part)))
        if not_before := when.get("not_before"):
            wishes.append(_("not before %s") % not_before)
        if time := when.get("time"):
            wishes.append(_("at %s") % time)
        windows = when.get("windows")
        return wishes + [self.span(each) for each in _listed(windows) if isinstance(each, Mapping)]

    def span(self, window: Mapping[str, object]) -> str:
        """Return a window in words."""
        first, last = self.instant(window.get("from")), self.instant(window.get("to"))
        return _("between %(first)s and %(last)s") % {"first": first, "last": last}

    def offers(self, response: Mapping[str, object]) -> list[str]:
        """Return the times that were named, and what was held."""
        named = [self.instant(each) for name in ("offers", "alternatives") for each in _listed(response.get(name))]
        return named + [_("held: %s") % self.instant(each) for each in _listed(response.get("held"))]

    def instant(self, text: object) -> str:
        """Return an instant as the clock of the branch shows it; what is none stays as it is."""
        try:
            instant = parse_datetime(str(text))
        except ValueError:
            return str(text)
        return str(text) if instant is None or instant.tzinfo is None else choice(instant, self.zone, self.now).words

    def day(self, text: object) -> str:
        """Return a date in words; what is none stays as it is."""
        try:
            day = parse_date(str(text))
        except ValueError:
            return str(text)
        return day_words(day, self.now.astimezone(self.zone).date()) if day else str(text)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
