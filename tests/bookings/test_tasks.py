"""Background tasks."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from bookings import tasks
from bookings.models import Appointment, Claim, Operation
from tests.bookings.helpers import begin, intent, pass_time, write_down
from tests.factories import KARL, at


def test_change_is_due_when_the_request_that_wrote_it_did_not_send_it(salon, calcom):
    """The request has a head start; a worker that claims it has time to finish, and then it is due again."""
    operation = write_down(intent(salon.colour, at(10)))
    assert not Operation.objects.due().exists()

    pass_time(6)
    assert Operation.objects.claim(10) == [operation]
    assert Operation.objects.claim(10) == []

    pass_time(60)
    assert Operation.objects.claim(10) == [operation]


@pytest.mark.parametrize("skew", [-10, 10], ids=["slow", "fast"])
def test_what_is_due_is_so_by_the_databases_clock(salon, calcom, skew):
    """A worker whose clock is wrong by ten seconds claims neither later nor too early."""
    operation = write_down(intent(salon.colour, at(10)))

    with time_machine.travel(timezone.now() + timedelta(seconds=skew)):
        assert Operation.objects.claim(10) == []
        pass_time(6)
        assert Operation.objects.claim(10) == [operation]


def test_change_that_was_just_sent_is_not_due(salon, calcom):
    """Its answer may come any moment."""
    begin(write_down(intent(salon.colour, at(10))), calcom)
    pass_time(20)

    assert not Operation.objects.due().exists()


def test_worker_settles_what_is_due(salon, calcom, simulator):
    """Arguments of other versions are ignored, and a repeat does no harm."""
    write_down(intent(salon.colour, at(10), KARL))
    pass_time(6)

    for _ in range(2):
        tasks.settle(operation_id=0, newer_argument=1)

    assert Operation.objects.get().state == "done"
    assert simulator.count("POST /v2/bookings") == 1


@pytest.mark.django_db
def test_holds_end_by_themselves(salon):
    """They claim nothing once they ran out; this only tidies up."""
    now = timezone.now()
    dead, alive = (_hold(salon, at(hour), now + timedelta(minutes=left)) for hour, left in ((10, -1), (12, 1)))

    tasks.expire_holds()

    assert set(Appointment.objects.values_list("pk", "state")) == {(dead.pk, "expired"), (alive.pk, "held")}
    assert Claim.objects.get().appointment == alive


def _hold(salon, start, until):
    appointment = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        service=salon.colour,
        event_type=salon.colour.event_type,
        state="held",
        start=start,
        end=start + timedelta(hours=1),
        expires_at=until,
    )
    Claim.objects.create(
        appointment=appointment,
        host=salon.emma.host,
        kind="held",
        start=appointment.start,
        end=appointment.end,
        expires_at=until,
    )
    return appointment
