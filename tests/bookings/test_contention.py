"""Writers who are in each other's way pause, longer each time and not all alike, and give up at their deadline."""

from contextlib import contextmanager

import pytest
from django.db import IntegrityError
from django.utils import timezone

from bookings.errors import BookingError, DeadlineExceeded
from bookings.models import Operation
from bookings.scheduling import claims, holds
from cachectl.infra.deadline import Deadline
from tests.bookings.helpers import book, cancel, intent, reschedule
from tests.factories import at

# Of 10, 20, 40 … 200 ms, each at least half as long.
MOST_IN_A_SECOND = 16


@pytest.fixture
def contention(monkeypatch):
    """Let another writer be in the way of each attempt; count the attempts."""
    attempts = []

    @contextmanager
    def writing(*_asked, **_more):
        attempts.append(1)
        raise claims.Contention
        yield

    def begin():
        monkeypatch.setattr(claims, "writing", writing)
        return attempts

    return begin


@pytest.fixture
def pauses(monkeypatch):
    """Pause for no time at all, and remember for how long it was meant to be."""
    meant = []
    monkeypatch.setattr(claims.time, "sleep", meant.append)
    return meant


def test_pauses_double_and_are_not_all_alike(pauses):
    """Up to a fifth of a second."""
    each = [claims.Attempts(Deadline.after(60)) for _ in range(20)]
    for attempts in each:
        for _ in range(8):
            attempts.pause(claims.Contention())

    by_attempt = [pauses[number::8] for number in range(8)]
    for number, meant in enumerate(by_attempt):
        longest = min(0.01 * 2**number, 0.2)
        assert all(longest / 2 <= pause <= longest for pause in meant)
        assert len(set(meant)) > 1


def test_pause_ends_with_the_deadline(pauses):
    with pytest.raises(DeadlineExceeded):
        claims.Attempts(Deadline.after(0)).pause(claims.Contention())
    assert pauses == []


def test_booking_in_contention_pauses_until_its_deadline(salon, calcom, contention):
    """It does not spin."""
    attempts = contention()

    with pytest.raises(DeadlineExceeded):
        book(intent(salon.colour, at(14)), calcom, wait=Deadline.after(1))

    assert 1 < len(attempts) <= MOST_IN_A_SECOND


def test_reschedule_in_contention_pauses_until_its_deadline(salon, calcom, contention):
    """Nor does this."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    attempts = contention()

    with pytest.raises(DeadlineExceeded):
        reschedule(appointment, at(10), calcom, wait=Deadline.after(1))

    assert 1 < len(attempts) <= MOST_IN_A_SECOND


def test_hold_in_contention_pauses_until_its_deadline(salon, calcom, contention):
    """Nor this."""
    now = timezone.now()
    (offer,) = holds.issue_tokens(
        starts=[at(14)], company=salon.company, conversation=None, service=salon.colour, now=now
    )
    attempts = contention()

    with pytest.raises(DeadlineExceeded):
        holds.hold(offer=offer, calcom=calcom, deadline=Deadline.after(1), now=now)

    assert 1 < len(attempts) <= MOST_IN_A_SECOND


def test_cancellation_in_contention_pauses_until_its_deadline(salon, calcom, monkeypatch):
    """Another operation of the appointment is opened and ended each time just before ours is written down."""
    appointment = book(intent(salon.colour, at(14)), calcom).appointment
    attempts = []

    def save(_change, *_asked, **_more):
        attempts.append(1)
        raise IntegrityError

    monkeypatch.setattr(Operation, "save", save)

    with pytest.raises(BookingError):
        cancel(appointment, calcom, wait=Deadline.after(1))

    assert 1 < len(attempts) <= MOST_IN_A_SECOND
