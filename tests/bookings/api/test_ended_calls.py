"""A phone call that is over: nothing new is done in it, and it opens no appointments."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings import tasks
from bookings.models import AgentKey, Appointment, AppointmentState, CallbackRequest, Claim, Conversation, ToolCall
from bookings.scheduling import claims, conversations
from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent, agent_with, booking_body
from tests.factories import ANNA, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

QUIET = timedelta(minutes=16, seconds=1)


@pytest.fixture
def trusted(salon: Salon) -> Agent:
    """An agent that vouches for the caller's number."""
    return agent_with(salon, scopes=list(AgentKey.Scope))


@pytest.fixture
def call(trusted: Agent) -> str:
    """Anna is on the line."""
    return str(begin(trusted).json()["conversation_id"])


def begin(agent: Agent, call_id: str = "call-1"):
    return agent.post("conversations", {"platform": "retell", "call_id": call_id, "caller_phone": ANNA.phone})


def end(agent: Agent, call: str):
    return agent.post(f"conversations/{call}/end")


def fall_silent(call: str, silent: timedelta = QUIET) -> None:
    Conversation.objects.filter(public_id=call).update(last_seen_at=timezone.now() - silent)


def held(agent: Agent, salon: Salon, call: str, hour: int = 10) -> dict:
    """Hold a time in the call; return the answer and the token of the offer."""
    asked = {"service": f"sv_{salon.colour.pk}", "when": {"date": str(TUESDAY), "time": f"{hour}:00"}}
    offer = agent.post("availability/search", asked | {"conversation_id": call}).json()["offers"][0]
    answer = agent.post("holds", {"slot_token": offer["slot_token"], "conversation_id": call})
    assert answer.status_code == 201
    return {**answer.json(), "slot_token": offer["slot_token"]}


ENDINGS = ["said", "silent", "swept"]


def bring_to_end(ending: str, agent: Agent, call: str) -> None:
    if ending == "said":
        assert end(agent, call).status_code == 200
        return
    fall_silent(call)
    if ending == "swept":
        tasks.end_silent_conversations()
        assert Conversation.objects.get(public_id=call).ended_at is not None


def test_ending_a_conversation_releases_its_hold(simulator: Simulator, trusted: Agent, salon: Salon, call: str) -> None:
    """At once, for every other caller; and a repeat is told that it had ended."""
    held(trusted, salon, call)

    first, again = end(trusted, call), end(trusted, call)

    assert (first.status_code, first.json()["status"], first.json()["replayed"]) == (200, "ended", False)
    assert (again.status_code, again.json()["status"], again.json()["replayed"]) == (200, "ended", True)
    assert not Claim.objects.exists()
    assert Appointment.objects.get().state == AppointmentState.EXPIRED
    assert held(trusted, salon, begin(trusted, "call-2").json()["conversation_id"])


