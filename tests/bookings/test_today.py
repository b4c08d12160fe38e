"""The page that the admin opens with: the day of a branch, and what waits for a person."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from bookings.admin import today_charts
from bookings.models import Appointment, CallbackRequest, Claim, Conversation, Membership, Operation
from monitoring.models import Sample
from tests.factories import TUESDAY, WEDNESDAY, at

INDEX = reverse("admin:index")


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def placed(salon, start, name="Anna Schmidt", *, host=None, minutes=60, claimed=True, conflicting=False, **fields):
    """Write an appointment of Emma's, and her time that it takes."""
    host = host or salon.emma.host
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.colour,
        event_type=salon.colour.event_type,
        start=start,
        end=start + timedelta(minutes=minutes),
        attendee_name=name,
        **{"state": "confirmed", "host": host, "attendee_phone": "+493090182003", **fields},
    )
    if claimed:
        Claim.objects.create(
            appointment=appointment,
            host=host,
            kind="confirmed",
            start=appointment.start,
            end=appointment.end,
            conflicting=conflicting,
        )
    return appointment


def shown(desk, **query):
    """Return the text of the page on Tuesday, unless the address says otherwise."""
    return desk.get(INDEX, {"day": TUESDAY.isoformat(), **query}).text


def blocks(desk, **query):
    """Return who stands on the board in which column, in the order of the page."""
    board = desk.get(INDEX, {"day": TUESDAY.isoformat(), **query}).context["board"]
    return {column.title: [block.content.who for block in column.blocks] for column in board.columns}


def test_today_shows_a_column_for_each_person(desk, salon):
    """Name, service and a number to dial; the link leads to the appointment."""
    appointment = placed(salon, at(14))

    page = shown(desk)

    assert blocks(desk) == {"Ben": [], "Emma": ["Anna Schmidt"]}
    assert '<a class="desk-dial" href="tel:+493090182003">030 90182003</a>' in page
    assert "14:00 Anna Schmidt" in page
    assert reverse("admin:bookings_appointment_change", args=[appointment.pk]) in page


def test_today_opens_on_the_day_of_the_branch(desk, salon):
    """What an address says wrongly is today, too."""
    for day in ("", "yesterday", "2026-02-31", "9999-12-31"):
        view = desk.get(INDEX, {"day": day}).context["today"]
        assert view.day == view.today


def test_today_hides_cancelled_appointments_behind_a_switch(desk, salon):
    placed(salon, at(14), "Gone", state="cancelled", claimed=False)

    assert blocks(desk)["Emma"] == []
    assert blocks(desk, cancelled=1)["Emma"] == ["Gone"]


def test_today_shows_a_hold_only_while_it_lasts(desk, salon):
    """The sweep may not have been there yet."""
    now = timezone.now()
    placed(salon, at(14), "Held", state="held", expires_at=now + timedelta(minutes=1), claimed=False)
    placed(salon, at(16), "Lapsed", state="held", expires_at=now - timedelta(seconds=1), claimed=False)

    assert blocks(desk)["Emma"] == ["Held"]


def test_today_marks_both_appointments_of_a_conflict(desk, salon):
    """The one that stands in the other's way looks as wrong as the other."""
    placed(salon, at(14), "First")
    placed(salon, at(14, 30), "Second", conflicting=True)
    placed(salon, at(16), "Apart")

    board = desk.get(INDEX, {"day": TUESDAY.isoformat()}).context["board"]
    emma = next(column for column in board.columns if column.title == "Emma")

    assert {block.content.who: block.content.is_conflict for block in emma.blocks} == {
        "First": True,
        "Second": True,
        "Apart": False,
    }
    assert [block.width for block in emma.blocks] == [50, 50, 100]


def test_today_has_a_column_for_what_is_not_decided(desk, salon):
    """Cal.com has not chosen the person yet."""
    placed(salon, at(14), "Open", state="pending", host=salon.ben.host, claimed=False)
    Appointment.objects.update(host=None)

    assert blocks(desk)["Not decided yet"] == ["Open"]


