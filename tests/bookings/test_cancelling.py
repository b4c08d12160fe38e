"""Cancel: once, with a reason, and whatever happened at Cal.com meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from bookings.errors import (
    AlreadyCancelled,
    BookingError,
    BookingNotFound,
    ChangeTooLate,
    DateInPast,
    IdempotencyInProgress,
    IdempotencyKeyReused,
)
from bookings.models import Appointment, Claim, Operation
from bookings.sync.apply import apply_update
from bookings.sync.classify import RemoteUpdate
from cachectl.infra.deadline import Deadline
from tests.bookings.helpers import (
    book,
    cancel,
    intent,
    let_jobs_finish,
    pass_time,
    settle,
    starts_of,
    write_down,
)
from tests.factories import KARL, at

BOOK = "POST /v2/bookings"
CANCEL = "POST /v2/bookings/{uid}/cancel"


@pytest.fixture
def appointment(salon, calcom):
    """Colour at two o'clock, confirmed."""
    return book(intent(salon.colour, at(14)), calcom).appointment


def test_a_cancelled_appointment_gives_its_time_back_at_once(salon, calcom, simulator, appointment):
    """The next caller hears of it without a request to Cal.com, and before any worker ran."""
    cancelled = cancel(appointment, calcom)

    assert (cancelled.is_settled, cancelled.appointment.state) == (True, "cancelled")
    assert not Claim.objects.exists()
    assert at(14) in starts_of(salon.colour, calcom, at(9), at(18))
    assert simulator.count("GET /v2/slots") == 1


@pytest.mark.parametrize("reason", ["", "   ", "Anna is ill"])
def test_a_reason_is_always_sent(calcom, simulator, appointment, reason):
    """Authenticated as the host, Cal.com refuses to cancel without one (recorded 2026-11-21)."""
    assert cancel(appointment, calcom, reason=reason).is_settled

    assert Operation.objects.get(kind="cancel").reason == (reason.strip() or "Cancelled by phone.")


def test_whoever_asks_twice_gets_the_first_outcome(calcom, simulator, appointment):
    """FM-10: an appointment is cancelled once, with or without a key."""
    first = cancel(appointment, calcom)
    again = cancel(Appointment.objects.get(), calcom)
    with_key = cancel(Appointment.objects.get(), calcom, idempotency_key="c")

    assert (first.replayed, again.replayed, with_key.replayed) == (False, True, True)
    assert simulator.count(CANCEL) == 1


def test_a_key_that_booked_does_not_cancel(salon, calcom):
    """The key came with another request."""
    appointment = book(intent(salon.colour, at(14), key="k", digest="book"), calcom).appointment

    with pytest.raises(IdempotencyKeyReused):
        cancel(appointment, calcom, idempotency_key="k", request_digest="cancel")


def test_twenty_at_once_cancel_once(calcom, simulator, appointment):
    """FM-10: twins wait for the one that came first."""
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _cancel_on_a_thread(appointment.pk, calcom), range(20)))

    assert all(answer == "cancelled" or answer is IdempotencyInProgress for answer in answers)
    assert simulator.count(CANCEL) == 1


def test_what_was_cancelled_at_cal_com_is_cancelled(calcom, simulator, appointment):
    simulator.cancel_elsewhere(appointment.remote_uid)

    assert cancel(appointment, calcom).appointment.state == "cancelled"


def test_what_was_moved_at_cal_com_is_cancelled_where_it_is_now(calcom, simulator, appointment):
    """FM-71: a move gives a new uid; cancelling the old one would cancel nothing."""
    booked_as = appointment.remote_uid
    simulator.reschedule_elsewhere(booked_as, at(16))

    pending = cancel(appointment, calcom)

    assert not pending.is_settled
    assert settle(pending.operation, calcom).appointment.state == "cancelled"
    assert {booking["status"] for booking in simulator.bookings()} == {"cancelled"}
    assert Appointment.objects.get().earlier_remote_uids == [booked_as]


@pytest.mark.parametrize("says_yes", [True, False])
@pytest.mark.parametrize("is_heard", [True, False])
def test_cancellation_reaches_a_booking_that_was_moved_while_calcom_thought(
    calcom, simulator, appointment, says_yes, is_heard
):
    """Cal.com cancels the booking that was moved away, or refuses to: what stands now is what must go."""
    simulator.configure(cancels_rescheduled=says_yes)
    with simulator.holding(CANCEL):
        pending = cancel(appointment, calcom, wait=0.2)
        simulator.await_in_flight(1, CANCEL)
        moved = simulator.reschedule_elsewhere(appointment.remote_uid, at(10))
        if is_heard:
            apply_update(RemoteUpdate(appointment.event_type.account, calcom.get_booking(uid=moved["uid"])), calcom)
    let_jobs_finish()
    assert Appointment.objects.get().state == "confirmed"

    settled = settle(pending.operation, calcom)

    assert (settled.state, settled.appointment.state) == ("done", "cancelled")
    assert {booking["status"] for booking in simulator.bookings()} == {"cancelled"}
    assert not Claim.objects.exists()


@pytest.mark.parametrize("is_told", [True, False])
def test_booking_that_was_moved_while_it_was_cancelled_is_cancelled_when_it_is_heard_of(
    calcom, simulator, appointment, is_told
):
    """Cal.com's yes did not say that it had been moved, and the message about that came later."""
    moved = simulator.reschedule_elsewhere(appointment.remote_uid, at(10), webhook=False)
    _cancelled(appointment, timezone.now())
    remote = calcom.get_booking(uid=moved["uid"])

    apply_update(RemoteUpdate(appointment.event_type.account, remote, is_read=not is_told), calcom)

    assert {booking["status"] for booking in simulator.bookings()} == {"cancelled"}
    assert Appointment.objects.count() == 1


