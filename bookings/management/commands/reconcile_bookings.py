"""`manage.py reconcile_bookings`: compare the bookings of a window with Cal.com, and put right what differs."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from bookings.mirror import overlaps
from bookings.mirror.reconciliation import Difference, reconcile
from bookings.models import Branch
from calcom.errors import CalcomError
from calcom.models import Account
from monitoring.admin_pages import local_time

DAYS_AHEAD = timedelta(days=60)


class Command(BaseCommand):
    """Reconcile one account or all."""

    help = (
        "Compare the bookings from FIRST to LAST (UTC dates, inclusive) with Cal.com, both ways, say what differs, and "
        "put it right. An account that is new here gets the bookings it already has."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        today = timezone.now().date()
        parser.add_argument("--account", type=int, metavar="ID", help="only this account; by default all active ones")
        parser.add_argument("--first", type=date.fromisoformat, default=today, help="UTC date, default today")
        parser.add_argument(
            "--last", type=date.fromisoformat, default=today + DAYS_AHEAD, help="UTC date, default in 60 days"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what differs")

    def handle(self, *_args: Any, account: int | None, first: date, last: date, dry_run: bool, **_options: Any) -> None:
        """Reconcile each account; one that fails does not keep the others from it."""
        if last < first:
            raise CommandError("LAST comes before FIRST.")
        window = datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)
        failures = [failure for each in _accounts(account) if (failure := self._reconcile(each, window, dry_run))]
        if failures:
            raise CommandError("\n".join(failures))

    def _reconcile(self, account: Account, window: tuple[datetime, datetime], dry_run: bool) -> str:
        """Return why it failed, empty if it did not."""
        first, last = window
        found: Counter[str] = Counter()
        compared: list[int] = []
        with tqdm(desc=str(account), unit=" bookings", disable=not sys.stderr.isatty()) as bar:

            def progress(count: int) -> None:
                compared.append(count)
                bar.update(count)

            try:
                for difference in reconcile(
                    account=account, first=first, last=last, repair=not dry_run, progress=progress
                ):
                    found[difference.outcome] += 1
                    self.stdout.write(_line(difference, _zone_of(account)))
            except CalcomError as exc:
                return f"{account} was compared in part only, {sum(compared)} bookings: {exc}"
        self.stdout.write(_summary(account, sum(compared), found))
        return ""


def _accounts(account_id: int | None) -> Sequence[Account]:
    accounts = Account.objects.filter(active=True) if account_id is None else Account.objects.filter(pk=account_id)
    if account_id is not None and not accounts:
        raise CommandError(f"There is no account {account_id}.")
    return list(accounts.order_by("pk"))


def _zone_of(account: Account) -> str | None:
    """Return the zone of the account's first branch, whose clock staff compare with."""
    branches = Branch.objects.filter(company__account=account).order_by("pk")
    return branches.values_list("time_zone", flat=True).first()


def _line(difference: Difference, zone: str | None) -> str:
    when = local_time(difference.start, zone)
    what = f"  {when}  {difference.reference or '-':<6}  {difference.drift.value}"
    return f"{what}: {difference.outcome}" if difference.outcome else what


def _summary(account: Account, compared: int, found: Counter[str]) -> str:
    overlapping = [claim for claim in overlaps.detect() if claim.host.account_id == account.pk]
    return (
        f"{account}: {compared} bookings compared, {found.total()} differ, {found['put right']} put right; "
        f"{len(overlapping)} overlap others of the same host."
    )
