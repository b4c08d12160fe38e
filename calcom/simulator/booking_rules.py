"""What Cal.com checks before it looks at a calendar: body, notice and booking window, limits."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from calcom.simulator import slots, times
from calcom.simulator.dataset import EventType, Json
from calcom.simulator.request import Request, bare, coded, refuse_wrong, refused, wrong
from calcom.simulator.state import Attendee, Booking, State

_KNOWN = frozenset(
    (
        "start",
        "attendee",
        "eventTypeId",
        "eventTypeSlug",
        "username",
        "teamSlug",
        "organizationSlug",
        "lengthInMinutes",
        "bookingFieldsResponses",
        "guests",
        "location",
        "meetingUrl",
        "metadata",
        "routing",
        "emailVerificationCode",
        "instant",
        "recurrenceCount",
    )
)
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_OUTSIDE_WINDOW = (
    "The event type can't be booked at the \"start\" time provided. This could be because it's too soon (violating the "
    "minimum booking notice) or too far in the future (outside the event's scheduling window). Try fetching available "
    'slots first using the GET /v2/slots endpoint and then make a booking with "start" time equal to one of the '
    "available slots."
)
_VIDEO = "integrations:daily"
_SEVERAL = {"multiselect", "checkbox"}
_ANSWER_TYPES: dict[str, type] = {"boolean": bool, "multiemail": list, **dict.fromkeys(_SEVERAL, list)}


@dataclass(frozen=True)
class RequestedBooking:
    """A booking as requested, valid except for the calendar."""

    event_type: EventType
    start: int
    end: int
    attendee: Attendee
    location: str
    responses: Json
    metadata: Json
    guests: list[str]

    @property
    def notes(self) -> str:
        return str(self.responses.get("notes", ""))


def parse_booking(request: Request) -> RequestedBooking:
    """Return the booking that the body of POST /v2/bookings requests, or refuse it."""
    fields = request.fields
    refuse_wrong(*_complaints(fields))
    event_type = _event_type(request.state, fields)
    _refuse_unauthorized(request, event_type)
    minutes = _minutes(event_type, fields)
    _refuse_missing_answers(event_type, fields.get("bookingFieldsResponses", {}))
    start = times.parse(fields["start"]) or 0
    refuse_impossible_start(request.state, event_type, start)
    attendee = _attendee(event_type, fields["attendee"])
    return RequestedBooking(
        event_type=event_type,
        start=start,
        end=start + 60 * minutes,
        attendee=attendee,
        location=_location(event_type, fields.get("location"), attendee),
        responses=_responses(fields, attendee),
        metadata=fields.get("metadata", {}),
        guests=fields.get("guests", []),
    )


def parse_start(fields: Json) -> int:
    """Return the start in the body of a reschedule, or refuse it."""
    start = times.parse(fields.get("start"))
    if start is None:
        raise refused(400, wrong("start", "start must be a valid ISO 8601 date string"))
    return start


def refuse_impossible_start(state: State, event_type: EventType, start: int) -> None:
    """Refuse a start in the past, or outside notice and booking window."""
    now = state.now()
    if start < now:
        raise refused(400, "Attempting to book a meeting in the past.")
    earliest, latest = slots.bookable(event_type, now)
    if not earliest <= start < latest:
        raise refused(400, _OUTSIDE_WINDOW)


def _complaints(fields: Json) -> Iterator[str]:
    for name in fields:
        if name not in _KNOWN:
            yield wrong(name, f"property {name} should not exist")
    if times.parse(fields.get("start")) is None:
        yield wrong("start", "start must be a valid ISO 8601 date string")
    attendee = fields.get("attendee")
    if not isinstance(attendee, dict):
        yield wrong("attendee", "attendee should not be null or undefined")
    elif nested := list(_attendee_complaints(attendee)):
        yield f"attendee property is wrong, {', '.join(nested)}"
    if not _is_metadata(fields.get("metadata", {})):
        yield wrong(
            "metadata",
            "Metadata must have at most 50 keys, each key up to 40 characters, and string values up to 500 characters.",
        )


def _attendee_complaints(attendee: Json) -> Iterator[str]:
    if not isinstance(attendee.get("name"), str):
        yield wrong("name", "name must be a string")
    if not times.is_zone(attendee.get("timeZone")):
        yield wrong("timeZone", "timeZone must be a valid IANA time-zone")
    if not attendee.get("email") and not attendee.get("phoneNumber"):
        rule = "Attendee must have at least one contact method (email or phone number)"
        yield wrong("attendee email or phone", rule)


def _is_metadata(metadata: object) -> bool:
    if not isinstance(metadata, dict) or len(metadata) > 50:
        return False
    return all(len(name) <= 40 and isinstance(value, str) and len(value) <= 500 for name, value in metadata.items())


def _event_type(state: State, fields: Json) -> EventType:
    wanted = fields.get("eventTypeId")
    if wanted is not None:
        if event_type := state.event_types.get(wanted):
            return event_type
        raise refused(404, f"Event type with id {wanted} not found.")
    slug, username = str(fields.get("eventTypeSlug", "")), str(fields.get("username", ""))
    if event_type := state.find_event_type(slug, username):
        return event_type
    raise refused(404, f"Event type with slug {slug} not found.")


def _refuse_unauthorized(request: Request, event_type: EventType) -> None:
    if not event_type.requires_authentication:
        return
    if request.user is None:
        raise refused(
            401,
            "checkBookingRequiresAuthentication - request must be authenticated by passing credentials belonging to "
            "event type owner, host or team or org admin or owner.",
        )
    if request.user.username not in {event_type.owner, *event_type.hosts}:
        raise refused(
            403,
            "checkBookingRequiresAuthentication - user is not authorized to access this event type. User has to be "
            "either event type owner, host, team admin or owner or org admin or owner.",
        )


def _minutes(event_type: EventType, fields: Json) -> int:
    minutes = fields.get("lengthInMinutes")
    if minutes is None:
        return event_type.minutes
    if not event_type.minutes_options:
        raise refused(
            400,
            "Can't specify 'lengthInMinutes' because event type does not have multiple possible lengths. Please, "
            "remove the 'lengthInMinutes' field from the request.",
        )
    if minutes not in event_type.minutes_options:
        raise refused(
            400,
            "Provided 'lengthInMinutes' is not one of the possible lengths for the event type. The possible lengths "
            f"are: {', '.join(map(str, event_type.minutes_options))}",
        )
    return int(minutes)


def _refuse_missing_answers(event_type: EventType, responses: Json) -> None:
    """
    Refuse responses that the custom booking fields do not allow.

    A required number cannot be given (seen 2026-11-30). How a response of another type is refused is a guess.
    """
    for field in event_type.fields:
        slug, options = field["slug"], field.get("options")
        if slug not in responses:
            if field.get("required"):
                raise refused(
                    400,
                    f"Missing required booking field response: {slug} - it is required by the event type booking "
                    "fields, but missing in the bookingFieldsResponses. You can fetch the event type with ID "
                    f"{event_type.id} to see the required fields.",
                )
        elif options and (wrong := [each for each in _chosen(field, responses[slug]) if each not in options]):
            raise refused(
                400,
                f"Invalid option '{wrong[0]}' for booking field '{slug}'. Allowed options are: {', '.join(options)}.",
            )
        elif field["type"] == "number":
            is_text = isinstance(responses[slug], str)
            raise _field_error(slug, "Expected type number" if is_text else "Invalid string")
        elif not isinstance(responses[slug], _ANSWER_TYPES.get(field["type"], str)):
            raise _field_error(slug, "Invalid input")


def _chosen(field: Json, response: object) -> list[object]:
    if field["type"] not in _SEVERAL:
        return [response]
    if not isinstance(response, list):
        raise _field_error(field["slug"], "Invalid input")
    return response


def _attendee(event_type: EventType, fields: Json) -> Attendee:
    """Return the attendee; a phone number replaces the e-mail address only if the event type asks for it."""
    email, phone = fields.get("email"), fields.get("phoneNumber")
    if event_type.phone_first or event_type.phone_required:
        if not phone:
            raise _field_error("attendeePhoneNumber", "error_required_field")
        if not _PHONE.fullmatch(phone):
            raise _field_error("attendeePhoneNumber", "invalid_number")
    if event_type.phone_first and phone:
        email = email or f"{phone.lstrip('+')}@sms.cal.com"
    if not email:
        raise _field_error("email", "error_required_field")
    if not _EMAIL.fullmatch(email):
        raise _field_error("email", "email_validation_error")
    return Attendee(fields["name"], email, fields["timeZone"], phone, fields.get("language", "en"))


def _field_error(slug: str, problem: str) -> Exception:
    return coded("BAD_REQUEST", f"responses - {{{slug}}}{problem}, ")


def _location(event_type: EventType, wanted: Json | None, attendee: Attendee) -> str:
    """Return the location: the requested one, the first of the event type, or Cal Video."""
    if wanted is None:
        wanted = event_type.locations[0] if event_type.locations else {}
    elif wanted.get("type") not in (kinds := [place["type"] for place in event_type.locations] or ["integration"]):
        raise refused(
            400,
            f"Booking location with type {wanted.get('type')} not valid for event type with id={event_type.id}. The "
            f"event type has following location types: {', '.join(kinds)}, and only these types are allowed for "
            "booking location.",
        )
    if wanted.get("type") == "attendeePhone":
        return str(wanted.get("phone") or attendee.phone or "")
    return str(wanted.get("address") or wanted.get("link") or _VIDEO)


def _responses(fields: Json, attendee: Attendee) -> Json:
    location = fields.get("location") or {}
    guests = fields.get("guests")
    return {
        "email": attendee.email,
        **({"attendeePhoneNumber": attendee.phone} if attendee.phone else {}),
        "name": attendee.name,
        **fields.get("bookingFieldsResponses", {}),
        **({"location": {"value": "phone", "optionValue": location["phone"]}} if "phone" in location else {}),
        **({"guests": guests} if guests else {}),
        "displayEmail": attendee.email,
        **({"displayGuests": guests} if guests else {}),
    }


_NO_UIDS: frozenset[str] = frozenset()


# How many bookings an event type allows by period, and each booker: the refusals were seen 2026-11-30. Not recorded:
# that periods are in the owner's zone with weeks from Monday, that slots respect the limits, that pending ones count.


def refuse_over_limit(
    state: State, event_type: EventType, start: int, minutes: int, ignored: Container[str] = _NO_UIDS
) -> None:
    """Refuse a booking in a period that is full; those in `ignored` do not count."""
    if not _fits(state, event_type, start, minutes, ignored):
        raise bare(401, "booking_limit_reached")


def refuse_over_booker_limit(state: State, event_type: EventType, email: str) -> None:
    """Refuse an attendee with the most future bookings that the event type allows."""
    now = state.now()
    active = [each for each in _of_type(state, event_type) if each.end > now and each.has_attendee(email)]
    if event_type.booker_limit and len(active) >= event_type.booker_limit:
        raise refused(
            400,
            "Attendee with this email can't book because the maximum number of active bookings has been reached.",
        )


def within_limits(
    state: State, event_type: EventType, starts: list[int], minutes: int, ignored: Container[str] = _NO_UIDS
) -> list[int]:
    """Return the starts at which the limits allow one more booking."""
    if not (event_type.limits_count or event_type.limits_duration):
        return starts
    return [start for start in starts if _fits(state, event_type, start, minutes, ignored)]


def _fits(state: State, event_type: EventType, start: int, minutes: int, ignored: Container[str]) -> bool:
    zone = ZoneInfo(state.owner(event_type).time_zone)
    for limits, one_more in ((event_type.limits_count, 1), (event_type.limits_duration, minutes)):
        for period, most in (limits or {}).items():
            first, last = _period(period, start, zone)
            booked = [each for each in _of_type(state, event_type) if first <= each.start < last]
            counted = [each for each in booked if each.uid not in ignored]
            used = len(counted) if one_more == 1 else sum((each.end - each.start) // 60 for each in counted)
            if used + one_more > most:
                return False
    return True


def _of_type(state: State, event_type: EventType) -> Iterator[Booking]:
    return (each for each in state.bookings.values() if each.is_live and each.event_type.id == event_type.id)


def _period(period: str, start: int, zone: ZoneInfo) -> tuple[float, float]:
    day = datetime.fromtimestamp(start, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        first, last = day, day + timedelta(days=1)
    elif period == "week":
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    elif period == "month":
        first = day.replace(day=1)
        last = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day.replace(month=1, day=1)
        last = first.replace(year=first.year + 1)
    return first.timestamp(), last.timestamp()
