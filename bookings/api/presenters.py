"""
The parts of responses, assembled by hand: an output serializer would cost a cached answer most of its time.

`serializers` describes their shapes for the schema; a test compares both.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson
from django.utils import timezone

from bookings.language import booking_sentences, english, german
from bookings.models import Appointment, AppointmentState, Branch, CallbackRequest, Operation, Service
from bookings.scheduling import identity
from bookings.scheduling.booking_fields import asked_of_callers, needs_phone
from bookings.scheduling.execution import waits_for_calcom
from bookings.scheduling.holds import Held
from bookings.scheduling.settling import Outcome
from cachectl.cache import CacheResult
from calcom.types import RequiredField

DAY = 1440  # minutes
WEEKDAYS = {"de": german.WEEKDAYS, "en": english.WEEKDAYS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = tuple(f"T{minute // 60:02}:{minute % 60:02}:00" for minute in range(DAY))
_THURSDAY = 3  # weekday of 1970-01-01

# --- Slots -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def slots(starts: tuple[int, ...], *, zone: str, minutes: int, language: str) -> orjson.Fragment:
    """
    Return the JSON list of slots that begin at `starts` (epoch minutes) and last `minutes`.

    TTLCache, because callers ask for the same days again and again.
    """
    names = WEEKDAYS[language]
    parts = []
    for start in starts:
        begin, day = _local(start, zone)
        end, _ = _local(start + minutes, zone)
        parts.append(f'{{"start":"{begin}","end":"{end}","weekday":"{names[(day + _THURSDAY) % 7]}"}}')
    return orjson.Fragment(f"[{','.join(parts)}]")


def _local(minute: int, zone: str) -> tuple[str, int]:
    """Return an instant in RFC 3339 with the zone's offset, and its local day since 1970."""
    offset = _offset_of_day(minute // DAY, zone)
    if offset is None:
        offset = _offset_at(minute, zone)
    day, clock = divmod(minute + offset, DAY)
    return f"{_date(day)}{_CLOCK[clock]}{_written(offset)}", day


@lru_cache(maxsize=4096)
def _offset_of_day(day: int, zone: str) -> int | None:
    """Return the zone's offset on a UTC day in minutes, or None on a day when clocks are changed."""
    first = _offset_at(day * DAY, zone)
    return first if _offset_at((day + 1) * DAY - 1, zone) == first else None


def _offset_at(minute: int, zone: str) -> int:
    offset = datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).utcoffset() or timedelta()
    return int(offset.total_seconds()) // 60


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).date().isoformat()


@lru_cache(maxsize=64)
def _written(offset: int) -> str:
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def time_of(start: datetime, end: datetime, *, zone: str, language: str) -> dict[str, str]:
    """Return a time as all responses have it."""
    local = start.astimezone(ZoneInfo(zone))
    return {
        "start": local.isoformat(timespec="seconds"),
        "end": end.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds"),
        "time_zone": zone,
        "weekday": WEEKDAYS[language][local.weekday()],
    }


def alternatives(
    starts: Sequence[datetime], tokens: Sequence[str], *, zone: str, minutes: int, language: str
) -> list[dict[str, str]]:
    """Return other times, each with its slot_token where there are tokens."""
    length = timedelta(minutes=minutes)
    times = [time_of(start, start + length, zone=zone, language=language) for start in starts]
    if not tokens:
        return times
    return [{"slot_token": token, **each} for token, each in zip(tokens, times, strict=True)]


def freshness(known: CacheResult) -> dict[str, object]:
    """Return where the data of a response comes from, its age, and whether it is verified."""
    return {
        "source": "calcom" if known.loaded or known.collapsed else "cache",
        "age_s": None if known.age is None else int(known.age),
        "verified": known.verified,
    }


# --- Services ----------------------------------------------------------------------------------------------------


def service(found: Service) -> dict[str, object]:
    """Return a service as other responses refer to it."""
    return {"id": service_id(found), "name": found.name, "duration_minutes": found.duration_minutes}


def service_id(found: Service) -> str:
    """Return the id that agents use."""
    return f"sv_{found.pk}"


def candidate(found: Service) -> dict[str, object]:
    """Return a service that the agent may ask about."""
    return {**service(found), "branch": found.branch.name}


def listed_service(found: Service, score: float | None) -> dict[str, object]:
    """Return a service as the list has it; `score` says how well it matches what was searched, up to 1."""
    return {
        **candidate(found),
        "aliases": found.aliases,
        "time_zone": found.branch.time_zone,
        "bookable": not found.unsupported_reason(),
        "phone_required": needs_phone(found.event_type),
        "fields": [booking_field(each) for each in asked_of_callers(found)],
        "score": score,
    }


def booking_field(found: RequiredField) -> dict[str, object]:
    """Return a field that the caller must answer before a service is booked."""
    return {
        "slug": found["slug"],
        "label": found.get("label", ""),
        "type": found["type"],
        "options": found["options"],
    }


# --- Bookings ----------------------------------------------------------------------------------------------------


def booking(appointment: Appointment, *, language: str) -> dict[str, object]:
    """Return a booking. It says nothing about the caller, who may not be the one who booked."""
    branch: Branch = appointment.branch
    return {
        "id": appointment.public_id,
        "reference": appointment.reference,
        "state": appointment.state,
        "service": service(appointment.service) if appointment.service else None,
        **time_of(appointment.start, appointment.end, zone=branch.time_zone, language=language),
    }


