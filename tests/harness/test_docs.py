"""The documents list what exists."""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram

from monitoring import metrics
from monitoring.alerts import RULES
from monitoring.collectors import Gauge

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["config/settings.py", "config/gunicorn.py"])
def test_every_environment_variable_is_documented(module):
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / module).read_text(encoding="utf-8")))

    assert read
    assert {name for name in read if f"`{name}`" not in OPERATIONS} == set()


def test_only_variables_that_exist_are_documented():
    sources = "".join((ROOT / "config" / name).read_text(encoding="utf-8") for name in ("settings.py", "gunicorn.py"))
    table = OPERATIONS.partition("## Environment")[2].partition("## Commands")[0]
    listed = re.findall(
        r"`([A-Z_]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    )

    assert [name for name in listed if f'"{name}"' not in sources] == []


def test_every_metric_is_documented():
    """With its labels."""
    table = OPERATIONS.partition("| metric |")[2].partition("Alerts, as")[0]
    listed = {
        name: labels.strip() for name, labels in re.findall(r"^\| `(slotline_\w+)` \|([^|]*)\|", table, re.MULTILINE)
    }
    counted = {each._name + "_total" * isinstance(each, Counter): each._labelnames for each in _of(Counter, Histogram)}

    assert listed == {
        name: ", ".join(labels)
        for name, labels in {**counted, **{each.name: each.labels for each in _of(Gauge)}}.items()
    }


def test_every_alert_is_documented():
    listed = re.findall(r"^\| \[`(\w+)`\]\(runbooks/(\w+)\.md\) \| (\w+) \| (.+) \|$", OPERATIONS, re.MULTILINE)

    assert listed == [(rule.name, rule.name, rule.severity.value, rule.summary) for rule in RULES]


def test_alerts_use_existing_metrics():
    """With buckets that the histograms have."""
    asked = {selector.metric for rule in RULES for selector in rule.form.selectors}
    series = {each.name for each in _of(Gauge)} | {f"{each._name}_total" for each in _of(Counter)}
    series |= {f"{each._name}_{part}" for each in _of(Histogram) for part in ("bucket", "count", "sum")}

    assert asked <= series
    assert {4.0, 6.5} <= set(metrics.CALCOM_SECONDS._upper_bounds)
    assert 100.0 in metrics.CHANGE_DAYS_INVALIDATED._upper_bounds


def _of(*kinds):
    return [each for each in vars(metrics).values() if isinstance(each, kinds)]


def test_every_command_is_documented():
    commands = {path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"}

    assert set(re.findall(r"^\| `manage\.py (\w+)", OPERATIONS, re.MULTILINE)) == commands


def test_every_row_of_failing_parts_names_existing_tests():
    table = OPERATIONS.partition("## When a part of ours fails")[2].partition("\n## ")[0]
    rows = [row.split("|") for row in table.splitlines() if row.startswith("| ")][2:]
    named = {row[1].strip(): re.findall(r"`(test_\w+)`", row[-2]) for row in rows}
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) > 10
    assert [part for part, tests in named.items() if not tests] == []
    assert [test for tests in named.values() for test in tests if f"def {test}(" not in written] == []


@pytest.mark.parametrize("document", ["README.md", "docs/operations.md", "CHANGELOG.md"])
def test_relative_links_lead_to_files(document):
    path = ROOT / document
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []
