"""The bodies of webhook messages; each trigger has its own fields and spelling of times."""

from collections.abc import Callable

from calcom.simulator import times
from calcom.simulator.catalog import BOOKER_URL
from calcom.simulator.dataset import Json
from calcom.simulator.request import Announce
from calcom.simulator.state import Attendee, Booking

_LABELS = {
    "attendeePhoneNumber": "phone_number",
    "name": "your_name",
    "email": "email_address",
    "location": "location",
    "title": "what_is_this_meeting_about",
    "notes": "additional_notes",
    "guests": "additional_guests",
    "rescheduleReason": "reason_for_reschedule",
}
_HIDDEN = {"attendeePhoneNumber", "title"}
_VIDEO = "integrations:daily"


def created(booking: Booking, now: float) -> Json:
    """BOOKING_CREATED; one for each seat, with the same uid."""
    seat = booking.attendees[-1].seat_uid
    payload = _confirmed(booking) | {"iCalUID": booking.ics_uid, "iCalSequence": 0, "metadata": booking.metadata}
    return _stamped("BOOKING_CREATED", now, payload | ({"attendeeSeatId": seat} if seat else {}))


def rescheduled(booking: Booking, now: float) -> Json:
    """BOOKING_RESCHEDULED: `uid` is the new booking's, `rescheduleUid` the old one's."""
    before = booking.rescheduled_from or booking
    payload = _confirmed(booking) | {
        "iCalSequence": 1,
        "videoCallData": {"type": "daily_video", "id": None, "password": None, "url": None},
        **({"rescheduledBy": before.rescheduled_by} if before.rescheduled_by else {}),
        "rescheduleId": before.id,
        "rescheduleUid": before.uid,
        "rescheduleStartTime": times.plain(before.start),
        "rescheduleEndTime": times.plain(before.end),
        "metadata": {"videoCallUrl": booking.location, **booking.metadata},
    }
    return _stamped("BOOKING_RESCHEDULED", now, payload)


def requested(booking: Booking, now: float) -> Json:
    """BOOKING_REQUESTED; `oneTimePassword` lets its holder confirm."""
    payload = _common(booking, times.millis) | {
        **_SETTINGS,
        "attendees": [_introduced(attendee, booking.start) for attendee in booking.attendees],
        "schedulingType": None,
        "seatsShowAttendees": True,
        "seatsShowAvailabilityCount": True,
        "responses": _responses(booking),
        "iCalUID": booking.ics_uid,
        "iCalSequence": 0,
        "requiresConfirmation": True,
        "oneTimePassword": f"{booking.id:08x}-0000-4000-8000-000000000000",
        "platformClientId": "",
        "platformRescheduleUrl": "",
        "platformCancelUrl": "",
        "platformBookingUrl": "",
        "organizationId": None,
        "hashedLink": None,
        "assignmentReason": [],
        "destinationCalendar": None,
        "price": 0,
        "metadata": booking.metadata,
    }
    return _stamped("BOOKING_REQUESTED", now, payload)


def cancelled(booking: Booking, now: float) -> Json:
    """BOOKING_CANCELLED: no metadata (recorded 2026-11-21)."""
    payload = _common(booking, times.offset) | {
        "hideOrganizerEmail": False,
        "responses": _responses(booking),
        "destinationCalendar": [],
        "cancellationReason": booking.cancellation_reason,
        "seatsShowAttendees": False,
        "iCalUID": booking.ics_uid,
        "iCalSequence": 1,
        "schedulingType": None,
        "requiresConfirmation": None,
        "price": None,
        "requestReschedule": False,
    }
    return _stamped("BOOKING_CANCELLED", now, payload)


def rejected(booking: Booking, now: float) -> Json:
    """BOOKING_REJECTED: no metadata (recorded 2026-11-21)."""
    payload = _common(booking, times.millis) | {
        **_SETTINGS,
        "responses": _responses(booking),
        "destinationCalendar": [],
        "requiresConfirmation": True,
        "seatsShowAttendees": False,
        "organizationId": None,
        "assignmentReason": None,
        "rejectionReason": booking.rejection_reason,
        "price": 0,
    }
    return _stamped("BOOKING_REJECTED", now, payload)


