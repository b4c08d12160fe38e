"""What became of questions is counted: asked, offered, offered and then refused."""

import pytest

from calcom.simulator import Kind, Simulator
from tests.agent import Agent
from tests.bookings.api.helpers import book_by_token, slot_token, start_conversation
from tests.factories import SUNDAY, TUESDAY, Salon, at
from tests.monitoring import samples

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "GET /v2/slots"


def counted(grown: dict[str, float], metric: str) -> dict[str, float]:
    """Return what grew of a metric, by its labels."""
    return {line.removeprefix(metric): count for line, count in grown.items() if line.startswith(metric)}


@pytest.mark.parametrize(
    ("day", "status"), [(TUESDAY, "available"), (SUNDAY, "alternatives")], ids=["what was asked for", "other times"]
)
def test_search_is_counted_by_what_it_offers(agent: Agent, salon: Salon, simulator: Simulator, day, status) -> None:
    with samples.growth() as grown:
        agent.post("availability/search", {"service": f"sv_{salon.cut.pk}", "when": {"date": str(day)}})

    assert counted(grown, "slotline_availability_results_total") == {f'{{status="{status}"}}': 1}


def test_answer_without_any_knowledge_is_counted_as_unknown(agent: Agent, salon: Salon, simulator: Simulator) -> None:
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    with samples.growth() as grown:
        agent.post("availability/search", {"service": f"sv_{salon.cut.pk}", "when": {"date": str(TUESDAY)}})
        agent.availability(salon.beard, TUESDAY)

    assert counted(grown, "slotline_availability_results_total") == {'{status="unknown"}': 2}


def test_offer_that_is_taken_meanwhile_is_counted_once(agent: Agent, salon: Salon, simulator: Simulator) -> None:
    """Refused when it is held and when it is booked; a repeat of the booking is the same refusal."""
    call, other = (str(start_conversation(agent, name).json()["conversation_id"]) for name in ("call-1", "call-2"))
    token = slot_token(salon.colour, at(10), call)
    book_by_token(agent, other, slot_token=slot_token(salon.colour, at(10), other))

    with samples.growth() as grown:
        held = agent.post("holds", {"slot_token": token, "conversation_id": call})
        booked = book_by_token(agent, call, slot_token=token)

    assert (held.status_code, booked.status_code) == (409, 409)
    assert counted(grown, "slotline_offers_refused_total") == {
        '{reason="slot_taken",step="hold"}': 1,
        '{reason="slot_taken",step="booking"}': 1,
    }


def test_offer_that_calcom_refuses_is_counted_once(agent: Agent, salon: Salon, simulator: Simulator) -> None:
    call = str(start_conversation(agent).json()["conversation_id"])
    agent.availability(salon.colour, TUESDAY)
    token = slot_token(salon.colour, at(10), call)
    simulator.book_elsewhere(2, at(10), webhook=False)

    with samples.growth() as grown:
        answers = [book_by_token(agent, call, slot_token=token) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert sum(counted(grown, "slotline_offers_refused_total").values()) == 1
