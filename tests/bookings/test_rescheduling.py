"""Move: the new time is secured before the old one is given back, once, and whatever happened at Cal.com meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from bookings.errors import (
    AlreadyCancelled,
    BookingError,
    BookingNotFound,
    ChangeTooLate,
    Closed,
    ConfigurationError,
    DateInPast,
    DeadlineExceeded,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    SlotNotOffered,
    SlotTaken,
    TooManyReschedules,
    UpstreamUnavailable,
)
from bookings.models import Appointment, CallbackRequest, Claim, Operation, Service
from bookings.scheduling import execution, rescheduling
from bookings.scheduling.claims import release_other_time, take_other_time
from bookings.scheduling.handlers import handler_for
from bookings.sync.apply import apply_update
from bookings.sync.classify import RemoteUpdate
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from calcom.models import Account, EventType, EventTypeHost, Host
from calcom.service import CalcomService
from tests.bookings.helpers import (
    PATIENCE,
    begin,
    book,
    cancel,
    claims_of,
    intent,
    let_jobs_finish,
    pass_time,
    reschedule,
    settle,
    starts_of,
)
from tests.contract.api_user import ApiUser
from tests.factories import ANNA, KARL, NOWHERE, SUNDAY, TUESDAY, WEDNESDAY, at

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"
MOVE = "POST /v2/bookings/{uid}/reschedule"
CANCEL = "POST /v2/bookings/{uid}/cancel"
LOOK_UP = "GET /v2/bookings/{uid}"


@pytest.fixture
def appointment(salon, calcom):
    """Colour at two o'clock, confirmed: an hour with Emma, and a quarter to clean up."""
    return booked(salon.colour, at(14), calcom)


def booked(service, start, calcom, caller=ANNA):
    """Return the row as an API view reads it."""
    return read(book(intent(service, start, caller), calcom).appointment)


def accepted(simulator):
    """Return what stands at Cal.com."""
    return [booking for booking in simulator.bookings() if booking["status"] == "accepted"]


def spans(appointment):
    """Return whose time the appointment claims, from when to when, and how certain that is."""
    claims = Claim.objects.filter(appointment=appointment).order_by("host__name", "start")
    return [(claim.host.name, claim.start, claim.end, claim.kind) for claim in claims]


# --- one move ----------------------------------------------------------------------------------------------------


def test_a_moved_appointment_is_at_its_new_time_under_its_old_id(salon, calcom, simulator, appointment):
    """FM-71: the uid is another, and the old one is remembered; the reference that the caller noted stays."""
    uid, reference = appointment.remote_uid, appointment.reference

    moved = reschedule(appointment, at(16), calcom)

    row = Appointment.objects.get()
    assert (moved.is_settled, row.state, row.start, row.end, row.reschedules) == (True, "confirmed", at(16), at(17), 1)
    assert (row.reference, row.earlier_remote_uids) == (reference, [uid])
    assert [booking["uid"] for booking in accepted(simulator)] == [row.remote_uid] != [uid]
    assert spans(row) == [("Emma", at(16), at(17, 15), "confirmed")]


def test_the_old_time_is_free_and_the_new_one_is_not_before_any_worker_ran(salon, calcom, simulator, appointment):
    """The next caller hears both at once, and the cache costs no request."""
    reschedule(appointment, at(16), calcom)
    requests = simulator.count(LIST)

    starts = starts_of(salon.colour, calcom, at(9), at(18))

    assert at(14) in starts
    assert at(16) not in starts
    assert simulator.count(LIST) == requests


def test_both_days_are_invalidated(calcom, appointment):
    """FM-22: the day that was left, and the day that was taken."""
    CacheInvalidation.objects.all().delete()

    reschedule(appointment, at(10, on=WEDNESDAY), calcom)

    assert {each.first for each in CacheInvalidation.objects.all()} == {TUESDAY, WEDNESDAY}
    assert {each.cause for each in CacheInvalidation.objects.all()} == {"own"}


@pytest.mark.parametrize("reason", ["", "   ", "Anna has a meeting"])
def test_a_reason_is_always_sent(calcom, appointment, reason):
    """Staff reads it at Cal.com."""
    reschedule(appointment, at(16), calcom, reason=reason)

    assert Operation.objects.get(kind="reschedule").reason == (reason.strip() or "Rescheduled by phone.")


