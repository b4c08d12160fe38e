"""What is read back to a caller is theirs until they have answered: offers by token, holds, and booking by either."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings import tasks
from bookings.errors import (
    ConfigurationError,
    ConfirmTokenInvalid,
    DeadlineExceeded,
    HoldExpired,
    SlotNotOffered,
    SlotTaken,
)
from bookings.models import Appointment, Branch, Claim, Conversation, SlotToken
from bookings.scheduling import booking, claims, holds
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from calcom.simulator import Kind
from tests.bookings.helpers import (
    PATIENCE,
    book,
    cancel,
    claims_of,
    intent,
    let_jobs_finish,
    let_lists_know,
    settle,
    starts_of,
)
from tests.factories import ANNA, KARL, MARIA, at, cannot_be_booked

BOOK = "POST /v2/bookings"
LIST = "GET /v2/slots"


@pytest.fixture
def call(salon):
    """A phone call."""
    return Conversation.objects.create(company=salon.company)


@pytest.fixture
def other_call(salon):
    """Another caller, at the same time."""
    return Conversation.objects.create(company=salon.company)


def offer(service, start, conversation, **more):
    """Offer a slot."""
    (issued,) = holds.issue_tokens(
        company=service.branch.company,
        conversation=conversation,
        service=service,
        starts=[start],
        now=timezone.now(),
        **more,
    )
    return holds.resolve_slot_token(token=issued.token, company=issued.company, conversation=conversation)


def hold(offered, calcom, *, wait=PATIENCE):
    """Hold what was offered."""
    return holds.hold(offer=offered, calcom=calcom, deadline=Deadline.after(wait), now=timezone.now())


def hold_slot(service, start, conversation, calcom, **more):
    """Offer a slot and hold it."""
    return hold(offer(service, start, conversation, **more), calcom)


def confirm(held, calcom, caller=ANNA, *, wait=PATIENCE):
    """Book what was held, by its confirm_token."""
    appointment = holds.resolve_confirm_token(
        token=held.confirm_token, company=held.appointment.company, conversation=held.appointment.conversation
    )
    return book(_wish(appointment, caller, hold=appointment), calcom, wait=wait)


def take(offered, calcom, caller=ANNA, *, wait=PATIENCE):
    """Book what was offered, by its slot_token."""
    return book(_wish(offered, caller, offer=offered, staff=offered.staff), calcom, wait=wait)


def _wish(slot, caller, **token):
    return booking.BookingIntent(
        company=slot.company,
        service=slot.service,
        start=slot.start,
        conversation=slot.conversation,
        attendee_name=caller.name,
        attendee_phone=caller.phone,
        attendee_email=caller.email,
        **token,
    )


def run_out(*held):
    """Let the holds run out, and let no sweep come by."""
    ids = [each.appointment.pk for each in held]
    Appointment.objects.filter(pk__in=ids).update(expires_at=timezone.now() - timedelta(seconds=1))
    Claim.objects.filter(appointment__in=ids).update(expires_at=timezone.now() - timedelta(seconds=1))


# --- from the offer to the booking -------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["colour", "cut"])
def test_what_is_held_becomes_the_booking(salon, calcom, simulator, call, service):
    """FM-01: however long the caller talks, the slot that was read back is the one that is booked."""
    held = hold_slot(getattr(salon, service), at(14), call, calcom)

    booked = confirm(held, calcom)

    assert (booked.is_settled, booked.replayed) == (True, False)
    assert booked.appointment == held.appointment
    assert booked.appointment.attendee_name == ANNA.name
    assert set(claims_of(booked.appointment).values()) == {"confirmed"}
    assert simulator.count(BOOK) == 1


def test_a_hold_lasts_two_minutes(salon, calcom, call):
    """By the database's clock, on the appointment as on its claims."""
    held = hold_slot(salon.colour, at(14), call, calcom)

    assert timedelta(seconds=110) < held.expires_at - timezone.now() <= timedelta(seconds=121)
    assert Claim.objects.get().expires_at == held.expires_at
    assert held.appointment.attendee_name == ""