def no_show(booking: Booking, now: float, *, marked: dict[str, bool]) -> Json:
    """BOOKING_NO_SHOW_UPDATED: has `bookingUid` instead of `uid`."""
    marks = ", ".join(f"{email} {'marked' if absent else 'unmarked'} as no-show" for email, absent in marked.items())
    payload = {
        "message": marks,
        "attendees": [{"email": email, "noShow": absent} for email, absent in marked.items()],
        "bookingUid": booking.uid,
        "bookingId": booking.id,
    }
    return _stamped("BOOKING_NO_SHOW_UPDATED", now, payload)


def meeting(booking: Booking, _now: float, *, trigger: str) -> Json:
    """MEETING_STARTED or MEETING_ENDED: flat, without `payload`."""
    host = booking.organizer
    user_uuid = f"{host.id:08x}-0000-4000-8000-000000000000"
    unset = (
        "destinationCalendarId cancellationReason rejectionReason reassignReason reassignById dynamicEventSlugRef "
        "dynamicGroupSlugRef rescheduled fromReschedule recurringEventId smsReminderNumber rating ratingFeedback "
        "oneTimePassword cancelledBy rescheduledBy"
    )
    return {
        "triggerEvent": trigger,
        "id": booking.id,
        "uid": booking.uid,
        "idempotencyKey": f"{booking.id:08x}-0000-5000-8000-000000000000",
        "userId": host.id,
        "userPrimaryEmail": host.address,
        "eventTypeId": booking.event_type_id,
        "title": booking.title,
        "description": booking.description,
        "customInputs": {},
        "responses": _responses(booking, with_phone_and_place=True),
        "startTime": times.millis(booking.start),
        "endTime": times.millis(booking.end),
        "location": booking.location,
        "createdAt": times.millis(booking.created_at),
        "updatedAt": times.millis(booking.updated_at),
        "status": booking.status.upper(),
        "paid": False,
        **dict.fromkeys(unset.split()),
        "scheduledJobs": [],
        "metadata": booking.metadata,
        "isRecorded": False,
        "iCalUID": booking.ics_uid,
        "iCalSequence": 0,
        "noShowHost": booking.host_absent,
        "creationSource": "API_V2",
        "user": {
            "uuid": user_uuid,
            "email": host.address,
            "name": host.name,
            "timeZone": host.time_zone,
            "username": host.username,
            "isPlatformManaged": False,
        },
        "attendees": [
            {
                "id": booking.id,
                "email": attendee.email,
                "name": attendee.name,
                "timeZone": attendee.time_zone,
                "phoneNumber": attendee.phone,
                "locale": attendee.language,
                "bookingId": booking.id,
                "noShow": attendee.absent,
            }
            for attendee in booking.attendees
        ],
        "payment": [],
        "references": [],
        "userUuid": user_uuid,
    }


_SETTINGS: Json = {
    "hideOrganizerEmail": False,
    "hideCalendarNotes": False,
    "hideCalendarEventDetails": False,
    "disableRescheduling": False,
    "disableCancelling": False,
}


def _common(booking: Booking, spell: Callable[[int], str]) -> Json:
    event_type, host = booking.event_type, booking.organizer
    return {
        "bookerUrl": BOOKER_URL,
        "title": booking.title,
        "type": event_type.slug,
        "description": booking.description,
        "additionalNotes": booking.description,
        "customInputs": {},
        "userFieldsResponses": _own_fields(booking),
        "startTime": spell(booking.start),
        "endTime": spell(booking.end),
        "organizer": {
            "id": host.id,
            "name": host.name,
            "email": host.address,
            "username": host.username,
            "timeZone": host.time_zone,
            "language": {"locale": "en"},
            "timeFormat": "h:mma",
            "utcOffset": times.utc_offset_minutes(booking.start, host.time_zone),
        },
        "attendees": [_attendee(attendee, booking.start) for attendee in booking.attendees],
        **_team(booking),
        "eventTypeId": booking.event_type_id,
        "location": booking.location,
        "customReplyToEmail": None,
        "seatsPerTimeSlot": event_type.seat_count or None,
        "hideBranding": False,
        "uid": booking.uid,
        "bookingId": booking.id,
        "eventTitle": event_type.title,
        "eventDescription": event_type.description or None,
        "currency": "usd",
        "length": (booking.end - booking.start) // 60,
        "status": booking.status.upper(),
    }


