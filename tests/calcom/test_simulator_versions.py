"""What the header `cal-api-version` does: a wrong one rarely fails, it answers differently."""

import pytest

from calcom.simulator import Simulator
from tests.contract.api_user import ApiUser

SLOTS = "/v2/slots?eventTypeId=1&start=2027-03-02&end=2027-03-02"
BOOKINGS, EVENT_TYPES, SCHEDULES = "/v2/bookings", "/v2/event-types", "/v2/schedules"


@pytest.fixture(scope="module")
def salon():
    with Simulator.running() as running:
        yield ApiUser(running)


def ask(salon, path, version, method="GET"):
    headers = {"Authorization": f"Bearer {salon.key}"} | ({"cal-api-version": version} if version else {})
    return salon.send(method, path, headers=headers)


@pytest.mark.parametrize(
    ("path", "version"),
    [(SLOTS, "2024-09-04"), (BOOKINGS, "2024-08-13"), (EVENT_TYPES, "2024-06-14"), (SCHEDULES, "2024-06-11")],
)
def test_right_version(salon, path, version):
    answer = ask(salon, path, version)

    assert answer.status == 200
    assert isinstance(answer.body["data"], list) or path == SLOTS


@pytest.mark.parametrize(
    ("path", "version"),
    [
        *((SLOTS, version) for version in (None, "2024-08-13", "2030-01-01")),
        (BOOKINGS, "2024-09-04"),
        *((path, version) for path in (EVENT_TYPES, SCHEDULES) for version in ("2024-08-13", "2024-09-04")),
    ],
)
def test_version_that_is_not_found_costs_nothing(salon, path, version):
    answer = ask(salon, path, version)

    assert (answer.status, answer.body["error"]["message"]) == (404, f"Cannot GET {path}")
    assert "X-RateLimit-Limit-Default" not in answer.headers


@pytest.mark.parametrize("version", [None, "2024-04-15", "2030-01-01"])
def test_unknown_version_gets_the_old_shape(salon, version):
    bookings, event_types = ask(salon, BOOKINGS, version), ask(salon, EVENT_TYPES, version)

    assert (bookings.status, event_types.status) == (200, 200)
    assert isinstance(bookings.body["data"], dict)
    assert event_types.body["data"]["eventTypeGroups"][0]["profile"]["slug"] == "salon"
    assert ask(salon, SCHEDULES, version).body["data"][0]["availability"][0]["days"][0] == 1


def test_unknown_version_misses_the_old_fields_of_a_booking(salon):
    answer = ask(salon, BOOKINGS, None, "POST")

    missing = [error["property"] for error in answer.body["error"]["details"]["errors"]]
    assert (answer.status, missing) == (400, ["timeZone", "language", "metadata"])


@pytest.mark.parametrize("path", ["/v2/me", "/v2/webhooks", "/v2/event-types/1/webhooks"])
def test_some_families_do_not_care(salon, path):
    assert [ask(salon, path, version).status for version in (None, "2024-08-13", "nonsense")] == [200] * 3
