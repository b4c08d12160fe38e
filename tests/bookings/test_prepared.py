"""What goes past Django's cursor is what a cursor would have said."""

from datetime import UTC, datetime

import pytest
from django.db import OperationalError, ProgrammingError, close_old_connections, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg.errors import QueryCanceled

from bookings.models import Company
from bookings.prepared import rows_of
from calcom.models import Account

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
EVERYTHING = "SELECT %s::bigint, %s::text, %s::timestamptz, NULL::int, date_part('epoch', %s::timestamptz), 1 > 2"


def by_cursor(statement, parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def limit(milliseconds):
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {milliseconds}")


@pytest.mark.django_db(transaction=True)
def test_rows_are_those_of_a_cursor():
    for number in (7, 2**40, -1):  # the second time it is known by its name
        parameters = [number, "Ä'%s", NOON, NOON]

        assert rows_of(EVERYTHING, parameters) == by_cursor(EVERYTHING, parameters)
        assert rows_of(EVERYTHING, parameters)[0][2] == NOON


@pytest.mark.django_db(transaction=True)
def test_two_statements_keep_their_names_apart():
    for _ in range(2):
        assert rows_of("SELECT 1 WHERE %s::int = 1", [1]) == [(1,)]
        assert rows_of("SELECT 2 WHERE %s::int = 1", [1]) == [(2,)]


@pytest.mark.django_db(transaction=True)
def test_names_that_psycopg_had_forgotten_are_given_again():
    """It does so after each ROLLBACK, once it has given names of its own."""
    for _ in range(10):
        by_cursor("SELECT %s::int", [1])
    assert rows_of("SELECT %s::int", [1]) == [(1,)]

    with transaction.atomic():
        by_cursor("SELECT %s::int", [1])
        transaction.set_rollback(True)
    by_cursor("SELECT %s::int", [1])
    assert by_cursor("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'slotline%%'", []) == [(0,)]

    assert rows_of("SELECT %s::int", [1]) == [(1,)]
    assert rows_of("SELECT %s::int", [2]) == [(2,)]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_sees_its_own_rows():
    """It has not begun for PostgreSQL before its first statement, which this one may be."""
    count = f"SELECT count(*) FROM {Account._meta.db_table} WHERE name = %s"

    with transaction.atomic():
        assert rows_of(count, ["Ada"]) == [(0,)]
        Account.objects.create(name="Ada", base_url="http://127.0.0.1:9")
        assert rows_of(count, ["Ada"]) == [(1,)]
        transaction.set_rollback(True)

    assert rows_of(count, ["Ada"]) == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_who_listens_hears_it():
    with CaptureQueriesContext(connection) as asked:
        rows_of("SELECT %s::int", [1])

    assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
def test_errors_are_those_of_a_cursor():
    with pytest.raises(ProgrammingError, match="nowhere"):
        rows_of("SELECT %s::int FROM nowhere", [1])

    limit(50)
    try:
        with pytest.raises(OperationalError) as caught:
            rows_of("SELECT pg_sleep(%s)", [5])
    finally:
        limit(10_000)
    assert isinstance(caught.value.__cause__, QueryCanceled)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_ended_fails_once():
    """The request that meets it hears so; the next one has a new connection, on which everything is prepared anew."""
    asked = "SELECT pg_backend_pid() WHERE %s::int = 1"
    ((pid,),) = rows_of(asked, [1])
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()

    with pytest.raises(OperationalError):
        rows_of(asked, [1])

    close_old_connections()  # as each request does when it ends
    assert rows_of(asked, [1]) != [(pid,)]


@pytest.mark.django_db
def test_a_test_in_a_transaction_asks_by_a_cursor():
    """So what other tests count is what is asked."""
    Company.objects.create(name="Muster", slug="muster", account=Account.objects.create(name="Ada"))

    assert rows_of("SELECT name FROM bookings_company WHERE slug = %s", ["muster"]) == [("Muster",)]
