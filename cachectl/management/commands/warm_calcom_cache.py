"""`manage.py warm_calcom_cache`: load the days that callers will probably ask for. For cron."""

import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from redis import RedisError
from tqdm.contrib.logging import tqdm_logging_redirect

from cachectl import conf, warming
from cachectl.infra.deadline import Deadline
from cachectl.models import Warming
from cachectl.warming import Plan

FAILED, TRY_LATER, INTERRUPTED = 1, os.EX_TEMPFAIL, 130
MOST_HOURS = conf.DEMAND_KEPT // 3600


class Command(BaseCommand):
    """Warm the event types that are asked for and booked most."""

    help = (
        "Load, before callers ask, the days of the event types that they ask for and book most, in what live traffic "
        "leaves of the budget of requests. Loads nothing that is fresh. Status: 0 done or nothing to do, 1 something "
        f"failed, {TRY_LATER} less was loaded than planned because callers needed the budget, time was over or another "
        "warming runs."
    )

    requires_system_checks = []  # they load all of web: CPU that callers may need

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("--company", metavar="SLUG", help="only what this company offers; by default everybody's")
        parser.add_argument("--top", type=int, default=50, metavar="N", help="event types of an account, default 50")
        parser.add_argument("--days", type=int, default=28, metavar="N", help="UTC days from today, default 28")
        parser.add_argument(
            "--hours", type=int, default=24, metavar="N", help=f"hours of demand, default 24, at most {MOST_HOURS}"
        )
        parser.add_argument("--minutes", type=float, default=10, metavar="N", help="how long it may take, default 10")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be loaded")

    def handle(self, *_args: Any, dry_run: bool, minutes: float, **options: Any) -> None:
        """Plan, load, and say in one line what came of it."""
        if minutes <= 0:
            raise CommandError("--minutes must be more than 0.")
        deadline = Deadline.after(minutes * 60)
        try:
            plans = self._plans(**options)
            if dry_run:
                self._show(plans)
            else:
                self._warm(plans, deadline)
        except RedisError as exc:
            raise CommandError(f"Redis did not answer: {exc}") from exc
        except DatabaseError as exc:
            raise CommandError(f"PostgreSQL did not answer: {exc}") from exc

    @staticmethod
    def _plans(*, company: str | None, top: int, days: int, hours: int, **_options: Any) -> list[Plan]:
        if not (top >= 1 and 1 <= days <= conf.MOST_DAYS and 1 <= hours <= MOST_HOURS):
            raise CommandError(f"--top must be at least 1, --days 1 to {conf.MOST_DAYS}, --hours 1 to {MOST_HOURS}.")
        try:
            return warming.plan(company=company, today=datetime.now(UTC).date(), days=days, hours=hours, top=top)
        except LookupError as exc:
            raise CommandError(str(exc.args[0])) from exc

    def _show(self, plans: Sequence[Plan]) -> None:
        self.stdout.write("account  event type  demand/h  days to load")
        for plan in plans:
            for each in plan.chosen:
                self.stdout.write(f"{plan.account_id:7}  {each.event_type_id:10}  {each.rate:8.2f}  {each.aged:12}")

    def _warm(self, plans: Sequence[Plan], deadline: Deadline) -> None:
        began = time.monotonic()
        with _term_like_ctrl_c(), _progress(sum(len(plan.chosen) for plan in plans)) as progress:
            try:
                rows = warming.warm(plans, deadline=deadline, progress=progress)
            except KeyboardInterrupt as exc:
                raise CommandError("Interrupted. What was loaded stays.", returncode=INTERRUPTED) from exc
        self.stdout.write(_summary(rows, time.monotonic() - began))
        if complaints := [_complaint(row) for row in rows if row.planned > row.event_types]:
            broke = any(row.broke for row in rows)
            raise CommandError("\n".join(complaints), returncode=FAILED if broke else TRY_LATER)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], object]]:
    """Show a bar on a terminal, with the log above it; nothing elsewhere."""
    if sys.stderr.isatty():
        with tqdm_logging_redirect(total=total, unit=" event types") as bar:
            yield bar.update
    else:
        yield lambda: None


@contextmanager
def _term_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C does, so that the run is written down as interrupted."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _summary(rows: Sequence[Warming], seconds: float) -> str:
    planned, warm, days, requests = (
        sum(getattr(row, name) for row in rows) for name in ("planned", "event_types", "days", "requests")
    )
    if not planned:
        return "Nothing to warm: what callers want is fresh."
    return f"Warmed {warm} of {planned} event types, {days} days, with {requests} requests in {seconds:.0f} s."


def _complaint(row: Warming) -> str:
    left, why = row.planned - row.event_types, row.get_stopped_early_display() or "the log says why"
    return f"Account {row.account_id}: {left} of {row.planned} event types were not loaded; {why}."
