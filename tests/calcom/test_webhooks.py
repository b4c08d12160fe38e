"""Webhooks: signature, identity of the event, and parsing."""

import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcom.http.parsing import METADATA_KEY
from calcom.types import RemoteState
from calcom.webhooks import messages
from calcom.webhooks.events import AbsenceMarked, BookingWebhook, HostAway, Ignored, MeetingEnded
from calcom.webhooks.signature import is_genuine
from tests.calcom.webhooks import OLD_UID, PAYLOAD, SECRET, UID, body_of, sign
from tests.contract import recordings

TEN = datetime(2027, 3, 1, 10, tzinfo=UTC)


def event_of(trigger: str, **changes: object) -> BookingWebhook:
    """Return the event of a webhook about the booking."""
    event = messages.parse(messages.read(body_of(trigger, **{**PAYLOAD, **changes})))
    assert isinstance(event, BookingWebhook)
    return event


def identity(trigger: str, **payload: object) -> str:
    """Return the identity of the event of a webhook."""
    return messages.label(messages.read(body_of(trigger, **payload))).identity


# --- genuine -----------------------------------------------------------------------------------------------------


def test_only_the_signature_of_the_exact_body_is_genuine():
    """FM-76: a space more, another secret, the right digest in capitals or none: all are refused."""
    body = body_of("BOOKING_CREATED", **PAYLOAD)
    signature = sign(body)

    assert is_genuine(secret=SECRET, body=body, signature=signature)

    for wrong in ("", "no-secret-provided", signature.upper(), sign(body, "another"), signature[:-1], "é" * 64):
        assert not is_genuine(secret=SECRET, body=body, signature=wrong)
    assert not is_genuine(secret=SECRET, body=body + b" ", signature=signature)


def test_without_a_secret_nothing_is_genuine():
    """FM-76: an account that was set up without one must not take the text that Cal.com sends then."""
    for signature in ("no-secret-provided", "", sign(b"{}", "")):
        assert not is_genuine(secret="", body=b"{}", signature=signature)
    assert not is_genuine(secret="no-secret-provided", body=b"{}", signature="no-secret-provided")


# --- recorded ----------------------------------------------------------------------------------------------------


@recordings.needs_recordings
@pytest.mark.parametrize("name", recordings.names("webhooks_recorded"))
def test_recorded_messages_are_genuine_and_understood(name):
    """FM-70: names with underscores, nothing stripped; only the start of a meeting says nothing to us."""
    recording = recordings.read(name, "webhooks_recorded")
    raw = recording.get("raw_body") or json.dumps(recording.get("body", recording))
    if signature := recording.get("headers", {}).get("X-Cal-Signature-256"):
        assert is_genuine(secret=recording["secret"], body=raw.encode(), signature=signature)

    body = messages.read(raw.encode())

    assert messages.label(body).uid
    if body["triggerEvent"] == "MEETING_STARTED":
        with pytest.raises(Ignored):
            messages.parse(body)
    else:
        assert messages.parse(body)


@recordings.needs_recordings
@pytest.mark.parametrize("name", recordings.names("webhooks_docs"))
def test_documented_messages_are_parsed_or_ignored(name):
    """FM-75: whatever the trigger, there is an answer, and never an error."""
    body = messages.read(json.dumps(recordings.read(name, "webhooks_docs")).encode())

    label = messages.label(body)
    try:
        understood = bool(messages.parse(body))
    except Ignored:
        understood = False

    assert label.trigger == body["triggerEvent"]
    known = {"BOOKING_PAID", "BOOKING_NO_SHOW_UPDATED", "OOO_CREATED"}
    assert understood == (label.trigger in known)


# --- what it says ------------------------------------------------------------------------------------------------


def test_booking_webhook_is_parsed_in_full():
    """FM-71: the uid is the new one, the number is nothing to us; our id comes in the metadata."""
    event = event_of("BOOKING_RESCHEDULED", rescheduleUid=OLD_UID, bookingId=8, metadata={METADATA_KEY: "bk_1"})

    booking = event.booking
    assert (booking.uid, booking.rescheduled_from_uid, booking.appointment_id) == (UID, OLD_UID, "bk_1")
    assert (booking.state, booking.start, booking.event_type_id) == (RemoteState.ACCEPTED, TEN, 1)
    assert (booking.host_ids, booking.attendee_email) == ([102], "anna@example.com")
    assert event.is_certain


