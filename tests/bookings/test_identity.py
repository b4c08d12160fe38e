"""Who is calling: a number from a trusted source, or what only the caller knows; other callers are told nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from bookings.errors import BookingError, IdentityMismatch, IdentityRequired
from bookings.models import Appointment, Branch, Conversation
from bookings.scheduling import identity
from bookings.scheduling.identity import Proof
from tests.bookings.helpers import book, intent
from tests.factories import ANNA, KARL, MARIA, NEW_YORK, TUESDAY, WEDNESDAY, Caller, at


@pytest.fixture
def appointment(salon, calcom):
    """Anna's colour on Tuesday at two."""
    return book(intent(salon.colour, at(14)), calcom).appointment


@pytest.fixture
def call(salon):
    """A call whose number is withheld."""
    return Conversation.objects.create(company=salon.company)


def calling(salon, caller):
    """Return a call from the caller's own number, as a trusted platform reported it."""
    return Conversation.objects.create(company=salon.company, caller_phone=caller.phone)


def find(call, *, branch=None, **said):
    """Ask for the caller's appointments."""
    branch_id = branch.pk if branch else None
    return identity.find(conversation=call, branch_id=branch_id, proof=Proof(**said), now=timezone.now())


# --- the number --------------------------------------------------------------------------------------------------


def test_a_trusted_number_finds_its_upcoming_appointments(salon, calcom, appointment):
    """The next one first, and none of anybody else."""
    later = book(intent(salon.cut, at(9, on=WEDNESDAY)), calcom).appointment
    book(intent(salon.cut, at(16), KARL), calcom)

    assert find(calling(salon, ANNA)) == [appointment, later]


def test_a_number_without_appointments_finds_none(salon, appointment):
    """Who calls is known, so they may hear that there is nothing."""
    assert find(calling(salon, KARL)) == []


@pytest.mark.parametrize("state", ["cancelled", "rejected", "expired", "completed", "held"])
def test_only_what_stands_is_found(salon, appointment, state):
    """What is over, or never came to be, cannot be moved."""
    Appointment.objects.update(state=state)

    assert find(calling(salon, ANNA)) == []


def test_what_has_begun_is_not_upcoming(salon, appointment):
    """It is too late to change it."""
    Appointment.objects.update(start=timezone.now() - timedelta(minutes=1))

    assert find(calling(salon, ANNA)) == []


def test_a_withheld_number_says_nothing(call, appointment):
    """FM-57: then the caller must say what only they know."""
    with pytest.raises(IdentityRequired):
        find(call)


@pytest.mark.parametrize("ended", [True, False])
def test_without_a_call_that_goes_on_nobody_is_known(salon, appointment, ended):
    """FM-58: there is no falling back to any other call."""
    call = calling(salon, ANNA)
    Conversation.objects.update(ended_at=timezone.now())
    call.refresh_from_db()

    with pytest.raises(IdentityRequired):
        find(call if ended else None, reference=appointment.reference)


def test_whoever_books_with_somebodys_address_sees_nothing_of_theirs(salon, calcom):
    """FM-57: an e-mail address is easily said; the number left with it opens only what was booked for that number."""
    known_by_address = Caller("Anna Schmidt", email=ANNA.email)
    theirs = book(intent(salon.colour, at(14), known_by_address), calcom).appointment
    stranger = Caller("Eve", phone=KARL.phone, email=ANNA.email)
    own = book(intent(salon.cut, at(16), stranger), calcom).appointment

    assert own.customer == theirs.customer
    assert find(calling(salon, stranger)) == [own]


def test_a_call_to_one_company_finds_nothing_of_another(salon, practice, appointment):
    """FM-26: keys, numbers and references are the tenant's own."""
    elsewhere = Conversation.objects.create(company=practice.company, caller_phone=ANNA.phone)

    assert find(elsewhere) == []
    with pytest.raises(IdentityMismatch):
        find(elsewhere, reference=appointment.reference)


