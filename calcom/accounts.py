"""An account for an API key: a new one, or the one that the key, or its owner, has already."""

from dataclasses import dataclass

from calcom import ownership
from calcom.errors import CalcomError
from calcom.fields import credential_hash
from calcom.http.client import Client
from calcom.http.url_policy import normalised
from calcom.models import Account
from calcom.types import RemoteHost


@dataclass(frozen=True)
class Connected:
    """An account whose key Cal.com accepts."""

    account: Account
    owner: RemoteHost
    is_new: bool


def connect(*, base_url: str, api_key: str) -> Connected:
    """
    Return the account of an API key. Safe to repeat: a user of one Cal.com has one account, whose key this becomes.

    Raises:
        ValidationError: no key may be sent to `base_url`.
        CalcomError: Cal.com did not accept the key, or did not answer; nothing is stored.
    """
    base_url = normalised(base_url)
    same_place = Account.objects.filter(base_url=base_url)
    if known := next((each for each in same_place if each.api_key == api_key), None):
        return Connected(known, Client(known).me(), is_new=False)
    account = Account(name="new account", base_url=base_url, api_key=api_key, active=False)
    account.clean()
    account.save()
    try:
        owner = Client(account).me()
    except CalcomError:
        account.delete()
        raise
    if other := same_place.filter(owner_calcom_id=owner.id).first():
        account.delete()
        return Connected(_with_key(other, api_key), owner, is_new=False)
    account.name, account.active = owner.name[:100] or owner.username, True
    account.owner_calcom_id, account.owner_checked_for = owner.id, credential_hash(api_key)
    account.save()
    return Connected(account, owner, is_new=True)


def replace_key(account: Account, api_key: str) -> None:
    """
    Store another API key of the account's user.

    It is tried in a row of its own: a client falls back to the stored key of its account where Cal.com refuses one.

    Raises:
        OtherOwner: it is another user's.
        CalcomError: Cal.com did not accept it, or did not answer. In each case nothing is stored.
    """
    candidate = Account.objects.create(name=account.name, base_url=account.base_url, api_key=api_key, active=False)
    try:
        client = Client(candidate)
        owner = client.me()
        remote = ownership.event_types(client) if account.owner_calcom_id is None else ()
        ownership.refuse_unrelated(account, owner, remote)
    finally:
        candidate.delete()
    _with_key(account, api_key)


def _with_key(account: Account, api_key: str) -> Account:
    account.api_key = api_key
    account.save(update_fields=["api_key"])
    ownership.store(account, Client(account).me())
    return account
