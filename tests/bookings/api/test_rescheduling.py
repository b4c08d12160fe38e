"""POST /v1/bookings/find and …/reschedule."""

import pytest
from django.utils import timezone

from bookings.models import Appointment, Branch, Claim, Conversation, SlotToken
from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent, agent_with
from tests.factories import ANNA, BERLIN, KARL, TUESDAY, WEDNESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

MOVE = "POST /v2/bookings/{uid}/reschedule"


@pytest.fixture
def call(salon: Salon) -> Conversation:
    """Anna is calling from her own number."""
    return Conversation.objects.create(company=salon.company, caller_phone=ANNA.phone)


def local(hour: int, minute: int = 0) -> str:
    """Return that time on Tuesday as answers spell it."""
    return at(hour, minute).astimezone(BERLIN).isoformat()


# --- moving ------------------------------------------------------------------------------------------------------


def test_booking_is_rescheduled(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """200 with the new time under the same id; uids stay in the house."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]

    moved = agent.post(f"bookings/{booking['id']}/reschedule", {"start": local(16), "reason": "a meeting"})

    body = moved.json()
    assert (moved.status_code, body["status"], body["replayed"]) == (200, "confirmed", False)
    assert body["booking"] == {**booking, "start": local(16), "end": local(17)}
    assert body["spoken"] == "Ihr Termin ist verlegt."
    assert moved["Location"] == f"/v1/bookings/{booking['id']}"
    row = Appointment.objects.get()
    assert not any(uid in moved.text for uid in (row.remote_uid, *row.earlier_remote_uids))
    assert agent.get(f"bookings/{booking['id']}").json()["booking"]["start"] == local(16)


def test_repeated_reschedule_replays_the_first(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-12: with a key or without; the same key with another time is refused."""
    address = f"bookings/{agent.book(salon.colour, at(14)).json()['booking']['id']}/reschedule"

    first = agent.post(address, {"start": local(16)}, idempotency_key="move")
    again = agent.post(address, {"start": local(16)}, idempotency_key="move")
    without = agent.post(address, {"start": local(16), "reason": "said differently"})
    other = agent.post(address, {"start": local(12)}, idempotency_key="move")

    assert [answer.json()["replayed"] for answer in (first, again, without)] == [False, True, True]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert simulator.count(MOVE) == 1


def test_slow_calcom_makes_reschedule_pending(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """202: the booking is where it was, and nothing else is promised; the operation says what became of it."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]

    with simulator.holding(MOVE):
        pending = agent.post(f"bookings/{booking['id']}/reschedule", {"start": local(16)}, prefer="wait=0.5")
        operation = agent.client.get(pending["Location"], headers={"Authorization": f"Bearer {agent.key}"}).json()

    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    assert pending.json()["booking"]["start"] == booking["start"]
    assert pending.json()["spoken"] == "Ich verlege den Termin gerade. Einen Moment bitte."
    assert (operation["status"], operation["operation"]["operation"]) == ("pending", "reschedule")
    outcome = agent.post(f"bookings/{booking['id']}/reschedule", {"start": local(16)}, prefer="wait=8")
    assert (outcome.status_code, outcome.json()["booking"]["start"]) == (200, local(16))


def test_taken_slot_is_refused_with_alternatives(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """409 with real times; in a conversation each can be taken by its token, for this very appointment."""
    agent.book(salon.colour, at(16), caller=KARL, key="karl")
    address = f"bookings/{agent.book(salon.colour, at(14)).json()['booking']['id']}/reschedule"

    refused = agent.post(address, {"start": local(16), "conversation_id": call.public_id})

    body = refused.json()
    assert (refused.status_code, body["code"]) == (409, "slot_taken")
    assert 1 <= len(body["alternatives"]) <= 3
    offer = body["alternatives"][0]
    moved = agent.post(address, {"slot_token": offer["slot_token"], "conversation_id": call.public_id})
    assert (moved.status_code, moved.json()["booking"]["start"]) == (200, offer["start"])


def test_hold_of_the_caller_is_consumed(simulator: Simulator, agent: Agent, salon: Salon, call: Conversation) -> None:
    """FM-01: what was read back is held, and the caller's own hold is not in the way of their move."""
    agent.book(salon.colour, at(16), caller=KARL, key="karl")
    address = f"bookings/{agent.book(salon.colour, at(14)).json()['booking']['id']}/reschedule"
    refused = agent.post(address, {"start": local(16), "conversation_id": call.public_id})
    token = next(each["slot_token"] for each in refused.json()["alternatives"] if each["start"] != local(13))
    held = agent.post("holds", {"slot_token": token, "conversation_id": call.public_id})
    assert held.status_code == 201, held.json()

    moved = agent.post(address, {"slot_token": token, "conversation_id": call.public_id})

    assert moved.status_code == 200
    assert not Appointment.objects.filter(state="held").exists()
    assert set(Claim.objects.values_list("kind", flat=True)) == {"confirmed"}


def test_offer_of_another_service_is_refused(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """FM-16: the token binds service and length, and a made-up one binds nothing."""
    agent.book(salon.cut, at(14), key="cut")
    taken = agent.post(
        "bookings",
        {"service": "Beard trim", "start": local(10, 7), "caller": {"name": "Karl"}, "conversation_id": call.public_id},
    )
    token = taken.json()["alternatives"][0]["slot_token"]
    address = f"bookings/{Appointment.objects.get().public_id}/reschedule"

    for wrong in (token, "0000000000"):
        refused = agent.post(address, {"slot_token": wrong, "conversation_id": call.public_id})
        assert (refused.status_code, refused.json()["code"]) == (422, "slot_not_offered")
    assert simulator.count(MOVE) == 0


def test_expired_offer_is_refused_with_alternatives(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """An old token takes nothing, and comes with new ones."""
    agent.book(salon.colour, at(16), caller=KARL, key="karl")
    address = f"bookings/{agent.book(salon.colour, at(14)).json()['booking']['id']}/reschedule"
    refused = agent.post(address, {"start": local(16), "conversation_id": call.public_id})
    SlotToken.objects.update(expires_at=timezone.now())

    offer = refused.json()["alternatives"][0]
    again = agent.post(address, {"slot_token": offer["slot_token"], "conversation_id": call.public_id})

    assert (again.status_code, again.json()["code"]) == (422, "slot_not_offered")
    assert again.json()["alternatives"]
    assert simulator.count(MOVE) == 0


@pytest.mark.parametrize(
    "body", [{}, {"start": None}, {"start": "tomorrow"}, {"start": local(16), "slot_token": "0000000000"}]
)
def test_reschedule_needs_exactly_one_new_time(
    agent: Agent, salon: Salon, simulator: Simulator, body: dict[str, object]
) -> None:
    """422, and nothing was moved."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]

    assert agent.post(f"bookings/{booking['id']}/reschedule", body).status_code == 422
    assert simulator.count(MOVE) == 0


def test_company_rules_refuse_reschedule(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Notice binds moving and cancelling, and the number of moves has an end."""
    address = f"bookings/{agent.book(salon.colour, at(14)).json()['booking']['id']}"
    _allow(salon, max_reschedules=0)
    too_often = agent.post(f"{address}/reschedule", {"start": local(16)})
    _allow(salon, cancel_notice_hours=24 * 30)
    too_late = [agent.post(f"{address}/reschedule", {"start": local(16)}), agent.post(f"{address}/cancel")]

    assert (too_often.status_code, too_often.json()["code"]) == (422, "too_many_reschedules")
    assert [(answer.status_code, answer.json()["code"]) for answer in too_late] == [(422, "change_too_late")] * 2
    assert agent.get(address).json()["booking"]["start"] == local(14)


def test_booking_of_another_company_is_not_rescheduled(
    simulator: Simulator, agent: Agent, stranger: Agent, salon: Salon
) -> None:
    """FM-26: nor is another branch's."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    elsewhere = agent_with(salon, branch=other, scopes=["bookings:write"])

    for agent_ in (stranger, elsewhere):
        refused = agent_.post(f"bookings/{booking['id']}/reschedule", {"start": local(16)})
        assert (refused.status_code, refused.json()["code"]) == (404, "booking_not_found")
    assert simulator.count(MOVE) == 0


# --- finding -----------------------------------------------------------------------------------------------------


def test_known_caller_finds_their_appointments(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """200 with what can be moved or cancelled by its id, and nothing about the person (FM-57)."""
    booked = agent.book(salon.colour, at(14)).json()["booking"]
    agent.book(salon.cut, at(10, on=WEDNESDAY), key="second")
    agent.book(salon.cut, at(16), caller=KARL, key="karl")

    found = agent.post("bookings/find", {"conversation_id": call.public_id}, accept_language="de")

    body = found.json()
    assert (found.status_code, body["status"], len(body["bookings"])) == (200, "found", 2)
    assert body["bookings"][0] == booked
    assert body["spoken"] == "Ich habe mehrere Termine von Ihnen gefunden. Um welchen geht es?"
    assert not any(private in found.text for private in (ANNA.name, ANNA.phone, ANNA.email, KARL.name))


def test_known_caller_without_appointments_finds_none(agent: Agent, call: Conversation) -> None:
    """It is their number, so it is theirs to know."""
    found = agent.post("bookings/find", {"conversation_id": call.public_id}, accept_language="en").json()

    assert (found["status"], found["bookings"]) == ("none", [])
    assert found["spoken"] == "I cannot find an upcoming appointment under your number."


def test_number_in_the_body_is_no_proof(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-58: what a model writes is not who calls."""
    agent.book(salon.colour, at(14))
    call = Conversation.objects.create(company=salon.company)

    refused = agent.post("bookings/find", {"conversation_id": call.public_id, "phone": ANNA.phone})
    nowhere = agent.post("bookings/find", {"caller_phone": ANNA.phone})

    assert [(each.status_code, each.json()["code"]) for each in (refused, nowhere)] == [(403, "identity_required")] * 2


def test_unverified_caller_cannot_tell_whether_booking_exists(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-57: a wrong guess, a right name on a wrong day, and the right reference one try too late."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]
    call = Conversation.objects.create(company=salon.company).public_id
    said = [
        {"reference": "XXXXXX"},
        {"name": "Unknown Person", "date": TUESDAY.isoformat()},
        {"name": ANNA.name, "date": WEDNESDAY.isoformat()},
        {"reference": booking["reference"]},
    ]

    answers = [agent.post("bookings/find", {"conversation_id": call, **each}) for each in said]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert len({_without_its_id(answer) for answer in answers}) == 1
    assert answers[0].json()["code"] == "identity_mismatch"


def test_reference_or_name_with_date_finds_booking(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """From any number: by reference, or by exact name and date."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]
    call = Conversation.objects.create(company=salon.company).public_id

    by_reference = agent.post("bookings/find", {"conversation_id": call, "reference": booking["reference"].lower()})
    by_name = agent.post("bookings/find", {"conversation_id": call, "name": ANNA.name, "date": TUESDAY.isoformat()})

    assert by_reference.json()["bookings"] == by_name.json()["bookings"] == [booking]


@pytest.mark.parametrize("half", [{"name": "Anna Schmidt"}, {"date": "2026-11-24"}, {"date": "Tuesday", "name": "x"}])
def test_name_without_date_is_refused(agent: Agent, call: Conversation, half: dict[str, str]) -> None:
    """422, and no try is lost."""
    assert agent.post("bookings/find", {"conversation_id": call.public_id, **half}).status_code == 422
    call.refresh_from_db()
    assert call.failed_proofs == 0


def test_conversation_of_another_company_is_refused(stranger: Agent, call: Conversation) -> None:
    """FM-26: an id that leaked opens nothing."""
    refused = stranger.post("bookings/find", {"conversation_id": call.public_id})

    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")


def test_find_needs_its_scope(salon: Salon, call: Conversation) -> None:
    """A key for availability only reads no appointments."""
    refused = agent_with(salon, scopes=["availability:read"]).post("bookings/find", {"conversation_id": call.public_id})

    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def _allow(salon: Salon, **policy: int) -> None:
    type(salon.company).objects.filter(pk=salon.company.pk).update(**policy)


def _without_its_id(answer: object) -> str:
    body = answer.json()
    return str({name: value for name, value in body.items() if name != "request_id"})
