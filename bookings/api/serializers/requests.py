"""What comes in becomes values of the domain; what goes out is described for the schema."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from bookings import caller_input
from bookings.api.directory import service_of
from bookings.api.problems import RequestInvalid, WindowTooLong
from bookings.caller_input import MAX_NAME, MAX_NOTE, clean_name, clean_note, is_absent
from bookings.errors import TimeNotUnderstood
from bookings.models import AgentKey, AppointmentState, Service

YEARS = range(1970, 3000)
"""Which of them are read at all, so that no calculation ends beyond the last date."""
LONGEST_WINDOW = timedelta(days=31)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
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
        raise TimeNotUnderstood("Nobody books in that year.")
    return found


# --- What is asked -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """Which free slots of which service: starts from `first` to before `last`. Parsed by hand: it is the hot way."""

    service: Service
    first: datetime
    last: datetime

    @classmethod
    def parse(cls, query: Mapping[str, str], key: AgentKey) -> "Question":
        """Read service, and from and to, or date."""
        service = service_of(key, _text(query, "service"))
        if "date" in query:
            return cls(service, *_local_day(query["date"], service.branch.time_zone))
        # An unescaped + of an offset arrives as a blank.
        first, last = (instant(_text(query, name).replace(" ", "+")) for name in ("from", "to"))
        if last <= first:
            raise TimeNotUnderstood("The window ends before it begins.")
        if last - first > LONGEST_WINDOW:
            raise WindowTooLong(f"A window may have at most {LONGEST_WINDOW.days} days.")
        return cls(service, first, last)


def _text(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if not value or len(value) > 200 or _UNPRINTABLE.search(value):
        raise RequestInvalid(name, "It is required, as text of at most 200 characters.")
    return value


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
        raise TimeNotUnderstood("Nobody books in that year.")
    return day


def _local_day(text: str, zone: str) -> tuple[datetime, datetime]:
    """Return the first instant of a local date, and of the next."""
    day = local_date(text)
    first, last = (datetime.combine(day + timedelta(days=n), time(), ZoneInfo(zone)) for n in (0, 1))
    return first.astimezone(UTC), last.astimezone(UTC)


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantField(serializers.Field[datetime, object, str, Any]):
    """An instant with its offset."""

    def to_internal_value(self, data: object) -> datetime:
        """Return it in UTC."""
        return instant(data if isinstance(data, str) else "")

    def to_representation(self, value: datetime) -> str:
        """Return it as RFC 3339."""
        return value.isoformat()


@extend_schema_field({"type": ["string", "integer"]})
class ServiceField(serializers.Field[str, object, str, Any]):
    """A service by its id or its exact name."""

    default_error_messages: ClassVar = {"invalid": "It must be the id or the name of a service."}

    def to_internal_value(self, data: object) -> str:
        """Return what was said; the view looks it up among the services of the key."""
        if isinstance(data, bool) or not isinstance(data, str | int) or not str(data) or len(str(data)) > 200:
            self.fail("invalid")
        return str(data)

    def to_representation(self, value: str) -> str:
        """Return it as it is."""
        return value


class PrintableField(serializers.CharField):
    """Text without control characters: it is printed on calendars and read out. A number is no text."""

    default_error_messages: ClassVar = {"unprintable": "It must not contain control characters."}

    def to_internal_value(self, data: object) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid")
        text = super().to_internal_value(data)
        if _UNPRINTABLE.search(text):
            self.fail("unprintable")
        return text


class PersonNameField(serializers.CharField):
    """A person's name, cleaned and cut; what a template or a model puts where it knows no name is refused."""

    default_error_messages: ClassVar = {"placeholder": "It looks like a placeholder: ask the caller for the name."}

    def __init__(self, **options: Any) -> None:
        super().__init__(help_text=f"cut after {MAX_NAME} characters, at a word", **options)

    def to_internal_value(self, data: object) -> str:
        """Return the name."""
        if not isinstance(data, str):
            self.fail("invalid")
        name = clean_name(data)
        if is_absent(data) or _PLACEHOLDER.search(name) or (data.strip() and not name):
            self.fail("placeholder")
        return super().to_internal_value(name)


