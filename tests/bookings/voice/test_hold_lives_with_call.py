"""A hold lives with its call: renewed while that goes on, as long as the company allows, given back at its end."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from bookings.models import Appointment, AppointmentState, Claim, Conversation
from bookings.scheduling import conversations
from bookings.tasks import keep_holds
from calcom.simulator import Simulator
from tests.bookings.voice.platforms import Retell
from tests.bookings.voice.said import DAY
from tests.factories import Salon

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def call(simulator: Simulator, retell: Retell, salon: Salon) -> Retell:
    """A call in which ten o'clock was held a minute and a half ago; the platform has told the end of an earlier one."""
    Conversation.objects.create(company=salon.company, platform="retell", call_id="earlier", outcome="only_asked")
    assert retell.tool("check_availability", service="Colour", when=f"am {DAY} um zehn")["status"] == "held"
    pass_by(timedelta(seconds=90))
    return retell


def pass_by(time: timedelta) -> None:
    """Let everything have happened earlier."""
    Appointment.objects.update(expires_at=F("expires_at") - time, created_at=F("created_at") - time)
    Claim.objects.update(expires_at=F("expires_at") - time)
    Conversation.objects.update(last_seen_at=F("last_seen_at") - time)


def is_held() -> bool:
    hold = Appointment.objects.standing().first()
    claimed = Claim.objects.standing(Now()).exists()
    assert claimed == (hold is not None)
    return claimed


def test_hold_lasts_while_the_call_goes_on(call: Retell) -> None:
    for _ in range(4):
        keep_holds()
        pass_by(timedelta(seconds=60))

    assert is_held()


def test_hold_lasts_no_longer_than_the_company_allows(call: Retell, salon: Salon) -> None:
    salon.company.longest_hold_minutes = 3
    salon.company.save()

    for _ in range(3):
        keep_holds()
        pass_by(timedelta(seconds=60))

    assert not is_held()


def test_hold_of_a_call_that_has_ended_is_given_back(call: Retell) -> None:
    call.send("events", {"event": "call_ended", "call": call.call})

    assert keep_holds() is None
    assert not is_held()
    assert Appointment.objects.get().state == AppointmentState.EXPIRED


def test_hold_runs_out_where_no_end_was_ever_told(call: Retell) -> None:
    Conversation.objects.update(outcome="")

    keep_holds()
    pass_by(timedelta(seconds=60))

    assert not is_held()


def test_hold_that_ran_out_is_not_revived(call: Retell) -> None:
    pass_by(timedelta(seconds=60))

    assert conversations.keep_holds() == 0
    assert not is_held()


def test_question_in_the_call_renews_its_hold(call: Retell) -> None:
    Conversation.objects.filter(call_id="earlier").delete()

    call.tool("check_availability", service="Haarschnitt")
    pass_by(timedelta(seconds=60))

    assert is_held()
