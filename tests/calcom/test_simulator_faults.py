"""What goes wrong on demand, and what has happened at Cal.com when it does."""

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from calcom.simulator import Kind, Simulator, SimulatorError
from calcom.simulator.traffic import HUGE_BYTES
from tests.contract.api_user import ApiUser

HAIRCUT, COLOUR = 1, 2
TEN, ELEVEN = "2027-03-02T09:00:00Z", "2027-03-02T10:00:00Z"
BOOK = "POST /v2/bookings"


@pytest.fixture
def simulator():
    with Simulator.running() as running:
        yield running


@pytest.fixture
def salon(simulator):
    return ApiUser(simulator)


@pytest.fixture
def impatient(salon):
    return replace(salon, patience_s=0.2)


@pytest.mark.parametrize(("kind", "booked"), [("error_before", 0), ("error_after", 1)])
def test_error_before_or_after_the_effect(simulator, salon, kind, booked):
    simulator.fail(BOOK, kind, status=503)

    assert salon.book(COLOUR, TEN).status == 503
    assert len(simulator.bookings()) == booked


@pytest.mark.parametrize(("kind", "booked"), [("timeout_before", 0), ("timeout_after", 1)])
def test_no_answer_before_or_after_the_effect(simulator, impatient, kind, booked):
    simulator.fail(BOOK, kind)

    with pytest.raises(TimeoutError):
        impatient.book(COLOUR, TEN)

    assert len(simulator.bookings()) == booked
    assert simulator.requests(BOOK)[0]["status"] == 0


@pytest.mark.parametrize(("kind", "booked"), [("reset_before", 0), ("reset_after", 1)])
def test_connection_reset_before_or_after_the_effect(simulator, salon, kind, booked):
    simulator.fail(BOOK, kind)

    with pytest.raises(ConnectionResetError):
        salon.book(COLOUR, TEN)

    assert len(simulator.bookings()) == booked


def test_hanging_request_goes_on_when_the_fault_is_cleared(simulator, salon):
    with ThreadPoolExecutor() as threads:
        with simulator.holding(BOOK):
            answer = threads.submit(salon.book, COLOUR, TEN)
            simulator.await_in_flight(1, BOOK)
            while_it_hung = len(simulator.bookings())

        assert answer.result().status == 201
    assert while_it_hung == 0


def test_booking_is_made_although_the_client_has_gone(simulator, impatient):
    with simulator.holding(BOOK), pytest.raises(TimeoutError):
        impatient.book(COLOUR, TEN)

    simulator.await_in_flight(0, BOOK)
    assert [booking["status"] for booking in simulator.bookings()] == ["accepted"]


def test_dripping_body_arrives_byte_by_byte(simulator):
    simulator.fail("GET /v2/me", "drip", seconds=30)
    host, _, port = simulator.base_url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"GET /v2/me HTTP/1.0\r\nAuthorization: Bearer cal_demo_salon\r\n\r\n")
        while answer.readline().strip():
            pass
        first = answer.read(1)
        simulator.clear_faults()
        rest = answer.read()

    assert first == b"{"
    assert json.loads(first + rest)["status"] == "success"


def test_huge_body(simulator, salon):
    simulator.fail("GET /v2/me", Kind.HUGE)

    assert len(salon.get("/v2/me").body["data"]) == HUGE_BYTES


def test_body_that_is_not_json(simulator, salon):
    simulator.fail("GET /v2/me", Kind.INVALID_JSON)

    with pytest.raises(json.JSONDecodeError):
        salon.get("/v2/me")


def test_empty_slots(simulator, salon):
    simulator.fail("GET /v2/slots", Kind.EMPTY)

    assert salon.slots(COLOUR, "2027-03-02") == []
    assert salon.slots(COLOUR, "2027-03-02")


def test_slots_in_the_wrong_time_zone(simulator, salon):
    """The same instants, on other days and by other clocks; and the next one who asks is answered as ever."""
    simulator.fail("GET /v2/slots", Kind.WRONG_ZONE)

    wrong, right = (salon.slots(COLOUR, "2027-03-02") for _ in range(2))

    assert [datetime.fromisoformat(start) for start in wrong] == [datetime.fromisoformat(start) for start in right]
    assert {start[:10] for start in right} == {"2027-03-02"}
    assert {start[:10] for start in wrong} == {"2027-03-02", "2027-03-03"}
    assert all(start.endswith("+13:00") for start in wrong)


def test_booking_of_another_attendee_is_returned_as_new(simulator, salon):
    theirs = simulator.book_elsewhere("colour", TEN, email="karl@example.com")
    simulator.fail(BOOK, Kind.WRONG_BOOKING)

    answer = salon.book(COLOUR, TEN)

    assert (answer.status, answer.body["data"]["uid"]) == (201, theirs["uid"])
    assert len(simulator.bookings()) == 1


