"""Cal.com contradicts the mirror of an event type: it is synced, and what it lists is not answered any more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from celery import current_app
from django.db import transaction
from django.utils import timezone

from cachectl.cache import Freshness
from cachectl.infra import executors
from cachectl.infra.deadline import Deadline
from cachectl.models import CacheInvalidation
from calcom import sync_requests, tasks
from calcom.errors import Refused
from calcom.models import Account, EventType
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.sync import deactivate, sync, sync_event_type
from calcom.types import ListReach, NewBooking
from tests import factories
from tests.bookings.helpers import PATIENCE
from tests.factories import at

LIST = "GET /v2/slots"
ONE_TYPE = "GET /v2/event-types/{event_type_id}"
ANNAS = NewBooking(
    start=at(10),
    attendee_name=factories.ANNA.name,
    attendee_email="anna@example.com",
    time_zone="Europe/Berlin",
    appointment_id="bk_1",
)


def requested_syncs() -> list[dict[str, int]]:
    """Take the syncs that were handed to workers."""
    executors._executor("background").finish()
    executors._executor.cache_clear()
    found = []
    with current_app.connection_for_read() as connection, connection.SimpleQueue("default") as waiting:
        while len(waiting):
            message = waiting.get_nowait()
            message.ack()
            if message.headers["task"] == "calcom.sync_event_type":
                found.append(message.payload[1])
    return found


def listed(calcom: CalcomService, event_type: EventType, **options):
    """What is known of Tuesday."""
    options = {"deadline": Deadline.after(PATIENCE), **options}
    return calcom.open_slots(event_type=event_type, first=at(9), last=at(18), **options).known


def host_names(event_type: EventType) -> set[str]:
    """Who serves the event type, as far as we know."""
    return {host.name for host in event_type.hosts.all()}


def test_a_sync_of_one_event_type_costs_one_request(salon: factories.Salon, simulator: Simulator):
    """A new host, a new length and buffers; the other types stay as they are."""
    simulator.change_event_type("colour", hosts=["emma", "ben"], minutes=90, after_minutes=0)

    sync_event_type(account=salon.account, calcom_id=2, now=timezone.now())

    new = EventType.objects.get(account=salon.account, calcom_id=2, length_minutes=90)
    salon.colour.event_type.refresh_from_db()
    assert (host_names(new), new.after_buffer_minutes, new.active) == ({"Emma", "Ben"}, 0, True)
    assert salon.colour.event_type.active is False
    assert EventType.objects.get(account=salon.account, calcom_id=3).active
    assert (simulator.count(ONE_TYPE), simulator.count()) == (1, 1)


@pytest.mark.parametrize("whole", [True, False], ids=["account", "event type"])
def test_a_sync_invalidates_the_lists_of_what_changed(whole, calcom: CalcomService, salon: factories.Salon, simulator):
    """A list of other hosts is no answer; what did not change costs nothing."""
    for event_type in (salon.cut.event_type, salon.beard.event_type):
        listed(calcom, event_type)
    simulator.change_event_type("haircut", hosts=["ben"])

    for _ in range(2):
        if whole:
            sync(account=salon.account, now=timezone.now())
        else:
            sync_event_type(account=salon.account, calcom_id=1, now=timezone.now())

    assert listed(calcom, salon.cut.event_type, deadline=Deadline.after(0)).freshness is Freshness.EXPIRED
    assert listed(calcom, salon.beard.event_type, deadline=Deadline.after(0)).freshness is Freshness.FRESH


def test_a_sync_is_requested_once_in_a_while(calcom: CalcomService, salon: factories.Salon):
    """However many callers meet the difference, and in however many processes."""
    for _ in range(3):
        sync_requests.request_sync(salon.cut.event_type)
        sync_requests.reset()  # as in another process

    assert requested_syncs() == [{"account_id": salon.account.pk, "calcom_id": 1}]


def test_a_requested_sync_that_fails_changes_nothing(
    calcom: CalcomService, salon: factories.Salon, simulator: Simulator
):
    """An outage deactivates nothing."""
    simulator.fail(ONE_TYPE, "error_before")

    tasks.sync_event_type(account_id=salon.account.pk, calcom_id=1)

    salon.cut.event_type.refresh_from_db()
    assert salon.cut.event_type.active


@pytest.mark.parametrize("operation", ["load", "book", "list for a move"])
def test_a_deleted_event_type_is_not_offered_any_more(
    operation, calcom: CalcomService, salon: factories.Salon, simulator
):
    """A 404 for the event type ends its offer, whichever request meets it: no list of its days is an answer."""
    event_type = salon.cut.event_type
    booked = calcom.create_booking(event_type=event_type, booking=ANNAS)
    listed(calcom, event_type)
    simulator.delete_event_type("haircut")

    if operation == "load":
        assert listed(calcom, event_type, max_age=0).freshness is Freshness.MISSING
    elif operation == "book":
        with pytest.raises(Refused):
            calcom.create_booking(event_type=event_type, booking=replace(ANNAS, start=at(11)))
    else:
        with pytest.raises(Refused):
            calcom.open_slots_for_reschedule(event_type=event_type, uid=booked.uid, first=at(9), last=at(18))

    event_type.refresh_from_db()
    known = listed(calcom, event_type)
    assert event_type.active is False
    assert (known.freshness, known.failure) == (Freshness.MISSING, "not_found")
    assert requested_syncs() == [{"account_id": salon.account.pk, "calcom_id": 1}]


def test_a_sync_after_a_404_verifies_it(calcom: CalcomService, salon: factories.Salon, simulator: Simulator):
    """What is in Cal.com's lists after all is offered again; what is not stays inactive."""
    for calcom_id in (1, 2):
        deactivate(EventType.objects.get(account=salon.account, calcom_id=calcom_id))
    simulator.delete_event_type("haircut")

    for sync_ in requested_syncs():
        tasks.sync_event_type(**sync_)

    assert not EventType.objects.get(account=salon.account, calcom_id=1).active
    assert EventType.objects.get(account=salon.account, calcom_id=2).active


