"""What must be so of companies before callers are sent here."""

from bookings.availability.bookable import bookable_event_types
from bookings.models import AgentKey, Company
from monitoring.collectors import Unhealthy
from monitoring.preflight import register_check


def companies() -> str:
    """Tell that each company has something to book and a key for its agent."""
    served = list(Company.objects.filter(active=True).order_by("slug"))
    if not served:
        raise Unhealthy("there is no company: manage.py onboard makes one")
    if empty := [each.slug for each in served if not any(bookable_event_types(each.slug).values())]:
        raise Unhealthy(f"nothing can be booked at {', '.join(empty)}: enter services for event types that are served")
    with_key = set(AgentKey.objects.unrevoked().values_list("company_id", flat=True))
    if closed := [each.slug for each in served if each.pk not in with_key]:
        raise Unhealthy(f"no agent key for {', '.join(closed)}: make one in the admin")
    return f"{len(served)}, each with services and an agent key"


def register() -> None:
    register_check("companies", companies)
