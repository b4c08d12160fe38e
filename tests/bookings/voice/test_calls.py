"""A whole call through an adapter: what REST promises holds for every platform."""

import json
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection

from bookings.models import Appointment, AppointmentState, CallbackRequest, Conversation
from bookings.voice import calls, results
from bookings.voice.calls import Call
from calcom.simulator import Simulator
from tests.bookings.voice.platforms import Mcp, Retell
from tests.bookings.voice.said import DAY
from tests.factories import ANNA, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["retell", "mcp"])
def platform(request: pytest.FixtureRequest) -> Retell | Mcp:
    found: Retell | Mcp = request.getfixturevalue(request.param)
    return found


def check(platform: Retell | Mcp, when: str, **more: Any) -> dict[str, Any]:
    return platform.tool("check_availability", service="Haarschnitt, bitte", when=when, **more)


def test_exact_time_is_held_and_booked_in_two_calls(simulator: Simulator, platform: Retell | Mcp) -> None:
    held = check(platform, f"am {DAY} um zehn Uhr")
    booked = platform.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)

    assert (held["status"], booked["status"]) == ("held", "confirmed")
    appointment = Appointment.objects.get(state=AppointmentState.CONFIRMED)
    assert appointment.start == at(10)
    assert appointment.attendee_phone == ANNA.phone  # of the envelope: no model wrote it
    assert booked["reference"] == appointment.reference


def test_appointment_is_found_rescheduled_and_cancelled(simulator: Simulator, platform: Retell | Mcp) -> None:
    held = check(platform, f"am {DAY} um zehn Uhr")
    platform.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)

    (found,) = platform.tool("find_my_appointments")["bookings"]
    later = check(platform, f"am {DAY} um elf Uhr")
    moved = platform.tool(
        "reschedule_appointment", booking_id=found["booking_id"], slot_token=later["offers"][0]["slot_token"]
    )
    cancelled = platform.tool("cancel_appointment", booking_id=found["booking_id"], reason="krank")

    assert (moved["status"], cancelled["status"]) == ("confirmed", "cancelled")
    assert "zehn Uhr" in found["spoken"]
    assert Appointment.objects.exclude(state=AppointmentState.EXPIRED).get().start == at(11)


def test_offer_is_held_by_its_token_and_booked(simulator: Simulator, platform: Retell | Mcp) -> None:
    offered = check(platform, f"am {DAY} vormittags")

    held = platform.tool("hold_slot", slot_token=offered["offers"][1]["slot_token"])
    booked = platform.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)

    assert [offer["option"] for offer in offered["offers"]] == [1, 2, 3]
    assert held["spoken"]
    assert booked["status"] == "confirmed"


def test_booking_called_again_after_an_interruption_is_replayed(simulator: Simulator, platform: Retell | Mcp) -> None:
    held = check(platform, f"am {DAY} um zehn Uhr")
    first = platform.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)

    again = platform.tool("book_appointment", confirm_token=held["confirm_token"], name="Anna  Schmidt", notes="none")

    assert again["replayed"]
    assert again["reference"] == first["reference"]
    assert simulator.count("POST /v2/bookings") == 1


def test_two_bookings_at_once_are_one(simulator: Simulator, retell: Retell) -> None:
    held = check(retell, f"am {DAY} um zehn Uhr")
    told: list[dict[str, Any]] = []
    start = Barrier(2)

    def book() -> None:
        start.wait()
        told.append(retell.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name))
        connection.close()

    threads = [Thread(target=book) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each["status"] for each in told] == ["confirmed", "confirmed"]
    assert simulator.count("POST /v2/bookings") == 1


def test_phrase_that_may_mean_two_days_is_asked(simulator: Simulator, platform: Retell | Mcp) -> None:
    asked = check(platform, f"Mittwoch, den {DAY}")

    assert (asked["ok"], asked["code"]) == (False, "time_ambiguous")
    assert asked["spoken"].endswith("?")


def test_time_held_for_another_caller_is_answered_with_other_times(
    simulator: Simulator, retell: Retell, mcp: Mcp, salon: Salon
) -> None:
    mine = retell.tool("check_availability", service="Colour", when=f"am {DAY} vormittags")["offers"][0]
    theirs = mcp.tool("check_availability", service="Colour", when=f"am {DAY} vormittags")["offers"][0]
    retell.tool("hold_slot", slot_token=mine["slot_token"])

    told = mcp.tool("hold_slot", slot_token=theirs["slot_token"])

    assert (told["ok"], told["code"]) == (False, "slot_taken")
    assert all(offer["spoken"] and offer["slot_token"] for offer in told["offers"])
    assert mcp.tool("hold_slot", slot_token=told["offers"][0]["slot_token"])["status"] == "held"