class NoteField(serializers.CharField):
    """What people say in their own words, cleaned. To a model it is data and no instruction."""

    def to_internal_value(self, data: object) -> str:
        """Return the text; what is too long is refused, so that nothing is lost."""
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(clean_note(data))


class AddressField(serializers.EmailField):
    """An e-mail address in lower case, None where the caller has none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=254, required=False, allow_null=True, allow_blank=True, default=None, **options)

    def run_validation(self, data: Any = empty) -> str | None:
        """Return the address."""
        if isinstance(data, str) and data.strip().casefold() in _NO_ADDRESS:
            return None
        address: str | None = super().run_validation(data)
        return address.lower() if address else None


class AgentSerializer(serializers.Serializer[Any]):
    """What an agent sends. A member that says that there is nothing, as "null" or "{{name}}", is none."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values of the domain."""
        if isinstance(data, Mapping):
            data = {name: value for name, value in data.items() if not self._is_absent(name, value)}
        return super().to_internal_value(data)

    def _is_absent(self, name: str, value: object) -> bool:
        field = self.fields.get(name)
        return field is not None and not field.required and is_absent(value)


class CallerRequest(AgentSerializer):
    """Who the appointment is for. A phone number and an address are both optional: numbers are withheld."""

    name = PersonNameField()
    phone = PrintableField(max_length=200, required=False, allow_null=True, allow_blank=True, default=None)
    email = AddressField()
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$",
        max_length=10,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="BCP 47; the branch's where it is missing",
    )


class ConversationRequest(AgentSerializer):
    """Which call it is. Platform and call id tell a repeat from another call."""

    platform = PrintableField(max_length=20, required=False, allow_blank=True, default="", help_text="such as retell")
    call_id = PrintableField(max_length=120, help_text="what the platform calls it")
    caller_phone = PrintableField(
        max_length=200,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="the number shown by the telephone network; it counts only with the scope callers:identify",
    )
    branch = PrintableField(
        max_length=100, required=False, allow_null=True, default=None, help_text="its name, where there are several"
    )
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$",
        max_length=10,
        required=False,
        allow_null=True,
        default=None,
        help_text="BCP 47; the branch's where it is missing",
    )


class HoldRequest(AgentSerializer):
    """Which offer."""

    slot_token = PrintableField(max_length=20, help_text="of the offer that the caller chose")
    conversation_id = serializers.RegexField(
        r"^cv_[0-9A-Z]{16}$", required=False, allow_null=True, default=None, help_text="the phone call it is part of"
    )


