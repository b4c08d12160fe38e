"""Changes at Cal.com become true here, in whatever order they are reported; the echo of own changes has no effect."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import orjson
import pytest
from django.db import connection
from django.utils import timezone

from bookings.models import Appointment, Claim, Company, Customer, Operation, Service
from bookings.sync import apply, classify, conflicts
from cachectl.models import CacheInvalidation
from calcom.http.parsing import METADATA_KEY
from calcom.models import EventType, WebhookDelivery
from calcom.service import CalcomService
from calcom.types import RemoteState
from calcom.webhooks import events
from calcom.webhooks.events import BookingSnapshot, BookingWebhook, Ignored, RetryLater
from tests import factories
from tests.bookings.helpers import (
    begin,
    book,
    cancel,
    claims_of,
    intent,
    let_lists_know,
    reschedule,
    settle,
    starts_of,
    write_down,
)
from tests.calcom.webhooks import Hooks, body_of, handed_out
from tests.factories import ANNA, KARL, TUESDAY, WEDNESDAY, at

BOOK = "POST /v2/bookings"
CANCEL = "POST /v2/bookings/{uid}/cancel"
MOVE = "POST /v2/bookings/{uid}/reschedule"
CONFIRMED = {"Emma": "confirmed"}
READ = "GET /v2/bookings/{uid}"
LISTS = "GET /v2/slots"


@pytest.fixture
def hooks(calcom, simulator, salon) -> Hooks:
    """The salon's webhooks, in the hands of the test."""
    handed_out()
    return Hooks(simulator, salon.account)


def only() -> Appointment:
    """Return the only appointment."""
    return Appointment.objects.get()


def as_there(simulator) -> list[tuple[str, object, object]]:
    """Return what stands at Cal.com: uid, start, host."""
    standing = [booking for booking in simulator.bookings() if booking["status"] == "accepted"]
    return sorted((each["uid"], each["start"], each["host"]) for each in standing)


def as_here() -> list[tuple[str, object, object]]:
    """Return what stands here, in the same words."""
    standing = Appointment.objects.filter(state="confirmed").select_related("host")
    return sorted((each.remote_uid, f"{each.start:%Y-%m-%dT%H:%M:%SZ}", each.host.name.lower()) for each in standing)


# --- made there --------------------------------------------------------------------------------------------------


def test_booked_at_cal_com_is_an_appointment_here(salon, hooks, simulator):
    """It has a home, a customer and its host's time, and cost no request."""
    booked = simulator.book_elsewhere(2, at(14), name=KARL.name, email="karl@example.com", phone="+49 151 87654321")

    hooks.bring(hooks.said())

    mine = only()
    assert (mine.state, mine.origin, mine.remote_uid) == ("confirmed", "calcom", booked["uid"])
    assert (mine.company, mine.branch, mine.service) == (salon.company, salon.branch, salon.colour)
    assert (mine.start, mine.end, mine.host) == (at(14), at(15), salon.emma.host)
    assert (mine.customer.name, mine.customer.phone, mine.customer.email) == (KARL.name, KARL.phone, "karl@example.com")
    assert claims_of(mine) == {"Emma": "confirmed"}
    assert hooks.notes() == ["made there"]
    assert simulator.count() == 1  # the subscription


@pytest.mark.parametrize("told", ["webhook", "polling"])
def test_time_of_a_booking_that_was_moved_before_it_was_known_is_offered_again(told, salon, calcom, hooks, simulator):
    """Its webhook was lost, and a list that was loaded meanwhile lacks its time."""
    booked = simulator.book_elsewhere(2, at(14), webhook=False)
    assert at(14) not in starts_of(salon.colour, calcom)
    moved = simulator.reschedule_elsewhere(booked["uid"], at(10, on=WEDNESDAY))

    if told == "webhook":
        hooks.bring(hooks.said())
    else:
        apply.handle(salon.account, BookingSnapshot(calcom.get_booking(uid=moved["uid"])))

    let_lists_know()
    assert at(14) in starts_of(salon.colour, calcom)
    assert only().start == at(10, on=WEDNESDAY)