def test_a_booking_needs_no_list_when_it_is_held(salon, calcom, simulator, call):
    """FM-01: booking consumes the hold; what a list says meanwhile cannot take it away."""
    held = hold_slot(salon.colour, at(14), call, calcom)
    redis_client().flushdb()
    lists = simulator.count("GET /v2/slots")

    assert confirm(held, calcom).is_settled
    assert simulator.count("GET /v2/slots") == lists


def test_either_host_may_be_chosen_for_what_is_held(salon, calcom, simulator, call):
    """Cal.com knows nothing of holds: the time of each is kept until it has chosen."""
    held = hold_slot(salon.cut, at(14), call, calcom)
    assert claims_of(held.appointment) == {"Emma": "held", "Ben": "held"}
    simulator.busy("emma", at(14), at(15))

    booked = confirm(held, calcom)

    assert claims_of(booked.appointment) == {"Ben": "confirmed"}
    assert booked.appointment.host == salon.ben.host


def test_a_token_books_once(salon, calcom, simulator, call):
    """FM-04, FM-09: a repeat by any of the tokens gets what the first request came to."""
    offered = offer(salon.colour, at(14), call)
    held = hold(offered, calcom)
    first = confirm(held, calcom)

    repeats = [confirm(held, calcom), take(offered, calcom), confirm(held, calcom, KARL)]

    assert {each.appointment for each in repeats} == {first.appointment}
    assert all(each.replayed and each.is_settled for each in repeats)
    assert simulator.count(BOOK) == 1


def test_a_token_is_used_up_for_good(salon, calcom, simulator, call):
    """After cancelling, the slot is booked again by a newly issued token; the old one says what became of it."""
    offered = offer(salon.colour, at(14), call)
    first = take(offered, calcom)
    cancel(first.appointment, calcom)

    again = take(offered, calcom)
    assert (again.replayed, again.appointment.state) == (True, "cancelled")
    with pytest.raises(SlotNotOffered):
        hold(offered, calcom)

    anew = take(offer(salon.colour, at(14), call), calcom)
    assert (anew.is_settled, anew.replayed) == (True, False)
    assert simulator.count(BOOK) == 2


def test_what_cal_com_refused_stays_refused(salon, calcom, simulator, call):
    """The token binds the no as well, with alternatives each time."""
    held = hold_slot(salon.colour, at(14), call, calcom)
    simulator.busy("emma", at(14), at(15))

    for _ in range(2):
        with pytest.raises(SlotTaken) as refusal:
            confirm(held, calcom)
        assert len(refusal.value.alternatives) == 3
    assert simulator.count(BOOK) == 1
    assert claims_of(held.appointment) == {}


def test_an_offer_is_booked_as_it_was_made(salon, calcom, simulator, call):
    """FM-16: service, event type and length are the token's, whatever the service is booked by now."""
    offered = offer(salon.cut, at(14), call, staff=salon.emma, event_type=salon.emmas_cut.event_type)
    salon.cut.event_type = salon.beard.event_type
    salon.cut.save()

    booked = take(offered, calcom)

    assert booked.appointment.event_type == salon.emmas_cut.event_type
    assert booked.appointment.end - booked.appointment.start == timedelta(minutes=30)
    assert booked.appointment.host == salon.emma.host


def test_an_offer_that_cannot_be_booked_is_not_held(practice, practice_calcom):
    """Staff must put it right first."""
    with pytest.raises(ConfigurationError):
        hold(offer(cannot_be_booked(practice.vaccination), at(16), None), practice_calcom)


def test_a_program_holds_without_a_conversation(salon, calcom, simulator):
    """Then the token alone is the wish."""
    held, other = (hold_slot(salon.colour, at(hour), None, calcom) for hour in (10, 14))

    assert confirm(held, calcom).is_settled
    assert confirm(other, calcom).is_settled
    assert simulator.count(BOOK) == 2


# --- exclusive -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["colour", "cut"])
def test_what_is_held_is_not_offered_to_others(salon, calcom, simulator, call, service):
    """FM-06, FM-14: one host or two, a live hold hides the slot, and neither holds nor bookings get past it."""
    wanted = getattr(salon, service)
    assert at(14) in starts_of(wanted, calcom)
    hold_slot(wanted, at(14), call, calcom)

    assert at(14) not in starts_of(wanted, calcom)
    for attempt in (
        lambda: hold_slot(wanted, at(14), None, calcom),
        lambda: book(intent(wanted, at(14), KARL), calcom),
    ):
        with pytest.raises(SlotTaken) as refusal:
            attempt()
        assert len(refusal.value.alternatives) == 3
    assert simulator.count(BOOK) == 0


