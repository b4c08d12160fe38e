"""
Random sequences of requests, faults and time, after each of which our rows and Cal.com must agree.

They run in one process, on servers of their own: `tests/chaos/test_sequences.py` with 300 sequences, in full 1000.
"""

import os
import re
import subprocess
import sys

from script.lib.local import ROOT
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError

_TEST = "tests/chaos/test_sequences.py::test_random_sequences_leave_rows_and_calcom_consistent"
_SUMMARY = re.compile(r"^(\d+) sequences from (\d+) on, (\d+) mismatches (.*)$", re.MULTILINE)


def measure(_servers: object, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Run them; what fails is printed, as short as it can be."""
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-q", "-rP", _TEST]
    command += ["--sequences", str(1000 if full else 300), "--seed", str(seed)]
    ours = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "DJANGO_SETTINGS_MODULE", "BOOKINGS_THROTTLE_RATE"}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=3600, check=False)
    except subprocess.TimeoutExpired as exc:
        raise HarnessError("The sequences did not end within an hour.") from exc
    summary = _SUMMARY.search(done.stdout)
    if summary is None:
        raise HarnessError(f"The sequences did not end:\n{done.stdout[-3000:]}")
    print(done.stdout[: summary.end()].partition("Captured stdout call")[2].strip("- \n") or summary[0])
    count, first, failed, rest = summary.groups()
    return {
        "fault_sequences": Measurement(int(count), f"from number {first} on"),
        "fault_mismatches": Measurement(int(failed), rest),
    }
