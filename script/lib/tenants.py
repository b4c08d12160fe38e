"""Companies of an environment: one for each owner of an API key at the simulated Cal.com."""

import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from zoneinfo import ZoneInfo

from django.core.management import call_command

from bookings.models import AgentKey, Branch, Company, Service
from calcom.models import Account, EventType
from calcom.simulator import TRIGGERS, User
from script.lib.agent import request
from script.lib.processes import HarnessError


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


def create_tenant(calcom_url: str, owner: User, requests_per_minute: int) -> Tenant:
    """Create the owner's account, synchronise it, and create a company for it."""
    account = Account.objects.create(
        name=owner.name, base_url=calcom_url, api_key=owner.api_key or "", requests_per_minute=requests_per_minute
    )
    call_command("sync_calcom", account=account.pk)
    return create_company(account, owner.username, owner.name, owner.time_zone)


def create_company(account: Account, slug: str, name: str, time_zone: str, *, service_suffix: str = "") -> Tenant:
    """Create a company on an account, with a service for each event type and an agent key."""
    company = Company.objects.create(name=name, slug=slug, account=account)
    branch = Branch.objects.create(company=company, name=name, time_zone=time_zone)
    services = {
        each.slug: Service.objects.create(
            branch=branch,
            event_type=each,
            name=f"{each.title}{service_suffix}",
            duration_minutes=each.length_minutes,
        )
        for each in EventType.objects.filter(account=account)
    }
    _, key = AgentKey.objects.issue(company=company, name=name, scopes=list(AgentKey.Scope.values))
    ids = {each: f"sv_{service.pk}" for each, service in services.items()}
    return Tenant(slug, company.pk, account.pk, key, ids, ZoneInfo(time_zone))


def subscribe_webhooks(calcom_url: str, web_url: str, tenant: Tenant) -> None:
    """
    Give the tenant's account a secret, and subscribe web to everything about it.

    Raises:
        HarnessError: Cal.com refused the subscription.
    """
    account = Account.objects.get(pk=tenant.account_id)
    account.webhook_secret = secrets.token_urlsafe(32)
    account.save(update_fields=["webhook_secret"])
    subscription = {
        "subscriberUrl": f"{web_url}/webhooks/calcom/{account.pk}",
        "triggers": list(TRIGGERS),
        "active": True,
        "secret": account.webhook_secret,
    }
    headers = {"Authorization": f"Bearer {account.api_key}", "Content-Type": "application/json"}
    status, _, content = request(calcom_url, "POST", "/v2/webhooks", json.dumps(subscription), headers)
    if status != HTTPStatus.CREATED:
        raise HarnessError(f"Cal.com refused the subscription: {status} {content[:200]!r}")
