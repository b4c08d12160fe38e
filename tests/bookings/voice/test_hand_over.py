"""A call goes on with a person where one is there, and in the language that was asked for."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bookings.models import Conversation
from bookings.voice.hand_over import hand_over
from calcom.simulator import Simulator
from tests.agent import Agent
from tests.bookings.voice.platforms import Mcp
from tests.factories import TUESDAY, Salon

pytestmark = pytest.mark.django_db(transaction=True)

BERLIN = ZoneInfo("Europe/Berlin")
NUMBER = "+493011111111"


@pytest.mark.parametrize(("hour", "until"), [(8, ""), (9, "18:00"), (17, "18:00"), (18, "")])
def test_person_is_there_while_the_branch_is_open(salon: Salon, hour: int, until: str) -> None:
    salon.branch.transfer_phone = NUMBER
    now = datetime.combine(TUESDAY, datetime.min.time(), BERLIN).replace(hour=hour)

    found = hand_over(salon.branch, now=now)

    assert found == {"transfer_number": NUMBER if until else "", "person_available_until": until}


def test_callback_names_the_person_who_is_there(simulator: Simulator, mcp: Mcp, salon: Salon) -> None:
    salon.branch.opening_hours = {}  # always open
    salon.branch.transfer_phone = NUMBER
    salon.branch.save()

    assert mcp.tool("request_callback", topic="x")["transfer_number"] == NUMBER


def test_without_a_number_no_transfer_is_named(simulator: Simulator, mcp: Mcp) -> None:
    assert "transfer_number" not in mcp.tool("request_callback", topic="x")


def test_language_sticks_to_the_call_until_another_is_asked_for(simulator: Simulator, salon: Salon) -> None:
    agent = Agent(salon.key)
    call = agent.post("conversations", {"platform": "test", "call_id": "1"}).json()["conversation_id"]
    search = {"service": f"sv_{salon.cut.pk}", "conversation_id": call}

    answered = [
        agent.post("availability/search", search | more).headers["Content-Language"]
        for more in ({}, {"language": "en-GB"}, {}, {"language": "de"}, {})
    ]

    assert answered == ["de", "en", "en", "de", "de"]
    assert Conversation.objects.get().language == "de"


def test_language_of_a_header_is_for_one_request(simulator: Simulator, salon: Salon) -> None:
    agent = Agent(salon.key)
    call = agent.post("conversations", {"platform": "test", "call_id": "1"}).json()["conversation_id"]
    search = {"service": f"sv_{salon.cut.pk}", "conversation_id": call}

    english = agent.post("availability/search", search, Accept_Language="en")
    after = agent.post("availability/search", search)

    assert [each.headers["Content-Language"] for each in (english, after)] == ["en", "de"]
