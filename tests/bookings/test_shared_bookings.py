"""
One remote booking that two accounts see: who asked for it has the appointment, the other only its host's time.

The accounts' users serve one round robin, or both accounts are of one Cal.com user. User-level webhooks fire for team
bookings, too, for the organizer's user (seen 2026-11-30; of what two accounts hear there is no recording).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import orjson
import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from bookings.models import Appointment, Claim, Customer, Service, SharedBooking
from calcom.http.parsing import METADATA_KEY
from calcom.models import Cursor, WebhookDelivery
from calcom.service import CalcomService
from calcom.simulator import Simulator
from calcom.webhooks import polling
from tests import factories
from tests.agent import Agent
from tests.bookings.helpers import begin, book, cancel, intent, reschedule, write_down
from tests.bookings.test_apply import as_here, as_there
from tests.calcom.webhooks import Hooks, body_of, handed_out
from tests.conftest import trust_redis
from tests.factories import ANNA, KARL, TUESDAY, at

HAIRCUT = 1


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Cal.com, where Ben serves the salon's round robin, and has a key and an event type of his own."""
    with Simulator.running(factories.shared_dataset()) as running:
        yield running


@dataclass(frozen=True)
class Rival(factories.Rival):
    """Another company, and what its account is told."""

    hooks: Hooks


def rival_at(simulator: Simulator, credential: str = factories.BENS_CREDENTIAL) -> Rival:
    """Write the rival's rows; its webhooks are in the hands of the test."""
    rival = factories.cast_rival(simulator.base_url, credential)
    trust_redis(rival.account)
    return Rival(**vars(rival), hooks=Hooks(simulator, rival.account))


@pytest.fixture
def rival(calcom, simulator) -> Rival:
    """The rival, whose user serves the salon's round robin."""
    return rival_at(simulator)


@pytest.fixture
def own(salon, calcom, simulator) -> Hooks:
    """What the account that asks is told."""
    handed_out()
    return Hooks(simulator, salon.account)


def claimed(rival: Rival) -> list[tuple[object, object]]:
    """Return which of its host's time the other account knows as taken; nothing else may be known."""
    assert not Appointment.objects.filter(company=rival.company).exists()
    assert not Customer.objects.filter(company=rival.company).exists()
    claims = Claim.objects.filter(host=rival.host).order_by("start")
    assert {(claim.kind, claim.appointment) for claim in claims} <= {("confirmed", None)}
    return [(claim.start, claim.end) for claim in claims]


def tell_by_webhook(rival: Rival) -> None:
    """Bring what Cal.com has told the other account so far."""
    rival.hooks.bring(rival.hooks.said())


def tell_by_poll(rival: Rival) -> None:
    """Poll the other account."""
    Cursor.objects.get_or_create(account=rival.account, defaults={"read_until": timezone.now() - timedelta(hours=1)})
    polling.poll(rival.account)


def tell_by_comparison(rival: Rival) -> None:
    """Reconcile the other account."""
    call_command("reconcile_bookings", "--account", str(rival.account.pk), stdout=StringIO())


WAYS = pytest.mark.parametrize("tell", [tell_by_webhook, tell_by_poll, tell_by_comparison])


@WAYS
def test_booking_is_confirmed_when_other_account_hears_of_it_first(salon, calcom, rival, own, tell):
    """Its message claims its host's time; the answer that comes later finds nothing in its way."""
    own.simulator.busy("emma", at(10), at(11))
    case = begin(write_down(intent(salon.cut, at(10), ANNA)), calcom)
    answer = case.execute()

    tell(rival)
    assert claimed(rival) == [(at(10), at(10, 30))]
    case.apply_result(answer)
    own.bring(own.said())

    mine = Appointment.objects.get()
    assert (mine.company, mine.state, mine.remote_uid, mine.host) == (
        salon.company,
        "confirmed",
        answer.uid,
        salon.ben.host,
    )
    assert (mine.attendee_name, claimed(rival)) == (ANNA.name, [(at(10), at(10, 30))])


@WAYS
def test_booking_claims_time_once_when_other_account_hears_of_it_later(salon, calcom, rival, own, tell):
    """However often it is told, and in whatever way."""
    own.simulator.busy("emma", at(10), at(11))
    book(intent(salon.cut, at(10), ANNA), calcom)
    own.bring(own.said())

    tell(rival)
    tell(rival)
    tell_by_poll(rival)

    assert claimed(rival) == [(at(10), at(10, 30))]
    assert as_here() == as_there(own.simulator)


