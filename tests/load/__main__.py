"""The command behind `script/loadtest`."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import DatabaseError
from redis import RedisError

from script.lib import local
from script.lib.environment import Ground
from script.lib.measurements import show, write
from script.lib.processes import StageError
from tests.load import checks, runner
from tests.load.report import Played, page
from tests.load.scenarios import SCENARIOS, Run, in_short

FAILURES = (StageError, CommandError, ImproperlyConfigured, DatabaseError, RedisError, OSError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play scenarios, print their rows, and return 1 if a promise is broken."""
    options = _parse(arguments)
    names = list(SCENARIOS) if options.all else [options.scenario]
    runs = [in_short(name) if options.short else Run(SCENARIOS[name], options.time_scale) for name in names]
    played: list[Played] = []
    try:
        for each in _play(runs, options.seed, options.keep):
            played.append(each)
            print("\n".join(show(row) for row in each.rows), flush=True)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.", file=sys.stderr)
        return 130
    rows = [row for each in played for row in each.rows]
    if options.json:
        write(rows, options.json)
    if options.html:
        options.html.write_text(page(played, title=f"Load scenarios, seed {options.seed}"), encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/loadtest", description="Let callers come, and judge what they heard.")
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument("--all", action="store_true", help="play all scenarios, one after the other")
    parser.add_argument("--time-scale", type=_scale, default=1.0, metavar="SHARE", help="0.1 lasts a tenth as long")
    parser.add_argument("--short", action="store_true", help="for seconds each")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what all sides wrote down")
    options = parser.parse_args(arguments)
    if options.all == bool(options.scenario):
        parser.error("Name one scenario, or say --all.")
    return options


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 1:
        raise argparse.ArgumentTypeError("It must be more than 0 and at most 1.")
    return scale


def _play(runs: Sequence[Run], seed: int, keep: Path | None) -> Iterator[Played]:
    """Play on one ground; what cannot be played is broken, and so is all that would have come after it."""
    left = list(runs)
    try:
        print("Bringing Slotline up …", file=sys.stderr, flush=True)
        with local.only_one(local.LOCAL / "load.lock"), runner.brought_up(seed) as here:
            while left:
                yield _play_one(left[0], here, seed, keep)
                left.pop(0)
    except FAILURES as exc:
        print(f"\nscript/loadtest: {exc}", file=sys.stderr)
        for run in left:
            yield Played(run.scenario.name, checks.unjudged(run.scenario.name, str(exc).partition("\n")[0]))


def _play_one(run: Run, here: Ground, seed: int, keep: Path | None) -> Played:
    words = f"{run.scenario.users} callers, {run.seconds:.0f} s, time scale {run.time_scale:g}, seed {seed}"
    print(f"{run.scenario.name}: {words}", flush=True)
    evidence = runner.play(run, here, seed, keep)
    return Played(run.scenario.name, checks.judge(evidence), evidence)


if __name__ == "__main__":
    sys.exit(main())
