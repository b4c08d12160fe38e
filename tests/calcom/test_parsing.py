"""What Cal.com's answers mean. The texts are as recorded; everything else is invented."""

from datetime import UTC, datetime

import orjson
import pytest
import time_machine
from requests.structures import CaseInsensitiveDict

from calcom.errors import OutcomeUnknown, Reason, Refused, Unavailable
from calcom.http import parsing
from calcom.http.transport import Answer
from calcom.types import RemoteState, UnsupportedReason

UID = "k7Qp2ZtW9aXcV4bN8mLs1D"
BUSY = "User either already has booking at this time or is not available"
TOO_SOON = "The event type can't be booked at the \"start\" time provided. This could be because it's too soon"
MOVED = f"Can't reschedule booking with uid={UID} because it has been cancelled and rescheduled already to uid=x"

BOOKING = {
    "uid": UID,
    "status": "accepted",
    "start": "2026-11-24T15:00:00.000Z",
    "end": "2026-11-24T16:30:00.000+01:00",
    "eventTypeId": 1,
    "hosts": [{"id": 102, "name": "Emma"}],
    "attendees": [{"name": "Anna Schmidt", "email": "Anna@Example.com", "phoneNumber": "+4915112345678"}],
    "metadata": {parsing.METADATA_KEY: "bk_1"},
    "createdAt": "2026-11-21T00:11:18.775Z",
    "updatedAt": "2026-11-21T00:11:18.945Z",
}
EVENT_TYPE = {
    "id": 1,
    "title": "Haircut",
    "slug": "haircut",
    "lengthInMinutes": 30,
    "bookingFields": [
        {"type": "name", "slug": "name", "required": True},
        {"type": "email", "slug": "email", "required": True, "hidden": False},
        {"type": "textarea", "slug": "rescheduleReason", "required": True},
        {"type": "textarea", "slug": "notes", "required": False},
    ],
    "recurrence": None,
    "seats": {"disabled": True},
    "confirmationPolicy": {"disabled": True},
    "price": 0,
    "users": [{"id": 102, "name": "Emma", "username": "emma"}],
}


def answer(status: int, body: object, **headers: str) -> Answer:
    """Return an answer; a body that is not bytes becomes JSON."""
    return Answer(status, CaseInsensitiveDict(headers), body if isinstance(body, bytes) else orjson.dumps(body))


def wrapped(message: str) -> object:
    """Return the commonest shape of an error."""
    return {"status": "error", "error": {"code": "BadRequestException", "message": message, "details": {}}}


def bare(message: str) -> object:
    """Return the shape without envelope."""
    return {"statusCode": 400, "message": message}


def outcome_of(given: Answer, *, write: bool) -> Exception:
    """Return the error that the answer means."""
    with pytest.raises((Unavailable, Refused, OutcomeUnknown)) as caught:
        parsing.read(given, parsing.booking, write=write)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, wrapped(BUSY), Reason.NOT_AVAILABLE),
        (400, wrapped(BUSY.replace("User", "One of the hosts")), Reason.NOT_AVAILABLE),
        (409, bare("booking_conflict_error"), Reason.NOT_AVAILABLE),
        (409, wrapped("No more seats left at this seated booking."), Reason.NOT_AVAILABLE),
        (409, bare("already_signed_up_for_this_booking_error"), Reason.NOT_AVAILABLE),
        (400, wrapped(TOO_SOON), Reason.OUT_OF_BOUNDS),
        (400, wrapped("Attempting to book a meeting in the past."), Reason.IN_PAST),
        (400, wrapped(MOVED), Reason.ALREADY_MOVED),
        (
            400,
            wrapped(f"Can't cancel booking with uid={UID} because it has been cancelled already."),
            "already_cancelled",
        ),
        (400, wrapped(f"Can't reschedule booking with uid={UID} because it has been cancelled."), "already_cancelled"),
        (400, bare("Cannot cancel a booking that has already ended"), Reason.ALREADY_ENDED),
        (404, wrapped(f"Booking with uid={UID} was not found in the database"), Reason.NOT_FOUND),
        (404, wrapped("Event type with id 99999 not found."), Reason.NOT_FOUND),
        (404, wrapped("Cannot GET /v2/slots?eventTypeId=1"), Reason.INVALID),
        (404, wrapped("Cannot POST /v2/bookings"), Reason.INVALID),
        (401, wrapped("CustomThrottlerGuard - Invalid API Key"), Reason.UNAUTHORIZED),
        (403, wrapped("PermissionsGuard - no authentication provided."), Reason.UNAUTHORIZED),
        (400, bare("Cancellation reason is required"), Reason.INVALID),
        (
            400,
            {"error": {"code": "BAD_REQUEST", "message": "responses - {email}error_required_field, "}},
            Reason.INVALID,
        ),
        (400, wrapped("Bad Request Exception"), Reason.INVALID),
        (400, b"[]", Reason.INVALID),
        (403, b"", Reason.UNAUTHORIZED),
    ],
)
@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
def test_a_no_is_understood_by_its_text(status, body, reason, write):
    """FM-45: each of the five error bodies is a no with a reason; nothing changed there."""
    refused = outcome_of(answer(status, body), write=write)

    assert isinstance(refused, Refused)
    assert refused.reason == reason