def test_booking_that_was_moved_long_after_its_cancellation_stands(calcom, simulator, appointment):
    """Some event types allow that: it is an appointment that was made at Cal.com."""
    moved = simulator.reschedule_elsewhere(appointment.remote_uid, at(10), webhook=False)
    _cancelled(appointment, timezone.now() - timedelta(hours=1))

    apply_update(RemoteUpdate(appointment.event_type.account, calcom.get_booking(uid=moved["uid"])), calcom)

    assert [booking["status"] for booking in simulator.bookings()] == ["cancelled", "accepted"]


def test_cancellation_answered_about_a_booking_that_stands_is_sent_again(calcom, simulator, appointment):
    """A yes whose booking is still accepted has cancelled nothing."""
    simulator.fail(CANCEL, "altered", members={"status": "accepted"})

    pending = cancel(appointment, calcom)

    assert not pending.is_settled
    assert settle(pending.operation, calcom).appointment.state == "cancelled"


def test_an_answer_that_got_lost_is_found_out(calcom, simulator, appointment):
    """FM-04: the status says what became of it."""
    simulator.fail(CANCEL, "reset_after")

    pending = cancel(appointment, calcom)
    assert (pending.operation.state, pending.appointment.state) == ("unknown", "confirmed")

    assert settle(pending.operation, calcom).appointment.state == "cancelled"
    assert simulator.count(CANCEL) == 1


def test_a_request_that_got_lost_is_sent_again(calcom, simulator, appointment):
    """To cancel twice does no harm, so it need not be proven absent."""
    simulator.fail(CANCEL, "reset_before")
    pending = cancel(appointment, calcom)

    assert settle(pending.operation, calcom).appointment.state == "cancelled"
    assert simulator.count(CANCEL) == 2


def test_until_cal_com_says_yes_the_time_stays_taken(salon, calcom, simulator, appointment):
    """FM-15: a cancellation on its way has freed nothing yet."""
    with simulator.holding(CANCEL):
        pending = cancel(appointment, calcom, wait=0.2)
        assert (pending.is_settled, pending.appointment.state) == (False, "confirmed")
        with pytest.raises(BookingError):
            book(intent(salon.colour, at(14), KARL), calcom)

    let_jobs_finish()
    assert Appointment.objects.get().state == "cancelled"


def test_a_booking_that_has_not_left_is_taken_back(salon, calcom, simulator):
    """Nothing was sent, so there is nothing to cancel at Cal.com."""
    operation = write_down(intent(salon.colour, at(14)))

    cancelled = cancel(operation.appointment, calcom)

    assert (cancelled.is_settled, cancelled.appointment.state) == (True, "cancelled")
    assert settle(operation, calcom).state == "refused"
    assert simulator.count() == 0
    assert not Claim.objects.exists()


def test_a_booking_on_its_way_is_cancelled_when_it_has_arrived(salon, calcom, simulator):
    with simulator.holding(BOOK):
        appointment = book(intent(salon.colour, at(14)), calcom, wait=0.2).appointment
        with pytest.raises(IdempotencyInProgress):
            cancel(appointment, calcom, wait=Deadline.after(0.2))
    let_jobs_finish()

    assert cancel(appointment, calcom).appointment.state == "cancelled"
    assert {booking["status"] for booking in simulator.bookings()} == {"cancelled"}


def test_notice_binds_callers_and_not_staff(salon, calcom, appointment):
    """A branch may want to hear of it a day before; at the desk people decide for themselves."""
    salon.company.cancel_notice_hours = 24 * 30
    salon.company.save()
    appointment = Appointment.objects.get()

    with pytest.raises(ChangeTooLate):
        cancel(appointment, calcom, requested_by=salon.agent_key)

    assert cancel(appointment, calcom).is_settled


def test_what_has_begun_cannot_be_cancelled(calcom, appointment):
    """It is too late for that."""
    Appointment.objects.update(start=timezone.now() - timedelta(minutes=5))

    with pytest.raises(DateInPast):
        cancel(Appointment.objects.get(), calcom)


@pytest.mark.parametrize(("state", "refusal"), [("cancelled", AlreadyCancelled), ("rejected", BookingNotFound)])
def test_what_does_not_stand_cannot_be_cancelled(calcom, appointment, state, refusal):
    Appointment.objects.update(state=state)

    with pytest.raises(refusal):
        cancel(Appointment.objects.get(), calcom)


def test_a_refused_cancellation_may_be_asked_for_again(calcom, simulator, appointment):
    """The reason lay with Cal.com, and staff put it right."""
    simulator.fail(CANCEL, "error_before", status=401)
    refused = Operation.objects.filter(kind="cancel")
    with pytest.raises(BookingError):
        cancel(appointment, calcom)
    assert refused.get().state == "refused"

    assert cancel(Appointment.objects.get(), calcom).is_settled


def test_a_swept_cancellation_is_not_sent_before_its_time(calcom, simulator, appointment):
    """What was sent a moment ago may still be answered."""
    simulator.fail(CANCEL, "reset_after")
    operation = cancel(appointment, calcom).operation
    pass_time(1)

    assert not Operation.objects.due().filter(pk=operation.pk).exists()


def _cancel_on_a_thread(appointment_id, calcom):
    try:
        return cancel(Appointment.objects.get(pk=appointment_id), calcom).appointment.state
    except BookingError as exc:
        return type(exc)
    finally:
        connections.close_all()


def _cancelled(appointment, finished_at):
    """Write down that our cancellation was answered with a yes."""
    Operation.objects.create(
        company=appointment.company,
        appointment=appointment,
        kind="cancel",
        state="done",
        finished_at=finished_at,
    )
    Appointment.objects.update(state="cancelled")
