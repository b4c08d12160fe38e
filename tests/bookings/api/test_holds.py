"""Conversations and holds: start, hold, read back, book, release; and the timeline."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from bookings.models import AgentKey, Appointment, Branch, Claim, Conversation, Service, SlotToken, ToolCall
from bookings.scheduling import holds
from calcom.simulator import Simulator
from tests.bookings.api.helpers import (
    CALLER,
    FUZZ,
    JSON,
    Agent,
    agent_with,
    book_by_token,
    slot_token,
    start_conversation,
)
from tests.bookings.helpers import let_jobs_finish
from tests.bookings.test_holds import run_out
from tests.cachectl.test_cache import queued
from tests.factories import ANNA, BERLIN, KARL, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"


@pytest.fixture
def call(agent: Agent) -> str:
    """The id of a conversation that has begun."""
    return str(start_conversation(agent).json()["conversation_id"])


def hold(agent: Agent, service: Service, start: datetime, call: str) -> Any:
    """Hold a slot."""
    return agent.post("holds", {"slot_token": slot_token(service, start, call), "conversation_id": call})


# --- how a call begins -------------------------------------------------------------------------------------------


def test_conversation_start_returns_what_the_agent_needs(agent: Agent, salon: Salon) -> None:
    """FM-51: which day is today, and how the next ones are called, in the branch's zone; what can be booked."""
    answer = start_conversation(agent)

    body, today = answer.json(), timezone.now().astimezone(BERLIN).date()
    assert (answer.status_code, body["status"], body["replayed"]) == (201, "started", False)
    assert datetime.fromisoformat(body["now"]).utcoffset() == timezone.now().astimezone(BERLIN).utcoffset()
    assert [day["date"] for day in body["days"]] == [(today + timedelta(days=n)).isoformat() for n in range(14)]
    assert [day["name"].split(",")[0] for day in body["days"][:3]] == ["heute", "morgen", "übermorgen"]
    assert {day["open"] for day in body["days"] if datetime.fromisoformat(day["date"]).weekday() == 6} == {False}
    assert {each["name"] for each in body["services"]} == {"Haircut", "Colour", "Beard trim"}
    assert (body["caller"], body["appointments"]) == ({"known": False, "name": None}, [])


def test_repeated_start_is_one_conversation(agent: Agent, salon: Salon) -> None:
    """Platform and call id name it; another platform's call of that id is another call."""
    first, again = start_conversation(agent), start_conversation(agent)
    other = start_conversation(agent, platform="vapi")

    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert again.json()["conversation_id"] == first.json()["conversation_id"]
    assert other.json()["conversation_id"] != first.json()["conversation_id"]


def test_call_ids_of_companies_are_separate(agent: Agent, stranger: Agent) -> None:
    """The same call id at another company is another call, and their ids open nothing here."""
    ours, theirs = (
        start_conversation(agent).json()["conversation_id"],
        start_conversation(stranger).json()["conversation_id"],
    )

    assert ours != theirs
    assert book_by_token(agent, theirs, slot_token="0000000000").json()["code"] == "request_invalid"