def test_a_booking_is_made_at_another_start_than_asked_for(simulator, salon):
    simulator.fail(BOOK, Kind.OTHER_START)

    booked = salon.book(COLOUR, TEN)
    simulator.fail("POST /v2/bookings/{uid}/reschedule", Kind.OTHER_START)
    moved = salon.post(f"/v2/bookings/{booked.body['data']['uid']}/reschedule", {"start": ELEVEN})

    assert [answer.body["data"]["start"][11:16] for answer in (booked, moved)] == ["09:15", "10:15"]
    assert [booking["status"] for booking in simulator.bookings()] == ["cancelled", "accepted"]


def test_forced_429_blocks_the_key(simulator, salon):
    simulator.fail("GET /v2/slots", Kind.TOO_MANY)

    refused, next_one = salon.get("/v2/slots"), salon.get("/v2/me")

    assert (refused.status, next_one.status) == (429, 429)
    assert refused.headers["X-RateLimit-Remaining-Default"] == "0"
    assert (simulator.breaches(), simulator.summary()["too_many"]) == (0, 2)


def test_fault_strikes_as_often_as_configured(simulator, salon):
    simulator.fail("GET /v2/me", "error_before", times=2)
    simulator.fail("* /v2/event-types*", "error_before", times=None)

    assert [salon.get("/v2/me").status for _ in "123"] == [500, 500, 200]
    assert [salon.get(f"/v2/event-types{rest}").status for rest in ("", "/1", "/1/webhooks")] == [500] * 3
    simulator.clear_faults()
    assert salon.get("/v2/event-types").status == 200


def test_fault_picks_its_attendee_and_event_type(simulator, salon):
    simulator.fail(BOOK, "error_before", attendee="karl@example.com", event_type_id=HAIRCUT)

    others = [salon.book(HAIRCUT, TEN).status, salon.book(COLOUR, ELEVEN, "karl@example.com").status]

    assert others == [201, 201]
    assert salon.book(HAIRCUT, ELEVEN, "karl@example.com").status == 500


def test_fault_picks_the_owner_of_a_key(simulator, salon):
    """One account's Cal.com is out of order, for whatever is asked with its key; another's is well."""
    practice = replace(salon, key="cal_demo_practice")
    simulator.fail("* /v2/*", "error_before", times=None, owner="salon")

    assert [salon.get(path).status for path in ("/v2/me", "/v2/bookings", "/v2/event-types")] == [500] * 3
    assert practice.get("/v2/me").status == 200
    assert replace(salon, key=None).get("/v2/me").status == 401


def test_faults_with_a_probability_are_repeatable():
    def run():
        with Simulator.running(seed=7) as simulator:
            simulator.fail("GET /v2/me", "error_before", times=None, probability=0.5)
            return [ApiUser(simulator).get("/v2/me").status for _ in range(20)]

    first, second = run(), run()

    assert first == second
    assert set(first) == {200, 500}


def test_log_says_which_fault_struck(simulator, salon):
    simulator.fail("GET /v2/me", "error_before")
    salon.get("/v2/me")
    salon.get("/v2/me")

    assert [request["fault"] for request in simulator.requests()] == ["error_before", None]


def test_misspelled_fault_is_refused(simulator):
    with pytest.raises(ValueError, match="not a valid Kind"):
        simulator.fail("GET /v2/me", "explode")
    with pytest.raises(SimulatorError, match="gravity"):
        simulator.configure(gravity=1)


def test_closing_connection_gives_no_answer_and_has_no_effect(simulator, salon):
    """In order, not reset: that is how an idle connection ends."""
    simulator.fail("POST /v2/bookings", Kind.CLOSING)

    with pytest.raises(http.client.RemoteDisconnected):
        salon.book(COLOUR, TEN)

    assert simulator.bookings() == []
    assert salon.book(COLOUR, TEN).status == 201


def test_idle_connection_is_announced_and_closed(salon):
    """`Keep-Alive: timeout=5` beside every answer, and a second later an idle connection is closed."""
    with Simulator.running(idle_close_s=0.05) as simulator:
        connection = http.client.HTTPConnection(simulator.base_url.removeprefix("http://"))
        connection.request("GET", "/v2/me")
        response = connection.getresponse()
        response.read()

        assert response.headers["Connection"] == "keep-alive"
        assert response.headers["Keep-Alive"] == "timeout=5"
        assert connection.sock.recv(1) == b""
        connection.close()
