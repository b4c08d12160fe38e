"""Limits of an event type and of each caller, and what it does not allow: each is told as what it is."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bookings.errors import CancelNotAllowed
from bookings.models import Appointment, CallbackRequest, Conversation, Operation
from calcom.models import EventType
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.sync import sync
from tests.bookings.api.helpers import Agent, booking_body
from tests.bookings.helpers import cancel, let_lists_know, reschedule
from tests.factories import ANNA, BERLIN, KARL, TUESDAY, WEDNESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


def allow(simulator: Simulator, salon: Salon, *, read: bool = True, **operations: Any) -> None:
    """Change the haircut at Cal.com; with `read` a sync has seen it."""
    simulator.change_event_type("haircut", **operations)
    if read:
        sync(account=salon.account, now=timezone.now())
        salon.cut.event_type.refresh_from_db()


def call_of(salon: Salon, phone: str | None = None) -> str:
    """Return the id of a phone call from this number."""
    return Conversation.objects.create(company=salon.company, caller_phone=phone).public_id


# --- limits of the event type ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limits", [{"limits_count": {"day": 1}}, {"limits_duration": {"day": 45}}, {"limits_count": {"day": 1, "week": 9}}]
)
def test_booking_over_the_limit_of_a_day_is_refused_with_the_next_day(
    simulator: Simulator, agent: Agent, salon: Salon, limits: dict[str, Any]
) -> None:
    """By count and by duration; no time of the same day is offered instead."""
    allow(simulator, salon, **limits)
    agent.book(salon.cut, at(10))
    let_lists_know()

    answer = agent.book(salon.cut, at(14), caller=KARL, key="second")

    body = answer.json()
    assert (answer.status_code, body["code"], body["retryable"]) == (409, "limit_reached", False)
    assert body["next_possible_day"] == WEDNESDAY.isoformat()
    assert body["alternatives"]
    assert all(not each["start"].startswith(TUESDAY.isoformat()) for each in body["alternatives"])
    assert body["spoken"].startswith("Für diesen Tag")


def test_limit_refusal_of_calcom_is_not_a_revoked_key(
    simulator: Simulator, agent: Agent, salon: Salon, caplog: pytest.LogCaptureFixture
) -> None:
    """The bare 401 of a limit that no sync has read: the caller hears of another day, staff of nothing."""
    agent.get("availability", {"service": f"sv_{salon.cut.pk}", "date": TUESDAY.isoformat()})
    simulator.book_elsewhere("haircut", at(9), host="emma", webhook=False)
    allow(simulator, salon, read=False, limits_count={"day": 1})

    answer = agent.book(salon.cut, at(14))

    assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
    assert answer.json()["next_possible_day"] == WEDNESDAY.isoformat()
    assert Operation.objects.get().outcome == "limit_reached"
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_limit_of_a_week_leads_to_the_week_after(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """However far that is."""
    allow(simulator, salon, limits_count={"week": 1})
    agent.book(salon.cut, at(10))
    let_lists_know()

    answer = agent.book(salon.cut, at(14, on=WEDNESDAY), caller=KARL, key="second")

    monday = TUESDAY + timedelta(days=6)
    assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
    assert answer.json()["next_possible_day"] == monday.isoformat()


def test_reschedule_into_a_full_day_names_the_limit(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Within its own day it may move: it does not count against itself."""
    allow(simulator, salon, limits_count={"day": 1})
    agent.book(salon.cut, at(10))
    mine = agent.book(salon.cut, at(10, on=WEDNESDAY), caller=KARL, key="second").json()["booking"]["id"]
    let_lists_know()

    refused = agent.post(f"bookings/{mine}/reschedule", {"start": at(14).isoformat()})
    moved = agent.post(f"bookings/{mine}/reschedule", {"start": at(14, on=WEDNESDAY).isoformat()})

    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    assert moved.status_code == 200


