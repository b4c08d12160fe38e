"""Waiting for an operation that another thread or process carries out: woken at its end, few queries until then."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from bookings.models import Operation
from bookings.scheduling import execution
from cachectl import keys
from cachectl.infra import wakeups
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from script.lib.servers import free_port
from tests.bookings.helpers import PATIENCE, book, intent, settle, write_down
from tests.factories import KARL, at

BOOK = "POST /v2/bookings"

LONG = 3600.0
"""Seconds between two looks, so that only being woken ends a wait."""


@pytest.fixture
def operation(salon, calcom) -> Operation:
    return write_down(intent(salon.colour, at(10)))


@pytest.fixture
def in_background():
    """Return a function that runs a job on a thread, and returns its future once the job waits for the topic."""
    pool = ThreadPoolExecutor(4)

    def run(topic: str, job: Callable[[], object], number: int = 1) -> "list[Future[object]]":
        def tidied() -> object:
            try:
                return job()
            finally:
                connections.close_all()

        futures = [pool.submit(tidied) for _ in range(number)]
        while len(wakeups._here()._waiting.get(topic, ())) < number:
            assert not any(future.done() for future in futures)
        return futures

    yield run
    pool.shutdown()


def test_caller_who_waits_three_seconds_sends_three_queries(operation, calcom):
    """Two looks while it lasts, and one at the end for what the answer says."""
    with CaptureQueriesContext(connection) as sent:
        found = execution.wait_for(operation, calcom.account_id, Deadline.after(3))

    assert found.state == "queued"
    assert len(sent) <= 3


def test_waiting_caller_is_woken_by_another_thread_of_the_process(operation, calcom, in_background, monkeypatch):
    """All who wait for the operation are."""
    monkeypatch.setattr(execution, "LOOK_EVERY", LONG)

    def join() -> Operation:
        return execution.wait_for(operation, calcom.account_id, Deadline.after(PATIENCE))

    waiting = in_background(operation.public_id, join, 3)
    settle(operation, calcom)

    assert [future.result(PATIENCE).state for future in waiting] == ["done"] * 3


def test_waiting_thread_is_woken_by_another_process(in_background):
    """Its message comes by Redis."""
    [waiting] = in_background("ends elsewhere", lambda: wakeups.wait("ends elsewhere", PATIENCE))

    while not redis_client().publish(keys.WAKE_UPS, "ends elsewhere"):  # until the listener has subscribed
        pass

    assert waiting.result(PATIENCE)


def test_wait_that_begins_after_the_end_is_over_at_once():
    """It may have been read as open a moment before."""
    wakeups.wake("has ended")

    assert wakeups.wait("has ended", LONG)
    assert not wakeups.wait("has not ended", 0)


def test_caller_waits_for_another_process_without_redis(
    operation, calcom, in_background, settings: Settings, monkeypatch
):
    """No message comes; a look finds the end."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(wakeups, "wake", lambda _topic: None)  # it ends in another process
    [waiting] = in_background(
        operation.public_id, lambda: execution.wait_for(operation, calcom.account_id, Deadline.after(PATIENCE))
    )

    Operation.objects.get().transition(to=Operation.State.DONE)

    assert waiting.result(PATIENCE).state == "done"


def test_booking_that_waits_in_line_is_sent_when_the_one_ahead_has_ended(
    salon, calcom, simulator, in_background, monkeypatch
):
    """The end of the first wakes the second, which may get the other host."""
    monkeypatch.setattr(execution, "LOOK_EVERY", LONG)
    with simulator.holding(BOOK):
        first = book(intent(salon.cut, at(14)), calcom, wait=0.2)
        [second] = in_background(first.operation.public_id, lambda: book(intent(salon.cut, at(14), KARL), calcom))

    assert second.result(PATIENCE).operation.state == "done"
    assert {booking["host"] for booking in simulator.bookings()} == {"emma", "ben"}
