"""The command behind `script/loadtest`."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from script.lib import local
from script.lib.environment import running_servers
from script.lib.measurements import Row, rows_of, write_json
from script.lib.processes import HarnessError
from tests.benchmarks.thresholds import LOAD
from tests.load.scenarios import SCENARIOS, Run, short_run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios, print their rows, and return 1 if one fails."""
    options = _parse(arguments)
    names = list(SCENARIOS) if options.all else [options.scenario]
    runs = [short_run(name) if options.short else Run(SCENARIOS[name], options.time_scale) for name in names]
    rows: list[Row] = []
    try:
        for each in _run(runs, options):
            print(*each, sep="\n", flush=True)
            rows += each
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    if options.json:
        write_json(rows, options.json)
    return 0 if all(row.ok for row in rows) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/loadtest", description="Run load scenarios against thresholds.")
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument("--all", action="store_true", help="run all scenarios, one after the other")
    parser.add_argument("--time-scale", type=_scale, default=1.0, metavar="SHARE", help="0.1 lasts a tenth as long")
    parser.add_argument("--short", action="store_true", help="for seconds each")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    parser.add_argument("--html", type=Path, metavar="FOLDER", help="write locust's reports there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the call logs and what both sides stored")
    options = parser.parse_args(arguments)
    if options.all == bool(options.scenario):
        parser.error("Name one scenario, or say --all.")
    return options


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 1:
        raise argparse.ArgumentTypeError("It must be more than 0 and at most 1.")
    return scale


def _run(runs: Sequence[Run], options: argparse.Namespace) -> Iterator[list[Row]]:
    try:
        with local.only_one(local.LOCAL / "load.lock"), running_servers("load") as servers:
            from tests.load import group  # noqa: PLC0415  models, which need the settings

            yield from group.run_all(servers, runs, options.seed, keep=options.keep, html=options.html)
    except (HarnessError, OSError) as exc:
        print(f"\nscript/loadtest: {exc}", file=sys.stderr)
        for run in runs:
            yield rows_of(LOAD[run.scenario.name], {}, otherwise=str(exc).partition("\n")[0])


if __name__ == "__main__":
    sys.exit(main())
