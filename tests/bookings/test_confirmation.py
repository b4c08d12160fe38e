"""Event types whose bookings their host has to confirm: promised only when confirmed, and told either way."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from bookings import tasks
from bookings.errors import AlreadyCancelled, SlotNotOffered, SlotTaken
from bookings.models import Appointment, CallbackRequest, Claim, Operation
from bookings.scheduling import execution
from bookings.sync import apply
from calcom.http.client import Client
from calcom.service import CalcomService
from calcom.webhooks.events import BookingSnapshot
from tests.bookings.helpers import (
    begin,
    book,
    cancel,
    claims_of,
    intent,
    let_lists_know,
    pass_time,
    reschedule,
    settle,
    write_down,
)
from tests.calcom.webhooks import Hooks
from tests.contract.api_user import ApiUser
from tests.factories import ANNA, JANE, KARL, MARIA, at

BOOK = "POST /v2/bookings"
READ = "GET /v2/bookings/{uid}"
LIST = "GET /v2/bookings"
WAITS = {"Dr. Chen": "awaiting"}
CONFIRMED = {"Dr. Chen": "confirmed"}


@pytest.fixture
def hooks(practice_calcom, simulator, practice) -> Hooks:
    """The practice's webhooks, in the hands of the test."""
    return Hooks(simulator, practice.account)


@pytest.fixture
def waiting(practice, practice_calcom, simulator) -> Appointment:
    """A vaccination that was asked for."""
    return book(intent(practice.vaccination, at(20), JANE), practice_calcom).appointment


def poll(practice, appointment) -> str:
    """Read the booking as a poll does."""
    appointment.refresh_from_db()
    read = Client(practice.account).get_booking(uid=appointment.remote_uid)
    said = apply.handle(practice.account, BookingSnapshot(read))
    appointment.refresh_from_db()
    return said


# --- asked for ---------------------------------------------------------------------------------------------------


def test_booking_to_be_confirmed_waits_without_being_looked_up(practice, practice_calcom, simulator):
    """It is not confirmed, keeps its time, raises no alert, and no sweep asks Cal.com about it."""
    booked = book(intent(practice.vaccination, at(20), JANE), practice_calcom)
    pass_time(3600)
    tasks.settle()

    assert (booked.is_settled, booked.appointment.state) == (False, "awaiting_confirmation")
    assert Operation.objects.get().state == "awaiting"
    assert claims_of(booked.appointment) == WAITS
    assert simulator.count(READ) == simulator.count(LIST) == 0
    assert Operation.objects.open().count() == 0


def test_time_that_waits_is_not_offered_although_calcom_lists_it(practice, practice_calcom, waiting):
    """A booking that waits takes no time at Cal.com."""
    let_lists_know()

    with pytest.raises(SlotTaken):
        book(intent(practice.vaccination, at(20), ANNA), practice_calcom)


def test_repeat_of_a_request_that_waits_is_the_same_request(practice, practice_calcom, simulator):
    """It waits once."""
    asked = intent(practice.vaccination, at(20), JANE, key="one")
    first = book(asked, practice_calcom)
    again = book(asked, practice_calcom)

    assert (again.appointment, again.replayed, again.is_settled) == (first.appointment, True, False)
    assert simulator.count(BOOK) == 1


def test_lost_answer_of_a_booking_to_be_confirmed_is_found(practice, practice_calcom, simulator):
    """The look-up that every send without an answer gets finds it waiting."""
    operation = write_down(intent(practice.vaccination, at(20), JANE))
    handler = begin(operation, practice_calcom)
    handler.execute()
    pass_time(40)

    operation = settle(operation, practice_calcom)

    assert (operation.state, operation.appointment.state) == ("awaiting", "awaiting_confirmation")
    assert operation.appointment.remote_uid


def test_webhook_before_the_answer_makes_it_wait(practice, practice_calcom, simulator, hooks):
    """It comes 20 ms earlier (recorded)."""
    handler = begin(write_down(intent(practice.vaccination, at(20), JANE)), practice_calcom)
    remote = handler.execute()
    hooks.bring(hooks.said("BOOKING_REQUESTED"))
    handler.apply_result(remote)

    assert (Operation.objects.get().state, Appointment.objects.get().state) == ("awaiting", "awaiting_confirmation")
    assert len(simulator.bookings()) == 1


# --- decided -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["webhook", "poll"])
def test_confirmed_by_the_host_is_confirmed(practice, simulator, hooks, waiting, way):
    """The caller finds it so, and no callback is requested."""
    simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
    hooks.bring(hooks.said("BOOKING_CREATED")) if way == "webhook" else poll(practice, waiting)
    waiting.refresh_from_db()

    assert (waiting.state, claims_of(waiting)) == ("confirmed", CONFIRMED)
    assert Operation.objects.get().state == "done"
    assert CallbackRequest.objects.count() == 0


