"""Run one experiment: `python -m tests.chaos.experiments NAME [--full] [--seed N] [--json FILE]`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from script.lib.measurements import Found, Row, show, write
from script.lib.processes import StageError
from tests.chaos import experiments


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print its ledger and its rows, and return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="tests.chaos.experiments", description=experiments.__doc__)
    parser.add_argument("name", choices=experiments.names())
    parser.add_argument("--full", action="store_true", help="as long and as often as the promise is meant")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    options = parser.parse_args(arguments)
    experiment = experiments.named(options.name)
    print(f"{options.name}: seed {options.seed}, {'full' if options.full else 'short'}", flush=True)
    try:
        found = experiment.measure(full=options.full, seed=options.seed)
    except StageError as exc:
        print(f"{options.name}: {exc}", file=sys.stderr)
        found = dict.fromkeys(experiment.PROMISES, Found(None, "not measured"))
    rows = [Row(name, promise, found.get(name, Found(None))) for name, promise in experiment.PROMISES.items()]
    for row in rows:
        print(show(row))
    if options.json:
        write(rows, options.json)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