def test_until_cal_com_says_yes_both_times_are_taken(salon, calcom, simulator, appointment):
    """FM-07."""
    with simulator.holding(MOVE):
        pending = reschedule(appointment, at(16), calcom, wait=0.5)
        assert (pending.is_settled, pending.appointment.start) == (False, at(14))
        assert spans(appointment) == [
            ("Emma", at(14), at(15, 15), "confirmed"),
            ("Emma", at(16), at(17, 15), "pending"),
        ]
        for start in (at(14), at(16)):
            with pytest.raises(SlotTaken):
                book(intent(salon.colour, start, KARL), calcom)
    let_jobs_finish()

    assert Appointment.objects.get().start == at(16)


@pytest.mark.parametrize(
    ("start", "claimed"), [(at(15), (at(15, 15), at(16, 15))), (at(13), (at(13), at(14)))], ids=["later", "earlier"]
)
def test_a_move_into_its_own_time_claims_only_the_rest(calcom, simulator, appointment, start, claimed):
    """An hour later the old buffer is in the way, an hour earlier the new one: its own time is no obstacle."""
    with simulator.holding(MOVE):
        assert not reschedule(appointment, start, calcom, wait=0.5).is_settled
        assert ("Emma", *claimed, "pending") in spans(appointment)
    let_jobs_finish()

    assert spans(appointment) == [("Emma", start, start + timedelta(minutes=75), "confirmed")]
    assert [booking["status"] for booking in simulator.bookings()] == ["cancelled", "accepted"]


def test_what_a_claim_does_not_cover(appointment):
    """Before it, after it, on both sides of it, and nothing of what it covers; of another host all."""
    first, last = Claim.objects.values_list("start", "end").get()
    ben = appointment.event_type.account.hosts.get(name="Ben")
    hour = timedelta(hours=1)

    for start, end, expected in [
        (first - hour, last - hour, [(first - hour, first)]),
        (first + hour, last + hour, [(last, last + hour)]),
        (first + 3 * hour, last + 3 * hour, [(first + 3 * hour, last + 3 * hour)]),
        (first - hour, last + hour, [(first - hour, first), (last, last + hour)]),
        (first, last, []),
    ]:
        buffer = timedelta(minutes=15)
        take_other_time(appointment, [appointment.host_id, ben.pk], Claim.Kind.PENDING, start, end - buffer)
        taken = Claim.objects.filter(appointment=appointment, kind="pending").order_by("start")
        assert list(taken.filter(host=appointment.host_id).values_list("start", "end")) == expected
        assert list(taken.filter(host=ben).values_list("start", "end")) == [(start, end)]
        release_other_time(appointment)
        assert claims_of(appointment) == {"Emma": "confirmed"}


# --- round robin -------------------------------------------------------------------------------------------------


def test_a_move_claims_everybody_who_may_be_chosen_and_keeps_the_chosen_one(salon, calcom, simulator):
    """FM-13."""
    appointment = booked(salon.cut, at(14), calcom)
    before = Appointment.objects.get().host.name
    simulator.busy(before.lower(), at(16), at(17))

    with simulator.holding(MOVE):
        assert not reschedule(appointment, at(16), calcom, wait=0.5).is_settled
        pending = [span for span in spans(appointment) if span[3] == "pending"]
        assert pending == [(name, at(16), at(16, 30), "pending") for name in ("Ben", "Emma")]
    let_jobs_finish()

    after = Appointment.objects.get().host.name
    assert {before, after} == {"Emma", "Ben"}
    assert spans(appointment) == [(after, at(16), at(16, 30), "confirmed")]


def test_a_move_waits_for_a_write_that_may_take_its_host(salon, calcom, simulator):
    """FM-13: a booking of the same time is in flight, and takes one of the two; the move gets the other one."""
    appointment = booked(salon.cut, at(14), calcom)
    with simulator.holding(BOOK):
        assert not book(intent(salon.cut, at(16), KARL), calcom, wait=0.3).is_settled
        waiting = reschedule(appointment, at(16), calcom, wait=0.5)
        assert (waiting.is_settled, waiting.operation.state) == (False, "queued")
        assert simulator.count(MOVE) == 0
    let_jobs_finish()

    assert settle(waiting.operation, calcom).state == "done"
    assert {each.host.name for each in Appointment.objects.filter(start=at(16))} == {"Emma", "Ben"}
    assert simulator.overlaps() == []


# --- what is not to be had ---------------------------------------------------------------------------------------