def test_today_shows_time_that_another_branch_takes(desk, salon, practice):
    """It is not free, and whose it is does not stand there."""
    other = placed(salon, at(11), "Elsewhere")
    Appointment.objects.filter(pk=other.pk).update(branch=practice.branch)

    page = desk.get(INDEX, {"day": TUESDAY.isoformat(), "branch": salon.branch.pk})
    emma = next(column for column in page.context["board"].columns if column.title == "Emma")

    assert (len(emma.blocks), len(emma.taken)) == (0, 1)
    assert "Elsewhere" not in page.text


def test_today_shows_a_week_with_a_column_for_each_day(desk, salon):
    placed(salon, at(14), "Tuesday's")
    placed(salon, at(10, on=WEDNESDAY), "Wednesday's")

    columns = list(blocks(desk, view="week").values())

    assert columns == [[], ["Tuesday's"], ["Wednesday's"], [], [], [], []]


def test_today_shows_one_person_alone(desk, salon):
    placed(salon, at(14), "Emma's")
    placed(salon, at(14), "Ben's", host=salon.ben.host)

    assert blocks(desk, person=salon.ben.host_id) == {"Ben": ["Ben's"]}


def test_today_remembers_the_branch_of_this_session(desk, salon, practice):
    """Who works at one of two branches chooses it once a day."""
    desk.get(INDEX, {"branch": practice.branch.pk})

    assert desk.get(INDEX).context["today"].branch == practice.branch
    assert desk.get(INDEX, {"branch": salon.branch.pk}).context["today"].branch == salon.branch
    assert desk.get(INDEX, {"branch": "nonsense"}).status_code == 200


def test_today_links_keep_what_was_chosen(desk, salon):
    view = desk.get(INDEX, {"day": TUESDAY.isoformat(), "cancelled": "1"}).context["today"]

    assert f"day={WEDNESDAY.isoformat()}" in view.later
    assert "cancelled=1" in view.later
    assert "view=week" in view.as_week
    assert "day=" not in view.now


def test_today_opens_without_any_branch(desk):
    """On the first day there is nothing to show."""
    assert "no branch yet" in desk.get(INDEX).text


def test_cards_tell_what_waits_for_a_person(desk, salon):
    """How many callers wait, since when; what Cal.com has not confirmed; which appointments overlap."""
    now = timezone.now()
    for minutes, state in ((90, "open"), (5, "open"), (300, "done")):
        CallbackRequest.objects.create(
            company=salon.company, phone="+4930", state=state, requested_at=now - timedelta(minutes=minutes)
        )
    appointment = placed(salon, at(14), conflicting=True)
    Operation.objects.create(
        company=salon.company,
        appointment=appointment,
        kind="create",
        state="unknown",
        requested_at=now - timedelta(minutes=2),
        next_attempt_at=now,
    )

    callbacks, uncertain, conflicts, calcom = desk.get(INDEX).context["cards"]

    assert (callbacks.figure, callbacks.words, callbacks.level) == ("2", "The oldest waits for 2 hours.", "critical")
    assert (uncertain.figure, uncertain.level) == ("1", "warning")
    assert (conflicts.figure, conflicts.level) == ("1", "critical")
    assert (calcom.title, calcom.level) == ("Cal.com", "ok")


def test_cards_of_one_company_do_not_count_anothers(desk, salon, practice):
    CallbackRequest.objects.create(company=practice.company, phone="+1212")
    placed(salon, at(14), conflicting=True)

    of_practice = desk.get(INDEX, {"branch": practice.branch.pk}).context["cards"]
    of_salon = desk.get(INDEX, {"branch": salon.branch.pk}).context["cards"]

    assert [card.figure for card in of_practice[:3]] == ["1", "0", "0"]
    assert [card.figure for card in of_salon[:3]] == ["0", "0", "1"]


