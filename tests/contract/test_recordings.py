"""Every recorded exchange, replayed: the simulator answers as Cal.com did."""

import uuid

import pytest

from tests.contract import recordings
from tests.contract.comparing import complaints, differences
from tests.contract.simulator import Stage, asks_for_phone_first, stage

pytestmark = recordings.needs_recordings

UNMATCHED = {
    "event_types_no_version": "the old shape is told from the new one only by its frame; our client never wants it",
}

# What can only be reproduced by two requests at once.
RACES = {
    "_concurrency_probe": "test_races",
    "_concurrency_probe_repeat": "test_races",
    "booking_create_race_lost_409": "test_races",
}

SEATS = ("booking_create_seat_1", "booking_create_seat_2", "booking_create_seat_3")
CONFIRMED = ("booking_create_requires_confirmation", "booking_confirm")
MOVED_TWICE = ("booking_reschedule", "booking_reschedule_same_time")

# What had been recorded before, as far as the answer depends on it.
BEFORE = {
    "booking_cancel_twice": ("booking_cancel",),
    "booking_confirm": CONFIRMED[:1],
    "booking_confirm_conflicting": CONFIRMED,
    "booking_confirm_twice": CONFIRMED,
    "booking_create_conflict_other": ("booking_create",),
    "booking_create_conflict_same": ("booking_create",),
    "booking_create_location_bad": ("event_type_update_locations",),
    "booking_create_location_phone": ("event_type_update_locations",),
    "booking_create_overlap": ("booking_create",),
    "booking_create_requires_confirmation_same_slot": CONFIRMED[:1],
    "booking_create_seat_2": SEATS[:1],
    "booking_create_seat_3": SEATS[:2],
    "booking_create_seat_full": SEATS,
    "booking_create_seat_same_attendee": SEATS[:2],
    "booking_get_after_reschedule_old": ("booking_reschedule",),
    "booking_mark_absent_future": CONFIRMED,
    "booking_mark_absent_host": CONFIRMED,
    "booking_recurring_cancel_following": ("booking_create_recurring",),
    "booking_recurring_get_first": ("booking_create_recurring",),
    "booking_reschedule_cancelled": ("booking_cancel",),
    "booking_reschedule_conflict": ("booking_create",),
    "booking_reschedule_old_uid": ("booking_reschedule",),
    "booking_seat_cancel_one": SEATS,
    "booking_seat_get": SEATS,
    "bookings_as_attendee_scope": ("booking_create",),
    "bookings_list": ("booking_create", "booking_create_bad_phone", "booking_create_non_utc_start"),
    "bookings_list_after_updated": MOVED_TWICE,
    "bookings_list_cancelled": ("booking_create_recurring", "booking_recurring_cancel_following"),
    "bookings_list_filters": (
        "booking_create",
        *MOVED_TWICE,
        "booking_cancel_no_reason",
        "booking_reschedule_no_auth",
    ),
    "bookings_lookup_all_status": ("booking_reschedule",),
    "bookings_lookup_exact": ("booking_create",),
    "event_type_delete_with_bookings_get": ("event_type_update_locations",),
    "reservation_create_conflict": ("reservation_create",),
    "reservation_create_overlap": ("reservation_create",),
    "reservation_delete": ("reservation_create",),
    "reservation_get": ("reservation_create",),
    "reservation_get_404": ("reservation_create", "reservation_delete"),
    "reservation_on_booked_slot": ("booking_create",),
    "reservation_patch": ("reservation_create",),
    "slots_after_reservations_other_event_type": (
        "reservation_create",
        "reservation_patch",
        "reservation_delete",
        "reservation_create_duration",
        "reservation_no_auth",
        "reservation_slot_len_ok",
    ),
    "slots_pending_not_blocking": CONFIRMED[:1],
    "slots_seats_after": SEATS[:2],
    "slots_uid_to_reschedule": MOVED_TWICE,
    "webhook_create_dup_url": ("webhook_create",),
    "webhook_event_type_create_same_url": ("webhook_create",),
    "webhook_get": ("webhook_create",),
    "webhook_get_other_user": ("webhook_create",),
    "webhook_patch": ("webhook_create",),
}

# What had been done before without being recorded: event type and start of reservations and bookings.
RESERVED = {
    "booking_create_on_reserved_slot": [(1, "2026-11-26T15:00:00Z")],
    "reservation_cross_event_type": [(1, "2026-12-17T16:00:00Z")],
    "slots_after_reservation": [(1, "2026-12-16T15:00:00Z"), (1, "2026-12-16T16:00:00Z")],
}
BOOKED = {"reservation_cross_event_type_booked": [(1, "2026-12-17T17:00:00Z")]}
SPENT = {"err_429_rate_limited": 120}
SUBSCRIBED = {"webhooks_list"}


def replayable() -> list[str]:
    return [name for name in recordings.names() if name not in UNMATCHED | RACES]


def prepare(stage: Stage, name: str) -> None:
    """Do what had been done before the recording was made."""
    recording = recordings.read(name)
    for earlier in BEFORE.get(name, ()):
        stage.replay(earlier)
    if name in RESERVED or name in BOOKED:
        stage.replay("me")
    for event_type_id, start in RESERVED.get(name, ()):
        stage.send("POST", "/v2/slots/reservations", {"eventTypeId": event_type_id, "slotStart": start})
    for event_type_id, start in BOOKED.get(name, ()):
        stage.simulator.book_elsewhere(event_type_id, start)
    if name in SUBSCRIBED:
        [webhook] = recording["response"]["body"]["data"]
        stage.send("POST", "/v2/webhooks", {key: webhook[key] for key in ("subscriberUrl", "triggers", "active")})
    for _ in range(SPENT.get(name, 0)):
        stage.send("GET", "/v2/me")


@pytest.mark.parametrize("name", replayable())
def test_simulator_answers_as_recorded(name):
    recording = recordings.read(name)
    recorded = recording["response"]
    with stage(phone_first=asks_for_phone_first(name)) as on_stage:
        prepare(on_stage, name)

        answer = on_stage.replay(name)

    assert answer.status == recorded["status"]
    assert list(differences(recorded["body"], answer.body, on_stage.uids)) == []
    if answer.status != 304:
        assert complaints(recording["request"]["method"], answer.path, answer.status, answer.body) == []
    _assert_same_headers(recorded["headers"], answer.headers)


def test_every_recording_is_replayed_or_excused():
    assert set(replayable()) | UNMATCHED.keys() | RACES.keys() == set(recordings.names())
    assert BEFORE.keys() | RESERVED.keys() | BOOKED.keys() | SPENT.keys() | SUBSCRIBED <= set(replayable())


@pytest.mark.parametrize("name", UNMATCHED)
def test_excused_recordings_do_differ(name):
    recording = recordings.read(name)
    with stage() as on_stage:
        answer = on_stage.replay(name)

    assert list(differences(recording["response"]["body"], answer.body, on_stage.uids))


def _assert_same_headers(recorded, answered):
    limit_headers = [f"X-RateLimit-{what}-Default" for what in ("Limit", "Remaining", "Reset")]
    assert [name in answered for name in limit_headers] == [name in recorded for name in limit_headers]
    assert answered.get(limit_headers[0]) == recorded.get(limit_headers[0])
    assert answered.get("Content-Type") == recorded.get("Content-Type")
    assert uuid.UUID(answered["X-Request-Id"])
    assert "Retry-After" not in answered
