"""Each host whom Cal.com names for a booking is busy with it: the organizer, fixed hosts, all of a collective type."""

from datetime import timedelta

import pytest

from bookings.availability.occupancy import Conflict, Occupancy, Row, check_conflict
from bookings.errors import SlotTaken
from bookings.models import Appointment, Claim, Service
from calcom.models import Cursor, EventTypeHost, Host
from calcom.tasks import sync_event_type
from calcom.webhooks import polling
from tests.bookings.helpers import book, cancel, claims_of, intent, reschedule
from tests.calcom.webhooks import Hooks, handed_out
from tests.factories import ANNA, KARL, TUESDAY, at

BOOK = "POST /v2/bookings"
BOTH = {"Emma": "confirmed", "Ben": "confirmed"}


def change_hosts(salon, simulator, **hosts):
    """Change who serves haircuts at Cal.com, and have that synced; return the service as it is then."""
    simulator.change_event_type("haircut", **hosts)
    sync_event_type(account_id=salon.account.pk, calcom_id=1)
    return Service.objects.select_related("event_type", "branch__company").get(pk=salon.cut.pk)


@pytest.fixture
def together(salon, calcom, simulator):
    """Emma and Ben cut hair together."""
    return change_hosts(salon, simulator, fixed=["emma", "ben"])


@pytest.fixture
def beside_emma(salon, calcom, simulator):
    """Emma attends each haircut, and Ben and the owner take turns beside her."""
    return change_hosts(salon, simulator, hosts=["emma", "ben", "salon"], fixed=["emma"])


def lose_addresses():
    """Know hosts by their names only, as the lists of event types tell them."""
    Host.objects.update(email="")


# --- what is known of them ---------------------------------------------------------------------------------------


def test_sync_knows_who_attends_each_booking(salon, beside_emma):
    """The others take turns."""
    links = EventTypeHost.objects.filter(event_type=beside_emma.event_type).order_by("host__calcom_id")
    assert [(link.host.calcom_id, link.fixed) for link in links] == [(101, False), (102, True), (103, False)]
    assert beside_emma.event_type.unsupported_reasons == []


def test_sync_knows_who_attends_no_longer(salon, simulator, beside_emma):
    """They take turns again."""
    change_hosts(salon, simulator, fixed=[])
    assert not EventTypeHost.objects.filter(fixed=True).exists()


def test_address_of_a_host_is_learned_from_a_booking(salon, calcom, simulator):
    """A list of event types does not tell it."""
    book(intent(salon.colour, at(10)), calcom)
    assert Host.objects.get(name="Emma").email == "emma@example.com"


# --- booked by us ------------------------------------------------------------------------------------------------


def test_booking_of_a_collective_type_takes_the_time_of_all(agent, salon, calcom, simulator, together):
    """Neither is offered elsewhere then, before any list is loaded anew, and a booking costs no request to say so."""
    assert at(10) in agent.free_slots(salon.beard, TUESDAY)
    assert at(10) in agent.free_slots(salon.colour, TUESDAY)

    appointment = book(intent(together, at(10)), calcom).appointment

    assert claims_of(appointment) == BOTH
    assert at(10) not in agent.free_slots(salon.beard, TUESDAY)
    assert at(10) not in agent.free_slots(salon.colour, TUESDAY)
    sent = simulator.count(BOOK)
    with pytest.raises(SlotTaken):
        book(intent(salon.beard, at(10), KARL), calcom)
    assert simulator.count(BOOK) == sent


def test_booking_beside_a_fixed_host_takes_the_time_of_both(agent, salon, calcom, simulator, beside_emma):
    """The one whose turn it is stands among the attendees, and is known by name."""
    appointment = book(intent(beside_emma, at(10)), calcom).appointment

    (booked,) = simulator.bookings()
    (in_turn,) = set(booked["hosts"]) - {"emma"}
    names = {"ben": "Ben", "salon": "Salon Berlin"}
    assert claims_of(appointment) == {"Emma": "confirmed", names[in_turn]: "confirmed"}


