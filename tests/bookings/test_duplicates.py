"""One chain of uids, one appointment: what was imported under a later uid is merged into the one that began it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from bookings.models import Appointment, CallbackRequest, Claim, Operation
from bookings.scheduling import duplicates
from calcom.http.parsing import METADATA_KEY
from calcom.models import Cursor
from calcom.webhooks import events
from calcom.webhooks.events import BookingSnapshot, RetryLater
from calcom.webhooks.polling import poll
from tests.bookings.api.helpers import Agent
from tests.bookings.helpers import begin, book, cancel, claims_of, intent, pass_time, reschedule, settle, write_down
from tests.bookings.test_apply import as_here, as_there
from tests.calcom.webhooks import Hooks, handed_out
from tests.factories import ANNA, KARL, at

CANCEL = "POST /v2/bookings/{uid}/cancel"
MOVE = "POST /v2/bookings/{uid}/reschedule"
BOOK = "POST /v2/bookings"


@pytest.fixture
def hooks(calcom, simulator, salon) -> Hooks:
    """The salon's webhooks, in the hands of the test."""
    handed_out()
    return Hooks(simulator, salon.account)


def standing() -> Appointment:
    """Return the only appointment that was merged into no other."""
    return Appointment.objects.get(merged_into=None)


def twice_rescheduled(simulator, uid: str) -> str:
    """Reschedule it twice at Cal.com; return the last uid."""
    second = simulator.reschedule_elsewhere(uid, at(12))
    return str(simulator.reschedule_elsewhere(second["uid"], at(14))["uid"])


def import_last(hooks, calcom, salon, simulator) -> tuple[Appointment, str]:
    """Import a walk-in, then the booking that it became two reschedules later, as if it were another."""
    first = simulator.book_elsewhere(2, at(10), name=KARL.name, phone=KARL.phone)["uid"]
    hooks.bring(hooks.said())
    last = twice_rescheduled(simulator, first)
    hooks.bring(hooks.said()[2:])
    return Appointment.objects.get(remote_uid=first), last


# --- an operation of ours reaches what was imported --------------------------------------------------------------


def test_cancellation_ends_when_its_booking_was_rescheduled_and_cancelled_at_cal_com(salon, hooks, calcom, simulator):
    """It failed before its effect; the last uid was imported from a message that carries no id."""
    mine = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    simulator.fail(CANCEL, "error_before")
    operation = cancel(mine, calcom).operation
    simulator.cancel_elsewhere(twice_rescheduled(simulator, mine.remote_uid))
    hooks.bring(hooks.said("BOOKING_CANCELLED"))
    assert Appointment.objects.count() == 2

    for _ in range(4):
        pass_time(60)
        settle(operation, calcom)

    operation.refresh_from_db()
    assert (operation.state, standing().public_id, standing().state) == ("done", mine.public_id, "cancelled")
    assert as_here() == as_there(simulator) == []
    assert not Claim.objects.exists()


def test_reschedule_goes_on_from_where_the_booking_was_imported(salon, hooks, calcom, simulator):
    """Its answer was lost; meanwhile people moved it on, and the last uid was imported."""
    first = simulator.book_elsewhere(2, at(10), name=KARL.name, phone=KARL.phone)["uid"]
    hooks.bring(hooks.said())
    mine = Appointment.objects.get()
    simulator.fail(MOVE, "error_before")
    operation = reschedule(mine, at(16), calcom).operation
    twice_rescheduled(simulator, first)
    hooks.bring(hooks.said()[2:])
    assert Appointment.objects.count() == 2

    for _ in range(4):
        pass_time(60)
        settle(operation, calcom)

    operation.refresh_from_db()
    assert (operation.state, standing().public_id, standing().start) == ("done", mine.public_id, at(16))
    assert as_here() == as_there(simulator)
    assert claims_of(mine) == {"Emma": "confirmed"}


