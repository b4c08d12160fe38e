"""The command behind `script/bench`: the one table of what was promised and what was measured."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import DatabaseError
from redis import RedisError

from script.lib import local
from script.lib.measurements import Found, Promise, Row, show, write
from script.lib.processes import StageError
from tests.benchmarks import environment, publishing
from tests.chaos import experiments

GROUPS = (
    "searching",
    "holding",
    "forgetting",
    "permits",
    "hearing",
    "booking",
    "processor",
    "throughput",
    "queues",
    "layers",
    "queries",
    "growth",
    "admin_pages",
)
"""Modules of this package, measured on one ground in this order; the last ones fill the tables."""

FAILURES = (StageError, CommandError, ImproperlyConfigured, DatabaseError, RedisError, OSError, ValueError)
Measure = Callable[[environment.Ground], Mapping[str, Found]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return 1 if a promise is broken."""
    options = _parse(arguments)
    try:
        sections = dict(_measured(options.only, full=options.full))
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    except FAILURES as exc:
        print(f"\nscript/bench: {exc}", file=sys.stderr)
        return 1
    every = [row for rows in sections.values() for row in rows]
    if options.json:
        write(every, options.json)
    if options.publish:
        publishing.publish(sections, full=options.full)
    return 0 if every and all(row.ok for row in every) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [*GROUPS, *experiments.names()]
    parser = argparse.ArgumentParser(prog="script/bench", description="Measure what Slotline promises.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--only", metavar="NAME", choices=names, action="append", help=f"any of {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="experiments and scenarios at full length: some hours")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md, with plots")
    return parser.parse_args(arguments)


def _measured(only: Sequence[str] | None, *, full: bool) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each section: first the groups, on one ground, then experiments, each with its own."""
    wanted = only or [*GROUPS, *experiments.names()]
    groups = [name for name in GROUPS if name in wanted]
    if groups:
        yield from _on_one_ground(groups)
    for name in experiments.names():
        if name in wanted:
            rows = _experiment(name, full=full)
            _print(rows)
            yield name, rows


def _on_one_ground(groups: Sequence[str]) -> Iterator[tuple[str, list[Row]]]:
    print("Bringing Slotline up …", file=sys.stderr)
    with environment.brought_up() as here:
        for name in groups:
            rows = _group(_module(name), here)
            _print(rows)
            yield name, rows


def _group(module: ModuleType, here: environment.Ground) -> list[Row]:
    """Measure one group. What fails has no value, and the other groups are measured all the same."""
    promises: Mapping[str, Promise] = module.PROMISES
    measure: Measure = module.measure
    try:
        found = measure(here)
    except FAILURES as exc:
        found = dict.fromkeys(promises, Found(None, str(exc)))
    return [Row(name, promise, found.get(name, Found(None))) for name, promise in promises.items()]


def _experiment(name: str, *, full: bool) -> list[Row]:
    """Have an experiment run in a process of its own, and return its rows."""
    print(f"Experiment {name} …", file=sys.stderr)
    promises = experiments.named(name).PROMISES
    with tempfile.TemporaryDirectory(prefix="slotline-bench-") as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.chaos.experiments", name, "--json", str(file)]
        command += ["--full"] if full else []
        subprocess.run(command, cwd=local.ROOT, stdout=sys.stderr, check=False)  # broken promises are for the table
        told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    found = {row["name"]: Found(row["value"], row["remark"]) for row in told}
    return [Row(name, promise, found.get(name, Found(None, "not measured"))) for name, promise in promises.items()]


def _print(rows: Sequence[Row]) -> None:
    for row in rows:
        print(show(row), flush=True)


def _module(name: str) -> ModuleType:
    """Import a group: late, because it imports models, which need the settings."""
    return import_module(f"tests.benchmarks.{name}")


if __name__ == "__main__":
    sys.exit(main())
