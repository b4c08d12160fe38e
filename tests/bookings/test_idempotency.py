"""One wish, one booking: whatever is repeated, in whatever order."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from bookings.errors import BookingError, IdempotencyInProgress, IdempotencyKeyReused, SlotTaken
from bookings.models import Appointment, Conversation, Operation
from bookings.scheduling.booking import BookingIntent
from tests.bookings.helpers import book, cancel, intent, let_jobs_finish, pass_time
from tests.factories import ANNA, KARL, Caller, at

BOOK = "POST /v2/bookings"


@pytest.fixture
def conversation(salon):
    """A phone call."""
    return Conversation.objects.create(company=salon.company)


def test_a_repeat_gets_what_the_first_request_came_to(salon, calcom, simulator):
    """FM-08: the key names the wish; the second request is answered, not carried out."""
    first = book(intent(salon.cut, at(10), key="k", digest="d"), calcom)
    again = book(intent(salon.cut, at(10), key="k", digest="d"), calcom)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.appointment == first.appointment
    assert simulator.count(BOOK) == 1


def test_a_repeat_of_what_was_refused_is_refused_again(salon, calcom, simulator):
    """The key binds the no as well; another wish needs another key."""
    book(intent(salon.colour, at(9)), calcom)
    simulator.busy("emma", at(14), at(15))
    for _ in range(2):
        with pytest.raises(SlotTaken):
            book(intent(salon.colour, at(14), key="k"), calcom)

    assert simulator.count(BOOK) == 2


def test_a_key_with_another_body_is_refused(salon, calcom):
    book(intent(salon.cut, at(10), key="k", digest="one"), calcom)

    with pytest.raises(IdempotencyKeyReused):
        book(intent(salon.cut, at(11), key="k", digest="another"), calcom)


def test_a_repeat_while_the_first_still_runs_is_told_so(salon, calcom, simulator):
    with simulator.holding(BOOK), ThreadPoolExecutor(1) as pool:
        first = pool.submit(_book_on_a_thread, intent(salon.cut, at(10), key="k"), calcom)
        simulator.await_in_flight(1, BOOK)

        with pytest.raises(IdempotencyInProgress):
            book(intent(salon.cut, at(10), key="k"), calcom)

        simulator.clear_faults()
        assert first.result().is_settled


def test_a_repeat_after_the_first_caller_left_learns_the_outcome(salon, calcom, simulator):
    with simulator.holding(BOOK):
        assert not book(intent(salon.cut, at(10), key="k"), calcom, wait=0.2).is_settled
    let_jobs_finish()
    pass_time(1)

    again = book(intent(salon.cut, at(10), key="k"), calcom)
    assert (again.is_settled, again.replayed) == (True, True)


def test_twins_in_one_conversation_are_one_wish(salon, calcom, simulator, conversation):
    """FM-12: a platform repeated a call 1.04 s later with a phone number added and seconds dropped."""
    first = book(intent(salon.cut, at(10), Caller("Anna"), conversation=conversation), calcom)
    twin = book(intent(salon.cut, at(10), ANNA, conversation=conversation), calcom)

    assert twin.appointment == first.appointment
    assert simulator.count(BOOK) == 1


def test_a_second_wish_in_one_conversation_is_a_second_booking(salon, calcom, simulator, conversation):
    """FM-09: the key is not the call alone."""
    first = book(intent(salon.cut, at(10), conversation=conversation), calcom)
    second = book(intent(salon.cut, at(11), conversation=conversation), calcom)

    assert first.appointment != second.appointment
    assert simulator.count(BOOK) == 2


def test_a_cancelled_slot_can_be_wished_for_again(salon, calcom, conversation):
    """A wish binds while its appointment lives."""
    first = book(intent(salon.cut, at(10), conversation=conversation), calcom)
    cancel(first.appointment, calcom)

    again = book(intent(salon.cut, at(10), conversation=conversation), calcom)
    assert (again.is_settled, again.replayed) == (True, False)
    assert again.appointment != first.appointment


def test_a_wish_of_another_company_is_another_wish(salon, practice, calcom, practice_calcom):
    """FM-26: keys are the tenant's own."""
    book(intent(salon.cut, at(16), key="k"), calcom)

    booked = book(intent(practice.follow_up, at(16), key="k"), practice_calcom)
    assert (booked.is_settled, booked.replayed) == (True, False)


def test_a_wish_without_any_identity_is_refused(salon):
    """What cannot be recognised when it is repeated would be booked twice."""
    with pytest.raises(ValueError, match="idempotency key"):
        BookingIntent(company=salon.company, service=salon.cut, start=at(10), attendee_name="Anna")


@pytest.mark.parametrize("service", ["cut", "colour"])
def test_a_hundred_at_once_under_one_key_have_one_effect(salon, calcom, simulator, service):
    one = intent(getattr(salon, service), at(10), key="k")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _book_on_a_thread(one, calcom), range(100)))

    booked = [answer for answer in answers if not isinstance(answer, BookingError)]
    assert all(isinstance(answer, IdempotencyInProgress) for answer in answers if isinstance(answer, BookingError))
    assert len({each.appointment.pk for each in booked}) == 1
    assert sum(not each.replayed for each in booked) == 1
    assert simulator.count(BOOK) == Operation.objects.count() == Appointment.objects.count() == 1


def test_another_callers_booking_of_the_slot_is_no_replay(salon, calcom):
    """FM-58."""
    book(intent(salon.colour, at(10), ANNA), calcom)

    with pytest.raises(SlotTaken):
        book(intent(salon.colour, at(10), KARL), calcom)


def _book_on_a_thread(intent, calcom):
    try:
        return book(intent, calcom)
    except BookingError as exc:
        return exc
    finally:
        connections.close_all()
