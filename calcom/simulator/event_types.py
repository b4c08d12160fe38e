"""The operations on event types, in the shape of 2024-06-14 and, for a wrong version header, of 2024-04-15."""

from dataclasses import replace

from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import invalid, refused, violation
from calcom.simulator.state import State
from calcom.simulator.world import EventType, Json, User

BOOKER_URL = "https://cal.example"

# What the API calls the fields of an event type that can be written.
_WRITABLE = {
    "title": "title",
    "slug": "slug",
    "description": "description",
    "lengthInMinutes": "minutes",
    "lengthInMinutesOptions": "minutes_options",
    "minimumBookingNotice": "notice_minutes",
    "beforeEventBuffer": "before_minutes",
    "afterEventBuffer": "after_minutes",
    "slotInterval": "interval_minutes",
    "bookingWindow": "booking_window",
    "confirmationPolicy": "confirmation",
    "seats": "seats",
    "recurrence": "recurrence",
    "locations": "locations",
    "bookingFields": "fields",
    "bookingRequiresAuthentication": "requires_authentication",
    "hidden": "hidden",
    "onlyShowFirstAvailableSlot": "first_slot_only",
    "bookingLimitsCount": "limits_count",
    "bookingLimitsDuration": "limits_duration",
}
_OFF: Json = {"disabled": True}


async def list_all(call: Call) -> Answer:
    """GET /v2/event-types: one's own, or anybody's by name."""
    state, username = call.state, call.query.get("username")
    if username is None:
        if call.user is None:
            return success([])
        found = state.event_types_of(call.user)
    else:
        owner = state.usernames.get(username)
        found = [event_type for event_type in state.event_types_of(owner) if not event_type.hidden] if owner else []
    slug = call.query.get("eventSlug")
    return success([_shown(state, event_type) for event_type in found if slug in {None, event_type.slug}])


async def get(call: Call) -> Answer:
    """GET /v2/event-types/{id}."""
    return success(described(call.state, _own(call)))


async def create(call: Call) -> Answer:
    """POST /v2/event-types."""
    fields = call.fields
    _refuse_incomplete(fields)
    _refuse_hidden_email(fields)
    if any(event_type.slug == fields["slug"] for event_type in call.state.event_types_of(call.caller)):
        raise refused(400, "User already has an event type with this slug.")
    blank = EventType(0, call.caller.username, slug="", title="", notice_minutes=120)
    return success(described(call.state, call.state.put_event_type(_written(blank, fields))), 201)


async def change(call: Call) -> Answer:
    """PATCH /v2/event-types/{id}."""
    event_type = _own(call)
    _refuse_hidden_email(call.fields)
    await call.think()
    return success(described(call.state, call.state.put_event_type(_written(event_type, call.fields))))


async def list_old(call: Call) -> Answer:
    """GET /v2/event-types as 2024-04-15 had it: other names, and a group around the list."""
    user = call.caller
    group = {
        "teamId": None,
        "bookerUrl": BOOKER_URL,
        "membershipRole": None,
        "profile": {"slug": user.username, "name": user.name, "image": f"{BOOKER_URL}/avatar.svg"},
        "eventTypes": [
            {"id": event_type.id, "slug": event_type.slug, "title": event_type.title, "length": event_type.minutes}
            for event_type in call.state.event_types_of(user)
        ],
        "metadata": {"membershipCount": 1, "readOnly": False},
    }
    return success({"eventTypeGroups": [group], "profiles": [], "allUsersAcrossAllEventTypes": {}})


def described(state: State, event_type: EventType) -> Json:
    """Write an event type; what is off is written `{"disabled": true}` (recorded 2026-11-21)."""
    options = list(event_type.minutes_options)
    hosts = state.hosts(event_type)
    return {
        "id": event_type.id,
        "ownerId": state.owner(event_type).id,
        "lengthInMinutes": event_type.minutes,
        **({"lengthInMinutesOptions": options} if options else {}),
        "title": event_type.title,
        "slug": event_type.slug,
        "description": event_type.description,
        "locations": list(event_type.locations),
        "bookingFields": _fields(event_type),
        "recurrence": {"disabled": False, **event_type.recurrence} if event_type.recurrence else None,
        "disableGuests": False,
        "slotInterval": event_type.interval_minutes,
        "minimumBookingNotice": event_type.notice_minutes,
        "beforeEventBuffer": event_type.before_minutes,
        "afterEventBuffer": event_type.after_minutes,
        "metadata": {"multipleDuration": options} if options else {},
        "price": 0,
        "currency": "usd",
        "lockTimeZoneToggleOnBookingPage": False,
        "forwardParamsSuccessRedirect": True,
        "successRedirectUrl": None,
        "isInstantEvent": False,
        "users": [_person(host) for host in hosts],
        **_team(event_type, hosts),
        "scheduleId": None,
        "onlyShowFirstAvailableSlot": event_type.first_slot_only,
        "offsetStart": 0,
        "bookingWindow": event_type.booking_window or _OFF,
        "confirmationPolicy": event_type.confirmation or _OFF,
        "requiresBookerEmailVerification": False,
        "hideCalendarNotes": False,
        "seats": {"disabled": False, **event_type.seats} if event_type.seats else _OFF,
        "useDestinationCalendarEmail": False,
        "hideCalendarEventDetails": False,
        "hideOrganizerEmail": False,
        "calVideoSettings": {"sendTranscriptionEmails": True},
        "hidden": event_type.hidden,
        "bookingRequiresAuthentication": event_type.requires_authentication,
        "bookerActiveBookingsLimit": {"maximumActiveBookings": event_type.booker_limit, "offerReschedule": False}
        if event_type.booker_limit
        else _OFF,
        **({"bookingLimitsCount": event_type.limits_count} if event_type.limits_count else {}),
        **({"bookingLimitsDuration": event_type.limits_duration} if event_type.limits_duration else {}),
        "bookingUrl": f"{BOOKER_URL}/{event_type.owner}/{event_type.slug}",
        "disableCancelling": {"disabled": event_type.cancelling_disabled},
        "disableRescheduling": {"disabled": False, **(event_type.rescheduling or {})},
        "interfaceLanguage": None,
        "allowReschedulingPastBookings": False,
        "allowReschedulingCancelledBookings": False,
        "showOptimizedSlots": False,
    }


