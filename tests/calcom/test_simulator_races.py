"""What happens to bookings that meet: the check comes first, then the latency, then the insert."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from statistics import median

import pytest

from calcom.simulator import Simulator
from calcom.simulator.traffic import Latency
from tests.contract.api_user import ApiUser

HAIRCUT, COLOUR = 1, 2
TEN, HALF_PAST = "2027-03-02T09:00:00Z", "2027-03-02T09:30:00Z"
BOOK = "POST /v2/bookings"


@pytest.fixture
def simulator():
    with Simulator.running() as running:
        yield running


@pytest.fixture
def salon(simulator):
    return ApiUser(simulator)


def together(simulator, *bookings):
    with ThreadPoolExecutor() as threads:
        with simulator.holding(BOOK):
            answers = [threads.submit(book) for book in bookings]
            simulator.await_in_flight(len(bookings), BOOK)
        return sorted(answer.result().status for answer in answers)


def test_one_after_the_other_the_overlapping_booking_is_refused(simulator, salon):
    statuses = [salon.book(COLOUR, TEN).status, salon.book(COLOUR, HALF_PAST).status]

    assert statuses == [201, 400]
    assert simulator.overlaps() == []


def test_together_overlapping_bookings_are_both_accepted(simulator, salon):
    statuses = together(simulator, lambda: salon.book(COLOUR, TEN), lambda: salon.book(COLOUR, HALF_PAST))

    assert statuses == [201, 201]
    assert [set(pair) for pair in simulator.overlaps()] == [{booking["uid"] for booking in simulator.bookings()}]


def test_together_identical_bookings_of_one_host_have_one_winner(simulator, salon):
    statuses = together(simulator, *[lambda: salon.book(COLOUR, TEN)] * 5)

    assert statuses == [201, 409, 409, 409, 409]


def test_round_robin_does_not_save_the_losers(simulator, salon):
    emails = ("anna@example.com", "karl@example.com")

    statuses = together(simulator, *(lambda email=email: salon.book(HAIRCUT, TEN, email) for email in emails))

    assert statuses == [201, 409]


def test_move_can_win_a_time_that_was_free_when_it_asked(simulator, salon):
    booked = salon.book(COLOUR, "2027-03-03T09:00:00Z").body["data"]["uid"]
    with ThreadPoolExecutor() as threads:
        with simulator.holding("POST /v2/bookings/{uid}/reschedule"):
            move = threads.submit(salon.post, f"/v2/bookings/{booked}/reschedule", {"start": TEN})
            simulator.await_in_flight(1, "POST /v2/bookings/{uid}/reschedule")
            salon.book(COLOUR, TEN)

        assert move.result().status == 409
    assert sorted(booking["status"] for booking in simulator.bookings()) == ["accepted", "accepted"]


def test_requests_do_not_wait_without_latency():
    assert Latency(0, seed=1).draw("bookings") == 0


def test_latency_is_skewed_and_repeatable():
    first, second = Latency(1, seed=3), Latency(1, seed=3)
    drawn = [first.draw("bookings") for _ in range(2000)]

    assert drawn == [second.draw("bookings") for _ in range(2000)]
    assert 1.5 <= min(drawn) < max(drawn) <= 5
    assert 2.3 < median(drawn) < 2.7


@pytest.mark.parametrize("seed", range(3))
def test_sequential_bookings_never_overlap(salon, simulator, seed):
    random, uids = Random(seed), []
    for number in range(60):
        start = f"2027-03-0{random.randint(1, 6)}T{random.randint(8, 16):02}:{random.choice(['00', '15', '30'])}:00Z"
        if uids and random.random() < 0.4:
            uid = uids.pop(random.randrange(len(uids)))
            body = {"start": start, "cancellationReason": "no time"}
            answer = salon.post(f"/v2/bookings/{uid}/{random.choice(['cancel', 'reschedule'])}", body)
        else:
            answer = salon.book(random.choice([HAIRCUT, COLOUR]), start, f"caller{number}@example.com")
        if answer.status == 201:
            uids.append(answer.body["data"]["uid"])

    assert len(uids) > 5
    assert simulator.overlaps() == []
