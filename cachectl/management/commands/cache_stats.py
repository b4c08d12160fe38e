"""`manage.py cache_stats`: demand and freshness by event type."""

from argparse import ArgumentParser
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from cachectl import conf, store
from cachectl.freshness import Freshness
from cachectl.models import CacheInvalidation
from cachectl.singleflight import dates_between


class Command(BaseCommand):
    help = "Show, for an account, which event types callers search and how fresh their next days are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", type=int, help="id of the account")
        parser.add_argument(
            "--event-types", type=int, nargs="+", metavar="ID", help="default: those searched in the last hours"
        )
        parser.add_argument("--days", type=int, default=14, metavar="N", help="how many days from today, default 14")
        parser.add_argument(
            "--hours", type=int, default=24, metavar="N", help="hours of demand, default 24, at most 48"
        )

    def handle(
        self, *_args: Any, account: int, event_types: list[int] | None, days: int, hours: int, **_options: Any
    ) -> None:
        if not (1 <= days <= conf.MOST_DAYS and 1 <= hours <= conf.DEMAND_KEPT // 3600):
            raise CommandError(f"--days must be 1 to {conf.MOST_DAYS}, --hours 1 to {conf.DEMAND_KEPT // 3600}.")
        try:
            self._demand(account, event_types, days, hours)
        except RedisError as exc:
            raise CommandError(f"Redis did not answer: {exc}") from exc
        pending = CacheInvalidation.objects.filter(account_id=account, done_at=None).count()
        self.stdout.write(f"Pending invalidations: {pending}")

    def _demand(self, account: int, event_types: list[int] | None, days: int, hours: int) -> None:
        demand = store.demand(account, hours)
        most_searched = sorted(demand, key=lambda event_type: -demand[event_type])
        self.stdout.write("event type  searches  " + "  ".join(Freshness))
        for event_type in event_types or most_searched:
            days_by_freshness = _by_freshness(account, event_type, days)
            counts = "  ".join(f"{days_by_freshness[freshness]:{len(freshness)}}" for freshness in Freshness)
            self.stdout.write(f"{event_type:10}  {demand.get(event_type, 0):8}  {counts}")


def _by_freshness(account: int, event_type: int, days: int) -> Counter[Freshness]:
    today = datetime.now(UTC).date()
    snapshot = store.read(account, event_type, dates_between(today, today + timedelta(days=days - 1)), asked=False)
    return Counter(day.freshness for day in snapshot.days)
