"""
The load scenarios, as `script/loadtest --all` plays them.

In full they last as long as they must before a release; in short, three minutes. Only their length and the pauses
of callers change, never what Cal.com allows or how long anything is believed.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from script.lib import local
from script.lib.measurements import Found
from script.lib.processes import StageError
from tests.load import checks

PROMISES = checks.all_promises()
# Seconds after which all scenarios are not going to end any more, in full and in short.
LONGEST, LONGEST_SHORT = 80 * 60.0, 900.0


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Play all scenarios, and return what was found."""
    print("all scenarios at full length" if full else "all scenarios in short", flush=True)
    with tempfile.TemporaryDirectory(prefix="slotline-load-") as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "tests.load", "--all", *([] if full else ["--short"])]
        done = subprocess.run(  # noqa: PLW1510  broken promises are for the table
            [*command, "--seed", str(seed), "--json", str(file)],
            cwd=local.ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST if full else LONGEST_SHORT,
        )
        if not file.exists():
            raise StageError(f"The scenarios were not played: {done.stderr.strip()[-500:]}")
        rows = json.loads(file.read_text(encoding="utf-8"))
    return {row["name"]: Found(row["value"], row["remark"]) for row in rows}
