"""What Cal.com requires in a booking form: answered by the caller's number, by staff, or by the caller."""

from typing import Any

import pytest
from django.utils import timezone

from bookings.models import Appointment, Conversation, Service, ToolCall
from calcom.simulator import Simulator
from calcom.sync import sync
from tests.bookings.api.helpers import Agent, booking_body
from tests.bookings.helpers import let_lists_know
from tests.factories import ANNA, KARL, MARIA, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

SALON_NUMBER = "+493012345678"


@pytest.fixture
def cut(salon: Salon) -> Service:
    """What is booked."""
    return salon.cut


def require(simulator: Simulator, salon: Salon, *fields: dict[str, Any], **changes: Any) -> None:
    """Have the haircut ask for these fields, here as well."""
    named = tuple({"label": each["slug"].title(), "required": True, **each} for each in fields)
    simulator.change_event_type("haircut", fields=named, **changes)
    sync(account=salon.account, now=timezone.now())
    salon.cut.refresh_from_db()


def sent(simulator: Simulator) -> dict[str, Any]:
    """Return what the one booking at Cal.com was answered with."""
    (booking,) = simulator.bookings()
    responses: dict[str, Any] = booking["bookingFieldsResponses"]
    return responses


# --- the caller's number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["attendeePhoneNumber", "smsReminderNumber"])
def test_required_number_is_answered_by_the_one_that_is_given(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service, slug: str
) -> None:
    """A constant of staff's would be every caller's number: it is not used."""
    fields = [] if slug == "attendeePhoneNumber" else [{"type": "phone", "slug": slug}]
    require(simulator, salon, *fields, phone_required=not fields)
    cut.field_defaults = {slug: SALON_NUMBER}
    cut.save()

    answer = agent.book(cut, at(10), caller=ANNA)

    assert answer.status_code == 201
    assert sent(simulator)[slug] == sent(simulator)["attendeePhoneNumber"] == ANNA.phone


def test_required_number_is_answered_by_the_one_the_caller_calls_from(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service
) -> None:
    """It came from the network; the agent says none."""
    require(simulator, salon, phone_required=True)
    call = Conversation.objects.create(company=salon.company, caller_phone=KARL.phone).public_id

    answer = agent.post("bookings", booking_body(cut, at(10), caller=MARIA, conversation_id=call))

    assert answer.status_code == 201
    assert sent(simulator)["attendeePhoneNumber"] == KARL.phone


def test_required_number_is_asked_of_a_caller_without_one(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service
) -> None:
    """Nothing is sent, staff's constant least of all; with the number the same request books."""
    require(simulator, salon, phone_required=True)
    cut.field_defaults = {"attendeePhoneNumber": SALON_NUMBER}
    cut.save()
    call = Conversation.objects.create(company=salon.company).public_id

    asked = agent.post("bookings", booking_body(cut, at(10), caller=MARIA, conversation_id=call))
    booked = agent.post("bookings", booking_body(cut, at(10), caller=KARL, conversation_id=call))

    assert (asked.status_code, asked.json()["code"]) == (422, "phone_required")
    assert booked.status_code == 201
    assert simulator.count("POST /v2/bookings") == 1


