"""A refusal that is final ends its operation, and no operation asks Cal.com without end, whatever it answers."""

import pytest

from bookings.api import problem_catalog
from bookings.errors import BookingError, ConfigurationError
from bookings.models import CallbackRequest, Claim, Operation
from bookings.scheduling.execution import refusal
from bookings.scheduling.settling import MOST_INCONCLUSIVE_ANSWERS, REFUSALS
from calcom.errors import OutcomeUnknown, Reason, Unavailable
from calcom.service import CalcomService
from tests.bookings.helpers import (
    PATIENCE,
    begin,
    book,
    cancel,
    claims_of,
    intent,
    pass_time,
    reschedule,
    settle,
    write_down,
)
from tests.factories import ANNA, KARL, at

BOOK = "POST /v2/bookings"
RESCHEDULE = "POST /v2/bookings/{uid}/reschedule"
CANCEL = "POST /v2/bookings/{uid}/cancel"
GET = "GET /v2/bookings/{uid}"
LIST = "GET /v2/bookings"
MISSING_TYPE = {"status": 404, "message": "Missing event type"}
CANCELLED = {"status": 400, "message": "Can't do that because it has been cancelled already."}
MONTH_S = 30 * 86_400


@pytest.fixture
def appointment(salon, calcom):
    """Colour at two o'clock, confirmed; an hour with Emma."""
    return book(intent(salon.colour, at(14)), calcom).appointment


@pytest.fixture
def asked(simulator, appointment):
    """Count the requests to Cal.com since the appointment was made."""
    before = simulator.count()
    return lambda: simulator.count() - before


def settle_for_a_month(operation, calcom):
    """Take the operation up whenever it is due, for a month or until it has ended; return it."""
    passed = 0.0
    while passed < MONTH_S and operation.state not in {"done", "refused"}:
        due = (operation.next_attempt_at - operation.requested_at).total_seconds() - passed
        pass_time(max(due, 1.0))
        passed += max(due, 1.0)
        operation = settle(Operation.objects.get(pk=operation.pk), calcom)
    return operation


def test_table_of_refusals_is_complete():
    """A reason without an entry would crash the operation that it refuses."""
    assert set(REFUSALS) == set(Reason)


# --- a final refusal ---------------------------------------------------------------------------------------------


def test_reschedule_ends_when_calcom_misses_the_event_type(calcom, simulator, appointment, asked):
    """The type was deleted, the booking stands and can still be read: nothing is asked a second time."""
    simulator.delete_event_type("colour")
    simulator.reset(log_only=True)

    with pytest.raises(BookingError):
        reschedule(appointment, at(10), calcom)

    appointment.refresh_from_db()
    assert (appointment.state, appointment.start) == ("confirmed", at(14))
    assert not Operation.objects.open().exists()
    assert simulator.count(RESCHEDULE) <= 1


@pytest.mark.parametrize("answer", [MISSING_TYPE, {"status": 400, "message": "This cannot be done."}])
def test_refused_reschedule_gives_the_new_time_back(calcom, simulator, appointment, asked, answer):
    """The old time stands, the new one is anybody's, and the caller who waits is told."""
    simulator.fail(RESCHEDULE, "refused", times=None, **answer)

    with pytest.raises(ConfigurationError):
        reschedule(appointment, at(10), calcom)

    appointment.refresh_from_db()
    assert (appointment.state, appointment.start) == ("confirmed", at(14))
    assert claims_of(appointment) == {"Emma": "confirmed"}
    assert Claim.objects.get().start == at(14)
    assert asked() <= 3  # the list of free times, the request, one look-up
    assert book(intent(appointment.service, at(10), KARL), calcom).is_settled


def test_refused_reschedule_becomes_a_callback_when_its_caller_has_gone(calcom, simulator, appointment):
    """The caller was told that it is on its way."""
    simulator.fail(RESCHEDULE, "reset_before")
    operation = reschedule(appointment, at(10), calcom).operation
    simulator.fail(RESCHEDULE, "refused", times=None, **MISSING_TYPE)
    pass_time(PATIENCE + 31)

    operation = settle(operation, calcom)

    assert (operation.state, operation.outcome, operation.appointment.start) == ("refused", "not_found", at(14))
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert claims_of(appointment) == {"Emma": "confirmed"}


@pytest.mark.parametrize("answer", [MISSING_TYPE, {"status": 400, "message": "This event type does not allow that."}])
def test_refused_cancellation_ends_and_the_appointment_stands(calcom, simulator, appointment, asked, answer):
    """What Cal.com does not cancel is not cancelled here."""
    simulator.fail(CANCEL, "refused", times=None, **answer)

    with pytest.raises(ConfigurationError):
        cancel(appointment, calcom)

    appointment.refresh_from_db()
    assert appointment.state == "confirmed"
    assert claims_of(appointment) == {"Emma": "confirmed"}
    assert asked() <= 2


