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


def test_call_searches_books_and_cancels(agent, salon, simulator):
    """The call of the demo: one request for slots serves all its questions."""
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


def test_booked_slot_is_not_offered_to_the_next_caller(agent, salon, simulator):
    """FM-24: what was booked is gone from the next answer, before any worker ran."""
    assert at(14) in agent.free_slots(salon.cut, TUESDAY)

    agent.book(salon.cut, at(14))

    assert at(14) not in agent.free_slots(salon.cut, TUESDAY)
    assert simulator.count(LIST) == 1


def test_booking_delays_no_other_caller(agent, salon, simulator):
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


def test_booking_invalidates_only_its_day(agent, salon):
    """FM-22: one day of each event type that shares the host: cut, colour and cuts with Emma."""
    agent.free_slots(salon.colour, TUESDAY)

    agent.book(salon.colour, at(14))

    invalidations = CacheInvalidation.objects.all()
    assert {(each.first, each.last) for each in invalidations} == {(TUESDAY, TUESDAY)}
    assert sum(len(each.event_type_ids) for each in invalidations) == 3
    assert {each.cause for each in invalidations} == {CacheInvalidation.Cause.OWN}


def test_pending_booking_is_followed_by_its_operation(agent, salon, simulator):
    """202 promises nothing; the operation says what became of it."""
    agent.free_slots(salon.colour, TUESDAY)
    with simulator.holding(BOOK):
        pending = agent.book(salon.colour, at(14), Prefer="wait=0.5")
        assert (pending.status_code, pending.json()["status"]) == (202, "pending")
        assert agent.operation(pending["Location"]).json()["status"] == "pending"
    let_jobs_finish()

    assert agent.operation(pending["Location"]).json()["status"] == "done"
    assert agent.booking(pending.json()["booking"]["id"]).json()["status"] == "confirmed"


def test_last_slot_goes_to_one_of_two_callers(agent, salon, simulator):
    """FM-01: the second hears so at once, with what is still free."""
    agent.book(salon.colour, at(14), ANNA)

    refused = agent.book(salon.colour, at(14), KARL)

    assert (refused.status_code, refused.json()["code"]) == (409, "slot_taken")
    assert len(refused.json()["alternatives"]) == 3
    assert simulator.count(BOOK) == 1


def test_lost_response_ends_in_one_booking(agent, salon, simulator):
    """FM-04: the agent asks again, the sweep finds out, and both see the same booking."""
    simulator.fail(BOOK, "reset_after")
    assert agent.book(salon.colour, at(14), key="k").status_code == 202

    pass_time(10)
    tasks.settle(operation_id=Operation.objects.get().pk)

    again = agent.book(salon.colour, at(14), key="k")
    assert (again.status_code, again.json()["replayed"]) == (201, True)
    assert len(simulator.bookings()) == Appointment.objects.count() == 1


@pytest.mark.parametrize("ask", ["booking", "cancel"])
def test_booking_of_another_company_is_not_reachable(agent, practice_agent, salon, simulator, ask):
    """FM-26: an id is not a right."""
    booking_id = agent.book(salon.colour, at(14)).json()["booking"]["id"]

    refused = getattr(practice_agent, ask)(booking_id)

    assert (refused.status_code, refused.json()["code"]) == (404, "booking_not_found")
    assert simulator.count(CANCEL) == 0
