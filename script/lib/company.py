"""The companies that experiments and benchmarks serve: one for each owner of an API key at the simulated Cal.com."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.core.management import call_command

from bookings.models import AgentKey, Branch, Company, Service
from calcom.models import Account, EventType
from calcom.simulator import User


@dataclass(frozen=True)
class Tenant:
    """A company as its voice agent sees it."""

    slug: str
    company_id: int
    account_id: int
    key: str
    """The agent's, with every scope."""
    services: dict[str, str]
    """Ids by slug of the event type."""
    zone: ZoneInfo


def write(calcom_url: str, owner: User, requests_per_minute: int = 120) -> Tenant:
    """Write the owner's company, mirror the owner's event types, and offer a service for each of them."""
    account = Account.objects.create(
        name=owner.name, base_url=calcom_url, api_key=owner.api_key or "", requests_per_minute=requests_per_minute
    )
    call_command("sync_calcom", account=account.pk)
    company = Company.objects.create(name=owner.name, slug=owner.username, account=account)
    branch = Branch.objects.create(company=company, name=owner.name, time_zone=owner.time_zone)
    services = {
        each.slug: Service.objects.create(
            branch=branch, event_type=each, name=each.title, duration_minutes=each.length_minutes
        )
        for each in EventType.objects.filter(account=account)
    }
    _, key = AgentKey.objects.issue(company=company, name=owner.name, scopes=list(AgentKey.Scope.values))
    ids = {slug: f"sv_{service.pk}" for slug, service in services.items()}
    return Tenant(owner.username, company.pk, account.pk, key, ids, ZoneInfo(owner.time_zone))