def test_services_say_whether_a_number_is_required(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """And do not list it among what is answered in answers."""
    require(simulator, salon, {"type": "phone", "slug": "smsReminderNumber"}, phone_required=True)

    listed = {each["name"]: each for each in agent.get("services").json()["services"]}

    assert (listed["Haircut"]["bookable"], listed["Haircut"]["phone_required"]) == (True, True)
    assert listed["Haircut"]["fields"] == []
    assert listed["Colour"]["phone_required"] is False


# --- what callers are asked --------------------------------------------------------------------------------------

INSURANCE = {"type": "select", "slug": "insurance", "options": ["Public", "Private"]}


def test_services_list_what_callers_must_be_asked(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """With type and options; a constant of staff's asks the caller nothing."""
    require(simulator, salon, INSURANCE, {"type": "text", "slug": "reason"})
    salon.cut.field_defaults = {"reason": "by phone"}
    salon.cut.save()

    (cut,) = (each for each in agent.get("services").json()["services"] if each["name"] == "Haircut")

    assert cut["bookable"] is True
    assert cut["fields"] == [
        {"slug": "insurance", "label": "Insurance", "type": "select", "options": ["Public", "Private"]}
    ]


@pytest.mark.parametrize("answers", [{}, {"insurance": "Gold"}, {"insurance": 7}, {"insurance": ["Public"]}, None])
def test_answer_is_required_where_none_fits(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service, answers: object
) -> None:
    """Missing, no option, another type: one code, with the options."""
    require(simulator, salon, INSURANCE)

    answer = agent.post("bookings", booking_body(cut, at(10), answers=answers), idempotency_key="one")

    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "answer_required")
    assert (body["field"], body["options"]) == ("insurance", ["Public", "Private"])
    assert Appointment.objects.count() == simulator.count("POST /v2/bookings") == 0


@pytest.mark.parametrize(
    ("field", "given", "told"),
    [
        (INSURANCE, "private", "Private"),
        ({"type": "radio", "slug": "side", "options": ["left", "right"]}, "Left", "left"),
        ({"type": "multiselect", "slug": "extras", "options": ["Wash", "Dry"]}, ["wash", "Dry"], ["Wash", "Dry"]),
        ({"type": "checkbox", "slug": "extras", "options": ["Wash", "Dry"]}, "Dry", ["Dry"]),
        ({"type": "boolean", "slug": "first"}, False, False),
        ({"type": "boolean", "slug": "first"}, "ja", True),
        ({"type": "text", "slug": "pet"}, " Rex ", "Rex"),
        ({"type": "textarea", "slug": "story"}, "one\ntwo", "one\ntwo"),
        ({"type": "phone", "slug": "emergency"}, "0151 12345678", "+4915112345678"),
        ({"type": "url", "slug": "site"}, "https://example.com/x", "https://example.com/x"),
        ({"type": "multiemail", "slug": "copies"}, ["a@example.com"], ["a@example.com"]),
    ],
)
def test_answer_of_each_type_reaches_calcom(
    simulator: Simulator, agent: Agent, salon: Salon, *, field: dict[str, Any], given: object, told: object
) -> None:
    """In the spelling and type that Cal.com accepts, and is stored for a later send."""
    require(simulator, salon, field)

    answer = agent.post(
        "bookings", booking_body(salon.cut, at(10), answers={field["slug"]: given}), idempotency_key="one"
    )

    assert answer.status_code == 201
    assert sent(simulator)[field["slug"]] == told
    assert Appointment.objects.get().answers == {field["slug"]: told}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("boolean", "perhaps"),
        ("url", "my page"),
        ("phone", "12"),
        ("multiemail", ["a@example.com", "no"]),
        ("text", ""),
        ("text", "{{pet}}"),
        ("text", {"a": 1}),
        ("text", "x" * 5_000),
    ],
)
def test_answer_of_another_type_is_none(
    simulator: Simulator, agent: Agent, salon: Salon, *, kind: str, given: object
) -> None:
    """Nothing is sent that Cal.com would refuse."""
    require(simulator, salon, {"type": kind, "slug": "asked"})

    answer = agent.post("bookings", booking_body(salon.cut, at(10), answers={"asked": given}), idempotency_key="one")

    assert (answer.status_code, answer.json()["code"], answer.json()["options"]) == (422, "answer_required", [])


def test_required_notes_are_answered_by_notes(simulator: Simulator, agent: Agent, salon: Salon, cut: Service) -> None:
    """The caller need not say them twice."""
    require(simulator, salon, {"type": "textarea", "slug": "notes"})

    asked = agent.post("bookings", booking_body(cut, at(10)), idempotency_key="one")
    booked = agent.post("bookings", booking_body(cut, at(10), notes="long hair"), idempotency_key="two")

    assert (asked.status_code, booked.status_code) == (422, 201)
    assert sent(simulator)["notes"] == "long hair"


