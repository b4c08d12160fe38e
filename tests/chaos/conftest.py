"""How an experiment of the campaign is run: as a process of its own, whose verdict is the test's."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from script.lib.local import ROOT
from tests.chaos.sequences.stage import Stage, set_up
from tests.servers import ENVIRONMENT

Run = Callable[..., None]


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Run:
    """
    Run an experiment of `tests/chaos/experiments`, in full if asked for, and fail when a promise is broken.

    A `seed` is for the short form, which then is the same each time.
    """

    def run(name: str, *, within: float = 600, seed: int | None = None) -> None:
        command = [sys.executable, "-m", "tests.chaos.experiments", name]
        if request.config.getoption("full"):
            command.append("--full")
            within = 3 * 3600
        elif seed is not None:
            command += ["--seed", str(seed)]
        # It brings servers of its own: what is meant for this process's tests is not for it.
        ours = {*ENVIRONMENT, "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}
        environ = {name: value for name, value in os.environ.items() if name not in ours}
        done = subprocess.run(  # noqa: PLW1510  the status is the verdict
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=within
        )
        print(done.stdout)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"

    return run


@pytest.fixture
def stage(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Two companies, Cal.com, and a process of ours in the hands of the test, on a clock of their own."""
    for name in ("BOOKINGS_READ_WAIT", "BOOKINGS_WRITE_WAIT"):
        monkeypatch.setattr(settings, name, 1.0)  # seconds; to wait costs no time here, but many looks
    logging.disable(logging.CRITICAL)
    try:
        with set_up(monkeypatch) as stage:
            yield stage
    finally:
        logging.disable(logging.NOTSET)
