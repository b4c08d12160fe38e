"""Alerts of a Slotline that runs, caused by faults, at a local webhook and a local mail server."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from tests.servers import ENVIRONMENT

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("group", ["calcom", "parts", "load"])
def test_alert_is_told_after_its_fault_and_never_without_one(group: str) -> None:
    """The urgent ones within 30 s, also while the broker or PostgreSQL is away."""
    ours = {*ENVIRONMENT, "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE"}  # it starts servers of its own
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, "-m", "tests.chaos.alerts", group]

    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, timeout=900, check=False
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
