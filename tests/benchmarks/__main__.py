"""The command behind `script/bench`: one report of thresholds and measurements."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import DatabaseError
from redis import RedisError

from script.lib import local
from script.lib.environment import Environment, running_servers
from script.lib.measurements import Row, rows_of, write_json
from script.lib.processes import HarnessError
from tests.benchmarks import report, standalone
from tests.benchmarks.dataset import DATASET
from tests.benchmarks.thresholds import THRESHOLDS

SHARED = (
    "searching",
    "holding",
    "adapters",
    "invalidation",
    "permits",
    "phrases",
    "webhooks",
    "booking",
    "processor",
    "throughput",
    "queues",
    "layers",
    "queries",
    "growth",
    "admin_pages",
)
"""Modules of this package, measured in one environment in this order; the last ones fill the tables."""
FAILURES = (HarnessError, CommandError, ImproperlyConfigured, DatabaseError, RedisError, OSError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the rows, and return 1 if one fails."""
    options = _parse(arguments)
    groups: dict[str, list[Row]] = {}
    try:
        for name, rows in _measure(options.only or [*SHARED, *standalone.GROUPS], full=options.full):
            print(*rows, sep="\n", flush=True)
            groups[name] = rows
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    except FAILURES as exc:
        print(f"\nscript/bench: {exc}", file=sys.stderr)
        return 1
    every = [row for rows in groups.values() for row in rows]
    if options.json:
        write_json(every, options.json)
    if options.publish:
        report.publish(groups, full=options.full)
    return 0 if every and all(row.ok for row in every) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [*SHARED, *standalone.GROUPS]
    parser = argparse.ArgumentParser(prog="script/bench", description="Measure Slotline against its thresholds.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    parser.add_argument("--only", metavar="GROUP", choices=names, action="append", help=f"any of {', '.join(names)}")
    parser.add_argument("--full", action="store_true", help="fault injection and load at full length: some hours")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md, with plots")
    return parser.parse_args(arguments)


def _measure(names: Sequence[str], *, full: bool) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each group: first those of one environment, then those with their own."""
    shared = [name for name in SHARED if name in names]
    if shared:
        print("Starting Slotline …", file=sys.stderr)
        with (
            local.only_one(),
            running_servers("bench", settings="tests.benchmarks.settings") as servers,
            servers.environment(DATASET, limit=10**9) as env,
        ):
            for name in shared:
                yield name, _measure_shared(name, env)
    for name in standalone.GROUPS:
        if name in names:
            print(f"{name} …", file=sys.stderr)
            yield name, standalone.measure_in_subprocess(name, full=full)


def _measure_shared(name: str, env: Environment) -> list[Row]:
    """Measure one group. If it fails, its rows do, and the other groups are measured all the same."""
    measured, error = {}, "not measured"
    try:
        # Imported only now: its models need the settings, and these the servers.
        measured = import_module(f"tests.benchmarks.{name}").measure(env)
    except FAILURES as exc:
        error = str(exc)
    return rows_of(THRESHOLDS[name], measured, otherwise=error)


if __name__ == "__main__":
    sys.exit(main())