def test_a_hold_is_a_host_and_a_range(salon, calcom, call):
    """FM-05: what overlaps with the same host is refused, another host's time is not."""
    hold_slot(salon.colour, at(14), call, calcom)
    salon.cut.event_type = salon.emmas_cut.event_type

    with pytest.raises(SlotTaken):
        book(intent(salon.cut, at(15), KARL), calcom)  # colour takes an hour and a quarter
    assert book(intent(salon.cut, at(15, 30), KARL), calcom).is_settled
    assert book(intent(salon.beard, at(14), KARL), calcom).is_settled


def test_a_hold_of_either_host_keeps_both(salon, calcom, call):
    """The list proved that one of them is free, not who: what Emma gave away may have been what was promised."""
    hold_slot(salon.cut, at(14), call, calcom)

    for service in (salon.colour, salon.beard):
        with pytest.raises(SlotTaken):
            book(intent(service, at(14), KARL), calcom)


def test_a_list_that_does_not_know_of_a_booking_proves_nothing(salon, calcom, simulator, call):
    """FM-06: Ben may be free, but the list is older than the booking; as soon as a newer one can tell, it is asked."""
    offered = offer(salon.cut, at(14), call)
    assert hold(offer(salon.cut, at(9), call), calcom).verified
    assert book(intent(salon.cut, at(14), KARL), calcom).is_settled

    with pytest.raises(SlotTaken):
        hold(offered, calcom)
    assert simulator.count(LIST) == 1

    let_lists_know()
    held = hold(offered, calcom)
    assert len(claims_of(held.appointment)) == 1
    assert simulator.count(LIST) == 2


def test_a_newer_list_may_say_no(salon, calcom, simulator, call):
    """The other host is busy elsewhere: one question settles it, and other times are offered."""
    offered = offer(salon.cut, at(14), call)
    assert hold(offer(salon.cut, at(9), call), calcom).verified
    assert book(intent(salon.cut, at(14), KARL), calcom).is_settled
    [booking] = simulator.bookings()
    simulator.busy("ben" if booking["host"] == "emma" else "emma", at(14), at(15))
    let_lists_know()

    for _ in range(2):
        with pytest.raises(SlotTaken) as refusal:
            hold(offered, calcom)
        assert len(refusal.value.alternatives) == 3
    assert simulator.count(LIST) == 2


def test_where_cal_com_cannot_be_asked_a_doubt_is_a_no(salon, calcom, simulator, call):
    offered = offer(salon.cut, at(14), call)
    assert hold(offer(salon.cut, at(9), call), calcom).verified
    assert book(intent(salon.cut, at(14), KARL), calcom).is_settled
    let_lists_know()
    simulator.fail(LIST, Kind.ERROR_BEFORE, times=None)

    with pytest.raises(SlotTaken):
        hold(offered, calcom)


def test_a_hold_waits_for_a_write_that_may_leave_time(salon, calcom, simulator, call):
    offered = offer(salon.cut, at(14), call)
    with simulator.holding(BOOK):
        book(intent(salon.cut, at(14), KARL), calcom, wait=0.2)

        with pytest.raises(DeadlineExceeded):
            hold(offered, calcom, wait=0.3)
    let_jobs_finish()

    let_lists_know()
    assert not hold(offered, calcom).replayed


def test_the_only_host_being_booked_is_taken(salon, calcom, simulator, call):
    """There is nothing to wait for."""
    offered = offer(salon.colour, at(14), call)
    with simulator.holding(BOOK):
        book(intent(salon.colour, at(14), KARL), calcom, wait=0.2)

        with pytest.raises(SlotTaken):
            hold(offered, calcom)
    let_jobs_finish()