@pytest.mark.parametrize("way", ["hold", "search"])
@pytest.mark.usefixtures("simulator")
def test_hold_under_way_when_the_call_ends_is_not_made(
    trusted: Agent, salon: Salon, call: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The caller hangs up while the agent's request waits; the end finds nothing to release yet."""
    when = {
        "service": f"sv_{salon.colour.pk}",
        "when": {"date": str(TUESDAY), "time": "10:00"},
        "conversation_id": call,
    }
    token = trusted.post("availability/search", when).json()["offers"][0]["slot_token"]
    writing = claims.writing

    def hung_up(*args: object, **kwargs: object):
        conversations.end(Conversation.objects.get(public_id=call))
        return writing(*args, **kwargs)

    monkeypatch.setattr(claims, "writing", hung_up)
    if way == "hold":
        answer = trusted.post("holds", {"slot_token": token, "conversation_id": call})
    else:
        answer = trusted.post("availability/search", when | {"hold": "exact_match"})

    assert (answer.status_code, answer.json()["code"]) == (409, "conversation_ended")
    assert not Claim.objects.exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_ended_call_opens_no_appointments(
    simulator: Simulator, trusted: Agent, salon: Salon, call: str, ending: str
) -> None:
    """Neither to its number, nor to a reference, nor by a booking's id, nor where the call begins once more."""
    booked = trusted.post("bookings", booking_body(salon.colour, at(14), conversation_id=call)).json()["booking"]
    find = {"conversation_id": call}
    assert len(trusted.post("bookings/find", find).json()["bookings"]) == 1

    bring_to_end(ending, trusted, call)

    refused = [
        trusted.post("bookings/find", find),
        trusted.post("bookings/find", find | {"reference": booked["reference"]}),
        trusted.get(f"bookings/{booked['id']}", {"conversation_id": call}),
        begin(trusted),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (409, "conversation_ended")
        assert booked["id"] not in answer.text
        assert booked["reference"] not in answer.text


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_new_is_done_in_an_ended_call(
    simulator: Simulator, trusted: Agent, salon: Salon, call: str, ending: str
) -> None:
    """No search, no hold, no booking, no change; nothing is sent to Cal.com for it."""
    booked = trusted.post("bookings", booking_body(salon.colour, at(14), conversation_id=call)).json()["booking"]["id"]
    kept = held(trusted, salon, call)
    bring_to_end(ending, trusted, call)
    simulator.reset(log_only=True)
    inside, caller = {"conversation_id": call}, {"name": ANNA.name}

    answers = [
        trusted.get("availability", {"service": f"sv_{salon.cut.pk}", "date": str(TUESDAY), **inside}),
        trusted.post("availability/search", {"service": f"sv_{salon.cut.pk}", "when": {"date": str(TUESDAY)}} | inside),
        trusted.post("holds", {"slot_token": kept["slot_token"], **inside}),
        trusted.post("bookings", {"confirm_token": kept["confirm_token"], "caller": caller, **inside}),
        trusted.post("bookings", {"slot_token": kept["slot_token"], "caller": caller, **inside}),
        trusted.post("bookings", booking_body(salon.colour, at(16), **inside), idempotency_key="new"),
        trusted.post(f"bookings/{booked}/reschedule", {"start": at(16).isoformat(), **inside}),
        trusted.post(f"bookings/{booked}/cancel?conversation_id={call}", {}),
    ]

    assert {(each.status_code, each.json()["code"]) for each in answers} == {(409, "conversation_ended")}
    assert simulator.count() == 0
    assert list(Claim.objects.values_list("appointment__public_id", flat=True).distinct()) == [booked]


def test_repeats_in_an_ended_call_are_answered_as_the_first_request(
    simulator: Simulator, trusted: Agent, salon: Salon, call: str
) -> None:
    """A platform may repeat a request after the caller has hung up: what was done stays done."""
    kept = held(trusted, salon, call)
    inside, caller = {"conversation_id": call}, {"name": ANNA.name}
    asks = [
        lambda: trusted.post("bookings", booking_body(salon.colour, at(14), **inside)),
        lambda: trusted.post("bookings", {"confirm_token": kept["confirm_token"], "caller": caller, **inside}),
    ]
    firsts = [ask().json()["booking"]["id"] for ask in asks]
    asks.append(lambda: trusted.post(f"bookings/{firsts[0]}/reschedule", {"start": at(16).isoformat(), **inside}))
    firsts.append(asks[2]().json()["booking"]["id"])
    bring_to_end("said", trusted, call)
    sent = simulator.count()

    # The first of them is at another time by now, so what it asked for is not repeated but new.
    again = [ask() for ask in asks[1:]]

    assert [(each.status_code, each.json()["replayed"]) for each in again] == [(201, True), (200, True)]
    assert [each.json()["booking"]["id"] for each in again] == firsts[1:]
    assert simulator.count() == sent


@pytest.mark.parametrize("ending", ENDINGS)
def test_callbacks_and_operations_work_in_an_ended_call(
    simulator: Simulator, trusted: Agent, salon: Salon, call: str, ending: str
) -> None:
    """A person can be asked for at any time, with the number of the call; what was begun can be followed."""
    made = trusted.post("bookings", booking_body(salon.colour, at(14), conversation_id=call)).json()
    kept = held(trusted, salon, call)
    bring_to_end(ending, trusted, call)
    inside = f"conversation_id={call}"

    asked = trusted.post("callbacks", {"topic": "A perm", "conversation_id": call})
    operation = trusted.get(f"operations/{made['operation_id']}?{inside}")
    released = trusted.delete(f"holds/{kept['hold_id']}?{inside}")

    assert asked.status_code == 201
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert (operation.status_code, operation.json()["status"]) == (200, "done")
    assert (released.status_code, released.json()["status"]) == (200, "released")


def test_call_that_goes_on_does_not_end(simulator: Simulator, trusted: Agent, call: str) -> None:
    """Each request keeps it open for another quarter of an hour, and costs one statement more a minute."""
    for _ in range(3):
        fall_silent(call, timedelta(minutes=15))
        assert trusted.get("services", {"conversation_id": call}).status_code == 200
    tasks.end_silent_conversations()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert trusted.get("services", {"conversation_id": call}).status_code == 200

    assert Conversation.objects.get(public_id=call).ended_at is None
    assert not [each for each in queries if each["sql"].startswith("UPDATE")]


def test_silence_timeout_follows_its_setting(settings, trusted: Agent, call: str) -> None:
    """In seconds."""
    settings.BOOKINGS_CONVERSATION_SILENCE = 60
    fall_silent(call, timedelta(seconds=119))
    assert conversations.end_silent() == 0

    fall_silent(call, timedelta(seconds=121))
    assert conversations.end_silent() == 1
    assert conversations.end_silent() == 0


def test_conversations_end_independently(trusted: Agent, stranger: Agent, call: str) -> None:
    """Another company's key ends nothing, and another call goes on."""
    other = begin(trusted, "call-2").json()["conversation_id"]

    theirs = end(stranger, call)
    assert (theirs.status_code, theirs.json()["code"]) == (422, "request_invalid")
    assert end(trusted, call).status_code == 200

    assert Conversation.objects.get(public_id=other).ended_at is None
    assert trusted.get("services", {"conversation_id": other}).status_code == 200


def test_timeline_shows_the_end_and_what_came_after_it(trusted: Agent, call: str) -> None:
    """Also what was refused."""
    end(trusted, call)
    trusted.get("services", {"conversation_id": call})

    lines = ToolCall.objects.filter(conversation__public_id=call).order_by("pk").values_list("endpoint", "status")
    assert list(lines)[-2:] == [("POST /v1/conversations/<str:conversation_id>/end", 200), ("GET /v1/services", 409)]
