"""From a wish to a confirmed appointment, or to a reason why not."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from bookings.errors import (
    Closed,
    ConfigurationError,
    DateInPast,
    SlotNotOffered,
    SlotTaken,
    TooFar,
    TooSoon,
    UpstreamUnavailable,
)
from bookings.models import Appointment, Claim, Customer, Operation
from bookings.scheduling.customers import customer_for
from cachectl.models import CacheInvalidation
from calcom.models import Account
from calcom.service import CalcomService
from tests.bookings.helpers import book, claims_of, intent, let_jobs_finish, settle
from tests.factories import ANNA, KARL, MARIA, NOWHERE, SUNDAY, at, cannot_be_booked

LIST = "GET /v2/slots"
BOOK = "POST /v2/bookings"


def test_a_booked_slot_is_confirmed_with_its_host(salon, calcom):
    """FM-07: "booked" comes after Cal.com's yes, and then the row knows with whom."""
    booked = book(intent(salon.colour, at(14)), calcom)

    assert booked.is_settled
    assert booked.appointment.state == "confirmed"
    assert booked.appointment.host == salon.emma.host
    assert booked.appointment.remote_uid


def test_a_pending_round_robin_claims_everybody_and_a_confirmed_one_only_the_chosen(salon, calcom, simulator):
    """FM-13."""
    with simulator.holding(BOOK):
        appointment = book(intent(salon.cut, at(14)), calcom, wait=0.3).appointment
        assert claims_of(appointment) == {"Emma": "pending", "Ben": "pending"}
    let_jobs_finish()

    chosen = Appointment.objects.get().host.name
    assert claims_of(appointment) == {chosen: "confirmed"}


def test_a_claim_takes_the_buffers_too(salon, calcom):
    book(intent(salon.colour, at(14)), calcom)

    claim = Claim.objects.get()
    assert (claim.start, claim.end) == (at(14), at(15, 15))


def test_a_booking_on_a_known_day_costs_no_request_for_slots(salon, calcom, simulator):
    """FM-53: only slots of the list are booked, and a list that is known is not asked for again."""
    book(intent(salon.colour, at(9)), calcom)
    book(intent(salon.colour, at(11)), calcom)

    assert simulator.count(LIST) == 1
    assert simulator.count(BOOK) == 2


def test_the_same_slot_is_not_sold_twice(salon, calcom, simulator):
    """FM-02: our own row refuses the second caller; Cal.com is not even asked."""
    book(intent(salon.colour, at(14)), calcom)

    with pytest.raises(SlotTaken) as refusal:
        book(intent(salon.colour, at(14), KARL), calcom)

    assert simulator.count(BOOK) == 1
    assert at(14) not in refusal.value.alternatives
    assert len(refusal.value.alternatives) == 3


def test_another_service_of_the_same_host_is_taken_too(salon, calcom, simulator):
    """FM-22: colour keeps Emma busy for a cut with her."""
    book(intent(salon.colour, at(14)), calcom)
    salon.cut.event_type = salon.emmas_cut.event_type

    with pytest.raises(SlotTaken):
        book(intent(salon.cut, at(14, 30), KARL), calcom)


def test_what_cal_com_refuses_is_rejected_and_its_day_invalidated(salon, calcom, simulator):
    book(intent(salon.colour, at(9)), calcom)
    simulator.busy("emma", at(14), at(15))

    with pytest.raises(SlotTaken) as refusal:
        book(intent(salon.colour, at(14), KARL), calcom)

    assert at(14) not in refusal.value.alternatives
    rejected = Appointment.objects.get(start=at(14))
    assert (rejected.state, claims_of(rejected)) == ("rejected", {})
    assert Operation.objects.get(appointment=rejected).outcome == "not_available"
    assert CacheInvalidation.objects.filter(cause=CacheInvalidation.Cause.REFUSED).exists()


@pytest.mark.parametrize(
    ("start", "refusal"),
    [
        (timezone.now() - timedelta(days=365), DateInPast),
        (timezone.now() + timedelta(minutes=30), TooSoon),
        (timezone.now() + timedelta(days=60), TooFar),
        (at(3), Closed),
        (at(17, 30), Closed),
        (at(10, on=SUNDAY), Closed),
        (at(10, 7), SlotNotOffered),
    ],
)
def test_what_is_not_offered_is_refused_by_name(salon, calcom, simulator, start, refusal):
    """FM-51, FM-53: each reason has its code, and nothing is sent."""
    salon.colour.notice_minutes, salon.colour.horizon_days = 120, 30

    with pytest.raises(refusal):
        book(intent(salon.colour, start), calcom)

    assert simulator.count(BOOK) == 0
    assert not Appointment.objects.exists()
    assert not Customer.objects.exists()