def test_booking_is_confirmed_when_it_was_imported_without_its_id(salon, hooks, calcom, simulator):
    """The answer names us; the import under the same uid is ours, not another's."""
    handler = begin(write_down(intent(salon.colour, at(10), ANNA)), calcom)
    answer = handler.execute()
    hooks.bring([hooks.said()[0].replace(METADATA_KEY.encode(), b"something_else")])
    assert Appointment.objects.filter(origin="calcom", state="confirmed").exists()

    handler.apply_result(answer)

    mine = standing()
    assert (mine.origin, mine.state, mine.remote_uid, mine.attendee_name) == (
        "agent",
        "confirmed",
        answer.uid,
        ANNA.name,
    )
    assert Operation.objects.get().state == "done"
    assert as_here() == as_there(simulator)


def test_wrong_booking_is_undone_when_it_was_imported_without_its_id(salon, hooks, calcom, simulator):
    """Cal.com booked another time than asked for: the import has the uid, and goes with the booking."""
    simulator.fail(BOOK, "other_start")
    handler = begin(write_down(intent(salon.colour, at(10), ANNA)), calcom)
    answer = handler.execute()
    hooks.bring([hooks.said()[0].replace(METADATA_KEY.encode(), b"something_else")])

    handler.apply_result(answer)
    hooks.bring(hooks.said("BOOKING_CANCELLED"))

    assert Operation.objects.get().state == "refused"
    assert dict(Appointment.objects.values_list("origin", "state")) == {"agent": "rejected", "calcom": "cancelled"}
    assert as_here() == as_there(simulator) == []


# --- messages reach it -------------------------------------------------------------------------------------------


def test_message_that_closes_the_gap_merges_the_import(salon, hooks, calcom, simulator):
    """The second reschedule was told before the first: the row that began has all of it, and its reference stays."""
    mine, last = import_last(hooks, calcom, salon, simulator)
    twin = Appointment.objects.get(remote_uid=last)

    hooks.bring(hooks.said()[1:2])

    twin.refresh_from_db()
    now = standing()
    assert (now.pk, now.reference, now.start, now.remote_uid) == (mine.pk, mine.reference, at(14), last)
    assert (twin.merged_into, twin.state, twin.remote_uid) == (mine, "cancelled", "")
    assert as_here() == as_there(simulator)
    assert claims_of(now) == {"Emma": "confirmed"}


def test_trail_that_a_read_follows_merges_the_import(salon, hooks, calcom, simulator):
    """A list shows the first booking only; what it led to was imported, and the step between was never told."""
    mine, last = import_last(hooks, calcom, salon, simulator)

    events.dispatch(salon.account, BookingSnapshot(calcom.get_booking(uid=mine.remote_uid)))

    assert (standing().pk, standing().remote_uid, standing().start) == (mine.pk, last, at(14))
    assert as_here() == as_there(simulator)


def test_trail_of_a_walk_in_is_followed_when_nothing_was_imported(salon, hooks, calcom, simulator):
    """Such a booking carries no id: the appointment whose trail is followed is the one that moves."""
    first = simulator.book_elsewhere(2, at(10), name=KARL.name)["uid"]
    hooks.bring(hooks.said())
    last = twice_rescheduled(simulator, first)

    events.dispatch(salon.account, BookingSnapshot(calcom.get_booking(uid=first)))

    assert (standing().remote_uid, standing().start) == (last, at(14))
    assert as_here() == as_there(simulator)


def test_poll_merges_what_webhooks_imported(salon, hooks, calcom, simulator):
    """Whatever came first: in the end there is one row for one booking."""
    import_last(hooks, calcom, salon, simulator)
    Cursor.objects.create(account=salon.account, read_until=timezone.now() - timedelta(minutes=10))

    poll(salon.account)

    assert standing().start == at(14)
    assert as_here() == as_there(simulator)


