"""Routes that read bookings, and how a booking looks in a response."""

from collections.abc import Callable, Mapping
from operator import attrgetter, ge, le
from typing import Any

from calcom.simulator import times
from calcom.simulator.dataset import Json, User
from calcom.simulator.request import Request, Response, invalid, refuse_wrong, refused, success, violation, wrong
from calcom.simulator.state import Attendee, Booking


def described(booking: Booking) -> Json:
    """Return a booking in the shape of 2024-08-13."""
    if booking.event_type.seats:
        return _shared(booking)
    if booking.series:
        return _recurring(booking)
    return _common(booking) | {
        "cancelledByEmail": "",
        "rescheduledByEmail": _rescheduled_by(booking),
        "metadata": booking.metadata,
        "attendees": [
            _attendee(attendee) for attendee in (*booking.attendees, *_guests(booking), *_other_hosts(booking))
        ],
        "bookingFieldsResponses": booking.responses,
        **({"guests": booking.guests} if booking.guests else {}),
    }


def fresh(booking: Booking) -> Json:
    """Return a booking as in the response that created it, which has one more field."""
    return described(booking) | {"isPlatformManagedUserBooking": False}


def described_old(booking: Booking) -> Json:
    """Return a booking in the shape of 2024-04-15, which a wrong version header gets."""
    return {
        "id": booking.id,
        "uid": booking.uid,
        "title": booking.title,
        "description": booking.description,
        "startTime": times.millis(booking.start),
        "endTime": times.millis(booking.end),
        "status": booking.status.upper(),
        "eventTypeId": booking.event_type_id,
        "metadata": booking.metadata,
        "attendees": [
            {"name": attendee.name, "email": attendee.email, "timeZone": attendee.time_zone}
            for attendee in booking.attendees
        ],
    }


def _common(booking: Booking) -> Json:
    links: dict[str, Any] = {
        "reschedulingReason": booking.rescheduling_reason,
        "rescheduledFromUid": booking.rescheduled_from and booking.rescheduled_from.uid,
        "rescheduledToUid": booking.rescheduled_to and booking.rescheduled_to.uid,
    }
    return {
        "id": booking.id,
        "uid": booking.uid,
        "title": booking.title,
        "description": booking.description,
        "hosts": [_host(booking.organizer)],
        "status": booking.status,
        "cancellationReason": booking.cancellation_reason,
        **{name: link for name, link in links.items() if link is not None},
        "start": times.millis(booking.start),
        "end": times.millis(booking.end),
        "duration": (booking.end - booking.start) // 60,
        "eventTypeId": booking.event_type_id,
        "eventType": None
        if booking.event_type_deleted
        else {"id": booking.event_type.id, "slug": booking.event_type.slug},
        "meetingUrl": booking.location,
        "location": booking.location,
        "absentHost": booking.host_absent,
        "createdAt": times.millis(booking.created_at),
        "updatedAt": times.millis(booking.updated_at),
        "rating": None,
        "icsUid": booking.ics_uid,
    }


def _recurring(booking: Booking) -> Json:
    return _common(booking) | {
        "cancelledByEmail": "",
        "metadata": booking.metadata,
        "attendees": [_person(attendee) for attendee in booking.attendees],
        "bookingFieldsResponses": booking.responses,
        "recurringBookingUid": booking.series,
    }


def _shared(booking: Booking) -> Json:
    """A booking with seats: responses and metadata belong to each attendee (recorded 2026-11-21)."""
    attendees = [
        _person(attendee)
        | {
            "seatUid": attendee.seat_uid,
            "bookingFieldsResponses": attendee.responses,
            "metadata": attendee.metadata,
        }
        for attendee in booking.attendees
    ]
    return _common(booking) | {
        "description": None,
        "rescheduledByEmail": _rescheduled_by(booking),
        "attendees": attendees,
    }


def _rescheduled_by(booking: Booking) -> str | None:
    """Return who rescheduled last: from this booking, else to it."""
    if booking.rescheduled_to:
        return booking.rescheduled_by
    return booking.rescheduled_from.rescheduled_by if booking.rescheduled_from else None


def _guests(booking: Booking) -> list[Attendee]:
    return [Attendee("", guest, booking.attendees[0].time_zone) for guest in booking.guests]


def _other_hosts(booking: Booking) -> list[Attendee]:
    """Return the hosts beside the organizer, whom Cal.com lists as attendees (seen 2026-11-30)."""
    return [Attendee(host.name, host.address, host.time_zone) for host in booking.all_hosts[1:]]


def _attendee(attendee: Attendee) -> Json:
    return _person(attendee) | ({"phoneNumber": attendee.phone} if attendee.phone else {})


def _person(attendee: Attendee) -> Json:
    return {
        "name": attendee.name,
        "email": attendee.email,
        "displayEmail": attendee.email,
        "timeZone": attendee.time_zone,
        "language": attendee.language,
        "absent": attendee.absent,
    }


def _host(host: User) -> Json:
    return {
        "id": host.id,
        "name": host.name,
        "email": host.address,
        "displayEmail": host.address,
        "username": host.username,
        "timeZone": host.time_zone,
    }


_TAKE = 100
_MOST = 250
_STATUSES = ("upcoming", "recurring", "past", "cancelled", "unconfirmed")

# Both bounds are inclusive (recorded 2026-11-21).
_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "afterStart": ("start", ge),
    "beforeEnd": ("end", le),
    "afterCreatedAt": ("created_at", ge),
    "beforeCreatedAt": ("created_at", le),
    "afterUpdatedAt": ("updated_at", ge),
    "beforeUpdatedAt": ("updated_at", le),
}
_ORDERS = {"sortStart": "start", "sortEnd": "end", "sortCreated": "created_at", "sortUpdatedAt": "updated_at"}


