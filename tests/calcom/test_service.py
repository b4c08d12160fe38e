"""The one door."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError
from redis import ConnectionError as RedisConnectionError

from cachectl import store, tasks
from cachectl.freshness import Freshness
from cachectl.infra import executors
from cachectl.infra.deadline import Deadline
from cachectl.models import CacheInvalidation
from calcom.errors import Refused
from calcom.models import EventType
from calcom.service import CalcomService, OpenSlots
from calcom.simulator import Simulator
from calcom.types import NewBooking, RemoteState
from tests import factories
from tests.bookings.helpers import PATIENCE
from tests.factories import TUESDAY, WEDNESDAY, at

SLOTS = "GET /v2/slots"
OWN = CacheInvalidation.Cause.OWN
ANNAS = NewBooking(
    start=at(10),
    attendee_name=factories.ANNA.name,
    attendee_email="anna@example.com",
    time_zone="Europe/Berlin",
    appointment_id="bk_1",
)


TEN, TWO = at(10), at(14)


def slots_of(calcom: CalcomService, event_type: EventType, first: datetime = TEN, last: datetime = TWO) -> OpenSlots:
    """Ask, with time enough."""
    return calcom.open_slots(event_type=event_type, first=first, last=last, deadline=Deadline.after(PATIENCE))


def minute(instant: datetime) -> int:
    """Return an instant as epoch minute."""
    return int(instant.timestamp() // 60)


def published(queue: str) -> list[dict[str, object]]:
    """Take the messages that wait in a queue: arguments and the moment before which they rest."""
    found = []
    with current_app.connection_for_read() as connection, connection.SimpleQueue(queue) as waiting:
        while len(waiting):
            message = waiting.get_nowait()
            message.ack()
            found.append({"task": message.headers["task"], "eta": message.headers["eta"], **message.payload[1]})
    return found


@pytest.fixture(autouse=True)
def _empty_queues():
    published("cache")
    published("refresh")


def jobs_done() -> None:
    """Wait for what was left to the background pool."""
    executors._executor("background").finish()
    executors._executor.cache_clear()


def invalidate(
    calcom: CalcomService, event_type: EventType, *host_ids: int, start: datetime = TEN, cause=OWN
) -> list[CacheInvalidation]:
    """Do what a confirmed booking does."""
    end = start + timedelta(minutes=event_type.length_minutes)
    with transaction.atomic():
        invalidations = calcom.record_invalidations(
            event_type=event_type, start=start, end=end, host_ids=host_ids, cause=cause
        )
    calcom.availability_changed(invalidations)
    return invalidations


def test_a_window_is_answered_exactly_and_from_one_request(simulator, calcom: CalcomService, salon: factories.Salon):
    """FM-31: from the first instant on and before the last; fourteen days cost one request, the next question none."""
    morning = slots_of(calcom, salon.colour.event_type, at(9), at(12))
    next_week = slots_of(calcom, salon.colour.event_type, at(9), at(9) + timedelta(days=10))

    assert morning.starts[0] == minute(at(9))
    assert all(minute(at(9)) <= start < minute(at(12)) for start in morning.starts)
    assert morning.known.loaded
    assert next_week.known.freshness is Freshness.FRESH
    assert next_week.starts == sorted(set(next_week.starts))
    assert simulator.count(SLOTS) == 1


def test_a_window_without_length_is_refused(calcom: CalcomService, salon: factories.Salon):
    """FM-26: bad input is an error, not an empty answer."""
    with pytest.raises(ValueError, match="end after it begins"):
        slots_of(calcom, salon.cut.event_type, at(10), at(10))


def test_the_time_of_a_booking_counts_as_free_when_it_moves(simulator, calcom: CalcomService, salon: factories.Salon):
    """FM-11: asked of Cal.com, each time, within the window."""
    colour = salon.colour.event_type
    booked = calcom.create_booking(event_type=colour, booking=ANNAS)

    starts = calcom.open_slots_for_reschedule(event_type=colour, uid=booked.uid, first=at(9), last=at(12))

    assert minute(at(10)) in starts
    assert max(starts) < minute(at(12))


def test_booking_is_created_rescheduled_and_cancelled(simulator, calcom: CalcomService, salon: factories.Salon):
    """FM-10: booked, moved, cancelled, and each time readable."""
    booked = calcom.create_booking(event_type=salon.colour.event_type, booking=ANNAS)
    moved = calcom.reschedule(uid=booked.uid, start=at(14), reason="caller asked")
    calcom.cancel(uid=moved.uid, reason="caller asked")

    assert calcom.get_booking(uid=moved.uid).state is RemoteState.CANCELLED
    with pytest.raises(Refused):
        calcom.get_booking(uid="unknown")


def test_the_look_up_finds_ours_and_prefers_what_takes_time(simulator: Simulator, calcom, salon: factories.Salon):
    """FM-03, FM-04: never another booking, and not a cancelled one if there is one that takes time."""
    colour = salon.colour.event_type
    question = {"attendee_email": "anna@example.com", "start": at(10), "end": at(11)}
    first = calcom.create_booking(event_type=colour, booking=ANNAS)
    calcom.cancel(uid=first.uid, reason="caller asked")
    second = calcom.create_booking(event_type=colour, booking=ANNAS)
    simulator.book_elsewhere(2, at(10), email="anna@example.com")

    assert calcom.find_booking(**question, appointment_id="bk_1") == second
    assert calcom.find_booking(**question, appointment_id="bk_2") is None
    calcom.cancel(uid=second.uid, reason="caller asked")
    assert calcom.find_booking(**question, appointment_id="bk_1").state is RemoteState.CANCELLED


def test_event_types_that_share_a_host_are_invalidated_together(calcom: CalcomService, salon: factories.Salon):
    """FM-22: Emma's colour takes her from cuts, and Ben's beards stay as they are."""
    [cache_invalidation] = invalidate(calcom, salon.colour.event_type, salon.emma.host_id)

    assert set(cache_invalidation.event_type_ids) == {
        salon.colour.event_type_id,
        salon.cut.event_type_id,
        salon.emmas_cut.event_type_id,
    }
    assert (cache_invalidation.first, cache_invalidation.last) == (TUESDAY, TUESDAY)
    assert CacheInvalidation.objects.get() == cache_invalidation


def test_days_of_overlapping_slots_are_invalidated(calcom: CalcomService, salon: factories.Salon):
    """FM-23: an appointment at midnight UTC touches the day before only for those whose length reaches into it."""
    midnight = datetime.combine(WEDNESDAY, datetime.min.time(), UTC)

    invalidations = invalidate(calcom, salon.colour.event_type, salon.emma.host_id, start=midnight)

    assert {(each.first, each.last) for each in invalidations} == {(TUESDAY, WEDNESDAY)}
    assert sum(len(each.event_type_ids) for each in invalidations) == 3


def test_changed_event_type_is_always_invalidated(calcom: CalcomService, salon: factories.Salon):
    """FM-22: also if the hosts are unknown."""
    [cache_invalidation] = invalidate(calcom, salon.beard.event_type)

    assert cache_invalidation.event_type_ids == [salon.beard.event_type_id]


def test_other_accounts_are_not_invalidated(
    calcom: CalcomService, salon: factories.Salon, practice: factories.Practice
):
    """FM-26: hosts of another tenant invalidate nothing here."""
    [cache_invalidation] = invalidate(calcom, salon.beard.event_type, practice.doctor.host_id)

    assert cache_invalidation.event_type_ids == [salon.beard.event_type_id]
    assert cache_invalidation.account_id == salon.account.id


def test_booked_days_are_invalid_before_any_worker_ran(simulator, calcom: CalcomService, salon: factories.Salon):
    """FM-24: the very next question knows of the change, and costs no request because of it."""
    slots_of(calcom, salon.colour.event_type)

    invalidate(calcom, salon.colour.event_type, salon.emma.host_id)

    day = slots_of(calcom, salon.colour.event_type).days[TUESDAY]
    assert (day.needs_refresh, day.freshness) == (True, Freshness.FRESH)
    assert simulator.count(SLOTS) == 1


def test_task_invalidates_the_days_again(calcom: CalcomService, salon: factories.Salon):
    """FM-25, FM-26: the message says only that there is work; what to do stands in our row."""
    invalidate(calcom, salon.beard.event_type, salon.ben.host_id)

    jobs_done()
    assert published("cache") == [{"task": "cachectl.invalidate_range", "eta": None}]


@pytest.mark.parametrize("cause", [CacheInvalidation.Cause.OWN, CacheInvalidation.Cause.ELSEWHERE])
def test_changed_days_are_loaded_on_demand(
    calcom: CalcomService, salon: factories.Salon, cause: CacheInvalidation.Cause
):
    """FM-24, FM-27: a change causes no requests, however many hosts there are."""
    invalidate(calcom, salon.colour.event_type, salon.emma.host_id, cause=cause)

    jobs_done()
    assert published("refresh") == []


def test_change_is_recorded_without_redis_and_broker(calcom: CalcomService, salon: factories.Salon, monkeypatch):
    """FM-15, FM-25: after Cal.com's yes nothing can fail; the row stays pending, and the relay sends a message."""

    def away(*_: object, **__: object) -> None:
        raise RedisConnectionError

    def no_broker(**_: object) -> None:
        raise OperationalError

    with monkeypatch.context() as outage:
        outage.setattr(store, "_call", away)
        outage.setattr(tasks.invalidate_range, "apply_async", no_broker)
        [cache_invalidation] = invalidate(calcom, salon.colour.event_type, salon.emma.host_id)
        jobs_done()

    assert list(CacheInvalidation.objects.due()) == [cache_invalidation]
    tasks.relay_outbox()
    assert published("cache") == [{"task": "cachectl.invalidate_range", "eta": None}]
    tasks.invalidate_range()
    assert CacheInvalidation.objects.get().done_at is not None


def test_reprs_have_no_personal_data(salon: factories.Salon):
    """FM-83: what is asked for can be printed without telling whose it is."""
    printed = repr(replace(ANNAS, attendee_phone=factories.ANNA.phone, fields={"insurance": "Private"}))

    assert not any(each in printed for each in ("Anna", "anna", str(factories.ANNA.phone), "Private"))
