"""Have the simulated Cal.com tell web what happens there, as an operator does once for each account."""

import json
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from calcom.simulator import TRIGGERS
from script.lib.processes import StageError

if TYPE_CHECKING:
    from script.lib.company import Tenant  # models, which need the settings


def subscribe(calcom_url: str, web_url: str, tenants: "Iterable[Tenant]") -> None:
    """
    Give each tenant's account a secret, and have Cal.com send everything about it to web, signed with that.

    Raises:
        StageError: Cal.com did not take a subscription.
    """
    from calcom.models import Account  # noqa: PLC0415  models, which need the settings

    for tenant in tenants:
        account = Account.objects.get(pk=tenant.account_id)
        account.webhook_secret = secrets.token_urlsafe(32)
        account.save(update_fields=["webhook_secret"])
        subscription = {
            "subscriberUrl": f"{web_url}/webhooks/calcom/{account.pk}",
            "triggers": list(TRIGGERS),
            "active": True,
            "secret": account.webhook_secret,
        }
        _post(calcom_url, account.api_key, subscription)


def _post(calcom_url: str, key: str, subscription: object) -> None:
    connection = HTTPConnection(urlsplit(calcom_url).netloc, timeout=10)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v2/webhooks", json.dumps(subscription), headers)
        response = connection.getresponse()
        said = response.read()
    finally:
        connection.close()
    if response.status != HTTPStatus.CREATED:
        raise StageError(f"Cal.com did not take the subscription: {response.status} {said[:200]!r}")
