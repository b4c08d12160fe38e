"""
Outages of Cal.com: days are fresh, stale, expired (degraded, booked by a hold only) or missing (a callback is offered).

A booking sent meanwhile waits until it is made, refused or expired.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from bookings import tasks
from bookings.models import Appointment, CallbackRequest, Claim, Conversation, Operation
from cachectl import cache
from calcom.errors import Unavailable
from calcom.resilience import circuit_breaker
from calcom.service import CalcomService
from calcom.simulator import Kind, Simulator
from tests.bookings.api.helpers import Agent, booking_body
from tests.bookings.helpers import let_jobs_finish, pass_time
from tests.cachectl.conftest import RedisTime
from tests.factories import ANNA, MARIA, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"
TEN = {"date": str(TUESDAY), "time": "10:00"}


@pytest.fixture
def call(salon: Salon) -> Conversation:
    """A phone call, from a number that is known."""
    return Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=ANNA.phone)


@pytest.fixture
def _outage(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Tuesday is known, and has grown old; and Cal.com cannot be asked any more."""
    ask(agent, salon)
    RedisTime().pass_(1000)
    simulator.fail("* /v2/*", Kind.ERROR_BEFORE, times=None, status=503)


def ask(agent: Agent, salon: Salon) -> Any:
    """Ask for Tuesday's haircuts."""
    return agent.get("availability", {"service": f"sv_{salon.cut.pk}", "date": str(TUESDAY)})


def search(agent: Agent, salon: Salon, call: Conversation | None = None, **asked: Any) -> Any:
    """Search for a haircut."""
    body = {"service": f"sv_{salon.cut.pk}", "when": TEN, **asked}
    return agent.post("availability/search", body | ({"conversation_id": call.public_id} if call else {}))


def hold(agent: Agent, call: Conversation, token: str) -> Any:
    """Hold what was offered."""
    return agent.post("holds", {"slot_token": token, "conversation_id": call.public_id})


def book(agent: Agent, call: Conversation, **slot: object) -> Any:
    """Book by a token."""
    caller = {"name": ANNA.name, "phone": ANNA.phone, "language": "de"}
    return agent.post("bookings", {"caller": caller, "conversation_id": call.public_id, **slot})


def open_the_circuit_for_writes(salon: Salon) -> None:
    """Open the breaker, as three bookings that failed do."""
    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.WRITES).open()


# --- a question ---------------------------------------------------------------------------------------------------


RUNGS = {
    "fresh": (0, "available", True, "Slotline; hit"),
    "stale": (300, "available", True, "Slotline; fwd=stale"),
    "old": (1000, "degraded", False, "Slotline; fwd=stale"),
    "nothing": (90_000, "upstream_unavailable", None, ""),
}


@pytest.mark.parametrize("rung", RUNGS)
def test_freshness_decides_status_and_reserve(simulator: Simulator, agent: Agent, salon: Salon, rung: str) -> None:
    """Fresh and stale days are said without reserve, old ones with it; nothing is said of unknown days."""
    age, status, verified, cache_status = RUNGS[rung]
    known = ask(agent, salon).json()["slots"]
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None, status=503)
    RedisTime().pass_(age)

    answer = ask(agent, salon)

    body = answer.json()
    assert body.get("code", body["status"]) == status
    assert body.get("freshness", {}).get("verified") == verified
    assert body.get("slots", []) == (known if verified is not None else [])
    assert answer.get("Cache-Status", "").startswith(cache_status)


@pytest.mark.usefixtures("_outage")
def test_expired_days_are_offered_as_degraded(agent: Agent, salon: Salon, call: Conversation) -> None:
    """It is not held by itself either: nothing may sound like a promise."""
    body = search(agent, salon, call, hold="exact_match").json()

    assert (body["status"], len(body["offers"]), body["hold"]) == ("degraded", 1, None)
    assert "sicher ist das aber nicht" in body["spoken"]
    assert "hold the slot_token" in body["agent_hint"]


def test_unknown_days_offer_a_callback(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """In the search's own words, and in those of the problem that a program gets; both say where to send it."""
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None, status=503)

    for answer in (search(agent, salon), ask(agent, salon)):
        assert answer.json()["spoken"] == "Unser Kalender antwortet gerade nicht. Soll Sie jemand zurückrufen?"
        assert "POST /v1/callbacks" in answer.json()["agent_hint"]
        assert int(answer["Retry-After"]) >= 1