@pytest.mark.parametrize(
    "given",
    [
        answer(500, {"statusCode": 500, "message": "Internal server error"}),
        answer(502, b"<html>Bad gateway</html>"),
        answer(408, b""),
        answer(418, b"<html>"),  # from a proxy, not Cal.com
        answer(400, b'{"status":"error","error":{"mess'),
        answer(302, b"", Location="https://elsewhere.example"),
        answer(201, b'{"status":"success","data":{"uid":'),
        answer(201, {"status": "success"}),
        answer(201, {"status": "success", "data": [BOOKING]}),
        answer(200, {"status": "success", "data": {"eventTypeGroups": []}}),
        answer(200, {"status": "success", "data": {**BOOKING, "status": "teleported"}}),
        answer(200, {"status": "success", "data": {**BOOKING, "start": "2026-11-24T15:00:00"}}),
        answer(200, {"status": "success", "data": {**BOOKING, "uid": None}}),
        answer(200, {"status": "success", "data": "yes"}),
        answer(200, [BOOKING]),
    ],
)
def test_without_an_answer_we_understand_a_write_is_unknown_and_a_read_failed(given):
    """FM-04, FM-15: a 5xx, another shape or an unreadable refusal does not prove that nothing was booked."""
    assert isinstance(outcome_of(given, write=True), OutcomeUnknown)
    assert isinstance(outcome_of(given, write=False), Unavailable)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset-Default": "17"}, 17),
        ({"x-ratelimit-reset-burst": "5", "X-RateLimit-Reset-Minute": "42"}, 42),
        ({"X-RateLimit-Reset-Default": "1795262430"}, 30),
        ({"X-RateLimit-Reset-Default": "soon"}, 60),
        ({}, 60),
    ],
    ids=["seconds", "several limits", "Unix time", "nonsense", "absent"],
)
@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
def test_the_limit_says_how_long_to_wait(headers, seconds, write):
    """FM-43: nothing happened, and the pause is what Cal.com asks for, a minute if it does not say."""
    with time_machine.travel(datetime.fromtimestamp(1_795_262_400, UTC), tick=False):
        unavailable = outcome_of(answer(429, b"", **headers), write=write)

    assert isinstance(unavailable, Unavailable)
    assert unavailable.retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    "secret", [UID, f"uid={UID}", "anna@example.com", "?attendeeEmail=anna%40example.com", "+4915112345678"]
)
def test_a_refusal_repeats_nothing_private(secret):
    """FM-83: what Cal.com quotes from the request does not get into our logs."""
    refused = outcome_of(answer(400, wrapped(f"Missing field insurer {secret}, please")), write=True)

    assert secret.removeprefix("uid=") not in str(refused)
    assert "Missing field insurer" in str(refused)


def test_a_booking_is_read():
    """FM-70: nested values are found where they were recorded, instants are UTC whatever their spelling."""
    booking = parsing.booking(BOOKING)

    assert (booking.uid, booking.state, booking.event_type_id) == (UID, RemoteState.ACCEPTED, 1)
    assert booking.start == datetime(2026, 11, 24, 15, tzinfo=UTC)
    assert booking.end == datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
    assert booking.host_ids == [102]
    assert booking.attendee_email == "anna@example.com"
    assert booking.appointment_id == "bk_1"


