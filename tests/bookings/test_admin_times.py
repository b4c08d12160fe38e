"""One appointment has one clock: the branch's, on every page and command, in summer and in winter."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse

from bookings.models import (
    Appointment,
    CallbackRequest,
    Claim,
    Conversation,
    Operation,
    SharedBooking,
    SlotToken,
    ToolCall,
)
from monitoring.admin_pages import local_time
from tests import factories

# 10:37 in Berlin.
MORNINGS = [datetime(2030, 7, 9, 8, 37, tzinfo=UTC), datetime(2030, 12, 10, 9, 37, tzinfo=UTC)]


@pytest.fixture
def desk(client, db):
    """The admin as the owner sees it."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


def write_everything_at(start: datetime, salon: factories.Salon) -> None:
    """Write a row of each kind that tells of an appointment at `start`, or of something that happened then."""
    end = start + timedelta(hours=1)
    call = Conversation.objects.create(company=salon.company, branch=salon.branch, started_at=start, ended_at=start)
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.colour,
        event_type=salon.colour.event_type,
        conversation=call,
        state="confirmed",
        start=start,
        end=end,
        expires_at=start,
        created_at=start,
        changed_at=start,
    )
    Claim.objects.create(appointment=appointment, host=salon.emma.host, kind="confirmed", start=start, end=end)
    shared = SharedBooking.objects.create(
        account=salon.account,
        event_type=salon.colour.event_type,
        remote_uid="u",
        start=start,
        end=end,
        changed_at=start,
    )
    Claim.objects.create(shared_booking=shared, host=salon.ben.host, kind="confirmed", start=start, end=end)
    Operation.objects.create(
        company=salon.company,
        appointment=appointment,
        kind="reschedule",
        state="done",
        new_start=start,
        requested_at=start,
        next_attempt_at=start,
        client_deadline_at=start,
        sent_at=start,
        finished_at=start,
    )
    SlotToken.objects.create(
        company=salon.company,
        conversation=call,
        service=salon.colour,
        event_type=salon.colour.event_type,
        start=start,
        issued_at=start,
        expires_at=start,
        appointment=appointment,
    )
    ToolCall.objects.create(
        company=salon.company,
        conversation=call,
        endpoint="POST /v1/bookings",
        request={"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "when": {"windows": [{"from": start.isoformat()}]}},
        response={"offers": [start.isoformat()]},
        status=200,
        duration=timedelta(0),
        called_at=start,
    )
    CallbackRequest.objects.create(
        company=salon.company,
        branch=salon.branch,
        appointment=appointment,
        phone="+4930",
        requested_at=start,
        done_at=start,
    )
    for row in (salon.company, salon.agent_key, appointment.event_type.account):
        type(row).objects.filter(pk=row.pk).update(created_at=start)


def pages(desk):
    """Return name and text of every list and every row's page that the admin has."""
    for model in admin.site._registry:
        named = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        addresses = [reverse(f"{named}_changelist")]
        if model._meta.model_name != "ratelimit":
            addresses += [reverse(f"{named}_change", args=[row.pk]) for row in model._default_manager.all()[:5]]
        for address in addresses:
            yield address, desk.get(address).text


@pytest.mark.parametrize("start", MORNINGS, ids=["summer", "winter"])
def test_no_page_shows_the_utc_hour_of_a_berlin_appointment(desk, salon, start):
    """Where an instant has no place, as what came from Cal.com, the zone stands beside it."""
    write_everything_at(start, salon)
    as_utc = re.compile(rf"0?{start.hour}:37(?!:\d\d UTC| UTC)|{start.hour}:37 a\.m\.")

    shown = dict(pages(desk))

    assert not {address: as_utc.search(text)[0] for address, text in shown.items() if as_utc.search(text)}
    with_local_time = [address for address, text in shown.items() if "10:37 CE" in text]
    kinds = {address.split("/")[3] for address in with_local_time}
    assert kinds >= {
        *("appointment", "claim", "operation", "conversation", "toolcall", "slottoken", "callbackrequest"),
        *("sharedbooking", "company", "agentkey"),
    }


def test_names_of_rows_hold_no_clock(desk, salon):
    """They stand in pages of other rows, which may be of another zone."""
    write_everything_at(MORNINGS[0], salon)

    for model in admin.site._registry:
        for row in model._default_manager.all()[:5]:
            assert not re.search(r"\d:\d\d", str(row)), model


def test_local_time_names_its_zone():
    """Where several zones meet, none must be guessed."""
    assert local_time(MORNINGS[0], "Europe/Berlin") == "Tue 09 Jul 2030, 10:37 CEST"
    assert local_time(MORNINGS[1], "America/New_York") == "Tue 10 Dec 2030, 04:37 EST"
    assert local_time(MORNINGS[1], None) == "Tue 10 Dec 2030, 09:37 UTC"
    assert local_time(None, "Europe/Berlin") == "-"


def test_reconciliation_tells_times_by_the_clock_of_the_branch(salon, simulator):
    """What staff reads there, they compare with what the admin shows."""
    simulator.book_elsewhere(3, factories.at(14), webhook=False)
    said = StringIO()

    call_command("reconcile_bookings", stdout=said)

    assert f"{factories.TUESDAY:%a %d %b %Y}, 14:00 CE" in said.getvalue()
