"""Every recorded webhook, provoked again: same headers, same fields, same spellings, right signature."""

import hashlib
import hmac
import json
import re

import pytest

from tests.contract import recordings
from tests.contract.comparing import shape
from tests.contract.receiver import receiving
from tests.contract.simulator import stage

pytestmark = recordings.needs_recordings

RECORDED = recordings.names("webhooks_recorded")

# Which recorded request makes Cal.com send it.
PROVOKED_BY = {
    "BOOKING_CANCELLED": ("booking_cancel",),
    "BOOKING_NO_SHOW_UPDATED": ("booking_mark_absent",),
    "BOOKING_REJECTED": ("booking_decline",),
    "BOOKING_REQUESTED": ("booking_create_requires_confirmation",),
    "BOOKING_RESCHEDULED": ("booking_reschedule",),
    "MEETING_ENDED.scheduled_payload": ("event_type_update_locations", "booking_create_location_phone"),
    "MEETING_STARTED.scheduled_payload": ("event_type_update_locations", "booking_create_location_phone"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_message_has_the_recorded_fields(name):
    recording = recordings.read(name, "webhooks_recorded")
    recorded = recording.get("body", recording)
    secret = recording.get("secret", "whsec")
    with stage() as on_stage, receiving() as receiver:
        subscribe(on_stage, receiver.url, recorded["triggerEvent"], secret)

        provoke(on_stage, name, recorded)

    [(headers, body)] = receiver.messages
    sent = json.loads(body)
    assert shape(sent) == shape(recorded)
    assert spellings(sent) == spellings(recorded)
    assert headers["X-Cal-Signature-256"] == hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert {name.lower() for name in recording.get("headers", {})} <= {name.lower() for name in headers}
    assert sent["triggerEvent"] == recorded["triggerEvent"]


def test_every_recorded_webhook_is_provoked():
    assert PROVOKED_BY.keys() | {"BOOKING_CREATED"} == set(RECORDED)


def test_without_a_secret_the_signature_says_so():
    with stage() as on_stage, receiving() as receiver:
        subscribe(on_stage, receiver.url, "BOOKING_CANCELLED", None)

        on_stage.replay("booking_cancel")

    [(headers, _)] = receiver.messages
    assert headers["X-Cal-Signature-256"] == "no-secret-provided"


def subscribe(on_stage, url, trigger, secret):
    on_stage.replay("me")
    subscription = {"subscriberUrl": url, "triggers": [trigger], "active": True, "secret": secret}
    assert on_stage.send("POST", "/v2/webhooks", subscription).status == 201


def provoke(on_stage, name, recorded):
    """Do what makes Cal.com send the message."""
    for request in PROVOKED_BY.get(name, ()):
        on_stage.replay(request)
    if name.startswith("MEETING"):
        on_stage.simulator.announce_meeting(on_stage.uids[recorded["uid"]], recorded["triggerEvent"])
    if name == "BOOKING_CREATED":
        payload = recorded["payload"]
        attendee = {key: payload["attendees"][0][key] for key in ("name", "email", "timeZone", "phoneNumber")}
        booking = {"start": payload["startTime"], "eventTypeId": payload["eventTypeId"], "attendee": attendee}
        on_stage.send("POST", "/v2/bookings", booking | {"metadata": payload["metadata"]})


def spellings(value):
    """Reduce every moment in a message to the way it is written."""
    return {
        field: re.sub(r"\d", "0", content)
        for part in recordings.objects(value)
        for field, content in part.items()
        if field.lower().endswith("time") and isinstance(content, str)
    }