def test_answers_nothing_asks_for_are_left_out(simulator: Simulator, agent: Agent, salon: Salon, cut: Service) -> None:
    """Neither sent nor stored; staff's constants are not overruled either."""
    require(simulator, salon, INSURANCE)
    cut.field_defaults = {"insurance": "Public"}
    cut.save()

    agent.post(
        "bookings", booking_body(cut, at(10), answers={"insurance": "Private", "age": 30}), idempotency_key="one"
    )

    assert (sent(simulator)["insurance"], "age" in sent(simulator)) == ("Public", False)
    assert Appointment.objects.get().answers == {}


def test_required_number_field_makes_a_service_unbookable(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Cal.com accepts neither 30 nor "30": staff reads why."""
    require(simulator, salon, {"type": "number", "slug": "age"})

    listed = {each["name"]: each["bookable"] for each in agent.get("services").json()["services"]}

    assert listed["Haircut"] is False
    assert "number" in salon.cut.unsupported_reason()


# --- repeats -----------------------------------------------------------------------------------------------------


def test_repeat_with_other_answers_gets_the_first_booking_in_a_conversation(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service
) -> None:
    """What a model says differently the second time is no other request."""
    require(simulator, salon, INSURANCE)
    call = Conversation.objects.create(company=salon.company).public_id

    first = agent.post("bookings", booking_body(cut, at(10), conversation_id=call, answers={"insurance": "Public"}))
    again = agent.post("bookings", booking_body(cut, at(10), conversation_id=call, answers={}))

    assert (first.status_code, again.status_code, again.json()["replayed"]) == (201, 201, True)
    assert sent(simulator)["insurance"] == "Public"


def test_key_with_other_answers_is_another_request(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service
) -> None:
    """They are part of what came with the key."""
    require(simulator, salon, INSURANCE)
    body = booking_body(cut, at(10), answers={"insurance": "Public"})

    first = agent.post("bookings", body, idempotency_key="one")
    same = agent.post("bookings", body, idempotency_key="one")
    other = agent.post("bookings", {**body, "answers": {"insurance": "Private"}}, idempotency_key="one")

    assert (first.status_code, same.status_code, same.json()["replayed"]) == (201, 201, True)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_hold_stands_while_the_caller_is_asked(simulator: Simulator, agent: Agent, salon: Salon, cut: Service) -> None:
    """What is held is booked by the same confirm_token as soon as the answer is there; a send later has it as well."""
    require(simulator, salon, INSURANCE)
    call = Conversation.objects.create(company=salon.company).public_id
    found = agent.post(
        "availability/search",
        {
            "conversation_id": call,
            "service": f"sv_{cut.pk}",
            "when": {"windows": [{"from": at(10).isoformat(), "to": at(12).isoformat()}]},
        },
    ).json()
    held = agent.post("holds", {"conversation_id": call, "slot_token": found["offers"][0]["slot_token"]}).json()
    body = {"conversation_id": call, "confirm_token": held["confirm_token"], "caller": {"name": ANNA.name}}

    asked = agent.post("bookings", body)
    booked = agent.post("bookings", body | {"answers": {"insurance": "Private"}})

    assert (asked.status_code, asked.json()["code"]) == (422, "answer_required")
    assert (booked.status_code, booked.json()["booking"]["id"]) == (201, held["hold_id"])
    assert sent(simulator)["insurance"] == "Private"


def test_answers_are_not_written_into_the_timeline(
    simulator: Simulator, agent: Agent, salon: Salon, cut: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor into the log: they may be about health."""
    require(simulator, salon, {"type": "text", "slug": "complaint"})
    call = Conversation.objects.create(company=salon.company).public_id
    let_lists_know()

    agent.post("bookings", booking_body(cut, at(10), conversation_id=call, answers={"complaint": "hiccups"}))

    assert sent(simulator)["complaint"] == "hiccups"
    assert "hiccups" not in str(ToolCall.objects.values_list("request", "response"))
    assert "hiccups" not in caplog.text
