"""POST /v1/availability/search with the caller's own words: found, or asked with one question."""

from typing import Any

import pytest

from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent
from tests.factories import BERLIN, TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

WEEKDAY, MONTH = "Dienstag", (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)[TUESDAY.month - 1]  # fmt: skip
DATED = f"{TUESDAY.day}. {MONTH} {TUESDAY.year}"


def search(agent: Agent, salon: Salon, phrase: str, **asked: Any) -> dict[str, Any]:
    body = {"service": f"sv_{salon.cut.pk}", "when": {"phrase": phrase}, **asked}
    found: dict[str, Any] = agent.post("availability/search", body).json()
    return found


def test_exact_time_in_words_is_found(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, f"am {DATED} um zehn Uhr, bitte")

    assert (body["status"], body["request"]["ambiguous"]) == ("available", False)
    assert body["offers"][0]["start"] == at(10).astimezone(BERLIN).isoformat()
    assert "zehn Uhr" in body["request"]["understood"]


def test_limit_in_words_bounds_the_offers(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, f"am {DATED}, aber nicht vor halb drei")

    assert body["offers"]
    assert all(offer["start"] >= at(14, 30).astimezone(BERLIN).isoformat() for offer in body["offers"])


def test_soonest_is_the_first_free_slot(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    soonest = search(agent, salon, "so bald wie möglich")
    without_time = agent.post("availability/search", {"service": f"sv_{salon.cut.pk}"}).json()

    assert soonest["offers"][0]["start"] == without_time["offers"][0]["start"]


def test_weekday_that_contradicts_its_date_is_asked(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, f"Mittwoch, den {DATED}")

    assert body["code"] == "time_ambiguous"
    assert len(body["readings"]) == 2
    assert all(name in body["spoken"] for name in ("Dienstag", "Mittwoch"))
    assert simulator.count("GET /v2/slots") == 0


def test_unknown_word_is_named_in_the_question(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, f"am {DATED} plunder")

    assert body["code"] == "time_not_understood"
    assert "plunder" in body["spoken"]


def test_time_that_has_passed_is_named(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, "gestern um zehn")

    assert (body["code"], body["ok"]) == ("date_in_past", False)
    assert body["spoken"].endswith("?")


def test_words_of_another_language_get_a_hint(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    body = search(agent, salon, "next week on Thursday afternoon")

    assert body["code"] == "time_not_understood"
    assert "language en" in body["agent_hint"]


def test_offer_is_referred_to_within_the_call(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    started = agent.post("conversations", {"platform": "test", "call_id": "c1"}).json()
    call = {"conversation_id": started["conversation_id"]}
    offered = search(agent, salon, f"am {DATED} vormittags", **call)["offers"]

    again = search(agent, salon, "das zweite, bitte", **call)

    assert len(offered) > 1
    assert [offer["start"] for offer in again["offers"]] == [offered[1]["start"]]


def test_region_of_the_branch_decides_the_variant(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    salon.branch.phone_region = "GB"
    salon.branch.save()

    british = search(agent, salon, "tomorrow at half ten in the morning", language="en")

    assert "code" not in british
    assert "ten thirty" in british["request"]["understood"]


def test_offers_of_another_call_are_not_referred_to(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    first, second = (
        agent.post("conversations", {"platform": "test", "call_id": call_id}).json() for call_id in ("c1", "c2")
    )
    search(agent, salon, f"am {DATED} vormittags", conversation_id=first["conversation_id"])

    other = search(agent, salon, "das zweite, bitte", conversation_id=second["conversation_id"])

    assert other["code"] == "time_ambiguous"