# --- a hold is mandatory ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_outage")
def test_uncertain_slot_is_not_booked_directly(
    agent: Agent, salon: Salon, call: Conversation, simulator: Simulator
) -> None:
    """Neither by its offer nor by service and start; and nothing is written down."""
    (offer,) = search(agent, salon, call).json()["offers"]

    by_offer = book(agent, call, slot_token=offer["slot_token"])
    by_start = agent.post("bookings", booking_body(salon.cut, at(10)), idempotency_key="program")

    for refused in (by_offer, by_start):
        assert (refused.status_code, refused.json()["code"]) == (409, "hold_required")
        assert refused.json()["spoken"].startswith("Ich halte die Zeit erst einmal für Sie fest.")
    assert not Operation.objects.exists()
    assert simulator.count(BOOK) == 0


@pytest.mark.usefixtures("_outage")
def test_uncertain_slot_is_held_then_booked(
    agent: Agent, salon: Salon, call: Conversation, simulator: Simulator
) -> None:
    """The hold says what it is worth; the booking waits, and is made when Cal.com is back."""
    (offer,) = search(agent, salon, call).json()["offers"]

    held = hold(agent, call, offer["slot_token"])
    again = hold(agent, call, offer["slot_token"])
    booked = book(agent, call, confirm_token=held.json()["confirm_token"])

    assert (held.status_code, held.json()["verified"]) == (201, False)
    assert (again.status_code, again.json()["verified"], again.json()["replayed"]) == (200, False, True)
    assert "it is not known whether it is still free" in held.json()["agent_hint"]
    assert (booked.status_code, booked.json()["status"]) == (202, "pending")

    simulator.clear_faults()
    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.WRITES).close()
    assert _settled(agent, booked) == "done"
    assert [each["status"] for each in simulator.bookings()] == ["accepted"]


@pytest.mark.usefixtures("_outage")
def test_uncertain_slot_is_held_for_one_caller(agent: Agent, salon: Salon, call: Conversation) -> None:
    """FM-05: a held slot is given to no other caller, verified or not."""
    other = Conversation.objects.create(company=salon.company, branch=salon.branch)
    (offer,), (same,) = (search(agent, salon, each).json()["offers"] for each in (call, other))

    assert hold(agent, call, offer["slot_token"]).status_code == 201
    assert hold(agent, other, same["slot_token"]).json()["code"] == "slot_taken"


def test_certain_slot_is_held_as_verified(simulator: Simulator, agent: Agent, salon: Salon, call: Conversation) -> None:
    """And booked directly."""
    (offer,) = search(agent, salon, call).json()["offers"]

    assert hold(agent, call, offer["slot_token"]).json()["verified"] is True
    assert agent.book(salon.cut, at(12)).status_code == 201