@pytest.mark.parametrize("way", ["webhook", "poll"])
def test_declined_by_the_host_is_rejected_and_called_about(practice, simulator, hooks, waiting, way):
    """Its time is free again; who asks for the outcome hears of no appointment."""
    simulator.decide_elsewhere(waiting.remote_uid, confirm=False)
    hooks.bring(hooks.said("BOOKING_REJECTED")) if way == "webhook" else poll(practice, waiting)
    waiting.refresh_from_db()

    assert (waiting.state, claims_of(waiting)) == ("rejected", {})
    operation = Operation.objects.get()
    assert (operation.state, operation.outcome) == ("refused", "declined")
    assert isinstance(execution.refusal(operation), SlotNotOffered)
    callback = CallbackRequest.objects.get()
    assert (callback.phone, callback.appointment) == (JANE.phone, waiting)


def test_message_of_a_decision_is_heard_once(practice, simulator, hooks, waiting):
    """Later polls say nothing new."""
    simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
    hooks.bring(hooks.said("BOOKING_CREATED"))
    finished_at = Operation.objects.get().finished_at

    assert poll(practice, waiting) == "known already"
    assert Operation.objects.get().finished_at == finished_at


def test_poll_of_a_booking_that_still_waits_changes_nothing(practice, simulator, waiting):
    """It waits on."""
    assert poll(practice, waiting) == "known already"
    assert (waiting.state, claims_of(waiting)) == ("awaiting_confirmation", WAITS)


def test_request_that_was_cancelled_by_the_host_is_called_about(practice, simulator, hooks, waiting):
    """As one that was declined."""
    simulator.cancel_elsewhere(waiting.remote_uid, reason="ill")
    hooks.bring(hooks.said("BOOKING_CANCELLED"))
    waiting.refresh_from_db()

    assert (waiting.state, CallbackRequest.objects.count()) == ("rejected", 1)


# --- not decided -------------------------------------------------------------------------------------------------


def test_request_without_a_decision_expires_at_its_start(practice_calcom, simulator, waiting, caplog):
    """Nothing is asked of Cal.com; the caller is called, and staff alerted."""
    ago = timezone.now() - waiting.start - timedelta(minutes=1)
    Appointment.objects.update(start=F("start") + ago, end=F("end") + ago)
    Operation.objects.update(next_attempt_at=timezone.now() - timedelta(minutes=1))
    sent = simulator.count()

    operation = settle(Operation.objects.get(), practice_calcom)

    assert (operation.state, operation.outcome, operation.appointment.state) == ("refused", "not_in_time", "expired")
    assert (claims_of(waiting), CallbackRequest.objects.count(), simulator.count()) == ({}, 1, sent)
    assert [each for each in caplog.records if each.levelname == "ERROR"]


def test_sweep_takes_up_a_request_at_its_start_only(practice, practice_calcom, waiting):
    """Until then the row is not due; one that was taken up too early waits on."""
    assert not Operation.objects.due().exists()
    assert Operation.objects.pending().get().next_attempt_at == waiting.start

    operation = settle(Operation.objects.get(), practice_calcom)

    assert (operation.state, operation.next_attempt_at) == ("awaiting", waiting.start)


def test_declined_request_without_a_number_alerts_staff(practice, practice_calcom, simulator, hooks, caplog):
    """There is no number to call."""
    appointment = book(intent(practice.vaccination, at(20), MARIA), practice_calcom).appointment
    simulator.decide_elsewhere(appointment.remote_uid, confirm=False)
    hooks.bring(hooks.said("BOOKING_REJECTED"))

    assert CallbackRequest.objects.count() == 0
    assert "booking.caller_unreachable" in caplog.text


# --- cancelled and rescheduled -----------------------------------------------------------------------------------


def test_request_that_waits_is_cancelled(practice_calcom, simulator, hooks, waiting):
    """By the caller: no callback is requested, and its own message says nothing new."""
    cancelled = cancel(waiting, practice_calcom)
    hooks.bring(hooks.said("BOOKING_CANCELLED"))
    waiting.refresh_from_db()

    assert (cancelled.is_settled, waiting.state, claims_of(waiting)) == (True, "cancelled", {})
    assert simulator.bookings()[0]["status"] == "cancelled"
    asked = Operation.objects.get(kind="create")
    assert isinstance(execution.refusal(asked), AlreadyCancelled)
    assert CallbackRequest.objects.count() == 0


def test_reschedule_of_a_confirmed_booking_waits_for_the_host(practice_calcom, simulator, practice, hooks, waiting):
    """Cal.com gives the old time back at once; confirmed there, it is so here."""
    simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
    poll(practice, waiting)

    moved = reschedule(waiting, at(21), practice_calcom)
    hooks.bring(hooks.said("BOOKING_REQUESTED"))
    waiting.refresh_from_db()
    assert (moved.is_settled, waiting.state, waiting.start) == (False, "awaiting_confirmation", at(21))
    assert claims_of(waiting) == WAITS
    assert Claim.objects.get().start == at(21)

    simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
    poll(practice, waiting)

    assert (waiting.state, claims_of(waiting)) == ("confirmed", CONFIRMED)
    assert {each.state for each in Operation.objects.all()} == {"done"}


