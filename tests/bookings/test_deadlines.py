"""No caller waits beyond the deadline, or for another account's trouble."""

import ast
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection, connections
from django.utils import timezone

from bookings.availability import calendar_view
from bookings.errors import DeadlineExceeded
from bookings.models import Conversation, Operation
from bookings.scheduling import claims
from cachectl.infra.deadline import Deadline
from calcom.models import Host
from tests.bookings.helpers import PATIENCE, book, intent, reschedule
from tests.bookings.test_holds import hold, offer
from tests.factories import TUESDAY, WEDNESDAY, at

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"
CUT, COLOUR, BEARD = 1, 2, 3


@contextmanager
def writing_elsewhere(*hosts: Host) -> Iterator[None]:
    """Let another process be busy with the hosts' time."""
    elsewhere = connection.copy()
    try:
        with elsewhere.cursor() as cursor:
            for host in hosts:
                cursor.execute("SELECT pg_advisory_lock(%s)", [host.pk])
        yield
    finally:
        elsewhere.close()


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """
    Fail if what is inside takes longer.

    `seconds` is far above what it takes, because other work may run on this machine, and far below what it would take
    if it waited for what hangs. The fault-injection tests measure the 100 ms that an answer may be late.
    """
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


# --- the database ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _locks_last(monkeypatch):
    """Let nothing but the deadline end the wait for a lock."""
    monkeypatch.setattr(claims, "LONGEST_LOCK_S", 60.0)
    monkeypatch.setattr(claims, "PATIENCE_S", 60.0)


@pytest.mark.usefixtures("_locks_last")
def test_a_hold_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """Invariant 5: the wait for a lock is inside the deadline, not beside it."""
    offered = offer(salon.colour, at(14), Conversation.objects.create(company=salon.company))
    calcom_is_known(salon.colour, calcom)

    with writing_elsewhere(salon.emma.host), no_longer_than(10), pytest.raises(DeadlineExceeded):
        hold(offered, calcom, wait=0.45)


@pytest.mark.usefixtures("_locks_last")
def test_a_booking_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """The same for a booking; nothing is written down, so nothing is booked later."""
    calcom_is_known(salon.colour, calcom)

    with writing_elsewhere(salon.emma.host), no_longer_than(10), pytest.raises(DeadlineExceeded):
        book(intent(salon.colour, at(14)), calcom, wait=Deadline.after(0.45))

    assert not Operation.objects.exists()


@pytest.mark.usefixtures("_locks_last")
def test_a_move_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """The same for a move; the appointment stands where it was."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment

    with writing_elsewhere(salon.emma.host), no_longer_than(10), pytest.raises(DeadlineExceeded):
        reschedule(appointment, at(16), calcom, wait=Deadline.after(0.45))

    assert Operation.objects.filter(kind="reschedule").count() == 0


# --- other companies --------------------------------------------------------------------------------------


@pytest.fixture
def _few_threads(settings):
    """A process as small as they get."""
    settings.WEB_THREADS = 8
    settings.CALCOM_CALL_THREADS = 2


@pytest.mark.usefixtures("_few_threads")
def test_a_hanging_calcom_keeps_no_other_company_waiting(agent, practice_agent, salon, practice, simulator):
    """FM-46, invariant 7: the salon's questions hang on all threads they may have; the practice is answered as ever."""
    for event_type in (CUT, COLOUR, BEARD, 4):
        simulator.fail(LIST, "hang", times=None, event_type_id=event_type)
    services = (salon.cut, salon.colour, salon.beard)
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(agent.availability), service, day, Prefer="wait=8")
            for service in services
            for day in (TUESDAY, WEDNESDAY) * 5
        ]
        simulator.await_in_flight(1, LIST)

        with no_longer_than(4):
            answer = practice_agent.availability(practice.check_up, TUESDAY)

        assert not all(each.done() for each in hanging)
        simulator.clear_faults()
    assert (answer.status_code, answer.json()["freshness"]["verified"]) == (200, True)


@pytest.mark.usefixtures("_few_threads")
def test_hanging_bookings_keep_no_other_company_waiting(agent, practice_agent, salon, practice, simulator):
    """The same for wishes: the salon's bookings are on their way, and the practice's is made meanwhile."""
    assert agent.free_slots(salon.cut, TUESDAY)
    for event_type in (CUT, COLOUR, BEARD):
        simulator.fail(BOOK, "hang", times=None, event_type_id=event_type)
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(agent.book), salon.cut, at(9 + number // 2, number % 2 * 30), Prefer="wait=8")
            for number in range(12)
        ]
        simulator.await_in_flight(1, BOOK)

        with no_longer_than(4):
            booked = practice_agent.book(practice.check_up, practice_slot(practice_agent, practice))

        simulator.clear_faults()
    assert booked.status_code == 201
    assert {each.result().status_code for each in hanging} <= {201, 202}


@pytest.mark.usefixtures("_few_threads")
def test_hanging_reschedules_keep_no_other_company_waiting(agent, practice_agent, salon, practice, simulator):
    """The same for the list that a reschedule waits for: callers of one company share no lock with another's."""
    booked = [agent.book(salon.cut, at(9 + number)).json()["booking"]["id"] for number in range(4)]
    theirs = practice_agent.book(practice.follow_up, practice_slot(practice_agent, practice)).json()["booking"]
    later = (datetime.fromisoformat(theirs["start"]) + timedelta(days=1)).isoformat()
    simulator.fail(LIST, "hang", times=None, owner="salon")
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(reschedule_by_api), agent, each, at(16, on=WEDNESDAY).isoformat(), wait=8)
            for each in booked
        ]
        simulator.await_in_flight(1, LIST)

        with no_longer_than(4):
            moved = reschedule_by_api(practice_agent, theirs["id"], later, wait=8)

        assert not any(each.done() for each in hanging)
        simulator.clear_faults()
    assert moved.status_code == 200


