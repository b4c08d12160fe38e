"""The bodies of webhooks: which event they are about, and what they report. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from calcom.http.parsing import (
    LONGEST_UID,
    UNREADABLE,
    appointment_id,
    first_attendee,
    ids,
    instant,
    objects,
    optional,
    text,
)
from calcom.types import NO_TIME, RemoteBooking, RemoteState
from calcom.webhooks.events import AbsenceMarked, BookingWebhook, Event, HostAway, Ignored, MeetingEnded

Body = dict[str, Any]

# Each of these lets its holder confirm, join or listen: none is stored.
_SECRETS = frozenset({"oneTimePassword", "password", "hashedLink", "connectAndJoinUrl", "downloadLink"})
_DEEPEST = 30
# The state of the booking, by trigger. Each trigger spells times differently, and only some have metadata.
_STATES = {
    "BOOKING_CREATED": RemoteState.ACCEPTED,
    "BOOKING_PAID": RemoteState.ACCEPTED,
    "BOOKING_RESCHEDULED": RemoteState.ACCEPTED,
    "BOOKING_REQUESTED": RemoteState.PENDING,
    "BOOKING_CANCELLED": RemoteState.CANCELLED,
    "BOOKING_REJECTED": RemoteState.REJECTED,
}

TRIGGERS = (*_STATES, "MEETING_ENDED", "BOOKING_NO_SHOW_UPDATED", "OOO_CREATED")
"""What an account's webhook must send: all that `parse` understands."""


def read(body: bytes) -> Body:
    """
    Return the body without its secrets.

    Raises:
        ValueError: it is no JSON object with a trigger, or cannot be stored.
    """
    read = _without_secrets(orjson.loads(body))
    if not isinstance(read, dict) or not isinstance(read.get("triggerEvent"), str):
        raise ValueError("Not a webhook: no object with a triggerEvent.")  # noqa: TRY004  one error for all bodies
    return read


def _without_secrets(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("Nested too deeply.")
    if isinstance(value, dict):
        return {
            _storable(name): _without_secrets(inner, depth + 1) for name, inner in value.items() if name not in _SECRETS
        }
    if isinstance(value, list):
        return [_without_secrets(inner, depth + 1) for inner in value]
    return _storable(value) if isinstance(value, str) else value


def _storable(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL has no such character


@dataclass(frozen=True)
class Label:
    """The event that a body is about."""

    trigger: str
    uid: str = field(repr=False)
    """Of the booking; empty if it is about none."""
    identity: str
    """
    Equal for all deliveries of one event.

    Bodies differ: `createdAt` of two webhooks about one event is 1 ms apart (recorded 2026-11-21).
    """


def label(body: Body) -> Label:
    """Return the event of any body that `read` returns; unusable ones are stored, too."""
    payload, trigger = _payload(body), body["triggerEvent"]
    uid = _uid(payload)
    distinguishing = [
        payload.get("startTime"),
        payload.get("status"),
        payload.get("attendeeSeatId"),
        payload.get("rescheduleUid"),
    ]
    distinguishing[0] = _same_spelling(distinguishing[0])
    if trigger == "BOOKING_NO_SHOW_UPDATED":
        distinguishing.append(payload.get("attendees"))
    identity = orjson.dumps([trigger, uid, *(distinguishing if uid else [payload])], option=orjson.OPT_SORT_KEYS)
    return Label(trigger[:60], uid, hashlib.sha256(identity).hexdigest())


def _payload(body: Body) -> Body:
    """Return the payload; MEETING_* bodies are flat."""
    payload = body.get("payload", body)
    return payload if isinstance(payload, dict) else {}


def _uid(payload: Mapping[str, Any]) -> str:
    return _as_uid(payload.get("uid") or payload.get("bookingUid"))


def _as_uid(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= LONGEST_UID else ""


def _same_spelling(time: object) -> object:
    try:
        return instant(str(time)).isoformat()
    except (ValueError, OverflowError):
        return time


def parse(body: Body) -> Event:
    """
    Return the event that a body reports.

    Raises:
        Ignored: it is of no use.
    """
    trigger, payload = body["triggerEvent"], _payload(body)
    try:
        if trigger in _STATES:
            return _booking_webhook(body, payload)
        if trigger == "MEETING_ENDED":
            return MeetingEnded(_required_uid(payload))
        if trigger == "BOOKING_NO_SHOW_UPDATED":
            return _absence_marked(payload)
        if trigger == "OOO_CREATED":
            return _host_away(payload["oooEntry"])
    except UNREADABLE:
        raise Ignored("its shape is unknown") from None  # the cause quotes the body
    raise Ignored("its trigger needs no action")


def _booking_webhook(body: Body, payload: Body) -> BookingWebhook:
    usual = _STATES[body["triggerEvent"]]
    status = str(payload.get("status") or usual).lower()
    state = RemoteState(status) if status in set(RemoteState) else usual
    booking = _booking(payload, state)
    return BookingWebhook(
        booking,
        reported_at=_reported_at(body),
        # With an unreadable time only the uid is usable: the booking is looked up.
        is_certain=state is usual
        and not payload.get("attendeeSeatId")
        and not (state.takes_time and booking.start == NO_TIME),
    )


def _reported_at(body: Body) -> datetime | None:
    try:
        return instant(body["createdAt"])
    except UNREADABLE:
        return None


def _booking(payload: Body, state: RemoteState) -> RemoteBooking:
    """Return the booking; optional members are empty if they cannot be read."""
    attendee = first_attendee(payload)
    start, end = _times(payload)
    # Hosts beside the organizer are the members of its team (seen 2026-11-30).
    hosts = [payload.get("organizer"), *objects((optional(dict, payload.get("team")) or {}).get("members"))]
    return RemoteBooking(
        uid=_required_uid(payload),
        state=state,
        start=start,
        end=end,
        event_type_id=optional(int, payload.get("eventTypeId")),
        host_ids=ids(hosts),
        attendee_email=text(attendee.get("email")).lower(),
        attendee_name=text(attendee.get("name")),
        attendee_phone=optional(str, attendee.get("phoneNumber")),
        appointment_id=appointment_id(payload),
        rescheduled_from_uid=_as_uid(payload.get("rescheduleUid")) or None,
    )


def _times(payload: Body) -> tuple[datetime, datetime]:
    try:
        return instant(payload["startTime"]), instant(payload["endTime"])
    except UNREADABLE:
        return NO_TIME, NO_TIME


def _absence_marked(payload: Body) -> AbsenceMarked:
    marks = {text(each.get("email")).lower(): bool(each.get("noShow")) for each in objects(payload.get("attendees"))}
    return AbsenceMarked(
        _required_uid(payload),
        absent=frozenset(email for email, absent in marks.items() if absent),
        present=frozenset(email for email, absent in marks.items() if not absent),
    )


def _host_away(entry: Body) -> HostAway:
    return HostAway(int(entry["user"]["id"]), instant(entry["start"]), instant(entry["end"]))


def _required_uid(payload: Body) -> str:
    uid = _uid(payload)
    if not uid:
        raise ValueError("A booking without uid.")
    return uid
