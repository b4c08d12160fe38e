"""Days as Cal.com has them."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cachectl import loaders
from cachectl.loaders import THROTTLED, LoadError, LoadPriority
from calcom.simulator import WEEKDAYS, Dataset, Hours, Kind, Simulator
from calcom.slot_loader import CalcomDays
from tests import factories
from tests.factories import SUNDAY, TUESDAY, WEDNESDAY, at

SLOTS = "GET /v2/slots"


def load(service, first=TUESDAY, last=TUESDAY, **changes):
    """Load days of a service."""
    event_type = service.event_type
    question = {"account_id": event_type.account_id, "event_type_id": event_type.id, "first": first, "last": last}
    return CalcomDays().load(**{**question, "priority": LoadPriority.LIVE, "tenant": None, **changes})


def test_load_returns_each_day_with_its_slots(simulator: Simulator, salon: factories.Salon):
    """FM-23, FM-31: UTC days, empty ones too, and nothing from beyond the window."""
    days = load(salon.cut, TUESDAY, SUNDAY)

    assert list(days) == [TUESDAY + timedelta(days=number) for number in range(6)]
    assert days[SUNDAY] == []
    for day, starts in days.items():
        assert {datetime.fromtimestamp(start * 60, UTC).date() for start in starts} <= {day}
    assert days[TUESDAY][0] == int(at(9).timestamp() // 60)


def test_slots_around_midnight_belong_to_their_utc_day(simulator: Simulator, practice: factories.Practice):
    """FM-31: the evening in New York is the next day in UTC, and both loads agree on whose it is."""
    both = load(practice.check_up, TUESDAY, WEDNESDAY)
    alone = load(practice.check_up, WEDNESDAY, WEDNESDAY)

    assert both[WEDNESDAY] == alone[WEDNESDAY]


def test_a_slot_that_runs_past_midnight_is_not_lost(db: None, monkeypatch: pytest.MonkeyPatch):
    """FM-31: Cal.com lists only what ends within the window; the last evening's slots are asked for all the same."""
    monkeypatch.setattr("calcom.slot_loader._rolling", itertools.count())  # so that the end alone decides
    night = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
    users = tuple(replace(user, hours=night) for user in factories.dataset().users)
    every_half_hour = tuple(replace(each, interval_minutes=30) for each in factories.dataset().event_types)

    with Simulator.running(Dataset(users, every_half_hour)) as simulator:
        days = load(factories.cast_salon(simulator.base_url).colour)

    assert days[TUESDAY][-1] == int(at(23, 30, zone=UTC).timestamp() // 60)


def test_days_of_another_zone_are_put_where_they_belong(simulator: Simulator, salon: factories.Salon):
    """FM-31, FM-50: whatever zone Cal.com answers in, what counts is the instant."""
    right = load(salon.cut, TUESDAY, WEDNESDAY)
    simulator.fail(SLOTS, Kind.WRONG_ZONE)

    assert load(salon.cut, TUESDAY, WEDNESDAY) == right


def test_loads_never_share_a_query(simulator: Simulator, salon: factories.Salon):
    """FM-24: Cal.com keeps an answer for 2 s by its exact query; the second load sees the booking all the same."""
    before = load(salon.beard)
    simulator.book_elsewhere(3, at(10))

    after = load(salon.beard)

    assert set(before[TUESDAY]) - set(after[TUESDAY]) == {int(at(10).timestamp() // 60)}
    asked = [request["path"] for request in simulator.requests(SLOTS)]
    assert len(asked) == len(set(asked)) == 2


def test_a_day_is_never_filled_from_another_account(
    simulator: Simulator, salon: factories.Salon, practice: factories.Practice
):
    """FM-26: ids that do not belong together cost no request and yield nothing."""
    with pytest.raises(LoadError, match="unknown_event_type"):
        load(salon.cut, account_id=practice.account.id)

    assert simulator.count(SLOTS) == 0


@pytest.mark.parametrize("kind", [Kind.ERROR_BEFORE, Kind.RESET_BEFORE, Kind.TOO_MANY])
def test_a_load_that_fails_says_so_and_until_when(simulator: Simulator, salon: factories.Salon, kind: Kind):
    """FM-28, FM-43: in one word, for everybody who waits; the pause that Cal.com asks for goes with it."""
    simulator.fail(SLOTS, kind)

    with pytest.raises(LoadError) as failed:
        load(salon.cut)

    assert failed.value.reason == "unavailable"
    assert (failed.value.retry_after is not None) == (kind is Kind.TOO_MANY)


def test_a_refused_load_says_why(simulator: Simulator, salon: factories.Salon):
    """FM-28: an event type that Cal.com no longer has is not a matter of waiting."""
    salon.cut.event_type.calcom_id = 999
    salon.cut.event_type.save()

    with pytest.raises(LoadError) as failed:
        load(salon.cut)

    assert failed.value.reason == "not_found"


def test_throttled_load_has_a_retry_time(simulator: Simulator, salon: factories.Salon):
    """FM-44: nothing was sent; lower priorities wait first."""
    simulator.configure(limit=10)
    for _ in range(4):  # background work stops at 40 %
        load(salon.cut)

    with pytest.raises(LoadError) as refused:
        load(salon.cut, priority=LoadPriority.WARMING)
    load(salon.cut, priority=LoadPriority.REFRESH)

    assert refused.value.reason == THROTTLED
    assert 0 < (refused.value.retry_after or 0) <= 61
    assert simulator.count(SLOTS) == 5


def test_loader_is_registered(salon: factories.Salon):
    """FM-20: the app registers itself; only accounts in use are watched."""
    other = factories.cast_practice().account
    other.active = False
    other.save()

    assert isinstance(loaders.current(), CalcomDays)
    assert list(loaders.accounts()) == [salon.account.id]
