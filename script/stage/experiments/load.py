"""
The load scenarios, as `script/loadtest --all` plays them.

In full they last as long as they must before a release; short, a fifth of that. Only their length and the pauses of
callers change, never what Cal.com allows or how long anything is believed.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from script.stage import local
from script.stage.load import verdict
from script.stage.processes import StageError
from script.stage.rows import Found

PROMISES = verdict.all_promises()
SHORT = 0.2
# Seconds: all scenarios in full; what bringing up, and letting calls and wishes come to their end, takes beside them.
LONGEST, BESIDE = 60 * 60.0, 1200.0


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Play all scenarios, and return what was found."""
    scale = 1.0 if full else SHORT
    print(f"all scenarios at time scale {scale:g}", flush=True)
    with tempfile.TemporaryDirectory(prefix="slotline-load-") as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "script.stage.load", "--all", "--time-scale", str(scale), "--seed", str(seed)]
        done = subprocess.run(  # noqa: PLW1510  broken promises are for the table
            [*command, "--json", str(file)],
            cwd=local.ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST * scale + BESIDE,
        )
        if not file.exists():
            raise StageError(f"The scenarios were not played: {done.stderr.strip()[-500:]}")
        rows = json.loads(file.read_text(encoding="utf-8"))
    return {row["name"]: Found(row["value"], row["remark"]) for row in rows}