# --- how a hold ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["colour", "cut"])
def test_a_hold_that_ran_out_is_free_at_once_for_everybody(salon, calcom, call, other_call, service):
    """Swept or not, with one host or two: it is offered, held and booked as if it had never been."""
    wanted = getattr(salon, service)
    run_out(hold_slot(wanted, at(14), call, calcom))
    assert at(14) in starts_of(wanted, calcom)

    run_out(hold_slot(wanted, at(14), other_call, calcom))
    assert at(14) in starts_of(wanted, calcom)

    assert book(intent(wanted, at(14), KARL), calcom).is_settled
    assert sorted(Appointment.objects.values_list("state", flat=True)) == ["confirmed", "expired", "expired"]


def test_a_hold_that_ran_out_is_not_booked(salon, calcom, simulator, call):
    """The caller took too long: the agent is told so, with other times, and may hold the same offer again."""
    offered = offer(salon.colour, at(14), call)
    held = hold(offered, calcom)
    run_out(held)

    with pytest.raises(HoldExpired) as refusal:
        confirm(held, calcom)
    assert len(refusal.value.alternatives) == 3
    assert simulator.count(BOOK) == 0

    again = hold(offered, calcom)
    assert (again.replayed, again.confirm_token == held.confirm_token) == (False, False)
    assert confirm(again, calcom).is_settled
    with pytest.raises(HoldExpired):
        confirm(held, calcom)


def test_an_offer_is_booked_although_its_hold_ran_out(salon, calcom, call):
    """The slot_token asks for the slot, not for the hold: it goes the way of a booking without one."""
    offered = offer(salon.colour, at(14), call)
    run_out(hold(offered, calcom))

    assert take(offered, calcom).is_settled


def test_a_hold_that_runs_out_while_it_is_booked(salon, calcom, simulator, call):
    """held → pending is one comparison by the database's clock: what ran out a moment ago is not booked."""
    held = hold_slot(salon.colour, at(14), call, calcom)
    seen = Appointment.objects.get(pk=held.appointment.pk)
    run_out(held)

    with pytest.raises(claims.Contention):
        booking.commit(_wish(seen, ANNA, hold=seen), Deadline.after(1), seen)

    seen.refresh_from_db()
    assert (seen.state, seen.attendee_name, seen.customer) == ("held", "", None)
    assert simulator.count(BOOK) == 0


def test_a_conversation_holds_one_time(salon, calcom, call):
    """A new hold replaces the old one, which is free at once, also where both overlap."""
    first = hold_slot(salon.colour, at(14), call, calcom)
    second = hold_slot(salon.colour, at(15), call, calcom)

    first.appointment.refresh_from_db()
    assert first.appointment.state == "expired"
    assert Claim.objects.get().appointment == second.appointment
    with pytest.raises(HoldExpired):
        confirm(first, calcom)


def test_what_cannot_be_held_leaves_what_is(salon, calcom, call, other_call):
    """Both or neither: who is refused another time keeps the one that was held."""
    hold_slot(salon.colour, at(10), other_call, calcom)
    held = hold_slot(salon.colour, at(14), call, calcom)

    with pytest.raises(SlotTaken):
        hold_slot(salon.colour, at(10), call, calcom)

    assert confirm(held, calcom).is_settled


def test_a_crash_while_a_hold_is_replaced_leaves_the_old_one(salon, calcom, call, monkeypatch):
    """The old one ends in the transaction that writes the new one."""
    held, other = hold_slot(salon.colour, at(14), call, calcom), offer(salon.colour, at(10), call)
    with monkeypatch.context() as crash:
        crash.setattr(claims, "take", _die)
        with pytest.raises(KeyboardInterrupt):
            hold(other, calcom)

    assert Appointment.objects.count() == 1
    assert confirm(held, calcom).is_settled


def test_a_repeat_gets_the_same_hold(salon, calcom, call):
    """FM-12: the platform asked twice; the first answer's confirm_token is still the right one."""
    offered = offer(salon.colour, at(14), call)
    first, again = hold(offered, calcom), hold(offered, calcom)

    assert (first.replayed, again.replayed) == (False, True)
    assert (again.confirm_token, again.expires_at) == (first.confirm_token, first.expires_at)


def test_holding_what_is_booked_says_so(salon, calcom, simulator, call):
    """A late twin of the hold holds nothing: its answer is the booking."""
    offered = offer(salon.colour, at(14), call)
    booked = take(offered, calcom)

    late = hold(offered, calcom)
    assert (late.replayed, late.expires_at, late.appointment) == (True, None, booked.appointment)
    assert confirm(late, calcom).replayed
    assert simulator.count(BOOK) == 1