def test_booking_that_was_moved_long_ago_costs_no_request(salon, calcom, hooks, simulator):
    """No list from that time is answered any more."""
    booked = simulator.book_elsewhere(2, at(14), webhook=False)
    moved = simulator.reschedule_elsewhere(booked["uid"], at(16), webhook=False)
    there = calcom.get_booking(uid=moved["uid"])
    read = simulator.count(READ)

    apply.handle(salon.account, BookingSnapshot(replace(there, created_at=timezone.now() - timedelta(hours=1))))

    assert simulator.count(READ) == read
    assert only().start == at(16)


def test_the_next_caller_does_not_hear_what_was_booked_there(salon, hooks, agent, simulator):
    """FM-24: gone from the next answer, and no list is loaded because of it."""
    assert at(14) in agent.free_slots(salon.colour, TUESDAY)
    simulator.book_elsewhere(2, at(14))

    hooks.bring(hooks.said())

    assert at(14) not in agent.free_slots(salon.colour, TUESDAY)
    assert at(15) not in agent.free_slots(salon.colour, TUESDAY)  # the quarter of an hour after it is Emma's
    assert simulator.count(LISTS) == 1


def test_exactly_the_affected_days_are_invalidated(salon, hooks, simulator):
    """FM-22: of every event type that shares the host, on that day only; the days stay answerable."""
    simulator.book_elsewhere(2, at(14))

    hooks.bring(hooks.said())

    rows = CacheInvalidation.objects.all()
    assert {(row.first, row.last, row.cause) for row in rows} == {(TUESDAY, TUESDAY, "own")}
    of_emma = EventType.objects.filter(account=salon.account, hosts=salon.emma.host)
    assert sorted(pk for row in rows for pk in row.event_type_ids) == sorted(of_emma.values_list("pk", flat=True))


def test_the_host_is_the_one_that_cal_com_chose(salon, hooks, simulator):
    """Two share the haircut; the message says who has it."""
    simulator.book_elsewhere(1, at(10), host="ben")

    hooks.bring(hooks.said())

    assert claims_of(only()) == {"Ben": "confirmed"}


def test_an_unknown_length_is_written_down_by_number(salon, hooks, simulator):
    """Cal.com's truth is always storable; as its buffers are not known, the days are loaded anew."""
    simulator.book_elsewhere(2, at(14), minutes=45)

    hooks.bring(hooks.said())

    mine = only()
    assert (mine.event_type.length_minutes, mine.event_type.active, mine.service) == (45, False, None)
    assert (mine.branch, claims_of(mine)) == (salon.branch, {"Emma": "confirmed"})
    assert set(CacheInvalidation.objects.values_list("cause", flat=True)) == {"elsewhere"}


def test_nothing_is_learned_about_a_known_customer(salon, hooks, simulator):
    """Anybody can type any address into a booking page: it must not make their number the customer's."""
    known = Customer.objects.create(company=salon.company, name="Anna", email=ANNA.email)
    simulator.book_elsewhere(2, at(14), email=ANNA.email, phone=KARL.phone)

    hooks.bring(hooks.said())

    known.refresh_from_db()
    assert (only().customer, known.phone, only().attendee_phone) == (known, None, KARL.phone)


def test_two_companies_with_one_calendar_do_not_learn_each_others_callers(salon, hooks, simulator):
    rival = Company.objects.create(name="Rival", slug="rival", account=salon.account)
    branch = rival.branches.create(name="Nord", time_zone="Europe/Berlin")
    Service.objects.create(branch=branch, event_type=salon.colour.event_type, name="Colour", duration_minutes=60)
    simulator.book_elsewhere(2, at(14), name="Anna", email=ANNA.email, phone=ANNA.phone)

    hooks.bring(hooks.said())

    mine = only()
    assert claims_of(mine) == {"Emma": "confirmed"}
    assert (mine.attendee_name, mine.attendee_email, mine.attendee_phone, mine.customer) == ("", "", None, None)


