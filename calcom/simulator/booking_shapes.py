"""How a booking looks in an answer: alone, shared by seats, or one of a series."""

from typing import Any

from calcom.simulator import times
from calcom.simulator.state import Attendee, Booking
from calcom.simulator.world import Json, User


def described(booking: Booking) -> Json:
    """Write a booking in the shape of 2024-08-13."""
    if booking.event_type.seats:
        return _shared(booking)
    if booking.series:
        return _recurring(booking)
    return _common(booking) | {
        "cancelledByEmail": "",
        "rescheduledByEmail": _moved_by(booking),
        "metadata": booking.metadata,
        "attendees": [
            _attendee(attendee) for attendee in (*booking.attendees, *_guests(booking), *_other_hosts(booking))
        ],
        "bookingFieldsResponses": booking.responses,
        **({"guests": booking.guests} if booking.guests else {}),
    }


def fresh(booking: Booking) -> Json:
    """Write a booking as the answer to what made it; only there Cal.com adds one more field."""
    return described(booking) | {"isPlatformManagedUserBooking": False}


def old(booking: Booking) -> Json:
    """Write a booking as 2024-04-15 did, which is what a wrong version header gets."""
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
        "rescheduledFromUid": booking.moved_from and booking.moved_from.uid,
        "rescheduledToUid": booking.moved_to and booking.moved_to.uid,
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
        "eventType": None if booking.lost_its_type else {"id": booking.event_type.id, "slug": booking.event_type.slug},
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
    """Answers and metadata belong to each attendee here (recorded 2026-11-21)."""
    attendees = [
        _person(attendee)
        | {
            "seatUid": attendee.seat_uid,
            "bookingFieldsResponses": attendee.responses,
            "metadata": attendee.metadata,
        }
        for attendee in booking.attendees
    ]
    return _common(booking) | {"description": None, "rescheduledByEmail": _moved_by(booking), "attendees": attendees}


def _moved_by(booking: Booking) -> str | None:
    """Name who made the newest move: the one away from here, else the one that led here."""
    if booking.moved_to:
        return booking.moved_by
    return booking.moved_from.moved_by if booking.moved_from else None


def _guests(booking: Booking) -> list[Attendee]:
    return [Attendee("", guest, booking.attendees[0].time_zone) for guest in booking.guests]


def _other_hosts(booking: Booking) -> list[Attendee]:
    """Write the hosts beside the organizer as attendees, which is how Cal.com names them (seen 2026-11-30)."""
    return [Attendee(host.name, host.address, host.time_zone) for host in booking.everybody[1:]]


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