def test_cards_say_that_redis_is_away(desk, salon, settings):
    """Whether Cal.com is in order is not known then, and nothing else is said."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert desk.get(INDEX).context["cards"][3].level == "unknown"


def test_one_who_gives_appointments_sees_their_own_column_only(client, salon):
    """Neither the names of others' callers nor what waits for the reception."""
    placed(salon, at(14), "Emma's")
    placed(salon, at(15), "Ben's", host=salon.ben.host)
    placed(salon, at(16), "Open", claimed=False, host=salon.ben.host, state="pending")
    emma = User.objects.create_user("emma", is_staff=True)
    Membership.objects.create(user=emma, company=salon.company, role="provider", staff=salon.emma)
    client.force_login(emma)

    page = client.get(INDEX, {"day": TUESDAY.isoformat(), "person": salon.ben.host_id})

    assert blocks(client) == {"Emma": ["Emma's"]}
    assert [card.title for card in page.context["cards"]] == ["Cal.com"]
    assert page.context["board"].count == 0
    assert "Ben" not in page.text


def test_reception_of_a_branch_sees_its_day_and_no_others(client, salon, practice):
    """Another company's branch is not even an address."""
    clerk = User.objects.create_user("clerk", is_staff=True)
    Membership.objects.create(user=clerk, company=salon.company, branch=salon.branch, role="reception")
    client.force_login(clerk)
    CallbackRequest.objects.create(company=practice.company, phone="+1212")

    page = client.get(INDEX, {"branch": practice.branch.pk})

    assert page.context["today"].branch == salon.branch
    assert [card.figure for card in page.context["cards"][:3]] == ["0", "0", "0"]
    assert page.context["cards"][3].address == ""


def test_charts_show_the_last_day_of_the_company(salon, practice):
    """Calls and bookings from its own rows; the rest from samples, of which the first of each half hour is read."""
    now = timezone.now().replace(minute=50)
    for company, hours in ((salon.company, 1), (salon.company, 30), (practice.company, 1)):
        Conversation.objects.create(company=company, started_at=now - timedelta(hours=hours))
    for minutes in range(170):
        for labels, value in (({"source": "fresh"}, 400 - 2 * minutes), ({"source": "loaded"}, 200 - minutes)):
            Sample.objects.create(
                gauge="slotline_availability_answers_total",
                labels=labels,
                value=value,
                taken_at=now - timedelta(minutes=minutes),
            )
    for account, value in ((salon.account.pk, 17), (practice.account.pk, 99)):
        labels = {"account": str(account)}
        Sample.objects.create(
            gauge="slotline_rate_spent", labels=labels, value=value, taken_at=now - timedelta(minutes=20)
        )

    calls, bookings, share, slowest, spent = today_charts.read(salon.company, "Europe/Berlin", now)

    assert (calls.newest, bookings.newest) == ("1", "0")
    assert share.newest == "67%"
    assert spent.newest == "17"
    assert slowest.is_empty


@pytest.mark.parametrize("number", [1, 40])
def test_today_costs_the_same_statements_for_any_day(desk, salon, number):
    """However many appointments there are, and with all charts."""
    for each in range(number):
        start = at(9) + timedelta(minutes=each)
        placed(salon, start, f"caller {each}", host=(salon.emma, salon.ben)[each % 2].host, conflicting=True)
    desk.get(INDEX)

    with CaptureQueriesContext(connection) as asked:
        page = shown(desk)

    assert "caller 0" in page
    assert len(asked) <= 12, [query["sql"] for query in asked]


def test_live_part_has_the_board_without_charts(desk, salon):
    """It is asked for every 20 seconds."""
    placed(salon, at(14))

    page = shown(desk, part="live")

    assert 'id="today-live"' in page
    assert "Anna Schmidt" in page
    assert "<canvas" not in page
