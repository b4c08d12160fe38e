"""
Whose API key an account has: that of the Cal.com user whose calendars it was mirrored from, or another's.

With another user's valid key Cal.com answers everything, and knows none of our appointments. Taken for the
truth, that cancels all of them here and takes every event type off offer.
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
    Compare the owner of the key with the account, and keep who it is.

    Args:
        account: as it is used.
        accept: take the owner of the key for the account's from now on.

    Raises:
        OtherOwner: it is another user's.
        CalcomError: Cal.com did not say.
    """
    client = Client(account)
    owner = client.me()
    if not accept:
        refuse_unrelated(account, owner, event_types(client) if account.owner_calcom_id is None else ())
    keep(account, owner)


def verify_new_key(account: Account) -> None:
    """Do so if the key was not compared yet, and the owner of an earlier one is known. Raises like `verify`."""
    if account.owner_calcom_id is not None and account.owner_checked_for != credential_hash(account.api_key):
        verify(account)


def refuse_unrelated(account: Account, owner: RemoteHost, remote: Iterable[RemoteEventType]) -> None:
    """
    Raise unless the owner of the key is the account's.

    Where no owner was kept yet, the key must list an event type of the account, if that has any: that the owner is one
    of its hosts proves nothing, as an employee's key lists the employee's bookings only.

    Args:
        account: as it is used.
        owner: of its key.
        remote: what the key lists; looked at only where no owner was kept.

    Raises:
        OtherOwner: it is another user's.
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


def keep(account: Account, owner: RemoteHost) -> None:
    """Keep that the account's present key is this user's."""
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
        return []  # Cal.com's open edition knows no teams: there is no such route
    return [event_type for team_id in teams for event_type in client.team_event_types(team_id=team_id)]