def hold(held: Held, *, staff: str, language: str) -> dict[str, object]:
    """Return a hold, or the booking that it has become. `staff` is the person requested by name, or empty."""
    appointment, zone = held.appointment, ZoneInfo(held.appointment.branch.time_zone)
    booked = service(appointment.service) if appointment.service else None
    if held.expires_at is None:
        sentence = booking_sentences.operation_outcome("create", appointment.state, language)
    else:
        sentence = booking_sentences.read_back(
            service=appointment.service.name if appointment.service else "",
            staff=staff,
            start=appointment.start.astimezone(zone),
            today=timezone.now().astimezone(zone).date(),
            language=language,
        )
    return {
        "status": appointment.state,
        "hold_id": appointment.public_id,
        "confirm_token": held.confirm_token,
        "expires_at": held.expires_at.astimezone(zone).isoformat(timespec="seconds") if held.expires_at else None,
        "read_back": sentence,
        "verified": held.verified,
        "service": booked,
        "staff": staff or None,
        **time_of(appointment.start, appointment.end, zone=zone.key, language=language),
        "replayed": held.replayed,
    }


_CALLBACK_HINT = "Say spoken. The staff has it on its list; promise no time."
_SETTLED_HINT = "Say spoken."
_PENDING_HINT = (
    "Promise nothing. Ask the operation after Retry-After until it is done or refused, then say its spoken. If the call"
    " ends before, the caller is called back if it fails."
)
_AWAITING_HINT = (
    "Say spoken, and promise nothing: a person has to confirm it, which may take hours, so do not wait for it in this"
    " call. Should it be declined, the caller is called back if there is a number; else ask for one, and send it to"
    " POST /v1/callbacks."
)
_PENDING_HINT_NO_NUMBER = (
    "Promise nothing. Ask the operation after Retry-After until it is done or refused, then say its spoken. There is no"
    " number to call back: ask for one before the call ends, and send it to POST /v1/callbacks."
)


_OTHER_NAME_HINT = (
    " No further booking was made: this is the one that was asked for before, in another name. For a further person"
    " search for the time again, and book the slot_token of that offer."
)


def outcome(operation: Operation, *, language: str, attendee_name: str = "") -> dict[str, object]:
    """
    Return the sentence and hint about an operation that was not refused.

    `attendee_name` is the name in a request to book: the booking that a repeat gets may be in another name.
    """
    if operation.state == Operation.State.DONE:
        status, hint = str(operation.appointment.state), _SETTLED_HINT
    elif operation.state == Operation.State.AWAITING:
        status, hint = str(operation.appointment.state), _AWAITING_HINT
    else:
        status = "waiting" if waits_for_calcom(operation) else "pending"
        hint = _PENDING_HINT if operation.appointment.attendee_phone else _PENDING_HINT_NO_NUMBER
    if not identity.may_be_one_person(operation.appointment.attendee_name, attendee_name):
        hint += _OTHER_NAME_HINT
    spoken = booking_sentences.operation_outcome(operation.kind, status, language)
    if operation.state == Operation.State.DONE and operation.outcome == Outcome.OTHER_LENGTH:
        appointment = operation.appointment
        minutes = (appointment.end - appointment.start) // timedelta(minutes=1)
        spoken = f"{spoken} {booking_sentences.new_length(minutes, language)}"
    return {"spoken": spoken, "agent_hint": hint}


def callback(requested: CallbackRequest, *, own_number: str | None, replayed: bool, language: str) -> dict[str, object]:
    """Return a callback request, without its number: the caller may not be its owner."""
    is_done, is_waiting = (
        requested.state == each for each in (CallbackRequest.State.DONE, CallbackRequest.State.WAITING)
    )
    is_own = requested.phone == own_number
    return {
        "status": requested.state,
        "callback_id": requested.public_id,
        "number": "caller_id" if is_own else "given",
        "spoken": booking_sentences.earlier_noted(language)
        if is_waiting
        else booking_sentences.callback_noted(done=is_done, own_number=is_own, language=language),
        "agent_hint": _CALLBACK_HINT,
        "replayed": replayed,
    }


def operation(operation: Operation) -> dict[str, object]:
    """Return how far an operation is."""
    return {
        "id": operation.public_id,
        "operation": operation.kind,
        "status": status_of(operation),
        "reason": operation.outcome if operation.state == Operation.State.REFUSED else None,
        "requested_at": operation.requested_at.isoformat(timespec="seconds"),
        "finished_at": operation.finished_at.isoformat(timespec="seconds") if operation.finished_at else None,
    }


def status_of(operation: Operation) -> str:
    """Return `pending`, `awaiting_confirmation`, `done` or `refused`."""
    if operation.state == Operation.State.AWAITING:
        return str(AppointmentState.AWAITING)
    if operation.state in {Operation.State.DONE, Operation.State.REFUSED}:
        return str(operation.state)
    return "pending"


def retry_after(operation: Operation) -> str:
    """Return the seconds after which to ask for the outcome again; empty where it is known."""
    if operation.state == Operation.State.AWAITING:
        return "300"  # a person has to decide
    return "1" if status_of(operation) == "pending" else ""
