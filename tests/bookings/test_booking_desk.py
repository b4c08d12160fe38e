"""Booking for a caller who phones the desk: free times of a service, and one booking for one form."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from bookings.models import Appointment, CallbackRequest, Operation
from tests.bookings.helpers import book, intent
from tests.factories import ANNA, KARL, TUESDAY

PAGE = reverse("admin:bookings_appointment_book")
CREATE = "POST /v2/bookings"


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def opened(desk, service, **asked):
    """Return what the page shows of a service on Tuesday."""
    return desk.get(PAGE, {"service": service.pk, "day": TUESDAY.isoformat(), **asked}).context


def form_of(context, **typed):
    """Return the form as a person sends it: the first time offered, for Karl."""
    return {
        "key": context["key"],
        "service": context["chosen"].service.pk,
        "person": context["chosen"].person.pk if context["chosen"].person else "",
        "start": context["times"].offers[0].value,
        "name": KARL.name,
        "phone": "0151 87654321",
        **typed,
    }


def test_desk_books_for_a_caller(desk, salon, calcom, simulator):
    """FM-10: the same service as an agent's; it says where it was made and by whom."""
    sent = form_of(opened(desk, salon.colour), notes="Long hair")

    answer = desk.post(PAGE, sent, follow=True)

    appointment = Appointment.objects.get()
    assert (appointment.state, appointment.origin) == ("confirmed", "staff")
    assert (appointment.attendee_name, appointment.attendee_phone) == (KARL.name, KARL.phone)
    assert "Booked for " in answer.text
    assert [(line.who, line.state) for line in answer.context["lines"]] == [("owner", "done")]
    assert simulator.bookings()[0]["status"] == "accepted"
    assert LogEntry.objects.get().user.username == "owner"


def test_form_that_is_sent_twice_books_once(desk, salon, calcom, simulator):
    """FM-07: a double click, or the browser's back button."""
    sent = form_of(opened(desk, salon.colour))

    desk.post(PAGE, sent)
    answer = desk.post(PAGE, sent, follow=True)

    assert "Booked for " in answer.text
    assert Appointment.objects.count() == Operation.objects.count() == 1
    assert simulator.count(CREATE) == 1


def test_same_form_for_another_caller_is_refused(desk, salon, calcom):
    """It was not meant: the person is told to look."""
    context = opened(desk, salon.colour)
    desk.post(PAGE, form_of(context))

    answer = desk.post(PAGE, form_of(context, name=ANNA.name))

    assert "This form was sent before." in answer.text
    assert Appointment.objects.count() == 1


def test_one_person_is_booked_by_their_own_calendar(desk, salon, calcom):
    """Emma's haircut is another event type than anyone's."""
    context = opened(desk, salon.cut, person=salon.emma.pk)
    assert [one.name for one in context["chosen"].people] == ["Emma"]

    desk.post(PAGE, form_of(context))

    appointment = Appointment.objects.get()
    assert (appointment.event_type, appointment.host) == (salon.emmas_cut.event_type, salon.emma.host)


def test_time_that_was_taken_meanwhile_is_refused_with_others(desk, salon, calcom):
    """And what was typed stays."""
    context = opened(desk, salon.colour)
    book(intent(salon.colour, context["times"].offers[0].start, ANNA), calcom)

    answer = desk.post(PAGE, form_of(context))

    assert "Another appointment has that time." in answer.text
    assert answer.context["times"].offers[0].value != context["times"].offers[0].value
    assert KARL.name in answer.text
    assert Appointment.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": " "}, "name is missing"),
        ({"phone": "12"}, "That is no telephone number."),
        ({"start": ""}, "Choose a time."),
        ({"start": "tomorrow"}, "Choose a time."),
    ],
)
def test_what_is_missing_is_said(desk, salon, calcom, typed, said):
    answer = desk.post(PAGE, form_of(opened(desk, salon.colour), **typed))

    assert said in answer.text
    assert not Appointment.objects.exists()


def test_question_of_calcom_is_asked(desk, practice, practice_calcom):
    """The practice wants to know the insurance; without the answer nothing is booked."""
    practice.check_up.field_defaults = {}
    practice.check_up.save()
    context = desk.get(PAGE, {"service": practice.check_up.pk}).context
    (question,) = context["questions"]
    assert question.options == ["Public", "Private", "None"]
    sent = form_of(context, phone="(212) 555-0142")

    assert "Cal.com asks for “insurance”." in desk.post(PAGE, sent).text
    desk.post(PAGE, {**sent, "answer_insurance": "Private"})

    assert Appointment.objects.get().answers == {"insurance": "Private"}


def test_page_knows_who_asked_to_be_called_back(desk, salon):
    """Name and number stand there, and in no address."""
    callback = CallbackRequest.objects.create(company=salon.company, name="Anna Berg", phone="+493090182003")

    page = desk.get(PAGE, {"callback": callback.pk}).context

    assert page["caller"] == {"name": "Anna Berg", "phone": "+493090182003"}
    assert desk.get(PAGE, {"callback": "999"}).context["caller"] == {}


def test_page_opens_without_a_service(desk, salon):
    """The first thing to choose."""
    assert "Choose a service" in desk.get(PAGE).text
    assert desk.get(PAGE, {"service": "nonsense", "day": "nonsense"}).status_code == 200


def test_page_tells_that_calcom_does_not_answer(desk, salon, simulator):
    """It opens all the same."""
    simulator.fail("GET /v2/slots", "refused", status=503, times=None)

    answer = desk.get(PAGE, {"service": salon.colour.pk})

    assert answer.status_code == 200
    assert "no free times are known" in answer.text


def test_who_may_only_look_cannot_book(client, salon, staff_admitted):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_appointment"))
    client.force_login(viewer)

    assert client.get(PAGE).status_code == 403
