"""Routes of users, schedules and event types."""

from dataclasses import replace

from calcom.simulator.dataset import WEEKDAYS, EventType, Json, User
from calcom.simulator.request import Request, Response, invalid, refused, success, violation
from calcom.simulator.state import State


async def me(request: Request) -> Response:
    """GET /v2/me."""
    user = request.key_owner
    return success(
        {
            "id": user.id,
            "email": user.address,
            "name": user.name,
            "avatarUrl": None,
            "bio": None,
            "timeFormat": 12,
            "defaultScheduleId": _schedule_id(user),
            "weekStart": "Sunday",
            "timeZone": user.time_zone,
            "username": user.username,
            "organizationId": None,
        }
    )


async def schedules(request: Request) -> Response:
    """GET /v2/schedules: one for each user."""
    return success([_schedule(request.key_owner)])


async def default_schedule(request: Request) -> Response:
    """GET /v2/schedules/default."""
    return success(_schedule(request.key_owner))


async def schedule(request: Request) -> Response:
    """GET /v2/schedules/{id}."""
    if request.params["schedule_id"] != str(_schedule_id(request.key_owner)):
        raise refused(404, f"Schedule with ID={request.params['schedule_id']} does not exist.")
    return success(_schedule(request.key_owner))


async def schedules_old(request: Request) -> Response:
    """GET /v2/schedules in the shape of 2024-04-15: days are numbers, Sunday is 0."""
    written = _schedule(request.key_owner)
    for hours in written["availability"]:
        hours["days"] = [(WEEKDAYS.index(day) + 1) % 7 for day in hours["days"]]
    return success([written])


def _schedule_id(user: User) -> int:
    return user.id + 100


def _schedule(user: User) -> Json:
    return {
        "id": _schedule_id(user),
        "ownerId": user.id,
        "name": "Working hours",
        "timeZone": user.time_zone,
        "availability": [
            {"days": list(hours.days), "startTime": hours.start, "endTime": hours.end} for hours in user.hours
        ],
        "isDefault": True,
        "overrides": [
            {"date": override.date, "startTime": override.start, "endTime": override.end} for override in user.overrides
        ],
    }


BOOKER_URL = "https://cal.example"

# Writable members of the API → fields of `EventType`.
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


async def list_event_types(request: Request) -> Response:
    """GET /v2/event-types: those of the owner of the key, or of a `username`."""
    state, username = request.state, request.query.get("username")
    if username is None:
        if request.user is None:
            return success([])
        found = state.event_types_of(request.user)
    else:
        owner = state.usernames.get(username)
        found = [event_type for event_type in state.event_types_of(owner) if not event_type.hidden] if owner else []
    slug = request.query.get("eventSlug")
    return success([_shown(state, event_type) for event_type in found if slug in {None, event_type.slug}])


async def get_event_type(request: Request) -> Response:
    """GET /v2/event-types/{id}."""
    return success(described(request.state, _own(request)))


async def create_event_type(request: Request) -> Response:
    """POST /v2/event-types."""
    fields = request.fields
    _refuse_incomplete(fields)
    _refuse_hidden_email(fields)
    if any(event_type.slug == fields["slug"] for event_type in request.state.event_types_of(request.key_owner)):
        raise refused(400, "User already has an event type with this slug.")
    blank = EventType(0, request.key_owner.username, slug="", title="", notice_minutes=120)
    return success(described(request.state, request.state.put_event_type(_written(blank, fields))), 201)


async def change_event_type(request: Request) -> Response:
    """PATCH /v2/event-types/{id}."""
    event_type = _own(request)
    _refuse_hidden_email(request.fields)
    await request.pass_latency()
    return success(described(request.state, request.state.put_event_type(_written(event_type, request.fields))))


async def list_event_types_old(request: Request) -> Response:
    """GET /v2/event-types in the shape of 2024-04-15: other names, and a group around the list."""
    user = request.key_owner
    group = {
        "teamId": None,
        "bookerUrl": BOOKER_URL,
        "membershipRole": None,
        "profile": {"slug": user.username, "name": user.name, "image": f"{BOOKER_URL}/avatar.svg"},
        "eventTypes": [
            {"id": event_type.id, "slug": event_type.slug, "title": event_type.title, "length": event_type.minutes}
            for event_type in request.state.event_types_of(user)
        ],
        "metadata": {"membershipCount": 1, "readOnly": False},
    }
    return success({"eventTypeGroups": [group], "profiles": [], "allUsersAcrossAllEventTypes": {}})


def described(state: State, event_type: EventType) -> Json:
    """Return an event type as JSON; settings that are off are `{"disabled": true}` (recorded 2026-11-21)."""
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
    """Return scheduling type and hosts of a team's event type (seen 2026-11-30)."""
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
    """Return an event type as lists show it, without hidden booking fields (recorded 2026-11-21)."""
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


def _own(request: Request) -> EventType:
    event_type_id = request.params["event_type_id"]
    event_type = request.state.event_types.get(int(event_type_id)) if event_type_id.isdecimal() else None
    if event_type is None or event_type.owner != request.key_owner.username:
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