def test_free_means_that_the_host_is_free(salon, calcom, simulator, appointment):
    """FM-11: that the customer has nothing there does not make it free; another caller's appointment is in the way."""
    booked(salon.colour, at(16), calcom, KARL)

    with pytest.raises(SlotTaken) as refusal:
        reschedule(appointment, at(16), calcom)

    assert simulator.count(MOVE) == 0
    assert len(refusal.value.alternatives) == 3
    assert not {at(14), at(16)} & set(refusal.value.alternatives)
    assert claims_of(appointment) == {"Emma": "confirmed"}


def test_what_is_only_on_its_way_is_taken_too(salon, calcom, simulator, appointment):
    """Cal.com does not know of it yet; our own claims do."""
    with simulator.holding(BOOK):
        assert not book(intent(salon.colour, at(16), KARL), calcom, wait=0.3).is_settled
        with pytest.raises(SlotTaken):
            reschedule(appointment, at(16), calcom)
    let_jobs_finish()

    assert simulator.count(MOVE) == 0


def test_what_cal_com_refuses_leaves_the_appointment_where_it_is(calcom, simulator, appointment):
    with simulator.holding(LIST), ThreadPoolExecutor(1) as pool:
        moving = pool.submit(_on_a_thread, reschedule, appointment.pk, calcom, at(16))
        simulator.await_in_flight(1, LIST)
        simulator.busy("emma", at(16), at(17))
        simulator.clear_faults()
        refusal = moving.result()

    assert isinstance(refusal, SlotTaken)
    assert len(refusal.alternatives) == 3
    operation = Operation.objects.get(kind="reschedule")
    assert (operation.state, operation.outcome) == ("refused", "not_available")
    assert claims_of(appointment) == {"Emma": "confirmed"}
    assert Appointment.objects.get().start == at(14)
    assert CacheInvalidation.objects.filter(cause="refused").exists()


@pytest.mark.parametrize(
    ("start", "refusal"),
    [
        (timezone.now() - timedelta(days=1), DateInPast),
        (at(3), Closed),
        (at(10, on=SUNDAY), Closed),
        (at(10, 7), SlotNotOffered),
        (at(10) + timedelta(seconds=30), SlotNotOffered),
    ],
)
def test_what_is_not_offered_is_refused_by_name(calcom, simulator, appointment, start, refusal):
    """FM-53: each reason has its code, alternatives come with it, one request is spent, and nothing is sent."""
    requests = simulator.count(LIST)

    with pytest.raises(refusal) as refused:
        reschedule(appointment, start, calcom)

    assert refused.value.alternatives
    assert simulator.count(LIST) == requests + 1
    assert simulator.count(MOVE) == 0
    assert Operation.objects.filter(kind="reschedule").count() == 0


def test_what_was_offered_is_given_though_the_move_has_another_grid(salon, calcom, simulator):
    """
    A free slot is not refused: with its own time taken for free, Cal.com lays the starts of a stretch otherwise.

    Three quarters of an hour and a quarter to clean up, from nine o'clock on: the next one begins at ten, as long as
    this one stands; but without it at a quarter to.
    """
    styling = _styling(salon, simulator)
    appointment = booked(styling, at(9), calcom)
    offered = calcom.open_slots(
        event_type=styling.event_type, first=at(9), last=at(18), deadline=Deadline.after(PATIENCE), max_age=0
    )
    assert int(at(10).timestamp()) // 60 in offered.starts

    moved = reschedule(appointment, at(10), calcom)

    assert (moved.is_settled, Appointment.objects.get().start) == (True, at(10))


def test_what_was_offered_and_is_somebody_elses_by_now_is_taken(salon, calcom, simulator):
    """The list that was offered from does not outweigh our own appointments."""
    styling = _styling(salon, simulator)
    appointment = booked(styling, at(9), calcom)
    calcom.open_slots(
        event_type=styling.event_type, first=at(9), last=at(18), deadline=Deadline.after(PATIENCE), max_age=0
    )
    booked(styling, at(10), calcom, KARL)

    with pytest.raises(SlotTaken):
        reschedule(appointment, at(10), calcom)


def _styling(salon, simulator):
    """The owner's own service, of a length that lays no even grid."""
    asked = {"title": "Styling", "slug": "styling", "lengthInMinutes": 45, "afterEventBuffer": 15}
    made = ApiUser(simulator, key=salon.account.api_key).post("/v2/event-types", asked)
    owner = Host.objects.create(account=salon.account, calcom_id=101, name="Salon", time_zone="Europe/Berlin")
    event_type = EventType.objects.create(
        account=salon.account,
        calcom_id=made.body["data"]["id"],
        length_minutes=45,
        after_buffer_minutes=15,
        title="Styling",
        slug="styling",
    )
    EventTypeHost.objects.create(event_type=event_type, host=owner)
    return Service.objects.create(branch=salon.branch, event_type=event_type, name="Styling", duration_minutes=45)


