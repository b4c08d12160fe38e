"""The load scenarios (`script/loadtest --all`), at full length as before a release, or in short in three minutes."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import DatabaseError
from redis import RedisError

from script.lib.environment import Servers
from script.lib.measurements import Measurement, Row, rows_of
from script.lib.processes import HarnessError
from tests.benchmarks.thresholds import LOAD
from tests.load import checks, runner
from tests.load.scenarios import SCENARIOS, Run, short_run

FAILURES = (HarnessError, CommandError, ImproperlyConfigured, DatabaseError, RedisError, OSError)


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Run all scenarios."""
    runs = [Run(scenario) if full else short_run(name) for name, scenario in SCENARIOS.items()]
    return {row.name: row.measurement for rows in run_all(servers, runs, seed) for row in rows}


def run_all(
    servers: Servers, runs: Sequence[Run], seed: int, *, keep: Path | None = None, html: Path | None = None
) -> Iterator[list[Row]]:
    """Yield the rows of each scenario; if one cannot be run, its rows fail, and those of all later ones."""
    left = list(runs)
    try:
        with runner.started(servers, seed) as env:
            while left:
                name = left[0].scenario.name
                print(f"{name}: {left[0].scenario.users} callers, {left[0].seconds:.0f} s", flush=True)
                found = checks.check(runner.run(left[0], env, seed, keep=keep, html=html))
                left.pop(0)
                yield rows_of(LOAD[name], found)
    except FAILURES as exc:
        print(exc, file=sys.stderr)
        reason = str(exc).partition("\n")[0]
        for run in left:
            yield rows_of(LOAD[run.scenario.name], {}, otherwise=reason)
