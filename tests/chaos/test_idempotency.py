"""One idempotency key a hundred times in parallel, with another body, and after a crash."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections

from bookings.models import Appointment, Operation
from calcom.http import transport
from tests.bookings.api.helpers import Agent, booking_body
from tests.bookings.helpers import PATIENCE, pass_time, settle
from tests.factories import KARL, at

BOOK = "POST /v2/bookings"
PARALLEL = 100


@pytest.fixture
def agents(_jobs, simulator, salon) -> list[Agent]:
    """A hundred threads' clients with one key, on calendars that are known."""
    agents = [Agent(salon.key) for _ in range(PARALLEL)]
    for agent in agents:
        agent.client.handler = agents[0].client.handler  # middleware takes long to load
    agents[0].get("availability", {"service": f"sv_{salon.cut.pk}", "date": at(10).date().isoformat()})
    return agents


def test_a_hundred_at_once_have_one_effect(agents, salon, simulator):
    """FM-08: one books; the others are told that it runs, or what it came to."""
    body = booking_body(salon.cut, at(10))

    told = Counter(outcome for outcome, _ in at_once(agents, body, prefer="wait=8"))

    assert told[201, "new"] == 1
    assert set(told) <= {(201, "new"), (201, "replayed"), (409, "idempotency_in_progress")}
    assert simulator.count(BOOK) == Operation.objects.count() == Appointment.objects.count() == 1


def test_while_the_first_runs_the_others_are_told_so_and_afterwards_what_it_came_to(agents, salon, simulator):
    """409 with the time to ask again, then 201 and `replayed`; another body is refused before and after."""
    body, other = booking_body(salon.cut, at(10)), booking_body(salon.cut, at(10), caller=KARL)
    with ThreadPoolExecutor(1) as pool, simulator.holding(BOOK):
        first = pool.submit(at_once, agents[:1], body, prefer="wait=8")
        simulator.await_in_flight(1, BOOK)
        meanwhile = at_once(agents[1:80], body)
        others = at_once(agents[80:], other)
        simulator.clear_faults()
        [(_, booked)] = first.result()
    afterwards = at_once(agents, body)
    others += at_once(agents[:20], other)

    assert {outcome for outcome, _ in meanwhile} == {(409, "idempotency_in_progress")}
    assert all(int(answer["Retry-After"]) >= 1 for _, answer in meanwhile)
    assert {outcome for outcome, _ in afterwards} == {(201, "replayed")}
    assert {answer.json()["booking"]["id"] for _, answer in afterwards} == {booked.json()["booking"]["id"]}
    assert {outcome for outcome, _ in others} == {(422, "idempotency_key_reused")}
    assert simulator.count(BOOK) == Appointment.objects.count() == 1


def test_after_a_crash_nobody_books_again(agents, salon, calcom, simulator, monkeypatch):
    """Sent, and dead before the answer was heard: pending while the outcome is unknown, then the outcome."""
    body = booking_body(salon.cut, at(10))
    with monkeypatch.context() as dying:
        dying.setattr(transport, "send", _send_and_die)
        crashed, _ = send(agents[0], body)
    at_first = at_once(agents, body)
    pass_time(PATIENCE + 31)  # the first caller waits no longer, and what was sent is silent
    in_the_dark = at_once(agents[:20], body, prefer="wait=0.5")
    settle(Operation.objects.get(), calcom)
    in_the_end = at_once(agents, body)

    assert crashed == (202, "new")
    assert {outcome for outcome, _ in at_first} == {(409, "idempotency_in_progress")}
    assert {outcome for outcome, _ in in_the_dark} == {(202, "replayed")}
    assert {outcome for outcome, _ in in_the_end} == {(201, "replayed")}
    assert {answer.json()["status"] for _, answer in in_the_end} == {"confirmed"}
    assert simulator.count(BOOK) == Appointment.objects.count() == 1


def at_once(agents: list[Agent], body: object, **headers: str) -> list[Any]:
    """Send the same from everybody at the same moment, under one key."""
    barrier = Barrier(len(agents))

    def one(agent: Agent) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait()
            return send(agent, body, **headers)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(agents)) as pool:
        return list(pool.map(one, agents))


def send(agent: Agent, body: object, **headers: str) -> Any:
    """Return what came of it in two words, and the answer."""
    answer = agent.post("bookings", body, idempotency_key="one", **headers)
    said = answer.json()
    word = ("replayed" if said["replayed"] else "new") if said["ok"] else said["code"]
    return (answer.status_code, word), answer


def _send_and_die(**request: Any) -> Any:
    _SEND(**request)
    raise SystemExit("killed")


_SEND = transport.send
