"""GET /v2/bookings: filters, order and pages."""

from collections.abc import Callable, Mapping
from operator import attrgetter, ge, le
from typing import Any

from calcom.simulator import times
from calcom.simulator.booking_shapes import described, old
from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import invalid, refuse_wrong, violation, wrong
from calcom.simulator.state import Booking
from calcom.simulator.world import Json

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


async def list_bookings(call: Call) -> Answer:
    """GET /v2/bookings: one's own, cancelled ones too unless a status is asked for."""
    query = call.query
    statuses = _statuses(query)
    take, skip = _page(query)
    found = [booking for booking in _own(call) if _matches(booking, query, statuses, call.state.now())]
    _sort(found, query, statuses)
    shown = found[skip : skip + take]
    answer = success([described(booking) for booking in shown])
    return Answer(200, {**_envelope(answer), "pagination": _pagination(len(shown), len(found), take, skip)})


async def list_old(call: Call) -> Answer:
    """GET /v2/bookings without the version header: `data` is an object."""
    bookings = [old(booking) for booking in _own(call)]
    return success({"bookings": bookings, "recurringInfo": [], "nextCursor": None})


def _envelope(answer: Answer) -> Json:
    return answer.body if isinstance(answer.body, dict) else {}


def _own(call: Call) -> list[Booking]:
    user = call.caller
    return [booking for booking in call.state.bookings.values() if user in (booking.owner, *booking.everybody)]


def _statuses(query: Mapping[str, str]) -> list[str]:
    asked = query["status"].split(",") if query.get("status") else []
    if not set(asked) <= set(_STATUSES):
        allowed = f"Invalid status. Allowed are {', '.join(_STATUSES)}"
        raise invalid(violation({"status": asked}, "status", isEnum=allowed))
    return asked


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
    asked = [query[name] for name in ("eventTypeId", "eventTypeIds") if name in query]
    return not asked or str(booking.event_type_id) in ",".join(asked).split(",")


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
    """Sort as asked for; otherwise by start, the past and the cancelled latest first (recorded 2026-11-21)."""
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