def test_claim_follows_the_booking_when_it_is_rescheduled_and_cancelled(salon, calcom, rival, simulator):
    """By phone and at Cal.com; the time before is free again."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    rival.hooks.bring(rival.hooks.said())

    reschedule(mine, at(12), calcom)
    rival.hooks.bring(rival.hooks.said()[1:])
    assert claimed(rival) == [(at(12), at(12, 30))]

    mine.refresh_from_db()
    simulator.reschedule_elsewhere(mine.remote_uid, at(14))
    rival.hooks.bring(rival.hooks.said()[2:])
    assert claimed(rival) == [(at(14), at(14, 30))]

    simulator.cancel_elsewhere(simulator.bookings()[-1]["uid"])
    rival.hooks.bring(rival.hooks.said("BOOKING_CANCELLED"))
    assert claimed(rival) == []
    assert set(SharedBooking.objects.values_list("ended", flat=True)) == {True}


@WAYS
def test_claim_ends_when_the_booking_is_cancelled_by_phone(salon, calcom, rival, simulator, tell):
    """A cancellation carries no id: its uid says whose it is."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    tell(rival)
    mine.refresh_from_db()

    cancel(mine, calcom)
    tell(rival)

    assert claimed(rival) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 2, 1)], ids=str)
def test_any_order_of_messages_leaves_the_last_time_claimed(salon, calcom, rival, simulator, order):
    """Late ones claim nothing again."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    second = simulator.reschedule_elsewhere(mine.remote_uid, at(12))
    simulator.reschedule_elsewhere(second["uid"], at(14))
    messages = rival.hooks.said()

    rival.hooks.bring(messages[number] for number in order)

    assert claimed(rival) == [(at(14), at(14, 30))]
    assert {row.start for row in SharedBooking.objects.filter(ended=False)} == {at(14)}


def test_late_creation_claims_nothing_when_the_cancellation_came_first(salon, calcom, rival, simulator):
    """Cancelled is cancelled, also for the other account."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    simulator.cancel_elsewhere(mine.remote_uid)

    rival.hooks.bring(reversed(rival.hooks.said()))

    assert claimed(rival) == []


def test_cancellation_of_what_another_account_is_just_booking_is_its_matter(salon, calcom, rival, simulator):
    """It comes before the answer that tells its uid, and carries no id."""
    simulator.busy("emma", at(9), at(18))
    case = begin(write_down(intent(salon.cut, at(10), ANNA)), calcom)
    answer = case.execute()
    simulator.cancel_elsewhere(answer.uid)

    rival.hooks.bring(rival.hooks.said("BOOKING_CANCELLED"))
    rival.hooks.bring(rival.hooks.said())

    assert claimed(rival) == []
    case.apply_result(answer)
    assert Appointment.objects.get().state == "confirmed"  # until its own account hears of it


def test_cancellation_of_an_unknown_booking_brings_no_caller(salon, rival, simulator):
    """Whose caller it was cannot be known: a later uid of a booking that its own account has not heard of yet."""
    uid = simulator.book_elsewhere(HAIRCUT, at(10), host="ben", name=KARL.name, webhook=False)["uid"]
    simulator.cancel_elsewhere(uid)

    rival.hooks.bring(rival.hooks.said("BOOKING_CANCELLED"))

    theirs = Appointment.objects.get(company=rival.company)
    assert (theirs.state, theirs.attendee_name, theirs.attendee_email) == ("cancelled", "", "")
    assert not Customer.objects.filter(company=rival.company).exists()


