"""Each alert has a page that says what to do, and what the page says to type works."""

import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from prometheus_client import Counter, Histogram

from calcom.service import CalcomService
from monitoring import metrics
from monitoring.alerts import BY_NAME, RULES, Rule
from monitoring.collectors import Gauge
from tests.factories import Salon

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs/runbooks"
PAGES = "\n".join(page.read_text("utf-8") for page in sorted(RUNBOOKS.glob("*.md")))
TYPED = sorted({line for block in re.findall(r"```sh\n(.*?)```", PAGES, re.DOTALL) for line in block.splitlines()})
CURL = re.compile(r"curl -s http://127\.0\.0\.1:8000(/[\w-]+)(?: \| grep (\w+))?")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_alert_has_a_runbook_that_says_what_to_do(rule: Rule) -> None:
    page = (RUNBOOKS / f"{rule.name}.md").read_text("utf-8")

    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert page.startswith(f"# {rule.name}\n")
    assert headings == ["What it means", "What callers hear meanwhile", "What to look at", "What to do"]
    assert rule.summary in page


def test_no_runbook_is_of_an_alert_that_does_not_exist() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == set(BY_NAME)


@pytest.mark.parametrize("line", [line for line in TYPED if line.startswith("python manage.py ")])
def test_command_of_a_runbook_runs(line: str, calcom: CalcomService, salon: Salon, settings) -> None:
    settings.ALERT_URLS = ["json://127.0.0.1:9/"]  # the discard port: no channel listens
    said = StringIO()
    words = line.replace("ACCOUNT", str(salon.account.pk)).split()

    if "test_alerts" in words:
        with pytest.raises(CommandError, match=r"1 of 1 channels did not take it: json\."):
            call_command(*words[2:])
    else:
        call_command(*words[2:], stdout=said)
        assert said.getvalue()


@pytest.mark.parametrize("line", [line for line in TYPED if not line.startswith("python manage.py ")])
def test_request_of_a_runbook_is_answered(line: str, client: Client, salon: Salon) -> None:
    path, word = CURL.fullmatch(line).groups()

    answer = client.get(path)

    assert answer.status_code == 200
    assert word is None or word in _metrics()


def _metrics() -> set[str]:
    each = list(vars(metrics).values())
    gauges = {gauge.name for gauge in each if isinstance(gauge, Gauge)}
    counters = {f"{counter._name}_total" for counter in each if isinstance(counter, Counter)}
    histograms = {histogram._name for histogram in each if isinstance(histogram, Histogram)}
    return gauges | counters | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def test_services_that_runbooks_restart_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    named = set(re.findall(r"docker compose (?:restart|logs) ([\w-]+)", PAGES))

    assert named
    assert named <= set(services)


def test_commands_that_runbooks_mention_exist() -> None:
    commands = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    named = set(re.findall(r"manage\.py (\w+)", PAGES))

    assert {"sync_calcom", "reconcile_bookings"} <= named <= commands
