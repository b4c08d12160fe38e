"""A tool call becomes a request to the agents' API: the envelope says who calls, the model what is wanted."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from structlog.contextvars import bind_contextvars

from bookings.api import problems, wire
from bookings.api.auth import trusted_number
from bookings.api.directory import services_of
from bookings.api.problems import RequestInvalid
from bookings.availability.criteria import TimeCriteria
from bookings.caller_input import is_absent, phone_number
from bookings.errors import AskCaller, BookingError, ConversationEnded, PhoneAmbiguous
from bookings.language.phrase_criteria import criteria_of_phrase
from bookings.models import AgentKey, Branch, Conversation
from bookings.scheduling import conversations
from bookings.voice import rest, results
from bookings.voice.hand_over import hand_over
from bookings.voice.rest import Reply
from calcom.day_ranges import MINUTE

READ_WAIT_S, WRITE_WAIT_S = 2.0, 3.4
"""LiveKit and OpenAI's Agents give up after 5 s (measured 2026-11): an answer must be under way after 4 s."""
_PAUSE_S = 0.1
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*(?:[Zz]|[+-]\d\d:?\d\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_A_PERSON_HELPS = frozenset(
    {"upstream_unavailable", "configuration_error", "internal_error", "identity_mismatch", "change_too_late"}
)
_YES = frozenset({"yes", "true", "ja", "1"})
_UNSAID = frozenset({"", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The phone call that a tool call belongs to, as a signed envelope or trusted headers tell it."""

    platform: str
    call_id: str = ""
    """Empty where the platform tells none: then there is no conversation."""
    caller_number: str = ""
    called_number: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One tool call on its way: the key that answers for it, and its conversation."""

    key: AgentKey
    conversation: Conversation | None
    branch: Branch | None
    language: str
    arguments: Mapping[str, str]
    environ: Mapping[str, Any]
    began: float = field(default_factory=time.monotonic)

    def post(self, name: str, body: Mapping[str, object], *, wait_s: float = WRITE_WAIT_S, **path: str) -> Reply:
        """Ask the API; while the first of two equal requests is under way, wait for its outcome."""
        query = {"language": self.arguments["language"]} if "language" in self.arguments else {}
        if self.conversation is not None:
            query["conversation_id"] = self.conversation.public_id
        while True:
            left = max(0.5, wait_s - (time.monotonic() - self.began))
            reply = rest.post(name, body, key=self.key, path=path, query=query, wait_s=left, environ=self.environ)
            in_progress = reply.body.get("code") == "idempotency_in_progress"
            if not in_progress or time.monotonic() - self.began > wait_s - _PAUSE_S:
                return reply
            time.sleep(_PAUSE_S)

    def given(self, *names: str) -> dict[str, str]:
        """Return those of the arguments that were sent."""
        return {name: self.arguments[name] for name in names if name in self.arguments}


def answer(
    tool: str, arguments: Mapping[str, Any], *, call: Call, key: AgentKey, environ: Mapping[str, Any]
) -> dict[str, object]:
    """Run a tool and return what the model is told, as `results.told` has it. Never raises: a failure is an answer."""
    said = present(arguments)
    language = "en"
    try:
        branch = branch_of(key, call)
        language = wire.spoken_language(said.get("language", "")) or _usual(call, branch)
        conversation = _conversation(call, key, branch)
        if conversation is not None:
            branch = conversation.branch or branch
            language = wire.spoken_language(said.get("language", "") or conversation.language) or language
        line = _Line(
            key=key,
            conversation=conversation,
            branch=branch,
            language=language,
            arguments=said,
            environ=environ,
        )
        told = results.told(_HANDLERS[tool](line))
        return told | _person(branch) if tool == "request_callback" or told.get("code") in _A_PERSON_HELPS else told
    except (BookingError, problems.RequestError, OperationalError, InterfaceError) as exc:
        return results.told(_problem(exc, language))


def _person(branch: Branch | None) -> dict[str, str]:
    """Return where the call can be handed over now; nothing where no one is there."""
    return {name: value for name, value in hand_over(branch, now=timezone.now()).items() if value}


def present(arguments: Mapping[str, Any]) -> dict[str, str]:
    """
    Return the arguments that say something, as text.

    Where every parameter is required, models write null, "none" or "n/a" for nothing, and numbers for text.
    """
    texts = {name: value if isinstance(value, str) else _text(value) for name, value in arguments.items()}
    return {
        name: text.strip()
        for name, text in texts.items()
        if not is_absent(text) and text.strip().casefold() not in _UNSAID
    }


def _text(value: object) -> str:
    if value is None:
        return ""
    return orjson.dumps(value, default=str).decode() if isinstance(value, dict | list) else str(value)


# --- which call it is --------------------------------------------------------------------------------------------


def _conversation(call: Call, key: AgentKey, branch: Branch | None) -> Conversation | None:
    """Return the conversation of the call, begun where this is the first that we hear of it; ended ones as well."""
    if not call.call_id:
        return None
    named: dict[str, Any] = {"company": key.company, "platform": call.platform, "call_id": call.call_id[:120]}
    try:
        conversation, _ = conversations.begin(
            **named,
            branch=branch,
            agent_key=key,
            caller_phone=trusted_number(key, call.caller_number, branch.phone_region if branch else None),
            language=wire.spoken_language(call.language) or "",
        )
    except ConversationEnded:
        conversation = Conversation.objects.select_related("branch").get(**named)
    bind_contextvars(conversation_id=conversation.public_id)
    return conversation


def branches_of(key: AgentKey) -> list[Branch]:
    """Return the branches that the key serves."""
    return list({service.branch_id: service.branch for service in services_of(key)}.values())


def branch_of(key: AgentKey, call: Call) -> Branch | None:
    """Return the branch that was called: the key's, the one whose number was dialled, or the only one there is."""
    if key.branch is not None:
        return key.branch
    branches = branches_of(key)
    dialled = [branch for branch in branches if branch.phone and branch.phone == called_number(call, branch)]
    return (dialled or branches)[0] if len(dialled or branches) == 1 else None


def called_number(call: Call, branch: Branch) -> str | None:
    """Return the number that was dialled, as the branch's region reads it."""
    with suppress(ValueError, PhoneAmbiguous):
        return phone_number(call.called_number, branch.phone_region)
    return None


def _usual(call: Call, branch: Branch | None) -> str:
    return wire.spoken_language(call.language or (branch.language if branch else "")) or "en"


# --- what is asked for -------------------------------------------------------------------------------------------


def _check_availability(line: _Line) -> Reply:
    body: dict[str, object] = dict(line.given("more_token"))
    if AgentKey.Scope.BOOKINGS_WRITE in line.key.scopes:
        body["hold"] = "exact_match"
    if "more_token" not in body:
        body |= line.given("service", "staff")
        if when := line.arguments.get("when"):
            body["when"] = _when(when)
    return line.post("search", body, wait_s=READ_WAIT_S)


def _when(text: str) -> dict[str, object]:
    """Return the time as it is asked for: the caller's words, or what the model made of them against all advice."""
    if _INSTANT.fullmatch(text):
        return {"windows": [{"from": text.replace(" ", "T")}]}
    return {"date": text} if _DATE.fullmatch(text) else {"phrase": text[:300]}


def _hold_slot(line: _Line) -> Reply:
    return line.post("holds", line.given("slot_token"), wait_s=READ_WAIT_S)


def _book_appointment(line: _Line) -> Reply:
    """Book what is held; where nothing is held under the token, the offer that has it: models mix up the two."""
    said = line.arguments
    token = said.get("confirm_token") or said.get("slot_token")
    if token is None:
        raise RequestInvalid("confirm_token", "It is required: hold a time first.")
    body: dict[str, object] = {"caller": line.given("name", "phone", "email"), **line.given("notes")}
    if "answers" in said:
        body["answers"] = _answers(said["answers"])
    reply = line.post("bookings", body | {"confirm_token": token})
    if reply.body.get("code") != "confirm_token_invalid":
        return reply
    offered = line.post("bookings", body | {"slot_token": token})
    return reply if offered.body.get("code") == "slot_not_offered" else offered


def _answers(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise RequestInvalid("answers", 'It must be a JSON object: {"field": "what the caller said"}.') from exc


def _find_my_appointments(line: _Line) -> Reply:
    body: dict[str, object] = dict(line.given("reference", "name"))
    if "date" in line.arguments:
        body["date"] = _day(line.arguments["date"], line).isoformat()
    return line.post("find", body, wait_s=READ_WAIT_S)


def _day(text: str, line: _Line) -> date:
    """Return the day that ISO text or the caller's words name."""
    with suppress(ValueError):
        return date.fromisoformat(text)
    branch = line.branch or next(iter(branches_of(line.key)), None)
    if branch is None:
        raise RequestInvalid("date", "It must be a date such as 2026-11-24.")
    now, zone = timezone.now(), ZoneInfo(branch.time_zone)
    criteria = criteria_of_phrase(text, branch=branch, language=line.language, now=now).criteria
    return datetime.fromtimestamp(_first_minute(criteria) * MINUTE.total_seconds(), UTC).astimezone(zone).date()


def _first_minute(criteria: TimeCriteria) -> int:
    return criteria.start if criteria.start is not None else criteria.windows[0].first


def _reschedule_appointment(line: _Line) -> Reply:
    body = line.given("slot_token", "reason")
    return line.post("reschedule", body, booking_id=_booking_id(line))


def _cancel_appointment(line: _Line) -> Reply:
    return line.post("cancel", line.given("reason"), booking_id=_booking_id(line))


def _booking_id(line: _Line) -> str:
    """Return the booking that is meant, in the spelling of an id that a URL can carry."""
    booking_id = line.arguments.get("booking_id", "")
    if not re.fullmatch(r"\w{1,40}", booking_id, re.ASCII):
        raise RequestInvalid("booking_id", "Send the booking_id that find_my_appointments returned.")
    return booking_id


def _request_callback(line: _Line) -> Reply:
    body: dict[str, object] = dict(line.given("topic", "name", "phone", "booking_id"))
    if line.arguments.get("wants_earlier", "").casefold() in _YES:
        body["wants_earlier"] = True
    return line.post("callbacks", body)


_HANDLERS: Mapping[str, Callable[[_Line], Reply]] = {
    "check_availability": _check_availability,
    "hold_slot": _hold_slot,
    "book_appointment": _book_appointment,
    "find_my_appointments": _find_my_appointments,
    "reschedule_appointment": _reschedule_appointment,
    "cancel_appointment": _cancel_appointment,
    "request_callback": _request_callback,
}


def _problem(exc: Exception, language: str) -> Reply:
    problem = problems.problem_of(exc)
    members: dict[str, Any] = {}
    if isinstance(exc, AskCaller) and exc.question:
        members["spoken"] = exc.question
    if isinstance(exc, RequestInvalid):
        members["errors"] = [{"field": exc.field, "detail": str(exc)}]
    body = problems.body_of(problems.code_of(exc), problem, language=language, **members)
    return Reply(body, language)
