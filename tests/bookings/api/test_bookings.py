"""Bookings: created, read, repeated, cancelled."""

import orjson
import pytest

from bookings.models import AgentKey, Appointment, Branch, Conversation, ToolCall
from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent, agent_with, booking_body
from tests.factories import ANNA, BERLIN, KARL, MARIA, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


def test_booking_is_confirmed_by_calcom(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """201, with what the caller may be told, where to find it, and nothing about the caller (FM-57)."""
    answer = agent.book(salon.cut, at(10), caller=ANNA)

    body = answer.json()
    assert (answer.status_code, body["status"], body["replayed"]) == (201, "confirmed", False)
    assert body["booking"]["start"] == at(10).astimezone(BERLIN).isoformat()
    assert (body["booking"]["time_zone"], body["booking"]["weekday"]) == ("Europe/Berlin", "Dienstag")
    assert body["spoken"] == "Ihr Termin steht."
    assert answer["Location"] == f"/v1/bookings/{body['booking']['id']}"
    assert ANNA.name not in answer.text
    assert ANNA.phone not in answer.text
    uid = Appointment.objects.get().remote_uid
    assert uid
    assert uid not in answer.text


def test_booked_slot_is_not_listed_again(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-24: the next caller does not hear it, and no request is spent on that."""
    query = {"service": f"sv_{salon.colour.pk}", "date": TUESDAY.isoformat()}
    before = [slot["start"] for slot in agent.get("availability", query).json()["slots"]]

    agent.book(salon.colour, at(14))

    after = [slot["start"] for slot in agent.get("availability", query).json()["slots"]]
    taken = at(14).astimezone(BERLIN).isoformat()
    assert taken in before
    assert taken not in after
    assert simulator.count("GET /v2/slots") == 1


def test_repeated_booking_replays_the_first(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-09: same key and body, one booking; same key, other body: refused."""
    first = agent.book(salon.cut, at(10), key="one")
    again = agent.book(salon.cut, at(10), key="one")
    other = agent.book(salon.cut, at(11), key="one")

    assert (again.status_code, again.json()["replayed"]) == (201, True)
    assert again.json()["booking"]["id"] == first.json()["booking"]["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert simulator.count("POST /v2/bookings") == 1


def test_conversation_replaces_idempotency_key(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-12: a repeat with other contact fields is the same booking."""
    call = Conversation.objects.create(company=salon.company)

    first = agent.post("bookings", booking_body(salon.cut, at(10), conversation_id=call.public_id))
    again = agent.post("bookings", booking_body(salon.cut, at(10), caller=KARL, conversation_id=call.public_id))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["replayed"] is True
    assert simulator.count("POST /v2/bookings") == 1


def test_repeat_in_another_name_is_marked_as_no_new_booking(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The agent hears how a second person gets an appointment; one person's repeat says nothing of the kind."""
    call = Conversation.objects.create(company=salon.company).public_id

    first, again, other = (
        agent.post("bookings", booking_body(salon.cut, at(10), caller=caller, conversation_id=call)).json()
        for caller in (ANNA, ANNA, KARL)
    )

    assert first["booking"] == again["booking"] == other["booking"]
    assert "No further booking" not in first["agent_hint"] + again["agent_hint"]
    assert "No further booking was made" in other["agent_hint"]
    assert "slot_token" in other["agent_hint"]


def test_slow_calcom_makes_booking_pending(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """202 promises nothing; its address says how far it is, and who asks again hears what it came to."""
    agent.get("availability", {"service": f"sv_{salon.cut.pk}", "date": TUESDAY.isoformat()})

    with simulator.holding("POST /v2/bookings"):
        answer = agent.book(salon.cut, at(10), prefer="wait=0.5")
        operation = agent.client.get(answer["Location"], headers={"Authorization": f"Bearer {agent.key}"})

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.json()["spoken"] == "Ich trage den Termin gerade ein. Einen Moment bitte."
    assert answer["Retry-After"] == "1"
    assert (operation.status_code, operation.json()["status"]) == (200, "pending")
    assert operation.json()["booking"]["id"] == answer.json()["booking"]["id"]
    outcome = agent.book(salon.cut, at(10), prefer="wait=8")
    assert (outcome.status_code, outcome.json()["status"], outcome.json()["replayed"]) == (201, "confirmed", True)


def test_taken_slot_is_refused_with_alternatives(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """409 with real times, the nearest first, in the branch's zone."""
    agent.book(salon.colour, at(14))

    answer = agent.book(salon.colour, at(14), caller=KARL, key="second")

    body = answer.json()
    assert (answer.status_code, body["code"], body["retryable"]) == (409, "slot_taken", False)
    assert 1 <= len(body["alternatives"]) <= 3
    assert {"start", "end", "time_zone", "weekday"} == set(body["alternatives"][0])
    assert answer["Content-Type"] == "application/problem+json"
    assert body["request_id"] == answer["X-Request-Id"]


def test_caller_without_phone_and_email_can_book(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-56: a withheld number is no number, however the platform spells it."""
    body = booking_body(salon.cut, at(10), caller=MARIA)
    body["caller"]["phone"] = "Anonymous"
    body["caller"]["email"] = ""

    assert agent.post("bookings", body, idempotency_key="one").status_code == 201
    assert Appointment.objects.get().attendee_phone is None


def test_phone_is_read_in_the_branch_region(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The branch's country is the default."""
    body = booking_body(salon.cut, at(10), caller=MARIA)
    body["caller"]["phone"] = "0151 12345678"

    agent.post("bookings", body, idempotency_key="one")

    assert Appointment.objects.get().attendee_phone == "+4915112345678"


def test_cancelled_slot_is_listed_again(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """200; a repeat gets the same; the booking says so."""
    booking = agent.book(salon.cut, at(10)).json()["booking"]

    cancelled = agent.post(f"bookings/{booking['id']}/cancel", {"reason": "ill"})
    again = agent.post(f"bookings/{booking['id']}/cancel")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert cancelled.json()["spoken"] == "Ihr Termin ist abgesagt."
    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert agent.get(f"bookings/{booking['id']}").json()["status"] == "cancelled"
    assert simulator.count("POST /v2/bookings/{uid}/cancel") == 1


def test_booking_is_read_by_id(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    booked = agent.book(salon.cut, at(10)).json()

    seen = agent.get(f"bookings/{booked['booking']['id']}", {"language": "en"})
    operation = agent.get(f"operations/{booked['operation_id']}")

    assert seen.json()["booking"] == {**booked["booking"], "weekday": "Tuesday"}
    assert (operation.json()["status"], operation.json()["operation"]["operation"]) == ("done", "create")
    assert operation.json()["operation"]["finished_at"]


def test_booking_of_another_company_is_not_found(
    simulator: Simulator, agent: Agent, stranger: Agent, salon: Salon
) -> None:
    """Ids of another tenant are unknown, for seeing, cancelling and following; and nothing changes."""
    booked = agent.book(salon.cut, at(10)).json()
    own = booked["booking"]["id"]

    seen, cancelled = stranger.get(f"bookings/{own}"), stranger.post(f"bookings/{own}/cancel", {"reason": "x"})
    followed = stranger.get(f"operations/{booked['operation_id']}")
    theirs = stranger.book(salon.cut, at(11))

    assert [answer.json()["code"] for answer in (seen, cancelled, followed, theirs)] == [
        "booking_not_found",
        "booking_not_found",
        "not_found",
        "service_unknown",
    ]
    assert Appointment.objects.get().state == "confirmed"


def test_booking_of_another_branch_is_not_found(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The key's branch bounds what it sees, also within a company."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    elsewhere = agent_with(salon, branch=other, scopes=list(AgentKey.Scope.values))
    booked = agent.book(salon.cut, at(10)).json()

    assert elsewhere.get(f"bookings/{booked['booking']['id']}").status_code == 404
    assert elsewhere.post(f"bookings/{booked['booking']['id']}/cancel").status_code == 404
    assert elsewhere.get(f"operations/{booked['operation_id']}").status_code == 404


# --- after the commit ---------------------------------------------------------------------------------------------


def broken(*_args: object, **_kwargs: object) -> None:
    raise RuntimeError("no room left on the disk")


@pytest.mark.parametrize(
    "step",
    [
        "bookings.scheduling.conversations.record",
        "bookings.models.ToolCall.objects.create",
        "monitoring.metrics.OPERATION_OWN_SECONDS.labels",
        "monitoring.metrics.OPERATIONS.labels",
        "monitoring.metrics.REQUEST_SECONDS.labels",
        "monitoring.middleware.log.info",
    ],
)
@pytest.mark.parametrize("operation", ["book", "cancel"])
@pytest.mark.usefixtures("simulator")
def test_failure_after_commit_does_not_change_the_response(
    agent: Agent, salon: Salon, monkeypatch: pytest.MonkeyPatch, step: str, operation: str
) -> None:
    """What was made is answered as made, and so is each repeat."""
    call = Conversation.objects.create(company=salon.company, language="de").public_id
    ask = {"book": lambda: agent.post("bookings", booking_body(salon.cut, at(10), conversation_id=call))}
    if operation == "cancel":
        made = ask["book"]().json()["booking"]["id"]
        ask["cancel"] = lambda: agent.post(f"bookings/{made}/cancel?conversation_id={call}", {"reason": "ill"})
    monkeypatch.setattr(step, broken)

    first = ask[operation]()
    again = ask[operation]()

    assert first.status_code == {"book": 201, "cancel": 200}[operation]
    assert again.status_code == first.status_code


@pytest.mark.parametrize("levels", [19, 21, 300])
def test_ignored_member_of_any_depth_breaks_nothing(
    simulator: Simulator, agent: Agent, salon: Salon, levels: int
) -> None:
    """It is decided before anything is written, and each repeat is answered alike."""
    call = Conversation.objects.create(company=salon.company).public_id
    body = booking_body(salon.cut, at(10), conversation_id=call)
    deep = orjson.dumps(body)[:-1] + b',"ignored":' + b"[" * levels + b"]" * levels + b"}"

    statuses = [agent.send("bookings", deep).status_code for _ in range(2)]

    assert statuses == ([201, 201] if levels < 20 else [400, 400])
    assert len(simulator.bookings()) == Appointment.objects.count() == (levels < 20)
    assert set(ToolCall.objects.values_list("status", flat=True)) == ({201} if levels < 20 else set())


def test_timeline_records_unreadable_body(agent: Agent, salon: Salon) -> None:
    """Without the body: its status says what was wrong."""
    call = Conversation.objects.create(company=salon.company).public_id

    answer = agent.send(f"bookings?conversation_id={call}", b"service=1", "application/x-www-form-urlencoded")

    line = ToolCall.objects.get()
    assert (answer.status_code, line.status, line.request) == (415, 415, {})
