"""Cal.com's own list, newer than what we booked and what was synced, outranks the mirror; a refusal outranks a list."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.availability import calendar_view
from bookings.availability.calendar_view import Calendar
from bookings.availability.criteria import TimeCriteria
from bookings.availability.rules import Reason
from bookings.availability.search import AvailabilityQuery, Status, search
from bookings.errors import BookingError, SlotTaken, UpstreamUnavailable
from bookings.models import Appointment, Claim, Conversation
from bookings.scheduling import holds
from bookings.sync import apply, conflicts
from cachectl.infra.deadline import Deadline
from calcom import sync_requests
from calcom.models import EventType
from calcom.simulator import Kind
from tests import redis_time
from tests.bookings.helpers import (
    PATIENCE,
    book,
    cancel,
    claims_of,
    intent,
    let_jobs_finish,
    let_lists_know,
    reschedule,
)
from tests.factories import ANNA, BERLIN, KARL, MARIA, TUESDAY, at

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"


def on_tuesday(service, calcom, **options):
    """The slots of Tuesday, as `search.open_times` has them."""
    options = {"deadline": Deadline.after(PATIENCE), "first": at(0), "last": at(23, 59), **options}
    return calendar_view.open_times(service=service, now=timezone.now(), calcom=calcom, **options)


def instants(found):
    """When they are."""
    return [datetime.fromtimestamp(minute * 60, UTC) for minute in found.starts]


def ask(service, calcom, wanted, *, wait=PATIENCE):
    """Search with anybody."""
    question = AvailabilityQuery(service, [Calendar(service.event_type)], wanted)
    return search(question, now=timezone.now(), calcom=calcom, deadline=Deadline.after(wait))


def renew(service, calcom):
    """Let time pass until lists know of all that was booked, and have a new one."""
    let_lists_know()
    on_tuesday(service, calcom, max_age=0)


@pytest.fixture
def requested(monkeypatch):
    """The event types whose sync was requested."""
    found = []
    monkeypatch.setattr(sync_requests, "queue_sync", lambda _, calcom_id: found.append(calcom_id))
    return found


@pytest.fixture
def colour_with_ben(salon, calcom, simulator):
    """Emma is booked for a colour at two, and since this morning Ben does colours, too; no sync has seen it."""
    booked = book(intent(salon.colour, at(14)), calcom)
    simulator.change_event_type("colour", hosts=["emma", "ben"])
    return booked.appointment


# --- a newer list outranks the mirror ------------------------------------------------------------------------------


def test_a_host_added_since_the_sync_is_offered(salon, calcom, colour_with_ben, requested):
    """What a newer list has is free, whomever the mirror knows; until there is one, the mirror counts."""
    assert at(14) not in instants(on_tuesday(salon.colour, calcom))

    renew(salon.colour, calcom)

    found = ask(salon.colour, calcom, TimeCriteria.at(at(14)))
    assert (found.status, found.reason, found.known.verified) == (Status.AVAILABLE, None, True)
    let_jobs_finish()
    assert requested == [2]


@pytest.mark.parametrize("way", ["at once", "by a hold", "by moving"])
def test_what_a_newer_list_offers_beyond_the_mirror_is_booked(way, salon, calcom, simulator, colour_with_ben):
    """The host whom no sync has seen gets it; the claims say so, and nothing overlaps."""
    renew(salon.colour, calcom)

    if way == "at once":
        booked = book(intent(salon.colour, at(14), KARL), calcom)
    elif way == "by a hold":
        call = Conversation.objects.create(company=salon.company, platform="test", call_id="1")
        (offer,) = holds.issue_tokens(
            company=salon.company, conversation=call, service=salon.colour, starts=[at(14)], now=timezone.now()
        )
        held = holds.hold(offer=offer, calcom=calcom, deadline=Deadline.after(PATIENCE), now=timezone.now())
        assert claims_of(held.appointment) == {"Emma": "held"}
        assert conflicts.detect() == []
        booked = book(intent(salon.colour, at(14), KARL, conversation=call), calcom)
        assert booked.appointment == held.appointment
    else:
        booked = reschedule(book(intent(salon.colour, at(10), KARL), calcom).appointment, at(14), calcom)

    assert booked.is_settled
    assert claims_of(booked.appointment) == {"Ben": "confirmed"}
    assert not Claim.objects.filter(conflicting=True).exists()
    assert simulator.overlaps() == []


def test_two_callers_do_not_share_the_host_beyond_the_mirror(salon, calcom, simulator, colour_with_ben):
    """One list proves one host: while a first caller is being booked, a second one is refused."""
    renew(salon.colour, calcom)

    with simulator.holding(BOOK):
        book(intent(salon.colour, at(14), KARL), calcom, wait=0.2)
        with pytest.raises(SlotTaken):
            book(intent(salon.colour, at(14), MARIA), calcom, wait=0.2)

    assert simulator.count(BOOK) == 2  # colour_with_ben's, and Karl's


def test_a_booking_with_an_unknown_host_expires_the_list_and_requests_a_sync(
    salon, calcom, simulator, colour_with_ben, requested
):
    """Of a host whom the mirror does not know nothing is subtracted, so the list that had the slot is none any more."""
    renew(salon.colour, calcom)
    let_jobs_finish()
    requested.clear()
    sync_requests.reset()

    book(intent(salon.colour, at(14), KARL), calcom)
    let_jobs_finish()

    known = on_tuesday(salon.colour, calcom, deadline=Deadline.after(0)).known
    assert known.verified is False
    assert requested == [2]
    renew(salon.colour, calcom)
    assert at(14) not in instants(on_tuesday(salon.colour, calcom))


def test_a_buffer_that_was_removed_at_cal_com_hides_nothing_in_a_newer_list(salon, calcom, simulator, requested):
    """Lengths and buffers of the mirror are outranked like its hosts."""
    EventType.objects.filter(pk=salon.colour.event_type_id).update(before_buffer_minutes=30)
    salon.colour.event_type.refresh_from_db()
    book(intent(salon.colour, at(14)), calcom)
    simulator.change_event_type("colour", after_minutes=0)
    assert at(13) not in instants(on_tuesday(salon.colour, calcom))

    renew(salon.colour, calcom)

    assert at(13) in instants(on_tuesday(salon.colour, calcom))
    let_jobs_finish()
    assert requested == [2]


def test_a_list_that_agrees_with_the_mirror_requests_no_sync(salon, calcom, requested):
    """Neither with one host nor with two."""
    for service in (salon.colour, salon.cut):
        book(intent(service, at(14)), calcom)
        renew(service, calcom)
        on_tuesday(service, calcom)

    let_jobs_finish()
    assert requested == []


# --- uncertain is not taken ----------------------------------------------------------------------------------------


def test_a_time_that_may_be_free_is_not_told_as_taken(salon, calcom, simulator):
    """Emma is booked for a colour since the list of cuts was loaded: Ben may be free, and no list can tell yet."""
    on_tuesday(salon.cut, calcom)
    book(intent(salon.colour, at(14)), calcom)

    found = ask(salon.cut, calcom, TimeCriteria.at(at(14)))

    assert found.reason is None
    assert (found.known.verified, found.status) == (False, Status.ALTERNATIVES)
    assert found.offers
    assert at(14) not in [offer.start for offer in found.offers]


def test_a_time_that_is_being_booked_may_leave_another_host(salon, calcom, simulator):
    for service in (salon.cut, salon.beard):
        on_tuesday(service, calcom)
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14)), calcom, wait=0.2)
        cut, beard = (ask(service, calcom, TimeCriteria.at(at(14))) for service in (salon.cut, salon.beard))

    assert (cut.reason, cut.known.verified) == (None, False)
    assert (beard.reason, beard.known.verified) == (Reason.FULLY_BOOKED, True)


def test_what_certainly_is_taken_is_told_so(salon, calcom, simulator):
    """Both hosts are booked, or the only one is: no newer list is needed to say so."""
    for service in (salon.cut, salon.colour):
        on_tuesday(service, calcom)
    for caller in (ANNA, KARL):
        book(intent(salon.cut, at(14), caller), calcom)

    for service in (salon.cut, salon.colour):
        found = ask(service, calcom, TimeCriteria.at(at(14)))
        assert (found.status, found.reason) == (Status.ALTERNATIVES, Reason.FULLY_BOOKED)
        assert found.known.verified


def test_where_nothing_else_is_left_an_uncertain_time_is_no_full_calendar(salon, calcom, simulator):
    """Nothing is offered, and nothing is said to be full."""
    for host in ("emma", "ben"):
        simulator.busy(host, timezone.now(), at(14))
        simulator.busy(host, at(14, 30), at(0) + timedelta(days=100))
    salon.cut.horizon_days = 20
    on_tuesday(salon.cut, calcom)
    book(intent(salon.cut, at(14)), calcom)

    found = ask(salon.cut, calcom, TimeCriteria.at(at(14)))

    assert (found.status, found.reason, found.offers) == (Status.DEGRADED, None, [])
    assert found.known.verified is False


def test_an_uncertain_time_does_not_touch_other_wishes(salon, calcom):
    on_tuesday(salon.cut, calcom)
    book(intent(salon.colour, at(14)), calcom)

    assert ask(salon.cut, calcom, TimeCriteria.at(at(10))).known.verified
    assert ask(salon.cut, calcom, TimeCriteria.on([TUESDAY], BERLIN)).known.verified


def test_a_list_of_slots_says_that_it_hides_an_uncertain_one(salon, calcom, agent):
    """`GET /v1/availability` leaves the time out, and does not call that verified; the days that are whole are."""
    agent.free_slots(salon.cut, TUESDAY)
    book(intent(salon.colour, at(14)), calcom)

    uncertain = agent.availability(salon.cut, TUESDAY)
    certain = agent.availability(salon.cut, TUESDAY + timedelta(days=1))

    assert (uncertain.json()["status"], uncertain.json()["freshness"]["verified"]) == ("available", False)
    assert uncertain.json()["freshness"]["source"] == "cache"
    assert uncertain["X-Cache-Hit"] == "true"
    assert certain.json()["freshness"]["verified"] is True
    let_lists_know()
    renewed = agent.availability(salon.cut, TUESDAY, cache_control="max-age=0").json()
    assert (renewed["freshness"]["source"], renewed["freshness"]["verified"]) == ("calcom", True)


# --- time that is given back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cancelled", "moved away", "cancelled at Cal.com"])
def test_time_given_back_is_not_told_as_taken(way, salon, calcom, simulator):
    """A list that was loaded while it was booked does not have it: nothing says that it is taken, and then one asks."""
    booked = book(intent(salon.colour, at(14)), calcom).appointment
    renew(salon.colour, calcom)
    assert ask(salon.colour, calcom, TimeCriteria.at(at(14))).reason is Reason.FULLY_BOOKED

    if way == "cancelled":
        cancel(booked, calcom)
    elif way == "moved away":
        reschedule(booked, at(10), calcom)
    else:
        simulator.cancel_elsewhere(booked.remote_uid, webhook=False)
        apply.release(booked, calcom)
    requests = simulator.count(LIST)

    at_once = ask(salon.colour, calcom, TimeCriteria.at(at(14)))
    assert (at_once.reason, at_once.known.verified) == (None, False)
    assert ask(salon.colour, calcom, TimeCriteria.at(at(16))).known.verified
    assert simulator.count(LIST) == requests

    redis_time.let_all_pass(3)
    found = ask(salon.colour, calcom, TimeCriteria.at(at(14)))
    assert (found.status, found.known.verified, found.known.loaded) == (Status.AVAILABLE, True, True)
    assert ask(salon.colour, calcom, TimeCriteria.at(at(14))).known.verified
    assert simulator.count(LIST) == requests + 1


def test_a_list_of_slots_is_not_verified_while_freed_time_may_be_missing(salon, calcom, agent):
    """Until a load knows of the cancellation; what is booked afterwards changes nothing about that."""
    booked = book(intent(salon.colour, at(14)), calcom).appointment
    renew(salon.colour, calcom)
    cancel(booked, calcom)
    book(intent(salon.colour, at(10)), calcom)

    assert agent.availability(salon.colour, TUESDAY).json()["freshness"]["verified"] is False
    assert agent.availability(salon.colour, TUESDAY + timedelta(days=2)).json()["freshness"]["verified"] is True
    let_lists_know()
    renewed = agent.availability(salon.colour, TUESDAY, cache_control="no-cache").json()
    assert renewed["freshness"]["verified"] is True
    assert at(14).astimezone(BERLIN).isoformat() in {slot["start"] for slot in renewed["slots"]}


def test_offered_slot_is_held_after_another_callers_cancellation(salon, calcom, simulator):
    """A list from before the cancellation lacks the slot: the hold relies on the offer, then on a newer list."""
    call = Conversation.objects.create(company=salon.company)
    (issued,) = holds.issue_tokens(
        company=salon.company, conversation=call, service=salon.colour, starts=[at(14)], now=timezone.now()
    )
    offer = holds.resolve_slot_token(token=issued.token, company=salon.company, conversation=call)
    booked = book(intent(salon.colour, at(14)), calcom).appointment
    renew(salon.colour, calcom)
    cancel(booked, calcom)
    requests = simulator.count(LIST)

    held = holds.hold(offer=offer, calcom=calcom, deadline=Deadline.after(PATIENCE), now=timezone.now())
    holds.release(appointment=held.appointment)
    redis_time.let_all_pass(3)
    again = holds.hold(offer=offer, calcom=calcom, deadline=Deadline.after(PATIENCE), now=timezone.now())

    assert (held.verified, again.verified) == (False, True)
    assert simulator.count(LIST) == requests + 1


def test_slot_given_back_is_not_refused_before_a_list_can_know_of_it(salon, calcom, simulator):
    """Until a list can know of the cancellation nothing says that the slot is taken: the caller is asked to wait."""
    booked = book(intent(salon.colour, at(14)), calcom).appointment
    renew(salon.colour, calcom)
    cancel(booked, calcom)

    with pytest.raises(UpstreamUnavailable):
        book(intent(salon.colour, at(14), caller=KARL), calcom)
    redis_time.let_all_pass(3)
    booked_again = book(intent(salon.colour, at(14), caller=KARL), calcom)

    assert booked_again.appointment.state == "confirmed"


# --- a refusal outranks a list -------------------------------------------------------------------------------------


def refused_times(refusal):
    """The alternatives on Tuesday, by hour in Berlin."""
    return {start.astimezone(BERLIN).hour for start in refusal.value.alternatives if start.date() == TUESDAY}


def test_alternatives_after_a_refusal_come_from_a_new_list(salon, calcom, simulator):
    on_tuesday(salon.beard, calcom)
    simulator.busy("ben", at(9), at(12))

    with pytest.raises(SlotTaken) as refusal:
        book(intent(salon.beard, at(9)), calcom)

    assert refused_times(refusal)
    assert min(refused_times(refusal)) == 12
    assert simulator.count(LIST) == 2


@pytest.mark.parametrize("service", ["cut", "beard"])
def test_alternatives_after_a_refusal_without_a_new_list_are_of_other_days(service, salon, calcom, simulator):
    service = getattr(salon, service)
    on_tuesday(service, calcom)
    for host in ("emma", "ben"):
        simulator.busy(host, at(9), at(12))
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    with pytest.raises(SlotTaken) as refusal:
        book(intent(service, at(9)), calcom)

    assert refusal.value.alternatives
    assert refused_times(refusal) == set()


def test_a_search_after_a_refusal_is_not_answered_from_the_refuted_list(salon, calcom, simulator):
    """Neither for the type that was refused, nor for another of that host."""
    for service in (salon.beard, salon.cut):
        on_tuesday(service, calcom)
    simulator.busy("ben", at(9), at(12))
    simulator.busy("emma", at(9), at(12))
    with pytest.raises(SlotTaken):
        book(intent(salon.beard, at(9)), calcom)

    for service in (salon.beard, salon.cut):
        found = ask(service, calcom, TimeCriteria.at(at(10)))
        assert (found.reason, found.known.verified) == (Reason.FULLY_BOOKED, True)


def test_alternatives_after_a_refused_move_come_from_a_new_list(salon, calcom, simulator):
    """The list for moving was loaded before the refusal; ten o'clock is closed like nine."""
    booked = book(intent(salon.beard, at(15)), calcom).appointment
    original = calcom.reschedule

    def close_first(**asked):
        simulator.busy("ben", at(9), at(12))
        return original(**asked)

    calcom.reschedule = close_first
    with pytest.raises(SlotTaken) as refusal:
        reschedule(booked, at(9), calcom)

    assert refused_times(refusal)
    assert min(refused_times(refusal)) == 12


