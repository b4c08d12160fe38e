"""
Whether an account's API key belongs to the Cal.com user whose calendars were synced.

With the valid key of another user Cal.com answers all requests and knows none of our appointments. Applied, that would
cancel all of them here and deactivate all event types.
"""

from collections.abc import Iterable

import structlog

from calcom.errors import OtherOwner, Reason, Refused
from calcom.fields import credential_hash
from calcom.http.client import Client
from calcom.models import Account
from calcom.types import RemoteEventType, RemoteHost

log = structlog.get_logger(__name__)


def verify(account: Account, *, accept: bool = False) -> None:
    """
    Compare the owner of the key with that of the account and store it.

    Args:
        account: the account.
        accept: make the owner of the key that of the account.

    Raises:
        OtherOwner: the key is another user's.
        CalcomError: the owner is unknown.
    """
    client = Client(account)
    owner = client.me()
    if not accept:
        refuse_unrelated(account, owner, event_types(client) if account.owner_calcom_id is None else ())
    store(account, owner)


def verify_new_key(account: Account) -> None:
    """Verify a key that was not compared yet, if the owner of an earlier one is known. Raises like `verify`."""
    if account.owner_calcom_id is not None and account.owner_checked_for != credential_hash(account.api_key):
        verify(account)


def refuse_unrelated(account: Account, owner: RemoteHost, remote: Iterable[RemoteEventType]) -> None:
    """
    Raise unless the owner of the key is the account's.

    If no owner is stored yet, the key must list an event type of the account, if that has any. That the owner is one of
    its hosts proves nothing: an employee's key lists the employee's bookings only.

    Args:
        account: the account.
        owner: of its key.
        remote: the event types that the key lists; used only if no owner is stored.

    Raises:
        OtherOwner: the key is another user's.
    """
    if account.owner_calcom_id == owner.id:
        return
    if account.owner_calcom_id is None:
        mirrored = set(account.event_types.values_list("calcom_id", flat=True))
        if not mirrored or not mirrored.isdisjoint(each.id for each in remote):
            return
    log.error("calcom.other_owner", account_id=account.pk)
    raise OtherOwner(
        f"its API key is that of {owner.name} (user {owner.id} at Cal.com), and the account was mirrored from another "
        f"user. Enter the right key; if this one is right: manage.py sync_calcom --account {account.pk} --accept"
    )


def store(account: Account, owner: RemoteHost) -> None:
    """Store that the account's present key is this user's."""
    account.owner_calcom_id, account.owner_checked_for = owner.id, credential_hash(account.api_key)
    Account.objects.filter(pk=account.pk).update(
        owner_calcom_id=account.owner_calcom_id, owner_checked_for=account.owner_checked_for
    )


def event_types(client: Client) -> list[RemoteEventType]:
    """Return the event types that the key lists: of its owner, and of the owner's teams."""
    return [*client.event_types(), *_of_teams(client)]


def _of_teams(client: Client) -> list[RemoteEventType]:
    try:
        teams = client.team_ids()
    except Refused as exc:
        if exc.reason is not Reason.INVALID:
            raise
        return []  # Cal.com's open edition has no teams and no such route
    return [event_type for team_id in teams for event_type in client.team_event_types(team_id=team_id)]
