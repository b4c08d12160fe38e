"""The command behind `script/bench`."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import DatabaseError
from redis import RedisError

from script.stage.bench import ground
from script.stage.processes import StageError
from script.stage.rows import Found, Promise, Row, show, write

GROUPS = ("searching", "forgetting", "governor", "booking", "throughput", "queues", "layers", "queries", "growth")
"""Modules, in the order in which they are measured; the last one fills the tables."""

FAILURES = (StageError, CommandError, ImproperlyConfigured, DatabaseError, RedisError, OSError)
Measure = Callable[[ground.Ground], Mapping[str, Found]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return 1 if a promise is broken."""
    options = _parse(arguments)
    try:
        rows = _measure(options.only)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    except FAILURES as exc:
        print(f"\nscript/bench: {exc}", file=sys.stderr)
        return 1
    if options.json:
        write(rows, options.json)
    return 0 if rows and all(row.ok for row in rows) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description="Measure what Slotline promises.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--only", metavar="GROUP", choices=GROUPS, help=f"one of {', '.join(GROUPS)}")
    return parser.parse_args(arguments)


def _measure(only: str | None) -> list[Row]:
    print("Bringing Slotline up …", file=sys.stderr)
    rows = []
    with ground.brought_up() as here:
        for name in [only] if only else GROUPS:
            for row in _group(_module(name), here):
                print(show(row), flush=True)
                rows.append(row)
    return rows


def _group(module: ModuleType, here: ground.Ground) -> list[Row]:
    """Measure one group. What fails has no value, and the other groups are measured all the same."""
    promises: Mapping[str, Promise] = module.PROMISES
    measure: Measure = module.measure
    try:
        found = measure(here)
    except FAILURES as exc:
        found = dict.fromkeys(promises, Found(None, str(exc)))
    return [Row(name, promise, found.get(name, Found(None))) for name, promise in promises.items()]


def _module(name: str) -> ModuleType:
    """Import a group: late, because it imports models, which need the settings."""
    return import_module(f"script.stage.bench.{name}")


if __name__ == "__main__":
    sys.exit(main())
