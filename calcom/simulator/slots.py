"""Routes of slots and reservations, and the search for free starts."""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson

from calcom.simulator import times
from calcom.simulator.booking_rules import within_limits
from calcom.simulator.dataset import WEEKDAYS, EventType, Hours, Json, Override, User
from calcom.simulator.request import Request, Response, refuse_wrong, refused, success, wrong
from calcom.simulator.state import Booking, Reservation, Span, State

Interval = tuple[int, int]

_GRIDS = (60, 30, 20, 15, 10, 5, 1)
_NEVER = 2**40
_NO_UIDS: frozenset[str] = frozenset()


def open_starts(
    state: State, event_type: EventType, start: int, end: int, *, minutes: int, ignored: Container[str] = _NO_UIDS
) -> list[int]:
    """
    Return the starts, in order, at which a host is free for `minutes` between `start` and `end`.

    All fixed hosts have to be free, and one of the others if there are any. Bookings in `ignored` do not count. A slot
    has to end within the bounds: Cal.com cuts the working hours at both before it counts (source of API v2).
    """
    now = state.now()
    earliest, latest = bookable(event_type, now)
    # The notice is at least one minute (source of API v2).
    start, end = max(start, earliest, int(now) + 60), min(end, latest)
    found: dict[str, set[int]] = {host.username: set() for host in state.hosts(event_type)}
    for host in state.hosts(event_type):
        if host.username not in state.unreachable_calendars:
            for interval in _free(state, host, event_type, (start, end), ignored):
                found[host.username].update(_starts(interval, host, minutes, event_type.interval_minutes or minutes))
    in_turns = [found[name] for name in found if name not in event_type.fixed]
    needed = [*(found[name] for name in event_type.fixed), *([set().union(*in_turns)] if in_turns else [])]
    starts = within_limits(state, event_type, sorted(set.intersection(*needed)), minutes, ignored)
    return _first_of_each_day(starts, state.owner(event_type)) if event_type.first_slot_only else starts


def _first_of_each_day(starts: Sequence[int], owner: User) -> list[int]:
    """Return the first start of each day of the owner; whose days Cal.com means is not recorded."""
    zone = ZoneInfo(owner.time_zone)
    first: dict[date, int] = {}
    for start in starts:
        first.setdefault(datetime.fromtimestamp(start, zone).date(), start)
    return list(first.values())


