"""One booking and one phone call can be followed through the logs of web, worker and webhook."""

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from bookings import tasks
from bookings.models import Operation
from config.celery import app
from monitoring.logs import JsonLines
from tests.bookings.helpers import let_jobs_finish, pass_time
from tests.calcom.webhooks import Hooks
from tests.factories import TUESDAY, at

BOOK = "POST /v2/bookings"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """All that is logged, from now on or since it was last read."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)

    def read() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.truncate(0)
        stream.seek(0)
        return [json.loads(line) for line in text.splitlines()]

    yield read
    root.removeHandler(handler)
    root.setLevel(before)


def test_pending_booking_is_followed_by_its_id_until_a_worker_settles_it(agent, salon, simulator, lines: Lines):
    simulator.fail(BOOK, "reset_after")
    agent.free_slots(salon.colour, TUESDAY)
    lines()

    pending = agent.book(salon.colour, at(14), key="k")
    booking_id = pending.json()["booking"]["id"]
    in_web = lines()
    pass_time(10)
    tasks.settle()
    in_worker = lines()

    assert pending.status_code == 202
    events = {line["event"] for line in in_web if line.get("appointment_id") == booking_id}
    assert {"calcom.request", "operation.pending", "http.request"} <= events
    assert {line["request_id"] for line in in_web if "request_id" in line} == {pending["X-Request-Id"]}
    settled = [line for line in in_worker if line.get("appointment_id") == booking_id]
    assert {"calcom.request", "booking.confirmed"} <= {line["event"] for line in settled}
    assert {line["operation_id"] for line in settled} == {Operation.objects.get().public_id}
    assert {line["company_id"] for line in settled} == {salon.company.pk}


def test_webhook_about_a_booking_names_it(agent, salon, simulator, calcom, lines: Lines):
    hooks = Hooks(simulator, salon.account)
    booked = agent.book(salon.colour, at(14))
    let_jobs_finish()
    lines()

    hooks.bring(hooks.said("BOOKING_CREATED"))

    applied = [line for line in lines() if line["event"] == "webhook.applied"]
    assert [line["appointment_id"] for line in applied] == [booked.json()["booking"]["id"]]


def test_lines_of_a_phone_call_carry_its_id_and_the_company(agent, salon, lines: Lines):
    started = agent.post("/v1/conversations", {"platform": "test", "call_id": "c1"})
    conversation_id = started.json()["conversation_id"]

    agent.post("/v1/availability/search", {"conversation_id": conversation_id, "service": salon.colour.name})
    agent.post(f"/v1/conversations/{conversation_id}/end")

    requests = [line for line in lines() if line["event"] == "http.request"]
    assert [line["conversation_id"] for line in requests] == [conversation_id] * 3
    assert {line["company_id"] for line in requests} == {salon.company.pk}


def test_next_request_of_a_thread_inherits_no_call(agent, salon, lines: Lines):
    agent.post("/v1/conversations", {"platform": "test", "call_id": "c1"})
    lines()

    agent.free_slots(salon.colour, TUESDAY)

    assert all("conversation_id" not in line for line in lines())


def test_task_carries_the_id_of_the_request_that_sent_it(lines: Lines):
    seen: list[str] = []

    @app.task(name="tests.log_a_line", bind=True, ignore_result=True)
    def log_a_line(self: Any) -> None:
        seen.append(self.request.id)
        logging.getLogger("tests").info("a line")

    headers = {"request_id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    log_a_line.apply(headers=headers, throw=True)

    (line,) = [line for line in lines() if line["event"] == "a line"]
    assert (line["request_id"], line["task"], line["task_id"]) == (headers["request_id"], "tests.log_a_line", seen[0])
