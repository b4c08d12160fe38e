"""The table as a page: docs/benchmarks.md says what was measured where, when and how, and draws some of it."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from script.lib.local import ROOT
from script.lib.measurements import Row, limit_of, number_of
from tests.chaos.experiments import names as experiments

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"


def publish(sections: Mapping[str, Sequence[Row]], *, full: bool) -> None:
    """Write the page and its plots; sections that were not measured this time are not on it."""
    PLOTS.mkdir(exist_ok=True)
    parts = [_head(full=full)]
    parts += [_section(name, rows, full=full) for name, rows in sections.items()]
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _head(*, full: bool) -> str:
    length = "in full" if full else "in their short form"
    return f"""# Benchmarks

Measured {datetime.now(UTC):%Y-%m-%d} on {_machine()}. Cal.com is the simulator, on the same machine. Experiments ran
{length}. A row without a limit is told for comparison. This page is written by `script/bench --publish`.
"""


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    cores = info.count("processor\t") or 1
    return f"{cores} cores ({model or platform.machine()}), {platform.system()}, Python {platform.python_version()}"


def _section(name: str, rows: Sequence[Row], *, full: bool) -> str:
    module = import_module(f"tests.{'chaos.experiments' if name in experiments() else 'benchmarks'}.{name}")
    command = f"script/bench --only {name}" + (" --full" if full and name in experiments() else "")
    about = (getdoc(module) or "").strip()
    table = ["| what | value | unit | limit | | |", "| --- | ---: | --- | --- | --- | --- |"]
    table += [_line(row) for row in rows]
    found = {row.name: row.found.value for row in rows}
    plots = [_plot(title, {each: found.get(each) for each in bars}) for title, bars in _plots(module).items()]
    return "\n".join([f"## {name}", "", about, "", f"`{command}`", "", *table, "", *plots])


def _plots(module: object) -> Mapping[str, Sequence[str]]:
    plots: Mapping[str, Sequence[str]] = getattr(module, "PLOTS", {})
    return plots


def _line(row: Row) -> str:
    verdict = "" if row.promise.limit is None else "kept" if row.ok else "**broken**"
    remark = row.found.remark.replace("|", "/")
    cells = (f"`{row.name}`", number_of(row), row.promise.unit, limit_of(row.promise), verdict, remark)
    return f"| {' | '.join(cells)} |"


def _plot(title: str, bars: Mapping[str, float | None]) -> str:
    """Draw bars, and return the line that shows them."""
    mpl.rcParams["svg.hashsalt"] = title  # the same numbers make the same file
    file = PLOTS / f"{title.lower().replace(' ', '-').replace('.', '')}.svg"
    figure = Figure(figsize=(7, 0.6 + 0.4 * len(bars)))
    axes = figure.subplots()
    drawn = axes.barh(list(bars), [value or 0 for value in bars.values()], color="#4c6ef5")
    axes.bar_label(drawn, fmt="%.5g", padding=3)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return f"![{title}]({file.relative_to(PAGE.parent)})\n"
