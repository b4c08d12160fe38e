"""Which times the simulator offers, and which it lets one book."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from calcom.simulator import Dataset, EventType, Override, Simulator, User, demo
from tests.contract.api_user import ApiUser

HAIRCUT, COLOUR, BEARD_TRIM = 1, 2, 3
NOW = datetime(2027, 3, 1, 7, tzinfo=UTC)
TUESDAY = "2027-03-02"
TEN = f"{TUESDAY}T09:00:00.000Z"  # on Berlin's clocks


@pytest.fixture
def simulator():
    with Simulator.running(now=lambda: NOW) as running:
        yield running


@pytest.fixture
def salon(simulator):
    return ApiUser(simulator)


def one_type(**fields):
    """A dataset with one user in UTC and one event type of 30 minutes."""
    user = User(1, "emma", "Emma", api_key="cal_emma")
    return Dataset(users=(user,), event_types=(EventType(1, "emma", "haircut", "Haircut", 30, **fields),))


def test_slot_is_open_while_one_of_the_hosts_is_free(simulator, salon):
    simulator.book_elsewhere("haircut", TEN, host="emma")
    with_one_host = salon.slots(HAIRCUT, TUESDAY)

    simulator.busy("ben", TEN, f"{TUESDAY}T09:10:00Z")

    assert TEN in with_one_host
    assert TEN not in salon.slots(HAIRCUT, f"{TUESDAY}T00:00:00Z", f"{TUESDAY}T23:59:59Z")


def test_booking_hides_its_time_from_all_event_types_of_the_host(simulator, salon):
    simulator.book_elsewhere("haircut", TEN, host="emma")

    assert TEN not in salon.slots(COLOUR, TUESDAY)
    assert TEN in salon.slots(BEARD_TRIM, TUESDAY)


def test_those_who_were_booked_least_recently_come_first(simulator, salon):
    clocks = ("09:00", "10:00", "11:00")

    hosts = [salon.book(HAIRCUT, f"{TUESDAY}T{clock}:00Z").body["data"]["hosts"][0]["username"] for clock in clocks]

    assert hosts == ["emma", "ben", "emma"]


def test_refusal_speaks_of_hosts_where_there_are_several(simulator, salon):
    for host in ("emma", "ben"):
        simulator.busy(host, TEN, f"{TUESDAY}T12:00:00Z")

    messages = [salon.book(event_type, TEN).body["error"]["message"] for event_type in (HAIRCUT, COLOUR)]

    assert [message.split(" either")[0] for message in messages] == ["One of the hosts", "User"]


def test_repeating_a_round_robin_booking_answers_with_the_first(salon):
    first, second = salon.book(HAIRCUT, TEN), salon.book(HAIRCUT, TEN)

    assert (first.status, second.status) == (201, 201)
    assert first.body["data"]["uid"] == second.body["data"]["uid"]


def test_buffers_of_both_neighbours_keep_clear():
    dataset = one_type(before_minutes=10, after_minutes=20)
    with Simulator.running(dataset, now=lambda: NOW) as simulator:
        emma = ApiUser(simulator, "cal_emma")
        simulator.book_elsewhere(1, f"{TUESDAY}T12:00:00Z")

        slots = [slot[11:16] for slot in emma.slots(1, TUESDAY)]

        # 11:00 ends 11:30 and needs until 11:50, when the booking's own buffer begins. After it, 12:50 + 10 is 13:00.
        assert slots[3:6] == ["10:30", "11:00", "13:00"]
        assert emma.book(1, f"{TUESDAY}T11:01:00Z").status == 400
        assert emma.book(1, f"{TUESDAY}T13:00:00Z").status == 201


def test_same_query_is_answered_from_the_cache_for_two_seconds(simulator, salon):
    before = salon.slots(COLOUR, TUESDAY)
    simulator.book_elsewhere("colour", TEN)
    cached, other_query = salon.slots(COLOUR, TUESDAY), salon.slots(COLOUR, TUESDAY, timeZone="UTC")

    simulator.set_now("2027-03-01T07:00:02Z")

    assert cached == before
    assert TEN not in other_query
    assert salon.slots(COLOUR, TUESDAY) == other_query


def test_unreachable_calendar_looks_like_a_full_day(simulator, salon):
    simulator.configure(unreachable_calendars=["emma"])

    assert salon.slots(COLOUR, TUESDAY) == []
    assert salon.book(COLOUR, TEN).status == 400


def test_slot_ends_within_the_bounds(salon):
    slots = salon.slots(COLOUR, f"{TUESDAY}T09:00:00Z", f"{TUESDAY}T11:30:00Z")

    assert [slot[11:16] for slot in slots] == ["09:00", "10:00"]


def test_hours_follow_the_clocks_of_the_host_across_daylight_saving(salon):
    saturday, monday = salon.slots(HAIRCUT, "2027-03-27"), salon.slots(HAIRCUT, "2027-03-29")

    assert (saturday[0][11:16], monday[0][11:16]) == ("08:00", "07:00")
    assert len(saturday) == len(monday) == 18


def test_an_override_replaces_the_hours_of_its_date():
    dataset = one_type()
    short_day = (Override(TUESDAY, "10:00", "11:00"), Override("2027-03-03"))
    user = replace(dataset.users[0], overrides=short_day)
    with Simulator.running(replace(dataset, users=(user,)), now=lambda: NOW) as simulator:
        slots = ApiUser(simulator, "cal_emma").slots(1, TUESDAY, "2027-03-03")

    assert [slot[:16] for slot in slots] == [f"{TUESDAY}T10:00", f"{TUESDAY}T10:30"]


@pytest.mark.parametrize(
    ("rule", "open_days"),
    [
        ({"notice_minutes": 2 * 24 * 60}, ["2027-03-03", "2027-03-04", "2027-03-05", "2027-03-08"]),
        ({"booking_window": {"type": "calendarDays", "value": 2}}, ["2027-03-01", "2027-03-02", "2027-03-03"]),
        ({"booking_window": {"type": "businessDays", "value": 1}}, ["2027-03-01", "2027-03-02"]),
        ({"booking_window": {"type": "range", "value": ["2027-03-04", "2027-03-05"]}}, ["2027-03-04", "2027-03-05"]),
    ],
)
def test_notice_and_window_limit_slots_and_bookings_alike(rule, open_days):
    with Simulator.running(one_type(**rule), now=lambda: NOW) as simulator:
        emma = ApiUser(simulator, "cal_emma")

        slots = emma.slots(1, "2027-03-01", "2027-03-08")
        too_late = emma.book(1, f"{open_days[-1]}T16:30:00Z")
        out_of_it = emma.book(1, "2027-03-01T09:00:00Z" if "notice_minutes" in rule else "2027-03-09T09:00:00Z")

    assert sorted({slot[:10] for slot in slots}) == open_days
    assert too_late.status == 201
    assert "minimum booking notice" in out_of_it.body["error"]["message"]


def test_demo_dataset_survives_json():
    assert Dataset.from_json(demo().to_json()) == demo()
