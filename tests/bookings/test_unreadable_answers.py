"""A member of Cal.com's answer that no decision needs may be missing or unreadable: nothing is lost or left open."""

from datetime import timedelta

import pytest

from bookings.models import Appointment, Claim
from bookings.sync.reconcile import reconcile
from calcom.models import Cursor, EventType
from calcom.webhooks import polling
from tests.bookings.helpers import begin, book, cancel, claims_of, intent, pass_time, reschedule, settle, write_down
from tests.calcom.webhooks import Hooks, handed_out
from tests.factories import ANNA, TUESDAY, WEDNESDAY, at

BOOK = "POST /v2/bookings"
RESCHEDULE = "POST /v2/bookings/{uid}/reschedule"
CANCEL = "POST /v2/bookings/{uid}/cancel"
LIST = "GET /v2/bookings"
# Members of the recorded answers that no decision needs, beside those that our parser does not read at all.
OPTIONAL = ["eventTypeId", "hosts", "attendees", "createdAt", "updatedAt", "metadata", "rescheduledFromUid", "end"]
MISSING = [{"without": [name]} for name in OPTIONAL]
ODD = [{"members": {name: value}} for name in OPTIONAL for value in (None, "odd", [None])]
QUARTERS = [at(9) + timedelta(minutes=15 * number) for number in range(36)]


@pytest.fixture
def many(salon, simulator):
    """Allow more requests in a minute than Cal.com does."""
    salon.account.requests_per_minute = 10_000
    salon.account.save()
    simulator.configure(limit=10_000)


@pytest.fixture
def appointment(salon, calcom):
    """Colour at two o'clock, confirmed."""
    return book(intent(salon.colour, at(14)), calcom).appointment


def accepted(simulator):
    """Return what stands at Cal.com."""
    return [booking for booking in simulator.bookings() if booking["status"] == "accepted"]


def told(hooks):
    """Have the newest message heard."""
    hooks.bring(hooks.said()[-1:])


# --- an event type that was deleted ------------------------------------------------------------------------------


def test_booking_of_a_deleted_event_type_is_cancelled_by_phone(calcom, simulator, appointment):
    """Its answers name no event type any more."""
    simulator.delete_event_type("colour")

    assert cancel(appointment, calcom).is_settled

    assert Appointment.objects.get().state == "cancelled"
    assert not Claim.objects.exists()
    assert accepted(simulator) == []


def test_booking_of_a_deleted_event_type_cancelled_there_is_cancelled_here(salon, calcom, simulator, appointment):
    """By its message."""
    handed_out()
    hooks = Hooks(simulator, salon.account)
    simulator.delete_event_type("colour")
    simulator.cancel_elsewhere(appointment.remote_uid)

    told(hooks)

    assert Appointment.objects.get().state == "cancelled"
    assert hooks.notes() == ["cancelled there"]


def test_booking_of_a_deleted_event_type_cancelled_there_is_found_by_polling(salon, calcom, simulator, appointment):
    """No message came."""
    Cursor.objects.create(account=salon.account, read_until=appointment.created_at - timedelta(minutes=10))
    simulator.delete_event_type("colour")
    simulator.cancel_elsewhere(appointment.remote_uid, webhook=False)

    polling.poll(salon.account)

    assert Appointment.objects.get().state == "cancelled"


def test_booking_of_a_deleted_event_type_is_reconciled(salon, calcom, simulator, appointment):
    """Whichever way it differs."""
    simulator.delete_event_type("colour")
    simulator.cancel_elsewhere(appointment.remote_uid, webhook=False)

    found = list(reconcile(account=salon.account, first=at(0), last=at(23), repair=True, progress=lambda _number: None))

    assert [difference.outcome for difference in found] == ["put right"]
    assert Appointment.objects.get().state == "cancelled"


