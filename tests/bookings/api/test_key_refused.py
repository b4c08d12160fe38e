"""What agents are told while Cal.com refuses the account's API key: to offer a call by a person, and not to repeat."""

import re
from typing import Any

import pytest

from bookings.api.problem_catalog import ACCESS_REFUSED
from bookings.models import Appointment, CallbackRequest, Claim
from bookings.tasks import settle
from calcom.models import Account, KeyRefusal
from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent, book_by_token, slot_token, start_conversation
from tests.bookings.helpers import intent, pass_time, write_down
from tests.factories import SALON_CREDENTIAL, TUESDAY, WEDNESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

BOOK, CANCEL, RESCHEDULE = "POST /v2/bookings", "POST /v2/bookings/{uid}/cancel", "POST /v2/bookings/{uid}/reschedule"
TEN = {"date": str(TUESDAY), "time": "10:00"}


@pytest.fixture
def call(agent: Agent) -> str:
    """The id of a conversation that has begun."""
    return str(start_conversation(agent).json()["conversation_id"])


def assert_callback_is_offered(answer: Any) -> None:
    """Compare with what agents are promised: no repeat, and a call by a person."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["retryable"]) == (503, "upstream_unavailable", False)
    assert body["spoken"] == ACCESS_REFUSED.de
    assert "POST /v1/callbacks" in body["agent_hint"]
    assert "Retry-After" not in answer


def hold(agent: Agent, salon: Salon, call: str) -> Any:
    """Hold a slot that was offered."""
    return agent.post("holds", {"slot_token": slot_token(salon.colour, at(14), call), "conversation_id": call})


@pytest.mark.parametrize("text", [ACCESS_REFUSED.de, ACCESS_REFUSED.en])
def test_access_refused_sentence_can_be_spoken(text: str) -> None:
    """Plain words, and a question at the end."""
    assert re.fullmatch(r"[A-ZÄÖÜ][\w ,.?'äöüßÄÖÜ]*\?", text)
    assert len(text) <= 250


@pytest.mark.parametrize("is_expired", [True, False], ids=["expired", "revoked"])
def test_booking_offers_a_callback(simulator: Simulator, agent: Agent, salon: Salon, is_expired: bool) -> None:
    """Nothing is booked, and the time is free again."""
    agent.get("availability", {"service": f"sv_{salon.colour.pk}", "date": str(TUESDAY)})
    (simulator.expire_key if is_expired else simulator.revoke_key)(SALON_CREDENTIAL)

    first, second = (agent.book(salon.colour, at(14), key=key) for key in ("one", "two"))

    assert_callback_is_offered(first)
    assert_callback_is_offered(second)
    assert simulator.count(BOOK) == 1
    assert not Claim.objects.exists()


def test_cancelling_and_rescheduling_offer_a_callback(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The appointment stays where it is."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]
    simulator.expire_key(SALON_CREDENTIAL)

    rescheduled = agent.post(f"bookings/{booking['id']}/reschedule", {"start": at(16).isoformat()})
    cancelled = agent.post(f"bookings/{booking['id']}/cancel", {})

    assert_callback_is_offered(rescheduled)
    assert_callback_is_offered(cancelled)
    assert (simulator.count(RESCHEDULE), simulator.count(CANCEL)) == (1, 0)
    assert (Appointment.objects.get().state, Appointment.objects.get().start) == ("confirmed", at(14))


def test_rescheduling_with_a_revoked_key_offers_a_callback(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Its list of times is refused already."""
    booking = agent.book(salon.colour, at(14)).json()["booking"]
    simulator.revoke_key(SALON_CREDENTIAL)

    assert_callback_is_offered(agent.post(f"bookings/{booking['id']}/reschedule", {"start": at(16).isoformat()}))


def test_unknown_days_offer_a_callback(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Cal.com is asked once, for both kinds of search."""
    simulator.revoke_key(SALON_CREDENTIAL)

    listed = agent.get("availability", {"service": f"sv_{salon.colour.pk}", "date": str(TUESDAY)})
    searched = agent.post("availability/search", {"service": f"sv_{salon.colour.pk}", "when": TEN})
    body = searched.json()

    assert_callback_is_offered(listed)
    assert (body["status"], body["offers"]) == ("degraded", [])
    assert body["spoken"] == ACCESS_REFUSED.de
    assert "Do not search again" in body["agent_hint"]
    assert "Retry-After" not in searched
    assert simulator.count("GET /v2/slots") == 1


def test_known_days_are_answered(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """What is known stays known."""
    before = agent.get("availability", {"service": f"sv_{salon.colour.pk}", "date": str(TUESDAY)}).json()
    simulator.revoke_key(SALON_CREDENTIAL)
    agent.get("availability", {"service": f"sv_{salon.beard.pk}", "date": str(WEDNESDAY)})

    after = agent.get("availability", {"service": f"sv_{salon.colour.pk}", "date": str(TUESDAY)}).json()

    assert KeyRefusal.objects.exists()
    assert after["slots"] == before["slots"] != []


def test_unbookable_slot_is_not_held(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """The caller hears so before a time is read back."""
    simulator.expire_key(SALON_CREDENTIAL)
    held = hold(agent, salon, call).json()
    assert_callback_is_offered(book_by_token(agent, call, confirm_token=held["confirm_token"]))

    assert_callback_is_offered(hold(agent, salon, call))
    assert not Claim.objects.exists()


def test_new_key_books_at_once(simulator: Simulator, agent: Agent, salon: Salon, call: str) -> None:
    """Web remembers services for seconds, with the account and its key in them: it asks for the new one."""
    simulator.revoke_key(SALON_CREDENTIAL)
    assert_callback_is_offered(agent.get("availability", {"service": f"sv_{salon.colour.pk}", "date": str(TUESDAY)}))
    simulator.issue_key("salon", "cal_new")
    Account.objects.filter(pk=salon.account.pk).update(api_key="cal_new")

    held = hold(agent, salon, call).json()
    booked = book_by_token(agent, call, confirm_token=held["confirm_token"])

    assert (booked.status_code, booked.json()["status"]) == (201, "confirmed")


def test_booking_that_was_pending_becomes_a_callback(simulator: Simulator, salon: Salon) -> None:
    """The caller has gone when the key turns out to be refused: a person calls them, and it is not tried for ever."""
    operation = write_down(intent(salon.colour, at(14)))
    simulator.revoke_key(SALON_CREDENTIAL)
    pass_time(60)

    settle(operation_id=operation.pk)

    operation.refresh_from_db()
    assert (operation.state, operation.outcome) == ("refused", "unauthorized")
    assert CallbackRequest.objects.count() == 1
    assert not Claim.objects.exists()
