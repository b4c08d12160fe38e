"""Companies that share one credential of Cal.com: what each of them asks is counted for it, and each keeps a part."""

from contextlib import suppress

import pytest

from bookings import tasks
from bookings.models import AgentKey, Branch, Company, Service
from cachectl.infra.redis import redis_client
from calcom.resilience.rate_limiter import Throttled, limiter_for, limiter_keys
from calcom.simulator import Simulator
from calcom.types import Priority
from tests.bookings.api.helpers import Agent
from tests.bookings.helpers import intent, write_down
from tests.factories import ANNA, KARL, TUESDAY, Salon, at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_jobs", "simulator")]


@pytest.fixture
def academy(salon: Salon) -> Company:
    """The salon's school, at the same account."""
    company = Company.objects.create(name="Academy", slug="academy", account=salon.account)
    branch = Branch.objects.create(company=company, name="Wedding", time_zone="Europe/Berlin", language="de")
    beard = salon.beard.event_type
    Service.objects.create(branch=branch, event_type=beard, name="Shave", duration_minutes=beard.length_minutes)
    return company


def use_up(salon: Salon) -> None:
    """Use up what the limiter permits to the salon and to work without a tenant."""
    limiter = limiter_for(salon.account.api_key, salon.account.requests_per_minute)
    for priority in (Priority.BACKGROUND, Priority.REFRESH, Priority.LIVE, Priority.WRITE):
        tenant = str(salon.company.pk) if priority in {Priority.LIVE, Priority.WRITE} else None
        with suppress(Throttled):
            for _ in range(200):
                limiter.permit(priority, tenant=tenant, longest_call_s=8, deadline_left_s=0)


def asked(salon: Salon) -> set[tuple[str, str]]:
    """Return the first letter of the priority, and the company, of every request."""
    log, *_ = limiter_keys(salon.account.api_key)
    permits = [permit.decode() for permit in redis_client().zrange(log, 0, -1)]
    return {(permit[0], permit[13:]) for permit in permits if not permit.startswith("generation:")}


def test_requests_are_counted_for_their_company(agent: Agent, salon: Salon) -> None:
    """Questions, searches, bookings, moves and cancellations, and what a worker settles later."""
    agent.get("availability", {"service": "Haircut", "date": str(TUESDAY)})
    agent.post("availability/search", {"service": "Beard trim", "when": {"date": str(TUESDAY)}})
    booking = agent.book(salon.colour, at(10)).json()["booking"]
    moved = agent.post(f"bookings/{booking['id']}/reschedule", {"start": at(14).isoformat()})
    cancelled = agent.post(f"bookings/{booking['id']}/cancel", {"reason": "ill"})
    tasks.settle(operation_id=write_down(intent(salon.colour, at(16), KARL)).pk)

    assert (moved.status_code, cancelled.status_code) == (200, 200)
    company = str(salon.company.pk)
    assert asked(salon) == {("l", company), ("w", company)}


def test_busy_company_leaves_quota_to_the_others(
    agent: Agent, salon: Salon, academy: Company, simulator: Simulator
) -> None:
    """The other's callers are answered and booked at once."""
    _, key = AgentKey.objects.issue(company=academy, name="test agent", scopes=list(AgentKey.Scope.values))
    other = Agent(key)
    service = Service.objects.get(branch__company=academy)
    other.get("availability", {"service": "Shave", "date": str(TUESDAY)}, cache_control="max-age=0")
    use_up(salon)

    found = other.get("availability", {"service": "Shave", "date": str(TUESDAY)}, cache_control="max-age=0")
    booked = other.book(service, at(10), caller=ANNA)
    refused = agent.get("availability", {"service": "Haircut", "date": str(TUESDAY)}, prefer="wait=0.2")

    assert (found.status_code, found.json()["status"]) == (200, "available")
    assert booked.status_code == 201
    assert refused.status_code in {503, 504}
    assert simulator.breaches() == 0