def test_nothing_is_moved_while_nobody_knows_what_is_free(calcom, simulator, appointment):
    """Cal.com cannot be asked, or does not answer in time: then so it is said."""
    unreachable = Account.objects.get(pk=appointment.event_type.account_id)
    unreachable.base_url = NOWHERE

    with pytest.raises(UpstreamUnavailable):
        reschedule(appointment, at(16), CalcomService(unreachable))
    with simulator.holding(LIST), pytest.raises(DeadlineExceeded):
        reschedule(appointment, at(16), calcom, wait=Deadline.after(0.3))

    assert Operation.objects.filter(kind="reschedule").count() == 0


def test_what_staff_must_put_right_is_not_moved(salon, calcom, simulator, appointment):
    """Of an event type that cannot be served."""
    appointment.event_type.unsupported_reasons = ["seats"]
    appointment.event_type.save()

    with pytest.raises(ConfigurationError):
        reschedule(read(appointment), at(16), calcom)

    assert simulator.count(MOVE) == 0


# --- what the company allows -------------------------------------------------------------------------------------


def test_notice_binds_callers_and_not_staff(salon, calcom, appointment):
    """A branch may want to hear of it a day before; at the desk people decide for themselves."""
    _set(salon.company, cancel_notice_hours=24 * 30)

    with pytest.raises(ChangeTooLate):
        reschedule(read(appointment), at(16), calcom, requested_by=salon.agent_key)

    assert reschedule(read(appointment), at(16), calcom).is_settled


def test_an_appointment_is_moved_so_often_and_no_more(salon, calcom, appointment):
    """The number is the company's; a repeat of the last move is no further move."""
    _set(salon.company, max_reschedules=2)
    for start in (at(16), at(12)):
        assert reschedule(read(appointment), start, calcom, requested_by=salon.agent_key).is_settled

    with pytest.raises(TooManyReschedules):
        reschedule(read(appointment), at(16), calcom, requested_by=salon.agent_key)

    assert reschedule(read(appointment), at(12), calcom, requested_by=salon.agent_key).replayed


@pytest.mark.parametrize(("state", "refusal"), [("cancelled", AlreadyCancelled), ("expired", BookingNotFound)])
def test_what_does_not_stand_cannot_be_moved(calcom, appointment, state, refusal):
    """It was cancelled, or it never came to be."""
    _set(appointment, state=state)

    with pytest.raises(refusal):
        reschedule(read(appointment), at(16), calcom)


def test_what_has_begun_cannot_be_moved(calcom, simulator, appointment):
    """It is too late for that, whatever time is asked for."""
    _set(appointment, start=timezone.now() - timedelta(minutes=5))

    with pytest.raises(DateInPast):
        reschedule(read(appointment), at(16), calcom)

    assert simulator.count(MOVE) == 0


# --- repeats ------------------------------------------------------------------------------------------


def test_whoever_asks_twice_gets_the_first_outcome(calcom, simulator, appointment):
    """FM-12: the appointment and its place in its chain of times say that it is one wish; a key says it too."""
    first = reschedule(appointment, at(16), calcom, reason="a meeting")
    again = reschedule(read(appointment), at(16), calcom, reason="a meeting, sorry")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.operation == first.operation
    assert simulator.count(MOVE) == 1


def test_from_another_place_in_its_chain_it_is_another_wish(calcom, simulator, appointment):
    """There and back again, and there once more: three moves, each asked for by the caller."""
    for start in (at(16), at(14), at(16)):
        assert not reschedule(read(appointment), start, calcom).replayed

    assert simulator.count(MOVE) == 3
    assert len(Appointment.objects.get().earlier_remote_uids) == 3


def test_to_where_it_stands_nothing_is_moved(calcom, simulator, appointment):
    """What the caller wants is so already: the booking itself is the answer."""
    there = reschedule(appointment, at(14), calcom)

    assert (there.is_settled, there.replayed, there.operation.kind) == (True, True, "create")
    assert simulator.count(MOVE) == 0