def test_request_that_waits_is_rescheduled(practice_calcom, simulator, waiting):
    """One request waits then, at the new time; the repeat is the same."""
    reschedule(waiting, at(21), practice_calcom)
    waiting.refresh_from_db()
    again = reschedule(waiting, at(21), practice_calcom)

    assert (waiting.state, waiting.start, again.replayed) == ("awaiting_confirmation", at(21), True)
    states = {operation.kind: operation.state for operation in Operation.objects.all()}
    assert states == {"create": "done", "reschedule": "awaiting"}


@pytest.mark.parametrize("is_confirmed_before", [True, False])
def test_booking_moved_at_calcom_waits_for_its_host(practice, simulator, hooks, waiting, is_confirmed_before):
    """By the attendee's own link: it is followed, waits, and is confirmed in the end."""
    if is_confirmed_before:
        simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
        poll(practice, waiting)
    path = f"/v2/bookings/{waiting.remote_uid}/reschedule"
    there = ApiUser(simulator, key=None).post(path, {"start": at(21).isoformat()}).body["data"]
    hooks.bring(hooks.said("BOOKING_REQUESTED")[-1:])
    waiting.refresh_from_db()
    assert (waiting.state, waiting.start, waiting.remote_uid) == ("awaiting_confirmation", at(21), there["uid"])
    assert Operation.objects.filter(state="awaiting").count() == 1

    simulator.decide_elsewhere(waiting.remote_uid, confirm=True)
    assert poll(practice, waiting) == "its host has decided there"

    assert (waiting.state, claims_of(waiting)) == ("confirmed", CONFIRMED)
    assert not Operation.objects.filter(state="awaiting").exists()


def test_request_that_its_host_moves_is_confirmed(practice, simulator, hooks, waiting):
    """Who moves it wants it: at Cal.com it stays accepted."""
    simulator.reschedule_elsewhere(waiting.remote_uid, at(21))
    hooks.bring(hooks.said("BOOKING_RESCHEDULED"))
    waiting.refresh_from_db()

    assert (waiting.state, waiting.start, claims_of(waiting)) == ("confirmed", at(21), CONFIRMED)
    assert Operation.objects.get().state == "done"


# --- as agents see it --------------------------------------------------------------------------------------------


def test_agent_hears_what_waits_and_what_came_of_it(practice, practice_agent, simulator, hooks):
    """202 with a sentence that promises nothing; then what was decided."""
    answer = practice_agent.book(practice.vaccination, at(20), JANE)
    body = answer.json()
    operation = practice_agent.operation(answer["Location"]).json()

    assert (answer.status_code, body["status"]) == (202, "awaiting_confirmation")
    assert body["booking"]["state"] == "awaiting_confirmation"
    assert "only certain once" in body["spoken"]
    assert int(answer["Retry-After"]) >= 60
    assert (operation["status"], operation["spoken"]) == ("awaiting_confirmation", body["spoken"])

    simulator.decide_elsewhere(Appointment.objects.get().remote_uid, confirm=False)
    hooks.bring(hooks.said("BOOKING_REJECTED"))

    assert practice_agent.operation(answer["Location"]).json()["status"] == "refused"
    assert practice_agent.booking(body["booking"]["id"]).json()["status"] == "rejected"


def test_repeat_of_a_booking_that_was_declined_after_a_reschedule_promises_nothing(
    practice, practice_agent, practice_calcom, simulator, hooks
):
    """It was confirmed once, then asked for at another time, and declined there."""
    practice_agent.book(practice.vaccination, at(20), JANE, key="one")
    appointment = Appointment.objects.select_related("event_type", "company", "service", "branch").get()
    simulator.decide_elsewhere(appointment.remote_uid, confirm=True)
    poll(practice, appointment)
    reschedule(appointment, at(21), practice_calcom)
    appointment.refresh_from_db()
    simulator.decide_elsewhere(appointment.remote_uid, confirm=False)
    poll(practice, appointment)

    again = practice_agent.book(practice.vaccination, at(20), JANE, key="one").json()

    assert (again["status"], again["spoken"]) == ("rejected", "I'm sorry, that appointment was not confirmed.")


def test_service_that_must_be_confirmed_is_offered(practice, practice_agent):
    """It can be booked by phone."""
    assert practice_agent.free_slots(practice.vaccination, at(20).date())


def test_hosts_of_several_keep_the_time_that_waits(salon, calcom, simulator):
    """Of two hosts Cal.com may choose the one who waits again: the time is not promised a second time."""
    simulator.change_event_type("haircut", confirmation={"type": "always"})
    first = book(intent(salon.cut, at(14), KARL), calcom).appointment
    let_lists_know()

    assert first.state == "awaiting_confirmation"
    with pytest.raises(SlotTaken):
        book(intent(salon.cut, at(14), ANNA), CalcomService(salon.account))
