"""`manage.py invalidate_cache`: expire days by hand."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from cachectl import invalidation
from cachectl.models import CacheInvalidation


class Command(BaseCommand):
    help = "Expire an event type's UTC dates FIRST to LAST (inclusive): they are loaded again before they are answered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", type=int, help="id of the account")
        parser.add_argument("event_type", type=int, help="id of the event type, as in the admin")
        parser.add_argument("first", type=date.fromisoformat, help="UTC date, as in 2026-11-24")
        parser.add_argument("last", type=date.fromisoformat, nargs="?", help="UTC date, default the same day")

    def handle(
        self, *_args: Any, account: int, event_type: int, first: date, last: date | None, **_options: Any
    ) -> None:
        try:
            row = invalidation.enqueue(
                account_id=account,
                event_type_ids=[event_type],
                first=first,
                last=last or first,
                cause=CacheInvalidation.Cause.COMMAND,
            )
            days = invalidation.apply(row)
        except ValueError as exc:
            raise CommandError(str(exc)) from exc
        except RedisError as exc:
            raise CommandError(f"Redis did not answer ({exc}). The relay repeats it: invalidation {row.id}.") from exc
        self.stdout.write(f"Invalidated {days} days.")