@pytest.mark.usefixtures("_jobs")
def test_conversation_start_prefetches_availability(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """One queue message per bookable event type, and no request yet."""
    start_conversation(agent)
    let_jobs_finish()

    asked = [each for each in queued() if each["account_id"] == salon.account.pk]
    assert {each["event_type_id"] for each in asked} == {
        service.event_type_id for service in (salon.cut, salon.colour, salon.beard)
    }
    assert simulator.count(LIST) == 0


def test_known_caller_gets_their_appointments(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The number comes from the network, because the key says so: it tells who calls."""
    agent.book(salon.colour, at(14))
    agent.book(salon.cut, at(10), caller=KARL, key="second")

    body = start_conversation(agent, caller_phone=ANNA.phone).json()

    assert body["caller"] == {"known": True, "name": ANNA.name}
    assert [each["start"] for each in body["appointments"]] == [at(14).astimezone(BERLIN).isoformat()]
    assert Conversation.objects.get().caller_phone == ANNA.phone


@pytest.mark.parametrize("missing", [AgentKey.Scope.CALLERS_IDENTIFY, AgentKey.Scope.BOOKINGS_READ])
def test_untrusted_number_reveals_nothing(
    simulator: Simulator, agent: Agent, salon: Salon, missing: AgentKey.Scope
) -> None:
    """FM-57, FM-58: a model can write any number. Without the scope it is as if none had been sent."""
    agent.book(salon.colour, at(14))
    askable = agent_with(salon, scopes=[scope for scope in AgentKey.Scope.values if scope != missing])

    answer = start_conversation(askable, caller_phone=ANNA.phone)

    assert (answer.json()["caller"], answer.json()["appointments"]) == ({"known": False, "name": None}, [])
    assert ANNA.name not in answer.text
    assert (Conversation.objects.get().caller_phone is None) == (missing == AgentKey.Scope.CALLERS_IDENTIFY)


def test_caller_of_a_conversation_cannot_change(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-58: the first number stays, and another one is told nothing."""
    agent.book(salon.colour, at(14))
    start_conversation(agent, caller_phone=ANNA.phone)

    again = start_conversation(agent, caller_phone=KARL.phone)

    assert again.json()["appointments"] == []
    assert Conversation.objects.get().caller_phone == ANNA.phone


@pytest.mark.parametrize("number", ["anonymous", "", None, "sip:4711@pbx", "12"])
def test_conversation_with_unreadable_number_starts(agent: Agent, salon: Salon, number: str | None) -> None:
    """FM-56: withheld, internal or broken, it is no reason to hang up."""
    assert start_conversation(agent, caller_phone=number).status_code == 201
    assert Conversation.objects.get().caller_phone is None


@FUZZ
@given(
    body=JSON
    | st.fixed_dictionaries(
        {"call_id": JSON},
        optional=dict.fromkeys(("platform", "caller_phone", "branch", "language"), JSON),
    )
)
def test_arbitrary_conversation_start_never_fails_with_500(agent: Agent, body: object) -> None:
    """It begins, or says what is wrong."""
    answer = agent.send("conversations", json.dumps(body).encode())

    assert answer.status_code in {200, 201, 422}
    assert "detail" in answer.json() or answer.json()["ok"]


def test_conversation_needs_branch_where_there_are_two(agent: Agent, salon: Salon) -> None:
    """The branch decides what today is, so it is never guessed; a key of one branch need not say."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    salon.beard.branch = other
    salon.beard.save()

    assert start_conversation(agent).json()["errors"][0]["field"] == "branch"
    assert start_conversation(agent, branch="Wedding").json()["branch"] == "Wedding"
    limited = agent_with(salon, branch=other, scopes=list(AgentKey.Scope.values))
    assert start_conversation(limited, "call-2").json()["branch"] == "Wedding"


# --- holding and booking -----------------------------------------------------------------------------------------


def test_held_slot_is_booked_by_confirm_token(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """FM-01: hold, read back, book; a repeat of each gets the same answer."""
    token = slot_token(salon.colour, at(14), call)
    first, again = (agent.post("holds", {"slot_token": token, "conversation_id": call}) for _ in range(2))

    held = first.json()
    assert (first.status_code, held["status"], held["replayed"]) == (201, "held", False)
    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert again.json()["confirm_token"] == held["confirm_token"]
    assert held["read_back"].startswith("Colour am Dienstag, dem ")
    assert held["read_back"].endswith(" um vierzehn Uhr. Ist das so richtig?")
    assert datetime.fromisoformat(held["expires_at"]) > timezone.now() + timedelta(seconds=100)

    booked = book_by_token(agent, call, confirm_token=held["confirm_token"])
    replay = book_by_token(agent, call, confirm_token=held["confirm_token"])
    assert (booked.status_code, booked.json()["status"]) == (201, "confirmed")
    assert booked.json()["booking"]["id"] == held["hold_id"]
    assert (replay.status_code, replay.json()["replayed"]) == (201, True)
    assert simulator.count(BOOK) == 1


def test_repeated_hold_after_booking_returns_the_booking(
    simulator: Simulator, agent: Agent, salon: Salon, call: str
) -> None:
    """It is not held any more, it is booked: that is what may be said."""
    token = slot_token(salon.colour, at(14), call)
    book_by_token(agent, call, slot_token=token)

    late = agent.post("holds", {"slot_token": token, "conversation_id": call}).json()

    assert (late["status"], late["expires_at"], late["replayed"]) == ("confirmed", None, True)
    assert late["read_back"] == "Ihr Termin steht."


def test_slot_is_held_for_one_of_two_conversations(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """The loser hears of other times, each with a token that holds it at once."""
    other = start_conversation(agent, "call-2").json()["conversation_id"]
    hold(agent, salon.colour, at(14), call)

    refused = hold(agent, salon.colour, at(14), other)

    assert (refused.status_code, refused.json()["code"]) == (409, "slot_taken")
    alternatives = refused.json()["alternatives"]
    assert len(alternatives) == 3
    token = alternatives[0]["slot_token"]
    assert agent.post("holds", {"slot_token": token, "conversation_id": other}).status_code == 201


def test_expired_hold_is_refused(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """409 with other times; a made-up token is another matter."""
    held = hold(agent, salon.colour, at(14), call).json()
    run_out(holds.Held(Appointment.objects.get()))

    late = book_by_token(agent, call, confirm_token=held["confirm_token"])
    invented = book_by_token(agent, call, confirm_token="ZZZZZZZZZZ")

    assert (late.status_code, late.json()["code"]) == (409, "hold_expired")
    assert len(late.json()["alternatives"]) == 3
    assert (invented.status_code, invented.json()["code"]) == (422, "confirm_token_invalid")
    assert simulator.count(BOOK) == 0


def test_hold_is_released(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """The slot is free again; giving it back twice, or after booking, changes nothing and says how it is."""
    held = hold(agent, salon.colour, at(14), call).json()["hold_id"]

    released = [agent.delete(f"holds/{held}") for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in released] == [(200, "released")] * 2
    assert not Claim.objects.exists()

    kept = book_by_token(agent, call, slot_token=slot_token(salon.colour, at(14), call)).json()["booking"]["id"]
    assert agent.delete(f"holds/{kept}").json()["status"] == "confirmed"
    assert Appointment.objects.get(public_id=kept).state == "confirmed"


def test_hold_of_another_company_is_not_found(agent: Agent, stranger: Agent, salon: Salon, call: str) -> None:
    """Neither its id nor its tokens."""
    conversation = start_conversation(stranger).json()["conversation_id"]
    token = slot_token(salon.colour, at(14), call)

    held = stranger.post("holds", {"slot_token": token, "conversation_id": conversation})
    booked = book_by_token(stranger, conversation, slot_token=token)
    gone = stranger.delete("holds/bk_0000000000000000")

    assert {held.json()["code"], booked.json()["code"]} == {"slot_not_offered"}
    assert (held.json()["detail"], held.json()["alternatives"]) == (booked.json()["detail"], [])
    assert gone.json()["code"] == "booking_not_found"


def test_key_of_another_branch_cannot_book_the_hold(agent: Agent, salon: Salon, call: str) -> None:
    """The key's branch bounds what it may hold and book, also within a conversation it knows."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    elsewhere = agent_with(salon, branch=other, scopes=list(AgentKey.Scope.values))
    token = slot_token(salon.colour, at(14), call)

    held = elsewhere.post("holds", {"slot_token": token, "conversation_id": call})

    assert held.json()["code"] == "slot_not_offered"
    assert book_by_token(elsewhere, call, slot_token=token).json()["code"] == "slot_not_offered"


@pytest.mark.parametrize(
    ("slot", "field"),
    [
        ({}, "service"),
        ({"service": "Colour"}, "start"),
        ({"start": "{start}"}, "service"),
        ({"slot_token": "{token}", "confirm_token": "{token}"}, "slot_token"),
        ({"slot_token": "{token}", "start": "{later}"}, "start"),
        ({"slot_token": "{token}", "service": "Haircut"}, "service"),
        ({"slot_token": 4711}, "slot_token"),
    ],
)
def test_request_with_two_tokens_is_refused(
    agent: Agent, salon: Salon, call: str, slot: dict[str, Any], field: str
) -> None:
    """FM-16: what a token says cannot be talked over; contradictions are named, never resolved by a guess."""
    said = {
        "token": slot_token(salon.colour, at(14), call),
        "start": at(14).isoformat(),
        "later": at(15).isoformat(),
    }
    filled = {name: value.format(**said) if isinstance(value, str) else value for name, value in slot.items()}

    answer = book_by_token(agent, call, **filled)

    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    assert answer.json()["errors"][0]["field"] == field
    assert not Appointment.objects.exists()


def test_token_beside_matching_slot_is_accepted(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """Models send everything they know; as long as it agrees, it does no harm."""
    slot = {"slot_token": slot_token(salon.colour, at(14), call), "service": "Colour", "start": at(14).isoformat()}

    assert book_by_token(agent, call, **slot).status_code == 201


def test_token_replaces_idempotency_key(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Without a conversation, too: the token identifies the request."""
    (offer,) = holds.issue_tokens(
        company=salon.company, conversation=None, service=salon.colour, starts=[at(14)], now=timezone.now()
    )
    answers = [agent.post("bookings", {"caller": CALLER, "slot_token": offer.token}) for _ in range(2)]

    assert [(each.status_code, each.json()["replayed"]) for each in answers] == [(201, False), (201, True)]
    assert simulator.count(BOOK) == 1


def test_booking_without_phone_uses_caller_id(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The network knows it; what the caller says goes before it."""
    call = start_conversation(agent, caller_phone=KARL.phone).json()["conversation_id"]
    token = slot_token(salon.colour, at(14), call)

    agent.post("bookings", {"caller": {"name": "Karl"}, "conversation_id": call, "slot_token": token})

    assert Appointment.objects.get().attendee_phone == KARL.phone


def test_hold_names_the_requested_staff(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """The caller asked for Emma, hears Emma, and gets Emma."""
    (offer,) = holds.issue_tokens(
        company=salon.company,
        conversation=Conversation.objects.get(public_id=call),
        service=salon.cut,
        starts=[at(10, 30)],
        staff=salon.emma,
        event_type=salon.emmas_cut.event_type,
        now=timezone.now(),
    )

    held = agent.post("holds", {"slot_token": offer.token, "conversation_id": call}, accept_language="en").json()

    assert held["staff"] == "Emma"
    assert held["read_back"].startswith("Haircut with Emma on Tuesday, the ")
    book_by_token(agent, call, confirm_token=held["confirm_token"])
    assert Appointment.objects.get().host == salon.emma.host


# --- its timeline ------------------------------------------------------------------------------------------------


def test_conversation_has_a_timeline(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """Requests, responses and durations, refusals included; without names, numbers and tokens."""
    token = slot_token(salon.colour, at(14), call)
    held = agent.post("holds", {"slot_token": token, "conversation_id": call}).json()
    book_by_token(agent, call, confirm_token="ZZZZZZZZZZ")
    booked = book_by_token(agent, call, confirm_token=held["confirm_token"], service="Colour", notes="allergic").json()

    lines = list(ToolCall.objects.order_by("pk"))
    assert [(line.endpoint, line.status) for line in lines] == [
        ("POST /v1/conversations", 201),
        ("POST /v1/holds", 201),
        ("POST /v1/bookings", 422),
        ("POST /v1/bookings", 201),
    ]
    assert lines[1].response["read_back"] == held["read_back"]
    assert lines[2].response["code"] == "confirm_token_invalid"
    assert lines[3].request == {"service": "Colour"}
    assert lines[3].response["spoken"] == booked["spoken"]
    assert all(line.duration > timedelta() for line in lines)
    told = str([(line.request, line.response) for line in lines])
    for secret in (ANNA.name, ANNA.phone, "allergic", token, held["confirm_token"], held["hold_id"]):
        assert secret not in told


def test_search_is_recorded_in_its_conversation(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """What has no body says so in its address; the timeline tells where the answer came from."""
    query = {"service": "Colour", "date": TUESDAY.isoformat(), "conversation_id": call}
    agent.get("availability", query)
    unknown = [agent.get("services", {"conversation_id": each}) for each in ("cv_0000000000000000", "\x00", "")]

    line = ToolCall.objects.latest("pk")
    assert (line.endpoint, line.status) == ("GET /v1/availability", 200)
    assert line.cache_status.startswith("Slotline; fwd=miss")
    assert {each.json()["code"] for each in unknown} == {"request_invalid"}


def test_timeline_accepts_zero_characters(agent: Agent, salon: Salon, call: str) -> None:
    said = {"service": "a\0\0b \\u0000 \\\0c", "when": [["\0"]]}

    agent.post("holds", {"slot_token": "ZZZZZZZZZZ", "conversation_id": call, **said})

    line = ToolCall.objects.latest("pk")
    assert line.request == {"service": "ab \\u0000 \\c", "when": [[""]]}
    assert line.response["code"] == "slot_not_offered"


@pytest.mark.parametrize("said", ["x" * 60_000, {"phrase": "\x00"}, "\x00"])
def test_failed_timeline_write_does_not_fail_the_request(
    simulator: Simulator, agent: Agent, salon: Salon, call: str, said: object
) -> None:
    """FM-15: the timeline never changes what the caller hears."""
    token = slot_token(salon.colour, at(14), call)

    answer = agent.post("holds", {"slot_token": token, "conversation_id": call, "when": said})

    assert answer.status_code == 201


def test_request_without_conversation_has_no_timeline(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Programs have no timeline, and pay nothing for one."""
    agent.book(salon.cut, at(10))

    assert not ToolCall.objects.exists()
    assert not SlotToken.objects.exists()
