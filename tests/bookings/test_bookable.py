"""What the cache is told of offers and bookings, and that warming stays within them."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from bookings.availability.bookable import bookable_event_types
from bookings.models import Appointment, Branch, Company
from cachectl import store, warming
from cachectl.models import Warming
from calcom.models import Account
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import Priority
from tests import factories
from tests.factories import cannot_be_booked

SLOTS = "GET /v2/slots"


def appoint(service, start, state="confirmed", event_type=None):
    """Write an appointment."""
    return Appointment.objects.create(
        company=service.branch.company,
        branch=service.branch,
        service=service,
        event_type=event_type or service.event_type,
        state=state,
        start=start,
        end=start + timedelta(minutes=30),
    )


def warm(*words):
    """Run the command, and return what it prints."""
    out = StringIO()
    call_command("warm_calcom_cache", *map(str, words), stdout=out)
    return out.getvalue()


@pytest.fixture
def wanted(calcom, salon, practice):
    """Cuts are booked in Berlin, check-ups in New York."""
    for number in range(3):
        appoint(salon.cut, timezone.now() + timedelta(hours=number))
    appoint(practice.check_up, timezone.now())


def test_offers_are_what_can_be_booked_through_us(salon, practice):
    """By account; with one person, too; not what several people would share."""
    cannot_be_booked(practice.vaccination)
    own = salon.emmas_cut.event_type

    assert bookable_event_types(None) == {
        salon.account.pk: dict.fromkeys(
            [salon.cut.event_type_id, own.pk, salon.colour.event_type_id, salon.beard.event_type_id], 0
        ),
        practice.account.pk: dict.fromkeys([practice.check_up.event_type_id, practice.follow_up.event_type_id], 0),
    }


def test_appointments_count_by_what_was_booked(salon):
    """Four weeks around now: those that took or will take place."""
    now, own = timezone.now(), salon.emmas_cut.event_type
    for days in (-15, -13, 0, 13, 15):
        appoint(salon.cut, now + timedelta(days=days))
    appoint(salon.cut, now - timedelta(days=1), state="no_show", event_type=own)
    for state in ("cancelled", "expired", "rejected"):
        appoint(salon.colour, now, state=state)

    counts = bookable_event_types(None)[salon.account.pk]

    assert {each: count for each, count in counts.items() if count} == {salon.cut.event_type_id: 3, own.pk: 1}


def test_offers_of_one_company_are_its_own(salon, practice):
    """FM-26: two companies on one account, and only one of them is meant."""
    nails = Company.objects.create(name="Nails", slug="nails", account=salon.account)
    branch = Branch.objects.create(company=nails, name="Mitte", time_zone="Europe/Berlin")
    service = factories._service(branch, salon.beard.event_type)
    appoint(salon.beard, timezone.now())

    assert bookable_event_types("nails") == {salon.account.pk: {service.event_type_id: 0}}
    assert set(bookable_event_types("practice")) == {practice.account.pk}


def test_who_is_not_served_offers_nothing(salon, practice):
    """Neither a company that was switched off, nor one whose account was."""
    Company.objects.filter(pk=salon.company.pk).update(active=False)
    Account.objects.filter(pk=practice.account.pk).update(active=False)

    assert bookable_event_types(None) == {}
    for slug in ("salon", "practice", "unknown"):
        with pytest.raises(LookupError, match=f"no company “{slug}”"):
            bookable_event_types(slug)


def test_event_type_of_another_account_is_never_warmed(salon, practice):
    """FM-26."""
    salon.beard.event_type = practice.check_up.event_type
    salon.beard.save()
    salon.emmas_cut.event_type = practice.follow_up.event_type
    salon.emmas_cut.save()

    assert set(bookable_event_types("salon")[salon.account.pk]) == {salon.cut.event_type_id, salon.colour.event_type_id}


def test_warming_loads_in_the_background(simulator, wanted, salon, practice):
    """The permits are those of background work, which live traffic goes before."""
    assert warm().startswith("Warmed 2 of 2 event types, 56 days, with 2 requests")

    assert simulator.count(SLOTS) == simulator.count() == 2
    for account in (salon.account, practice.account):
        state = limiter_for(account.api_key, account.requests_per_minute).state()
        assert {each: used for each, used in state.used.items() if used} == {Priority.BACKGROUND: 1}


def test_warming_is_for_one_company_if_asked(simulator, wanted, salon, practice):
    """The other's account is not touched."""
    warm("--company", "practice")

    assert [row.account_id for row in Warming.objects.all()] == [practice.account.pk]
    assert simulator.count(SLOTS) == 1


def test_warming_stops_where_background_work_must(simulator, wanted, salon, practice):
    """At 40 % of the limit, others' permits included: here live questions have used it up."""
    Account.objects.update(requests_per_minute=10)
    limiter = limiter_for(salon.account.api_key, 10)
    for _ in range(4):
        limiter.permit(Priority.LIVE, tenant=None, longest_call_s=8, deadline_left_s=0).ended({}, 200)

    with pytest.raises(CommandError) as stopped:
        warm("--company", "salon", "--minutes", 0.1)

    assert stopped.value.returncode == 75
    assert Warming.objects.get().stopped_early == "budget"
    assert simulator.count(SLOTS) == 0


def test_warming_without_calcom_says_so(simulator, wanted, salon, practice):
    """Status 1, and what was not loaded stays unknown."""
    Account.objects.update(base_url=factories.NOWHERE)

    with pytest.raises(CommandError) as failed:
        warm()

    assert failed.value.returncode == 1
    assert "1 of 1 event types were not loaded" in str(failed.value)


def test_callers_questions_are_what_is_warmed(simulator, wanted, salon, practice, agent):
    """From the question of a caller to the request of the next night."""
    agent.free_slots(salon.colour, factories.TUESDAY)
    asked = store.demand(salon.account.pk, 1)

    (plan, _) = warming.plan(company=None, today=factories.TUESDAY, days=90, hours=1, top=5)

    assert asked == {salon.colour.event_type_id: 1}
    assert [each.event_type_id for each in plan.chosen] == [salon.colour.event_type_id, salon.cut.event_type_id]