def test_a_calendar_that_no_company_uses_is_nobodys(salon, hooks, simulator):
    """FM-75: kept and flagged."""
    Company.objects.update(active=False)
    simulator.book_elsewhere(2, at(14))

    hooks.bring(hooks.said())

    assert (WebhookDelivery.objects.get().state, hooks.notes()) == ("ignored", ["no company uses this account"])
    assert not Appointment.objects.exists()


def test_what_waits_for_its_host_takes_no_time_until_confirmed(practice, practice_calcom, simulator):
    """REQUESTED, then CREATED with the same uid."""
    hooks = Hooks(simulator, practice.account)
    start = at(10, zone=factories.NEW_YORK)
    booked = simulator.book_elsewhere(13, start, status="pending")
    hooks.bring(hooks.said())
    assert not Appointment.objects.exists()
    assert set(CacheInvalidation.objects.values_list("cause", flat=True)) == {"elsewhere"}

    hooks.bring([hooks.said()[0].replace(b"BOOKING_REQUESTED", b"BOOKING_CREATED").replace(b"PENDING", b"ACCEPTED")])

    assert (only().remote_uid, only().state) == (booked["uid"], "confirmed")


def test_old_news_of_an_unknown_booking_are_looked_up(salon, hooks, simulator):
    booked = simulator.book_elsewhere(2, at(14))
    [told] = hooks.said()
    simulator.cancel_elsewhere(booked["uid"], webhook=False)
    last_week = f"{timezone.now() - timedelta(days=7):%Y-%m-%dT%H:%M:%S.000Z}"
    old = orjson.dumps({**orjson.loads(told), "createdAt": last_week})

    hooks.bring([old])

    assert (only().state, simulator.count(READ)) == ("cancelled", 1)


# --- our own echo ------------------------------------------------------------------------------------------------


def test_an_echo_before_the_answer_confirms(salon, hooks, calcom, simulator):
    """FM-74: it arrives 20 ms before the POST is answered; the answer then finds it done, and cancels nothing."""
    operation = write_down(intent(salon.colour, at(14)))
    case = begin(operation, calcom)
    answer = case.execute()

    hooks.bring(hooks.said())
    case.apply_result(answer)

    mine, operation = only(), Operation.objects.get()
    assert (mine.state, mine.origin, mine.remote_uid) == ("confirmed", "agent", answer.uid)
    assert (operation.state, operation.duration is not None, claims_of(mine)) == ("done", True, {"Emma": "confirmed"})
    assert (simulator.count(CANCEL), hooks.notes()) == (0, ["answers a change of ours"])


def test_an_echo_beside_the_answer_costs_no_request(salon, hooks, calcom, simulator):
    """FM-74: the answer is written down right after the echo's look at the appointment."""
    case = begin(write_down(intent(salon.colour, at(14))), calcom)
    answers = [case.execute()]

    def and_then_the_answer(execute, sql, *arguments):
        result = execute(sql, *arguments)
        if answers and 'FROM "bookings_appointment"' in sql:
            case.apply_result(answers.pop())
        return result

    with connection.execute_wrapper(and_then_the_answer):
        hooks.bring(hooks.said())

    assert (answers, hooks.notes(), only().state) == ([], ["answers a change of ours"], "confirmed")
    assert simulator.count(READ) == 0


def test_an_echo_after_the_answer_is_known_already(salon, hooks, calcom, simulator):
    """FM-71."""
    book(intent(salon.colour, at(14)), calcom)
    before, invalidated = simulator.count(), CacheInvalidation.objects.count()

    hooks.bring(hooks.said() * 2)

    assert hooks.notes() == ["known already"]
    assert (Appointment.objects.count(), CacheInvalidation.objects.count(), simulator.count()) == (
        1,
        invalidated,
        before,
    )


