"""Groups with an environment of their own: `python -m tests.benchmarks.standalone GROUP [--full] [--seed N]`."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from script.lib.environment import running_servers
from script.lib.local import ROOT
from script.lib.measurements import Row, read_json, rows_of, write_json
from script.lib.processes import HarnessError
from tests.benchmarks.thresholds import THRESHOLDS


@dataclass(frozen=True)
class Group:
    """Where a group is measured: `measure(servers, *, full, seed)` of a module, on servers with these settings."""

    module: str
    settings: str = "config.settings"
    own_broker: bool = False


GROUPS: Mapping[str, Group] = {
    **{
        name: Group(f"tests.chaos.{name}")
        for name in (
            "database_outage",
            "deadlines",
            "held_connections",
            "metrics_accuracy",
            "races",
            "random_sequences",
            "rate_limiter",
            "redis_data_loss",
            "redis_outage",
        )
    },
    "process_kills": Group("tests.chaos.process_kills", settings="tests.chaos.failpoints.settings"),
    "worker_failures": Group("tests.chaos.worker_failures", own_broker=True),
    "fuzzing": Group("tests.fuzz.fuzzing"),
    "load": Group("tests.load.group"),
    "peer_comparison": Group("tests.benchmarks.peer_comparison"),
    "stale_offers": Group("tests.benchmarks.stale_offers"),
    "truth_rate": Group("tests.benchmarks.truth_rate"),
    "warming_under_load": Group("tests.benchmarks.warming_under_load"),
    "warming_benefit": Group("tests.benchmarks.warming_benefit"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a group and print its rows; return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.standalone", description=__doc__)
    parser.add_argument("group", choices=sorted(GROUPS))
    parser.add_argument("--full", action="store_true", help="at full length, as the thresholds are meant")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="to repeat a run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    options = parser.parse_args(arguments)
    print(f"{options.group}: seed {options.seed}, {'full' if options.full else 'short'}", flush=True)
    rows = _measure(options.group, full=options.full, seed=options.seed)
    print(*rows, sep="\n")
    if options.json:
        write_json(rows, options.json)
    return 0 if all(row.ok for row in rows) else 1


def _measure(name: str, *, full: bool, seed: int) -> list[Row]:
    group, measured, error = GROUPS[name], {}, "not measured"
    try:
        with running_servers(name, settings=group.settings, own_broker=group.own_broker) as servers:
            # Imported only now: its models need the settings, and these the servers.
            measured = import_module(group.module).measure(servers, full=full, seed=seed)
    except HarnessError as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        error = str(exc).partition("\n")[0]
    return rows_of(THRESHOLDS[name], measured, otherwise=error)


def measure_in_subprocess(name: str, *, full: bool) -> list[Row]:
    """Measure a group in a process of its own; what it prints goes to stderr."""
    with tempfile.TemporaryDirectory(prefix="slotline-bench-") as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.benchmarks.standalone", name, "--json", str(file)]
        subprocess.run([*command, *(["--full"] if full else [])], cwd=ROOT, stdout=sys.stderr, check=False)
        return rows_of(THRESHOLDS[name], read_json(file))


if __name__ == "__main__":
    sys.exit(main())