def test_a_booking_made_elsewhere_is_read():
    """FM-71: no metadata, no attendees, a chain of uids."""
    elsewhere = {**BOOKING, "metadata": None, "attendees": [], "rescheduledFromUid": "a", "rescheduledToUid": "b"}

    booking = parsing.booking(elsewhere)

    assert booking.appointment_id is None
    assert booking.attendee_email == ""
    assert (booking.rescheduled_from_uid, booking.rescheduled_to_uid) == ("a", "b")


OTHERWISE = [None, "other", 5, True, [], {}, [None, 5, "x"]]
NEEDED = {"uid", "status", "start", "end"}


def altered(body):
    """Yield the name of each member and the body without it, and with a value of each other kind instead."""
    for name in body:
        yield name, {each: value for each, value in body.items() if each != name}
        yield from ((name, {**body, name: value}) for value in OTHERWISE)


def test_booking_needs_only_what_a_decision_needs():
    """Whatever else is missing or of another kind, the booking is read."""
    for name, body in altered(BOOKING):
        if name not in NEEDED:
            booking = parsing.booking(body)
            assert (booking.uid, booking.state, booking.start) == (
                UID,
                RemoteState.ACCEPTED,
                parsing.instant(BOOKING["start"]),
            )


@pytest.mark.parametrize("moved", [{}, {"rescheduledToUid": "next"}])
def test_unreadable_member_hides_no_cancellation(moved):
    """A booking that was cancelled or moved is known to be so by its uid and status alone."""
    cancelled = {**BOOKING, "status": "cancelled", **moved}
    for name, body in altered(cancelled):
        if name not in {"uid", "status", "rescheduledToUid"}:
            booking = parsing.booking(body)
            assert (booking.state, booking.rescheduled_to_uid) == (RemoteState.CANCELLED, moved.get("rescheduledToUid"))


def test_booking_ends_after_its_duration_where_its_end_is_unreadable():
    """Either says it."""
    assert parsing.booking({**BOOKING, "end": None, "duration": 30}).end == parsing.booking(BOOKING).end


@pytest.mark.parametrize("name", ["uid", "status", "start"])
def test_booking_without_a_needed_member_is_of_another_shape(name):
    """A wrong version header is noticed by that."""
    with pytest.raises(parsing.UNREADABLE):
        parsing.booking({each: value for each, value in BOOKING.items() if each != name})


def test_event_type_needs_only_its_id():
    """One odd member makes neither the type nor the others of the list unreadable."""
    for name, body in altered({**EVENT_TYPE, "bookingLimitsCount": {"day": 2}, "bookingWindow": {"rolling": True}}):
        if name != "id":
            found, whole = parsing.event_types([body, {**EVENT_TYPE, "id": 2}])
            assert (found.id, whole.id) == (1, 2)


def test_key_owner_needs_only_an_id():
    """The name is for people, the time zone a default."""
    for name, body in altered({"id": 101, "name": "Salon", "username": "salon", "timeZone": "Europe/Berlin"}):
        if name != "id":
            assert parsing.person(body).id == 101


def test_nothing_private_is_printed_with_a_booking():
    """FM-83: a booking in a log line or a traceback reveals neither the caller nor the uid."""
    printed = repr(parsing.booking({**BOOKING, "rescheduledFromUid": UID[::-1]}))

    assert not any(each in printed for each in (UID, UID[::-1], "anna", "Anna", "4915112345678"))


def test_slots_are_epoch_minutes_in_order_and_once():
    """FM-50, FM-54: the day keys are ignored, offsets are honoured, doubles are dropped."""
    data = {
        "2026-11-25": [{"start": "2026-11-25T01:00:00.000+09:00"}],
        "2026-11-24": [{"start": "2026-11-24T14:00:00.000Z"}, {"start": "2026-11-24T09:00:00.000-05:00"}],
    }

    starts = parsing.slots(data)

    assert [datetime.fromtimestamp(start * 60, UTC).strftime("%d %H:%M") for start in starts] == [
        "24 14:00",
        "24 16:00",
    ]
    assert parsing.slots({}) == []