def test_booking_made_there_of_a_deleted_event_type_takes_its_hosts_time(salon, calcom, simulator):
    handed_out()
    hooks = Hooks(simulator, salon.account)
    booked = simulator.book_elsewhere("colour", at(14), webhook=False)
    simulator.delete_event_type("colour")
    moved = simulator.reschedule_elsewhere(booked["uid"], at(10))

    told(hooks)

    mine = Appointment.objects.get()
    assert (mine.remote_uid, mine.start, mine.event_type.active) == (moved["uid"], at(10), False)
    assert claims_of(mine) == {"Emma": "confirmed"}
    assert not EventType.objects.filter(calcom_id=0, active=True).exists()


def test_lost_answer_is_found_though_the_event_type_was_deleted(salon, calcom, simulator):
    """A list by event type would not have it."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.colour, at(14)), calcom).operation
    simulator.delete_event_type("colour")

    assert settle(operation, calcom).state == "done"
    assert simulator.count(BOOK) == 1


# --- any member --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("kind", [MISSING, ODD], ids=["missing", "odd"])
def test_booking_is_confirmed_whatever_its_answer_lacks(salon, calcom, simulator, kind):
    """At once, or by the next look-up; and once."""
    for start, fault in zip(QUARTERS + [each + timedelta(days=1) for each in QUARTERS], kind, strict=False):
        simulator.fail(BOOK, "altered", **fault)
        booked = book(intent(salon.beard, start), calcom)
        operation = booked.operation if booked.is_settled else settle(booked.operation, calcom)
        assert (operation.state, operation.appointment.state) == ("done", "confirmed"), fault
    assert len(accepted(simulator)) == Appointment.objects.count() == len(kind)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("kind", [MISSING, ODD], ids=["missing", "odd"])
def test_reschedule_is_done_whatever_its_answer_lacks(salon, calcom, simulator, kind):
    """There and back again."""
    appointment = book(intent(salon.beard, at(9)), calcom).appointment
    for number, fault in enumerate(kind):
        start = at(9, on=TUESDAY if number % 2 else WEDNESDAY)
        simulator.fail(RESCHEDULE, "altered", **fault)
        moved = reschedule(appointment, start, calcom)
        operation = moved.operation if moved.is_settled else settle(moved.operation, calcom)
        appointment = Appointment.objects.get()
        assert (operation.state, appointment.start) == ("done", start), fault
    (standing,) = accepted(simulator)
    assert standing["uid"] == appointment.remote_uid


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("kind", [MISSING, ODD], ids=["missing", "odd"])
def test_cancellation_is_done_whatever_its_answer_lacks(salon, calcom, simulator, kind):
    """Cancelled there is cancelled here."""
    for fault in [*kind, {"without": ["start"]}, {"members": {"start": None, "end": None}}]:
        appointment = book(intent(salon.beard, at(9)), calcom).appointment
        simulator.fail(CANCEL, "altered", **fault)
        assert cancel(appointment, calcom).is_settled, fault
    assert accepted(simulator) == []
    assert not Claim.objects.exists()


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("kind", [MISSING, ODD], ids=["missing", "odd"])
def test_lost_answer_is_found_whatever_the_list_lacks(salon, calcom, simulator, kind):
    """Without our id in it, it is refused when it is sent again, and found by the look-up after that."""
    for start, fault in zip(QUARTERS + [each + timedelta(days=1) for each in QUARTERS], kind, strict=False):
        operation = write_down(intent(salon.beard, start))
        begin(operation, calcom).execute()
        pass_time(31)
        simulator.fail(LIST, "altered", **fault)
        assert settle(operation, calcom).state == "done", fault
    assert len(accepted(simulator)) == Appointment.objects.filter(state="confirmed").count() == len(kind)


@pytest.mark.usefixtures("many")
def test_cancellation_there_is_polled_whatever_the_list_lacks(salon, calcom, simulator):
    """One unreadable member hides neither that booking's end nor the others."""
    Cursor.objects.create(account=salon.account, read_until=at(9) - timedelta(days=30))
    for fault in [*MISSING, *ODD, {"without": ["start"]}]:
        appointment = book(intent(salon.beard, at(9), ANNA), calcom).appointment
        simulator.cancel_elsewhere(appointment.remote_uid, webhook=False)
        simulator.fail(LIST, "altered", **fault)
        polling.poll(salon.account)
        appointment.refresh_from_db()
        assert appointment.state == "cancelled", fault
