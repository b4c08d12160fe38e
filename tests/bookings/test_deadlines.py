"""Nobody waits longer than they said, and nobody waits for somebody else's trouble."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections
from django.utils import timezone

from bookings.errors import DeadlineExceeded
from bookings.models import Change, Conversation, Host
from bookings.wish import holds
from tests.bookings.stage import book, move, wish
from tests.bookings.test_holds import hold, offer
from tests.cast import TUESDAY, WEDNESDAY, at

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
    """Look at the clock."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + 0.1


# --- the database ----------------------------------------------------------------------------------------------------


def test_a_hold_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """Invariant 5: the wait for a lock is inside the deadline, not beside it."""
    offered = offer(salon.colour, at(14), Conversation.objects.create(company=salon.company))
    calcom_is_known(salon.colour, calcom)

    with writing_elsewhere(salon.emma.host), no_longer_than(0.45), pytest.raises(DeadlineExceeded):
        hold(offered, calcom, wait=0.45)


def test_a_booking_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """The same for a booking; nothing is written down, so nothing is booked later."""
    calcom_is_known(salon.colour, calcom)

    with writing_elsewhere(salon.emma.host), no_longer_than(0.45), pytest.raises(DeadlineExceeded):
        book(wish(salon.colour, at(14)), calcom, wait=0.45)

    assert not Change.objects.exists()


def test_a_move_waits_for_other_writers_no_longer_than_its_caller(salon, calcom, simulator):
    """The same for a move; the appointment stands where it was."""
    appointment = book(wish(salon.colour, at(14)), calcom).appointment

    with writing_elsewhere(salon.emma.host), no_longer_than(0.45), pytest.raises(DeadlineExceeded):
        move(appointment, at(16), calcom, wait=0.45)

    assert Change.objects.filter(operation="move").count() == 0


# --- whoever has other troubles --------------------------------------------------------------------------------------


@pytest.fixture
def _few_threads(settings):
    """A process as small as they get."""
    settings.WEB_THREADS = 8
    settings.CALCOM_CALL_THREADS = 2


@pytest.mark.usefixtures("_few_threads")
def test_a_hanging_calcom_keeps_no_other_company_waiting(agent, practice_agent, salon, practice, simulator):
    """L-46, invariant 7: the salon's questions hang on every thread they may have; the practice is answered as ever."""
    for event_type in (CUT, COLOUR, BEARD, 4):
        simulator.fail(LIST, "hang", times=None, event_type_id=event_type)
    services = (salon.cut, salon.colour, salon.beard)
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(agent.availability), service, day, Prefer="wait=2")
            for service in services
            for day in (TUESDAY, WEDNESDAY) * 5
        ]
        simulator.await_in_flight(1, LIST)

        with no_longer_than(1):
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
            callers.submit(closing(agent.book), salon.cut, at(9 + number // 2, number % 2 * 30), Prefer="wait=2")
            for number in range(12)
        ]
        simulator.await_in_flight(1, BOOK)

        with no_longer_than(1):
            booked = practice_agent.book(practice.check_up, practice_slot(practice_agent, practice))

        simulator.clear_faults()
    assert booked.status_code == 201
    assert {each.result().status_code for each in hanging} <= {201, 202}


@pytest.mark.usefixtures("_few_threads")
def test_what_is_known_is_answered_while_everything_else_hangs(agent, salon, simulator):
    """Cached answers need no thread that waits: as many as may wait do, and one more asks for what is known."""
    known = agent.free_slots(salon.cut, TUESDAY)
    simulator.fail(LIST, "hang", times=None)
    with ThreadPoolExecutor(30) as callers:
        hanging = [
            callers.submit(closing(agent.availability), service, TUESDAY, Prefer="wait=1.5")
            for service in (salon.colour, salon.beard) * 10
        ]
        simulator.await_in_flight(1, LIST)

        with no_longer_than(0.5):
            assert agent.free_slots(salon.cut, TUESDAY) == known

        simulator.clear_faults()
    crowd = [each.result() for each in hanging]
    assert {each.status_code for each in crowd} <= {200, 504}
    # Five of eight threads may wait for one account: whoever found no place was told so at once.
    assert sum(each.status_code == 504 for each in crowd) >= 10


# --- help ------------------------------------------------------------------------------------------------------------


def calcom_is_known(service, calcom):
    """Load the day, so that nothing but a lock is waited for."""
    day = at(0)
    holds.search.open_times(
        service=service, first=day, last=at(23), now=timezone.now(), calcom=calcom, deadline=holds.Deadline.after(5)
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