class BookingRequest(AgentSerializer):
    """One slot for one caller: what was held and read back, or what was offered, or a service and its start."""

    confirm_token = PrintableField(
        max_length=20, required=False, allow_null=True, default=None, help_text="of the hold that the caller agreed to"
    )
    slot_token = PrintableField(
        max_length=20, required=False, allow_null=True, default=None, help_text="of an offer, where nothing is held"
    )
    service = ServiceField(required=False, allow_null=True, default=None, help_text="id or exact name")
    start = InstantField(
        required=False,
        allow_null=True,
        default=None,
        help_text="RFC 3339 with offset: a start that availability returned",
    )
    caller = CallerRequest()
    notes = NoteField(max_length=MAX_NOTE, required=False, allow_blank=True, default="")
    answers = serializers.DictField(
        required=False,
        allow_null=True,
        help_text="what the caller answers to the fields of the service, {slug: value}; others are left out",
    )
    conversation_id = serializers.RegexField(
        r"^cv_[0-9A-Z]{16}$", required=False, allow_null=True, default=None, help_text="the phone call it is part of"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what names no slot, or two."""
        if attrs["confirm_token"] and attrs["slot_token"]:
            raise serializers.ValidationError({"slot_token": "Send confirm_token or slot_token, not both."})
        if attrs["confirm_token"] or attrs["slot_token"]:
            return attrs
        missing = [name for name in ("service", "start") if attrs[name] is None]
        if missing:
            raise serializers.ValidationError(dict.fromkeys(missing, "It is required where no token is sent."))
        return attrs


class CancelRequest(AgentSerializer):
    """Why, in a few words; it is shown to the staff."""

    reason = NoteField(max_length=300, required=False, allow_blank=True, default="")


class RescheduleRequest(AgentSerializer):
    """Where to, by offer or by instant, and why; the reason is shown to the staff."""

    start = InstantField(required=False, allow_null=True, default=None, help_text="RFC 3339 with offset")
    slot_token = PrintableField(
        max_length=20, required=False, allow_null=True, default=None, help_text="of an offer for the same service"
    )
    reason = NoteField(max_length=300, required=False, allow_blank=True, default="")
    conversation_id = serializers.RegexField(
        r"^cv_[0-9A-Z]{16}$", required=False, allow_null=True, default=None, help_text="the phone call it is part of"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two answers to one question, and none."""
        if (attrs["start"] is None) == (attrs["slot_token"] is None):
            raise serializers.ValidationError("Send either start or slot_token.")
        return attrs


class CallbackRequest(AgentSerializer):
    """Who shall be called back, and what about. Without a number it is the one that the caller calls from."""

    topic = NoteField(max_length=MAX_NOTE, help_text="what it is about, in a few words; the staff reads it")
    name = PersonNameField(required=False, allow_null=True, allow_blank=True, default=None)
    phone = PrintableField(
        max_length=200,
        required=False,
        allow_null=True,
        allow_blank=True,
        default=None,
        help_text="as the caller said it; else the number of the conversation, if it came from a trusted source",
    )
    branch = PrintableField(
        max_length=100, required=False, allow_null=True, default=None, help_text="its name, where the caller means one"
    )
    booking_id = PrintableField(
        max_length=40, required=False, allow_null=True, default=None, help_text="the booking it is about"
    )
    reference = PrintableField(
        max_length=40,
        required=False,
        allow_null=True,
        default=None,
        help_text="or its reference, as the caller said it",
    )
    conversation_id = serializers.RegexField(
        r"^cv_[0-9A-Z]{16}$", required=False, allow_null=True, default=None, help_text="the phone call it is part of"
    )
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$",
        max_length=10,
        required=False,
        allow_null=True,
        default=None,
        help_text="BCP 47; else Accept-Language, else the call's or the branch's",
    )

    def validate_name(self, value: str | None) -> str:
        """Return the name, empty where there is none."""
        return value or ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two answers to one question."""
        if attrs["booking_id"] is not None and attrs["reference"] is not None:
            raise serializers.ValidationError({"reference": "Send booking_id or reference, not both."})
        return attrs


class FindRequest(AgentSerializer):
    """
    Whose appointments: those of the number that the caller calls from, or what only they know.

    Without reference, name and date it is the number of the conversation; no number in a body ever counts.
    """

    conversation_id = serializers.RegexField(
        r"^cv_[0-9A-Z]{16}$", required=False, allow_null=True, default=None, help_text="the phone call; nothing without"
    )
    reference = PrintableField(
        max_length=40,
        required=False,
        allow_null=True,
        default=None,
        help_text="six characters, as the caller said them",
    )
    name = PrintableField(
        max_length=200, required=False, allow_null=True, default=None, help_text="exactly as it was booked, with date"
    )
    date = serializers.DateField(required=False, allow_null=True, default=None, help_text="the branch's, with name")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse half a proof."""
        if (attrs["name"] is None) != (attrs["date"] is None):
            raise serializers.ValidationError("A name proves something only with a date, and a date only with a name.")
        return attrs


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


# --- What is answered: for the schema only, `answers.py` writes it ------------------------------------------------


class ServiceAnswer(serializers.Serializer[Any]):
    """A service as other answers name it."""

    id = serializers.CharField(help_text="such as sv_12")
    name = serializers.CharField()
    duration_minutes = serializers.IntegerField()


class CandidateAnswer(ServiceAnswer):
    """A service that the agent may ask about."""

    branch = serializers.CharField()


class FieldAnswer(serializers.Serializer[Any]):
    """What the caller must be asked before the service is booked."""

    slug = serializers.CharField(help_text="its name in answers")
    label = serializers.CharField(help_text="what staff called it; empty where they did not", allow_blank=True)  # type: ignore[assignment]  # DRF's attribute of that name
    type = serializers.CharField(
        help_text="as Cal.com names it: text, textarea, select, multiselect, radio, checkbox, boolean, phone, url, …"
    )
    options = serializers.ListField(child=serializers.CharField(), help_text="one of them, where there are any")


