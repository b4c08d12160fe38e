"""Phone calls from the first question to the last answer: through the API, to the simulator, and back."""

import pytest

from bookings import tasks
from bookings.models import Appointment, Operation
from cachectl.models import CacheInvalidation
from tests.bookings.helpers import let_jobs_finish, pass_time
from tests.factories import ANNA, KARL, TUESDAY, at

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"
CANCEL = "POST /v2/bookings/{uid}/cancel"


def test_a_call_from_question_to_cancellation(agent, salon, simulator):
    """The call of the demo: one request for slots, whoever asks, books and cancels afterwards."""
    assert at(14) in agent.free_slots(salon.colour, TUESDAY)
    assert agent.availability(salon.colour, TUESDAY)["X-Cache-Hit"] == "true"

    booked = agent.book(salon.colour, at(14), ANNA)
    assert (booked.status_code, booked.json()["status"]) == (201, "confirmed")
    assert at(14) not in agent.free_slots(salon.colour, TUESDAY)

    booking_id = booked.json()["booking"]["id"]
    assert agent.booking(booking_id).json()["status"] == "confirmed"
    cancelled = agent.cancel(booking_id, reason="Anna is ill")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert at(14) in agent.free_slots(salon.colour, TUESDAY)

    let_jobs_finish()
    assert (simulator.count(LIST), simulator.count(BOOK), simulator.count(CANCEL)) == (1, 1, 1)


def test_next_caller_does_not_hear_the_slot_just_booked(agent, salon, simulator):
    """FM-24: what was booked is gone from the next answer, before any worker ran."""
    assert at(14) in agent.free_slots(salon.cut, TUESDAY)

    agent.book(salon.cut, at(14))

    assert at(14) not in agent.free_slots(salon.cut, TUESDAY)
    assert simulator.count(LIST) == 1


def test_a_booking_makes_nobody_wait(agent, salon, simulator):
    """Own changes are subtracted: the day stays answerable for every service of the host, without a request."""
    for service in (salon.cut, salon.colour, salon.beard):
        agent.free_slots(service, TUESDAY)
    requests = simulator.count(LIST)

    agent.book(salon.colour, at(14))
    answers = [agent.availability(service, TUESDAY) for service in (salon.cut, salon.colour, salon.beard)]

    assert {answer["X-Cache-Hit"] for answer in answers} == {"true"}
    assert simulator.count(LIST) == requests
    # Emma is booked; whether the list of cuts, which two serve, meant her or Ben is not known without a request.
    assert [answer.json()["freshness"]["verified"] for answer in answers] == [False, True, True]


def test_a_booking_forgets_the_booked_day_and_nothing_else(agent, salon):
    """FM-22: one day of each event type that shares the host: cut, colour and cuts with Emma."""
    agent.free_slots(salon.colour, TUESDAY)

    agent.book(salon.colour, at(14))

    invalidations = CacheInvalidation.objects.all()
    assert {(each.first, each.last) for each in invalidations} == {(TUESDAY, TUESDAY)}
    assert sum(len(each.event_type_ids) for each in invalidations) == 3
    assert {each.cause for each in invalidations} == {CacheInvalidation.Cause.OWN}


def test_a_slow_booking_is_followed_to_its_end(agent, salon, simulator):
    """202 promises nothing; the operation says what became of it."""
    agent.free_slots(salon.colour, TUESDAY)
    with simulator.holding(BOOK):
        pending = agent.book(salon.colour, at(14), Prefer="wait=0.5")
        assert (pending.status_code, pending.json()["status"]) == (202, "pending")
        assert agent.operation(pending["Location"]).json()["status"] == "pending"
    let_jobs_finish()

    assert agent.operation(pending["Location"]).json()["status"] == "done"
    assert agent.booking(pending.json()["booking"]["id"]).json()["status"] == "confirmed"


def test_two_callers_for_the_last_slot(agent, salon, simulator):
    """FM-01: the second hears so at once, with what is still free."""
    agent.book(salon.colour, at(14), ANNA)

    refused = agent.book(salon.colour, at(14), KARL)

    assert (refused.status_code, refused.json()["code"]) == (409, "slot_taken")
    assert len(refused.json()["alternatives"]) == 3
    assert simulator.count(BOOK) == 1


def test_a_lost_answer_ends_in_one_booking(agent, salon, simulator):
    """FM-04: the agent asks again, the sweep finds out, and both see the same booking."""
    simulator.fail(BOOK, "reset_after")
    assert agent.book(salon.colour, at(14), key="k").status_code == 202

    pass_time(10)
    tasks.settle(operation_id=Operation.objects.get().pk)

    again = agent.book(salon.colour, at(14), key="k")
    assert (again.status_code, again.json()["replayed"]) == (201, True)
    assert len(simulator.bookings()) == Appointment.objects.count() == 1


@pytest.mark.parametrize("ask", ["booking", "cancel"])
def test_nobody_reaches_another_companys_booking(agent, practice_agent, salon, simulator, ask):
    """FM-26: an id is not a right."""
    booking_id = agent.book(salon.colour, at(14)).json()["booking"]["id"]

    refused = getattr(practice_agent, ask)(booking_id)

    assert (refused.status_code, refused.json()["code"]) == (404, "booking_not_found")
    assert simulator.count(CANCEL) == 0
