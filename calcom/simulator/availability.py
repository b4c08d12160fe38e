"""The operations on slots and on reservations of slots."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import orjson

from calcom.simulator import slots, times
from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import refuse_wrong, refused, wrong
from calcom.simulator.state import Booking, Reservation, State
from calcom.simulator.world import EventType, Json

_HOLD_MINUTES = 5
_TAKEN = "This time slot is already reserved by another user. Please choose a different time."


async def list_slots(call: Call) -> Answer:
    """GET /v2/slots."""
    state, now = call.state, call.state.now()
    body = state.slots_cache.read(call.raw_query, now)
    if body is None:
        # `data` comes first here, unlike everywhere else (recorded 2026-11-21).
        body = orjson.dumps({"data": _slots(state, call.query), "status": "success"})
        state.slots_cache.store(call.raw_query, now, body)
    return Answer(200, body)


async def reserve(call: Call) -> Answer:
    """POST /v2/slots/reservations."""
    wanted = _wanted(call)
    _refuse_reserved(call.state, wanted)
    await call.think()
    # Nobody looks again: simultaneous reservations of one slot are all granted (recorded 2026-11-21).
    call.state.reservations[wanted.uid] = wanted
    return success(_granted(call, wanted), 201)


async def get_reservation(call: Call) -> Answer:
    """GET /v2/slots/reservations/{uid}; `data` is null when it is gone."""
    reservation = call.state.reservations.get(call.params["uid"])
    if reservation is None or reservation.until <= call.state.now():
        return success(None)
    return success(_described(reservation))


async def move_reservation(call: Call) -> Answer:
    """PATCH /v2/slots/reservations/{uid}: it collides with itself, so it can be moved but not extended."""
    uid = call.params["uid"]
    if uid not in call.state.reservations:
        raise refused(404, f"Slot with uid={uid} not found")
    wanted = _wanted(call, uid)
    _refuse_reserved(call.state, wanted)
    await call.think()
    call.state.reservations[uid] = wanted
    return success(_granted(call, wanted))


async def delete_reservation(call: Call) -> Answer:
    """DELETE /v2/slots/reservations/{uid}, by anybody, of anything."""
    await call.think()
    call.state.reservations.pop(call.params["uid"], None)
    return Answer(200, {"status": "success"})


def _slots(state: State, query: Mapping[str, str]) -> dict[str, list[Json]]:
    start, end, zone = _bounds(query)
    event_type = _asked_for(state, query)
    minutes = int(query["duration"]) if query.get("duration", "").isdecimal() else event_type.minutes
    ignored = _not_busy(state, event_type, query.get("bookingUidToReschedule"))
    days: dict[str, list[Json]] = {}
    for instant in slots.open_starts(state, event_type, start, end, minutes=minutes, ignored=ignored):
        slot = {"start": _spelled(instant, zone)}
        if query.get("format") == "range":
            slot["end"] = _spelled(instant + 60 * minutes, zone)
        days.setdefault(slot["start"][:10], []).append(slot | _seats(state, event_type, instant))
    return days


def _bounds(query: Mapping[str, str]) -> tuple[int, int, ZoneInfo | None]:
    """
    Read start, end and the zone to write in; `None` is UTC.

    A date is a whole UTC day, whatever the zone: the zone moves no bound (recorded 2026-11-21).
    """
    start, end, zone = times.parse(query.get("start")), times.parse(query.get("end")), query.get("timeZone", "UTC")
    bounds = {"start": start, "end": end}
    complaints = [
        wrong(name, f"{name} must be a valid ISO 8601 date string") for name, bound in bounds.items() if bound is None
    ]
    if not times.is_zone(zone):
        complaints.append(wrong("timeZone", "timeZone must be a valid IANA time-zone"))
    refuse_wrong(*complaints, *_unidentified(query))
    last = (end or 0) + times.DAY - 1 if times.is_date(query["end"]) else end or 0
    return start or 0, last, None if zone == "UTC" else ZoneInfo(zone)


def _unidentified(query: Mapping[str, str]) -> list[str]:
    """Complain, as Cal.com does, about usernames when nothing says which event type is meant."""
    if "eventTypeId" in query or ("eventTypeSlug" in query and ("username" in query or "teamSlug" in query)):
        return []
    no_list = wrong(
        "usernames",
        "each value in usernames must be a string",
        "The array must contain at least 2 elements.",
        "usernames must be an array",
    )
    no_organization = wrong("organizationSlug", "organizationSlug must be a string")
    several = "," in query.get("usernames", "")
    return ([] if several else [no_list]) + ([] if "organizationSlug" in query else [no_organization])


def _asked_for(state: State, query: Mapping[str, str]) -> EventType:
    wanted = query.get("eventTypeId", "")
    if wanted:
        event_type = state.event_types.get(int(wanted)) if wanted.isdecimal() else None
    else:
        event_type = state.find_event_type(query.get("eventTypeSlug", ""), query.get("username", ""))
    if event_type is None:
        raise refused(404, "Event Type not found")
    return event_type


def _not_busy(state: State, event_type: EventType, moving: str | None) -> frozenset[str]:
    """Collect the bookings that hide no slot: the one to be moved, and shared ones with a seat left."""
    shared = (
        booking.uid
        for booking in (state.bookings.values() if event_type.seats else ())
        if booking.event_type.id == event_type.id and len(booking.attendees) < event_type.seat_count
    )
    return frozenset(filter(None, (moving, *shared)))


def _seats(state: State, event_type: EventType, instant: int) -> Json:
    if not event_type.seats:
        return {}
    booking = state.find_booking(event_type, instant)
    booked = len(booking.attendees) if booking else 0
    counts = {
        "seatsBooked": booked,
        "seatsRemaining": event_type.seat_count - booked,
        "seatsTotal": event_type.seat_count,
    }
    return counts | ({"bookingUid": booking.uid} if booking else {})


def _spelled(instant: int, zone: ZoneInfo | None) -> str:
    return times.local_millis(instant, zone) if zone else times.millis(instant)


def _wanted(call: Call, uid: str | None = None) -> Reservation:
    """Read what is to be reserved. Neither working hours nor the past are looked at (recorded 2026-11-21)."""
    fields = call.fields
    event_type = call.state.event_types.get(fields.get("eventTypeId", 0))
    if event_type is None:
        raise refused(404, f"Event Type with ID={fields.get('eventTypeId')} not found")
    start = times.parse(fields.get("slotStart"))
    if start is None:
        raise refused(400, wrong("slotStart", "slotStart must be a valid ISO 8601 date string"))
    _refuse_duration(call, event_type)
    minutes = fields.get("slotDuration") or event_type.minutes
    options = event_type.minutes_options or (event_type.minutes,)
    if minutes not in options:
        raise refused(
            400,
            "Provided 'slotDuration' is not one of the possible lengths for the event type. The possible lengths for "
            f"this variable length event type are: {', '.join(map(str, options))}",
        )
    until = call.state.now() + 60 * fields.get("reservationDuration", _HOLD_MINUTES)
    return Reservation(uid or call.state.new_uuid(), event_type, start, start + 60 * minutes, until)


def _refuse_duration(call: Call, event_type: EventType) -> None:
    """Let only the owner say how long a reservation lasts."""
    if "reservationDuration" not in call.fields:
        return
    if call.user is None:
        raise refused(
            401,
            "reservationDuration can only be used for authenticated requests - use access token, api key or OAuth "
            "credentials",
        )
    if call.user.username not in {event_type.owner, *event_type.hosts}:
        raise refused(
            403,
            "authenticated user is not owner of event type, does not have memberships in common with owner of the "
            "event type, nor does belong to event type's team or org.",
        )


def _refuse_reserved(state: State, wanted: Reservation) -> None:
    """Look at holds and bookings of the same event type only (recorded 2026-11-21)."""
    booking: Booking | None = state.find_booking(wanted.event_type, wanted.start)
    if booking and booking.status == "accepted" and len(booking.attendees) >= wanted.event_type.seat_count:
        raise refused(422, "Can't reserve a slot if the event is already booked.")
    for hold in state.reservations.values():
        overlaps = hold.start < wanted.end and wanted.start < hold.end
        if overlaps and hold.event_type.id == wanted.event_type.id and hold.until > state.now():
            raise refused(422, _TAKEN)


def _described(reservation: Reservation) -> Json:
    return {
        "eventTypeId": reservation.event_type.id,
        "slotStart": times.millis(reservation.start),
        "slotEnd": times.millis(reservation.end),
        "slotDuration": (reservation.end - reservation.start) // 60,
        "reservationUid": reservation.uid,
        "reservationUntil": times.millis(reservation.until),
    }


def _granted(call: Call, reservation: Reservation) -> Json:
    minutes = call.fields.get("reservationDuration", _HOLD_MINUTES)
    return _described(reservation) | {"reservationDuration": minutes}