def test_a_key_tells_a_repeat_even_from_another_place(calcom, simulator, appointment):
    """Without the key the late repeat would be a wish to move back."""
    reschedule(appointment, at(16), calcom, idempotency_key="a", request_digest="x")
    reschedule(read(appointment), at(12), calcom, idempotency_key="b", request_digest="y")

    late = reschedule(read(appointment), at(16), calcom, idempotency_key="a", request_digest="x")
    with pytest.raises(IdempotencyKeyReused):
        reschedule(read(appointment), at(10), calcom, idempotency_key="a", request_digest="z")

    assert (late.replayed, late.appointment.start) == (True, at(12))
    assert simulator.count(MOVE) == 2


def test_twenty_at_once_move_once(calcom, simulator, appointment):
    """FM-08, FM-10: twins wait for the one that came first, and get its outcome."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _on_a_thread(reschedule, appointment.pk, calcom, at(16)), range(20)))

    moved = [answer for answer in answers if not isinstance(answer, BookingError)]
    assert all(isinstance(answer, IdempotencyInProgress) for answer in answers if isinstance(answer, BookingError))
    assert sum(not answer.replayed for answer in moved) == 1
    assert simulator.count(MOVE) == Operation.objects.filter(kind="reschedule").count() == 1


def test_repeated_reschedule_is_answered_when_its_list_is_newer_than_the_first(
    calcom, simulator, appointment, monkeypatch
):
    """FM-12: the first reschedule was made before the repeat's list was read: its own new time is in the way."""
    listed = calcom.open_slots_for_reschedule

    def list_after_the_first(**window):
        monkeypatch.setattr(calcom, "open_slots_for_reschedule", listed)
        first.append(reschedule(read(appointment), at(16), calcom))
        redis_client().flushdb()  # no other list tells that the time was free
        return listed(**window)

    first = []
    monkeypatch.setattr(calcom, "open_slots_for_reschedule", list_after_the_first)
    repeat = reschedule(appointment, at(16), calcom)

    assert (first[0].replayed, repeat.replayed) == (False, True)
    assert repeat.appointment.start == at(16)
    assert simulator.count(MOVE) == 1


def test_two_wishes_at_once_are_carried_out_one_after_the_other(calcom, simulator, appointment):
    """To four and to twelve: each of them is one appointment, and in the end there is one."""
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda start: _on_a_thread(reschedule, appointment.pk, calcom, start), (at(16), at(12)))
        )

    assert not any(isinstance(answer, BookingError) for answer in answers)
    assert [booking["uid"] for booking in accepted(simulator)] == [Appointment.objects.get().remote_uid]
    assert Claim.objects.count() == 1


# --- against a cancellation --------------------------------------------------------------------------------------


def test_a_move_and_a_cancellation_at_once_have_one_end(calcom, simulator, appointment):
    """FM-10: one state machine; whichever comes first, what our row says is what stands at Cal.com."""
    with ThreadPoolExecutor(2) as pool:
        moved = pool.submit(_on_a_thread, reschedule, appointment.pk, calcom, at(16))
        cancelled = pool.submit(_on_a_thread, cancel, appointment.pk, calcom)

    assert cancelled.result().appointment.state == "cancelled"
    assert isinstance(moved.result(), AlreadyCancelled) or moved.result().is_settled
    assert (Appointment.objects.get().state, accepted(simulator), Claim.objects.count()) == ("cancelled", [], 0)


def test_while_it_is_moved_it_is_not_cancelled(calcom, simulator, appointment):
    with simulator.holding(MOVE):
        reschedule(appointment, at(16), calcom, wait=0.3)
        with pytest.raises(IdempotencyInProgress):
            cancel(read(appointment), calcom, wait=Deadline.after(0.3))
        with pytest.raises(IdempotencyInProgress):
            reschedule(read(appointment), at(10), calcom, wait=Deadline.after(0.3))
    let_jobs_finish()

    assert cancel(read(appointment), calcom).appointment.state == "cancelled"
    assert accepted(simulator) == []


def test_a_move_that_has_not_left_is_taken_back_by_a_cancellation(calcom, simulator, appointment):
    """What is cancelled need not be moved first."""
    operation = enter(appointment, at(16))

    assert cancel(read(appointment), calcom).appointment.state == "cancelled"

    operation.refresh_from_db()
    assert (operation.state, operation.outcome) == ("refused", "withdrawn")
    assert (simulator.count(MOVE), Claim.objects.count()) == (0, 0)


