"""Routes that create, reschedule, cancel, confirm and decline bookings."""

from collections.abc import Container
from datetime import timedelta
from functools import partial

from calcom.simulator import payloads, slots, times
from calcom.simulator.booking_reads import described, find, fresh
from calcom.simulator.booking_rules import (
    RequestedBooking,
    parse_booking,
    parse_start,
    refuse_impossible_start,
    refuse_over_booker_limit,
    refuse_over_limit,
)
from calcom.simulator.catalog import BOOKER_URL
from calcom.simulator.dataset import EventType, Json, User
from calcom.simulator.request import RefusedError, Request, Response, bare, coded, invalid, refused, success, violation
from calcom.simulator.state import Attendee, Booking, DoubleBookingError, State

_NO_UIDS: frozenset[str] = frozenset()
# The status was seen; the text is a guess (unreplayed).
_NO_EVENT_TYPE = "Missing event type"


async def create(request: Request) -> Response:
    """POST /v2/bookings."""
    requested = parse_booking(request)
    if requested.event_type.recurrence:
        return await _create_series(request, requested)
    if requested.event_type.seats:
        return await _take_seat(request, requested)
    if repeated := _repeated(request.state, requested):
        return success(fresh(repeated), 201)
    refuse_over_booker_limit(request.state, requested.event_type, requested.attendee.email)
    refuse_over_limit(request.state, requested.event_type, requested.start, (requested.end - requested.start) // 60)
    host = _free_host(request.state, requested.event_type, requested.start, requested.end)
    await request.pass_latency()
    booking = _add(request.state, _booking(request.state, requested, host))
    await payloads.announce_creation(request.announce, booking)
    return success(fresh(booking), 201)


async def create_old(request: Request) -> Response:
    """POST /v2/bookings without the version header: refused without the body of 2024-04-15 (recorded 2026-11-21)."""
    known: Json = {name: request.fields[name] for name in ("start", "eventTypeId") if name in request.fields}
    raise invalid(
        violation(known, "timeZone", isTimeZone="timeZone must be a valid IANA time-zone"),
        violation(known, "language", isString="language must be a string"),
        violation(known, "metadata", isObject="metadata must be an object"),
    )


async def reschedule(request: Request) -> Response:
    """POST /v2/bookings/{uid}/reschedule: creates a booking to which the old one points."""
    before = find(request)
    _refuse_dead(before)
    if before.event_type_deleted:
        raise refused(404, _NO_EVENT_TYPE)
    start = parse_start(request.fields)
    refuse_impossible_start(request.state, before.event_type, start)
    end = start + before.end - before.start
    refuse_over_limit(request.state, before.event_type, start, (end - start) // 60, {before.uid})
    host = _free_host(request.state, before.event_type, start, end, ignored={before.uid}, preferred=before.host)
    await request.pass_latency()
    booking = replace_booking(request.state, before, start=start, host=host, fields=request.fields)
    await payloads.announce_reschedule(request.announce, booking)
    return success(fresh(booking), 201)


async def cancel(request: Request) -> Response:
    """
    POST /v2/bookings/{uid}/cancel, without a key too; only the host has to give a reason.

    How Cal.com responds if the booking was rescheduled during its latency is unknown (unreplayed): with the setting
    `cancels_rescheduled` it succeeds and describes the rescheduled booking, else it refuses.
    """
    booking = find(request, "Booking with uid={} not found")
    reason = request.fields.get("cancellationReason")
    _refuse_cancelling(request, booking, reason)
    await request.pass_latency()
    if booking.rescheduled_to and request.state.cancels_rescheduled:
        return success(described(booking))
    _refuse_cancelling(request, booking, reason)
    seat = request.fields.get("seatUid")
    left = [attendee for attendee in booking.attendees if attendee.seat_uid != seat]
    if seat and left:
        booking.attendees, booking.updated_at = left, request.state.now()
        return success(described(booking))
    series = _series(request.state, booking) if request.fields.get("cancelSubsequentBookings") else []
    for each in [later for later in series if later.start >= booking.start] or [booking]:
        each.cancellation_reason = reason or ""
        request.state.set_status(each, "cancelled")
    # Only one is announced, however many are cancelled (recorded 2026-11-21).
    await payloads.announce_cancellation(request.announce, booking)
    return success([described(each) for each in series] if series else described(booking))


async def confirm(request: Request) -> Response:
    """POST /v2/bookings/{uid}/confirm: the same uid, announced as created."""
    booking = _pending(request)
    await request.pass_latency()
    request.state.set_status(booking, "accepted")
    await payloads.announce_decision(request.announce, booking)
    return success(described(booking))


async def decline(request: Request) -> Response:
    """POST /v2/bookings/{uid}/decline."""
    booking = _pending(request)
    await request.pass_latency()
    booking.rejection_reason = request.fields.get("reason", "")
    request.state.set_status(booking, "rejected")
    await payloads.announce_decision(request.announce, booking)
    return success(described(booking))


async def mark_absent(request: Request) -> Response:
    """POST /v2/bookings/{uid}/mark-absent."""
    booking, now = _own(request), request.state.now()
    if booking.start > now:
        raise refused(
            400,
            "Bookings can only be marked as absent after their scheduled start time. Current time in UTC+0: "
            f"{times.millis(now)}, Booking start time in UTC+0: {times.millis(booking.start)}",
        )
    await request.pass_latency()
    booking.host_absent = bool(request.fields.get("host", booking.host_absent))
    marked = {each["email"]: bool(each.get("absent")) for each in request.fields.get("attendees", ())}
    for attendee in booking.attendees:
        attendee.absent = marked.get(attendee.email, attendee.absent)
    await request.announce("BOOKING_NO_SHOW_UPDATED", booking, partial(payloads.no_show, marked=marked))
    return success(described(booking))


def replace_booking(
    state: State, before: Booking, *, start: int, host: User, fields: Json, even_if_taken: bool = False
) -> Booking:
    """Cancel `before` and add the booking that replaces it; `fields` is the body of the request."""
    by = fields.get("rescheduledBy")
    waits = bool(before.event_type.confirmation) and by != before.owner.address
    was, before.rescheduled_by = before.status, by
    state.set_status(before, "cancelled")
    reason = fields.get("reschedulingReason")
    booking = Booking(
        event_type=before.event_type,
        owner=before.owner,
        host=host,
        start=start,
        end=start + before.end - before.start,
        status="pending" if waits else "accepted",
        attendees=before.attendees,
        location=before.location,
        description=before.description,
        metadata=before.metadata,
        responses=_responses_when_rescheduled(before.responses, reason),
        guests=before.guests,
        external=before.external,
        ics_uid=before.ics_uid,
        rescheduling_reason=reason,
        rescheduled_from=before,
        series=before.series,
        event_type_deleted=before.event_type_deleted,
    )
    try:
        _add(state, booking, even_if_taken=even_if_taken)
    except RefusedError:
        state.set_status(before, was)
        raise
    before.rescheduled_to = booking
    if before.location.startswith(("integrations:", BOOKER_URL)):
        booking.location = f"{BOOKER_URL}/video/{booking.uid}"
    return booking


def _responses_when_rescheduled(responses: Json, reason: str | None) -> Json:
    kept = {name: value for name, value in responses.items() if name != "rescheduledReason"}
    return kept | ({"rescheduledReason": reason} if reason else {})


def _booking(state: State, requested: RequestedBooking, host: User) -> Booking:
    return Booking(
        event_type=requested.event_type,
        owner=state.owner(requested.event_type),
        host=host,
        start=requested.start,
        end=requested.end,
        status="pending" if requested.event_type.confirmation else "accepted",
        attendees=[requested.attendee],
        location=requested.location,
        description=requested.notes,
        metadata=requested.metadata,
        responses=requested.responses,
        guests=requested.guests,
    )


def _add(state: State, booking: Booking, *, even_if_taken: bool = False) -> Booking:
    """Insert; of simultaneous bookings with equal host, start and end the second gets 409 (recorded 2026-11-21)."""
    try:
        return state.add(booking, even_if_taken=even_if_taken)
    except DoubleBookingError as error:
        raise bare(409, "booking_conflict_error") from error


def _free_host(
    state: State,
    event_type: EventType,
    start: int,
    end: int,
    *,
    ignored: Container[str] = _NO_UIDS,
    preferred: User | None = None,
) -> User:
    """
    Return a free host, or refuse. All fixed hosts have to be free; of the others it is one in turn.

    Nothing is checked again before the insert, so of two simultaneous overlapping bookings both are accepted (6 of 6,
    recorded 2026-11-21).
    """
    free = slots.free_hosts(state, event_type, start, end, ignored)
    fixed = state.fixed_hosts(event_type)
    in_turns = [host for host in free if host not in fixed]
    is_complete = in_turns or len(fixed) == len(state.hosts(event_type))
    if not (free and is_complete and all(host in free for host in fixed)):
        who = "One of the hosts" if len(state.hosts(event_type)) > 1 else "User"
        raise refused(400, f"{who} either already has booking at this time or is not available")
    free = in_turns or fixed
    return preferred if preferred in free else state.take_turns(free)


def _repeated(state: State, requested: RequestedBooking) -> Booking | None:
    """Return the booking that a repeated request gets; only event types with confirmation or several hosts do so."""
    if requested.event_type.confirmation or len(state.hosts(requested.event_type)) > 1:
        return state.find_booking(requested.event_type, requested.start, requested.attendee.email)
    return None


async def _take_seat(request: Request, requested: RequestedBooking) -> Response:
    state, attendee = request.state, requested.attendee
    booking = state.find_booking(requested.event_type, requested.start)
    attendee.seat_uid = state.new_uuid()
    attendee.metadata = requested.metadata
    shown = {name: value for name, value in requested.responses.items() if name not in {"email", "displayEmail"}}
    attendee.responses = {**shown, "guests": requested.guests}
    if booking is None:
        host = _free_host(state, requested.event_type, requested.start, requested.end)
        await request.pass_latency()
        booking = _add(state, _booking(state, requested, host))
        # A shared booking's calendar entry has a uid of its own (recorded 2026-11-21).
        booking.ics_uid = f"{state.new_uid()}@Cal.diy"
        response = fresh(booking)
    else:
        _refuse_seat(booking, attendee)
        await request.pass_latency()
        booking.attendees.append(attendee)
        response = described(booking)
    await payloads.announce_creation(request.announce, booking)
    return success(response | {"seatUid": attendee.seat_uid}, 201)


def _refuse_seat(booking: Booking, attendee: Attendee) -> None:
    if booking.has_attendee(attendee.email):
        raise bare(409, "already_signed_up_for_this_booking_error")
    if len(booking.attendees) >= booking.event_type.seat_count:
        raise refused(409, "No more seats left at this seated booking.")


async def _create_series(request: Request, requested: RequestedBooking) -> Response:
    """Create one booking for each occurrence, all or none; only weekly series are known."""
    state, rhythm = request.state, requested.event_type.recurrence or {}
    step = int(timedelta(weeks=rhythm["interval"]).total_seconds())
    occurrences: int = request.fields.get("recurrenceCount") or rhythm["occurrences"]
    offsets = [step * number for number in range(occurrences)]
    hosts = [
        _free_host(state, requested.event_type, requested.start + offset, requested.end + offset) for offset in offsets
    ]
    await request.pass_latency()
    series, made = state.new_uuid(), []
    for offset, host in zip(offsets, hosts, strict=True):
        booking = _booking(state, requested, host)
        booking.start, booking.end, booking.series = requested.start + offset, requested.end + offset, series
        made.append(_add(state, booking))
        await payloads.announce_creation(request.announce, booking)
    return success([fresh(booking) for booking in made], 201)


def _own(request: Request) -> Booking:
    booking = find(request)
    if request.key_owner not in (booking.owner, *booking.all_hosts):
        # The status is documented; the text is a guess.
        raise refused(403, "BookingPbacGuard - user is not authorized to access this booking.")
    return booking


def _pending(request: Request) -> Booking:
    booking = _own(request)
    if booking.status != "pending":
        raise coded("TRPCError", "Booking already confirmed")
    return booking


def _series(state: State, booking: Booking) -> list[Booking]:
    if booking.series is None:
        return []
    return [each for each in state.bookings.values() if each.series == booking.series]


def _refuse_dead(booking: Booking) -> None:
    uid = booking.uid
    if booking.rescheduled_to:
        successor = booking.rescheduled_to.uid
        raise refused(
            400,
            f"Can't reschedule booking with uid={uid} because it has been cancelled and rescheduled already to booking "
            f"with uid={successor}. You probably want to reschedule {successor} instead by passing it within the "
            "request URL.",
        )
    if not booking.is_live:
        raise refused(
            400,
            f"Can't reschedule booking with uid={uid} because it has been cancelled. Please provide uid of a booking "
            "that is not cancelled.",
        )


def _refuse_cancelling(request: Request, booking: Booking, reason: str | None) -> None:
    if not booking.is_live:
        raise refused(
            400,
            f"Can't cancel booking with uid={booking.uid} because it has been cancelled already. Please provide uid of "
            "a booking that is not cancelled.",
        )
    if request.state.event_types.get(booking.event_type.id, booking.event_type).cancelling_disabled:
        raise bare(400, "This event type does not allow cancellations")  # applies to the host too (seen 2026-11-30)
    if booking.end < request.state.now():
        raise bare(400, "Cannot cancel a booking that has already ended")
    if not reason and request.user in (booking.owner, *booking.all_hosts):
        raise bare(400, "Cancellation reason is required")