def test_an_echo_settles_what_the_answer_could_not(salon, hooks, calcom, simulator):
    """FM-15: the answer got lost; the webhook says how it went."""
    simulator.fail(BOOK, "reset_after")
    pending = book(intent(salon.colour, at(14)), calcom)
    assert pending.operation.state == "unknown"

    hooks.bring(hooks.said())

    assert (only().state, Operation.objects.get().state) == ("confirmed", "done")


def test_the_echo_of_our_cancellation_settles_it(salon, hooks, calcom, simulator):
    """It arrives before the answer, and the answer finds it done."""
    booked = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.fail(CANCEL, "reset_after")
    operation = cancel(booked, calcom).operation
    assert operation.state == "unknown"

    hooks.bring(hooks.said())

    assert (only().state, Operation.objects.get(pk=operation.pk).state) == ("cancelled", "done")
    assert claims_of(booked) == {}
    assert settle(operation, calcom).state == "done"


def test_the_echo_of_our_move_settles_it(salon, hooks, calcom, simulator):
    """FM-74: the answer got lost; the webhook says where it is."""
    booked = book(intent(salon.colour, at(10)), calcom).appointment
    simulator.fail(MOVE, "reset_after")
    operation = reschedule(booked, at(14), calcom).operation
    assert operation.state == "unknown"

    hooks.bring(hooks.said())

    assert (only().start, Operation.objects.get(pk=operation.pk).state, claims_of(booked)) == (
        at(14),
        "done",
        CONFIRMED,
    )
    assert settle(operation, calcom).state == "done"
    assert as_here() == as_there(simulator)


def test_a_cancellation_of_what_is_just_being_booked_waits(salon, hooks, calcom, simulator):
    """FM-74: it does not carry our id, so it may be about our own booking, whose uid we do not know yet."""
    operation = write_down(intent(salon.colour, at(14), ANNA))
    case = begin(operation, calcom)
    answer = case.execute()
    simulator.cancel_elsewhere(answer.uid)

    hooks.bring(hooks.said("BOOKING_CANCELLED"))
    assert hooks.notes() == ["a change of ours is not settled yet"]

    case.apply_result(answer)
    WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    hooks.work_off()
    assert (only().state, claims_of(only())) == ("cancelled", {})


# --- moved and cancelled there -----------------------------------------------------------------------------------


def test_moved_there_is_moved_here(salon, hooks, calcom, simulator):
    """FM-71."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    CacheInvalidation.objects.all().delete()
    moved = simulator.reschedule_elsewhere(mine.remote_uid, at(11, on=WEDNESDAY))

    hooks.bring(hooks.said())

    now = only()
    assert (now.public_id, now.remote_uid, now.earlier_remote_uids) == (mine.public_id, moved["uid"], [mine.remote_uid])
    assert (now.start, now.end, now.state) == (at(11, on=WEDNESDAY), at(12, on=WEDNESDAY), "confirmed")
    assert Claim.objects.get().start == at(11, on=WEDNESDAY)
    assert {row.first for row in CacheInvalidation.objects.all()} == {TUESDAY, WEDNESDAY}
    assert set(CacheInvalidation.objects.values_list("cause", flat=True)) == {"own"}


def test_cancelled_there_is_cancelled_here(salon, hooks, calcom, simulator):
    """Its time is free again at once."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.cancel_elsewhere(mine.remote_uid)

    hooks.bring(hooks.said("BOOKING_CANCELLED"))

    assert (only().state, claims_of(mine), hooks.notes()) == ("cancelled", {}, ["cancelled there"])
    assert book(intent(salon.colour, at(14), KARL), calcom).is_settled


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_any_order_comes_to_the_same(salon, hooks, simulator, order):
    """FM-18: made, moved, moved again, and another one made and cancelled: reversed, late, as you like."""
    first = simulator.book_elsewhere(2, at(10))
    second = simulator.reschedule_elsewhere(first["uid"], at(12))
    third = simulator.reschedule_elsewhere(second["uid"], at(14))
    simulator.cancel_elsewhere(third["uid"])
    messages = hooks.said()

    hooks.bring(messages[number] for number in order)

    assert as_here() == as_there(simulator) == []
    assert not Claim.objects.exists()


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("is_ours", [True, False])
def test_any_order_ends_at_the_last_time(salon, hooks, simulator, order, is_ours):
    """FM-18, FM-71: a chain of moves, told in any order, of our own booking and of one made there."""
    if is_ours:
        uid = book(intent(salon.colour, at(10)), CalcomService(salon.account)).appointment.remote_uid
    else:
        uid = simulator.book_elsewhere(2, at(10))["uid"]
    second = simulator.reschedule_elsewhere(uid, at(12))
    simulator.reschedule_elsewhere(second["uid"], at(14))
    messages = hooks.said()

    hooks.bring(messages[number] for number in order)

    assert as_here() == as_there(simulator)
    assert [claim.start for claim in Claim.objects.all()] == [at(14)]


