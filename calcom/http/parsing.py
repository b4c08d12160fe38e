"""Parses Cal.com's responses into values of `calcom.types` or errors of `calcom.errors`. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson

from calcom.errors import KeyRefused, Reason, Refused, Unavailable, unanswered
from calcom.http.transport import Answer
from calcom.types import (
    NO_TIME,
    ListReach,
    RemoteBooking,
    RemoteEventType,
    RemoteHost,
    RemotePerson,
    RemoteState,
    RemoteWebhook,
    RequiredField,
    UnreadableBooking,
    UnsupportedReason,
)

T = TypeVar("T")

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What parsing an unknown shape raises."""
METADATA_KEY = "slotline_appointment"
LONGEST_UID = 100
BLOCKED_FOR = 60.0
"""The longest block of a key in seconds (recorded 2026-11-21)."""

# The first text found in the message decides, whatever the status: a limit is refused with 401, which is not about the
# key. Recorded 2026-11-21, those of limits and cancelling 2026-11-30.
_TEXTS = (
    ("already has booking at this time or is not available", Reason.NOT_AVAILABLE),
    ("booking_conflict_error", Reason.NOT_AVAILABLE),
    ("No more seats left", Reason.NOT_AVAILABLE),
    ("already_signed_up_for_this_booking_error", Reason.NOT_AVAILABLE),
    ('can\'t be booked at the "start" time provided', Reason.OUT_OF_BOUNDS),
    ("Attempting to book a meeting in the past", Reason.IN_PAST),
    ("has been cancelled and rescheduled already", Reason.ALREADY_MOVED),
    ("has been cancelled", Reason.ALREADY_CANCELLED),
    ("Cannot cancel a booking that has already ended", Reason.ALREADY_ENDED),
    ("does not allow cancellations", Reason.CANCELLING_OFF),
    ("limit_reached", Reason.LIMIT_REACHED),
    ("maximum number of active bookings has been reached", Reason.BOOKER_LIMIT),
    # No route for this path and version: a wrong version must not look like a missing booking.
    ("Cannot GET ", Reason.INVALID),
    ("Cannot POST ", Reason.INVALID),
    # About the API key; other refusals with these statuses are not. Recorded, except "is expired", of which only the
    # status is.
    ("Invalid API Key", Reason.UNAUTHORIZED),
    ("Invalid Access Token", Reason.UNAUTHORIZED),
    ("Your api key is", Reason.UNAUTHORIZED),
    ("No authentication method provided", Reason.UNAUTHORIZED),
    ("no authentication provided", Reason.UNAUTHORIZED),
)
_TOKEN_EXPIRED = 498
_STATUSES = {
    401: Reason.UNAUTHORIZED,
    403: Reason.UNAUTHORIZED,
    404: Reason.NOT_FOUND,
}
# "Event Type not found" of a list of slots, "Event type with id 7 not found." of a booking (recorded 2026-11-21).
_NAMES_EVENT_TYPE = re.compile(r"event[ -]?type", re.IGNORECASE)
# Not for logs: e-mail addresses, queries, uids (letters with digits among them), phone numbers.
_PRIVATE = re.compile(r"\S+@\S+|\?\S+|uid=\S+|\b(?=[A-Za-z]*\d)[A-Za-z0-9]{16,}\b|\+?\d{7,}")
# Name and e-mail are sent as the attendee, a reason when rescheduling; a booking needs no location, whatever locations
# there are (seen 2026-11-30).
_SENT_OTHERWISE = {"name", "email", "rescheduleReason", "location"}
_OTHER_SHAPE = "Cal.com's answer has another shape than expected; is its CALCOM_VERSION_… right?"


def read(answer: Answer, parse: Callable[[Any], T], *, write: bool) -> T:
    """
    Return the `data` of a successful response as `parse` returns it.

    Raises:
        Unavailable: the rate limit is reached, or a read failed.
        Refused: Cal.com refused.
        OutcomeUnknown: a write failed with a 5xx, or its response cannot be parsed.
    """
    if answer.status == 429:
        raise Unavailable("Cal.com's rate limit is reached.", retry_after=pause(answer.headers))
    if 400 <= answer.status < 500 and answer.status != 408:
        if answer.status not in _STATUSES and not _is_json(answer.body):
            raise unanswered(f"Cal.com's refusal ({answer.status}) cannot be read.", write=write)
        raise refusal(answer)
    if not 200 <= answer.status < 300:
        raise unanswered(f"Cal.com answered {answer.status}.", write=write)
    try:
        return parse(orjson.loads(answer.body)["data"])
    except UNREADABLE:
        raise unanswered(_OTHER_SHAPE, write=write) from None  # the cause has the body