def test_alternatives_after_a_refused_move_without_a_new_list_are_none(salon, calcom, simulator):
    """A list for moving is not kept: what was refuted is not offered."""
    booked = book(intent(salon.beard, at(15)), calcom).appointment
    original = calcom.reschedule

    def close_first(**asked):
        simulator.busy("ben", at(9), at(12))
        simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)
        return original(**asked)

    calcom.reschedule = close_first
    with pytest.raises(SlotTaken) as refusal:
        reschedule(booked, at(9), calcom)

    assert refusal.value.alternatives == ()


def test_a_refusal_out_of_bounds_refutes_the_list_and_requests_a_sync(salon, calcom, simulator, requested):
    """The notice became longer at Cal.com: what was listed before is not offered instead."""
    on_tuesday(salon.beard, calcom)
    simulator.change_event_type("beard-trim", notice_minutes=60 * 24 * 30)

    with pytest.raises(BookingError) as refusal:
        book(intent(salon.beard, at(9)), calcom)

    let_jobs_finish()
    assert refused_times(refusal) == set()
    assert requested == [3]


# --- a deleted event type ------------------------------------------------------------------------------------------


def test_a_deleted_event_type_is_not_searched_any_more(salon, calcom, simulator):
    """After the first 404 nothing is available, whatever was cached."""
    on_tuesday(salon.beard, calcom)
    simulator.delete_event_type("beard-trim")

    with pytest.raises(UpstreamUnavailable):
        on_tuesday(salon.beard, calcom, max_age=0)
    with pytest.raises(UpstreamUnavailable):
        ask(salon.beard, calcom, TimeCriteria.at(at(10)))
    salon.beard.event_type.refresh_from_db()
    assert salon.beard.unsupported_reason()