def test_a_hold_is_given_back(salon, calcom, call):
    """At once, and twice is once; what has been booked stays booked."""
    offered = offer(salon.colour, at(14), call)
    held = hold(offered, calcom)

    for _ in range(2):
        holds.release(appointment=held.appointment)
    assert held.appointment.state == "expired"
    assert at(14) in starts_of(salon.colour, calcom)

    booked = confirm(hold(offered, calcom), calcom)
    holds.release(appointment=booked.appointment)
    assert booked.appointment.state == "confirmed"


def test_what_was_booked_at_cal_com_goes_before_what_is_held(salon, calcom, simulator, call):
    """Cal.com's truth is always storable, and a hold is no overlap to alert about: it is refused when it is booked."""
    held = hold_slot(salon.colour, at(14), call, calcom)
    booked_there = Appointment.objects.create(
        company=salon.company,
        branch=salon.branch,
        event_type=salon.emmas_cut.event_type,
        state="confirmed",
        origin="calcom",
        start=at(14),
        end=at(14, 30),
    )

    assert claims.record(booked_there, [salon.emma.host_id])
    with pytest.raises(SlotTaken):
        confirm(held, calcom)
    assert simulator.count(BOOK) == 0


def test_offers_are_deleted_a_day_after_they_expired(salon, call):
    """Until then a repeat still gets what its token led to."""
    kept, old = offer(salon.cut, at(10), call), offer(salon.cut, at(11), call)
    SlotToken.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(hours=25))

    tasks.delete_expired_offers()

    assert list(SlotToken.objects.all()) == [kept]


# --- one wish ----------------------------------------------------------------------------------------------------


def test_two_offers_of_one_slot_are_one_wish(salon, calcom, simulator, call):
    """FM-12: searched twice, taken twice, by whichever token: with two hosts Cal.com would have booked both."""
    offers = [offer(salon.cut, at(14), call) for _ in range(2)]

    first, twin = (take(each, calcom) for each in offers)

    assert (twin.appointment, twin.replayed) == (first.appointment, True)
    assert simulator.count(BOOK) == 1


def test_token_and_time_are_one_wish(salon, calcom, simulator, call):
    """FM-12: the twin came with service and start instead of the token."""
    first = confirm(hold_slot(salon.cut, at(14), call, calcom), calcom)

    twin = book(intent(salon.cut, at(14), conversation=call), calcom)

    assert (twin.appointment, twin.replayed) == (first.appointment, True)
    assert simulator.count(BOOK) == 1


def test_what_is_offered_after_a_booking_is_another_slot(salon, calcom, simulator, call):
    """FM-09: mother and child both come at two; the second was offered when the first was booked."""
    first = take(offer(salon.cut, at(14), call), calcom)
    let_lists_know()

    second = take(offer(salon.cut, at(14), call), calcom, KARL)

    assert (second.is_settled, second.replayed) == (True, False)
    assert {first.appointment.host, second.appointment.host} == {salon.emma.host, salon.ben.host}


def test_a_second_booking_in_one_call(salon, calcom, simulator, call):
    """FM-09: the key is not the call alone."""
    first = confirm(hold_slot(salon.colour, at(10), call, calcom), calcom)
    second = confirm(hold_slot(salon.colour, at(14), call, calcom), calcom)

    assert first.appointment != second.appointment
    assert simulator.count(BOOK) == 2


def test_a_booking_by_time_uses_the_hold_of_its_call(salon, calcom, simulator, call):
    held = hold_slot(salon.cut, at(14), call, calcom)

    booked = book(intent(salon.cut, at(14), conversation=call), calcom)

    assert booked.appointment == held.appointment
    assert simulator.count(BOOK) == 1


def test_a_booking_beside_the_hold_gives_it_up(salon, calcom, call):
    """The caller took three o'clock instead, which overlaps what was held for them."""
    held = hold_slot(salon.colour, at(14), call, calcom)

    booked = take(offer(salon.colour, at(15), call), calcom)

    held.appointment.refresh_from_db()
    assert (booked.is_settled, held.appointment.state) == (True, "expired")