def _team(booking: Booking) -> Json:
    """Return the hosts beside the organizer, by id (seen 2026-11-30); other members are a guess (unreplayed)."""
    others = booking.all_hosts[1:]
    members = [{"id": host.id, "name": host.name, "email": host.address, "timeZone": host.time_zone} for host in others]
    return {"team": {"name": booking.event_type.title, "members": members}} if others else {}


def _confirmed(booking: Booking) -> Json:
    """Return the members that CREATED and RESCHEDULED share."""
    return _common(booking, times.plain) | {
        **_SETTINGS,
        "attendees": [
            {**_attendee(attendee, booking.start), "firstName": "", "lastName": ""} for attendee in booking.attendees
        ],
        "schedulingType": None,
        "seatsShowAttendees": True,
        "seatsShowAvailabilityCount": True,
        "responses": _responses(booking, with_phone_and_place=True),
        "destinationCalendar": None,
        "requiresConfirmation": False,
        "oneTimePassword": None,
        "hashedLink": None,
        "conferenceData": {"createRequest": {"requestId": f"{booking.id:08x}-0000-5000-8000-000000000000"}},
        "appsStatus": [{"appName": "Cal Video", "type": "daily_video", "success": 1, "failures": 0, "errors": []}],
        "price": 0,
    }


def _attendee(attendee: Attendee, start: int) -> Json:
    return {
        "name": attendee.name,
        "email": attendee.email,
        "timeZone": attendee.time_zone,
        "language": {"locale": attendee.language},
        "utcOffset": times.utc_offset_minutes(start, attendee.time_zone),
        **({"phoneNumber": attendee.phone} if attendee.phone else {}),
    }


def _introduced(attendee: Attendee, start: int) -> Json:
    first, _, last = attendee.name.partition(" ")
    return {**_attendee(attendee, start), "bookingSeat": None, "firstName": first, "lastName": last}


def _responses(booking: Booking, *, with_phone_and_place: bool = False) -> Json:
    """Return each field of the form with its label and, if it has one, its value."""
    attendee = booking.attendees[0]
    values: Json = {"name": attendee.name, "email": attendee.email}
    names = [name for name in _LABELS if name != "attendeePhoneNumber"]
    if with_phone_and_place:
        place = booking.location if booking.location != "" else _VIDEO
        values["location"] = {"value": _VIDEO if place.startswith("http") else place, "optionValue": ""}
        if attendee.phone:
            values["attendeePhoneNumber"] = attendee.phone
            names.insert(0, "attendeePhoneNumber")
    labelled = {
        name: {
            "label": _LABELS[name],
            **({"value": values[name]} if name in values else {}),
            "isHidden": name in _HIDDEN,
        }
        for name in names
    }
    return labelled | _own_fields(booking)


def _own_fields(booking: Booking) -> Json:
    return {
        field["slug"]: {"label": field.get("label", ""), "value": booking.responses[field["slug"]], "isHidden": False}
        for field in booking.event_type.fields
        if field["slug"] in booking.responses
    }


async def announce_creation(announce: Announce, booking: Booking) -> None:
    """Announce a new booking, accepted or pending."""
    if booking.status == "pending":
        await announce("BOOKING_REQUESTED", booking, requested)
    else:
        await announce("BOOKING_CREATED", booking, created)


async def announce_reschedule(announce: Announce, booking: Booking) -> None:
    """Announce a rescheduled booking; the old one is not announced (recorded 2026-11-21)."""
    if booking.status == "pending":
        await announce("BOOKING_REQUESTED", booking, requested)
    else:
        await announce("BOOKING_RESCHEDULED", booking, rescheduled)


async def announce_cancellation(announce: Announce, booking: Booking) -> None:
    await announce("BOOKING_CANCELLED", booking, cancelled)


async def announce_decision(announce: Announce, booking: Booking) -> None:
    """Announce that the host has confirmed or declined a booking."""
    if booking.status == "accepted":
        await announce("BOOKING_CREATED", booking, created)
    else:
        await announce("BOOKING_REJECTED", booking, rejected)


def _stamped(trigger: str, now: float, payload: Json) -> Json:
    """Wrap a payload in the envelope of most messages."""
    return {"triggerEvent": trigger, "createdAt": times.millis(now), "payload": payload}
