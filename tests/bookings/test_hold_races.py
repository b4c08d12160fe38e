"""Holds under real concurrency: one winner, no deadlock, and never two promises of one time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection, connections

from bookings.errors import BookingError, HoldExpired, SlotTaken
from bookings.models import Appointment, Claim, Conversation
from bookings.scheduling import holds
from tests.bookings.helpers import book, intent
from tests.bookings.test_holds import confirm, hold, offer, take
from tests.factories import MARIA, at

CALLERS = 20


@pytest.mark.parametrize("service", ["colour", "cut"])
def test_many_calls_hold_one_slot(salon, calcom, simulator, service):
    """FM-06, FM-14: one of them holds it, also with two hosts; the others hear of other times."""
    wanted = getattr(salon, service)
    offers = [offer(wanted, at(14), call) for call in _calls(salon, CALLERS)]

    held, refused = _at_once([lambda each=each: hold(each, calcom, wait=15) for each in offers])

    assert len(held) == 1
    assert all(isinstance(each, SlotTaken) and len(each.alternatives) == 3 for each in refused)
    assert confirm(held[0], calcom).is_settled
    assert simulator.overlaps() == []


def test_some_hold_while_others_book(salon, calcom, simulator):
    """FM-13, FM-14."""
    offers = [offer(salon.colour, at(14), call) for call in _calls(salon, CALLERS)]
    attempts = [
        (lambda each=each: hold(each, calcom, wait=15)) if number % 2 else (lambda each=each: take(each, calcom, MARIA))
        for number, each in enumerate(offers)
    ]

    won, refused = _at_once(attempts)

    assert len(won) == 1
    assert all(isinstance(each, SlotTaken) for each in refused)
    assert Claim.objects.count() == 1
    assert len(simulator.bookings()) <= 1


def test_twins_of_one_hold_are_one(salon, calcom):
    """FM-12: the platform asked several times at once; every answer carries the same confirm_token."""
    (call,) = _calls(salon, 1)
    offered = offer(salon.cut, at(14), call)

    held, refused = _at_once([lambda: hold(offered, calcom, wait=15)] * 8)

    assert refused == []
    assert len({each.confirm_token for each in held}) == 1
    assert sum(not each.replayed for each in held) == 1
    assert Appointment.objects.count() == 1


def test_one_call_holds_several_times_at_once(salon, calcom):
    """The last one stands, and only that: the others gave their time back."""
    (call,) = _calls(salon, 1)
    offers = [offer(salon.colour, at(hour), call) for hour in (9, 11, 13, 15)]
    offers += [offer(salon.beard, at(hour), call) for hour in (9, 11, 13, 15)]

    held, refused = _at_once([lambda each=each: hold(each, calcom, wait=15) for each in offers])

    assert (len(held), refused) == (len(offers), [])
    standing = Appointment.objects.standing().get()
    assert list(Claim.objects.values_list("appointment", flat=True)) == [standing.pk]


def test_a_hold_is_booked_while_it_is_replaced(salon, calcom, simulator):
    """FM-10: one comparison decides: it was booked, or it was replaced; never both, and never neither."""
    for hour in (10, 12, 14, 16):
        (call,) = _calls(salon, 1)
        held, other = hold(offer(salon.colour, at(hour), call), calcom), offer(salon.beard, at(hour), call)

        booked, refused = _at_once([lambda h=held: confirm(h, calcom), lambda o=other: hold(o, calcom, wait=15)])

        held.appointment.refresh_from_db()
        assert held.appointment.state == ("expired" if refused else "confirmed")
        assert all(isinstance(each, HoldExpired) for each in refused)
        assert len(booked) + len(refused) == 2
    assert simulator.overlaps() == []


def test_twins_confirm_while_another_books_by_time(salon, calcom, simulator):
    """FM-12: three ways to say yes to the same slot in one call, at once: one booking."""
    (call,) = _calls(salon, 1)
    offered = offer(salon.cut, at(14), call)
    held = hold(offered, calcom)
    ways = [
        lambda: confirm(held, calcom),
        lambda: take(offered, calcom),
        lambda: book(intent(salon.cut, at(14), MARIA, conversation=call), calcom),
    ]

    booked, refused = _at_once(ways * 4)

    assert refused == []
    assert {each.appointment for each in booked} == {held.appointment}
    assert simulator.count("POST /v2/bookings") == 1


def test_a_release_meets_a_booking(salon, calcom):
    """FM-10: given back or booked, whichever came first."""
    for hour in (10, 12, 14, 16):
        (call,) = _calls(salon, 1)
        held = hold(offer(salon.colour, at(hour), call), calcom)

        done, refused = _at_once(
            [lambda h=held: confirm(h, calcom), lambda h=held: holds.release(appointment=h.appointment)]
        )

        state = Appointment.objects.get(pk=held.appointment.pk).state
        assert (state, len(done)) in {("confirmed", 2), ("expired", 1)}
        assert all(isinstance(each, HoldExpired) for each in refused)


def _calls(salon, number):
    return [Conversation.objects.create(company=salon.company) for _ in range(number)]


def _at_once(attempts):
    """Run the attempts on threads of their own; return what they came to, and the refusals."""
    barrier = Barrier(len(attempts))

    def run(attempt):
        connection.ensure_connection()
        barrier.wait()
        try:
            return attempt()
        except BookingError as exc:
            return exc
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(attempts)) as pool:
        answers = list(pool.map(run, attempts))
    refused = [each for each in answers if isinstance(each, BookingError)]
    return [each for each in answers if not isinstance(each, BookingError)], refused


pytestmark = pytest.mark.usefixtures("_jobs")
