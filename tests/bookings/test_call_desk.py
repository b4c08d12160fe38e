"""A phone call at the desk: what was asked and said, when, and how it ended later."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bookings.admin.call_timeline import clock, turns_of
from bookings.models import Appointment, CallbackRequest, Conversation, Operation, SlotToken, ToolCall
from tests.bookings.helpers import let_jobs_finish
from tests.factories import ANNA, BERLIN, TUESDAY, at

LIST = reverse("admin:bookings_conversation_changelist")
CREATE = "POST /v2/bookings"
BEGAN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def page_of(desk, call):
    return desk.get(reverse("admin:bookings_conversation_change", args=[call.pk]))


def turn(endpoint, *, after=67, request=None, response=None, status=200, operations=None, services=None):
    """Return the turn of one tool call that was answered so many seconds after the beginning."""
    call = ToolCall(
        endpoint=endpoint,
        request=request or {},
        response=response or {},
        status=status,
        duration=timedelta(seconds=1),
        called_at=BEGAN + timedelta(seconds=after),
        cache_status="Slotline; hit",
    )
    (found,) = turns_of(
        [call], began=BEGAN, zone=BERLIN, services=services or {}, operations=operations or {}, now=BEGAN
    )
    return found


def test_call_is_shown_as_a_conversation(desk, agent, salon, simulator):
    """FM-10: from the greeting to the booking, in words and by the clock of the branch; no token, number or name."""
    begun = agent.post("conversations", {"call_id": "c1", "caller_phone": ANNA.phone}).json()
    call_id = begun["conversation_id"]
    when = {"date": TUESDAY.isoformat(), "time": "14:00"}
    body = {"service": f"sv_{salon.colour.pk}", "when": when, "hold": "exact_match", "conversation_id": call_id}
    held = agent.post("availability/search", body).json()["hold"]
    caller = {"name": ANNA.name, "phone": ANNA.phone}
    with simulator.holding(CREATE):
        pending = agent.post(
            "bookings",
            {"confirm_token": held["confirm_token"], "caller": caller, "conversation_id": call_id},
            prefer="wait=0.5",
        )
        assert pending.status_code == 202
    let_jobs_finish()

    call = Conversation.objects.get()
    page = page_of(desk, call)
    begin, search, book = page.context["turns"]

    slot = f"{TUESDAY:%a} {TUESDAY.day} {TUESDAY:%b}, 14:00"
    assert begin.asked == "The call begins."
    assert search.wishes[0] == "Colour"
    assert search.offers == [slot, f"held: {slot}"]
    assert (book.asked, book.tone) == ("Book it.", "done")
    assert book.later.startswith("Cal.com confirmed it, after ")
    assert held["confirm_token"] not in page.text
    assert SlotToken.objects.get().token not in page.text
    assert ANNA.name in page.context["caller"]
    assert 'data-refresh="2000"' in page.text


def test_page_of_a_call_that_is_over_stands_still(desk, salon):
    call = Conversation.objects.create(
        company=salon.company, branch=salon.branch, ended_at=timezone.now(), outcome="gave_up", told_booked=True
    )

    page = page_of(desk, call).text

    assert "data-refresh" not in page
    assert "gave up" in page
    assert "Told “booked” without a booking" in page


def test_turn_says_when_it_was_asked_and_what_was_wanted():
    """The seconds are those of the question, not of the answer."""
    search = turn(
        "POST /v1/availability/search",
        request={
            "service": "sv_7",
            "staff": "Emma",
            "when": {"phrase": "übermorgen nach zehn", "part_of_day": "morning"},
        },
        response={"spoken": "Da hätte ich zehn Uhr.", "offers": ["2026-11-26T09:00:00Z", "2026-11-24T13:30:00+01:00"]},
        services={"7": "Farbe"},
    )

    assert search.at == "1:06"
    assert search.wishes == ["Farbe", "with Emma", "“übermorgen nach zehn”", "in the morning"]
    assert search.said == "Da hätte ich zehn Uhr."
    assert search.offers == ["Thu 26 Nov, 10:00", "today, Tue 24 Nov, 13:30"]
    assert search.facts == ["POST /v1/availability/search", "200", "1000 ms", "Slotline; hit"]


def test_turn_names_a_window_and_a_day():
    window = {"from": "2026-11-24T10:00:00Z", "to": "2026-11-24T12:00:00Z"}

    assert turn("POST /v1/availability/search", request={"when": {"windows": [window]}}).wishes == [
        "between today, Tue 24 Nov, 11:00 and today, Tue 24 Nov, 13:00"
    ]
    assert turn("GET /v1/availability", request={"date": "2026-11-25"}).wishes == ["tomorrow, Wed 25 Nov"]


@pytest.mark.parametrize("value", ["", "soon", "2026-02-31", "2026-11-24T10:00", 7, None, ["x"], {"a": 1}])
def test_turn_bears_whatever_an_agent_sent(value):
    """A model writes anything; the page opens all the same."""
    search = turn(
        "POST /v1/availability/search",
        request={"service": value, "staff": value, "start": value, "date": value, "when": value},
        response={"offers": value, "held": value, "spoken": value},
    )

    assert search.at == "1:06"


def test_refused_turn_says_why():
    refused = turn("POST /v1/bookings", status=409, response={"code": "slot_taken"})

    assert (refused.tone, refused.said) == ("refused", "Refused: slot_taken")


@pytest.mark.parametrize(
    ("state", "tone", "later"),
    [
        ("done", "done", "Cal.com confirmed it, after 14 s"),
        ("refused", "refused", "Cal.com refused it, after 14 s"),
        ("unknown", "waiting", "Cal.com has not answered yet"),
        ("awaiting", "waiting", "The host has not confirmed it yet"),
    ],
)
def test_outcome_that_came_later_stands_where_it_was_asked(state, tone, later):
    """After a 202 the caller hung up; the end stands in its place."""
    ended = state in {"done", "refused"}
    operation = Operation(
        public_id="op_1", kind="create", state=state, finished_at=BEGAN + timedelta(seconds=80) if ended else None
    )

    book = turn("POST /v1/bookings", status=202, response={"operation_id": "op_1"}, operations={"op_1": operation})

    assert (book.tone, book.later) == (tone, later)


def test_clock_shows_hours_only_where_there_are_any():
    assert [clock(timedelta(seconds=each)) for each in (-3, 7, 67, 3723)] == ["0:00", "0:07", "1:07", "1:02:03"]


def test_list_tells_of_each_call_what_it_came_to(desk, salon):
    """Also of calls whose platform told nothing."""
    now = timezone.now()
    booked, asked, going_on, waits = (
        Conversation.objects.create(
            company=salon.company,
            branch=salon.branch,
            caller_phone=f"+4930901820{number:02}",
            started_at=now - timedelta(seconds=100),
            ended_at=None if number == 2 else now - timedelta(seconds=10),
        )
        for number in range(4)
    )
    Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.colour,
        event_type=salon.colour.event_type,
        conversation=booked,
        state="confirmed",
        start=at(14),
        end=at(15),
    )
    CallbackRequest.objects.create(company=salon.company, conversation=waits, phone="+4930")

    page = desk.get(LIST)

    rows = {row.pk: row for row in page.context["cl"].result_list}
    told = page.context["cl"].model_admin
    assert {told.shown_outcome(rows[each.pk])[0] for each in (booked, asked, going_on, waits)} == {
        "booked",
        "only_asked",
        "goes_on",
        "callback",
    }
    assert told.about(rows[booked.pk]) == "Colour"
    assert told.length(rows[asked.pk]) == "1:30"
    assert "030 90182000" in page.text


def test_list_of_calls_costs_the_same_for_any_number(desk, salon):
    for number in range(30):
        Conversation.objects.create(company=salon.company, branch=salon.branch, caller_phone=f"+49309018{number:04}")
    desk.get(LIST)

    with CaptureQueriesContext(connection) as asked:
        desk.get(LIST)

    assert len(asked) <= 10, [query["sql"] for query in asked]


def test_list_is_filtered_by_outcome_and_progress(desk, salon):
    Conversation.objects.create(company=salon.company, caller_phone="+493011111111", outcome="gave_up")
    over = Conversation.objects.create(company=salon.company, caller_phone="+493022222222", outcome="booked")
    Conversation.objects.filter(pk=over.pk).update(ended_at=timezone.now())

    assert "22222222" not in desk.get(LIST, {"outcome__exact": "gave_up"}).text
    assert "22222222" not in desk.get(LIST, {"going_on": "1"}).text
    assert "22222222" in desk.get(LIST, {"outcome__exact": "booked"}).text
