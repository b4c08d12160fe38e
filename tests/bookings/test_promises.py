"""What Cal.com made is compared with what was promised: a difference is undone, or told to caller and staff."""

import pytest

from bookings.api import directory
from bookings.errors import SlotNotOffered, UpstreamUnavailable
from bookings.models import Appointment, CallbackRequest, Claim, Operation, Service, StaffService
from calcom import sync_requests
from calcom.models import EventType
from calcom.tasks import sync_event_type
from tests.bookings.helpers import (
    begin,
    book,
    claims_of,
    intent,
    let_jobs_finish,
    pass_time,
    reschedule,
    settle,
    write_down,
)
from tests.calcom.webhooks import Hooks, handed_out
from tests.factories import ANNA, TUESDAY, at

BOOK = "POST /v2/bookings"
RESCHEDULE = "POST /v2/bookings/{uid}/reschedule"


@pytest.fixture(autouse=True)
def _asked_anew():
    """Let no request for a sync be left out because a test before asked for the same."""
    sync_requests.reset()


@pytest.fixture
def longer(simulator):
    """Beard trims take an hour at Cal.com now, and no sync has seen it."""
    simulator.change_event_type("beard-trim", minutes=60)


def accepted(simulator):
    """Return what stands at Cal.com."""
    return [booking for booking in simulator.bookings() if booking["status"] == "accepted"]


def requested_syncs():
    """Return which event types workers were asked to sync."""
    let_jobs_finish()
    return [message["calcom_id"] for message in handed_out("default") if message["task"] == "calcom.sync_event_type"]


def sync(salon, calcom_id=3):
    """Have the event type synced by a worker; no process goes on with what it knew of the service before."""
    sync_event_type(account_id=salon.account.pk, calcom_id=calcom_id)
    directory.clear()


# --- what was made is not what was promised ----------------------------------------------------------------------


@pytest.mark.usefixtures("longer")
def test_booking_of_another_length_is_undone(salon, calcom, simulator, caplog):
    """A quarter of an hour was read back, an hour was made: nothing stands, staff hear of it, the type is synced."""
    with pytest.raises(SlotNotOffered):
        book(intent(salon.beard, at(10)), calcom)

    operation = Operation.objects.select_related("appointment").get()
    assert (operation.outcome, operation.appointment.state) == ("other_length", "rejected")
    assert accepted(simulator) == []
    assert not Claim.objects.exists()
    assert requested_syncs() == [3]
    assert any(record.levelname == "ERROR" for record in caplog.records)


@pytest.mark.usefixtures("longer")
def test_lost_answer_of_another_length_is_undone_when_it_is_looked_up(salon, calcom, simulator):
    """The caller has gone, so a person calls them."""
    simulator.fail(BOOK, "reset_after")
    operation = book(intent(salon.beard, at(10)), calcom).operation
    Operation.objects.update(client_deadline_at=None)

    assert settle(operation, calcom).outcome == "other_length"
    assert accepted(simulator) == []
    assert CallbackRequest.objects.get().phone == ANNA.phone


def test_lost_answer_at_another_start_is_undone_when_it_is_looked_up(salon, calcom, simulator):
    """It is not looked for at the promised time only."""
    simulator.fail(BOOK, "other_start")
    handler = begin(write_down(intent(salon.beard, at(10))), calcom)
    handler.execute()
    pass_time(31)

    assert settle(handler.operation, calcom).outcome == "other_start"
    assert accepted(simulator) == []


@pytest.mark.usefixtures("longer")
def test_message_of_another_length_undoes_an_open_booking(salon, calcom, simulator):
    handed_out()
    hooks = Hooks(simulator, salon.account)
    simulator.fail(BOOK, "reset_after")
    book(intent(salon.beard, at(10)), calcom)

    hooks.bring(hooks.said("BOOKING_CREATED"))

    assert Operation.objects.get().outcome == "other_length"
    assert accepted(simulator) == []


@pytest.mark.parametrize(("member", "value"), [("eventTypeId", 1), ("end", "2027-01-01T00:00:00Z")])
def test_booking_that_is_answered_otherwise_is_undone(salon, calcom, simulator, member, value):
    """Of another event type, or without end."""
    simulator.fail(BOOK, "altered", members={member: value})

    with pytest.raises(SlotNotOffered):
        book(intent(salon.beard, at(10)), calcom)

    assert accepted(simulator) == []


