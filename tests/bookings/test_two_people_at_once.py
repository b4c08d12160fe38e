"""Two people may call from one number and come at one time: each has an appointment and a reference of their own."""

import pytest
from django.utils import timezone

from bookings.errors import AlreadyBooked
from bookings.models import Appointment, Conversation, Customer
from bookings.scheduling import booking, holds, identity
from calcom.http import parsing
from tests.bookings.helpers import book, cancel, intent, let_lists_know
from tests.factories import ANNA, KARL, MARIA, Caller, at

BEN = Caller("Ben Weber", phone=KARL.phone)
ANNAS_HUSBAND = Caller("Otto Schmidt", email=ANNA.email)


def accepted(simulator):
    """Return what stands at Cal.com."""
    return [booking for booking in simulator.bookings() if booking["status"] == "accepted"]


def take(offer, caller, calcom):
    """Book what was offered."""
    asked = booking.BookingIntent(
        company=offer.company,
        service=offer.service,
        start=offer.start,
        conversation=offer.conversation,
        attendee_name=caller.name,
        attendee_phone=caller.phone,
        attendee_email=caller.email,
        offer=offer,
    )
    return book(asked, calcom)


@pytest.fixture
def call(salon):
    """A phone call."""
    return Conversation.objects.create(company=salon.company)


@pytest.fixture
def offers(salon, call):
    """The same slot, offered twice before either is taken."""
    offered = {"company": salon.company, "conversation": call, "service": salon.cut, "now": timezone.now()}
    return holds.issue_tokens(starts=[at(14), at(14)], **offered)


# --- one number --------------------------------------------------------------------------------------------------


def test_two_people_of_one_number_come_at_one_time(salon, calcom, simulator):
    """Two hosts are free: each person has an appointment and a reference, and Cal.com knows two attendees."""
    first = book(intent(salon.cut, at(14), KARL), calcom).appointment
    let_lists_know()
    second = book(intent(salon.cut, at(14), BEN), calcom).appointment

    assert (first.state, second.state) == ("confirmed", "confirmed")
    assert first.reference != second.reference
    assert first.customer == second.customer
    addresses = [each["email"] for each in accepted(simulator)]
    pk = first.customer.pk
    assert sorted(address.partition("@")[0] for address in addresses) == [f"customer-{pk}", f"customer-{pk}-2"]


def test_address_has_a_suffix_only_where_it_is_needed(salon, calcom, simulator):
    """At another time, and after a cancellation, the customer is known by one address."""
    first = book(intent(salon.cut, at(14), KARL), calcom).appointment
    book(intent(salon.cut, at(16), KARL), calcom)
    cancel(first, calcom)
    book(intent(salon.cut, at(14), BEN), calcom)

    assert len({each["email"] for each in accepted(simulator)}) == 1


def test_each_caller_without_a_number_has_an_address_of_their_own(salon, calcom, simulator):
    """Nothing says that they are the same."""
    book(intent(salon.cut, at(14), MARIA), calcom)
    let_lists_know()
    book(intent(salon.cut, at(14), Caller("Luigi Bianchi")), calcom)

    assert len({each["email"] for each in accepted(simulator)}) == Customer.objects.count() == 2


def test_event_type_that_limits_each_booker_knows_a_customer_by_one_address(salon, calcom, simulator):
    """A second address would get round its limit: the caller hears how it is."""
    salon.cut.event_type.limits_each_booker = True
    salon.cut.event_type.save()
    book(intent(salon.cut, at(14), KARL), calcom)
    let_lists_know()

    with pytest.raises(AlreadyBooked):
        book(intent(salon.cut, at(14), BEN), calcom)

    assert len(accepted(simulator)) == 1


def test_limit_of_each_booker_is_read():
    """As Cal.com writes what is on and off."""
    body = {"id": 1, "lengthInMinutes": 30}
    assert parsing.event_type({**body, "bookerActiveBookingsLimit": {"maximumActiveBookings": 1}}).limits_each_booker
    assert not parsing.event_type({**body, "bookerActiveBookingsLimit": {"disabled": True}}).limits_each_booker


