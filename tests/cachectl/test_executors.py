"""What the pools promise to those who stop waiting, and to those who wait for something else."""

import threading
from contextvars import ContextVar

import pytest
from django.conf import settings
from django.db import connection, connections

from cachectl.infra import executors

SALON, PRACTICE = 1, 2
request_id: ContextVar[str] = ContextVar("request_id", default="")


def test_full_pool_for_loads_does_not_keep_a_write_waiting() -> None:
    """A bulkhead: slots that do not come must not keep a booking from being sent."""
    released = threading.Event()
    loads = [executors.submit_load(SALON, released.wait, 10) for _ in range(settings.CALCOM_CALL_THREADS + 1)]

    assert executors.submit_write(SALON, lambda: "sent").result(5) == "sent"

    assert not any(load.done() for load in loads)
    released.set()
    assert all(load.result(5) for load in loads)


@pytest.mark.parametrize("submit", [executors.submit_load, executors.submit_question, executors.submit_write])
def test_account_whose_calls_hang_keeps_no_other_account_waiting(submit) -> None:
    """FM-46, invariant 7: however many of its calls hang, half of the threads are left to others."""
    released = threading.Event()
    hanging = [submit(SALON, released.wait, 10) for _ in range(3 * settings.CALCOM_CALL_THREADS)]

    others = [submit(PRACTICE, lambda: "answered") for _ in range(50)]

    assert {other.result(5) for other in others} == {"answered"}
    assert not any(job.done() for job in hanging)
    released.set()
    assert all(job.result(10) for job in hanging)


def test_thread_is_free_while_the_calls_of_several_accounts_hang() -> None:
    """Each account has at most half of what the others leave; what waits starts when threads become free."""
    gates, pool = [threading.Event() for _ in range(4)], executors.PerTenantExecutor("test", 16)
    hanging = [
        [pool.submit(account, lambda gate=gate: gate.wait(30)) for _ in range(20)] for account, gate in enumerate(gates)
    ]

    assert pool.submit(99, lambda: "answered").result(10) == "answered"

    assert not any(job.done() for jobs in hanging for job in jobs)
    for gate, jobs in zip(gates, hanging, strict=True):
        gate.set()
        assert all(job.result(10) for job in jobs)
    pool.finish()


def test_jobs_above_an_accounts_share_are_done_in_their_order() -> None:
    """They wait for that account's jobs only, and none is lost or starves."""
    gate, done = threading.Event(), []
    pool = executors.PerTenantExecutor("test", 2)
    first = pool.submit(SALON, lambda: gate.wait(10))
    later = [pool.submit(SALON, lambda number=number: done.append(number)) for number in range(20)]

    pool.submit(PRACTICE, lambda: done.append("other")).result(5)
    gate.set()
    pool.finish()

    assert first.result(0)
    assert all(job.done() for job in later)
    assert done == ["other", *range(20)]


def test_job_that_nobody_wants_any_more_makes_room_for_the_next() -> None:
    """Cancelled while it waited: it is left out."""
    gate, done = threading.Event(), []
    pool = executors.PerTenantExecutor("test", 1)
    pool.submit(SALON, lambda: gate.wait(10))
    unwanted, wanted = (pool.submit(SALON, lambda name=name: done.append(name)) for name in ("unwanted", "wanted"))

    unwanted.cancel()
    gate.set()
    wanted.result(5)
    pool.finish()

    assert done == ["wanted"]


def test_broker_that_is_silent_keeps_no_load_waiting() -> None:
    """Background jobs have a few threads of their own."""
    released = threading.Event()
    background = [executors.submit_background(released.wait, 10) for _ in range(20)]

    assert executors.submit_load(SALON, lambda: "loaded").result(5) == "loaded"

    released.set()
    assert all(job.result(10) for job in background)


def test_job_knows_the_request_it_belongs_to() -> None:
    """The logs of a job carry the caller's request id, also when it had to wait."""
    released = threading.Event()
    for _ in range(settings.CALCOM_CALL_THREADS):
        executors.submit_load(SALON, released.wait, 10)
    token = request_id.set("r-1")
    job = executors.submit_load(SALON, request_id.get)
    request_id.reset(token)
    released.set()

    assert job.result(5) == "r-1"


@pytest.mark.django_db(transaction=True)
def test_idle_thread_keeps_no_database_connection() -> None:
    """Two pools in each process would use up PostgreSQL's connections."""

    def uses_the_database() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    backend = executors.submit_write(SALON, uses_the_database).result(5)

    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state <> 'idle'", [backend])
        assert cursor.fetchone()[0] == 0


def test_error_of_a_job_reaches_who_waits() -> None:
    """Nothing is swallowed."""
    with pytest.raises(ZeroDivisionError):
        executors.submit_load(SALON, lambda: 1 / 0).result(5)
