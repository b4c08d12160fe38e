"""How the things are that belong to no app of ours: the database, its migrations, the broker."""

from functools import cache

from celery import current_app
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from monitoring.registry import Unhealthy, register_probe


def database() -> None:
    """Ask the database something."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def migrations() -> None:
    """Compare the migrations of this code with those of the database: a deploy that did not deploy shows here."""
    try:
        missing = _wanted() - set(MigrationRecorder(connection).applied_migrations())
    finally:
        connection.close()
    if missing:
        raise Unhealthy(f"{len(missing)} not applied")


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """Return the migrations this code needs; they lie on disk and do not change while it runs."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def broker() -> None:
    """Connect to Celery's broker, once and briefly."""
    with current_app.connection_for_write() as broker_connection:
        broker_connection.ensure_connection(max_retries=1, timeout=1)


def register() -> None:
    """Register them. Without a broker bookings are still made and settled, so it is not vital."""
    register_probe("database", database, vital=True)
    register_probe("migrations", migrations, vital=True)
    register_probe("broker", broker)