def test_a_404_that_is_not_about_the_event_type_ends_nothing(calcom: CalcomService, salon: factories.Salon, simulator):
    """A wrong address answers so, too: then Cal.com could not be asked."""
    listed(calcom, salon.cut.event_type)
    Account.objects.update(base_url=f"{salon.account.base_url}/nowhere")

    known = listed(calcom, salon.cut.event_type, max_age=0)

    salon.cut.event_type.refresh_from_db()
    assert salon.cut.event_type.active
    assert known.freshness is Freshness.FRESH


# --- lists of more than host time --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reach"),
    [
        ({}, ListReach.NONE),
        ({"first_slot_only": True}, ListReach.DAY),
        ({"booking_window": {"type": "businessDays", "value": 5, "rolling": True}}, ListReach.YEAR),
        ({"booking_window": {"type": "businessDays", "value": 5, "rolling": False}}, ListReach.NONE),
    ],
)
def test_a_sync_says_how_far_rules_change_a_list(changes, reach, salon: factories.Salon, simulator: Simulator):
    """What Cal.com lists by more than the time of hosts is marked."""
    if changes:
        simulator.change_event_type("haircut", **changes)

    sync_event_type(account=salon.account, calcom_id=1, now=timezone.now())

    salon.cut.event_type.refresh_from_db()
    assert salon.cut.event_type.list_reach == reach


@pytest.mark.parametrize(("reach", "far"), [(ListReach.NONE, None), (ListReach.DAY, 1), (ListReach.WEEK, 7)])
def test_an_own_change_expires_lists_of_more_than_host_time(reach, far, calcom: CalcomService, salon: factories.Salon):
    """Its day, and as far as the rule reaches; types that list host time only stay answerable."""
    cut, emmas = salon.cut.event_type, salon.emmas_cut.event_type
    EventType.objects.filter(pk=cut.pk).update(list_reach=reach)
    days = [at(9) + timedelta(days=number) for number in (-far if far else 0, 0, far or 0, (far or 0) + 1)]
    days = [day for day in days if day > timezone.now()]
    for event_type in (cut, emmas):
        calcom.open_slots(event_type=event_type, first=days[0], last=days[-1], deadline=Deadline.after(PATIENCE))

    with transaction.atomic():
        rows = calcom.record_invalidations(
            event_type=salon.colour.event_type,
            start=at(10),
            end=at(11),
            host_ids=[salon.emma.host_id],
            cause=CacheInvalidation.Cause.OWN,
        )
    calcom.availability_changed(rows)

    def freshnesses(event_type):
        known = calcom.open_slots(event_type=event_type, first=days[0], last=days[-1], deadline=Deadline.after(0)).known
        return [known.days[day.date()].freshness for day in days[:-1]]

    assert set(freshnesses(cut)) == {Freshness.FRESH if far is None else Freshness.EXPIRED}
    assert set(freshnesses(emmas)) == {Freshness.FRESH}


def test_a_refusal_expires_the_day_in_every_time_zone(calcom: CalcomService, salon: factories.Salon):
    """A closed morning may begin the UTC day before."""
    with transaction.atomic():
        rows = calcom.record_invalidations(
            event_type=salon.cut.event_type,
            start=at(9),
            end=at(9, 30),
            host_ids=[salon.emma.host_id],
            cause=CacheInvalidation.Cause.REFUSED,
        )

    days = {row.first for row in rows} | {row.last for row in rows}
    assert days == {at(9).date() - timedelta(days=1), at(9).date()}