class ListedServiceAnswer(CandidateAnswer):
    """A service as the list has it."""

    aliases = serializers.ListField(child=serializers.CharField())
    time_zone = serializers.CharField(help_text="IANA name of the branch's zone")
    bookable = serializers.BooleanField()
    phone_required = serializers.BooleanField(help_text="it is booked for callers with a phone number only")
    fields = FieldAnswer(many=True, help_text="what POST /v1/bookings needs answers to")  # type: ignore[assignment]  # DRF's attribute of that name
    score = serializers.FloatField(allow_null=True, help_text="how well it matches q, up to 1; null without q")


class ServicesAnswer(serializers.Serializer[Any]):
    """The services, the best match first."""

    ok = serializers.BooleanField()
    services = ListedServiceAnswer(many=True)


class SlotAnswer(serializers.Serializer[Any]):
    """A free slot, with the branch's offset."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    weekday = serializers.CharField()


class TimeAnswer(SlotAnswer):
    """A time that names its zone."""

    time_zone = serializers.CharField()


class AlternativeAnswer(TimeAnswer):
    """Another time."""

    slot_token = serializers.CharField(required=False, help_text="what holds or books it, in a conversation")


class FreshnessAnswer(serializers.Serializer[Any]):
    """Where the answer comes from and how far to trust it."""

    source = serializers.ChoiceField(["cache", "calcom"])  # type: ignore[assignment]  # DRF's attribute of that name
    age_s = serializers.IntegerField(allow_null=True)
    verified = serializers.BooleanField(help_text="from a recent list, or exactly known through our own changes")


class AvailabilityAnswer(serializers.Serializer[Any]):
    """The free slots in the window."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(
        ["available", "none", "degraded"],
        help_text="degraded: some days could not be looked up; slots are as last known, of unknown_days nobody knows",
    )
    service = ServiceAnswer()
    time_zone = serializers.CharField()
    slots = SlotAnswer(many=True)
    unknown_days = serializers.ListField(child=serializers.DateField(), help_text="UTC dates; never say they are full")
    freshness = FreshnessAnswer()


class BookingAnswer(TimeAnswer):
    """A booking. It says nothing about the caller."""

    id = serializers.CharField(help_text="such as bk_7K3QX9M2TA4PWJ5R")
    reference = serializers.CharField(help_text="six characters that a caller can say")
    state = serializers.ChoiceField(AppointmentState.choices)
    service = ServiceAnswer(allow_null=True)


class BookedAnswer(serializers.Serializer[Any]):
    """One booking, with what can be said about it."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(AppointmentState.choices)
    booking = BookingAnswer()


class ChangedAnswer(BookedAnswer):
    """What a booking or cancelling came to."""

    status = serializers.ChoiceField(
        ["pending", "awaiting_confirmation", "confirmed", "cancelled", "rejected", "expired", "completed", "no_show"]
    )
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()
    operation_id = serializers.CharField(help_text="see GET /v1/operations/{id}")
    replayed = serializers.BooleanField(help_text="an earlier request was the same wish; this is its outcome")


class FoundAnswer(serializers.Serializer[Any]):
    """The caller's upcoming appointments, the next one first."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["found", "none"])
    bookings = BookingAnswer(many=True)
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()


class CallbackAnswer(serializers.Serializer[Any]):
    """Who wants to be called back is on the list."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["open", "done"])
    callback_id = serializers.CharField(help_text="such as cb_7K3QX9M2TA4PWJ5R")
    number = serializers.ChoiceField(["caller_id", "given"], help_text="which number will be called; never the number")
    spoken = serializers.CharField()
    agent_hint = serializers.CharField()
    replayed = serializers.BooleanField(help_text="the same was asked for before, and is still on the list")


class DayAnswer(serializers.Serializer[Any]):
    """A day of the branch."""

    date = serializers.DateField()
    name = serializers.CharField(help_text="as it is spoken")
    open = serializers.BooleanField()


class CallerAnswer(serializers.Serializer[Any]):
    """Who calls, where that is certain and they have been here before."""

    known = serializers.BooleanField()
    name = serializers.CharField(allow_null=True)


class ConversationAnswer(serializers.Serializer[Any]):
    """What an agent needs before it says a word."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["started"])
    conversation_id = serializers.CharField(help_text="such as cv_7K3QX9M2TA4PWJ5R")
    replayed = serializers.BooleanField(help_text="this call had begun before")
    branch = serializers.CharField()
    time_zone = serializers.CharField()
    now = serializers.DateTimeField()
    days = DayAnswer(many=True, help_text="today and the days that follow")
    services = ListedServiceAnswer(many=True)
    caller = CallerAnswer()
    appointments = BookingAnswer(many=True, help_text="of a caller whose number the key vouches for; else empty")
    agent_hint = serializers.CharField()