@pytest.mark.parametrize("spelling", ["2027-03-01T10:00:00Z", "2027-03-01T10:00:00+00:00", "2027-03-01T10:00:00.000Z"])
def test_three_spellings_of_time_are_one_instant(spelling):
    """Each trigger spells its times in another way (recorded 2026-11-21)."""
    assert event_of("BOOKING_CREATED", startTime=spelling).booking.start == TEN
    usual = identity("BOOKING_CREATED", **PAYLOAD)
    assert identity("BOOKING_CREATED", **{**PAYLOAD, "startTime": spelling}) == usual


@pytest.mark.parametrize(
    ("trigger", "state"),
    [
        ("BOOKING_CREATED", RemoteState.ACCEPTED),
        ("BOOKING_REQUESTED", RemoteState.PENDING),
        ("BOOKING_CANCELLED", RemoteState.CANCELLED),
        ("BOOKING_REJECTED", RemoteState.REJECTED),
    ],
)
def test_a_message_without_status_and_metadata_is_understood(trigger, state):
    """Metadata is absent from cancellations and rejections (recorded 2026-11-21)."""
    event = event_of(trigger, status=None, metadata=None)

    assert (event.booking.state, event.booking.appointment_id, event.is_certain) == (state, None, True)


def test_webhook_of_one_seat_is_not_certain():
    """One attendee of several cancels; the others still come."""
    assert not event_of("BOOKING_CANCELLED", status="ACCEPTED").is_certain
    assert not event_of("BOOKING_CREATED", attendeeSeatId="seat-1").is_certain


def test_flat_messages_are_understood():
    """MEETING_ENDED has no payload; its fields lie beside the trigger."""
    flat = orjson.dumps({"triggerEvent": "MEETING_ENDED", "uid": UID, "startTime": "2027-03-01T10:00:00.000Z"})

    assert messages.parse(messages.read(flat)) == MeetingEnded(UID)


def test_absence_and_holidays_are_understood():
    """A no-show says `bookingUid` where others say `uid`; an absence is about no booking."""
    marked = body_of("BOOKING_NO_SHOW_UPDATED", bookingUid=UID, attendees=[{"email": "A@b.example", "noShow": True}])
    entry = {"user": {"id": 102}, "start": "2027-03-01T00:00:00+00:00", "end": "2027-03-07T23:59:59+00:00"}

    event = messages.parse(messages.read(marked))
    away = messages.parse(messages.read(body_of("OOO_CREATED", oooEntry=entry)))

    assert event == AbsenceMarked(UID, absent=frozenset({"a@b.example"}), present=frozenset())
    assert isinstance(away, HostAway)
    assert (away.host_id, away.start.day) == (102, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": None},
        {"uid": "x" * 101},
    ],
)
def test_unusable_webhook_is_ignored_with_its_reason(wrong):
    """FM-75: kept and flagged; the reason quotes nothing of the body."""
    with pytest.raises(Ignored, match="its shape is unknown") as caught:
        event_of("BOOKING_CREATED", **wrong)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("trigger", ["BOOKING_CREATED", "BOOKING_CANCELLED", "BOOKING_RESCHEDULED"])
def test_optional_members_of_a_webhook_may_be_missing(trigger):
    """Whatever else is missing or of another kind, it says what became of which booking."""
    payload = {**PAYLOAD, "status": None, "rescheduleUid": OLD_UID, "metadata": {METADATA_KEY: "bk_1"}}
    for name in set(payload) - {"uid"}:
        for value in (None, 5, True, "soon", "9999-12-31T23:59:59-23:59", [], {}, [1]):
            event = event_of(trigger, **{**payload, name: value})
            has_times = event.booking.start == TEN and event.booking.end > TEN
            assert event.booking.uid == UID
            assert event.booking.state.takes_time == (trigger != "BOOKING_CANCELLED")
            assert event.booking.rescheduled_from_uid == OLD_UID or name == "rescheduleUid"
            assert event.is_certain == (has_times or trigger == "BOOKING_CANCELLED")


