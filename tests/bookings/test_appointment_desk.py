"""One appointment at the desk: who and when, rescheduling, cancelling, who came, notes, and what happened."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from bookings.admin import appointment_pages
from bookings.models import Appointment, Claim, Conversation, Operation
from bookings.scheduling import attendance
from cachectl.infra.deadline import Deadline
from tests.bookings.helpers import PATIENCE, AfterWriting, book, claims_of, intent, let_jobs_finish
from tests.factories import ANNA, BERLIN, KARL, TUESDAY, WEDNESDAY, at

CANCEL = "POST /v2/bookings/{uid}/cancel"
MARK = "POST /v2/bookings/{uid}/mark-absent"


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner", first_name="Olga", last_name="Owner"))
    return client


@pytest.fixture
def appointment(salon, calcom):
    """Anna's, on Tuesday at two, booked by the agent."""
    return book(intent(salon.colour, at(14), agent_key=salon.agent_key), calcom).appointment


def page_of(appointment, verb="change"):
    """Return the address of a page of the appointment."""
    return reverse(f"admin:bookings_appointment_{verb}", args=[appointment.pk])


def pretend_begun(appointment):
    """Move the row an hour into the past."""
    start = timezone.now() - timedelta(hours=1)
    Appointment.objects.filter(pk=appointment.pk).update(start=start, end=start + timedelta(hours=1))


def test_page_tells_who_comes_when_and_to_whom(desk, appointment):
    """By the clock of the branch, with a number to dial; nothing that opens the booking at Cal.com."""
    page = desk.get(page_of(appointment)).text

    local = appointment.start.astimezone(BERLIN)
    assert f"{local:%a} {local.day} {local:%b}, 14:00\N{EN DASH}15:00" in page
    assert ANNA.name in page
    assert f'href="tel:{ANNA.phone}"' in page
    assert "Colour" in page
    assert "test agent" in page
    assert appointment.remote_uid not in page


def test_offers_lie_near_the_appointment_and_one_click_moves_it(desk, appointment, simulator):
    """FM-10: the same search and the same service as an agent's."""
    times = desk.get(page_of(appointment, "reschedule")).context["times"]
    chosen = times.offers[0]
    assert len(times.offers) == 3
    assert all(abs(each.start - appointment.start) <= timedelta(days=1) for each in times.offers)

    answer = desk.post(page_of(appointment, "reschedule"), {"start": chosen.value, "reason": "Ill"}, follow=True)

    appointment.refresh_from_db()
    assert appointment.start == chosen.start
    assert f"Rescheduled to {chosen.words}." in answer.text
    assert Operation.objects.get(kind="reschedule").reason == "Ill"
    assert [each["status"] for each in simulator.bookings()].count("accepted") == 1


def test_timeline_names_the_person_who_asked(desk, appointment):
    """The operation and the person are one line; the agent's booking stands above it."""
    chosen = desk.get(page_of(appointment, "reschedule")).context["times"].offers[0]
    desk.post(page_of(appointment, "reschedule"), {"start": chosen.value})

    lines = desk.get(page_of(appointment)).context["lines"]

    assert [(line.who, line.state) for line in lines] == [("test agent", "done"), ("Olga Owner", "done")]
    assert lines[1].what.startswith("Reschedule to ")
    assert LogEntry.objects.get().user.username == "owner"


def test_all_free_times_of_a_day_can_be_chosen(desk, appointment):
    """A person at a desk sees more than three."""
    times = desk.get(page_of(appointment, "reschedule"), {"day": WEDNESDAY.isoformat()}).context["times"]

    clocks = [each.clock for each in times.of_day]
    assert (clocks[0], clocks[-1]) == ("09:00", "17:00")
    assert len(clocks) > 3


def test_taken_time_is_refused_with_others(desk, appointment, salon, calcom):
    """One sentence, and times that are free; the appointment keeps its own."""
    book(intent(salon.colour, at(16), KARL), calcom)

    answer = desk.post(page_of(appointment, "reschedule"), {"day": TUESDAY.isoformat(), "clock": "16:00"})

    appointment.refresh_from_db()
    assert appointment.start == at(14)
    assert "Another appointment has that time." in answer.text
    assert len(answer.context["times"].offers) == 3


@pytest.mark.parametrize("chosen", [{}, {"start": "yesterday"}, {"start": "2026-12-01T10:00:00"}, {"clock": "10:00"}])
def test_what_is_no_time_moves_nothing(desk, appointment, chosen):
    answer = desk.post(page_of(appointment, "reschedule"), chosen)

    assert "Choose a day and a time." in answer.text
    assert Operation.objects.count() == 1


