"""`manage.py reconcile_bookings`: compare the bookings of a window with Cal.com, and put right what differs."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from bookings.models import Appointment, Branch
from bookings.sync import conflicts
from bookings.sync.reconcile import MOST_DIFFERENCES, MOST_DIFFERENT, Difference, is_suspicious, reconcile
from calcom.errors import CalcomError
from calcom.models import Account
from monitoring import heartbeats
from monitoring.admin_pages import local_time

log = structlog.get_logger(__name__)

DAYS_AHEAD = timedelta(days=60)
JOB = "reconciliation"


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
        parser.add_argument(
            "--accept",
            action="store_true",
            help=f"put it right although more than {MOST_DIFFERENCES} bookings and {MOST_DIFFERENT:.0%} differ, or the "
            "account's key is another user's now",
        )

    def handle(
        self, *_args: Any, account: int | None, first: date, last: date, dry_run: bool, accept: bool, **_options: Any
    ) -> None:
        """Reconcile each account; one that fails does not keep the others from it."""
        if last < first:
            raise CommandError("LAST comes before FIRST.")
        window = datetime.combine(first, time.min, UTC), datetime.combine(last, time.max, UTC)
        failures = [
            failure for each in _accounts(account) if (failure := self._reconcile(each, window, dry_run, accept))
        ]
        if failures:
            raise CommandError("\n".join(failures))

    def _reconcile(self, account: Account, window: tuple[datetime, datetime], dry_run: bool, accept: bool) -> str:
        """Return why it failed, empty if it did not."""
        comparison = _Comparison(account, window, accept)
        if not dry_run:
            heartbeats.job_failed(JOB, account.pk)  # unless it comes to its end
        try:
            if not (dry_run or accept or comparison.is_first):
                differing = sum(1 for _ in comparison.differences(repair=False))
                if is_suspicious(differing, comparison.count):
                    log.error("bookings.reconciliation_stopped", account_id=account.pk, differences=differing)
                    return (
                        f"{account} was left as it is: {differing} of {comparison.count} bookings differ, too many "
                        "to be put right unseen. Look at them with --dry-run; --accept puts them right."
                    )
            found: Counter[str] = Counter()
            for difference in comparison.differences(repair=not dry_run):
                found[difference.outcome] += 1
                self.stdout.write(_line(difference, _zone_of(account)))
        except CalcomError as exc:
            return f"{account} was compared in part only, {comparison.count} bookings: {exc}"
        if not dry_run:
            heartbeats.job_succeeded(JOB, account.pk, differences=found.total())
        self.stdout.write(_summary(account, comparison.count, found))
        return ""


class _Comparison:
    """The bookings of an account in a window, compared once or twice."""

    def __init__(self, account: Account, window: tuple[datetime, datetime], accept_owner: bool) -> None:
        self._account, (self._first, self._last), self._accept_owner = account, window, accept_owner
        self.count = 0
        """How many the last comparison has compared so far."""

    @property
    def is_first(self) -> bool:
        """Return whether nothing of the account is known here, so that nothing can be lost."""
        return not Appointment.objects.filter(event_type__account=self._account).exists()

    def differences(self, *, repair: bool) -> Iterator[Difference]:
        """Yield what differs, with a progress bar on a terminal."""
        self.count = 0
        with tqdm(desc=str(self._account), unit=" bookings", disable=not sys.stderr.isatty()) as bar:

            def progress(count: int) -> None:
                self.count += count
                bar.update(count)

            yield from reconcile(
                account=self._account,
                first=self._first,
                last=self._last,
                repair=repair,
                progress=progress,
                accept_owner=self._accept_owner,
            )


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
    overlapping = [claim for claim in conflicts.detect() if claim.host.account_id == account.pk]
    return (
        f"{account}: {compared} bookings compared, {found.total()} differ, {found['put right']} put right; "
        f"{len(overlapping)} overlap others of the same host."
    )
