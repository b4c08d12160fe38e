"""A PostgreSQL that restarts, refuses, or is kept waiting by somebody else: what a request feels of it."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper


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
    """Experiment 23: a connection that PostgreSQL ended since the last request is replaced before the first query."""
    before = pid_of(kept)
    hang_up(before)

    kept.close_if_unusable_or_obsolete()  # what Django does when a request begins

    assert pid_of(kept) != before


def test_a_connection_that_is_well_is_kept(kept: BaseDatabaseWrapper) -> None:
    """And nothing is asked to know it."""
    before = pid_of(kept)

    for _ in range(3):
        kept.close_if_unusable_or_obsolete()
        assert pid_of(kept) == before


def test_word_from_postgresql_is_no_goodbye(kept: BaseDatabaseWrapper) -> None:
    """A notice that arrives between two requests is read and forgotten."""
    before = pid_of(kept)
    with kept.cursor() as cursor:
        cursor.execute("LISTEN news")
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY news, 'hello'")

    kept.close_if_unusable_or_obsolete()

    assert pid_of(kept) == before
