"""What must be so at Cal.com's side before callers are sent here."""

from django.utils import timezone

from calcom.models import Account
from monitoring.collectors import Unhealthy
from monitoring.preflight import register_check


def accounts() -> str:
    """Tell that there are accounts, and that each was synced and its webhooks have a secret."""
    served = list(Account.objects.filter(active=True).order_by("pk"))
    if not served:
        raise Unhealthy("there is no Cal.com account: manage.py onboard makes one")
    if unsynced := [str(each.pk) for each in served if each.synced_at is None]:
        raise Unhealthy(f"never synced: account {', '.join(unsynced)}; run manage.py sync_calcom")
    if silent := [str(each.pk) for each in served if not each.webhook_secret]:
        raise Unhealthy(f"no webhooks: account {', '.join(silent)}; run manage.py subscribe_webhooks")
    oldest = min(timezone.now() - each.synced_at for each in served if each.synced_at)
    return f"{len(served)}, the last sync {oldest.total_seconds() / 3600:.0f} h ago"


def register() -> None:
    register_check("Cal.com accounts", accounts)