# --- one address -------------------------------------------------------------------------------------------------


def test_address_that_two_people_share_gets_an_honest_no(agent, salon, calcom, simulator):
    """Cal.com would return the first person's booking: nothing is sent, and no reference is told."""
    first = agent.book(salon.cut, at(14), ANNA).json()["booking"]["reference"]
    let_lists_know()
    sent = simulator.count("POST /v2/bookings")

    answer = agent.book(salon.cut, at(14), ANNAS_HUSBAND)

    assert (answer.status_code, answer.json()["code"]) == (409, "already_booked")
    assert first not in answer.content.decode()
    assert simulator.count("POST /v2/bookings") == sent


def test_address_booked_at_calcom_unheard_gets_an_honest_no(agent, salon, calcom, simulator):
    """Cal.com returned a booking that was made there a moment ago."""
    simulator.book_elsewhere("haircut", at(14), host="emma", email=ANNA.email, webhook=False)

    answer = agent.book(salon.cut, at(14), ANNA)

    assert (answer.status_code, answer.json()["code"]) == (409, "already_booked")
    assert len(accepted(simulator)) == 1


def test_address_of_another_customer_books_an_appointment_of_its_own(agent, salon, calcom):
    first = agent.book(salon.cut, at(14), ANNA).json()["booking"]["reference"]
    second = agent.book(salon.cut, at(15), ANNAS_HUSBAND).json()["booking"]["reference"]

    assert first != second
    assert Appointment.objects.get(reference=second).attendee_name == ANNAS_HUSBAND.name


# --- one conversation --------------------------------------------------------------------------------------------


def test_slot_taken_in_another_name_is_another_appointment(calcom, simulator, offers):
    """Both offers were made before either was taken, and one call books for two people."""
    first = take(offers.pop(), KARL, calcom)
    let_lists_know()
    second = take(offers.pop(), BEN, calcom)

    assert (second.is_settled, second.replayed) == (True, False)
    assert first.appointment.reference != second.appointment.reference
    assert len(accepted(simulator)) == 2


def test_slot_taken_twice_in_one_name_is_one_appointment(calcom, simulator, offers):
    """A platform repeated itself, and heard the name a little differently."""
    first = take(offers.pop(), KARL, calcom)
    again = take(offers.pop(), Caller("Carl Weber", phone=KARL.phone), calcom)

    assert (again.replayed, again.appointment) == (True, first.appointment)
    assert len(accepted(simulator)) == 1


def test_repeat_without_a_token_is_the_first_booking_in_whichever_name(salon, calcom, simulator, call):
    """By service and start alone a second person cannot be told from a platform's repeat with other arguments."""
    first = book(intent(salon.cut, at(14), KARL, conversation=call), calcom)
    again = book(intent(salon.cut, at(14), Caller("Maria Rossi"), conversation=call), calcom)

    assert (again.replayed, again.appointment) == (True, first.appointment)
    assert len(accepted(simulator)) == 1


@pytest.mark.parametrize(
    ("one", "other", "may_be"),
    [
        ("Anna Schmidt", "anna  SCHMIDT", True),
        ("Anna Schmidt", "Anna", True),
        ("Anna Schmidt", "Frau Anna Schmidt", True),
        ("Anna Schmidt", "Anna Schmitt", True),
        ("", "Anna Schmidt", True),
        ("Anna Schmidt", "Ben Schmidt", False),
        ("Karl Weber", "Ben Weber", False),
        ("Anna Schmidt", "Maria Rossi", False),
    ],
)
def test_names_of_one_person(one, other, may_be):
    """In part, or heard a little differently; not of one family only."""
    assert identity.may_be_one_person(one, other) is may_be
    assert identity.may_be_one_person(other, one) is may_be
