"""The waits of `invalidate_range`, watched once in real time: a real worker, a real broker, a Redis that refuses."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from django.db import connection

from cachectl import invalidation
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from script.lib.servers import free_port
from tests.cachectl.conftest import ACCOUNT, CUT, MONDAY

# Published by a process of its own: the broker of the tests is another.
PUBLISH = "import django; django.setup(); from cachectl.tasks import invalidate_range; invalidate_range.delay()"


@pytest.fixture
def environ() -> dict[str, str]:
    """Return an environment with the tests' database, a real broker, and no Redis for the cache."""
    name = connection.settings_dict["NAME"]
    database = re.sub(r"(://[^/]*/)[^?]*", rf"\g<1>{name}", os.environ["DATABASE_URL"])
    return {
        **os.environ,
        "DATABASE_URL": database,
        "BROKER_URL": os.environ["REDIS_URL"],
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
    }


@pytest.fixture
def worker(environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run the worker of the queue `cache`."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-Q", "cache", "-P", "threads", "-c", "2"]
    process = subprocess.Popen(
        [*command, "--without-mingle", "--without-gossip", "-l", "WARNING"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_failed_invalidation_is_retried_after_5_10_and_20_seconds(
    environ: dict[str, str], worker: "subprocess.Popen[str]"
) -> None:
    """FM-25: the documented back-off is in force; afterwards the row is still pending."""
    row = invalidation.enqueue(
        account_id=ACCOUNT, event_type_ids=[CUT], first=MONDAY, last=MONDAY, cause=CacheInvalidation.Cause.OWN
    )
    publisher = subprocess.Popen([sys.executable, "-c", PUBLISH], env=environ)

    attempts: list[float] = []
    assert worker.stdout
    for line in worker.stdout:
        if "cache.invalidation_failed" in line:
            attempts.append(time.monotonic())
        if len(attempts) == 4:
            break
    assert publisher.wait(10) == 0
    waits = [after - before for before, after in pairwise(attempts)]

    print("waits:", ", ".join(f"{wait:.1f} s" for wait in waits))
    assert waits == pytest.approx([5, 10, 20], abs=1.0)
    row.refresh_from_db()
    assert (row.attempts, row.done_at) == (4, None)
    assert redis_client().ping()