def _team(event_type: EventType, hosts: list[User]) -> Json:
    """Write who serves a team type, and how (seen 2026-11-30)."""
    if len(hosts) < 2:
        return {}
    written = [
        {
            "userId": host.id,
            "name": host.name,
            "username": host.username,
            "mandatory": host.username in event_type.fixed,
            "priority": "medium",
        }
        for host in hosts
    ]
    is_collective = len(event_type.fixed) == len(hosts)
    return {"schedulingType": "collective" if is_collective else "roundRobin", "hosts": written}


def _shown(state: State, event_type: EventType) -> Json:
    """Lists leave hidden booking fields out (recorded 2026-11-21)."""
    written = described(state, event_type)
    written["bookingFields"] = [field for field in written["bookingFields"] if not field.get("hidden")]
    return written


def _fields(event_type: EventType) -> list[Json]:
    name = {"isDefault": True, "type": "name", "slug": "name", "required": True, "label": "your_name"}
    asks_for_phone = event_type.phone_first or event_type.phone_required
    phone = [_default("phone", "attendeePhoneNumber", required=True)] if asks_for_phone else []
    location = {"isDefault": True, "type": "radioInput", "slug": "location", "required": False, "hidden": False}
    return [
        {**name, "disableOnPrefill": False},
        _default("email", "email", required=not event_type.phone_first),
        *phone,
        location,
        *({"isDefault": False, "disableOnPrefill": False, "hidden": False, **field} for field in event_type.fields),
        _default("text", "title", required=True, hidden=True),
        _default("textarea", "notes"),
        _default("multiemail", "guests"),
        _default("textarea", "rescheduleReason"),
    ]


def _default(kind: str, slug: str, *, required: bool = False, hidden: bool = False) -> Json:
    return {
        "isDefault": True,
        "type": kind,
        "slug": slug,
        "required": required,
        "disableOnPrefill": False,
        "hidden": hidden,
    }


def _person(user: User) -> Json:
    return {
        "id": user.id,
        "name": user.name,
        "username": user.username,
        "avatarUrl": None,
        "brandColor": None,
        "darkBrandColor": None,
        "weekStart": "Sunday",
        "metadata": {},
    }


def _own(call: Call) -> EventType:
    event_type_id = call.params["event_type_id"]
    event_type = call.state.event_types.get(int(event_type_id)) if event_type_id.isdecimal() else None
    if event_type is None or event_type.owner != call.caller.username:
        raise refused(404, f"Event type with id {event_type_id} not found")
    return event_type


def _written(event_type: EventType, fields: Json) -> EventType:
    changes: Json = {}
    for name, attribute in _WRITABLE.items():
        if name in fields:
            value = fields[name]
            is_off = isinstance(value, dict) and value.get("disabled")
            changes[attribute] = tuple(value) if isinstance(value, list) else None if is_off else value
    return replace(event_type, **changes)


def _refuse_incomplete(fields: Json) -> None:
    errors = []
    if not isinstance(fields.get("lengthInMinutes"), int):
        rules = {
            "min": "lengthInMinutes must not be less than 1",
            "isInt": "lengthInMinutes must be an integer number",
        }
        errors.append(violation(fields, "lengthInMinutes", **rules))
    errors += [
        violation(fields, name, isString=f"{name} must be a string")
        for name in ("title", "slug")
        if not isinstance(fields.get(name), str)
    ]
    if errors:
        raise invalid(*errors)


def _refuse_hidden_email(fields: Json) -> None:
    for field in fields.get("bookingFields", ()):
        if field.get("type") == "email" and not field.get("required", True):
            raise refused(400, "checkIsEmailUserAccessible - Email booking field must be required and visible")