def test_two_bookings_beside_a_fixed_host_do_not_overlap(salon, calcom, simulator, beside_emma):
    """However many take turns, Emma is one."""
    book(intent(beside_emma, at(10)), calcom)

    with pytest.raises(SlotTaken):
        book(intent(beside_emma, at(10), KARL), calcom)

    assert simulator.overlaps() == []


def test_host_who_is_not_recognised_may_be_any_of_those_who_take_turns(salon, calcom, simulator, beside_emma):
    """Rather too much time is taken than offered."""
    simulator.fail(BOOK, "altered", without=["attendees"])

    appointment = book(intent(beside_emma, at(10)), calcom).appointment

    assert set(claims_of(appointment)) == {"Emma", "Ben", "Salon Berlin"}


def test_reschedule_and_cancellation_of_a_collective_type_free_the_time_of_all(agent, salon, calcom, together):
    """The old time, and in the end the new one."""
    appointment = book(intent(together, at(10)), calcom).appointment
    moved = reschedule(Appointment.objects.get(pk=appointment.pk), at(15), calcom).appointment

    assert claims_of(moved) == BOTH
    assert set(Claim.objects.values_list("start", flat=True)) == {at(15)}
    assert at(15) not in agent.free_slots(salon.beard, TUESDAY)

    cancel(moved, calcom)
    assert not Claim.objects.exists()


# --- booked there ------------------------------------------------------------------------------------------------


def test_message_names_the_hosts_beside_the_organizer(salon, calcom, simulator, together):
    """By id, in the organizer's team."""
    handed_out()
    hooks = Hooks(simulator, salon.account)
    simulator.book_elsewhere("haircut", at(14))

    hooks.bring(hooks.said())

    assert claims_of(Appointment.objects.get()) == BOTH


@pytest.mark.parametrize("is_known_by", ["address", "name"])
def test_polled_booking_takes_the_time_of_hosts_among_its_attendees(salon, calcom, simulator, together, is_known_by):
    """No message came."""
    Host.objects.filter(name="Ben").update(email="ben@example.com")
    if is_known_by == "name":
        lose_addresses()
    Cursor.objects.create(account=salon.account, read_until=at(9) - timedelta(days=30))
    simulator.book_elsewhere("haircut", at(14), webhook=False)

    polling.poll(salon.account)

    assert claims_of(Appointment.objects.get()) == BOTH


def test_host_among_the_attendees_of_any_booking_is_busy(salon, calcom, simulator):
    """Cal.com counts a booking that they attend; here nothing says that the type has two hosts."""
    Host.objects.filter(name="Ben").update(email=ANNA.email)

    appointment = book(intent(salon.colour, at(10), ANNA), calcom).appointment

    assert claims_of(appointment) == BOTH


# --- whether one more fits ---------------------------------------------------------------------------------------


def occupied(kind, host_id=1, *, fixed=(1,)):
    """Return hosts 1, 2 and 3, of whom one is taken."""
    row = Row(host_id, 7, kind, 0.0, 1800.0, 0.0, False, 0.0)
    return Occupancy(frozenset({1, 2, 3}), [row], fixed_ids=frozenset(fixed))


@pytest.mark.parametrize("kind", ["confirmed", "held", "pending", "queued"])
def test_time_of_a_fixed_host_is_certain_to_be_used_up(kind):
    assert check_conflict(occupied(kind))[0] is Conflict.TAKEN


@pytest.mark.parametrize(
    ("kind", "verdict", "host_ids"),
    [("confirmed", Conflict.FREE, {1, 3}), ("pending", Conflict.WAIT, {1, 2, 3}), ("held", Conflict.TAKEN, {1, 2, 3})],
)
def test_time_of_a_host_who_takes_turns_is_as_without_fixed_hosts(kind, verdict, host_ids):
    """A booking claims the fixed host and all who may be chosen."""
    assert check_conflict(occupied(kind, 2)) == (verdict, host_ids)


def test_time_of_any_host_of_a_collective_type_is_needed():
    """All of them are fixed."""
    for host_id in (1, 2, 3):
        assert check_conflict(occupied("confirmed", host_id, fixed=(1, 2, 3)))[0] is Conflict.TAKEN
