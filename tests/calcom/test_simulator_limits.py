"""The rate limit: whom it counts, what it counts, and what it does to whoever exceeds it."""

import hashlib

import pytest

from calcom.simulator import Simulator
from calcom.simulator.journal import Journal
from calcom.simulator.limits import Throttle
from tests.contract.api_user import ApiUser


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(limit=3, clock=clock)


@pytest.fixture
def simulator():
    with Simulator.running(limit=3) as running:
        yield running


@pytest.fixture
def salon(simulator):
    return ApiUser(simulator)


def test_window_begins_with_the_first_request(throttle, clock):
    throttle.hit("salon")
    clock.now += 59.5
    last_of_old_window = throttle.hit("salon")
    clock.now += 0.5
    first_of_new_window = throttle.hit("salon")

    assert (last_of_old_window.remaining, last_of_old_window.reset_s) == (1, 1)
    assert (first_of_new_window.remaining, first_of_new_window.reset_s) == (2, 60)


def test_one_too_many_blocks_for_a_whole_window_from_that_moment(throttle, clock):
    for _ in range(3):
        throttle.hit("salon")
    clock.now += 50
    refused = throttle.hit("salon")
    clock.now += 59
    still_refused = throttle.hit("salon")
    clock.now += 1
    allowed = throttle.hit("salon")

    assert (refused.allowed, refused.remaining, refused.reset_s) == (False, 0, 60)
    assert (still_refused.allowed, still_refused.reset_s) == (False, 1)
    assert (allowed.allowed, allowed.remaining, allowed.reset_s) == (True, 2, 60)
    assert throttle.breaches == 1


def test_each_key_has_a_limit_of_its_own(simulator, salon):
    answers = [ApiUser(simulator, key).get("/v2/me") for key in ("cal_demo_salon", "cal_demo_practice") for _ in "123"]
    anonymous = ApiUser(simulator, None).get("/v2/me")

    assert {answer.status for answer in answers} == {200}
    assert anonymous.headers["X-RateLimit-Remaining-Default"] == "2"


def test_refusals_of_the_operation_cost_and_those_before_it_do_not(simulator, salon):
    salon.get("/v2/nothing")
    salon.send("POST", "/v2/bookings", '{"start":')
    salon.get("/v2/slots?eventTypeId=99&start=2027-03-02&end=2027-03-02")
    remaining = salon.get("/v2/me").headers["X-RateLimit-Remaining-Default"]

    assert remaining == "1"


def test_excess_is_answered_429_and_counted(simulator, salon):
    statuses = [salon.get("/v2/me").status for _ in range(5)]

    summary = simulator.summary()
    assert statuses == [200, 200, 200, 429, 429]
    assert (summary["breaches"], summary["too_many"], summary["max_in_60_s"]) == (1, 2, 5)


def test_emptying_the_log_starts_the_windows_afresh(simulator, salon):
    for _ in range(4):
        salon.get("/v2/me")

    simulator.reset(log_only=True)

    assert salon.get("/v2/me").status == 200
    assert simulator.count() == 1


def test_most_in_a_minute_is_found_wherever_the_minute_begins():
    journal = Journal()
    for arrived_at in (0, 30, 59, 61, 62, 119, 200):
        entry = journal.arrive("salon", "GET /v2/me", "/v2/me")
        entry.arrived_at, entry.counted = float(arrived_at), True

    assert journal.summary()["max_in_60_s"] == 4


def test_log_names_keys_by_their_hash_only(simulator, salon):
    salon.get("/v2/me")

    [request] = simulator.requests("GET /v2/me")
    assert request["key"] == hashlib.sha256(b"cal_demo_salon").hexdigest()[:8]
    assert "cal_demo_salon" not in str(simulator.summary())
    assert request["arrived_at"] <= request["answered_at"]