# --- secrets -----------------------------------------------------------------------------------------------------


def test_one_time_passwords_are_removed_when_read():
    """Who has one may confirm the booking; wherever it stands in the body."""
    deep = {"oneTimePassword": "otp-1", "attendees": [{"oneTimePassword": "otp-2", "name": "Anna"}]}
    videos = {"videoCallData": {"password": "otp-3", "type": "daily_video"}, "downloadLink": "otp-4"}

    read = messages.read(body_of("BOOKING_REQUESTED", **{**PAYLOAD, **deep, **videos}))

    assert "otp-" not in json.dumps(read)
    assert read["payload"]["attendees"] == [{"name": "Anna"}]
    assert read["payload"]["videoCallData"] == {"type": "daily_video"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'"x"', b'{"triggerEvent": 1}', b"[" * 5000, b'{"triggerEvent": "X", "payload": {"a"'],
)
def test_what_is_no_webhook_is_refused(body):
    """Truncated, empty, of another kind, nested without end."""
    with pytest.raises(ValueError, match=r".+"):
        messages.read(body)


def test_nesting_and_null_characters_are_bounded():
    """Neither the recursion of Python nor the text of PostgreSQL is anybody's to break."""
    deep = '{"triggerEvent": "X", "payload": ' + '{"a":' * 200 + "1" + "}" * 201
    with pytest.raises(ValueError, match="Nested"):
        messages.read(deep.encode())

    assert messages.read(rb'{"triggerEvent": "X", "pay\u0000load": {"a": "b\u0000"}}')["payload"] == {"a": "b"}


# --- one event, one identity -------------------------------------------------------------------------------------


def test_messages_of_two_subscriptions_have_one_identity():
    """FM-72: `createdAt` differs by 1 ms, hence body and signature; the event is the same."""
    first = messages.read(body_of("BOOKING_CREATED", **PAYLOAD))
    second = {**first, "createdAt": "2026-11-21T00:19:13.295Z"}

    assert messages.label(first) == messages.label(second)


@pytest.mark.parametrize(
    "other",
    [
        {"uid": OLD_UID},
        {"startTime": "2027-03-01T10:15:00Z"},
        {"status": "CANCELLED"},
        {"attendeeSeatId": "seat-1"},
        {"rescheduleUid": OLD_UID},
    ],
)
def test_different_events_have_different_identities(other):
    """FM-72: uid, start, status, seat and earlier uid."""
    assert identity("BOOKING_CREATED", **PAYLOAD) != identity("BOOKING_CREATED", **{**PAYLOAD, **other})
    assert identity("BOOKING_CREATED", **PAYLOAD) != identity("BOOKING_PAID", **PAYLOAD)


def test_identity_without_a_booking_is_of_the_whole_payload():
    """Two absences of two people are two events; so are marking a no-show and taking that back."""
    assert identity("OOO_CREATED", oooEntry={"id": 1}) != identity("OOO_CREATED", oooEntry={"id": 2})
    marks = [[{"email": "a@b.example", "noShow": absent}] for absent in (True, False)]
    assert len({identity("BOOKING_NO_SHOW_UPDATED", bookingUid=UID, attendees=each) for each in marks}) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["uid", "bookingUid", "startTime", "endTime", "status", "eventTypeId", "organizer", "attendees", "metadata"]
)


@given(
    trigger=st.sampled_from(["BOOKING_CREATED", "BOOKING_CANCELLED", "MEETING_ENDED", "BOOKING_NO_SHOW_UPDATED"]),
    payload=JSON | st.dictionaries(FIELDS, JSON),
)
def test_no_body_of_any_shape_is_an_error(trigger, payload):
    """FM-75: it is read, labelled, and parsed or ignored."""
    try:
        body = messages.read(orjson.dumps({"triggerEvent": trigger, "payload": payload}))
        messages.label(body)
        messages.parse(body)
    except Ignored:
        pass
