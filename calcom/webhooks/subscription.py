"""The webhook of an account at Cal.com: one, which sends all that is understood here, signed with its secret."""

import secrets
from enum import StrEnum

from django.urls import reverse

from calcom.http.client import Client
from calcom.models import Account
from calcom.types import RemoteWebhook
from calcom.webhooks.messages import TRIGGERS


class Subscription(StrEnum):
    """What became of the webhook at Cal.com."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


def subscribe(account: Account, *, public_url: str, renew: bool = False) -> Subscription:
    """
    Have Cal.com send the account's webhooks to Slotline at `public_url`. Safe to repeat: there is one at that address.

    A webhook that is in order is left alone, unless `renew` wants a fresh secret. Between the change there and here a
    webhook may be refused; polling reads what it would have told.

    Raises:
        CalcomError: repeat it. The stored secret is still the old one.
    """
    client, url = Client(account), address(account, public_url)
    there = next((each for each in client.webhooks() if each.url == url), None)
    if there is not None and not renew and not _flaw(account, there):
        return Subscription.UNCHANGED
    secret = secrets.token_urlsafe(32)
    if there is None:
        client.create_webhook(url=url, triggers=TRIGGERS, secret=secret)
    else:
        client.change_webhook(there.id, triggers=there.triggers.union(TRIGGERS), secret=secret)
    account.webhook_secret = secret
    account.save(update_fields=["webhook_secret"])
    return Subscription.CREATED if there is None else Subscription.CHANGED


def address(account: Account, public_url: str) -> str:
    """Return where Slotline takes the account's webhooks."""
    return f"{public_url.rstrip('/')}{_path(account)}"


def flaw(account: Account) -> str:
    """
    Return what is wrong with the account's webhook, in a sentence; empty if nothing is.

    Raises:
        CalcomError: the webhooks could not be listed.
    """
    ours = [each for each in Client(account).webhooks() if each.url.endswith(_path(account))]
    if not ours:
        return "Cal.com has no webhook that leads here."
    flaws = [_flaw(account, each) for each in ours]
    return "" if "" in flaws else flaws[0]


def _path(account: Account) -> str:
    return reverse("calcom-webhook", args=[account.pk])


def _flaw(account: Account, webhook: RemoteWebhook) -> str:
    if not webhook.active:
        return "The webhook is switched off at Cal.com."
    if not account.webhook_secret or webhook.secret != account.webhook_secret:
        return "The webhook has another secret than the account."
    if missing := sorted(set(TRIGGERS) - webhook.triggers):
        return f"The webhook does not send {', '.join(missing)}."
    return ""
