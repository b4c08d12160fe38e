"""What an event type allows, as the simulator refuses it (seen 2026-11-30)."""

from dataclasses import replace

import pytest

from calcom.simulator import Simulator
from tests import factories
from tests.contract.api_user import ApiUser
from tests.factories import TUESDAY, WEDNESDAY, at

CUT = 1


def asked(simulator: Simulator, start, **fields):
    """Book a haircut; return status and body."""
    answer = ApiUser(simulator, key=factories.SALON_CREDENTIAL).book(CUT, start.isoformat(), **fields)
    return answer.status, answer.body


@pytest.fixture
def change(simulator: Simulator):
    """Change the haircut."""
    return lambda **changes: simulator.change_event_type("haircut", **changes)


@pytest.mark.parametrize("limits", [{"limits_count": {"day": 1}}, {"limits_duration": {"day": 59}}])
def test_limit_of_a_day_is_a_bare_401_and_empties_the_list(simulator, change, limits):
    """Other days are as before."""
    change(**limits)
    asked(simulator, at(10))

    status, body = asked(simulator, at(14))

    assert (status, body) == (401, {"statusCode": 401, "message": "booking_limit_reached"})
    free = ApiUser(simulator, key=None).slots(CUT, TUESDAY.isoformat(), WEDNESDAY.isoformat())
    assert {start[:10] for start in free} == {WEDNESDAY.isoformat()}


def test_limit_of_each_booker_counts_bookings_to_come_of_an_address(simulator, change):
    """Another address may book."""
    change(booker_limit=1)
    asked(simulator, at(10))

    status, body = asked(simulator, at(14))

    assert (status, "maximum number of active bookings" in body["error"]["message"]) == (400, True)
    assert asked(simulator, at(15), email="karl@example.com")[0] == 201


def test_cancelling_that_is_disabled_binds_the_host(simulator, change):
    """Rescheduling that is disabled does not."""
    uid = asked(simulator, at(10))[1]["data"]["uid"]
    change(cancelling_disabled=True, rescheduling={"disabled": True})
    owner = ApiUser(simulator, key=factories.SALON_CREDENTIAL)

    refused = owner.post(f"/v2/bookings/{uid}/cancel", {"cancellationReason": "ill"})
    moved = owner.post(f"/v2/bookings/{uid}/reschedule", {"start": at(14).isoformat()})

    assert (refused.status, refused.body["message"]) == (400, "This event type does not allow cancellations")
    assert moved.status == 201


@pytest.mark.parametrize(("answer", "said"), [(30, "Invalid string"), ("30", "Expected type number")])
def test_required_number_cannot_be_answered(simulator, change, answer, said):
    """Whatever type the answer has."""
    change(fields=[{"type": "number", "slug": "age", "label": "Age", "required": True}])

    status, body = asked(simulator, at(10), bookingFieldsResponses={"age": answer})

    assert (status, said in body["error"]["message"]) == (400, True)


def test_required_phone_is_answered_by_the_attendees_number(simulator, change):
    """Without it the field is missing."""
    change(phone_required=True)
    attendee = {"name": "Anna", "email": "anna@example.com", "timeZone": "Europe/Berlin"}

    missing = asked(simulator, at(10))
    given = asked(simulator, at(10), attendee={**attendee, "phoneNumber": "+4915112345678"})

    assert (missing[0], "attendeePhoneNumber" in missing[1]["error"]["message"]) == (400, True)
    assert given[0] == 201


def test_dataset_with_limits_is_written_and_read(simulator):
    """As every other one."""
    limited = replace(factories.dataset().event_types[0], limits_count={"day": 1}, rescheduling={"minutesBefore": 5})
    dataset = replace(factories.dataset(), event_types=(limited,))

    assert type(dataset).from_json(dataset.to_json()) == dataset
