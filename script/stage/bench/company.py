"""The company that is measured."""

from django.core.management import call_command

from bookings.models import AgentKey, Branch, Company, Service
from calcom.models import Account, EventType


def write(calcom_url: str, credential: str) -> tuple[str, dict[str, str]]:
    """Write the company with a service for each event type; return its agent's key, and the services' ids by slug."""
    account = Account.objects.create(name="bench", base_url=calcom_url, api_key=credential)
    call_command("sync_calcom", account=account.pk)
    company = Company.objects.create(name="Bench", slug="bench", account=account)
    branch = Branch.objects.create(company=company, name="Bench", time_zone="Europe/Berlin")
    services = {
        each.slug: Service.objects.create(
            branch=branch, event_type=each, name=each.title, duration_minutes=each.length_minutes
        )
        for each in EventType.objects.filter(account=account)
    }
    _, key = AgentKey.objects.issue(company=company, name="bench", scopes=list(AgentKey.Scope.values))
    return key, {slug: f"sv_{service.pk}" for slug, service in services.items()}