def test_claim_ends_when_a_later_uid_was_heard_of_first(salon, calcom, rival, simulator):
    """Its reschedule was lost, and the cancellation of what it became carries no id: the poll knows all of it."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    simulator.cancel_elsewhere(simulator.reschedule_elsewhere(mine.remote_uid, at(12))["uid"])
    rival.hooks.bring(rival.hooks.said("BOOKING_CREATED", "BOOKING_CANCELLED"))

    tell_by_poll(rival)

    assert not Claim.objects.filter(host=rival.host).exists()
    assert set(SharedBooking.objects.values_list("ended", flat=True)) == {True}


def test_import_of_another_accounts_booking_is_ended_and_keeps_nobody(salon, calcom, rival, simulator):
    """As releases before left it: the company that did not ask had the appointment, with the caller."""
    simulator.busy("emma", at(9), at(18))
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    hidden = [rival.hooks.said()[0].replace(METADATA_KEY.encode(), b"something_else")]
    Service.objects.filter(pk=salon.cut.pk).update(active=False)  # then the caller is taken for the rival's
    Appointment.objects.filter(pk=mine.pk).update(remote_uid="")
    rival.hooks.bring(hidden)
    assert Appointment.objects.get(company=rival.company).attendee_name == ANNA.name
    Appointment.objects.filter(pk=mine.pk).update(remote_uid=mine.remote_uid)

    tell_by_poll(rival)

    theirs = Appointment.objects.get(company=rival.company)
    assert (theirs.state, theirs.attendee_name, theirs.attendee_email, theirs.customer) == ("cancelled", "", "", None)
    claims = Claim.objects.filter(host=rival.host)
    assert [(claim.start, claim.appointment) for claim in claims] == [(at(10), None)]


def test_other_accounts_caller_is_offered_other_times_at_once(salon, calcom, rival, simulator):
    """Invalidated as for any change, and answered without a request; given back when it is over."""
    agent = Agent(rival.key)
    simulator.busy("emma", at(9), at(18))
    assert at(10) in agent.free_slots(rival.massage, TUESDAY)
    mine = book(intent(salon.cut, at(10), ANNA), calcom).appointment
    before = simulator.count("GET /v2/slots")

    rival.hooks.bring(rival.hooks.said())
    assert at(10) not in agent.free_slots(rival.massage, TUESDAY)
    assert simulator.count("GET /v2/slots") == before

    cancel(mine, calcom)
    rival.hooks.bring(rival.hooks.said("BOOKING_CANCELLED"))
    Claim.objects.update(changed_at=F("changed_at") - timedelta(seconds=10))
    assert not Claim.objects.filter(host=rival.host).exists()


def test_quoting_another_accounts_id_claims_own_time_and_nothing_more(salon, calcom, rival, simulator):
    """Rightly signed, in any trigger: neither the appointment nor the caller can be reached by it."""
    mine = book(intent(salon.colour, at(14), ANNA), calcom).appointment
    told = {
        "uid": "made-up",
        "startTime": at(10).isoformat(),
        "endTime": at(10, 30).isoformat(),
        "eventTypeId": factories.MASSAGE,
        "organizer": {"id": 103},
        "attendees": [{"email": "x@example.com", "name": "X"}],
        "metadata": {METADATA_KEY: mine.public_id},
    }
    now = timezone.now().isoformat()

    for trigger in ("BOOKING_CREATED", "BOOKING_RESCHEDULED", "MEETING_ENDED"):
        rival.hooks.bring([orjson.dumps({**orjson.loads(body_of(trigger, **told)), "createdAt": now})])

    assert claimed(rival) == [(at(10), at(10, 30))]
    mine.refresh_from_db()
    assert (mine.state, mine.start) == ("confirmed", at(14))
    assert as_here() == as_there(simulator)


def test_walk_in_at_a_shared_event_type_is_known_to_the_company_that_offers_it(salon, calcom, rival, own, simulator):
    """No agent asked for it; the host's company has its time, and does not learn who comes."""
    simulator.book_elsewhere(HAIRCUT, at(10), host="ben", name=KARL.name, email="karl@example.com")

    rival.hooks.bring(rival.hooks.said())
    own.bring(own.said())

    names = dict(Appointment.objects.values_list("company__slug", "attendee_name"))
    assert names == {"salon": KARL.name, "rival": ""}
    assert not Customer.objects.filter(company=rival.company).exists()
    assert {claim.host.account.name for claim in Claim.objects.all()} == {"Salon", "Rival"}


@pytest.mark.parametrize("hears_first", ["own", "other"])
def test_one_user_under_two_accounts_has_one_appointment_and_two_claims(salon, calcom, own, simulator, hears_first):
    """Both hear everything, each at its own address."""
    rival = rival_at(simulator, factories.SALON_CREDENTIAL)
    simulator.busy("emma", at(10), at(11))
    case = begin(write_down(intent(salon.cut, at(10), ANNA)), calcom)
    answer = case.execute()

    for hooks in (own, rival.hooks) if hears_first == "own" else (rival.hooks, own):
        hooks.bring(hooks.said())
    case.apply_result(answer)

    assert Appointment.objects.get().state == "confirmed"
    assert claimed(rival) == [(at(10), at(10, 30))]
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"done"}


def test_both_accounts_book_their_own_through_one_user(salon, calcom, rival, own, simulator):
    """Each asks for one; each has one appointment and the claim of the other's."""
    simulator.busy("emma", at(9), at(18))
    book(intent(salon.cut, at(10), ANNA), calcom)
    book(intent(rival.massage, at(12), KARL), CalcomService(rival.account))

    for hooks in (own, rival.hooks):
        hooks.bring(hooks.said())

    assert dict(Appointment.objects.values_list("company__slug", "state")) == {
        "salon": "confirmed",
        "rival": "confirmed",
    }
    assert {claim.start for claim in Claim.objects.filter(host=rival.host)} == {at(10), at(12)}


def test_comparison_gives_back_what_cal_com_does_not_know(salon, calcom, rival, simulator):
    """The booking is nowhere to be found: neither is its time taken."""
    simulator.busy("emma", at(9), at(18))
    book(intent(salon.cut, at(10), ANNA), calcom)
    rival.hooks.bring(rival.hooks.said())
    SharedBooking.objects.update(remote_uid="no-such-booking")
    Appointment.objects.all().update(public_id="bk_GONE", remote_uid="")
    simulator.reset()

    tell_by_comparison(rival)

    assert claimed(rival) == []
