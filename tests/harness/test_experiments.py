"""The campaign: every experiment tells what it promises before there is a server, and no two promise the same."""

import json
import subprocess
import sys

from script.lib.local import ROOT

CODE = """
import json
from tests.chaos import experiments
print(json.dumps({name: list(experiments.named(name).PROMISES) for name in experiments.names()}))
"""


def test_every_experiment_tells_its_promises_without_settings():
    """It brings the servers that the settings name, so it is read before there are any."""
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env={}, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    promises = json.loads(done.stdout)
    assert all(promises.values())
    # A number that two claim could be kept by one and broken by the other.
    rows = [row for names in promises.values() for row in names]
    assert len(rows) == len(set(rows))