def test_a_late_creation_does_not_resurrect(salon, hooks, calcom, simulator):
    """FM-18: cancelled is cancelled, by whomever and however long ago."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    cancel(mine, calcom)

    hooks.bring(hooks.said("BOOKING_CREATED"))

    assert (only().state, hooks.notes()) == ("cancelled", ["old news"])


def test_another_host_under_the_same_uid_is_looked_up(salon, hooks, simulator):
    """A webhook that contradicts what we have may be old: Cal.com is asked which is true."""
    simulator.book_elsewhere(1, at(10), host="ben")
    [told] = hooks.said()
    hooks.bring([told.replace(b'"id":103', b'"id":102')])

    hooks.bring([told.replace(b"BOOKING_CREATED", b"BOOKING_PAID")])

    assert (claims_of(only()), simulator.count(READ)) == ({"Ben": "confirmed"}, 1)


# --- twice, or too much ------------------------------------------------------------------------------------------


def test_a_booking_of_a_cancelled_wish_is_cancelled_there(salon, hooks, calcom, simulator):
    """FM-04."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    cancel(mine, calcom)
    late = simulator.book_elsewhere(2, at(14), metadata={METADATA_KEY: mine.public_id})

    hooks.bring(hooks.said("BOOKING_CREATED"))

    assert as_there(simulator) == []
    assert hooks.notes()[-1] == "carries the id of a wish that is settled without it"
    assert simulator.count(READ) == 1
    assert late["uid"] not in {only().remote_uid, *only().earlier_remote_uids}


@pytest.mark.parametrize(
    ("how", "differs", "meant"),
    [
        ("read", {}, classify.Drift.DUPLICATE),
        ("told", {}, classify.Drift.UNCERTAIN),
        ("read", {"state": RemoteState.CANCELLED}, classify.Drift.OLD),
        ("read", {"appointment_id": None}, classify.Drift.OLD),
    ],
)
def test_a_second_booking_that_the_first_was_moved_to_is_too_much(calcom, simulator, how, differs, meant):
    """FM-04: a move that was sent twice came twice. It is looked at, and only what stands and is ours is cancelled."""
    mine = book(intent(Service.objects.get(name="Colour"), at(14)), calcom).appointment
    before = mine.remote_uid
    reschedule(mine, at(15), calcom)
    twin = simulator.book_elsewhere(2, at(17), metadata={METADATA_KEY: mine.public_id})
    remote = replace(calcom.get_booking(uid=twin["uid"]), rescheduled_from_uid=before, **differs)

    news = classify.RemoteUpdate(mine.event_type.account, remote, is_read=how == "read")
    assert classify.classify(news).drift is meant


