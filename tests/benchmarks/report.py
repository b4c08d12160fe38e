"""Writes docs/benchmarks.md: what was measured where, when and how, with plots."""

import ast
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from script.lib.local import ROOT
from script.lib.measurements import Row
from tests.benchmarks.standalone import GROUPS
from tests.benchmarks.thresholds import PLOTS

PAGE = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "benchmarks"


def publish(groups: Mapping[str, Sequence[Row]], *, full: bool) -> None:
    """Write the page and its plots; groups that were not measured this time are not on it."""
    PICTURES.mkdir(exist_ok=True)
    length = "at full length" if full else "in their short form"
    head = f"""# Benchmarks

Measured {datetime.now(UTC):%Y-%m-%d} on {_machine()}. Cal.com is the simulator, on the same machine. Fault
injection and load ran {length}. A row without a limit is for comparison.
This page is written by `script/bench --publish`.
"""
    sections = [_section(name, rows, full=full) for name, rows in groups.items()]
    PAGE.write_text("\n".join([head, *sections]), encoding="utf-8")


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    cores = info.count("processor\t") or 1
    return f"{cores} cores ({model or platform.machine()}), {platform.system()}, Python {platform.python_version()}"


def _section(name: str, rows: Sequence[Row], *, full: bool) -> str:
    module = GROUPS[name].module if name in GROUPS else f"tests.benchmarks.{name}"
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")  # models need the settings
    command = f"script/bench --only {name}" + (" --full" if full and name in GROUPS else "")
    table = ["| row | value | unit | limit | | |", "| --- | ---: | --- | --- | --- | --- |", *map(_line, rows)]
    values = {row.name: row.measurement.value for row in rows}
    plots = [_plot(title, {bar: values.get(bar) for bar in bars}) for title, bars in PLOTS.get(name, {}).items()]
    about = ast.get_docstring(ast.parse(source)) or ""
    return "\n".join([f"## {name}", "", about, "", f"`{command}`", "", *table, "", *plots])


def _line(row: Row) -> str:
    verdict = "**FAIL**" if row.verdict == "FAIL" else row.verdict
    remark = row.measurement.remark.replace("|", "/")
    cells = (f"`{row.name}`", str(row.measurement), row.threshold.unit, str(row.threshold), verdict, remark)
    return f"| {' | '.join(cells)} |"


def _plot(title: str, bars: Mapping[str, float | None]) -> str:
    """Draw bars, and return the Markdown line that shows them."""
    mpl.rcParams["svg.hashsalt"] = title  # the same numbers make the same file
    file = PICTURES / f"{title.lower().replace(' ', '-').replace('.', '')}.svg"
    figure = Figure(figsize=(7, 0.6 + 0.4 * len(bars)))
    axes = figure.subplots()
    drawn = axes.barh(list(bars), [value or 0 for value in bars.values()], color="#4c6ef5")
    axes.bar_label(drawn, fmt="%.5g", padding=3)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return f"![{title}]({file.relative_to(PAGE.parent)})\n"
