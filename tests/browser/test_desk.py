"""What a person at the desk does in a few clicks, in a real browser."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.common.by import By

from bookings.admin import appointment_pages
from bookings.models import Appointment, CallbackRequest, Claim, Conversation
from bookings.scheduling import conversations
from tests.bookings.helpers import AfterWriting, book, intent
from tests.browser.conftest import PICTURES, WIDTHS, Desk
from tests.factories import ANNA, KARL, TUESDAY, at

pytestmark = pytest.mark.browser
INDEX = reverse("admin:index")
ON_TUESDAY = f"{INDEX}?day={TUESDAY.isoformat()}"
CANCEL = "POST /v2/bookings/{uid}/cancel"


@pytest.fixture
def appointment(salon, calcom) -> Appointment:
    """Anna's, on Tuesday at two."""
    return book(intent(salon.colour, at(14), agent_key=salon.agent_key), calcom).appointment


def test_day_of_the_branch_is_one_click_from_anywhere(desk: Desk, appointment):
    """The name of the site leads there, and the arrows to other days."""
    desk.open(reverse("admin:bookings_customer_changelist"))

    desk.click("Slotline")

    assert desk.driver.find_element(By.CLASS_NAME, "desk-board").is_displayed()
    assert desk.clicks == 1
    assert desk.complaints() == []


def test_appointment_is_cancelled_in_three_clicks(desk: Desk, appointment, simulator):
    desk.open(ON_TUESDAY)

    desk.click(ANNA.name)
    desk.click("Cancel")
    desk.type("reason", "Emma is ill")
    desk.click("Cancel the appointment")

    desk.await_words("Cancelled.")
    assert desk.clicks == 3
    assert simulator.bookings()[0]["status"] == "cancelled"
    assert desk.complaints() == []


def test_appointment_is_rescheduled_in_three_clicks(desk: Desk, appointment):
    """One fewer than the goal: the first offer is one click."""
    desk.open(ON_TUESDAY)

    desk.click(ANNA.name)
    desk.click("Reschedule")
    desk.driver.find_element(By.CSS_SELECTOR, ".desk-choices button").click()
    desk.clicks += 1

    desk.await_words("Rescheduled to")
    before = appointment.start
    appointment.refresh_from_db()
    assert appointment.start != before
    assert desk.clicks == 3
    assert desk.complaints() == []


def test_callback_is_done_in_two_clicks(desk: Desk, salon):
    callback = CallbackRequest.objects.create(company=salon.company, branch=salon.branch, phone=KARL.phone)
    desk.open(INDEX)

    desk.click("Callbacks")
    desk.click("Done")

    desk.await_words("Done last")
    callback.refresh_from_db()
    assert (callback.state, desk.clicks) == ("done", 2)
    assert desk.complaints() == []


def test_booking_for_a_caller_takes_a_service_a_time_and_a_name(desk: Desk, salon, calcom):
    """The times come with the choice of the service, without another click."""
    desk.open(f"{reverse('admin:bookings_appointment_book')}?day={TUESDAY.isoformat()}")

    option = desk.driver.find_element(By.XPATH, "//option[contains(., 'Colour')]")
    option.click()
    desk.await_words("All free times of")
    desk.driver.find_element(By.CSS_SELECTOR, ".desk-choice").click()
    desk.type("name", KARL.name)
    desk.type("phone", "0151 87654321")
    desk.click("Book")

    desk.await_words("Booked for")
    assert Appointment.objects.get().attendee_phone == KARL.phone
    assert desk.complaints() == []


def test_page_shows_an_outcome_as_soon_as_it_is_known(desk: Desk, appointment, simulator, monkeypatch):
    """Cal.com is slow: no one has to reload."""
    monkeypatch.setattr(appointment_pages, "Deadline", type("Short", (), {"after": lambda _s: AfterWriting(0.3)}))
    desk.open(reverse("admin:bookings_appointment_cancel", args=[appointment.pk]))
    with simulator.holding(CANCEL):
        desk.click("Cancel the appointment")
        desk.await_words("It is being cancelled at Cal.com.")
        desk.await_words("Cancel: is being entered at Cal.com")

    desk.await_words("Cancel: done")
    assert desk.clicks == 1
    assert desk.complaints() == []


def test_page_of_a_call_shows_what_is_asked_while_it_goes_on(desk: Desk, salon):
    call = Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=ANNA.phone)
    desk.open(reverse("admin:bookings_conversation_change", args=[call.pk]))
    desk.await_words("Nothing was asked yet.")

    conversations.record(
        call,
        endpoint="POST /v1/availability/search",
        request={"service": f"sv_{salon.colour.pk}", "when": {"phrase": "übermorgen"}},
        response={"spoken": "Da hätte ich zehn Uhr.", "offers": [{"start": at(10).isoformat()}]},
        status=200,
        cache_status="",
        duration=timedelta(milliseconds=12),
    )

    desk.await_words("Da hätte ich zehn Uhr.")
    assert desk.complaints() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_the_screen(desk: Desk, salon, appointment, width):
    """A phone scrolls down, not sideways. Pictures of all pages lie in .local/browser."""
    now = timezone.now()
    Claim.objects.filter(appointment=appointment).update(conflicting=True)
    CallbackRequest.objects.create(
        company=salon.company,
        branch=salon.branch,
        name=KARL.name,
        phone=KARL.phone,
        topic="A perm",
        requested_at=now - timedelta(hours=2),
    )
    call = Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=ANNA.phone)
    pages = {
        "today": ON_TUESDAY,
        "week": f"{ON_TUESDAY}&view=week",
        "callbacks": reverse("admin:bookings_callbackrequest_changelist"),
        "appointment": reverse("admin:bookings_appointment_change", args=[appointment.pk]),
        "reschedule": reverse("admin:bookings_appointment_reschedule", args=[appointment.pk]),
        "cancel": reverse("admin:bookings_appointment_cancel", args=[appointment.pk]),
        "book": f"{reverse('admin:bookings_appointment_book')}?service={salon.colour.pk}&day={TUESDAY.isoformat()}",
        "call": reverse("admin:bookings_conversation_change", args=[call.pk]),
    }
    PICTURES.mkdir(parents=True, exist_ok=True)
    desk.resize(width)

    overhang = {}
    for name, address in pages.items():
        desk.open(address)
        desk.driver.save_screenshot(str(PICTURES / f"{name}-{width}.png"))
        overhang[name] = desk.overhang()

    assert {name: pixels for name, pixels in overhang.items() if pixels > 0} == {}
    assert desk.complaints() == []
