"""A PostgreSQL that restarts, refuses, or is blocked by a lock: the effect on requests."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse

from bookings import tasks
from bookings.models import Appointment, Company, Operation
from bookings.scheduling import claims
from calcom.models import Account
from calcom.simulator import Simulator
from tests.agent import Agent
from tests.bookings.helpers import let_jobs_finish, pass_time
from tests.factories import TUESDAY, Salon, at

BOOK = "POST /v2/bookings"


@pytest.fixture
def kept(transactional_db: None) -> Iterator[BaseDatabaseWrapper]:
    """Return the connection of another thread, which it keeps between requests."""
    kept = connection.copy()
    kept.ensure_connection()
    kept.close_at = None  # tests keep none
    yield kept
    kept.close()


def pid_of(kept: BaseDatabaseWrapper) -> int:
    """Return which process of PostgreSQL serves the connection."""
    with kept.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def hang_up(pid: int) -> None:
    """End a connection as PostgreSQL does when it stops, and wait until it is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


def test_the_next_request_does_not_feel_a_restart(kept: BaseDatabaseWrapper) -> None:
    """A connection that PostgreSQL ended since the last request is replaced before the first query."""
    before = pid_of(kept)
    hang_up(before)

    kept.close_if_unusable_or_obsolete()  # what Django does when a request begins

    assert pid_of(kept) != before


def test_connection_that_postgresql_serves_is_kept(kept: BaseDatabaseWrapper) -> None:
    """A request that finds it usable opens no other, and sends no statement to know it."""
    before = pid_of(kept)

    for _ in range(3):
        kept.close_if_unusable_or_obsolete()
        assert kept.is_usable()
        with connection.cursor() as cursor:
            cursor.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [before])
            assert cursor.fetchone() == ("SELECT pg_backend_pid()",)
        assert pid_of(kept) == before


def test_word_from_postgresql_is_no_goodbye(kept: BaseDatabaseWrapper) -> None:
    """A notice that arrives between two requests is read and dropped."""
    before = pid_of(kept)
    with kept.cursor() as cursor:
        cursor.execute("LISTEN news")
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY news, 'hello'")

    kept.close_if_unusable_or_obsolete()

    assert pid_of(kept) == before


def test_rows_of_a_large_result_are_fetched_piece_by_piece(transactional_db: None) -> None:
    """Without a transaction, too."""
    Account.objects.bulk_create(Account(name=f"{number}") for number in range(30))

    assert sum(1 for _ in Account.objects.iterator(chunk_size=7)) == 30


@contextmanager
def uncommitted(statement: str, *params: object) -> Iterator[None]:
    """Run a statement in another transaction and leave it open."""
    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(statement, params)
        yield
    finally:
        other.rollback()
        other.close()


def is_sorry(answer: HttpResponse) -> bool:
    """Return whether the answer says that it was us, that nothing is wrong with the request, and when to try again."""
    told = answer.headers["Content-Type"], answer.json()["code"], answer.json()["retryable"]
    right = ("application/problem+json", "temporarily_unavailable", True)
    return answer.status_code == 503 and told == right and int(answer["Retry-After"]) >= 1


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound the wait for a lock."""
    monkeypatch.setattr(claims, "LONGEST_LOCK_S", 0.1)
    monkeypatch.setattr(claims, "PATIENCE_S", 0.2)


@pytest.mark.usefixtures("_impatient")
def test_lock_that_somebody_keeps_is_not_waited_for(agent: Agent, salon: Salon) -> None:
    """503 with Retry-After well before the deadline; nothing is written, and it works afterwards."""
    agent.free_slots(salon.colour, TUESDAY)
    began = time.monotonic()
    with uncommitted("SELECT pg_advisory_xact_lock(%s)", salon.emma.host_id):
        assert is_sorry(agent.book(salon.colour, at(14), key="wish"))
        assert time.monotonic() - began < 1
        assert not Operation.objects.exists()

    assert agent.book(salon.colour, at(14), key="wish").status_code == 201


@pytest.mark.usefixtures("_impatient")
def test_row_that_somebody_keeps_locked_is_not_waited_for(agent: Agent, salon: Salon) -> None:
    """The same for any row that a booking refers to."""
    agent.free_slots(salon.colour, TUESDAY)
    with uncommitted(f"SELECT id FROM {Company._meta.db_table} FOR UPDATE"):
        assert is_sorry(agent.book(salon.colour, at(14), key="wish"))

    assert agent.book(salon.colour, at(14), key="wish").status_code == 201
    assert Appointment.objects.count() == 1


@pytest.mark.slow
def test_any_statement_waits_a_second_for_a_lock_at_most(agent: Agent, salon: Salon) -> None:
    """Also for statements without a lock time-out of their own, such as storing a call."""
    began = time.monotonic()
    with uncommitted(f"SELECT id FROM {Company._meta.db_table} FOR UPDATE"):
        answer = agent.post("conversations", {"platform": "retell", "call_id": "1"})

    assert is_sorry(answer)
    assert time.monotonic() - began < 2


def test_what_was_accepted_is_told_and_settled_though_postgresql_went_away(
    agent: Agent, salon: Salon, simulator: Simulator
) -> None:
    """Cal.com has the booking, PostgreSQL is gone for the caller and for who writes it down."""
    agent.free_slots(salon.colour, TUESDAY)
    with ThreadPoolExecutor(1) as elsewhere, simulator.holding(BOOK):
        hanging_up = elsewhere.submit(hang_up_on_all, simulator)
        pending = agent.book(salon.colour, at(14), Prefer="wait=2")
        hanging_up.result()
    let_jobs_finish()
    connection.close()
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    assert Operation.objects.get().state == "sending"

    pass_time(60)
    tasks.settle(operation_id=Operation.objects.get().pk)

    assert Appointment.objects.get().public_id == pending.json()["booking"]["id"]
    assert Appointment.objects.get().state == "confirmed"
    assert simulator.count(BOOK) == 1


def hang_up_on_all(simulator: Simulator) -> None:
    """End all connections to the database of the tests, once a booking has arrived at Cal.com."""
    simulator.await_in_flight(1, BOOK)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as ours:
        ours.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            [connection.settings_dict["NAME"]],
        )