def refusal(answer: Answer) -> Refused:
    """Return the error of a 4xx response, by its recorded text or else by its status."""
    text = _message(answer.body)
    by_text = next((reason for part, reason in _TEXTS if part in text), None)
    message = f"Cal.com refused ({answer.status}): {_PRIVATE.sub('…', text)[:200] or 'no reason given'}"
    if by_text is Reason.UNAUTHORIZED or answer.status == _TOKEN_EXPIRED:
        return KeyRefused(message)
    reason = by_text or _STATUSES.get(answer.status, Reason.INVALID)
    is_missing = reason is Reason.NOT_FOUND and bool(_NAMES_EVENT_TYPE.search(text))
    return Refused(reason, message, event_type_is_missing=is_missing)


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except ValueError:
        return False
    return True


def pause(headers: Mapping[str, str]) -> float:
    """
    Return for how many seconds Cal.com wants to be left alone.

    The header's suffix is the limit's name, so several may be present. Its value is seconds to go (recorded
    2026-11-21); a mirror of the documentation calls it a Unix time, so a large one is taken as that.
    """
    resets = (value for name, value in headers.items() if name.lower().startswith("x-ratelimit-reset"))
    waits = [_seconds(value) for value in resets if value.isdecimal()]
    return max(waits, default=BLOCKED_FOR)


def slots(data: Any) -> list[int]:
    """Return the starts in a list of slots as epoch minutes, ascending, each once."""
    return sorted({_epoch_minute(slot["start"]) for day in _a(dict, data).values() for slot in _a(list, day)})


def booking(data: Any) -> RemoteBooking:
    """
    Return a booking. A list of them, which recurring event types answer with, is another shape.

    Needed are its uid, its state, and when it is if it stands: whatever else is missing or unreadable is left empty, so
    that it hides no change of state.
    """
    rescheduled_to_uid = optional(str, data.get("rescheduledToUid"))
    state = _state(data.get("status"), is_moved=rescheduled_to_uid is not None)
    start, end = _times(data, is_needed=state.takes_time)
    attendee = first_attendee(data)
    return RemoteBooking(
        uid=_a(str, data["uid"]),
        state=state,
        start=start,
        end=end,
        event_type_id=optional(int, data.get("eventTypeId")),
        host_ids=ids(data.get("hosts")),
        attendee_email=text(attendee.get("email")).lower(),
        attendee_name=text(attendee.get("name")),
        attendee_phone=optional(str, attendee.get("phoneNumber")),
        appointment_id=appointment_id(data),
        rescheduled_from_uid=optional(str, data.get("rescheduledFromUid")),
        rescheduled_to_uid=rescheduled_to_uid,
        created_at=_optional_instant(data.get("createdAt")),
        updated_at=_optional_instant(data.get("updatedAt")),
        people=people(data.get("hosts"), data.get("attendees")),
    )


def _state(status: Any, *, is_moved: bool) -> RemoteState:
    try:
        return RemoteState(status)
    except ValueError:
        if not is_moved:
            raise
        return RemoteState.CANCELLED  # as all rescheduled ones are


def _times(data: dict[str, Any], *, is_needed: bool) -> tuple[datetime, datetime]:
    try:
        start = instant(data["start"])
        end = _optional_instant(data.get("end")) or start + timedelta(minutes=_a(int, data["duration"]))
    except UNREADABLE:
        if is_needed:
            raise
        return NO_TIME, NO_TIME
    return start, end


def _optional_instant(text: Any) -> datetime | None:
    try:
        return instant(text)
    except UNREADABLE:
        return None


def first_attendee(data: dict[str, Any]) -> dict[str, Any]:
    """Return the attendee who booked, empty if none can be read."""
    return next(iter(objects(data.get("attendees"))), {})


def appointment_id(data: dict[str, Any]) -> str | None:
    """Return our id in the metadata of a booking, None if it has none."""
    return optional(str, (optional(dict, data.get("metadata")) or {}).get(METADATA_KEY))


def ids(people: Any) -> list[int]:
    """Return Cal.com's ids of those people in a list that have a readable one."""
    found = (optional(int, person.get("id")) for person in objects(people))
    return [number for number in found if number is not None]


def people(hosts: Any, attendees: Any) -> list[RemotePerson]:
    """Return all hosts, with ids, and attendees of a booking."""
    return [
        *(_person_named(host, optional(int, host.get("id"))) for host in objects(hosts)),
        *(_person_named(attendee) for attendee in objects(attendees)),
    ]


