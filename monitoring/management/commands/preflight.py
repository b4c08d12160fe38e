"""`manage.py preflight`: what must be so before callers are sent to this deployment."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import preflight


class Command(BaseCommand):
    """Go through the list."""

    help = "Check settings, parts and accounts of this deployment; status 1 if something is not in order."
    requires_system_checks: list[str] = []  # they are among the lines

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("--json", action="store_true", help="write a list of {name, ok, detail}")

    def handle(self, *_args: Any, json: bool, **_options: Any) -> None:
        """Write a line for each item."""
        items = list(preflight.items())
        if json:
            self.stdout.write(_json(items))
        else:
            for item in items:
                self.stdout.write(f"{'ok  ' if item.ok else 'FAIL'}  {item.name:<16} {item.detail}")
        failed = sum(not item.ok for item in items)
        if not json:
            self.stdout.write(f"{failed} of {len(items)} not in order." if failed else "All in order.")
        if failed:
            raise SystemExit(1)


def _json(items: list[preflight.Item]) -> str:
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)
