"""`manage.py inspect_cache`: days as cached, without loading."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import BaseCommand, CommandError
from redis import RedisError

from cachectl import conf, store
from cachectl.freshness import Day
from cachectl.singleflight import dates_between


class Command(BaseCommand):
    help = "Show the cached days of an event type from a UTC date: freshness, age, slots. Loads nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("account", type=int, help="id of the account")
        parser.add_argument("event_type", type=int, help="id of the event type, as in the admin")
        parser.add_argument("date", type=date.fromisoformat, help="UTC date, as in 2026-11-24")
        parser.add_argument(
            "--zone", type=_zone, default=ZoneInfo("UTC"), metavar="NAME", help="whose clock the slots are shown by"
        )
        parser.add_argument("--days", type=int, default=1, metavar="N", help="how many days from there, default 1")

    def handle(
        self, *_args: Any, account: int, event_type: int, date: date, days: int, zone: ZoneInfo, **_options: Any
    ) -> None:
        if not 1 <= days <= conf.MOST_DAYS:
            raise CommandError(f"--days must be 1 to {conf.MOST_DAYS}.")
        dates = dates_between(date, date + timedelta(days=days - 1))
        try:
            snapshot = store.read(account, event_type, dates, asked=False)
        except RedisError as exc:
            raise CommandError(f"Redis did not answer: {exc}") from exc
        for day in snapshot.days:
            self.stdout.write(_line(day, snapshot.now / 1000, zone))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ArgumentTypeError("It must be an IANA name such as Europe/Berlin.") from exc


def _line(day: Day, now: float, zone: ZoneInfo) -> str:
    if day.loaded_at is None:
        return f"{day.date}  {day.freshness}"
    slots = " ".join(datetime.fromtimestamp(start * 60, zone).strftime("%H:%M") for start in day.starts)
    needs_refresh = ", needs refresh" if day.needs_refresh else ""
    listed = f"{len(day.starts)} slots ({zone})  {slots}"
    return f"{day.date}  {day.freshness}{needs_refresh}  loaded {now - day.loaded_at:.0f} s ago  {listed}"
