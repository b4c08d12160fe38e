"""The operations that make, move and settle bookings."""

from collections.abc import Container
from datetime import timedelta
from functools import partial

from calcom.simulator import payloads, slots, times
from calcom.simulator.booking_limits import refuse_over_booker_limit, refuse_over_limit
from calcom.simulator.booking_rules import Wish, read_start, read_wish, refuse_impossible_start
from calcom.simulator.booking_shapes import described, fresh, old
from calcom.simulator.call import Answer, Call, success
from calcom.simulator.errors import RefusedError, bare, coded, invalid, refused, violation
from calcom.simulator.event_types import BOOKER_URL
from calcom.simulator.state import Attendee, Booking, DoubleBookingError, State
from calcom.simulator.webhooks import Messenger
from calcom.simulator.world import EventType, Json, User

_NOBODY: frozenset[str] = frozenset()
# The status was seen, the text is a guess (unreplayed).
_NO_EVENT_TYPE = "Missing event type"


async def create(call: Call) -> Answer:
    """POST /v2/bookings."""
    wish = read_wish(call)
    if wish.event_type.recurrence:
        return await _create_series(call, wish)
    if wish.event_type.seats:
        return await _take_seat(call, wish)
    if repeated := _repeated(call.state, wish):
        return success(fresh(repeated), 201)
    refuse_over_booker_limit(call.state, wish.event_type, wish.attendee.email)
    refuse_over_limit(call.state, wish.event_type, wish.start, (wish.end - wish.start) // 60)
    host = _free_host(call.state, wish.event_type, wish.start, wish.end)
    await call.think()
    booking = _add(call.state, _booking(call.state, wish, host))
    await announce_creation(call.messenger, booking)
    return success(fresh(booking), 201)


async def create_old(call: Call) -> Answer:
    """POST /v2/bookings without the version header: the body of 2024-04-15 is missed (recorded 2026-11-21)."""
    known: Json = {name: call.fields[name] for name in ("start", "eventTypeId") if name in call.fields}
    raise invalid(
        violation(known, "timeZone", isTimeZone="timeZone must be a valid IANA time-zone"),
        violation(known, "language", isString="language must be a string"),
        violation(known, "metadata", isObject="metadata must be an object"),
    )


async def get(call: Call) -> Answer:
    """GET /v2/bookings/{uid}, by anybody."""
    return success(described(_find(call, "Booking with uid={} was not found in the database")))


async def get_old(call: Call) -> Answer:
    """GET /v2/bookings/{uid} without the version header."""
    return success(old(_find(call, "Booking with uid={} was not found in the database")))


async def get_by_seat(call: Call) -> Answer:
    """GET /v2/bookings/by-seat/{seat_uid}, by anybody."""
    seat = call.params["seat_uid"]
    for booking in call.state.bookings.values():
        if any(attendee.seat_uid == seat for attendee in booking.attendees):
            return success(described(booking) | {"seatUid": seat})
    raise refused(404, f"Booking with seatUid={seat} was not found in the database")


async def reschedule(call: Call) -> Answer:
    """POST /v2/bookings/{uid}/reschedule: a new booking, and the old one points to it."""
    before = _find(call, "Booking with uid={} was not found in the database")
    _refuse_dead(before)
    if before.lost_its_type:
        raise refused(404, _NO_EVENT_TYPE)
    start = read_start(call.fields)
    refuse_impossible_start(call.state, before.event_type, start)
    end = start + before.end - before.start
    refuse_over_limit(call.state, before.event_type, start, (end - start) // 60, {before.uid})
    host = _free_host(call.state, before.event_type, start, end, ignored={before.uid}, preferred=before.host)
    await call.think()
    booking = move(call.state, before, start=start, host=host, fields=call.fields)
    await announce_move(call.messenger, booking)
    return success(fresh(booking), 201)


async def cancel(call: Call) -> Answer:
    """
    POST /v2/bookings/{uid}/cancel, by anybody; only the host has to give a reason.

    What Cal.com answers where the booking was moved while it thought is not known, so it does either (unreplayed): with
    the setting `cancels_what_was_moved` it says yes about the booking that was moved away, else it refuses.
    """
    booking = _find(call, "Booking with uid={} not found")
    reason = call.fields.get("cancellationReason")
    _refuse_cancelling(call, booking, reason)
    await call.think()
    if booking.moved_to and call.state.cancels_what_was_moved:
        return success(described(booking))
    _refuse_cancelling(call, booking, reason)
    seat = call.fields.get("seatUid")
    left = [attendee for attendee in booking.attendees if attendee.seat_uid != seat]
    if seat and left:
        booking.attendees, booking.updated_at = left, call.state.now()
        return success(described(booking))
    series = _series(call.state, booking) if call.fields.get("cancelSubsequentBookings") else []
    for each in [later for later in series if later.start >= booking.start] or [booking]:
        each.cancellation_reason = reason or ""
        call.state.change(each, "cancelled")
    # However many are cancelled, one is announced (recorded 2026-11-21).
    await announce_cancellation(call.messenger, booking)
    return success([described(each) for each in series] if series else described(booking))


async def confirm(call: Call) -> Answer:
    """POST /v2/bookings/{uid}/confirm: the same uid, announced as created."""
    booking = _pending(call)
    await call.think()
    call.state.change(booking, "accepted")
    await announce_decision(call.messenger, booking)
    return success(described(booking))


async def decline(call: Call) -> Answer:
    """POST /v2/bookings/{uid}/decline."""
    booking = _pending(call)
    await call.think()
    booking.rejection_reason = call.fields.get("reason", "")
    call.state.change(booking, "rejected")
    await announce_decision(call.messenger, booking)
    return success(described(booking))


async def mark_absent(call: Call) -> Answer:
    """POST /v2/bookings/{uid}/mark-absent."""
    booking, now = _own(call), call.state.now()
    if booking.start > now:
        raise refused(
            400,
            "Bookings can only be marked as absent after their scheduled start time. Current time in UTC+0: "
            f"{times.millis(now)}, Booking start time in UTC+0: {times.millis(booking.start)}",
        )
    await call.think()
    booking.host_absent = bool(call.fields.get("host", booking.host_absent))
    marked = {each["email"]: bool(each.get("absent")) for each in call.fields.get("attendees", ())}
    for attendee in booking.attendees:
        attendee.absent = marked.get(attendee.email, attendee.absent)
    await call.messenger.announce("BOOKING_NO_SHOW_UPDATED", booking, partial(payloads.no_show, marked=marked))
    return success(described(booking))


# What the control endpoint does as well, for a human at Cal.com


def move(
    state: State, before: Booking, *, start: int, host: User, fields: Json, even_if_taken: bool = False
) -> Booking:
    """Make the booking that replaces `before`; `fields` is the body of the move."""
    by = fields.get("rescheduledBy")
    waits = bool(before.event_type.confirmation) and by != before.owner.address
    was, before.moved_by = before.status, by
    state.change(before, "cancelled")
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
        responses=_responses_of_move(before.responses, reason),
        guests=before.guests,
        external=before.external,
        ics_uid=before.ics_uid,
        rescheduling_reason=reason,
        moved_from=before,
        series=before.series,
        lost_its_type=before.lost_its_type,
    )
    try:
        _add(state, booking, even_if_taken=even_if_taken)
    except RefusedError:
        state.change(before, was)
        raise
    before.moved_to = booking
    if before.location.startswith(("integrations:", BOOKER_URL)):
        booking.location = f"{BOOKER_URL}/video/{booking.uid}"
    return booking


async def announce_creation(messenger: Messenger, booking: Booking) -> None:
    """Tell the subscriptions about a new booking, or about one that waits for confirmation."""
    if booking.status == "pending":
        await messenger.announce("BOOKING_REQUESTED", booking, payloads.requested)
    else:
        await messenger.announce("BOOKING_CREATED", booking, payloads.created)


async def announce_move(messenger: Messenger, booking: Booking) -> None:
    """Tell the subscriptions about a moved booking; the old one is not announced (recorded 2026-11-21)."""
    if booking.status == "pending":
        await messenger.announce("BOOKING_REQUESTED", booking, payloads.requested)
    else:
        await messenger.announce("BOOKING_RESCHEDULED", booking, payloads.rescheduled)


async def announce_cancellation(messenger: Messenger, booking: Booking) -> None:
    """Tell the subscriptions about a cancelled booking."""
    await messenger.announce("BOOKING_CANCELLED", booking, payloads.cancelled)


async def announce_decision(messenger: Messenger, booking: Booking) -> None:
    """Tell the subscriptions that the host has confirmed a booking, or declined it."""
    if booking.status == "accepted":
        await messenger.announce("BOOKING_CREATED", booking, payloads.created)
    else:
        await messenger.announce("BOOKING_REJECTED", booking, payloads.rejected)


def _responses_of_move(responses: Json, reason: str | None) -> Json:
    kept = {name: value for name, value in responses.items() if name != "rescheduledReason"}
    return kept | ({"rescheduledReason": reason} if reason else {})


# Making bookings


def _booking(state: State, wish: Wish, host: User) -> Booking:
    return Booking(
        event_type=wish.event_type,
        owner=state.owner(wish.event_type),
        host=host,
        start=wish.start,
        end=wish.end,
        status="pending" if wish.event_type.confirmation else "accepted",
        attendees=[wish.attendee],
        location=wish.location,
        description=wish.notes,
        metadata=wish.metadata,
        responses=wish.responses,
        guests=wish.guests,
    )


def _add(state: State, booking: Booking, *, even_if_taken: bool = False) -> Booking:
    """Insert; whoever comes second with the same host, start and end loses the race (recorded 2026-11-21)."""
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
    ignored: Container[str] = _NOBODY,
    preferred: User | None = None,
) -> User:
    """
    Choose a free host, or refuse. Of hosts who take turns it is one of these, with all fixed ones free as well.

    This is the whole check: what happens until the insert is not looked at again, so two overlapping bookings that
    arrive together are both accepted (6 of 6, recorded 2026-11-21).
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


def _repeated(state: State, wish: Wish) -> Booking | None:
    """Find the booking that a repeat gets as if it were new: only these kinds of event type answer so."""
    if wish.event_type.confirmation or len(state.hosts(wish.event_type)) > 1:
        return state.find_booking(wish.event_type, wish.start, wish.attendee.email)
    return None


async def _take_seat(call: Call, wish: Wish) -> Answer:
    state, attendee = call.state, wish.attendee
    booking = state.find_booking(wish.event_type, wish.start)
    attendee.seat_uid = state.new_uuid()
    attendee.metadata = wish.metadata
    shown = {name: value for name, value in wish.responses.items() if name not in {"email", "displayEmail"}}
    attendee.responses = {**shown, "guests": wish.guests}
    if booking is None:
        host = _free_host(state, wish.event_type, wish.start, wish.end)
        await call.think()
        booking = _add(state, _booking(state, wish, host))
        # A shared booking's calendar entry has a uid of its own (recorded 2026-11-21).
        booking.ics_uid = f"{state.new_uid()}@Cal.diy"
        answer = fresh(booking)
    else:
        _refuse_seat(booking, attendee)
        await call.think()
        booking.attendees.append(attendee)
        answer = described(booking)
    await announce_creation(call.messenger, booking)
    return success(answer | {"seatUid": attendee.seat_uid}, 201)


def _refuse_seat(booking: Booking, attendee: Attendee) -> None:
    if booking.has_attendee(attendee.email):
        raise bare(409, "already_signed_up_for_this_booking_error")
    if len(booking.attendees) >= booking.event_type.seat_count:
        raise refused(409, "No more seats left at this seated booking.")


async def _create_series(call: Call, wish: Wish) -> Answer:
    """Make one booking for each occurrence, all or none; weekly is the only rhythm known."""
    state, rhythm = call.state, wish.event_type.recurrence or {}
    step = int(timedelta(weeks=rhythm["interval"]).total_seconds())
    occurrences: int = call.fields.get("recurrenceCount") or rhythm["occurrences"]
    times_apart = [step * number for number in range(occurrences)]
    hosts = [_free_host(state, wish.event_type, wish.start + apart, wish.end + apart) for apart in times_apart]
    await call.think()
    series, made = state.new_uuid(), []
    for apart, host in zip(times_apart, hosts, strict=True):
        booking = _booking(state, wish, host)
        booking.start, booking.end, booking.series = wish.start + apart, wish.end + apart, series
        made.append(_add(state, booking))
        await announce_creation(call.messenger, booking)
    return success([fresh(booking) for booking in made], 201)


# Finding bookings


def _find(call: Call, otherwise: str) -> Booking:
    uid = call.params["uid"]
    booking = call.state.bookings.get(uid)
    if booking is None:
        raise refused(404, otherwise.format(uid))
    return booking


def _own(call: Call) -> Booking:
    booking = _find(call, "Booking with uid={} was not found in the database")
    if call.caller not in (booking.owner, *booking.everybody):
        # The status is documented, the text is a guess.
        raise refused(403, "BookingPbacGuard - user is not authorized to access this booking.")
    return booking


def _pending(call: Call) -> Booking:
    booking = _own(call)
    if booking.status != "pending":
        raise coded("TRPCError", "Booking already confirmed")
    return booking


def _series(state: State, booking: Booking) -> list[Booking]:
    if booking.series is None:
        return []
    return [each for each in state.bookings.values() if each.series == booking.series]


def _refuse_dead(booking: Booking) -> None:
    uid = booking.uid
    if booking.moved_to:
        successor = booking.moved_to.uid
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


def _refuse_cancelling(call: Call, booking: Booking, reason: str | None) -> None:
    if not booking.is_live:
        raise refused(
            400,
            f"Can't cancel booking with uid={booking.uid} because it has been cancelled already. Please provide uid of "
            "a booking that is not cancelled.",
        )
    if call.state.event_types.get(booking.event_type.id, booking.event_type).cancelling_disabled:
        raise bare(400, "This event type does not allow cancellations")  # the host is bound as well (seen 2026-11-30)
    if booking.end < call.state.now():
        raise bare(400, "Cannot cancel a booking that has already ended")
    if not reason and call.user in (booking.owner, *booking.everybody):
        raise bare(400, "Cancellation reason is required")
