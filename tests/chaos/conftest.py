"""Fixtures of the fault-injection tests."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from script.lib.local import ROOT
from tests.chaos.sequences.sandbox import Sandbox, set_up
from tests.servers import ENVIRONMENT

Measure = Callable[..., None]


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """
    Return a function that measures a group of the report, and fails unless it meets its thresholds.

    With `--full` it runs at full length. A `seed` is for the short form, which then is the same each time.
    """

    def run(group: str, *, within: float = 600, seed: int | None = None) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.standalone", group]
        if request.config.getoption("full"):
            command.append("--full")
            within = 3 * 3600
        elif seed is not None:
            command += ["--seed", str(seed)]
        # It starts servers of its own: this process's environment is not for it.
        ours = {*ENVIRONMENT, "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
        environ = {name: value for name, value in os.environ.items() if name not in ours}
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=within, check=False
        )
        print(done.stdout)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"

    return run


@pytest.fixture
def sandbox(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Two companies, Cal.com, and a process of ours that the test controls, on a clock of their own."""
    for name in ("BOOKINGS_READ_WAIT", "BOOKINGS_WRITE_WAIT"):
        monkeypatch.setattr(settings, name, 1.0)  # seconds; waiting takes no time here, but many looks
    logging.disable(logging.CRITICAL)
    try:
        with set_up(monkeypatch) as sandbox:
            yield sandbox
    finally:
        logging.disable(logging.NOTSET)