def _person_named(data: dict[str, Any], number: int | None = None) -> RemotePerson:
    return RemotePerson(name=text(data.get("name")), email=text(data.get("email")).lower(), id=number)


def listed_bookings(data: Any) -> list[RemoteBooking | UnreadableBooking]:
    """Return a page of bookings; one that cannot be read hides no other."""
    return [_readable(item) or _unreadable(item) for item in _a(list, data)]


def _unreadable(item: Any) -> UnreadableBooking:
    said = item if isinstance(item, dict) else {}
    uid = text(said.get("uid"))
    return UnreadableBooking(uid if len(uid) <= LONGEST_UID else "", _optional_instant(said.get("updatedAt")))


def readable_bookings(data: Any) -> list[RemoteBooking | None]:
    """Return a page of bookings; None for one that cannot be read."""
    return [_readable(item) for item in _a(list, data)]


def _readable(item: Any) -> RemoteBooking | None:
    try:
        return booking(item)
    except UNREADABLE:
        return None


def instant(text: str) -> datetime:
    """Parse an instant in any of Cal.com's spellings."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("An instant without offset.")
    return read.astimezone(UTC)


def person(data: Any) -> RemoteHost:
    """Return a user: the owner of the key, or a host as event types (`id`) and teams (`userId`) list it."""
    number = optional(int, data.get("userId"))
    name, username = text(data.get("name")), text(data.get("username"))
    return RemoteHost(
        id=_a(int, data["id"]) if number is None else number,
        name=name or username,
        username=username,
        time_zone=text(data.get("timeZone")),
        email=text(data.get("email")).lower(),
        fixed=data.get("mandatory") is True,
    )


def _hosts(data: dict[str, Any]) -> list[RemoteHost]:
    """Return the readable hosts of an event type. Those of a collective one are all fixed."""
    found = []
    for each in objects(data.get("hosts")) or objects(data.get("users")):
        with suppress(*UNREADABLE):
            found.append(person(each))
    is_collective = data.get("schedulingType") == "collective"
    return [replace(host, fixed=True) for host in found] if is_collective else found


def webhook(data: Any) -> RemoteWebhook:
    """Return a webhook."""
    return RemoteWebhook(
        id=_a(str, data["id"]),
        url=_a(str, data["subscriberUrl"]),
        triggers=frozenset(_a(list, data["triggers"])),
        active=data.get("active") is True,
        secret=text(data.get("secret")),
    )


def webhooks(data: Any) -> list[RemoteWebhook]:
    """Return the webhooks of a list."""
    return [webhook(each) for each in _a(list, data)]


def team_ids(data: Any) -> list[int]:
    """Return the ids of the teams."""
    return [_a(int, team["id"]) for team in _a(list, data)]


def event_types(data: Any) -> list[RemoteEventType]:
    """Return the event types."""
    return [event_type(item) for item in _a(list, data)]


def event_type(data: Any) -> RemoteEventType:
    """Return one event type. Only its id is required; without a readable length it is not synced."""
    number = _a(int, data["id"])
    hosts = _hosts(data)
    lengths = [optional(int, each) for each in optional(list, data.get("lengthInMinutesOptions")) or []]
    return RemoteEventType(
        id=number,
        title=text(data.get("title")) or f"event type {number}",
        slug=text(data.get("slug")),
        lengths=list(filter(None, lengths)) or list(filter(None, [optional(int, data.get("lengthInMinutes"))])),
        before_buffer=_minutes(data.get("beforeEventBuffer")),
        after_buffer=_minutes(data.get("afterEventBuffer")),
        notice=_minutes(data.get("minimumBookingNotice")),
        hosts=hosts,
        required_fields=list(_required_fields(data)),
        unsupported_reasons=list(_obstacles(data, hosts)),
        list_reach=_list_reach(data),
        limits_each_booker=_is_on(data.get("bookerActiveBookingsLimit")),
        booking_limits=_booking_limits(data),
        cancelling_disabled=_is_disabled(data.get("disableCancelling")),
        rescheduling_disabled=_is_disabled(data.get("disableRescheduling")),
        rescheduling_notice=_minutes((optional(dict, data.get("disableRescheduling")) or {}).get("minutesBefore")),
    )


def _minutes(value: Any) -> int:
    return max(0, optional(int, value) or 0)


def _list_reach(data: dict[str, Any]) -> ListReach:
    """Return how far around a booking rules of the event type change its list."""
    periods = {period for limits in _booking_limits(data).values() for period in limits}
    window = optional(dict, data.get("bookingWindow")) or {}
    reaches = {
        ListReach.YEAR: "year" in periods or (_is_on(window) and bool(window.get("rolling"))),
        ListReach.MONTH: "month" in periods,
        ListReach.WEEK: "week" in periods,
        ListReach.DAY: bool(periods)
        or bool(data.get("onlyShowFirstAvailableSlot") or data.get("showOptimizedSlots"))
        or _is_on(data.get("bookerActiveBookingsLimit")),
    }
    return next((reach for reach, is_meant in reaches.items() if is_meant), ListReach.NONE)


def _booking_limits(data: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return the booking limits as `RemoteEventType.booking_limits` has them."""
    found: dict[str, dict[str, int]] = {}
    for kind, name in (("count", "bookingLimitsCount"), ("duration", "bookingLimitsDuration")):
        limits = optional(dict, data.get(name)) or {}
        allowed = {period: optional(int, limits.get(period)) for period in ("day", "week", "month", "year")}
        if _is_on(limits) and any(allowed.values()):
            found[kind] = {period: most for period, most in allowed.items() if most}
    return found


