"""A simulator in the dataset that the recordings presume, and the recorded requests sent to it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from calcom.simulator import Dataset, EventType, Hours, Simulator, User
from tests.contract import recordings
from tests.contract.api_user import Answer, ApiUser
from tests.contract.comparing import translated

OWNER, STRANGER = "cal_owner", "cal_stranger"
PHONE_FIRST = 9

# When the recordings were made, so that what was past or too soon then still is.
RECORDED_AT = datetime.fromisoformat("2026-11-21T00:35:00+00:00")

# The recordings do not show the key. These were made with another one than the owner's.
KEYS = {
    "booking_cancel_other_user": STRANGER,
    "booking_create_requires_auth_other": STRANGER,
    "booking_get_other_user": STRANGER,
    "bookings_as_attendee_scope": STRANGER,
    "ok_after_block_headers": STRANGER,
    "reservation_duration_other_user": STRANGER,
    "webhook_get_other_user": STRANGER,
    "err_401_bad_key": "cal_unknown",
    "err_401_bad_token": "no-such-token",
}


@dataclass
class Stage:
    """The simulator, and which of its uids stands for which recorded one."""

    simulator: Simulator
    has_event_types: bool = False
    uids: dict[str, str] = field(default_factory=dict)

    def replay(self, name: str) -> Answer:
        """Send a recorded request, after making what its path and query presume, and learn the new uids."""
        recording = recordings.read(name)
        request = recording["request"]
        self._provide_event_types(recording)
        self._provide_what_is_named(recording)
        headers = dict(request["headers"])
        if "Authorization" in headers:
            headers["Authorization"] = f"Bearer {KEYS.get(name, OWNER)}"
        body = json.loads(translated(json.dumps(request["body"]), self.uids))
        answer = self.send(request["method"], translated(request["path"], self.uids), body, headers)
        self._learn(recording["response"]["body"], answer.body)
        return answer

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request as it is; without headers it is the owner's, in the right version."""
        return ApiUser(self.simulator, OWNER).send(method, path, body, headers)

    def _provide_event_types(self, recording: Any) -> None:
        """Create the event types that existed: those listed, those before the one created, or all."""
        if self.has_event_types:
            return
        self.has_event_types = True
        creations = [recordings.read(name) for name in recordings.names() if name.startswith("event_type_create")]
        made = sorted((each for each in creations if each["response"]["status"] == 201), key=_made_id)
        if recording in made:
            made = made[: made.index(recording)]
        elif listed := _listed_event_types(recording):
            made = [each for each in made if _made_id(each) in listed]
        for creation in made:
            self.send("POST", "/v2/event-types", creation["request"]["body"])

    def _provide_what_is_named(self, recording: Any) -> None:
        """Make the booking, reservation or webhook that the request names, if nothing before has made it."""
        request = recording["request"]
        for uid in re.findall(r"(?<=[/=])(?:[0-9A-Za-z]{22}|[0-9a-f-]{36})\b", request["path"]):
            if uid in self.uids:
                continue
            if request["path"].startswith(("/v2/bookings", "/v2/slots?")):
                # One that no answer shows is like the one it became.
                wanted = recordings.bookings().get(uid) or recording["response"]["body"]["data"]
                self.uids[uid] = self._book(wanted)
            elif "reservations" in request["path"]:
                answer = self.send("POST", "/v2/slots/reservations", request["body"])
                self.uids[uid] = answer.body["data"]["reservationUid"]
            else:
                wanted = recording["response"]["body"]["data"]
                fields = {name: wanted[name] for name in ("subscriberUrl", "triggers", "active")}
                self.uids[uid] = self.send("POST", "/v2/webhooks", fields).body["data"]["id"]

    def _book(self, booking: Any) -> str:
        attendee = booking["attendees"][0]
        event_type = self.send("GET", f"/v2/event-types/{booking['eventTypeId']}").body["data"]
        made = self.simulator.book_elsewhere(
            booking["eventTypeId"],
            booking["start"],
            name=attendee["name"],
            email=attendee["email"],
            phone=attendee.get("phoneNumber"),
            time_zone=attendee["timeZone"],
            metadata=booking.get("metadata"),
            minutes=booking["duration"],
            status="accepted" if "disabled" in event_type["confirmationPolicy"] else "pending",
            webhook=False,
        )
        return str(made["uid"])

    def _learn(self, recorded: Any, answered: Any) -> None:
        if isinstance(recorded, dict) and isinstance(answered, dict):
            for name in recorded.keys() & answered.keys():
                is_uid = name.lower().endswith("uid") or name == "id"
                if is_uid and isinstance(recorded[name], str) and isinstance(answered[name], str):
                    self.uids[recorded[name]] = answered[name]
                self._learn(recorded[name], answered[name])
        elif isinstance(recorded, list) and isinstance(answered, list):
            for one, other in zip(recorded, answered, strict=False):
                self._learn(one, other)


@contextmanager
def stage(*, phone_first: bool = False) -> Iterator[Stage]:
    """Run a simulator with the two people of the recordings in it, at the time of the recordings."""
    event_types = (_phone_first(),) if phone_first else ()
    owner = _user(recordings.read("me"), OWNER, recordings.read("schedule_default"))
    stranger = _user(recordings.read("ok_after_block_headers"), STRANGER)
    dataset = Dataset(users=(owner, stranger), event_types=event_types)
    with Simulator.running(dataset, now=lambda: RECORDED_AT) as simulator:
        yield Stage(simulator, has_event_types=phone_first)


def _user(me: Any, key: str, schedule: Any = None) -> User:
    person = me["response"]["body"]["data"]
    hours = (Hours(),)
    if schedule:
        hours = tuple(
            Hours(tuple(each["days"]), each["startTime"], each["endTime"])
            for each in schedule["response"]["body"]["data"]["availability"]
        )
    return User(
        person["id"], person["username"], person["name"], person["timeZone"], person["email"], api_key=key, hours=hours
    )


def _phone_first() -> EventType:
    """The one event type that the API cannot make; it was switched to phone numbers by hand."""
    booking = recordings.read("booking_create_phone_only_ok")["response"]["body"]["data"]
    title = booking["title"].partition(" between ")[0]
    owner = booking["hosts"][0]["username"]
    return EventType(PHONE_FIRST, owner, booking["eventType"]["slug"], title, booking["duration"], phone_first=True)


def _listed_event_types(recording: Any) -> set[int]:
    data = recording["response"]["body"].get("data") if recording["response"]["body"] else None
    is_list = urlsplit(recording["request"]["path"]).path == "/v2/event-types" and isinstance(data, list)
    return {each["id"] for each in data} if is_list else set()


def _made_id(creation: Any) -> int:
    return int(creation["response"]["body"]["data"]["id"])


def asks_for_phone_first(name: str) -> bool:
    """Tell whether a recording presumes the one event type that the API cannot make."""
    body = recordings.read(name)["request"]["body"]
    return isinstance(body, dict) and body.get("eventTypeId") == PHONE_FIRST
