"""
Random sequences of everything that can happen, each of which must balance in the end.

Callers who search, hold, book, move and cancel, and say it twice; people at Cal.com; webhooks late, twice, reordered
and lost; time-outs, errors, wrong answers; our process dead at any step; time that passes. They are played within
one process, on servers of their own, by `tests/chaos/test_sequences.py`: 300 in short, 1000 in full.
"""

import os
import re
import subprocess
import sys

from script.lib.local import ROOT
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError

PROMISES = {
    "fault_sequences": Promise("sequences", 300, at_least=True),
    "fault_mismatches": Promise("mismatches", 0),
}
_TEST = "tests/chaos/test_sequences.py::test_whatever_happens_our_rows_are_what_cal_com_has"
_FIGURES = re.compile(r"^(\d+) sequences from (\d+) on, (\d+) mismatches (.*)$", re.MULTILINE)
# Seconds after which it is not going to end any more.
_LONGEST = 3600.0


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Play them, and return how many they were and how many did not balance."""
    said = _played(count=1000 if full else 300, first=seed)
    figures = _FIGURES.search(said)
    if figures is None:
        raise StageError(f"The sequences were not played to their end:\n{said[-3000:]}")
    print(said[: figures.end()].partition("Captured stdout call")[2].strip("- \n") or figures[0])
    count, first, failed, rest = figures.groups()
    return {
        "fault_sequences": Found(int(count), f"from number {first} on"),
        "fault_mismatches": Found(int(failed), rest),
    }


def _played(*, count: int, first: int) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-q", "-rP", _TEST]
    command += ["--sequences", str(count), "--seed", str(first)]
    ours = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "DJANGO_SETTINGS_MODULE"}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=_LONGEST, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise StageError(f"The sequences did not end within {_LONGEST:g} s.") from exc
    return done.stdout
