"""Fields that several requests share: they turn what an agent sends into values of the domain, or refuse it."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from bookings import caller_input
from bookings.api.problems import RequestInvalid
from bookings.caller_input import MAX_NAME, clean_name, clean_note, is_absent
from bookings.errors import TimeNotUnderstood

YEARS = range(1970, 3000)
"""Years that are accepted, so that no calculation ends beyond the last date."""
LONGEST_WINDOW = timedelta(days=31)
OPTIONAL: Final[dict[str, Any]] = {"required": False, "allow_null": True, "default": None}
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d", re.ASCII)
_NO_ADDRESS = frozenset({"", "-", "no", "no email", "unknown", "keine", "nein", "unbekannt"})
_PLACEHOLDER = re.compile(r"(?i)[{}<>\[\]]|^(?:unknown|anonymous|caller|customer|name|n/?a|unbekannt|anrufer|kunde)$")


def instant(text: str) -> datetime:
    """
    Return the instant that RFC 3339 text names, in UTC.

    Raises:
        TimeNotUnderstood: it is no instant, or has no offset: a naive time is never guessed.

    """
    if not _INSTANT.fullmatch(text):
        raise TimeNotUnderstood("An instant is written with its offset, as in 2026-11-24T10:00:00+01:00.")
    try:
        found = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise TimeNotUnderstood("There is no such date or time.") from exc
    if found.year not in YEARS:
        raise TimeNotUnderstood("The year must lie between 1970 and 2999.")
    return found


def local_date(text: str) -> date:
    """
    Return the date that ISO text names.

    Raises:
        TimeNotUnderstood: it names none.

    """
    if not _DATE.fullmatch(text):
        raise TimeNotUnderstood("A date is written as in 2026-11-24.")
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise TimeNotUnderstood("There is no such date.") from exc
    if day.year not in YEARS:
        raise TimeNotUnderstood("The year must lie between 1970 and 2999.")
    return day


def clock_time(text: str) -> time:
    """Return the time of day that text as 09:30 names; raises TimeNotUnderstood if it names none."""
    if not _CLOCK.fullmatch(text):
        raise TimeNotUnderstood("A time of day is written as in 09:30.")
    return time.fromisoformat(text)


def phone_number(text: str | None, region: str | None, *, field: str = "caller.phone") -> str | None:
    """
    Return a number as E.164, read as in `region`; None where the caller withheld it.

    Raises:
        RequestInvalid: it is none. Without a region it must come with its country code.
        PhoneAmbiguous: it may be two numbers.
    """
    try:
        return caller_input.phone_number(text, region)
    except ValueError as exc:
        raise RequestInvalid(field, str(exc)) from exc


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantField(serializers.Field[datetime, object, str, Any]):
    """An instant with its offset."""

    def to_internal_value(self, data: object) -> datetime:
        return instant(data if isinstance(data, str) else "")

    def to_representation(self, value: datetime) -> str:
        return value.isoformat()


@extend_schema_field({"type": ["string", "integer"]})
class ServiceField(serializers.Field[str, object, str, Any]):
    """A service by its id or its exact name."""

    default_error_messages: ClassVar = {"invalid": "It must be the id or the name of a service."}

    def to_internal_value(self, data: object) -> str:
        """Return the text; the view looks it up among the services of the key."""
        if isinstance(data, bool) or not isinstance(data, str | int) or not str(data) or len(str(data)) > 200:
            self.fail("invalid")
        return str(data)

    def to_representation(self, value: str) -> str:
        return value


class PrintableField(serializers.CharField):
    """Text without control characters: it is printed on calendars and read out. A number is no text."""

    default_error_messages: ClassVar = {"unprintable": "It must not contain control characters."}

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text = super().to_internal_value(data)
        if UNPRINTABLE.search(text):
            self.fail("unprintable")
        return text


class OptionalTextField(PrintableField):
    """Printable text that may be null or missing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**OPTIONAL, **options)


class ConversationIdField(serializers.RegexField):
    """The phone call that a request belongs to; None where it names none."""

    def __init__(self, *, help_text: str = "the phone call it is part of") -> None:
        super().__init__(r"^cv_[0-9A-Z]{16}$", **OPTIONAL, help_text=help_text)


class LanguageField(serializers.RegexField):
    """A BCP 47 tag; None where there is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$", max_length=10, **OPTIONAL, **options)


class PersonNameField(serializers.CharField):
    """A person's name, cleaned and cut; a placeholder is refused."""

    default_error_messages: ClassVar = {"placeholder": "It looks like a placeholder: ask the caller for the name."}

    def __init__(self, **options: Any) -> None:
        super().__init__(help_text=f"cut after {MAX_NAME} characters, at a word", **options)

    def to_internal_value(self, data: object) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        name = clean_name(data)
        if is_absent(data) or _PLACEHOLDER.search(name) or (data.strip() and not name):
            self.fail("placeholder")
        return super().to_internal_value(name)


class NoteField(serializers.CharField):
    """Free text of a person, cleaned."""

    def to_internal_value(self, data: object) -> str:
        """Return the text; what is too long is refused, so that nothing is lost."""
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(clean_note(data))


class EmailAddressField(serializers.EmailField):
    """An e-mail address in lower case, None where the caller has none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=254, required=False, allow_null=True, allow_blank=True, default=None, **options)

    def run_validation(self, data: Any = empty) -> str | None:
        if isinstance(data, str) and data.strip().casefold() in _NO_ADDRESS:
            return None
        address: str | None = super().run_validation(data)
        return address.lower() if address else None


class RequestSerializer(serializers.Serializer[Any]):
    """A body of an agent. Optional members with a placeholder for nothing, as "null" or "{{name}}", are absent."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            data = {name: value for name, value in data.items() if not self._is_absent(name, value)}
        return super().to_internal_value(data)

    def _is_absent(self, name: str, value: object) -> bool:
        field = self.fields.get(name)
        return field is not None and not field.required and is_absent(value)
