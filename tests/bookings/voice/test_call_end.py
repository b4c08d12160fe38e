"""When a call is over: what it came to, what the platform told of it, and a promise that was made without a booking."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from bookings.models import Appointment, AppointmentState, CallbackRequest, Conversation
from bookings.scheduling.call_outcome import outcome_of
from calcom.simulator import Simulator
from monitoring import metrics
from tests.bookings.voice.platforms import Retell
from tests.bookings.voice.said import DAY
from tests.factories import ANNA

pytestmark = pytest.mark.django_db(transaction=True)

PROMISED = "Agent: Ich habe Sie für Dienstag um zehn Uhr eingetragen.\nUser: Danke, tschüss."
BOOK, HOLD, SEARCH = "POST /v1/bookings", "POST /v1/holds", "POST /v1/availability/search"


def end(retell: Retell, **call: Any) -> None:
    answered = retell.send("events", {"event": "call_analyzed", "call": retell.call | call})
    assert answered.status_code == 200


def book(retell: Retell) -> dict[str, Any]:
    held = retell.tool("check_availability", service="Haarschnitt", when=f"am {DAY} um zehn")
    return retell.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)


def test_end_stores_length_cost_and_outcome(simulator: Simulator, retell: Retell) -> None:
    book(retell)

    end(retell, duration_ms=93_500, call_cost={"combined_cost": 41.25}, transcript=PROMISED)

    call = Conversation.objects.get()
    assert call.ended_at is not None
    assert (call.duration, call.cost_cents) == (timedelta(seconds=93.5), Decimal("41.250"))
    assert (call.outcome, call.told_booked) == ("booked", False)


def test_end_releases_the_hold(simulator: Simulator, retell: Retell) -> None:
    retell.tool("check_availability", service="Haarschnitt", when=f"am {DAY} um zehn")

    end(retell)

    assert Appointment.objects.get().state == AppointmentState.EXPIRED
    assert Conversation.objects.get().outcome == "gave_up"


def test_promise_without_a_booking_reaches_staff_once(simulator: Simulator, retell: Retell) -> None:
    retell.tool("check_availability", service="Haarschnitt", when=f"am {DAY} um zehn")
    before = metrics.TOLD_BOOKED._value.get()  # type: ignore[attr-defined]

    for _ in range(2):
        end(retell, transcript=PROMISED)

    assert Conversation.objects.get().told_booked
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert metrics.TOLD_BOOKED._value.get() == before + 1  # type: ignore[attr-defined]


def test_analysis_of_the_platform_outranks_its_transcript(simulator: Simulator, retell: Retell) -> None:
    retell.tool("check_availability", service="Haarschnitt", when=f"am {DAY} um zehn")

    end(retell, transcript=PROMISED, call_analysis={"custom_analysis_data": {"appointment_booked": False}})

    assert not CallbackRequest.objects.exists()


def test_promise_with_a_booking_is_none_of_staffs_business(simulator: Simulator, retell: Retell) -> None:
    book(retell)

    end(retell, call_analysis={"custom_analysis_data": {"appointment_booked": True}})

    assert not CallbackRequest.objects.exists()


def test_call_in_which_nothing_was_asked_is_not_made(retell: Retell) -> None:
    end(retell, transcript=PROMISED)

    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    "nonsense", [{"duration_ms": "long"}, {"duration_ms": -1}, {"call_cost": {"combined_cost": "x"}}]
)
def test_numbers_that_are_none_are_left_out(simulator: Simulator, retell: Retell, nonsense: dict[str, Any]) -> None:
    book(retell)

    end(retell, **nonsense)

    call = Conversation.objects.get()
    assert (call.duration, call.cost_cents) == (None, None)
    assert call.outcome == "booked"


@pytest.mark.parametrize(
    ("timeline", "outcome"),
    [
        ([], "only_asked"),
        ([(SEARCH, 200, {"status": "alternatives"})], "only_asked"),
        ([(SEARCH, 200, {"status": "available", "held": ["x"]})], "gave_up"),
        ([(HOLD, 201, {"status": "held"})], "gave_up"),
        ([(BOOK, 409, {"code": "slot_taken"})], "gave_up"),
        ([(BOOK, 201, {"status": "confirmed"})], "booked"),
        ([(BOOK, 202, {"status": "pending"})], "booked"),
        ([(BOOK, 200, {"status": "rejected"})], "gave_up"),
        ([(f"{BOOK}/<str:booking_id>/reschedule", 200, {"status": "confirmed"})], "rescheduled"),
        ([(f"{BOOK}/<str:booking_id>/cancel", 200, {"status": "cancelled"})], "cancelled"),
        ([("POST /v1/bookings/find", 200, {"status": "found"})], "only_asked"),
        ([("POST /v1/callbacks", 201, {})], "callback"),
        ([(BOOK, 201, {"status": "confirmed"}), ("POST /v1/callbacks", 201, {})], "booked"),
        ([("POST /v1/callbacks", 201, {}), (BOOK, 201, {"status": "confirmed"})], "booked"),
        ([(BOOK, 201, {"status": "confirmed"}), (f"{BOOK}/<str:booking_id>/cancel", 200, {})], "cancelled"),
    ],
)
def test_outcome_is_the_last_change(timeline: list[tuple[str, int, dict[str, Any]]], outcome: str) -> None:
    assert outcome_of(timeline) == outcome
