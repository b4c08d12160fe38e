"""The warming command, as cron runs it."""

import os
import subprocess
import sys

from script.lib.local import ROOT
from script.lib.processes import HarnessError


def warm(*arguments: str, may_stop: bool = False) -> None:
    """Run it to its end; `may_stop` says whether it may stop for live traffic. Raises `HarnessError` if it fails."""
    command = ["nice", sys.executable, "manage.py", "warm_calcom_cache", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode not in ({0, os.EX_TEMPFAIL} if may_stop else {0}):
        raise HarnessError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-500:]}")
