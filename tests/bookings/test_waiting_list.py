"""Callers who keep their appointment and would come earlier: when a time opens it is held, and staff call them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from bookings import collectors
from bookings.models import Appointment, CallbackRequest
from bookings.scheduling import callbacks, waiting_list
from tests.agent import Agent
from tests.bookings.helpers import book, cancel, intent, let_lists_know, reschedule, starts_of
from tests.factories import ANNA, KARL, TUESDAY, WEDNESDAY, at


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


@pytest.fixture
def appointment(salon, calcom, simulator) -> Appointment:
    """Karl's, on Wednesday at two: until then Emma has no time."""
    simulator.busy("emma", timezone.now() - timedelta(hours=1), at(14, on=WEDNESDAY))
    booked = book(intent(salon.colour, at(14, on=WEDNESDAY), KARL), calcom).appointment
    let_lists_know()
    return booked


def waits(appointment, **fields) -> CallbackRequest:
    """Put Karl on the waiting list."""
    request, _ = callbacks.request_callback(
        callbacks.CallbackIntent(
            company=appointment.company,
            branch=appointment.branch,
            appointment=appointment,
            phone=str(KARL.phone),
            name=KARL.name,
            topic="Would come earlier",
            wants_earlier=True,
            **fields,
        )
    )
    return request


def serve(salon, calcom) -> int:
    """Serve the list after the lists of Cal.com were loaded, as callers have them loaded."""
    let_lists_know()
    starts_of(salon.colour, calcom, timezone.now(), at(18, on=WEDNESDAY))
    return waiting_list.serve(now=timezone.now())


def test_waiting_caller_is_no_callback_until_a_time_opens(salon, appointment, calcom):
    """Neither staff nor the alert are bothered."""
    request = waits(appointment)

    assert serve(salon, calcom) == 0

    request.refresh_from_db()
    assert request.state == "waiting"
    assert not CallbackRequest.objects.due(timezone.now()).exists()
    assert list(collectors.callbacks()) == []


def test_time_that_opens_is_held_and_staff_call(salon, calcom, simulator):
    """FM-10: Anna cancels; her time is kept for Karl for an hour, and no other caller gets it."""
    simulator.busy("emma", timezone.now() - timedelta(hours=1), at(10, on=TUESDAY))
    simulator.busy("emma", at(11, 15, on=TUESDAY), at(14, on=WEDNESDAY))
    annas = book(intent(salon.colour, at(10), ANNA), calcom).appointment
    karls = book(intent(salon.colour, at(14, on=WEDNESDAY), KARL), calcom).appointment
    request = waits(karls)
    assert serve(salon, calcom) == 0

    cancel(annas, calcom)
    assert serve(salon, calcom) == 1

    request.refresh_from_db()
    assert (request.state, request.held.start, request.held.state) == ("open", at(10), "held")
    assert request.held.expires_at > timezone.now() + timedelta(minutes=55)
    assert request.waits_since > timezone.now() - timedelta(minutes=1)
    assert at(10) not in starts_of(salon.colour, calcom)
    karls.refresh_from_db()
    assert karls.start == at(14, on=WEDNESDAY)


def test_staff_move_the_appointment_to_the_held_time(desk, salon, calcom, simulator):
    """One click, once the caller has agreed; the hold is used up and the request is done."""
    simulator.busy("emma", timezone.now() - timedelta(hours=1), at(10, on=TUESDAY))
    simulator.busy("emma", at(11, 15, on=TUESDAY), at(14, on=WEDNESDAY))
    karls = book(intent(salon.colour, at(14, on=WEDNESDAY), KARL), calcom).appointment
    request = waits(karls)
    assert serve(salon, calcom) == 1
    page = desk.get(reverse("admin:bookings_callbackrequest_changelist")).text
    assert "An earlier time has opened" in page

    desk.post(reverse("admin:bookings_callbackrequest_act", args=[request.pk]), {"verb": "move"})

    karls.refresh_from_db()
    request.refresh_from_db()
    assert (karls.start, request.state, request.done_by) == (at(10), "done", "owner")
    assert not Appointment.objects.held().exists()


def test_done_without_a_move_gives_the_held_time_back(desk, salon, calcom, simulator):
    """The caller stays with what they have."""
    simulator.busy("emma", timezone.now() - timedelta(hours=1), at(10, on=TUESDAY))
    karls = book(intent(salon.colour, at(14, on=WEDNESDAY), KARL), calcom).appointment
    request = waits(karls)
    assert serve(salon, calcom) == 1

    desk.post(reverse("admin:bookings_callbackrequest_act", args=[request.pk]), {"verb": "done"})

    assert not Appointment.objects.held().exists()
    assert "not held any more" not in desk.get(reverse("admin:bookings_callbackrequest_changelist")).text


def test_move_is_refused_where_the_hold_has_run_out(desk, appointment):
    request = waits(appointment)
    CallbackRequest.objects.update(state="open")

    address = reverse("admin:bookings_callbackrequest_act", args=[request.pk])
    answer = desk.post(address, {"verb": "move"}, follow=True)

    assert "The time is not held any more." in answer.text


@pytest.mark.parametrize("change", ["cancelled", "begun"])
def test_request_leaves_the_list_with_its_appointment(salon, appointment, calcom, change):
    request = waits(appointment)
    if change == "cancelled":
        cancel(appointment, calcom)
    else:
        Appointment.objects.update(start=timezone.now(), end=timezone.now() + timedelta(hours=1))

    assert waiting_list.serve(now=timezone.now()) == 0

    request.refresh_from_db()
    assert request.state == "done"


def test_caller_waits_once_for_each_appointment(appointment):
    """Asked twice, in other words."""
    assert waits(appointment) == waits(appointment)


def test_agent_puts_a_caller_on_the_waiting_list(agent: Agent, appointment):
    """Said with a sentence that promises no more than it keeps."""
    body = {"topic": "Would come earlier", "phone": KARL.phone, "wants_earlier": True}

    answer = agent.post("callbacks", {**body, "booking_id": appointment.public_id})
    without = agent.post("callbacks", body)

    assert (answer.status_code, answer.json()["status"]) == (201, "waiting")
    assert "Ihr Termin bleibt bestehen" in answer.json()["spoken"]
    assert without.json()["status"] == "open"


def test_desk_puts_a_caller_on_the_waiting_list(desk, appointment, calcom):
    address = reverse("admin:bookings_appointment_earlier", args=[appointment.pk])

    answer = desk.post(address, follow=True)

    assert CallbackRequest.objects.get().state == "waiting"
    assert "Put on the waiting list." in answer.text
    assert reschedule(appointment, at(16, on=WEDNESDAY), calcom).is_settled
    assert CallbackRequest.objects.get().state == "waiting"