def test_a_booking_of_a_deleted_event_type_ends_its_offer(salon, calcom, simulator, agent):
    """The service is listed as one that cannot be booked, and nothing of it is free."""
    on_tuesday(salon.beard, calcom)
    simulator.delete_event_type("beard-trim")

    with pytest.raises(BookingError):
        book(intent(salon.beard, at(10)), calcom)

    assert agent.availability(salon.beard, TUESDAY).json()["code"] == "upstream_unavailable"
    assert Appointment.objects.get().state == "rejected"
    assert Claim.objects.count() == 0


# --- lists of more than host time ----------------------------------------------------------------------------------


def test_a_first_slot_that_was_booked_is_followed_by_the_next(salon, calcom, simulator):
    """Of a list that shows the first slot of a day only, our own booking leaves not nothing but another one."""
    simulator.change_event_type("beard-trim", first_slot_only=True)
    EventType.objects.filter(pk=salon.beard.event_type_id).update(list_reach="day")
    salon.beard.event_type.refresh_from_db()
    assert instants(on_tuesday(salon.beard, calcom)) == [at(9)]
    appointment = book(intent(salon.beard, at(9)), calcom).appointment

    at_once = on_tuesday(salon.beard, calcom)
    assert at_once.known.verified is False
    redis_time.let_all_pass(10)
    assert instants(on_tuesday(salon.beard, calcom)) == [at(9, 15)]

    cancel(appointment, calcom)
    redis_time.let_all_pass(10)
    assert instants(on_tuesday(salon.beard, calcom)) == [at(9)]
