"""
What Cal.com asks in a booking form, and who answers it: the caller's number, staff's constant, or the caller.

A constant of staff's (`Service.field_defaults`) never answers a field for the attendee's number: every caller would get
it.
"""

import re
from collections.abc import Mapping

from bookings.caller_input import MAX_NOTE, clean_note, is_absent, phone_number
from bookings.errors import AnswerRequired, PhoneRequired
from bookings.models import Service
from calcom.models import EventType
from calcom.types import PHONE_FIELDS, RequiredField

NOTES = "notes"
_SEVERAL = {"multiselect", "checkbox", "multiemail"}
_EMAIL = re.compile(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+")
_PATTERNS = {
    "email": _EMAIL,
    "multiemail": _EMAIL,
    "url": re.compile(r"https?://[^\s/]+\.\S+", re.IGNORECASE),
}
_YES = {"true", "yes", "ja", "1"}
_NO = {"false", "no", "nein", "0"}


def asked_of_callers(service: Service, event_type: EventType | None = None) -> list[RequiredField]:
    """Return the required fields that neither the caller's number nor a constant of staff's answers."""
    required = (event_type or service.event_type).required_fields
    return [
        each for each in required if each["slug"] not in PHONE_FIELDS and each["slug"] not in service.field_defaults
    ]


def needs_phone(event_type: EventType) -> bool:
    """Return whether it cannot be booked without the caller's number."""
    return any(each["slug"] in PHONE_FIELDS for each in event_type.required_fields)


def answers_of(
    service: Service, event_type: EventType, given: Mapping[str, object], *, phone: str | None, notes: str
) -> dict[str, object]:
    """
    Return, as Cal.com takes them, the caller's answers to the fields that are asked of callers; others are left out.

    Args:
        given: what was answered, by slug.
        phone: the caller's number, E.164.
        notes: what answers a required field for notes.

    Raises:
        PhoneRequired: the event type asks for a number, and none is known.
        PhoneAmbiguous: an answer is a number that may be read in two ways.
        AnswerRequired: an answer is missing, or is none of the field's options or type.
    """
    if needs_phone(event_type) and not phone:
        raise PhoneRequired("The event type asks for the caller's phone number.")
    accepted: dict[str, object] = {}
    for field in asked_of_callers(service, event_type):
        slug = field["slug"]
        answer = _accepted(field, given.get(slug), service.branch.phone_region)
        if answer is not None:
            accepted[slug] = answer
        elif not (slug == NOTES and notes):
            raise AnswerRequired(f"The booking field “{slug}” is required.", field=field)
    return accepted


def _accepted(field: RequiredField, given: object, region: str) -> object:
    """Return the answer in the field's type, None where it is none."""
    kind, options = field["type"], field["options"]
    if kind == "boolean":
        return _truth(given)
    if kind in _SEVERAL:
        chosen = [_one(kind, _text(each), options, region) for each in (given if isinstance(given, list) else [given])]
        return chosen if chosen and all(chosen) else None
    return _one(kind, _text(given), options, region)


def _one(kind: str, text: str, options: list[str], region: str) -> str | None:
    """Return a text as the field allows it, None where it does not."""
    if options:
        # As Cal.com spells it: an agent may have heard it in another case.
        return next((each for each in options if each.casefold() == text.casefold()), None)
    if kind == "phone":
        return _number(text, region)
    pattern = _PATTERNS.get(kind)
    return text if text and (pattern is None or pattern.fullmatch(text)) else None


def _text(given: object) -> str:
    is_word = isinstance(given, str | int | float) and not isinstance(given, bool)
    text = str(given) if is_word and not is_absent(given) else ""
    return clean_note(text) if len(text) <= MAX_NOTE else ""


def _truth(given: object) -> bool | None:
    if isinstance(given, bool):
        return given
    word = _text(given).casefold()
    return True if word in _YES else False if word in _NO else None


def _number(text: str, region: str) -> str | None:
    try:
        return phone_number(text, region)
    except ValueError:
        return None


def responses(
    service: Service, event_type: EventType, answers: Mapping[str, object], *, phone: str | None, notes: str
) -> dict[str, object]:
    """Return what Cal.com is told in a booking form, by slug; `answers` are those that `answers_of` accepted."""
    constants = {slug: value for slug, value in service.field_defaults.items() if slug not in PHONE_FIELDS}
    asked = {each["slug"] for each in event_type.required_fields}
    numbers = dict.fromkeys(sorted(PHONE_FIELDS & asked), phone) if phone else {}
    return {**constants, **answers, **({NOTES: notes} if notes else {}), **numbers}
