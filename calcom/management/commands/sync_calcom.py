"""`manage.py sync_calcom`: sync hosts and event types, and list those that cannot be booked through us."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from calcom.errors import CalcomError
from calcom.models import Account, EventType
from calcom.sync import Synced, sync
from calcom.types import UnsupportedReason
from monitoring import heartbeats


class Command(BaseCommand):
    """Sync one account or all."""

    help = "Mirror the hosts and event types of the Cal.com accounts, and say what cannot be booked through us and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", type=int, metavar="ID", help="only this account; by default all active ones")
        parser.add_argument(
            "--accept", action="store_true", help="mirror another user's calendars, if the account's key is theirs now"
        )

    def handle(self, *_args: Any, account: int | None, accept: bool, **_options: Any) -> None:
        """Sync each account; raise `CommandError` at the end if one failed."""
        failures = [failure for each in _accounts(account) if (failure := self._sync(each, accept))]
        if failures:
            raise CommandError("\n".join(failures))

    def _sync(self, account: Account, accept: bool) -> str:
        """Return why the sync failed; empty if it succeeded."""
        try:
            synced = sync(account=account, now=timezone.now(), accept_owner=accept)
        except CalcomError as exc:
            heartbeats.job_failed("sync", account.pk)
            return f"{account} was not synced: {exc}"
        heartbeats.job_succeeded("sync", account.pk)
        self.stdout.write("\n".join(_report(account, synced)))
        return ""


def _accounts(account_id: int | None) -> Sequence[Account]:
    if account_id is None:
        return list(Account.objects.filter(active=True).order_by("id"))
    accounts = list(Account.objects.filter(id=account_id))
    if not accounts:
        raise CommandError(f"There is no account {account_id}.")
    return accounts


def _report(account: Account, synced: Synced) -> Iterator[str]:
    can = [each for each in synced.event_types if not each.unsupported_reasons]
    yield f"{account}: key of {synced.owner.name}; {len(can)} of {len(synced.event_types)} event types can be served."
    for event_type in synced.event_types:
        bookable = "no" if event_type.unsupported_reasons else "yes"
        yield f"  {bookable:<4} {event_type.calcom_id:>8}  {event_type}{_remark(event_type)}"
    for event_type in synced.vanished:
        yield f"  gone {event_type.calcom_id:>8}  {event_type}: no longer at Cal.com, inactive from now on"


def _remark(event_type: EventType) -> str:
    if event_type.unsupported_reasons:
        return ": " + "; ".join(UnsupportedReason(each).sentence for each in event_type.unsupported_reasons)
    slugs = [each["slug"] for each in event_type.required_fields]
    return f": callers are asked for {', '.join(slugs)}, unless the service answers it" if slugs else ""