def test_a_cancellation_that_is_not_allowed_takes_nothing_back(salon, calcom, appointment):
    operation = enter(appointment, at(16))
    _set(salon.company, cancel_notice_hours=24 * 30)

    with pytest.raises(ChangeTooLate):
        cancel(read(appointment), calcom, requested_by=salon.agent_key)

    assert settle(operation, calcom).state == "done"


# --- crashes and unknown outcomes ------------------------------------------------------------------------------


def test_killed_before_sending(calcom, simulator, appointment):
    """A queued move was not sent, so it may simply be sent; until then both times are claimed."""
    operation = enter(appointment, at(16))
    assert len(spans(appointment)) == 2

    assert settle(operation, calcom).appointment.start == at(16)
    assert simulator.count(LOOK_UP) == 0


def test_killed_before_the_request_left(calcom, simulator, appointment):
    """FM-04."""
    operation = enter(appointment, at(16))
    begin(operation, calcom)

    assert settle(operation, calcom).state == "sending"
    pass_time(31)

    assert settle(operation, calcom).state == "done"
    assert (simulator.count(LOOK_UP), simulator.count(MOVE)) == (1, 1)


def test_killed_before_the_answer_was_written_down(calcom, simulator, appointment):
    operation = enter(appointment, at(16))
    begin(operation, calcom).execute()
    pass_time(31)

    settled = settle(operation, calcom)

    assert (settled.state, settled.appointment.start, settled.appointment.reschedules) == ("done", at(16), 1)
    assert simulator.count(MOVE) == 1
    assert spans(appointment) == [("Emma", at(16), at(17, 15), "confirmed")]


@pytest.mark.parametrize("fault", ["reset_after", "error_after", "invalid_json"])
def test_an_answer_that_got_lost_is_found_out(calcom, simulator, appointment, fault):
    """FM-04: the caller hears that it is pending; nothing is sent twice."""
    simulator.fail(MOVE, fault)
    pending = reschedule(appointment, at(16), calcom)
    assert (pending.is_settled, pending.operation.state, pending.appointment.start) == (False, "unknown", at(14))

    settled = settle(pending.operation, calcom)

    assert (settled.state, settled.appointment.start) == ("done", at(16))
    assert simulator.count(MOVE) == len(accepted(simulator)) == 1


@pytest.mark.parametrize("fault", ["reset_before", "error_before"])
def test_a_request_that_got_lost_is_sent_again_once_that_is_proven(calcom, simulator, appointment, fault):
    """A slow receiver alone makes a write take 20 s: until 30 s have passed, the old time proves nothing."""
    simulator.fail(MOVE, fault)
    operation = reschedule(appointment, at(16), calcom).operation

    assert settle(operation, calcom).state == "unknown"
    assert simulator.count(MOVE) == 1
    pass_time(31)

    assert settle(operation, calcom).appointment.start == at(16)
    assert simulator.count(MOVE) == 2
    assert len(accepted(simulator)) == 1


def test_while_the_look_up_fails_nothing_is_sent(calcom, simulator, appointment):
    """Not to know is no reason to move again."""
    simulator.fail(MOVE, "reset_after")
    operation = reschedule(appointment, at(16), calcom).operation
    simulator.fail(LOOK_UP, "error_before")
    pass_time(31)

    settled = settle(operation, calcom)

    assert settled.state == "unknown"
    assert settled.next_attempt_at > timezone.now()
    assert simulator.count(MOVE) == 1


def test_two_who_take_up_the_same_move_send_it_once(calcom, simulator, appointment):
    """FM-08: of two that try, one wins, also when both took it up before either began."""
    operation = enter(appointment, at(16))
    one, other = (handler_for(Operation.objects.with_timing().get(pk=operation.pk), calcom) for _ in range(2))

    one.send()
    other.send()

    assert simulator.count(MOVE) == 1


def test_the_same_yes_twice_is_one_yes(calcom, simulator, appointment):
    """A webhook may tell of it before the answer comes: the same uid again is no news."""
    operation = enter(appointment, at(16))
    handler = begin(operation, calcom)
    remote = handler.execute()

    execution.apply_result(operation_id=operation.pk, remote=remote, calcom=calcom)
    handler.apply_result(remote)

    row = Appointment.objects.get()
    assert (row.start, row.reschedules, len(row.earlier_remote_uids)) == (at(16), 1, 1)
    assert simulator.count(CANCEL) == 0