def test_an_agent_of_one_branch_finds_nothing_of_another(salon, appointment):
    """The key's branch bounds what it sees, also within a company."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")

    assert find(calling(salon, ANNA), branch=salon.branch) == [appointment]
    assert find(calling(salon, ANNA), branch=other) == []


# --- what only the caller knows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["{0}", " {0} ", "{1}", "{2}"])
def test_a_reference_finds_its_appointment(salon, calcom, call, appointment, said):
    """However it is said: with pauses, with hyphens, in small letters."""
    book(intent(salon.cut, at(9, on=WEDNESDAY)), calcom)
    reference = appointment.reference

    assert find(call, reference=said.format(reference, reference.lower(), "-".join(reference))) == [appointment]


@pytest.mark.parametrize("said", ["Anna Schmidt", "anna  schmidt ", "ANNA SCHMIDT"])
def test_the_exact_name_and_date_find_it(salon, calcom, call, appointment, said):
    """Of that date only; another appointment of the same person is not listed with it."""
    book(intent(salon.cut, at(9, on=WEDNESDAY)), calcom)

    assert find(call, name=said, day=TUESDAY) == [appointment]


@pytest.mark.parametrize(
    ("name", "day"), [("Anna", TUESDAY), ("Anna Schmitt", TUESDAY), ("Anna Schmidt", WEDNESDAY), ("%", TUESDAY)]
)
def test_what_is_nearly_right_is_wrong(call, appointment, name, day):
    """A name is easily heard somewhere; only the exact one with the date counts."""
    with pytest.raises(IdentityMismatch):
        find(call, name=name, day=day)


def test_the_date_is_the_branchs(practice, practice_calcom):
    """FM-50: at eight in the evening in New York it is the next day in UTC."""
    call = Conversation.objects.create(company=practice.company)
    made = book(intent(practice.follow_up, at(16, zone=NEW_YORK), KARL), practice_calcom).appointment
    Appointment.objects.update(start=at(20, zone=NEW_YORK), end=at(20, 30, zone=NEW_YORK))

    assert find(call, name=KARL.name, day=TUESDAY) == [made]
    with pytest.raises(IdentityMismatch):
        find(call, name=KARL.name, day=WEDNESDAY)


def test_two_people_of_one_name_on_one_day_are_told_nothing(salon, calcom, call):
    """Which of them is calling, the name does not say; the reference does."""
    first, _ = (book(intent(salon.cut, at(hour), MARIA), calcom).appointment for hour in (9, 11))

    with pytest.raises(IdentityMismatch):
        find(call, name=MARIA.name, day=TUESDAY)
    assert find(call, name=MARIA.name, day=TUESDAY, reference=first.reference) == [first]


# --- three tries -------------------------------------------------------------------------------------------------


def test_after_three_wrong_answers_the_right_one_is_as_good_as_wrong(salon, call, appointment):
    answers = [_refusal(call, "XXXXXX") for _ in range(3)] + [_refusal(call, appointment.reference)]

    assert {(type(answer), str(answer)) for answer in answers} == {(IdentityMismatch, "Nothing fits what was said.")}


def test_tries_are_counted_on_the_call(salon, call, appointment):
    for _ in range(3):
        _refusal(Conversation.objects.get(pk=call.pk), "XXXXXX")

    assert _refusal(Conversation.objects.get(pk=call.pk), appointment.reference)
    assert find(Conversation.objects.create(company=salon.company), reference=appointment.reference) == [appointment]


def test_a_right_answer_costs_no_try(call, appointment):
    """A caller may ask as often as they like about what they know."""
    for _ in range(5):
        assert find(call, reference=appointment.reference) == [appointment]


def test_a_trusted_number_needs_no_try(salon, appointment):
    call = calling(salon, ANNA)
    for _ in range(3):
        _refusal(call, "XXXXXX")

    assert find(call) == [appointment]


def test_many_tries_at_once_are_no_more_than_three(salon, call, appointment):
    """Each is counted before it is looked at."""
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: _refusal(call, "XXXXXX", on_a_thread=True), range(10)))

    call.refresh_from_db()
    assert call.failed_proofs == identity.TRIES


def test_what_was_said_is_in_no_representation():
    """FM-83: errors and logs print objects."""
    said = repr(Proof(reference="K7MP4Q", name="Anna Schmidt", day=TUESDAY))

    assert "K7MP4Q" not in said
    assert "Anna" not in said


def _refusal(call, reference, *, on_a_thread=False):
    try:
        find(call, reference=reference)
    except BookingError as exc:
        return exc
    finally:
        if on_a_thread:
            connections.close_all()
    return None
