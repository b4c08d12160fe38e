"""The dashboard asks for what exists, shows the levels of the alerts, and has data on a real Prometheus."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from prometheus_client import Counter, Histogram

from monitoring import metrics
from monitoring.alerts import BY_NAME
from monitoring.collectors import Gauge
from monitoring.dashboard import ABOVE_ZERO, ROWS
from tests.servers import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/deploy/grafana"
PANELS = [panel for row in ROWS for panel in row.panels]
QUERIES = [query.expr for panel in PANELS for query in panel.queries]


def exported() -> list[dict[str, Any]]:
    """Return the panels as Grafana reads them, without the headings of rows."""
    panels = json.loads((FOLDER / "slotline.json").read_text("utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def label_names() -> dict[str, set[str]]:
    """Return the labels of each series by its name."""
    found = {each.name: set(each.labels) for each in vars(metrics).values() if isinstance(each, Gauge)}
    for each in vars(metrics).values():
        if isinstance(each, Counter):
            found[f"{each._name}_total"] = set(each._labelnames)
        if isinstance(each, Histogram):
            found[f"{each._name}_bucket"] = {*each._labelnames, "le"}
            found[f"{each._name}_count"] = found[f"{each._name}_sum"] = set(each._labelnames)
    return found


def test_exported_dashboard_is_what_the_command_writes(tmp_path: Path) -> None:
    """`manage.py export_dashboard` makes docs/deploy/grafana/slotline.json: run it after a change of a panel."""
    call_command("export_dashboard", str(tmp_path / "slotline.json"))

    assert (FOLDER / "slotline.json").read_text("utf-8") == (tmp_path / "slotline.json").read_text("utf-8")


@pytest.mark.parametrize("expr", QUERIES)
def test_panel_asks_for_series_and_labels_that_exist(expr: str) -> None:
    known = label_names()
    series = re.findall(r"(slotline_\w+)(?:\{([^}]*)\})?", expr)

    assert series
    assert {name for name, _ in series} <= set(known)
    for name, selector in series:
        assert set(re.findall(r"(\w+)=~?\"", selector)) <= known[name], name
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expr) for label in labels.split(",")}
    assert grouped <= {"instance", *(label for name, _ in series for label in known[name])}


def test_every_panel_has_a_unit_and_says_in_a_sentence_what_it_shows() -> None:
    for panel in exported():
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert re.fullmatch(r"[A-Z0-9]([^.]|\.(?! ))+\.", panel["description"]), panel["title"]


def test_panels_have_names_of_their_own_within_a_row() -> None:
    for row in ROWS:
        titles = [panel.title for panel in row.panels]
        assert len(set(titles)) == len(titles)


def test_thresholds_of_panels_are_the_levels_of_their_alerts() -> None:
    for panel, shown in zip(PANELS, exported(), strict=True):
        levels = {BY_NAME[name].form.level or ABOVE_ZERO for name in panel.alerts}
        steps = [step["value"] for step in shown["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert steps == [None, *sorted(levels)], panel.title


def test_value_beyond_a_critical_level_is_red_and_one_in_order_is_green() -> None:
    steps = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in exported()}

    assert [step["color"] for step in steps["Budget spent"]] == ["green", "orange", "red"]
    assert [step["color"] for step in steps["Free on the disk"]] == ["red", "green"]
    assert [step["color"] for step in steps["Hit rate"]] == ["orange", "green"]


def test_every_alert_has_a_panel_that_shows_what_it_watches() -> None:
    """The absence of counters has none: there is nothing to show."""
    assert {name for panel in PANELS for name in panel.alerts} == set(BY_NAME) - {"counters_absent"}
    for panel in PANELS:
        asked = " ".join(query.expr for query in panel.queries)
        for name in panel.alerts:
            watched = {re.sub("_(bucket|count)$", "", selector.metric) for selector in BY_NAME[name].form.selectors}
            assert all(metric in asked for metric in watched), (panel.title, name)


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / "slotline.json").read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_provisioned_files_are_where_grafana_looks() -> None:
    """What the container mounts exists here, and the provider reads the folder into which the dashboard is mounted."""
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["grafana"]
    mounts = [volume.split(":") for volume in grafana["volumes"]]
    sources = {target: ROOT / source for source, target, *_ in mounts if source.startswith("./")}
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/slotline.yml").read_text("utf-8"))["providers"][0]
    datasource = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"][
        0
    ]
    scraped = yaml.safe_load((ROOT / "docs/deploy/prometheus.yml").read_text("utf-8"))["global"]["scrape_interval"]

    assert all(source.exists() for source in sources.values())
    assert f"{provider['options']['path']}/slotline.json" in sources
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in sources
    assert datasource["jsonData"]["timeInterval"] == scraped
    assert all(port.startswith("127.0.0.1:") for port in grafana["ports"])


@pytest.mark.slow
def test_every_panel_has_data_on_a_prometheus_that_scraped_a_load() -> None:
    """Slotline's own processes, callers for half a minute, and the Prometheus of Debian's package."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus IS MISSING: no panel was tried. Install Debian's package `prometheus`.")
    ours = {*ENVIRONMENT, "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}  # it starts servers of its own
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "tests.monitoring.dashboard_trial"]

    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