@pytest.mark.parametrize("heard", [BookingSnapshot, BookingWebhook])
def test_news_that_come_while_the_answer_is_written_down_cost_nobody_the_booking(
    salon, calcom, simulator, monkeypatch, heard
):
    """FM-15, FM-74: between two looks at our rows it is confirmed; it is no second booking, to be cancelled there."""
    case = begin(write_down(intent(salon.colour, at(14))), calcom)
    remote = case.execute()
    look, settled = classify._Family.of, []

    def look_and_be_overtaken(news):
        seen = look(news)
        if not settled:
            settled.append(case.apply_result(remote))
        return seen

    monkeypatch.setattr(classify._Family, "of", look_and_be_overtaken)

    apply.handle(salon.account, heard(remote))

    assert only().state == "confirmed"
    assert as_there(simulator) == as_here()
    assert simulator.count(CANCEL) == 0


def test_a_second_booking_of_one_wish_is_cancelled_there(salon, hooks, calcom, simulator):
    """FM-04: the one we know stays."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.book_elsewhere(2, at(16), metadata={METADATA_KEY: mine.public_id})

    hooks.bring(hooks.said())

    assert as_here() == as_there(simulator)
    assert only().remote_uid == mine.remote_uid


def test_while_it_cannot_be_cancelled_there_it_stays_owed(salon, hooks, calcom, simulator):
    """Invariant 3: in the end there is one."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.book_elsewhere(2, at(16), metadata={METADATA_KEY: mine.public_id})
    simulator.fail(CANCEL, "error_before")

    hooks.bring(hooks.said())
    assert WebhookDelivery.objects.last().state == "failed"

    WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    hooks.work_off()
    assert as_here() == as_there(simulator)


def test_overlaps_made_there_are_stored_and_alerted(salon, hooks, simulator, caplog):
    """Cal.com's truth is always storable: the second claim is marked, and told until one of them is gone."""
    simulator.book_elsewhere(2, at(14))
    second = simulator.book_elsewhere(2, at(14, 30))

    hooks.bring(hooks.said())

    assert as_here() == as_there(simulator)
    assert sorted(Claim.objects.values_list("conflicting", flat=True)) == [False, True]
    assert [claim.start for claim in conflicts.detect()] == [at(14, 30)]
    assert "sync.overlap_detected" in caplog.text
    assert second["uid"] not in caplog.text


def test_an_overlap_that_is_over_is_no_overlap(salon, hooks, simulator):
    """The claim that was marked counts like any other again."""
    first = simulator.book_elsewhere(2, at(14))
    simulator.book_elsewhere(2, at(14, 30))
    simulator.cancel_elsewhere(first["uid"])

    hooks.bring(hooks.said())

    assert conflicts.detect() == []
    assert [claim.conflicting for claim in Claim.objects.all()] == [False]


# --- another company's ---------------------------------------------------------------------------------------------


def test_nobody_changes_what_another_account_booked(salon, practice, calcom, hooks, simulator):
    """Invariant 7: the uid, our id, or both, told to another account, rightly signed."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    theirs = Hooks(simulator, practice.account)
    told = {
        "uid": mine.remote_uid,
        "startTime": at(14).isoformat(),
        "endTime": at(15).isoformat(),
        "eventTypeId": 11,
        "organizer": {"id": 201},
        "attendees": [{"email": "x@example.com", "name": "X"}],
        "metadata": {METADATA_KEY: mine.public_id},
    }
    now = timezone.now().isoformat()

    for trigger in ("BOOKING_CANCELLED", "BOOKING_CREATED", "MEETING_ENDED"):
        theirs.bring([orjson.dumps({**orjson.loads(body_of(trigger, **told)), "createdAt": now})])

    mine.refresh_from_db()
    assert (mine.state, mine.start, claims_of(mine)) == ("confirmed", at(14), {"Emma": "confirmed"})
    assert as_here() == as_there(simulator)


# --- who came, who is away ---------------------------------------------------------------------------------------


def put_into_the_past(appointment: Appointment) -> None:
    """Let the appointment be over."""
    begun = timezone.now() - timedelta(hours=2)
    Appointment.objects.filter(pk=appointment.pk).update(start=begun, end=begun + timedelta(hours=1))


def test_what_is_over_took_place(salon, hooks, calcom, simulator):
    """MEETING_ENDED, once it is over by our clock too."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.announce_meeting(mine.remote_uid, "MEETING_ENDED")
    [ended] = hooks.said("MEETING_ENDED")
    hooks.bring([ended])
    assert (only().state, hooks.notes()) == ("confirmed", ["it is not over"])

    put_into_the_past(mine)
    assert events.dispatch(salon.account, events.MeetingEnded(mine.remote_uid)) == "took place"
    assert (only().state, claims_of(mine)) == ("completed", {})