def test_late_message_about_a_cancelled_successor_makes_no_appointment(salon, hooks, calcom, simulator):
    """Its uid belongs to the appointment that was cancelled with it."""
    mine = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    second = simulator.reschedule_elsewhere(mine.remote_uid, at(12))
    simulator.cancel_elsewhere(second["uid"])
    events.dispatch(salon.account, BookingSnapshot(calcom.get_booking(uid=second["uid"])))

    hooks.bring(hooks.said("BOOKING_RESCHEDULED"))

    assert (standing().state, standing().remote_uid) == ("cancelled", second["uid"])
    assert as_here() == as_there(simulator) == []


# --- what hangs on it --------------------------------------------------------------------------------------------


def test_twin_leads_callers_and_agents_to_the_appointment(salon, hooks, calcom, simulator):
    """Its id, its reference, what was asked of it and who is to be called back."""
    mine, last = import_last(hooks, calcom, salon, simulator)
    twin = Appointment.objects.get(remote_uid=last)
    rescheduled = reschedule(twin, at(16), calcom).operation
    CallbackRequest.objects.create(company=salon.company, appointment=twin, phone=KARL.phone)
    twin.refresh_from_db()

    hooks.bring(hooks.said()[1:2])

    agent = Agent(salon.key)
    assert agent.get(f"bookings/{twin.public_id}").json()["booking"]["id"] == mine.public_id
    call = agent.post("conversations", {"platform": "test", "call_id": "1"}).json()["conversation_id"]
    found = agent.post("bookings/find", {"conversation_id": call, "reference": twin.reference}).json()
    assert [each["id"] for each in found["bookings"]] == [mine.public_id]
    rescheduled.refresh_from_db()
    assert rescheduled.appointment == mine
    assert CallbackRequest.objects.get().appointment == mine
    now = standing()
    assert (now.start, now.reschedules, now.customer) == (at(16), 1, twin.customer)
    assert as_here() == as_there(simulator)


def test_merge_waits_for_an_operation_of_the_twin(salon, hooks, calcom, simulator):
    """What was promised for the twin is done under its uid first."""
    mine, last = import_last(hooks, calcom, salon, simulator)
    twin = Appointment.objects.get(remote_uid=last)
    simulator.fail(MOVE, "error_before")
    operation = reschedule(twin, at(16), calcom).operation
    remote = calcom.get_booking(uid=mine.remote_uid)

    with pytest.raises(RetryLater):
        events.dispatch(salon.account, BookingSnapshot(remote))
    pass_time(60)
    assert settle(operation, calcom).state == "done"
    events.dispatch(salon.account, BookingSnapshot(remote))

    assert (standing().pk, standing().start) == (mine.pk, at(16))
    assert as_here() == as_there(simulator)


def test_appointments_of_agents_are_never_merged(salon, hooks, calcom, simulator):
    """Nor are those of other accounts, whatever uid they claim to have."""
    mine = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    other = book(intent(salon.colour, at(14), KARL), calcom).appointment

    assert duplicates.merge(mine, [other.remote_uid], calcom)

    assert {row.state for row in Appointment.objects.all()} == {"confirmed"}
    assert not Appointment.objects.exclude(merged_into=None).exists()


def test_cancelled_duplicate_cancels_no_appointment(salon, hooks, calcom, simulator):
    """It carries our id and is not in the chain: that it was cancelled says nothing about the one that stands."""
    mine = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    duplicate = simulator.book_elsewhere(2, at(16), metadata={METADATA_KEY: mine.public_id})
    simulator.cancel_elsewhere(duplicate["uid"])
    hooks.bring(hooks.said("BOOKING_CANCELLED"))

    events.dispatch(salon.account, BookingSnapshot(calcom.get_booking(uid=duplicate["uid"])))
    hooks.bring(hooks.said())

    mine.refresh_from_db()
    assert (mine.state, claims_of(mine)) == ("confirmed", {"Emma": "confirmed"})
    assert as_here() == as_there(simulator)