def test_reschedule_to_another_length_is_told_to_caller_and_staff(agent, salon, calcom, simulator):
    """The old time is gone, so the appointment is what Cal.com made of it, and everybody knows."""
    appointment = book(intent(salon.beard, at(9)), calcom).appointment
    end = at(11).strftime("%Y-%m-%dT%H:%M:%SZ")
    simulator.fail(RESCHEDULE, "altered", members={"end": end})

    answer = agent.post(
        f"bookings/{appointment.public_id}/reschedule", {"start": at(10).isoformat()}, idempotency_key="one"
    )

    assert answer.status_code == 200, answer.content
    assert answer.json()["spoken"] == "Ihr Termin ist verlegt. Er dauert jetzt 60 Minuten."
    mine = Appointment.objects.get()
    assert (mine.start, mine.end) == (at(10), at(11))
    assert "60 minutes" in CallbackRequest.objects.get().topic
    assert claims_of(mine) == {"Ben": "confirmed"}
    assert requested_syncs() == [3]


# --- after the sync ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("longer")
def test_service_follows_its_event_type_to_another_length(agent, salon, calcom, simulator, caplog):
    sync(salon)

    service = Service.objects.get(pk=salon.beard.pk)
    assert (service.duration_minutes, service.event_type.length_minutes) == (60, 60)
    assert at(10) in agent.free_slots(service, TUESDAY)
    booked = agent.book(service, at(10))
    assert booked.status_code == 201, booked.content
    assert Appointment.objects.get().end == at(11)
    assert any("service_length_changed" in record.getMessage() for record in caplog.records)


def test_what_was_held_at_the_old_length_is_not_booked_at_another(agent, salon, calcom, simulator):
    """The caller was promised a quarter of an hour: another time is offered, at the new length."""
    conversation = agent.post("conversations", {"platform": "test", "call_id": "1"}).json()["conversation_id"]
    asked = {
        "conversation_id": conversation,
        "service": f"sv_{salon.beard.pk}",
        "when": {"date": str(TUESDAY), "time": "10:00"},
        "hold": "exact_match",
    }
    found = agent.post("availability/search", asked).json()
    simulator.change_event_type("beard-trim", minutes=60)
    sync(salon)

    answer = agent.post(
        "bookings",
        {
            "conversation_id": conversation,
            "confirm_token": found["hold"]["confirm_token"],
            "caller": {"name": ANNA.name, "phone": ANNA.phone},
        },
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "slot_not_offered")
    assert accepted(simulator) == []


def test_service_with_a_choice_of_lengths_offers_a_call_back(agent, salon, calcom, simulator, caplog):
    simulator.change_event_type("beard-trim", minutes=30, minutes_options=[30, 60])
    sync(salon)

    answer = agent.availability(salon.beard, TUESDAY)
    booked = agent.book(salon.beard, at(10))

    assert (answer.status_code, booked.status_code) == (503, 503)
    assert "zurückrufen" in booked.json()["spoken"]
    assert any("service_not_bookable" in record.getMessage() for record in caplog.records)


def test_service_of_a_deleted_event_type_offers_a_call_back(agent, salon, calcom, simulator):
    """Nothing has replaced it."""
    simulator.delete_event_type("beard-trim")
    sync(salon)

    assert agent.availability(salon.beard, TUESDAY).status_code == 503
    with pytest.raises(UpstreamUnavailable):
        book(intent(salon.beard, at(10)), calcom)


def test_service_with_one_person_follows_too(salon, calcom, simulator):
    """Emma's own haircut."""
    simulator.change_event_type("haircut-emma", minutes=45)
    sync(salon, 4)

    assert StaffService.objects.get().event_type == EventType.objects.get(calcom_id=4, active=True)
    assert Service.objects.get(pk=salon.cut.pk).duration_minutes == 30


def test_appointment_of_the_old_length_can_still_be_rescheduled(salon, calcom, simulator):
    """What Cal.com makes of it is what the row says."""
    appointment = book(intent(salon.beard, at(9)), calcom).appointment
    simulator.change_event_type("beard-trim", minutes=60)
    sync(salon)

    assert reschedule(Appointment.objects.get(pk=appointment.pk), at(14), calcom).is_settled

    (standing,) = accepted(simulator)
    assert f"{Appointment.objects.get().end:%Y-%m-%dT%H:%M:%SZ}" == standing["end"]