def test_a_move_that_nobody_could_make_in_time_becomes_a_callback(calcom, simulator, appointment):
    """The appointment stands where it was, and a person calls."""
    operation = enter(appointment, at(16))
    _set(operation, new_start=timezone.now() - timedelta(minutes=5))

    settled = settle(operation, calcom)

    assert (settled.outcome, settled.appointment.state, settled.appointment.start) == (
        "not_in_time",
        "confirmed",
        at(14),
    )
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert claims_of(appointment) == {"Emma": "confirmed"}
    assert simulator.count(MOVE) == 0


# --- changes at Cal.com ---------------------------------------------------------------------------


def test_what_was_moved_at_cal_com_is_moved_from_where_it_is_now(calcom, simulator, appointment):
    """FM-71: a person moved it, and we had not heard; the caller gets what they asked for, once."""
    booked_as = appointment.remote_uid
    moved_to = simulator.reschedule_elsewhere(booked_as, at(10))["uid"]

    pending = reschedule(appointment, at(16), calcom)
    assert (pending.is_settled, pending.appointment.start, pending.appointment.remote_uid) == (False, at(10), moved_to)
    settled = settle(pending.operation, calcom)

    row = Appointment.objects.get()
    assert (settled.state, row.start, row.reschedules) == ("done", at(16), 1)
    assert row.earlier_remote_uids == [booked_as, moved_to]
    assert spans(row) == [("Emma", at(16), at(17, 15), "confirmed")]
    assert len(accepted(simulator)) == 1


def test_refused_reschedule_is_repeated_where_people_left_the_wished_time_again(calcom, simulator, appointment):
    """People moved it to the wished time and away before the only send, which was refused: their step is not ours."""
    passed_through = simulator.reschedule_elsewhere(appointment.remote_uid, at(16))["uid"]
    simulator.reschedule_elsewhere(passed_through, at(14))

    pending = reschedule(appointment, at(16), calcom)
    assert (pending.is_settled, pending.appointment.start) == (False, at(14))
    settled = settle(pending.operation, calcom)

    (standing,) = accepted(simulator)
    row = Appointment.objects.get()
    assert (settled.state, row.start, row.remote_uid) == ("done", at(16), standing["uid"])


def test_what_was_moved_to_the_same_time_at_cal_com_is_done(calcom, simulator, appointment):
    simulator.reschedule_elsewhere(appointment.remote_uid, at(16))

    # The time was free for everybody when last asked; that its own new booking is in the way, the answer will tell.
    moved = reschedule(appointment, at(16), calcom)

    assert (moved.is_settled, Appointment.objects.get().start) == (True, at(16))
    assert len(accepted(simulator)) == 1


def test_reschedule_follows_a_booking_that_was_moved_while_calcom_thought(salon, calcom, simulator, appointment):
    """Both were accepted: the caller's is made once more from where the booking is now, and one booking stands."""
    with simulator.holding(MOVE):
        pending = reschedule(appointment, at(10), calcom, wait=0.3)
        simulator.await_in_flight(1, MOVE)
        elsewhere = simulator.reschedule_elsewhere(appointment.remote_uid, at(16))
        apply_update(RemoteUpdate(salon.account, calcom.get_booking(uid=elsewhere["uid"])), calcom)
    let_jobs_finish()

    settled = settle(pending.operation, calcom)

    (standing,) = accepted(simulator)
    assert (settled.state, settled.appointment.start) == ("done", at(10))
    assert standing["uid"] == settled.appointment.remote_uid
    assert spans(appointment) == [("Emma", at(10), at(11, 15), "confirmed")]


def test_a_move_that_happened_is_done_though_somebody_moved_it_on(calcom, simulator, appointment):
    """Our answer got lost, and then a person moved it again: ours is not made once more."""
    simulator.fail(MOVE, "reset_after")
    operation = reschedule(appointment, at(16), calcom).operation
    simulator.reschedule_elsewhere(accepted(simulator)[0]["uid"], at(10))

    assert settle(operation, calcom).state == "done"
    assert simulator.count(MOVE) == 1


def test_what_was_cancelled_at_cal_com_cannot_be_moved(calcom, simulator, appointment):
    """Our row learns it, and the caller hears it."""
    simulator.cancel_elsewhere(appointment.remote_uid)

    with pytest.raises(AlreadyCancelled):
        reschedule(appointment, at(16), calcom)

    assert Appointment.objects.get().state == "cancelled"
    assert Claim.objects.count() == 0


