"""
A statement that every answer waits for, in one call.

On its way through a cursor a statement lets the process's other threads run at several places, and with four of them
that is what it costs: a sixth of a cached answer (measured 2026-11, psycopg 3.3). libpq's own call has one such place.
It is not among django-prometheus' figures, which would cost a thirtieth: there is one for each answer.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

_names: "WeakKeyDictionary[psycopg.Connection[Any], dict[str, bytes]]" = WeakKeyDictionary()
"""By connection: what its statements are called there."""


def rows_of(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """
    Return the rows of a statement with %s for each parameter, which PostgreSQL plans once for a connection.

    Within a transaction, and where somebody listens to what is asked, it goes by a cursor like any other.

    Raises:
        django.db.Error: as a cursor does.
    """
    database = connections[DEFAULT_DB_ALIAS]
    database.close_if_health_check_failed()
    if not database.get_autocommit() or database.queries_logged or database.execute_wrappers:
        with database.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
    with database.wrap_database_errors:
        return _ask(database.connection, statement, parameters)


def _ask(session: psycopg.Connection[Any], statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    adapted, names = Transformer(session), _names.setdefault(session, {})
    values: Sequence[Any] = adapted.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))
    try:
        rows = _run(session.pgconn, names, statement, values)
    except InvalidSqlStatementName:  # after a ROLLBACK psycopg has PostgreSQL forget all names
        names.clear()
        rows = _run(session.pgconn, names, statement, values)
    adapted.set_pgresult(rows)
    return adapted.load_rows(0, rows.ntuples, tuple)


def _run(wire: PGconn, names: dict[str, bytes], statement: str, values: Sequence[Any]) -> PGresult:
    name = names.get(statement)
    if name is None:
        name = b"slotline_%d" % len(names)
        numbered = statement % tuple(f"${number}" for number, _ in enumerate(values, 1))
        _succeeded(wire, wire.prepare(name, numbered.encode()), ExecStatus.COMMAND_OK)
        names[statement] = name
    return _succeeded(wire, wire.exec_prepared(name, values), ExecStatus.TUPLES_OK)


def _succeeded(wire: PGconn, result: PGresult, status: ExecStatus) -> PGresult:
    if result.status == status:
        return result
    if wire.status == ConnStatus.BAD:
        raise psycopg.OperationalError(wire.get_error_message())
    raise error_from_result(result)
