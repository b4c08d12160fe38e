"""`manage.py check_company`: whether callers of a company can be served, with a repair for what is not in order."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from bookings.checkup import Finding, examine
from bookings.models import Company


class Command(BaseCommand):
    """Check one company or all."""

    help = (
        "Check keys, rows and processes of a company, ask Cal.com, and play a call that books nothing. Each line that"
        " is not in order names its repair. Status 0 if all is in order, else 1."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Describe the arguments."""
        parser.add_argument("slug", nargs="?", help="only this company; by default all active ones")
        parser.add_argument("--offline", action="store_true", help="do not ask Cal.com, and play no call")
        parser.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *_args: Any, slug: str | None, offline: bool, json: bool, **_options: Any) -> None:
        """Check, print, and exit with 1 if something is not in order."""
        companies = Company.objects.filter(slug=slug) if slug else Company.objects.filter(active=True)
        if not companies:
            raise CommandError("There is no such company." if slug else "There is no company: manage.py onboard.")
        found = {
            company.slug: list(examine(company, now=timezone.now(), live=not offline))
            for company in companies.select_related("account").order_by("pk")
        }
        self.stdout.write(_as_json(found) if json else _as_text(found))
        if any(not each.ok for findings in found.values() for each in findings):
            sys.exit(1)


def _as_json(found: dict[str, list[Finding]]) -> str:
    listed = {slug: [{"ok": each.ok, **asdict(each)} for each in findings] for slug, findings in found.items()}
    return json.dumps(listed, ensure_ascii=False, indent=1)


def _as_text(found: dict[str, list[Finding]]) -> str:
    lines = []
    for slug, findings in found.items():
        wrong = [each for each in findings if not each.ok]
        lines.append(f"{slug}: {'in order' if not wrong else f'{len(wrong)} of {len(findings)} not in order'}")
        for each in findings:
            lines.append(f"  {'ok ' if each.ok else 'NO '} {each.what}{f': {each.problem}' if each.problem else ''}")
            if each.repair:
                lines.append(f"      → {each.repair}")
    return "\n".join(lines)