async def get(request: Request) -> Response:
    """GET /v2/bookings/{uid}, without a key too."""
    return success(described(find(request)))


async def get_old(request: Request) -> Response:
    """GET /v2/bookings/{uid} without the version header."""
    return success(described_old(find(request)))


async def get_by_seat(request: Request) -> Response:
    """GET /v2/bookings/by-seat/{seat_uid}, without a key too."""
    seat = request.params["seat_uid"]
    for booking in request.state.bookings.values():
        if any(attendee.seat_uid == seat for attendee in booking.attendees):
            return success(described(booking) | {"seatUid": seat})
    raise refused(404, f"Booking with seatUid={seat} was not found in the database")


async def list_bookings(request: Request) -> Response:
    """GET /v2/bookings: those of the owner of the key, cancelled ones too unless `status` is given."""
    query = request.query
    statuses = _statuses(query)
    take, skip = _page(query)
    found = [booking for booking in _own(request) if _matches(booking, query, statuses, request.state.now())]
    _sort(found, query, statuses)
    shown = found[skip : skip + take]
    response = success([described(booking) for booking in shown])
    return Response(200, {**_envelope(response), "pagination": _pagination(len(shown), len(found), take, skip)})


async def list_bookings_old(request: Request) -> Response:
    """GET /v2/bookings without the version header: `data` is an object."""
    bookings = [described_old(booking) for booking in _own(request)]
    return success({"bookings": bookings, "recurringInfo": [], "nextCursor": None})


def _envelope(response: Response) -> Json:
    return response.body if isinstance(response.body, dict) else {}


def _own(request: Request) -> list[Booking]:
    user = request.key_owner
    return [booking for booking in request.state.bookings.values() if user in (booking.owner, *booking.all_hosts)]


def _statuses(query: Mapping[str, str]) -> list[str]:
    statuses = query["status"].split(",") if query.get("status") else []
    if not set(statuses) <= set(_STATUSES):
        allowed = f"Invalid status. Allowed are {', '.join(_STATUSES)}"
        raise invalid(violation({"status": statuses}, "status", isEnum=allowed))
    return statuses


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    take, skip = query.get("take", str(_TAKE)), query.get("skip", "0")
    for name, text in (("take", take), ("skip", skip)):
        if not text.isdecimal():
            raise invalid(violation({name: text}, name, isNumber=f"{name} must be a number"))
    if int(take) > _MOST:
        raise invalid(violation({"take": int(take)}, "take", max=f"take must not be greater than {_MOST}"))
    return int(take), int(skip)


def _matches(booking: Booking, query: Mapping[str, str], statuses: list[str], now: float) -> bool:
    return (
        (not statuses or any(_is(status, booking, now) for status in statuses))
        and _is_of_event_type(booking, query)
        and _is_of_attendee(booking, query)
        and query.get("bookingUid", booking.uid) == booking.uid
        and _is_within(booking, query)
    )


def _is(status: str, booking: Booking, now: float) -> bool:
    if status == "cancelled":
        return not booking.is_live
    if status == "past":
        return booking.is_live and booking.end <= now
    if not booking.is_live or booking.end < now:
        return False
    if status == "unconfirmed":
        return booking.status == "pending"
    return booking.status == "accepted" and (status == "upcoming" or booking.series is not None)


def _is_of_event_type(booking: Booking, query: Mapping[str, str]) -> bool:
    fields = [query[name] for name in ("eventTypeId", "eventTypeIds") if name in query]
    return not fields or str(booking.event_type_id) in ",".join(fields).split(",")


def _is_of_attendee(booking: Booking, query: Mapping[str, str]) -> bool:
    email, name = query.get("attendeeEmail"), query.get("attendeeName")
    return (email is None or booking.has_attendee(email)) and (
        name is None or any(attendee.name == name for attendee in booking.attendees)
    )


def _is_within(booking: Booking, query: Mapping[str, str]) -> bool:
    for name, (attribute, compare) in _BOUNDS.items():
        if name in query:
            bound = times.parse_exact(query[name])
            if bound is None:
                refuse_wrong(wrong(name, f"{name} must be a valid ISO 8601 date string"))
            elif not compare(getattr(booking, attribute), bound):
                return False
    return True


def _sort(bookings: list[Booking], query: Mapping[str, str], statuses: list[str]) -> None:
    """Sort as requested, else by start, past and cancelled ones latest first (recorded 2026-11-21)."""
    for name, attribute in _ORDERS.items():
        if name in query:
            key: Callable[[Booking], Any] = attrgetter(attribute)
            bookings.sort(key=key, reverse=query[name] == "desc")
            return
    bookings.sort(key=attrgetter("start"), reverse=statuses[:1] in (["past"], ["cancelled"]))


def _pagination(returned: int, total: int, take: int, skip: int) -> Json:
    pages = -(-total // take) if take else 0
    return {
        "returnedItems": returned,
        "totalItems": total,
        "itemsPerPage": take,
        "remainingItems": max(0, total - skip - returned),
        "currentPage": skip // take + 1 if total and take else 0,
        "totalPages": pages,
        "hasNextPage": skip + returned < total,
        "hasPreviousPage": skip > 0 and total > 0,
    }


def find(request: Request, otherwise: str = "Booking with uid={} was not found in the database") -> Booking:
    """Return the booking in the path; raises a 404 with the text `otherwise` if there is none."""
    uid = request.params["uid"]
    booking = request.state.bookings.get(uid)
    if booking is None:
        raise refused(404, otherwise.format(uid))
    return booking
