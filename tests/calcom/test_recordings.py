"""What the real Cal.com answered, understood by our client."""

import re

import orjson
import pytest
from requests.structures import CaseInsensitiveDict

from calcom.errors import CalcomError, OutcomeUnknown, Reason, Refused, Unavailable
from calcom.http import parsing
from calcom.http.transport import Answer
from tests.contract import recordings

# Operations we use, and what makes values of their answers.
PARSERS = (
    (r"GET /v2/slots\?", parsing.slots),
    (r"(POST /v2/bookings|GET /v2/bookings/\w+|POST /v2/bookings/\w+/(cancel|reschedule))$", parsing.booking),
    (r"GET /v2/bookings(\?|$)", parsing.listed_bookings),
    (r"GET /v2/event-types(\?|$)", parsing.event_types),
    (r"GET /v2/me$", parsing.person),
)
# Successes that are not what we asked for: other versions, and event types that make several appointments of one.
OTHER_SHAPE = {"booking_create_recurring", "booking_recurring_cancel_following", "event_types_no_version"}
REASONS = {
    Reason.NOT_AVAILABLE: {
        "booking_create_conflict_other",
        "booking_create_conflict_same",
        "booking_create_outside_hours",
        "booking_create_overlap",
        "booking_create_race_lost_409",
        "booking_create_seat_full",
        "booking_create_seat_same_attendee",
        "booking_reschedule_conflict",
    },
    Reason.OUT_OF_BOUNDS: {"booking_create_too_far", "booking_create_too_soon"},
    Reason.IN_PAST: {"booking_create_past"},
    Reason.ALREADY_CANCELLED: {"booking_cancel_twice", "booking_reschedule_cancelled"},
    Reason.ALREADY_MOVED: {"booking_reschedule_old_uid"},
    Reason.ALREADY_ENDED: {"booking_cancel_past"},
    Reason.NOT_FOUND: {
        "booking_cancel_404",
        "booking_create_bad_event",
        "booking_get_404",
        "slots_404",
        "slots_slug_404",
    },
    Reason.UNAUTHORIZED: {
        "booking_create_requires_auth_anon",
        "booking_create_requires_auth_other",
        "bookings_list_no_auth",
        "err_401_bad_key",
        "err_401_bad_token",
        "err_401_no_auth",
    },
}
REASON_OF = {name: reason for reason, names in REASONS.items() for name in names}


def parser_of(name: str):
    """Return what understands the answer of a recording, None if we never ask such a thing."""
    request = recordings.read(name)["request"]
    asked = f"{request['method']} {request['path']}"
    return next((parse for pattern, parse in PARSERS if re.match(pattern, asked)), None)


USED = [name for name in recordings.names() if not name.startswith("_") and parser_of(name)]


def understood(name: str) -> object:
    """Return what the answer of a recording means."""
    recording = recordings.read(name)
    response = recording["response"]
    given = Answer(response["status"], CaseInsensitiveDict(response["headers"]), orjson.dumps(response["body"]))
    return parsing.read(given, parser_of(name), write=recording["request"]["method"] == "POST")


@recordings.needs_recordings
@pytest.mark.parametrize("name", USED)
def test_a_recorded_answer_means_what_it_meant(name):
    """FM-45, FM-70: a value, a no with its reason, a pause, or nothing anybody may rely on."""
    status = recordings.read(name)["response"]["status"]

    if status < 300 and name not in OTHER_SHAPE:
        assert understood(name) is not None
        return
    with pytest.raises(CalcomError) as caught:
        understood(name)

    if name in OTHER_SHAPE or status == 304:
        assert isinstance(caught.value, OutcomeUnknown | Unavailable)
    elif status == 429:
        assert isinstance(caught.value, Unavailable)
    else:
        assert isinstance(caught.value, Refused)
        assert caught.value.reason is REASON_OF.get(name, Reason.INVALID)


@recordings.needs_recordings
def test_no_recorded_refusal_quotes_a_uid_or_an_address():
    """FM-83: whatever Cal.com puts into its sentences."""
    known = {uid for name in recordings.names() for uid in re.findall(r"uid=(\w{8,})", str(recordings.read(name)))}

    told = []
    for name in USED:
        try:
            understood(name)
        except CalcomError as exc:
            told.append(str(exc))

    assert known
    assert not [text for text in told if "@" in text or any(uid in text for uid in known)]