def test_hanging_reschedule_keeps_no_other_of_its_company_waiting(agent, salon, simulator):
    """Two appointments of one account: each waits for its own list."""
    cut = agent.book(salon.cut, at(9)).json()["booking"]["id"]
    colour = agent.book(salon.colour, at(12)).json()["booking"]["id"]
    simulator.fail(LIST, "hang", times=None, event_type_id=CUT)
    with ThreadPoolExecutor(2) as callers:
        hanging = callers.submit(closing(reschedule_by_api), agent, cut, at(16).isoformat(), wait=8)
        simulator.await_in_flight(1, LIST)

        with no_longer_than(4):
            other = reschedule_by_api(agent, colour, at(14).isoformat(), wait=8)

        assert not hanging.done()
        simulator.clear_faults()
    assert other.status_code == 200


@pytest.mark.usefixtures("_few_threads")
def test_what_is_known_is_answered_while_everything_else_hangs(agent, salon, simulator):
    """Cached answers need no thread that waits: as many as may wait do, and one more asks for what is known."""
    known = agent.free_slots(salon.cut, TUESDAY)
    simulator.fail(LIST, "hang", times=None)
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(agent.availability), service, TUESDAY, Prefer="wait=8")
            for service in (salon.colour, salon.beard) * 10
        ]
        simulator.await_in_flight(1, LIST)

        with no_longer_than(4):
            assert agent.free_slots(salon.cut, TUESDAY) == known

        simulator.clear_faults()
    crowd = [each.result() for each in hanging]
    assert {each.status_code for each in crowd} <= {200, 504}
    # Five of eight threads may wait for one account: the others were answered at once.
    assert sum(each.status_code == 504 for each in crowd) >= 10


# --- what all companies share ----------------------------------------------------------------------------------------

# Every lock, condition and pool of a process, and why no company waits there for another.
SHARED = {
    "cachectl/infra/executors.py": "the condition guards counters; of the threads an account has half of what is left",
    "cachectl/singleflight.py": "the lock guards a dictionary; loads run outside of it, one for each event type",
    "cachectl/infra/circuit_breaker.py": "the lock guards counters; no call runs under it",
    "cachectl/infra/wakeups.py": "the lock guards a dictionary; threads wait for events of their own outside of it",
    "cachectl/infra/bulkhead.py": "the lock guards counters; a request without a place does not wait",
    "calcom/resilience/rate_limiter.py": "each limiter, of one credential, has its own; Redis is asked outside of it",
    "calcom/resilience/circuit_breaker.py": "each breaker, of one account, has its own; the lock guards a counter",
    "monitoring/collectors.py": "probes and gauges only: no caller waits for them",
    "monitoring/notifications.py": "messages of alerts only, with a time-out each: no caller waits for them",
}
WAITED_FOR = {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "ThreadPoolExecutor", "Queue"}
ROOT = Path(__file__).resolve().parents[2]


def product():
    """Yield each module of the product with its tree."""
    for app in ("bookings", "calcom", "cachectl", "monitoring"):
        for path in (ROOT / app).rglob("*.py"):
            if "simulator" not in path.parts and "migrations" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def test_every_lock_and_pool_is_known():
    """A new one is added above with the reason why no company can make another wait there."""
    having = set()
    for path, tree in product():
        names = {
            ast.unparse(node).rpartition(".")[2]
            for node in ast.walk(tree)
            if isinstance(node, ast.Name | ast.Attribute)
        }
        if names & WAITED_FOR:
            having.add(path)

    assert having == set(SHARED)


def test_no_property_is_cached_under_a_lock_of_its_class():
    """Before Python 3.12 `functools.cached_property` holds one lock for all instances while it computes."""
    for path, tree in product():
        imported = {
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert "functools.cached_property" not in imported, path
        assert "functools.cached_property" not in ast.unparse(tree), path


# --- help ------------------------------------------------------------------------------------------------------------


def calcom_is_known(service, calcom):
    """Load the day, so that nothing but a lock is waited for."""
    day = at(0)
    calendar_view.open_times(
        service=service, first=day, last=at(23), now=timezone.now(), calcom=calcom, deadline=Deadline.after(PATIENCE)
    )


def practice_slot(practice_agent, practice):
    """Return the first free slot of the practice."""
    return practice_agent.free_slots(practice.check_up, TUESDAY)[0]


def closing(ask):
    """Ask on a thread that keeps no connection to the database."""

    def asked(*args, **more):
        try:
            return ask(*args, **more)
        finally:
            connections.close_all()

    return asked


def reschedule_by_api(agent, booking_id, start, *, wait):
    """Move an appointment through the API."""
    headers = {"Authorization": f"Bearer {agent.key}", "Idempotency-Key": f"to-{booking_id}", "Prefer": f"wait={wait}"}
    path = f"/v1/bookings/{booking_id}/reschedule"
    return agent.client.post(path, {"start": start}, content_type="application/json", headers=headers)