def _required_fields(data: dict[str, Any]) -> Iterator[RequiredField]:
    for each in objects(data.get("bookingFields")):
        slug, label = text(each.get("slug")), text(each.get("label"))
        if slug and each.get("required") and not each.get("hidden") and slug not in _SENT_OTHERWISE:
            field = RequiredField(slug=slug, type=text(each.get("type")), options=_options(each.get("options")))
            yield field | {"label": label} if label else field


def _options(options: Any) -> list[str]:
    values = (each.get("value") if isinstance(each, dict) else each for each in optional(list, options) or [])
    return [str(value) for value in values if value is not None]


def _obstacles(data: dict[str, Any], hosts: list[RemoteHost]) -> Iterator[UnsupportedReason]:
    emails = [each for each in objects(data.get("bookingFields")) if each.get("slug") == "email"]
    # Neither 30 nor "30" is accepted (seen 2026-11-30).
    asks_for_number = any(field["type"] == "number" for field in _required_fields(data))
    found = {
        UnsupportedReason.SEATS: _is_on(data.get("seats")),
        UnsupportedReason.RECURRENCE: _is_on(data.get("recurrence")),
        UnsupportedReason.MANAGED: data.get("schedulingType") == "managed",
        UnsupportedReason.PHONE_FIRST: any(not email.get("required") or email.get("hidden") for email in emails),
        UnsupportedReason.NUMBER_FIELD: asks_for_number,
        UnsupportedReason.EMAIL_CODE: bool(data.get("requiresBookerEmailVerification")),
        UnsupportedReason.PAYMENT: bool(data.get("price")),
        UnsupportedReason.NO_HOSTS: not hosts,
    }
    return (unsupported_reason for unsupported_reason, stands in found.items() if stands)


def _is_on(policy: Any) -> bool:
    """Return whether a policy is on: off is null, absent, or `{"disabled": true}`."""
    return bool(policy) and not (isinstance(policy, dict) and policy.get("disabled"))


def _is_disabled(setting: Any) -> bool:
    """Return whether an ability is disabled; here `{"disabled": true}` means that it is."""
    return isinstance(setting, dict) and setting.get("disabled") is True


def _message(body: bytes) -> str:
    """Return the text of an error, which has five shapes, empty if there is none."""
    try:
        error = orjson.loads(body)
        return str(error["error"]["message"] if "error" in error else error["message"])
    except (ValueError, TypeError, KeyError):
        return ""


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects in a list; none if it is no list."""
    return [each for each in optional(list, value) or [] if isinstance(each, dict)]


def text(value: Any) -> str:
    """Return a text; empty if it is none."""
    return optional(str, value) or ""


def optional(kind: type[T], value: Any) -> T | None:
    """Return a value of the kind; None if it is of another."""
    return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None


def _a(kind: type[T], value: Any) -> T:
    needed = optional(kind, value)
    if needed is None:
        raise TypeError(f"Expected {kind.__name__}, got {type(value).__name__}.")
    return needed


def _epoch_minute(text: str) -> int:
    minute, seconds = divmod(int(instant(text).timestamp()), 60)
    if seconds:
        raise ValueError("A slot that does not start on a whole minute.")
    return minute


def _seconds(reset: str) -> float:
    value = float(reset)
    return max(0.0, value - datetime.now(UTC).timestamp()) if value > 1e9 else value