def test_callback_reaches_staff_with_the_number_that_calls(simulator: Simulator, platform: Retell | Mcp) -> None:
    told = platform.tool("request_callback", topic="Möchte mit Emma sprechen", name="", phone="null")

    assert told["ok"]
    assert CallbackRequest.objects.get().phone == ANNA.phone


def test_caller_who_wants_an_earlier_time_is_on_the_waiting_list(simulator: Simulator, platform: Retell | Mcp) -> None:
    held = check(platform, f"am {DAY} um zehn Uhr")
    booked = platform.tool("book_appointment", confirm_token=held["confirm_token"], name=ANNA.name)

    platform.tool("request_callback", topic="Früher", booking_id=booked["booking_id"], wants_earlier="yes")
    platform.tool("request_callback", topic="Frage zur Farbe", wants_earlier="no")

    states = CallbackRequest.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [CallbackRequest.State.WAITING, CallbackRequest.State.OPEN]


def test_callback_works_after_the_call(simulator: Simulator, retell: Retell) -> None:
    check(retell, f"am {DAY}")
    retell.send("events", {"event": "call_ended", "call": retell.call})

    refused, noted = check(retell, f"am {DAY}"), retell.tool("request_callback", topic="Noch eine Frage")

    assert refused["code"] == "conversation_ended"
    assert noted["ok"]


@pytest.mark.parametrize("nothing", ["", None, "null", "none", "n/a", "unknown", "{{staff}}", "  "])
def test_placeholder_in_an_optional_parameter_is_absent(
    simulator: Simulator, retell: Retell, nothing: str | None
) -> None:
    told = retell.tool("check_availability", service="Haarschnitt", when=f"am {DAY} um zehn", staff=nothing)

    assert told["status"] == "held"


def test_number_may_be_sent_for_text(simulator: Simulator, retell: Retell, salon: Salon) -> None:
    told = retell.tool("check_availability", service=salon.cut.pk, when=f"am {DAY} um zehn")

    assert told["status"] == "held"


def test_call_of_another_company_is_another_conversation(simulator: Simulator, retell: Retell) -> None:
    check(retell, f"am {DAY}")

    conversation = Conversation.objects.get()

    assert (conversation.platform, conversation.call_id) == ("retell", "call_1")
    assert conversation.caller_phone == ANNA.phone


def test_without_the_scope_the_number_is_not_trusted(simulator: Simulator, retell: Retell, salon: Salon) -> None:
    salon.agent_key.scopes = [each for each in salon.agent_key.scopes if each != "callers:identify"]
    salon.agent_key.save()

    told = retell.tool("find_my_appointments")

    assert told["code"] == "identity_required"


def test_result_is_one_line_of_two_kilobytes_with_the_sentence_first(simulator: Simulator, retell: Retell) -> None:
    told = check(retell, f"am {DAY} vormittags")
    line = results.text(told)

    assert next(iter(told)) == "spoken"
    assert len(line.encode()) <= 2_000
    assert "\n" not in line


def test_answer_that_is_too_long_keeps_the_sentence_and_the_tokens() -> None:
    offers = [{"slot_token": f"T{n}", "spoken": "x" * 300, "start": "", "time_zone": "", "option": n} for n in range(9)]
    reply = calls.Reply({"ok": True, "status": "alternatives", "spoken": "Ja.", "offers": offers}, "de")

    told = results.told(reply)

    assert told["spoken"] == "Ja."
    assert len(json.dumps(told)) <= results.LONGEST + 300
    assert told["offers"][0]["slot_token"] == "T0"  # type: ignore[index]


def test_database_that_is_away_is_told_as_an_answer(salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object, **_more: object) -> None:
        raise calls.OperationalError

    monkeypatch.setattr(calls.conversations, "begin", away)

    told = calls.answer(
        "check_availability", {}, call=Call(platform="retell", call_id="c"), key=salon.agent_key, environ={}
    )

    assert (told["ok"], told["code"]) == (False, "temporarily_unavailable")
    assert told["spoken"]
