"""What goes on when nobody waits."""

from datetime import timedelta

import pytest
import time_machine
from celery import current_app
from django.utils import timezone

from bookings import tasks
from bookings.models import Appointment, Change, Claim
from tests.bookings.stage import begin, pass_time, wish, write_down
from tests.cast import KARL, at


@pytest.fixture
def handed_out():
    """The changes that the sweep hands to workers, read from the broker."""
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue("bookings")
        queue.clear()

        def read():
            ids = []
            while queue.qsize():
                message = queue.get_nowait()
                ids.append(message.payload[1]["change_id"])
                message.ack()
            return ids

        yield read


def test_what_is_due_is_handed_out_once(salon, calcom, handed_out):
    """The row is the job; whoever got it has time to finish before it is handed out again."""
    first = write_down(wish(salon.colour, at(10)))
    tasks.settle_open_changes()
    assert handed_out() == []  # whoever asked for it sends it at once

    pass_time(6)
    tasks.settle_open_changes()
    tasks.settle_open_changes()
    assert handed_out() == [first.pk]

    pass_time(60)
    tasks.settle_open_changes()
    assert handed_out() == [first.pk]


def test_what_no_broker_took_is_due_at_once(salon, calcom, handed_out, monkeypatch):
    """A change is not put off for the time of a worker that never got it."""
    change = write_down(wish(salon.colour, at(10)))
    pass_time(6)
    monkeypatch.setattr(current_app.breaker.storage, "_monotonic", lambda: 0.0)  # it stays open
    current_app.breaker.open()
    tasks.settle_open_changes()

    current_app.breaker.close()
    tasks.settle_open_changes()

    assert handed_out() == [change.pk]


@pytest.mark.parametrize("skew", [-10, 10], ids=["slow", "fast"])
def test_what_is_due_is_so_by_the_databases_clock(salon, calcom, handed_out, skew):
    """A worker whose clock is wrong by ten seconds hands out neither later nor too early."""
    change = write_down(wish(salon.colour, at(10)))

    with time_machine.travel(timezone.now() + timedelta(seconds=skew)):
        tasks.settle_open_changes()
        assert handed_out() == []
        pass_time(6)
        tasks.settle_open_changes()

    assert handed_out() == [change.pk]


def test_what_was_just_sent_is_left_alone(salon, calcom, handed_out):
    """Its answer may come any moment."""
    begin(write_down(wish(salon.colour, at(10))), calcom)
    pass_time(20)

    tasks.settle_open_changes()

    assert handed_out() == []


def test_a_worker_settles_what_it_is_handed(salon, calcom, simulator):
    """Arguments of the future are ignored, and a repeat does no harm."""
    change = write_down(wish(salon.colour, at(10), KARL))

    for _ in range(2):
        tasks.settle(change_id=change.pk, newer_argument=1)

    assert Change.objects.get().state == "done"
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
