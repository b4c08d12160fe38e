"""`manage.py export_alerts`: write the alerts as Prometheus reads them."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from monitoring.alert_forms import span
from monitoring.alerts import EVERY, RULES, URGENT_EVERY, Rule


class Command(BaseCommand):
    """Export the alerts."""

    help = "Write the rules of monitoring/alerts.py as Prometheus reads them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", default="docs/deploy/alerts.yml", help="default docs/deploy/alerts.yml")

    def handle(self, *_args: Any, path: str, **_options: Any) -> None:
        Path(path).write_text("\n".join(_lines()) + "\n", "utf-8")
        self.stdout.write(f"{len(RULES)} alerts written to {path}.")


def _lines() -> Iterator[str]:
    yield "# Made of monitoring/alerts.py by `manage.py export_alerts`. Change the rules there."
    yield "# Needs Prometheus 2.42 or newer (keep_firing_for). Slotline evaluates the same rules without Prometheus."
    yield "groups:"
    for name, every in (("slotline_urgent", URGENT_EVERY), ("slotline", EVERY)):
        yield f"  - name: {name}"
        yield f"    interval: {span(every)}"
        yield "    rules:"
        for rule in RULES:
            if rule.every == every:
                yield from _rule(rule)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"      - alert: {rule.name}"
    yield f"        expr: {_quoted(rule.form.promql())}"
    if rule.lasting:
        yield f"        for: {span(rule.lasting)}"
    if rule.keeping:
        yield f"        keep_firing_for: {span(rule.keeping)}"
    yield "        labels:"
    yield f"          severity: {rule.severity.value}"
    yield "        annotations:"
    yield f"          summary: {_quoted(rule.summary)}"
    yield f"          runbook: docs/runbooks/{rule.name}.md"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a string of JSON is one of YAML