class HoldAnswer(TimeAnswer):
    """A time that nobody else gets for the moment."""

    status = serializers.ChoiceField(
        ["held", "pending", "awaiting_confirmation", "confirmed"], help_text="held, or booked since"
    )
    hold_id = serializers.CharField()
    confirm_token = serializers.CharField(help_text="what books it, once the caller has agreed to read_back")
    expires_at = serializers.DateTimeField(allow_null=True)
    read_back = serializers.CharField(help_text="what the caller is asked to agree to")
    verified = serializers.BooleanField(
        help_text="false where Cal.com could not be asked whether it is still free; from us nobody else gets it"
    )
    service = ServiceAnswer()
    staff = serializers.CharField(allow_null=True, help_text="who was asked for by name")
    replayed = serializers.BooleanField()


class HeldAnswer(HoldAnswer):
    """What came of holding."""

    ok = serializers.BooleanField()
    agent_hint = serializers.CharField()


class EndedAnswer(serializers.Serializer[Any]):
    """A phone call that is over."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["ended"])
    conversation_id = serializers.CharField()
    replayed = serializers.BooleanField(help_text="it had ended before")


class ReleasedAnswer(serializers.Serializer[Any]):
    """What became of a hold."""

    ok = serializers.BooleanField()
    status = serializers.CharField(help_text="released, or the state of the booking that it has become")
    hold_id = serializers.CharField()


class OperationAnswer(serializers.Serializer[Any]):
    """How far a change is."""

    id = serializers.CharField()
    operation = serializers.ChoiceField(["create", "reschedule", "cancel"])
    status = serializers.ChoiceField(["pending", "awaiting_confirmation", "done", "refused"])
    reason = serializers.CharField(allow_null=True)
    asked_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class OperationsAnswer(serializers.Serializer[Any]):
    """What became of a pending write."""

    ok = serializers.BooleanField()
    status = serializers.ChoiceField(["pending", "awaiting_confirmation", "done", "refused"])
    operation = OperationAnswer()
    booking = BookingAnswer()
    spoken = serializers.CharField(help_text="what the caller may be told of it now")
    agent_hint = serializers.CharField()


class FieldProblem(serializers.Serializer[Any]):
    """What is wrong with one field."""

    field = serializers.CharField(allow_blank=True, help_text="such as caller.name; empty: the body as a whole")
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """A problem as RFC 9457 has it, with what an agent needs beside."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    ok = serializers.BooleanField()
    code = serializers.CharField(help_text="stable; what programs decide by")
    retryable = serializers.BooleanField()
    spoken = serializers.CharField(help_text="what the caller may be told")
    agent_hint = serializers.CharField()
    alternatives = AlternativeAnswer(many=True, help_text="other times that are free as far as we know")
    next_possible_day = serializers.DateField(
        required=False, allow_null=True, help_text="from when bookings are possible again; null where not known"
    )
    booking = BookingAnswer(
        required=False, help_text="the appointment that exists, where it is certain that it is the caller's"
    )
    candidates = CandidateAnswer(many=True, required=False)
    readings = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="the instants that a local time may be, or the numbers (E.164) that a telephone number may be",
    )
    field = serializers.CharField(required=False, help_text="slug of the booking field that must be answered")
    label = serializers.CharField(required=False, allow_blank=True, help_text="what staff called that field")  # type: ignore[assignment]  # DRF's attribute of that name
    answer_type = serializers.CharField(required=False, help_text="type of that field, as Cal.com names it")
    options = serializers.ListField(child=serializers.CharField(), required=False, help_text="what may be answered")
    errors = FieldProblem(many=True, required=False)  # type: ignore[assignment]  # DRF's attribute of that name
    request_id = serializers.CharField()