def test_what_vanished_at_cal_com_is_told_to_staff(calcom, simulator, appointment, caplog):
    _set(appointment, remote_uid="neverheardof")

    with pytest.raises(BookingNotFound):
        reschedule(read(appointment), at(16), calcom)

    assert Appointment.objects.get().state == "cancelled"
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_claims_that_were_taken_away_are_taken_again_before_it_is_sent(calcom, simulator, appointment):
    """A mirrored change of the appointment records its time anew, and with that drops what the move had claimed."""
    operation = enter(appointment, at(16))
    release_other_time(appointment)

    with simulator.holding(MOVE), ThreadPoolExecutor(1) as pool:
        settled = pool.submit(_settle_on_a_thread, operation, calcom)
        simulator.await_in_flight(1, MOVE)
        assert ("Emma", at(16), at(17, 15), "pending") in spans(appointment)
        simulator.clear_faults()
        assert settled.result().state == "done"


# --- a wrong answer ----------------------------------------------------------------------------------------------


def test_somebody_elses_booking_in_the_answer_is_left_alone(salon, calcom, simulator, appointment, caplog):
    """FM-03: what became of ours its own uid says: nothing; so it stands where it was."""
    other = booked(salon.colour, at(10), calcom, KARL)
    handler = begin(enter(appointment, at(16)), calcom)

    handler.apply_result(calcom.get_booking(uid=other.remote_uid))

    operation = Operation.objects.get(kind="reschedule")
    assert (operation.state, operation.outcome) == ("refused", "foreign_booking")
    assert (read(appointment).start, read(other).start) == (at(14), at(10))
    assert simulator.count(CANCEL) == 0
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_behind_a_foreign_answer_the_move_is_found(salon, calcom, simulator, appointment):
    """The answer was about another booking, and ours was moved all the same."""
    other = booked(salon.colour, at(10), calcom, KARL)
    handler = begin(enter(appointment, at(16)), calcom)
    handler.execute()

    handler.apply_result(calcom.get_booking(uid=other.remote_uid))

    assert (Operation.objects.get(kind="reschedule").state, read(appointment).start) == ("done", at(16))


def test_ours_at_another_time_is_moved_to_where_it_was_asked_for(calcom, simulator, appointment, caplog):
    """FM-07: the row says what is true at Cal.com, staff is told, and the caller's time is asked for once more."""
    handler = begin(enter(appointment, at(16)), calcom)
    stored = simulator.reschedule_elsewhere(appointment.remote_uid, at(10))

    handler.apply_result(calcom.get_booking(uid=stored["uid"]))

    operation = Operation.objects.get(kind="reschedule")
    assert (operation.state, read(appointment).start) == ("queued", at(10))
    assert any(record.levelname == "ERROR" for record in caplog.records)
    assert settle(operation, calcom).appointment.start == at(16)
    assert len(accepted(simulator)) == 1


def test_a_host_chosen_against_our_guess_is_recorded_as_a_conflict(salon, calcom, simulator, appointment):
    """Cal.com's truth is always storable: it stands, marked, and alerts."""
    beard = booked(salon.beard, at(16), calcom, KARL)
    handler = begin(enter(appointment, at(16)), calcom)

    handler.apply_result(replace(handler.execute(), host_ids=[salon.ben.host.calcom_id]))

    assert claims_of(beard) == claims_of(appointment) == {"Ben": "confirmed"}
    assert Claim.objects.get(conflicting=True).appointment == appointment


# --- helpers -----------------------------------------------------------------------------------------------------


def enter(appointment, start):
    """Commit the move and die before anything is sent."""
    ask = Operation(
        company=appointment.company, appointment=appointment, kind="reschedule", new_start=start, reason="a test"
    )
    rescheduling.commit(ask, None, Deadline.after(0))
    return ask


def read(appointment):
    """Return the row as it is now."""
    rows = Appointment.objects.select_related(
        "company", "branch", "service__branch", "service__event_type", "event_type"
    )
    return rows.get(pk=appointment.pk)


def _set(row, **fields):
    type(row).objects.filter(pk=row.pk).update(**fields)


def _on_a_thread(ask, appointment_id, calcom, *args):
    try:
        return ask(read(Appointment(pk=appointment_id)), *args, calcom)
    except BookingError as exc:
        return exc
    finally:
        connections.close_all()


def _settle_on_a_thread(operation, calcom):
    try:
        return settle(operation, calcom)
    finally:
        connections.close_all()
