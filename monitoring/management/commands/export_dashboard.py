"""`manage.py export_dashboard`: write the dashboard as Grafana reads it."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import grafana
from monitoring.dashboard import ROWS

DEFAULT = "docs/deploy/grafana/slotline.json"


class Command(BaseCommand):
    """Export the dashboard."""

    help = "Write the dashboard of monitoring/dashboard.py as Grafana reads it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", default=DEFAULT, help=f"default {DEFAULT}")

    def handle(self, *_args: Any, path: str, **_options: Any) -> None:
        text = json.dumps(grafana.dashboard(ROWS), ensure_ascii=False, indent=1)
        Path(path).write_text(f"{text}\n", "utf-8")
        self.stdout.write(f"{sum(len(row.panels) for row in ROWS)} panels written to {path}.")