def test_appointment_is_cancelled_with_a_reason(desk, appointment, simulator):
    """Two clicks from its page: the button, and the confirmation."""
    assert "Cancel the appointment" in desk.get(page_of(appointment, "cancel")).text

    answer = desk.post(page_of(appointment, "cancel"), {"reason": "Emma is ill"}, follow=True)

    assert "Cancelled." in answer.text
    assert simulator.bookings()[0]["status"] == "cancelled"
    assert Operation.objects.get(kind="cancel").reason == "Emma is ill"


def test_cancelled_appointment_says_so(desk, appointment):
    """A second one at the same time did nothing."""
    desk.post(page_of(appointment, "cancel"))
    Operation.objects.filter(kind="cancel").delete()

    assert "It was cancelled before." in desk.post(page_of(appointment, "cancel")).text


def test_page_follows_an_outcome_that_is_still_to_come(desk, appointment, simulator, monkeypatch):
    """Cal.com is slow: the person is told so at the deadline, and the page refreshes until it is known."""
    monkeypatch.setattr(appointment_pages, "Deadline", type("Short", (), {"after": lambda _s: AfterWriting(0.3)}))
    with simulator.holding(CANCEL):
        answer = desk.post(page_of(appointment, "cancel"), follow=True)
        assert "It is being cancelled at Cal.com." in answer.text
        assert 'data-refresh="2000"' in answer.text
    let_jobs_finish()

    settled = desk.get(page_of(appointment)).text
    assert "Cancel: done" in settled
    assert "data-refresh" not in settled


# --- who came ----------------------------------------------------------------------------------------------------


def test_no_show_is_marked_here_and_at_calcom(desk, appointment, simulator):
    """And taken back: both know it."""
    pretend_begun(appointment)
    simulator.set_now(at(15))

    answer = desk.post(page_of(appointment, "attendance"), {"came": "0"}, follow=True)

    appointment.refresh_from_db()
    assert appointment.state == "no_show"
    assert claims_of(appointment) == {}
    assert "The caller did not come." in answer.text
    assert "Cal.com was not told" not in answer.text
    assert simulator.count(MARK) == 1

    desk.post(page_of(appointment, "attendance"), {"came": "1"})
    appointment.refresh_from_db()
    assert appointment.state == "completed"


def test_no_show_stands_here_where_calcom_does_not_take_it(desk, appointment, simulator):
    """Its clock says that it has not begun: the person is told that it stands here only."""
    pretend_begun(appointment)

    answer = desk.post(page_of(appointment, "attendance"), {"came": "0"}, follow=True)

    appointment.refresh_from_db()
    assert appointment.state == "no_show"
    assert "Cal.com was not told" in answer.text


def test_attendance_waits_for_the_start(salon, appointment, calcom):
    """Before it no one can know."""
    with pytest.raises(attendance.NotMarkable):
        attendance.mark(
            appointment=appointment,
            came=False,
            calcom=calcom,
            deadline=Deadline.after(PATIENCE),
            now=timezone.now(),
        )

    appointment.refresh_from_db()
    assert appointment.state == "confirmed"
    assert claims_of(appointment) == {"Emma": "confirmed"}


# --- notes and rights --------------------------------------------------------------------------------------------


def test_note_is_kept_for_colleagues(desk, appointment, simulator):
    """Cal.com is sent nothing."""
    before = simulator.count()

    page = desk.post(page_of(appointment, "note"), {"staff_note": " Brings her dog\n"}, follow=True).text

    appointment.refresh_from_db()
    assert appointment.staff_note == "Brings her dog"
    assert ("Brings her dog" in page, "Note changed." in page) == (True, True)
    assert simulator.count() == before


def test_conflict_is_red_on_the_page(desk, appointment):
    Claim.objects.filter(appointment=appointment).update(conflicting=True)

    assert "is-conflict" in desk.get(page_of(appointment)).text


@pytest.mark.parametrize("verb", ["reschedule", "cancel", "attendance", "note"])
def test_viewer_can_do_nothing(client, appointment, verb, staff_admitted):
    """The right to look shows the page, without buttons."""
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_appointment"))
    client.force_login(viewer)

    assert client.post(page_of(appointment, verb), {"came": "0"}).status_code == 403
    assert "/cancel/" not in client.get(page_of(appointment)).text


def test_unknown_appointment_is_not_found(desk, db):
    for verb in ("reschedule", "cancel"):
        assert desk.get(reverse(f"admin:bookings_appointment_{verb}", args=[999])).status_code == 404


@pytest.mark.parametrize("typed", ["0151 123 456 78", "0151/12345678", "+49 (0)151 12345678", "tel: 0151-12345678"])
def test_appointment_call_and_caller_are_found_by_a_number_as_people_write_it(desk, appointment, salon, typed):
    """Digits count, and neither the country code nor what stands between them."""
    Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=ANNA.phone)

    found = {
        "appointment": appointment.reference,
        "conversation": "01511 2345678",
        "customer": ANNA.name,
    }
    for model, shown in found.items():
        assert shown in desk.get(reverse(f"admin:bookings_{model}_changelist"), {"q": typed}).text
