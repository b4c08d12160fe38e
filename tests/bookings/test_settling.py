"""A process that dies between two steps leaves a row that another settles; an unknown outcome is looked up."""

from datetime import timedelta

import pytest
from django.utils import timezone

from bookings.errors import SlotTaken
from bookings.models import Appointment, CallbackRequest, Claim, Operation
from bookings.scheduling import execution
from bookings.scheduling.handlers import handler_for
from calcom.errors import Unavailable
from calcom.http.parsing import METADATA_KEY
from calcom.models import Host
from calcom.service import CalcomService
from tests.bookings.helpers import begin, book, claims_of, intent, pass_time, settle, write_down
from tests.factories import ANNA, KARL, at

BOOK = "POST /v2/bookings"
CANCEL = "POST /v2/bookings/{uid}/cancel"
LOOK_UP = "GET /v2/bookings"


def accepted(simulator):
    """Return what stands at Cal.com."""
    return [booking for booking in simulator.bookings() if booking["status"] == "accepted"]


# --- a crash ----------------------------------------------------------------------------------------------------


def test_killed_before_sending(salon, calcom, simulator):
    """A queued change was not sent, so it may simply be sent."""
    operation = write_down(intent(salon.colour, at(14)))

    assert settle(operation, calcom).state == "done"
    assert simulator.count(LOOK_UP) == 0
    assert len(accepted(simulator)) == 1


def test_killed_before_the_request_left(salon, calcom, simulator):
    """FM-04."""
    operation = write_down(intent(salon.colour, at(14)))
    begin(operation, calcom)

    assert settle(operation, calcom).state == "sending"
    assert simulator.count() == 0

    pass_time(31)
    assert settle(operation, calcom).state == "done"
    assert (simulator.count(LOOK_UP), simulator.count(BOOK)) == (1, 1)


def test_killed_before_the_answer_was_written_down(salon, calcom, simulator):
    operation = write_down(intent(salon.colour, at(14)))
    handler = begin(operation, calcom)
    handler.execute()

    pass_time(31)
    settled = settle(operation, calcom)

    assert (settled.state, settled.appointment.state) == ("done", "confirmed")
    assert claims_of(settled.appointment) == {"Emma": "confirmed"}
    assert simulator.count(BOOK) == len(accepted(simulator)) == 1


def test_two_who_take_up_the_same_change_send_it_once(salon, calcom, simulator):
    """FM-08: of two that try, one wins, also when both took it up before either began."""
    operation = write_down(intent(salon.colour, at(14)))
    one, other = (handler_for(Operation.objects.with_timing().get(pk=operation.pk), calcom) for _ in range(2))

    one.send()
    other.send()

    assert simulator.count(BOOK) == 1


# --- unknown outcome ----------------------------------------------------------------------------------------------


def test_an_answer_that_got_lost_is_found_out(salon, calcom, simulator):
    """FM-04: the caller hears that it is pending; the look-up finds it, and nothing is sent twice."""
    simulator.fail(BOOK, "reset_after")
    pending = book(intent(salon.colour, at(14)), calcom)
    assert (pending.is_settled, pending.operation.state) == (False, "unknown")

    assert settle(pending.operation, calcom).state == "done"
    assert simulator.count(BOOK) == 1


def test_absence_is_proven_only_after_thirty_seconds(salon, calcom, simulator):
    """A slow receiver alone made a booking take 20 s: until then a look-up that finds nothing proves nothing."""
    simulator.fail(BOOK, "reset_before")
    operation = book(intent(salon.colour, at(14)), calcom).operation

    assert settle(operation, calcom).state == "unknown"
    pass_time(31)
    assert settle(operation, calcom).state == "done"

    assert simulator.count(BOOK) == 2
    assert len(accepted(simulator)) == 1


