"""A caller whose pending request failed is called back, once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connections

from bookings.errors import SlotTaken
from bookings.models import Appointment, CallbackRequest, Conversation, Operation
from bookings.scheduling import callbacks
from tests.bookings.helpers import book, cancel, intent, let_jobs_finish, pass_time, reschedule
from tests.factories import ANNA, KARL, MARIA, at
from tests.monitoring import samples

BOOK = "POST /v2/bookings"
MOVE = "POST /v2/bookings/{uid}/reschedule"
CANCEL = "POST /v2/bookings/{uid}/cancel"


def test_who_has_gone_is_called_when_calcom_refuses(salon, calcom, simulator):
    call = Conversation.objects.create(company=salon.company)
    with simulator.holding(BOOK):
        book(intent(salon.colour, at(14), conversation=call), calcom, wait=0.3)
        simulator.book_elsewhere("colour", at(14), host="emma", webhook=False)
        pass_time(10)
    let_jobs_finish()

    appointment, request = Appointment.objects.get(), CallbackRequest.objects.get()
    assert appointment.state == "rejected"
    assert (request.appointment, request.conversation, request.branch) == (appointment, call, salon.branch)
    assert (request.name, request.phone) == (ANNA.name, ANNA.phone)
    assert request.topic == "The appointment could not be entered at Cal.com. (not_available)"


def test_who_is_still_on_the_line_is_told_and_not_called(salon, calcom, simulator):
    """The answer says it, with other times."""
    book(intent(salon.colour, at(9)), calcom)
    simulator.book_elsewhere("colour", at(14), host="emma", webhook=False)

    with pytest.raises(SlotTaken):
        book(intent(salon.colour, at(14), KARL), calcom)

    assert not CallbackRequest.objects.exists()


def test_who_cannot_be_called_is_reported(salon, calcom, simulator, caplog):
    with samples.growth() as grown:
        with simulator.holding(BOOK):
            book(intent(salon.colour, at(14), MARIA), calcom, wait=0.3)
            simulator.book_elsewhere("colour", at(14), host="emma", webhook=False)
            pass_time(10)
        let_jobs_finish()

    assert not CallbackRequest.objects.exists()
    assert grown["slotline_unreachable_callers_total"] == 1
    errors = [str(record.msg) for record in caplog.records if record.levelname == "ERROR"]
    assert any("booking.caller_unreachable" in error for error in errors)


def test_a_move_that_came_to_nothing_is_told_by_a_person(salon, calcom, simulator):
    """The appointment stands where it was, which the caller must hear."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    with simulator.holding(MOVE):
        reschedule(appointment, at(16), calcom, wait=0.3)
        simulator.book_elsewhere("colour", at(16), host="emma", webhook=False)
        pass_time(10)
    let_jobs_finish()

    assert Operation.objects.get(kind="reschedule").state == "refused"
    assert CallbackRequest.objects.get().topic.startswith("The appointment could not be rescheduled at Cal.com.")


def test_a_cancellation_that_came_to_nothing_is_told_by_a_person(salon, calcom, simulator):
    """Else the caller would not come, and be waited for."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    simulator.fail(CANCEL, "error_before", status=403)
    cancel(appointment, calcom, wait=0)
    let_jobs_finish()

    assert Operation.objects.get(kind="cancel").state == "refused"
    assert CallbackRequest.objects.get().topic.startswith("The appointment could not be cancelled at Cal.com.")


def test_a_concern_is_on_the_list_once(salon, calcom):
    """However often it comes to nothing."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment

    assert all(callbacks.request_for(appointment, "It failed.") for _ in range(3))

    assert CallbackRequest.objects.count() == 1


def test_twins_at_the_same_moment_are_one_callback(salon, calcom):
    """FM-12: ten at once get the same row, and one of them made it."""
    ready = threading.Barrier(10)
    call = Conversation.objects.create(company=salon.company)

    def ask(number):
        ready.wait(5)
        try:
            return callbacks.request_callback(
                callbacks.CallbackIntent(salon.company, f"+4915112345{number:03}", "A perm", conversation=call)
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as callers:
        asked = list(callers.map(ask, range(10)))

    assert len({row.public_id for row, _ in asked}) == CallbackRequest.objects.count() == 1
    assert sum(not replayed for _, replayed in asked) == 1


def test_staff_finishes_what_is_open(salon, db):
    """Who called, and when; what was done before stays as it was."""
    for number, state in enumerate(("open", "done")):
        CallbackRequest.objects.create(
            company=salon.company, phone=f"+493012345{number}", state=state, done_by="before"
        )

    assert callbacks.finish(CallbackRequest.objects.all(), by="owner") == 1

    assert list(CallbackRequest.objects.order_by("phone").values_list("state", "done_by")) == [
        ("done", "owner"),
        ("done", "before"),
    ]


def test_keys_that_may_book_may_ask_for_callbacks_after_the_upgrade(salon, db):
    """The way out must be open on the day it comes."""
    salon.agent_key.scopes = ["availability:read", "bookings:write"]
    salon.agent_key.save()

    for _ in range(2):
        import_module("bookings.migrations.0003_callbacks").let_keys_ask_for_callbacks(apps, None)

    salon.agent_key.refresh_from_db()
    assert salon.agent_key.scopes == ["availability:read", "bookings:write", "callbacks:write"]