def bookable(event_type: EventType, now: float) -> Interval:
    """Return the earliest and latest start that notice and booking window allow."""
    earliest, latest = int(now) + 60 * event_type.notice_minutes, _NEVER
    window = event_type.booking_window or {}
    if window.get("type") == "range":
        first, last = window["value"]
        return max(earliest, times.parse(first) or 0), (times.parse(last) or 0) + times.DAY
    if "value" in window:
        days = _calendar_days(window["type"], window["value"], now)
        latest = (int(now) // times.DAY + 1 + days) * times.DAY
    return earliest, latest


def is_open(user: User, start: int, end: int) -> bool:
    """Return whether the interval is within the user's working hours."""
    return any(opened <= start and end <= closed for opened, closed in _working(user, start, end))


def free_hosts(
    state: State, event_type: EventType, start: int, end: int, ignored: Container[str] = _NO_UIDS
) -> list[User]:
    """Return the hosts who are free; reservations do not count (recorded 2026-11-21)."""
    before, after = event_type.before_minutes * 60, event_type.after_minutes * 60
    return [
        host
        for host in state.hosts(event_type)
        if host.username not in state.unreachable_calendars
        and is_open(host, start, end)
        and state.busy_times(host).is_free(start - before, end + after, ignored)
    ]


def _free(
    state: State, host: User, event_type: EventType, bounds: Interval, ignored: Container[str]
) -> Iterator[Interval]:
    """Yield the intervals within the bounds in which an appointment fits with its buffers."""
    start, end = bounds
    before, after = event_type.before_minutes * 60, event_type.after_minutes * 60
    held = [Span(hold.start, hold.end, hold.uid) for hold in state.reservations_of(host)]
    booked = list(state.busy_times(host).overlapping(start - before, end + after, ignored))
    spans = sorted(booked + held) if held else booked
    for opened, closed in _working(host, start, end):
        # The last second of a day that ends 23:59:59 counts as a whole minute (recorded 2026-11-21).
        cursor, closing = max(opened, start), min(closed, end + 1)
        for span in spans:
            if span.start - after >= closing:
                break
            if span.start - after > cursor:
                yield cursor, span.start - after
            cursor = max(cursor, span.end + before)
        if cursor < closing:
            yield cursor, closing


def _starts(interval: Interval, host: User, minutes: int, every: int) -> range:
    """Return the starts in an interval: the first aligned to the host's local hour, then every step."""
    grid = 60 * next(grid for grid in _GRIDS if every % grid == 0)
    local = 60 * times.utc_offset_minutes(interval[0], host.time_zone)
    first = -(-(interval[0] + local) // grid) * grid - local
    return range(first, interval[1] - 60 * minutes + 1, 60 * every)


def _working(user: User, start: int, end: int) -> Iterator[Interval]:
    """Yield the user's working hours that overlap the interval."""
    day = datetime.fromtimestamp(start - times.DAY, UTC).date()
    last = datetime.fromtimestamp(max(start, end) + times.DAY, UTC).date() if end >= start else day
    while day <= last:
        for opened, closed in _hours(user, day):
            if opened < end and closed > start:
                yield opened, closed
        day += timedelta(days=1)


@lru_cache(maxsize=50_000)
def _hours(user: User, day: date) -> tuple[Interval, ...]:
    weekday = WEEKDAYS[day.weekday()]
    overrides = [override for override in user.overrides if override.date == str(day)]
    hours: Sequence[Hours | Override] = overrides or [hours for hours in user.hours if weekday in hours.days]
    zone = ZoneInfo(user.time_zone)
    return tuple(
        (_instant(day, hour.start, zone), _instant(day, hour.end, zone)) for hour in hours if hour.start != hour.end
    )


def _instant(day: date, clock: str, zone: ZoneInfo) -> int:
    # Cal.com's editor cannot write midnight as an end, so 23:59 stands for it (source of API v2).
    if clock == "23:59":
        day, clock = day + timedelta(days=1), "00:00"
    return int(datetime.combine(day, time.fromisoformat(clock), zone).timestamp())


def _calendar_days(kind: str, days: int, now: float) -> int:
    """Return the calendar days that a booking window of `days` covers."""
    if kind == "calendarDays":
        return days
    reached, today = 0, datetime.fromtimestamp(now, UTC).date()
    while days > 0:
        reached += 1
        days -= (today + timedelta(days=reached)).weekday() < 5
    return reached


_HOLD_MINUTES = 5
_TAKEN = "This time slot is already reserved by another user. Please choose a different time."


async def list_slots(request: Request) -> Response:
    """GET /v2/slots."""
    state, now = request.state, request.state.now()
    body = state.slots_cache.read(request.raw_query, now)
    if body is None:
        # `data` comes first here, unlike everywhere else (recorded 2026-11-21).
        body = orjson.dumps({"data": _slots(state, request.query), "status": "success"})
        state.slots_cache.store(request.raw_query, now, body)
    return Response(200, body)


async def reserve(request: Request) -> Response:
    """POST /v2/slots/reservations."""
    wanted = _wanted(request)
    _refuse_reserved(request.state, wanted)
    await request.pass_latency()
    # Not checked again: simultaneous reservations of one slot are all granted (recorded 2026-11-21).
    request.state.reservations[wanted.uid] = wanted
    return success(_granted(request, wanted), 201)


async def get_reservation(request: Request) -> Response:
    """GET /v2/slots/reservations/{uid}; `data` is null if it is gone."""
    reservation = request.state.reservations.get(request.params["uid"])
    if reservation is None or reservation.until <= request.state.now():
        return success(None)
    return success(_described(reservation))


async def update_reservation(request: Request) -> Response:
    """PATCH /v2/slots/reservations/{uid}: it conflicts with itself, so it can be shifted but not extended."""
    uid = request.params["uid"]
    if uid not in request.state.reservations:
        raise refused(404, f"Slot with uid={uid} not found")
    wanted = _wanted(request, uid)
    _refuse_reserved(request.state, wanted)
    await request.pass_latency()
    request.state.reservations[uid] = wanted
    return success(_granted(request, wanted))


async def delete_reservation(request: Request) -> Response:
    """DELETE /v2/slots/reservations/{uid}, without a key too, of any reservation."""
    await request.pass_latency()
    request.state.reservations.pop(request.params["uid"], None)
    return Response(200, {"status": "success"})


def _slots(state: State, query: Mapping[str, str]) -> dict[str, list[Json]]:
    start, end, zone = _bounds(query)
    event_type = _asked_for(state, query)
    minutes = int(query["duration"]) if query.get("duration", "").isdecimal() else event_type.minutes
    ignored = _not_busy(state, event_type, query.get("bookingUidToReschedule"))
    days: dict[str, list[Json]] = {}
    for instant in open_starts(state, event_type, start, end, minutes=minutes, ignored=ignored):
        slot = {"start": _spelled(instant, zone)}
        if query.get("format") == "range":
            slot["end"] = _spelled(instant + 60 * minutes, zone)
        days.setdefault(slot["start"][:10], []).append(slot | _seats(state, event_type, instant))
    return days


def _bounds(query: Mapping[str, str]) -> tuple[int, int, ZoneInfo | None]:
    """
    Return start, end and the zone of the response; `None` is UTC.

    A date is a whole UTC day: the zone shifts no bound (recorded 2026-11-21).
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
    """Return the complaints of Cal.com if no event type is given."""
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
    """Return the bookings that hide no slot: the one to be rescheduled, and those with a seat left."""
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


def _wanted(request: Request, uid: str | None = None) -> Reservation:
    """Return the requested reservation; working hours and the past do not matter (recorded 2026-11-21)."""
    fields = request.fields
    event_type = request.state.event_types.get(fields.get("eventTypeId", 0))
    if event_type is None:
        raise refused(404, f"Event Type with ID={fields.get('eventTypeId')} not found")
    start = times.parse(fields.get("slotStart"))
    if start is None:
        raise refused(400, wrong("slotStart", "slotStart must be a valid ISO 8601 date string"))
    _refuse_duration(request, event_type)
    minutes = fields.get("slotDuration") or event_type.minutes
    options = event_type.minutes_options or (event_type.minutes,)
    if minutes not in options:
        raise refused(
            400,
            "Provided 'slotDuration' is not one of the possible lengths for the event type. The possible lengths for "
            f"this variable length event type are: {', '.join(map(str, options))}",
        )
    until = request.state.now() + 60 * fields.get("reservationDuration", _HOLD_MINUTES)
    return Reservation(uid or request.state.new_uuid(), event_type, start, start + 60 * minutes, until)


def _refuse_duration(request: Request, event_type: EventType) -> None:
    """Refuse `reservationDuration` unless the owner or a host of the event type sends it."""
    if "reservationDuration" not in request.fields:
        return
    if request.user is None:
        raise refused(
            401,
            "reservationDuration can only be used for authenticated requests - use access token, api key or OAuth "
            "credentials",
        )
    if request.user.username not in {event_type.owner, *event_type.hosts}:
        raise refused(
            403,
            "authenticated user is not owner of event type, does not have memberships in common with owner of the "
            "event type, nor does belong to event type's team or org.",
        )


def _refuse_reserved(state: State, wanted: Reservation) -> None:
    """Refuse a time that is reserved or booked for the same event type (recorded 2026-11-21)."""
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


def _granted(request: Request, reservation: Reservation) -> Json:
    minutes = request.fields.get("reservationDuration", _HOLD_MINUTES)
    return _described(reservation) | {"reservationDuration": minutes}