def test_a_server_error_is_not_a_no(salon, calcom, simulator):
    """A 500 may have had its effect."""
    simulator.fail(BOOK, "error_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation

    assert operation.state == "unknown"
    assert settle(operation, calcom).state == "done"


def test_what_was_moved_there_before_we_heard_of_it_is_followed(salon, calcom, simulator):
    """FM-15: it was booked, so the caller has it, wherever staff has put it since; and late messages find it."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    [made] = accepted(simulator)
    moved = simulator.reschedule_elsewhere(made["uid"], at(11))

    settled = settle(operation, calcom)

    mine = settled.appointment
    assert (settled.state, mine.state, mine.start, mine.end) == ("done", "confirmed", at(11), at(12))
    assert (mine.remote_uid, mine.earlier_remote_uids) == (moved["uid"], [made["uid"]])
    assert claims_of(mine) == {"Emma": "confirmed"}
    assert Claim.objects.get().start == at(11)


def test_moved_booking_that_is_heard_of_first_is_confirmed_where_it_is(salon, calcom, simulator):
    """A person moved it before we heard that it was made: it is not undone for being elsewhere."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    [made] = accepted(simulator)
    moved = simulator.reschedule_elsewhere(made["uid"], at(11))

    execution.apply_result(operation_id=operation.pk, remote=calcom.get_booking(uid=moved["uid"]), calcom=calcom)

    mine = Appointment.objects.get()
    assert (mine.state, mine.start, mine.earlier_remote_uids) == ("confirmed", at(11), [made["uid"]])
    assert len(accepted(simulator)) == 1


def test_what_was_moved_there_and_cancelled_before_we_heard_of_it_is_refused(salon, calcom, simulator):
    """Nothing stands there any more."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    simulator.cancel_elsewhere(simulator.reschedule_elsewhere(accepted(simulator)[0]["uid"], at(11))["uid"])

    settled = settle(operation, calcom)

    assert (settled.outcome, settled.appointment.state) == ("cancelled", "rejected")
    assert not Claim.objects.exists()


def test_while_the_trail_cannot_be_followed_nobody_knows(salon, calcom, simulator):
    """Not to know where it went is no refusal."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    simulator.reschedule_elsewhere(accepted(simulator)[0]["uid"], at(11))
    simulator.fail("GET /v2/bookings/{uid}", "error_before")

    assert settle(operation, calcom).state == "unknown"
    assert settle(operation, calcom).state == "done"


def test_while_the_look_up_fails_nothing_is_sent(salon, calcom, simulator):
    """Not to know is no reason to book again."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    simulator.fail(LOOK_UP, "error_before")
    pass_time(31)

    settled = settle(operation, calcom)

    assert settled.state == "unknown"
    assert settled.next_attempt_at > timezone.now()
    assert simulator.count(BOOK) == 1


@pytest.mark.parametrize(("passed", "pause"), [(2, 5), (22, 8), (31, 15.5), (300, 20)])
def test_what_nobody_knows_is_looked_up_again_soon(salon, calcom, simulator, passed, pause):
    """After half the time it waited, 20 s at most; and as soon as its absence could be proven."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    simulator.fail(LOOK_UP, "error_before")
    pass_time(passed)

    settled = settle(operation, calcom)

    assert (settled.next_attempt_at - timezone.now()).total_seconds() == pytest.approx(pause, abs=1)


def test_what_could_not_be_sent_is_sent_when_that_is_allowed_again(salon, simulator):
    """However long it has waited: the breaker, or the budget, says when."""
    operation = write_down(intent(salon.colour, at(14)))
    pass_time(300)

    settled = settle(operation, _Busy(salon.account, retry_after=7.0))

    assert (settled.next_attempt_at - timezone.now()).total_seconds() == pytest.approx(7, abs=1)
    assert simulator.count(BOOK) == 0


class _Busy(CalcomService):
    """Cal.com behind an open circuit."""

    def __init__(self, account, *, retry_after):
        super().__init__(account)
        self._retry_after = retry_after

    def create_booking(self, **_asked):
        raise Unavailable("The circuit is open.", retry_after=self._retry_after)


def test_a_refusal_by_our_own_booking_is_no_refusal(salon, calcom, simulator):
    """The look-up missed it, the second send was refused because of it, and one more look-up sees why."""

    class LooksTooEarly(CalcomService):
        has_looked = False

        def find_booking(self, **asked):
            seen, self.has_looked = self.has_looked, True
            return super().find_booking(**asked) if seen else None

    operation = write_down(intent(salon.colour, at(14)))
    begin(operation, calcom).execute()
    pass_time(31)

    settled = settle(operation, LooksTooEarly(salon.account))

    assert (settled.state, settled.appointment.state) == ("done", "confirmed")
    assert simulator.count(BOOK) == 2
    assert len(accepted(simulator)) == 1


def test_a_wish_that_nobody_could_enter_in_time_becomes_a_callback(salon, calcom, simulator):
    """A person calls back; nothing is booked into the past."""
    operation = write_down(intent(salon.colour, at(14)))
    _has_begun(operation.appointment)

    settled = settle(operation, calcom)

    assert (settled.outcome, settled.appointment.state) == ("not_in_time", "rejected")
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert simulator.count() == 0


def test_an_unknown_wish_is_looked_up_once_more_before_it_is_given_up(salon, calcom, simulator):
    """It may have been booked all along."""
    operation = write_down(intent(salon.colour, at(14)))
    begin(operation, calcom).execute()
    pass_time(31)
    start = operation.appointment.start
    _has_begun(operation.appointment)
    simulator.fail(LOOK_UP, "error_before")

    assert settle(operation, calcom).outcome == "not_in_time"
    assert Appointment.objects.get().start != start


# --- a wrong answer ----------------------------------------------------------------------------------------------


def test_somebody_elses_booking_is_refused_and_left_alone(salon, calcom, simulator, caplog):
    """FM-03: Cal.com returned another caller's booking as if it were new; that one is not ours to cancel."""
    simulator.book_elsewhere("colour", at(9), host="emma")
    simulator.fail(BOOK, "wrong_booking")

    with pytest.raises(SlotTaken):
        book(intent(salon.colour, at(14)), calcom)

    assert Operation.objects.get().outcome == "foreign_booking"
    assert len(accepted(simulator)) == 1
    assert simulator.count(CANCEL) == 0
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_a_uid_that_another_appointment_has_is_not_new(salon, calcom, simulator):
    """FM-71: our own id in the metadata is not enough, the uid must be new to us."""
    first = book(intent(salon.colour, at(9)), calcom).appointment
    operation = write_down(intent(salon.colour, at(14), KARL))
    handler = begin(operation, calcom)
    remote = calcom.get_booking(uid=first.remote_uid)

    handler.apply_result(_with(remote, appointment_id=handler.appointment.public_id, start=at(14)))

    operation.refresh_from_db()
    assert (operation.state, operation.outcome) == ("refused", "foreign_booking")


def test_ours_at_another_time_is_cancelled_there(salon, calcom, simulator):
    """FM-07: an appointment is never moved without its caller; what was booked wrongly is undone."""
    handler, remote = _booked_at_another_time(salon, calcom, simulator)

    handler.apply_result(remote)

    operation = Operation.objects.select_related("appointment").get()
    assert (operation.outcome, operation.appointment.state) == ("other_start", "rejected")
    assert accepted(simulator) == []


def test_ours_at_another_time_stays_unknown_until_it_is_cancelled_there(salon, calcom, simulator):
    """The uid is kept, so that the next attempt can go on from there."""
    handler, remote = _booked_at_another_time(salon, calcom, simulator)
    simulator.fail(CANCEL, "reset_before")

    handler.apply_result(remote)
    assert Operation.objects.get().state == "unknown"

    assert settle(handler.operation, calcom).outcome == "other_start"
    assert accepted(simulator) == []


def test_a_late_second_yes_is_cancelled_there(salon, calcom, simulator):
    """One wish, one booking: whichever is heard first stands, the other one goes."""
    operation = write_down(intent(salon.colour, at(14)))
    handler = begin(operation, calcom)
    remote = handler.execute()
    handler.apply_result(remote)
    duplicate = simulator.book_elsewhere(
        "colour", at(14), host="emma", metadata={METADATA_KEY: handler.appointment.public_id}
    )
    late = handler_for(operation, calcom)

    late.apply_result(calcom.get_booking(uid=duplicate["uid"]))

    assert [booking["uid"] for booking in accepted(simulator)] == [remote.uid]


def test_the_same_yes_twice_is_one_yes(salon, calcom, simulator):
    """A webhook may confirm before the answer does: the same uid again is no news."""
    operation = write_down(intent(salon.colour, at(14)))
    handler = begin(operation, calcom)
    remote = handler.execute()

    handler.apply_result(remote)
    handler_for(operation, calcom).apply_result(remote)

    assert simulator.count(CANCEL) == 0
    assert Appointment.objects.get().state == "confirmed"


def test_a_host_chosen_against_our_guess_is_recorded_as_a_conflict(salon, calcom, simulator, caplog):
    """Cal.com's truth is always storable: two overlapping bookings of one host stand, marked, and alert."""
    first = book(intent(salon.colour, at(14)), calcom).appointment
    operation = write_down(intent(salon.beard, at(14), KARL))
    handler = begin(operation, calcom)
    remote = handler.execute()

    handler.apply_result(_with(remote, host_ids=[salon.emma.host.calcom_id]))

    assert claims_of(first) == claims_of(handler.appointment) == {"Emma": "confirmed"}
    assert Claim.objects.get(conflicting=True).appointment == handler.appointment
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_a_host_that_no_sync_has_seen_is_written_down(salon, calcom, simulator):
    """The appointment knows who was chosen; a later sync tells the name."""
    operation = write_down(intent(salon.colour, at(14)))
    handler = begin(operation, calcom)

    handler.apply_result(_with(handler.execute(), host_ids=[999]))

    assert Appointment.objects.get().host == Host.objects.get(calcom_id=999)


def _booked_at_another_time(salon, calcom, simulator):
    operation = write_down(intent(salon.colour, at(14)))
    handler = begin(operation, calcom)
    metadata = {METADATA_KEY: handler.appointment.public_id}
    stored = simulator.book_elsewhere("colour", at(16), host="emma", metadata=metadata)
    return handler, calcom.get_booking(uid=stored["uid"])


def _with(remote, **operations):
    return type(remote)(**{**{name: getattr(remote, name) for name in remote.__dataclass_fields__}, **operations})


def _has_begun(appointment):
    ago = timezone.now() - timedelta(minutes=5)
    Appointment.objects.filter(pk=appointment.pk).update(start=ago, end=ago + timedelta(hours=1))