def test_an_event_type_without_obstacles_is_read():
    """FM-61: what Cal.com asks for anyway is not a required field of ours."""
    [haircut] = parsing.event_types([EVENT_TYPE])

    assert (haircut.id, list(haircut.lengths), haircut.before_buffer, haircut.notice) == (1, [30], 0, 0)
    assert [host.id for host in haircut.hosts] == [102]
    assert list(haircut.required_fields) == []
    assert list(haircut.unsupported_reasons) == []


def test_required_fields_are_read_with_their_options():
    """FM-61: hidden ones are left out; options come as text or as value and label."""
    fields = [
        *EVENT_TYPE["bookingFields"],
        {"type": "select", "slug": "insurance", "required": True, "options": ["A", {"value": "b", "label": "B"}]},
        {"type": "text", "slug": "secret", "required": True, "hidden": True},
        {"type": "number", "slug": "age", "required": False},
        {"type": "radioInput", "slug": "location", "required": True},
        {"type": "phone", "slug": "attendeePhoneNumber", "required": True, "label": "Mobile"},
    ]

    [haircut] = parsing.event_types([{**EVENT_TYPE, "bookingFields": fields}])

    assert list(haircut.required_fields) == [
        {"slug": "insurance", "type": "select", "options": ["A", "b"]},
        {"slug": "attendeePhoneNumber", "type": "phone", "options": [], "label": "Mobile"},
    ]
    assert list(haircut.unsupported_reasons) == []


@pytest.mark.parametrize(
    ("changes", "unsupported_reason"),
    [
        ({"seats": {"disabled": False, "seatsPerTimeSlot": 3}}, UnsupportedReason.SEATS),
        ({"recurrence": {"disabled": False, "interval": 1}}, UnsupportedReason.RECURRENCE),
        ({"schedulingType": "managed"}, UnsupportedReason.MANAGED),
        ({"bookingFields": [{"type": "email", "slug": "email", "required": False}]}, UnsupportedReason.PHONE_FIRST),
        (
            {"bookingFields": [{"type": "email", "slug": "email", "required": True, "hidden": True}]},
            UnsupportedReason.PHONE_FIRST,
        ),
        ({"bookingFields": [{"type": "number", "slug": "age", "required": True}]}, UnsupportedReason.NUMBER_FIELD),
        ({"requiresBookerEmailVerification": True}, UnsupportedReason.EMAIL_CODE),
        ({"price": 4500}, UnsupportedReason.PAYMENT),
        ({"users": []}, UnsupportedReason.NO_HOSTS),
    ],
)
def test_what_cannot_be_served_is_noticed(changes, unsupported_reason):
    """FM-61: each with a sentence for staff."""
    [found] = parsing.event_types([{**EVENT_TYPE, **changes}])

    assert list(found.unsupported_reasons) == [unsupported_reason]
    assert unsupported_reason.sentence


@pytest.mark.parametrize(
    ("scheduling", "fixed"), [("roundRobin", [True, False]), ("collective", [True, True]), (None, [True, False])]
)
def test_hosts_who_attend_each_booking_are_read(scheduling, fixed):
    """Those who are mandatory, and all of a collective type, which can be served."""
    hosts = [{"userId": 7, "mandatory": True}, {"userId": 8, "mandatory": False}]

    found = parsing.event_type({**EVENT_TYPE, "hosts": hosts, "schedulingType": scheduling})

    assert [host.fixed for host in found.hosts] == fixed
    assert list(found.unsupported_reasons) == []


def test_everybody_whom_a_booking_names_is_read():
    """Hosts with their ids; the others beside the organizer stand among the attendees."""
    attendees = [*BOOKING["attendees"], {"name": "Ben", "email": "Ben@salon.example"}, 5]

    booking = parsing.booking({**BOOKING, "hosts": [{"id": 102, "name": "Emma"}], "attendees": attendees})

    assert [(person.id, person.name, person.email) for person in booking.people] == [
        (102, "Emma", ""),
        (None, "Anna Schmidt", "anna@example.com"),
        (None, "Ben", "ben@salon.example"),
    ]


def test_hosts_of_a_team_are_read():
    """FM-22: teams list their hosts under another name than people do."""
    [found] = parsing.event_types([{**EVENT_TYPE, "hosts": [{"userId": 7, "name": None, "username": "ben"}]}])

    assert [(host.id, host.name) for host in found.hosts] == [(7, "ben")]