def test_refused_booking_ends_and_gives_its_time_back(salon, calcom, simulator):
    """The event type was deleted between the list and the booking."""
    simulator.fail(BOOK, "refused", times=None, status=404, message="Event type with id 2 not found.")

    with pytest.raises(ConfigurationError):
        book(intent(salon.colour, at(14)), calcom)

    assert simulator.count(BOOK) == 1
    assert not Claim.objects.exists()


# --- answers that settle nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [RESCHEDULE, CANCEL])
def test_answers_that_contradict_each_other_are_bounded(calcom, simulator, appointment, asked, operation):
    """It is cancelled, says one answer, and it stands, says the other."""
    simulator.fail(operation, "refused", times=None, **CANCELLED)
    asking = cancel(appointment, calcom) if operation == CANCEL else reschedule(appointment, at(10), calcom)

    operation = settle_for_a_month(asking.operation, calcom)

    assert (operation.state, operation.outcome, operation.appointment.state) == ("refused", "unsettled", "confirmed")
    assert claims_of(appointment) == {"Emma": "confirmed"}
    assert CallbackRequest.objects.get().phone == ANNA.phone
    assert asked() <= 2 * (MOST_INCONCLUSIVE_ANSWERS + 2)


def test_reschedule_to_another_time_each_time_is_bounded(calcom, simulator, appointment, asked):
    simulator.fail(RESCHEDULE, "other_start", times=None)

    operation = settle_for_a_month(reschedule(appointment, at(10), calcom).operation, calcom)

    (standing,) = [booking for booking in simulator.bookings() if booking["status"] == "accepted"]
    assert (operation.state, operation.outcome) == ("refused", "other_start")
    assert (operation.appointment.remote_uid, operation.appointment.start) == (standing["uid"], at(10, 15))
    assert asked() <= 2 * (MOST_INCONCLUSIVE_ANSWERS + 2)


def test_booking_that_never_gets_an_answer_is_bounded(salon, calcom, simulator):
    """Each time it is proven absent, and each time it is sent, Cal.com answers 500."""
    lost = _Lost(salon.account)
    operation = write_down(intent(salon.colour, at(14)))

    operation = settle_for_a_month(settle(operation, lost), lost)

    assert (operation.state, operation.outcome, operation.appointment.state) == ("refused", "unsettled", "rejected")
    assert lost.sent == MOST_INCONCLUSIVE_ANSWERS + 1
    assert simulator.count(LIST) <= 3 * (MOST_INCONCLUSIVE_ANSWERS + 1)
    assert not Claim.objects.exists()


def test_refused_look_ups_are_bounded(calcom, simulator, appointment, asked):
    simulator.fail(RESCHEDULE, "reset_after")
    operation = reschedule(appointment, at(10), calcom).operation
    simulator.fail(GET, "refused", times=None, status=401, message="Invalid API Key")

    operation = settle_for_a_month(operation, calcom)

    assert (operation.state, operation.outcome) == ("refused", "unauthorized")
    assert asked() <= MOST_INCONCLUSIVE_ANSWERS + 3


def test_wrong_booking_that_cannot_be_undone_is_told_to_staff(salon, calcom, simulator, caplog):
    """The event type forbids cancelling: the caller is refused, and staff hear that it stands."""
    simulator.fail(BOOK, "other_start")
    simulator.fail(CANCEL, "refused", times=None, status=400, message="This event type does not allow cancellations")

    with pytest.raises(BookingError):
        book(intent(salon.colour, at(14)), calcom)

    assert simulator.count(CANCEL) == 1
    assert not Claim.objects.exists()
    assert any("booking.mismatch_not_cancelled" in record.getMessage() for record in caplog.records)


def test_look_ups_without_an_answer_become_rare(salon, calcom, simulator, appointment):
    """A month of look-ups that fail costs a hundred requests and some, not a hundred thousand."""
    blind = _Blind(salon.account)
    operation = begin(_queued_cancellation(appointment), calcom).operation
    pass_time(31)

    settle_for_a_month(Operation.objects.get(pk=operation.pk), blind)

    assert 20 < blind.looked < 200


def test_every_outcome_has_words():
    """What the operations can end with is told to callers by a code of the table."""
    for outcome in [*Reason, "foreign_booking", "other_start", "not_in_time", "vanished", "unsettled"]:
        assert refusal(Operation(outcome=outcome)).code in problem_catalog.PROBLEMS


class _Lost(CalcomService):
    """Cal.com, from which no booking is answered."""

    sent = 0

    def create_booking(self, **_asked):
        self.sent += 1
        raise OutcomeUnknown("Cal.com answered 500.")


class _Blind(CalcomService):
    """Cal.com, which answers no look-up."""

    looked = 0

    def get_booking(self, **_asked):
        self.looked += 1
        raise Unavailable("Cal.com answered 500.")


def _queued_cancellation(appointment):
    return Operation.objects.create(
        company=appointment.company, appointment=appointment, kind="cancel", reason="Cancelled by phone."
    )
