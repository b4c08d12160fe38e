"""Directing the simulator: what a human does at Cal.com, webhooks on demand, and who may reach it."""

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from calcom.management.commands import calcom_simulator
from calcom.simulator import Simulator, SimulatorClient
from calcom.simulator.webhooks import require_loopback
from tests.contract.api_user import ApiUser
from tests.contract.receiver import receiving

HAIRCUT, COLOUR = 1, 2
TEN, ELEVEN = "2027-03-02T09:00:00Z", "2027-03-02T10:00:00Z"
TRIGGERS = [
    "BOOKING_CREATED",
    "BOOKING_CANCELLED",
    "BOOKING_RESCHEDULED",
    "BOOKING_REQUESTED",
    "BOOKING_NO_SHOW_UPDATED",
    "MEETING_STARTED",
]


@pytest.fixture
def simulator():
    with Simulator.running() as running:
        yield running


@pytest.fixture
def salon(simulator):
    return ApiUser(simulator)


@pytest.fixture
def receiver(salon):
    with receiving() as receiver:
        subscribe(salon, receiver.url)
        yield receiver


def subscribe(user, url, path="/v2/webhooks"):
    return user.post(path, {"subscriberUrl": url, "triggers": TRIGGERS, "active": True, "secret": "s"})


def triggers(receiver):
    return [json.loads(body)["triggerEvent"] for _, body in receiver.messages]


def test_client_works_from_another_process(simulator):
    client = SimulatorClient(simulator.base_url)

    client.book_elsewhere("colour", TEN)

    assert client.bookings() == simulator.bookings()
    assert client.dataset() == simulator.dataset()


def test_human_books_moves_and_cancels(simulator, salon, receiver):
    booked = simulator.book_elsewhere(COLOUR, TEN, name="Karl", metadata={"made": "by hand"})
    moved = simulator.reschedule_elsewhere(booked["uid"], ELEVEN)
    simulator.cancel_elsewhere(moved["uid"], reason="ill")

    assert triggers(receiver) == ["BOOKING_CREATED", "BOOKING_RESCHEDULED", "BOOKING_CANCELLED"]
    assert salon.get(f"/v2/bookings/{booked['uid']}").body["data"]["rescheduledToUid"] == moved["uid"]
    assert [booking["status"] for booking in simulator.bookings()] == ["cancelled", "cancelled"]


def test_human_may_double_book(simulator):
    pair = [simulator.book_elsewhere(COLOUR, TEN, webhook=False)["uid"] for _ in "12"]

    assert simulator.overlaps() == [pair]


def test_webhook_arrives_before_the_answer(simulator, salon, receiver):
    salon.book(COLOUR, TEN)

    assert triggers(receiver) == ["BOOKING_CREATED"]


def test_webhook_that_fails_is_not_tried_again(simulator, salon):
    with receiving(status=500) as receiver:
        subscribe(salon, receiver.url)
        answer = salon.book(COLOUR, TEN)

    subscribe(salon, "http://127.0.0.1:9/closed")
    salon.post(f"/v2/bookings/{answer.body['data']['uid']}/cancel", {"cancellationReason": "ill"})

    assert answer.status == 201
    assert len(receiver.messages) == 1
    assert {delivery["outcome"] for delivery in simulator.deliveries()} == {500, "ClientConnectorError"}


def test_user_and_event_type_subscriptions_both_fire(salon, receiver):
    subscribe(salon, receiver.url, f"/v2/event-types/{COLOUR}/webhooks")

    salon.book(COLOUR, TEN)
    salon.book(HAIRCUT, TEN)

    assert len(receiver.messages) == 3


def test_held_webhooks_go_out_late_twice_and_in_any_order(simulator, salon, receiver):
    simulator.configure(webhooks="hold")
    first = salon.book(COLOUR, TEN).body["data"]["uid"]
    salon.post(f"/v2/bookings/{first}/cancel", {"cancellationReason": "ill"})
    created, cancelled = (delivery["id"] for delivery in simulator.deliveries())
    assert receiver.messages == []

    for delivery in (cancelled, created, created):
        simulator.deliver(delivery)

    assert triggers(receiver) == ["BOOKING_CANCELLED", "BOOKING_CREATED", "BOOKING_CREATED"]
    assert receiver.messages[1][1] == receiver.messages[2][1]


def test_lost_webhooks_are_remembered_as_lost(simulator, salon, receiver):
    simulator.configure(webhook_loss=1.0)

    salon.book(COLOUR, TEN)

    assert receiver.messages == []
    assert [delivery["outcome"] for delivery in simulator.deliveries()] == ["lost"]


def test_meeting_is_announced_on_demand(simulator, receiver):
    uid = simulator.book_elsewhere(COLOUR, TEN, webhook=False)["uid"]

    simulator.announce_meeting(uid, "MEETING_STARTED")

    [(_, body)] = receiver.messages
    assert json.loads(body)["uid"] == uid


def test_outside_appointment_can_be_taken_back(simulator, salon):
    uid = simulator.busy("emma", datetime(2027, 3, 2, 8, tzinfo=UTC), datetime(2027, 3, 2, 17, tzinfo=UTC))
    while_busy = salon.slots(COLOUR, "2027-03-02")

    simulator.not_busy(uid)

    assert while_busy == []
    assert salon.slots(COLOUR, "2027-03-02T00:00:00Z", "2027-03-02T23:59:59Z")


def test_clock_can_be_moved(simulator, salon):
    simulator.set_now(datetime(2027, 3, 2, 12, tzinfo=UTC))

    assert salon.book(COLOUR, TEN).body["error"]["message"] == "Attempting to book a meeting in the past."
    assert simulator.configure()["now"].startswith("2027-03-02T12:00")


def test_clock_of_the_test_is_asked_each_time():
    moments = [datetime(2027, 3, 2, 7, tzinfo=UTC)]
    with Simulator.running(now=lambda: moments[-1]) as simulator:
        salon = ApiUser(simulator)
        moments.append(moments[-1] + timedelta(days=1))

        assert salon.book(COLOUR, TEN).status == 400


def test_reset_restores_the_dataset_and_clears_faults(simulator, salon):
    salon.book(COLOUR, TEN)
    simulator.fail("GET /v2/me", "error_before", times=None)

    simulator.reset()

    assert simulator.bookings() == []
    assert simulator.count() == 0
    assert salon.get("/v2/me").status == 200


def test_control_costs_nothing_of_the_limit():
    with Simulator.running(limit=1) as simulator:
        for _ in range(5):
            simulator.summary()

        assert ApiUser(simulator).get("/v2/me").status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "cal.com", "::", ""])
def test_only_loopback_addresses_will_do(host):
    with pytest.raises(ValueError, match="loopback addresses only"):
        require_loopback(host)


def test_command_refuses_hosts_that_are_not_loopback():
    with pytest.raises(CommandError, match="loopback addresses only"):
        call_command(calcom_simulator.Command(), host="0.0.0.0", port=0)


def test_command_explains_an_image_without_simulator(monkeypatch):
    monkeypatch.setitem(sys.modules, "calcom.simulator", None)

    with pytest.raises(CommandError, match="image contains no simulator"):
        call_command(calcom_simulator.Command())


def test_client_and_webhooks_stay_on_this_machine(salon):
    with pytest.raises(ValueError, match="loopback"):
        SimulatorClient("https://api.cal.com")

    assert subscribe(salon, "https://example.com/hook").status == 400