def test_a_hold_whose_host_became_free_for_others_waits_its_turn(salon, calcom, simulator, call):
    """FM-13: Emma was busy when Ben's time was held; now both may be chosen, and a write to Emma is on its way."""
    colour = book(intent(salon.colour, at(14), KARL), calcom)
    let_lists_know()
    held = hold_slot(salon.cut, at(14), call, calcom)
    assert claims_of(held.appointment) == {"Ben": "held"}
    cancel(colour.appointment, calcom)

    with simulator.holding(BOOK):
        book(intent(salon.colour, at(14), MARIA), calcom, wait=0.2)
        cut = confirm(held, calcom, wait=0.3)
        assert (cut.is_settled, claims_of(cut.appointment)) == (False, {"Emma": "queued", "Ben": "queued"})
        assert simulator.in_flight(BOOK) == 1
    let_jobs_finish()

    assert settle(cut.operation, calcom).appointment.host == salon.ben.host
    assert simulator.overlaps() == []


# --- tokens ------------------------------------------------------------------------------------------------------


def test_a_token_is_spoken_for_by_its_conversation(salon, practice, calcom, call, other_call):
    """No oracle: made up, of another conversation, branch or company, it was never offered here."""
    issued = offer(salon.colour, at(14), call)
    held = hold(issued, calcom)
    elsewhere = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    strangers = [
        {"company": salon.company, "conversation": other_call},
        {"company": salon.company, "conversation": None},
        {"company": practice.company, "conversation": call},
        {"company": salon.company, "conversation": call, "branch": elsewhere},
    ]

    said = {_refusal(holds.resolve_slot_token, token=issued.token, **each) for each in strangers}
    said.add(_refusal(holds.resolve_slot_token, token="0000000000", company=salon.company, conversation=call))
    assert said == {("slot_not_offered", "No offer was made here under this slot_token.")}
    said = {_refusal(holds.resolve_confirm_token, token=held.confirm_token, **each) for each in strangers}
    said.add(_refusal(holds.resolve_confirm_token, token=issued.token, company=salon.company, conversation=call))
    assert said == {("confirm_token_invalid", "Nothing was held here under this confirm_token.")}


def test_a_token_is_understood_as_it_is_heard(salon, call):
    """Crockford's letters: no I, L, O; who writes them means 1 and 0."""
    issued = offer(salon.colour, at(14), call)
    SlotToken.objects.filter(pk=issued.pk).update(token="7K3QX01MTA")

    found = holds.resolve_slot_token(token="7k3q-xolm ta", company=salon.company, conversation=call)

    assert found == issued


def test_an_offer_that_ran_out_is_not_offered(salon, calcom, call):
    """It is half an hour old: the agent hears of other times. What it led to before is still replayed."""
    offered, booked = offer(salon.colour, at(14), call), offer(salon.colour, at(10), call)
    first = take(booked, calcom)
    SlotToken.objects.update(expires_at=timezone.now())
    for each in (offered, booked):
        each.refresh_from_db()

    for attempt in (hold, take):
        with pytest.raises(SlotNotOffered) as refusal:
            attempt(offered, calcom)
        assert len(refusal.value.alternatives) == 3
    assert take(booked, calcom).appointment == first.appointment


def test_offers_are_written_at_once(salon, call):
    """One statement for all of an answer, in the order of the answer, each token its own."""
    starts = [at(hour) for hour in (9, 10, 11)]
    with CaptureQueriesContext(connection) as statements:
        issued = holds.issue_tokens(
            company=salon.company, conversation=call, service=salon.cut, starts=starts, now=timezone.now()
        )

    assert sum(each["sql"].startswith("INSERT") for each in statements) == 1
    assert [each.start for each in issued] == starts
    assert len({each.token for each in issued}) == 3
    assert all(len(each.token) == 10 for each in issued)


def _refusal(resolve, **asked):
    with pytest.raises((SlotNotOffered, ConfirmTokenInvalid)) as refusal:
        resolve(**asked)
    return refusal.value.code, str(refusal.value)


def _die(*_):
    raise KeyboardInterrupt


pytestmark = pytest.mark.usefixtures("_jobs")
