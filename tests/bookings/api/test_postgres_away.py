"""PostgreSQL goes away in the middle of a request: whenever that is, the answer says that trying again may help."""

from typing import Any

import pytest
from django.db import OperationalError, connection

from calcom.simulator import Simulator
from tests.bookings.api.helpers import Agent, booking_body
from tests.factories import TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)

MOST_STATEMENTS = 60


def gone_after(statements: int) -> Any:
    """Let so many statements of this thread through."""
    left = iter(range(statements))

    def execute_or_not(execute: Any, *arguments: Any) -> Any:
        if next(left, None) is None:
            raise OperationalError("terminating connection due to unexpected postmaster exit")
        return execute(*arguments)

    return connection.execute_wrapper(execute_or_not)


@pytest.mark.parametrize("asked", ["booking", "operation", "book", "move", "cancel", "search", "hold"])
def test_postgresql_outage_answers_retryable_503(simulator: Simulator, agent: Agent, salon: Salon, asked: str) -> None:
    """FM-15: retryable until PostgreSQL is back; then the same request succeeds."""
    booked = agent.book(salon.colour, at(10)).json()
    id_, call = booked["booking"]["id"], agent.post("conversations", {"platform": "test", "call_id": "1"}).json()
    ten = {"service": f"sv_{salon.colour.pk}", "when": {"date": str(TUESDAY), "time": "12:00"}}
    offered = agent.post("availability/search", ten | {"conversation_id": call["conversation_id"]}).json()
    hold = {"slot_token": offered["offers"][0]["slot_token"], "conversation_id": call["conversation_id"]}
    ask = {
        "booking": lambda: agent.get(f"bookings/{id_}"),
        "operation": lambda: agent.get(f"operations/{booked['operation_id']}"),
        "book": lambda: agent.post("bookings", booking_body(salon.colour, at(14)), idempotency_key="book"),
        "move": lambda: agent.post(f"bookings/{id_}/reschedule", {"start": at(16).isoformat()}, idempotency_key="move"),
        "cancel": lambda: agent.post(f"bookings/{id_}/cancel", {"reason": "ill"}, idempotency_key="cancel"),
        "search": lambda: agent.post("availability/search", ten),
        "hold": lambda: agent.post("holds", hold),
    }[asked]

    for statements in range(MOST_STATEMENTS):
        with gone_after(statements):
            answer = ask()
        if answer.status_code < 300:
            break
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)
        assert int(answer.headers["Retry-After"]) >= 1
    assert answer.status_code in {200, 201}
    assert statements > 0