def test_a_day_nobody_could_load_is_not_called_full(salon, calcom):
    salon.account.base_url = NOWHERE
    salon.account.save()

    with pytest.raises(UpstreamUnavailable):
        book(intent(salon.colour, at(14)), calcom)


def test_a_wish_waits_while_cal_com_cannot_be_reached(salon, calcom, simulator):
    """Nothing was sent, so it stays queued, keeps its time, and is entered as soon as that is possible."""
    book(intent(salon.colour, at(9)), calcom)
    unreachable = Account.objects.get(pk=salon.account.pk)
    unreachable.base_url = NOWHERE

    waiting = book(intent(salon.colour, at(14), KARL), CalcomService(unreachable))
    assert (waiting.is_settled, waiting.operation.state) == (False, "queued")
    assert claims_of(waiting.appointment) == {"Emma": "pending"}

    assert settle(waiting.operation, calcom).state == "done"
    assert Appointment.objects.get(start=at(14)).state == "confirmed"


def test_a_late_answer_settles_the_row_after_the_caller_has_gone(salon, calcom, simulator):
    """FM-15: the deadline bounds the caller's wait, never the booking."""
    with simulator.holding(BOOK):
        pending = book(intent(salon.colour, at(14)), calcom, wait=0.3)
        assert (pending.is_settled, pending.appointment.state) == (False, "pending")

    let_jobs_finish()
    assert Appointment.objects.get().state == "confirmed"


def test_callers_without_number_or_address_can_book(salon, calcom, simulator):
    """FM-56, FM-03: each gets an address of their own, so Cal.com cannot mistake one for the other."""
    book(intent(salon.cut, at(10), MARIA), calcom)
    book(intent(salon.cut, at(12), MARIA), calcom)

    addresses = {booking["email"] for booking in simulator.bookings()}
    assert len(addresses) == 2
    assert all(address.endswith("@callers.example") for address in addresses)


def test_a_caller_is_known_again_by_phone(salon, calcom):
    """The same number is the same customer; what they tell later is added, never overwritten."""
    book(intent(salon.cut, at(10), KARL), calcom)
    book(intent(salon.cut, at(12), ANNA), calcom)
    book(intent(salon.cut, at(14), KARL), calcom)

    assert Customer.objects.count() == 2
    assert Customer.objects.get(phone=KARL.phone).email is None


def test_a_customer_known_by_address_learns_no_number(salon):
    """FM-57."""
    anna = customer_for(company=salon.company, name="Anna", phone=None, email="anna@example.com")

    again = customer_for(company=salon.company, name="", phone=KARL.phone, email="anna@example.com")

    assert again == anna
    assert Customer.objects.get(pk=anna.pk).phone is None


def test_cal_com_hears_our_id_and_nothing_else_in_metadata(salon, calcom, simulator):
    """FM-83."""
    appointment = book(intent(salon.cut, at(10)), calcom).appointment

    (booking,) = simulator.bookings()
    assert list(booking["metadata"].values()) == [appointment.public_id]


def test_answers_that_cal_com_insists_on_come_from_the_service(practice, practice_calcom, simulator):
    """FM-61: a default per service answers a field that no caller is asked for."""
    booked = book(intent(practice.check_up, at(20)), practice_calcom)

    assert booked.is_settled  # the simulator refuses a booking without it


def test_a_missing_answer_is_told_to_staff_before_anything_is_sent(practice, practice_calcom, simulator):
    """FM-61: one sentence says what is missing, and where."""
    practice.check_up.field_defaults = {"insurance": "Unlisted"}

    with pytest.raises(ConfigurationError, match="insurance"):
        book(intent(practice.check_up, at(20)), practice_calcom)

    assert simulator.count() == 0


def test_what_cannot_be_served_is_not_tried(practice, practice_calcom, simulator):
    """Several people would share one booking."""
    with pytest.raises(ConfigurationError, match="seats"):
        book(intent(cannot_be_booked(practice.vaccination), at(20)), practice_calcom)

    assert simulator.count() == 0


def test_a_length_among_several_is_sent_along(practice, practice_calcom, simulator):
    """FM-16: what was offered at one length is booked at that length."""
    appointment = book(intent(practice.follow_up, at(20)), practice_calcom).appointment

    assert appointment.end - appointment.start == timedelta(minutes=15)
    (booking,) = simulator.bookings()
    assert datetime.fromisoformat(booking["end"]) == at(20, 15)