def test_refusal_by_a_limit_expires_the_days_that_it_reaches(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The list had the whole week, which was booked full at Cal.com unheard."""
    allow(simulator, salon, limits_count={"week": 1})
    agent.get("availability", {"service": f"sv_{salon.cut.pk}", "date": TUESDAY.isoformat()})
    simulator.book_elsewhere("haircut", at(9), host="emma", webhook=False)

    refused = agent.book(salon.cut, at(14))

    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    assert refused.json()["next_possible_day"] == (TUESDAY + timedelta(days=6)).isoformat()


def test_limits_are_read_and_decide_how_far_a_list_changes(simulator: Simulator, salon: Salon) -> None:
    """They make no event type unbookable."""
    allow(simulator, salon, limits_count={"week": 5}, limits_duration={"day": 60})

    cut = EventType.objects.get(pk=salon.cut.event_type_id)

    assert cut.booking_limits == {"count": {"week": 5}, "duration": {"day": 60}}
    assert (cut.list_reach, cut.unsupported_reasons) == ("week", [])


# --- limits of each caller ---------------------------------------------------------------------------------------


def test_caller_over_their_limit_hears_of_the_booking_they_have(
    simulator: Simulator, agent: Agent, salon: Salon
) -> None:
    """It is theirs for certain: the number came from the network. Rescheduled by the id that is named, it moves."""
    allow(simulator, salon, booker_limit=1)
    call = call_of(salon, KARL.phone)
    first = agent.post("bookings", booking_body(salon.cut, at(10), caller=KARL, conversation_id=call)).json()["booking"]
    let_lists_know()

    answer = agent.post(
        "bookings", booking_body(salon.cut, at(14), caller=KARL, conversation_id=call_of(salon, KARL.phone))
    )
    moved = agent.post(f"bookings/{answer.json()['booking']['id']}/reschedule", {"start": at(14).isoformat()})

    assert (answer.status_code, answer.json()["code"]) == (409, "already_booked")
    assert answer.json()["booking"]["id"] == first["id"]
    assert "reschedule" in answer.json()["agent_hint"]
    assert (moved.status_code, moved.json()["booking"]["start"]) == (200, at(14).astimezone(BERLIN).isoformat())


def test_caller_over_their_limit_whose_number_is_only_said_is_told_no_booking(
    simulator: Simulator, agent: Agent, salon: Salon
) -> None:
    """Anybody can say a number."""
    allow(simulator, salon, booker_limit=1)
    first = agent.book(salon.cut, at(10), caller=KARL).json()["booking"]
    let_lists_know()

    answer = agent.book(salon.cut, at(14), caller=KARL, key="second")

    assert (answer.status_code, answer.json()["code"]) == (409, "already_booked")
    assert "booking" not in answer.json()
    assert first["reference"] not in answer.text


def test_unsynced_caller_limit_has_the_same_response(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Cal.com's refusal says it."""
    agent.book(salon.cut, at(10))
    allow(simulator, salon, read=False, booker_limit=1)
    let_lists_know()

    answer = agent.book(salon.cut, at(14), key="second")

    assert (answer.status_code, answer.json()["code"]) == (409, "already_booked")


# --- what is switched off ----------------------------------------------------------------------------------------


def test_cancelling_that_is_switched_off_is_refused_without_asking(
    simulator: Simulator, agent: Agent, salon: Salon
) -> None:
    """For callers and for staff, whose key Cal.com binds as well; the appointment stands, also what is being moved."""
    booking = agent.book(salon.cut, at(10)).json()["booking"]
    allow(simulator, salon, cancelling_disabled=True)

    answer = agent.post(f"bookings/{booking['id']}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (422, "cancel_not_allowed")
    assert simulator.count("POST /v2/bookings/{uid}/cancel") == 0
    appointment = Appointment.objects.select_related("event_type", "company").get()
    assert appointment.state == "confirmed"
    with pytest.raises(CancelNotAllowed):
        cancel(appointment, CalcomService(salon.account))


def test_unsynced_cancel_setting_is_refused_by_calcom(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """No callback is requested: the caller was answered. Switched on again it may be cancelled."""
    booking = agent.book(salon.cut, at(10)).json()["booking"]
    allow(simulator, salon, read=False, cancelling_disabled=True)

    refused = agent.post(f"bookings/{booking['id']}/cancel")
    allow(simulator, salon, cancelling_disabled=False)
    cancelled = agent.post(f"bookings/{booking['id']}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (422, "cancel_not_allowed")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert CallbackRequest.objects.count() == 0


@pytest.mark.parametrize("setting", [{"disabled": True}, {"minutesBefore": 60 * 24 * 30}])
def test_rescheduling_that_is_switched_off_is_refused_to_callers(
    simulator: Simulator, agent: Agent, salon: Salon, setting: dict[str, Any]
) -> None:
    """Always, or so long before the start. Cal.com would move it for our key: so staff may."""
    booking = agent.book(salon.cut, at(10), caller=ANNA).json()["booking"]
    allow(simulator, salon, rescheduling=setting)

    answer = agent.post(f"bookings/{booking['id']}/reschedule", {"start": at(14).isoformat()})

    assert (answer.status_code, answer.json()["code"]) == (422, "reschedule_not_allowed")
    assert simulator.count("POST /v2/bookings/{uid}/reschedule") == 0
    appointment = Appointment.objects.select_related("event_type", "company", "service").get()
    assert reschedule(appointment, at(14), CalcomService(salon.account)).appointment.start == at(14)


def test_rescheduling_stays_allowed_before_its_notice(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """An hour before is far away."""
    booking = agent.book(salon.cut, at(10)).json()["booking"]
    allow(simulator, salon, rescheduling={"minutesBefore": 60})

    answer = agent.post(f"bookings/{booking['id']}/reschedule", {"start": at(14).isoformat()})

    assert answer.status_code == 200