def test_who_did_not_come_and_came_after_all(salon, hooks, calcom):
    """Staff marks a no-show and takes it back; the host's absence and strangers change nothing."""
    mine = book(intent(salon.colour, at(14), ANNA), calcom).appointment
    put_into_the_past(mine)

    def mark(absent: bool, email: str = str(ANNA.email)) -> str:
        marks = [{"email": email.upper(), "noShow": absent}]
        hooks.bring([body_of("BOOKING_NO_SHOW_UPDATED", bookingUid=mine.remote_uid, bookingId=1, attendees=marks)])
        return str(only().state)

    assert mark(True, "emma@example.com") == "confirmed"
    assert mark(True) == "no_show"
    assert mark(False) == "completed"
    assert hooks.notes() == ["about no attendee whom we expect", "did not come", "came after all"]


def test_absence_invalidates_the_hosts_days(salon, hooks):
    """Their slots vanish at Cal.com: the days are old until they are loaded, of that host's event types only."""
    entry = {"user": {"id": 103}, "start": at(0).isoformat(), "end": (at(0) + timedelta(days=40)).isoformat()}

    hooks.bring([body_of("OOO_CREATED", oooEntry=entry)])

    rows = CacheInvalidation.objects.all()
    of_ben = set(EventType.objects.filter(hosts=salon.ben.host).values_list("pk", flat=True))
    assert {pk for row in rows for pk in row.event_type_ids} == of_ben
    assert (min(row.first for row in rows), {row.cause for row in rows}) == (TUESDAY - timedelta(days=1), {"elsewhere"})
    assert max(row.last for row in rows) >= TUESDAY + timedelta(days=39)


# --- races -------------------------------------------------------------------------------------------------------


def test_a_row_that_changed_meanwhile_is_judged_again(salon, hooks, calcom, simulator, monkeypatch):
    """FM-10."""
    mine = book(intent(salon.colour, at(14)), calcom).appointment
    moved = simulator.reschedule_elsewhere(mine.remote_uid, at(16))
    remote = calcom.get_booking(uid=moved["uid"])
    unpatched = apply.classify

    def too_slow(news):
        finding = unpatched(news)
        Appointment.objects.filter(pk=mine.pk).update(state="cancelled")
        return finding

    with monkeypatch.context() as patched:
        patched.setattr(apply, "classify", too_slow)
        with pytest.raises(RetryLater):
            events.dispatch(salon.account, BookingSnapshot(remote))

    assert (only().state, only().start) == ("cancelled", at(14))


def test_what_is_read_as_moved_is_followed(salon, calcom, simulator):
    """A list that shows the old booking only: the new one is looked up."""
    mine = book(intent(salon.colour, at(10)), calcom).appointment
    second = simulator.reschedule_elsewhere(mine.remote_uid, at(12))
    third = simulator.reschedule_elsewhere(second["uid"], at(14))

    events.dispatch(salon.account, BookingSnapshot(calcom.get_booking(uid=mine.remote_uid)))

    assert (only().remote_uid, only().start) == (third["uid"], at(14))


def test_events_without_a_handler_are_ignored(salon, calcom, simulator):
    """Without the app above it, calcom stores webhooks and ignores them."""
    before = events.register(None)

    try:
        with pytest.raises(Ignored):
            events.dispatch(salon.account, events.MeetingEnded("uid"))
    finally:
        events.register(before)
