"""What the pools promise to those who stop waiting."""

import threading
from contextvars import ContextVar

import pytest
from django.conf import settings
from django.db import connection, connections

from cachectl import background

request_id: ContextVar[str] = ContextVar("request_id", default="")


def test_full_pool_for_loads_does_not_keep_a_write_waiting() -> None:
    """A bulkhead: slots that do not come must not keep a booking from being sent."""
    released = threading.Event()
    loads = [background.submit_load(released.wait, 10) for _ in range(settings.CALCOM_CALL_THREADS + 1)]

    assert background.submit_write(lambda: "sent").result(5) == "sent"

    assert not any(load.done() for load in loads)
    released.set()
    assert all(load.result(5) for load in loads)


def test_job_knows_the_request_it_belongs_to() -> None:
    """The logs of a job carry the caller's request id."""
    token = request_id.set("r-1")

    assert background.submit_load(request_id.get).result(5) == "r-1"

    request_id.reset(token)


@pytest.mark.django_db(transaction=True)
def test_idle_thread_keeps_no_database_connection() -> None:
    """Two pools in each process would use up PostgreSQL's connections."""

    def uses_the_database() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    backend = background.submit_write(uses_the_database).result(5)

    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state <> 'idle'", [backend])
        assert cursor.fetchone()[0] == 0


def test_error_of_a_job_reaches_who_waits() -> None:
    """Nothing is swallowed."""
    with pytest.raises(ZeroDivisionError):
        background.submit_load(lambda: 1 / 0).result(5)
