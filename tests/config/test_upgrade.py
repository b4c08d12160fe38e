"""What an older release may have left in the queues and in Redis does no harm."""

import threading

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from cachectl import store
from cachectl.freshness import Freshness
from cachectl.infra.redis import redis_client
from config.celery import app as slotline
from tests.cachectl.conftest import ACCOUNT, CUT, MONDAY

TASKS_OF_0_1 = ("cachectl.forget_range", "bookings.forget_offers", "cachectl.sweep_forgettings")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_worker_discards_tasks_that_are_gone_and_goes_on() -> None:
    app = Celery("upgrade", broker="memory://upgrade", set_as_current=False)
    done = threading.Event()
    app.task(done.set, name="known")

    for name in TASKS_OF_0_1:
        app.send_task(name, kwargs={"forgetting_id": 7})
    app.send_task("known")
    try:
        with start_worker(app, perform_ping_check=False, pool="solo", shutdown_timeout=30):
            assert done.wait(30)
    finally:  # `start_worker` makes its application the process's
        slotline.set_current()
        slotline.set_default()


def test_keys_of_the_first_version_are_not_read() -> None:
    prefix = f"sl1:{{{ACCOUNT}}}"
    redis_client().set(f"{prefix}:day:{CUT}:{MONDAY}", b"[1,0,[2]]")
    redis_client().set(f"{prefix}:changes:{CUT}:{MONDAY}", b"[0,0]")

    (day,) = store.read(ACCOUNT, CUT, [MONDAY]).days

    assert day.freshness is Freshness.MISSING