def test_day_that_just_changed_needs_no_hold(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Cal.com answers, so the booking itself asks whether the time is still free."""
    ask(agent, salon)
    cache.invalidate(
        invalidation_id=None,
        account_id=salon.account.pk,
        event_type_ids=[salon.cut.event_type_id],
        first=TUESDAY,
        last=TUESDAY,
        own=False,
    )

    assert ask(agent, salon).json()["freshness"]["verified"] is False
    assert agent.book(salon.cut, at(10)).status_code == 201


def test_slow_calcom_does_not_book_an_expired_slot(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """At the deadline the list is as old as before: it is held, the list comes meanwhile, and it is certain."""
    ask(agent, salon)
    RedisTime().pass_(1000)
    with simulator.holding(LIST):
        refused = agent.book(salon.cut, at(10), prefer="wait=0.5")
    let_jobs_finish()
    (offer,) = search(agent, salon, call).json()["offers"]

    assert refused.json()["code"] == "hold_required"
    assert hold(agent, call, offer["slot_token"]).json()["verified"] is True


# --- a booking in an outage ---------------------------------------------------------------------------------------


def test_booking_waits_while_circuit_is_open(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """202 at once: nothing was sent, nothing is promised, and the time is kept."""
    (offer,) = search(agent, salon, call).json()["offers"]
    open_the_circuit_for_writes(salon)

    answer = book(agent, call, slot_token=offer["slot_token"])

    body = answer.json()
    assert (answer.status_code, body["status"], body["booking"]["state"]) == (202, "pending", "pending")
    assert float(answer["Server-Timing"].removeprefix("total;dur=")) < 1000
    assert body["spoken"].startswith("Unser Kalender antwortet gerade nicht. Ich habe Ihren Wunsch notiert")
    assert body["spoken"].endswith("Sicher ist der Termin noch nicht.")
    assert "the caller is called back if it fails" in body["agent_hint"]
    assert agent.get(answer["Location"].removeprefix("/v1/")).json()["spoken"] == body["spoken"]
    assert set(Claim.objects.values_list("kind", flat=True)) == {"pending"}
    assert simulator.count(BOOK) == 0


def test_waiting_booking_is_made_when_circuit_closes(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """The sweep sends what is queued; the agent hears of it where it was told to ask."""
    (offer,) = search(agent, salon, call).json()["offers"]
    open_the_circuit_for_writes(salon)
    pending = book(agent, call, slot_token=offer["slot_token"])

    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.WRITES).close()

    assert _settled(agent, pending) == "done"
    operation = agent.get(pending["Location"].removeprefix("/v1/")).json()
    assert (operation["spoken"], operation["booking"]["state"]) == ("Ihr Termin steht.", "confirmed")
    assert simulator.count(BOOK) == 1


def test_waiting_booking_is_refused_when_slot_was_taken(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """The operation answers as a refusal; a caller who has hung up is called back."""
    (offer,) = search(agent, salon, call).json()["offers"]
    open_the_circuit_for_writes(salon)
    pending = book(agent, call, slot_token=offer["slot_token"])
    for host in ("emma", "ben"):
        simulator.book_elsewhere("haircut", at(10), host=host, webhook=False)
    circuit_breaker.breaker_for(salon.account.api_key, salon.account.pk, circuit_breaker.Kind.WRITES).close()

    assert _settled(agent, pending) == "refused"
    operation = agent.get(pending["Location"].removeprefix("/v1/")).json()
    assert operation["spoken"].startswith("Diese Zeit wurde leider gerade vergeben.")
    assert operation["booking"]["state"] == "rejected"
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert not Claim.objects.exists()


def test_waiting_booking_expires_at_its_start(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """It keeps its time until its start; then a callback is requested."""
    (offer,) = search(agent, salon, call).json()["offers"]
    open_the_circuit_for_writes(salon)
    pending = book(agent, call, slot_token=offer["slot_token"])
    ago = timezone.now() - timedelta(minutes=1)
    Appointment.objects.update(start=ago, end=ago + timedelta(minutes=30))

    assert _settled(agent, pending) == "refused"
    assert CallbackRequest.objects.get().topic == "The appointment could not be entered at Cal.com. (not_in_time)"
    assert simulator.count(BOOK) == 0


def test_pending_booking_without_phone_asks_for_one(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    ask(agent, salon)
    open_the_circuit_for_writes(salon)

    body = agent.book(salon.cut, at(10), caller=MARIA).json()

    assert body["status"] == "pending"
    assert "ask for one before the call ends" in body["agent_hint"]


def test_exhausted_rate_limit_makes_booking_pending(
    simulator: Simulator, agent: Agent, salon: Salon, call: Conversation
) -> None:
    """FM-42: it waits no longer than its caller, and is sent when there is a permit again."""
    (offer,) = search(agent, salon, call).json()["offers"]
    simulator.fail("GET /v2/bookings", Kind.TOO_MANY)
    with pytest.raises(Unavailable, match="limit"):
        CalcomService(salon.account).find_booking(
            attendee_email="a@b.example", start=at(9), end=at(10), appointment_id="x"
        )

    answer = book(agent, call, slot_token=offer["slot_token"])

    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert float(answer["Server-Timing"].removeprefix("total;dur=")) < 3600
    assert simulator.count(BOOK) == 0
    assert Operation.objects.get().next_attempt_at > timezone.now() + timedelta(seconds=50)


def _settled(agent: Agent, pending: Any) -> str:
    """Let time pass and the sweep's task run; return what the operation says then."""
    pass_time(120)
    tasks.settle(operation_id=Operation.objects.latest("pk").pk)
    return str(agent.get(pending["Location"].removeprefix("/v1/")).json()["status"])
