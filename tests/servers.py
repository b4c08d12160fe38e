"""A pytest plugin: real servers, and an environment in which nothing can reach a real Cal.com."""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest

from script.lib.servers import ensure_servers

ENVIRONMENT = {
    "DEBUG": "0",
    "SECOND_FACTOR": "0",
    "SECRET_KEY": "tests-only",
    "FIELD_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
    "CALCOM_LOOPBACK_ONLY": "1",
    "BOOKINGS_ATTENDEE_DOMAIN": "callers.example",
    "BROKER_URL": "memory://",
    "WEB_THREADS": "400",  # tests have many callers in one process; where places are what is tested, there are few
    "DATABASE_CONN_MAX_AGE": "0",  # an idle thread's connection would keep the test database from being dropped
}


@pytest.hookimpl(hookwrapper=True)
def pytest_load_initial_conftests() -> Iterator[None]:
    """Prepare the environment before Django reads its settings; workers of pytest-xdist inherit the servers."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(ENVIRONMENT)
    ensure_servers()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    # Databases from 8 on: a server that REDIS_URL names may hold something else in the first ones.
    server, _, _ = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{server}/{8 + int(worker)}"
    # Each worker counts for itself, as if it were alone on a machine.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="slotline-metrics-")
    atexit.register(shutil.rmtree, os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
    yield
