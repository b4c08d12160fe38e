"""Probes and readings of what belongs to no app: database, migrations, broker, queues, outboxes."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

from celery import current_app
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now
from kombu import Connection
from kombu.exceptions import ChannelError
from redis import ResponseError

from monitoring import metrics
from monitoring.collectors import Reading, Unhealthy, register_collector, register_probe


def database() -> None:
    """Query the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def migrations() -> None:
    """Compare the migrations of this code with those of the database: an incomplete deployment shows here."""
    missing = _wanted() - set(MigrationRecorder(connection).applied_migrations())
    if missing:
        raise Unhealthy(f"{len(missing)} not applied")


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """Return the migrations that this code needs; they do not change while it runs."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def broker() -> None:
    """Connect to the broker once and write to it: a full one and a replica refuse that."""
    with current_app.connection_for_write() as broker_connection:
        _connect(broker_connection)
        if broker_connection.transport.driver_type == "redis":
            channel: Any = broker_connection.default_channel
            try:
                channel.client.set("sl1:probe:broker", 1, px=1000)
            except ResponseError as exc:
                raise Unhealthy(f"takes no message: {type(exc).__name__}") from exc


def queues() -> Iterator[Reading]:
    """Count the messages of each queue that no worker has taken."""
    with current_app.connection_for_read() as broker_connection:
        _connect(broker_connection)
        for queue in current_app.conf.task_queues:
            yield metrics.QUEUE_DEPTH.at(_depth(broker_connection, queue.name), queue.name)


# Counting stays cheap however many rows are pending.
MOST_COUNTED = 10_000


def outbox(name: str, rows: "QuerySet[Any]") -> Iterator[Reading]:
    """
    Yield the number of pending `rows` of an outbox and for how many seconds the first has been due.

    The rows need a column `next_attempt_at` and a partial index by it that holds nothing else.
    """
    first = rows.order_by("next_attempt_at").values("next_attempt_at")[:MOST_COUNTED]
    pending = first.aggregate(size=Count("next_attempt_at"), overdue=Now() - Min("next_attempt_at"))
    overdue = max(pending["overdue"] or timedelta(), timedelta())
    yield metrics.OUTBOX_SIZE.at(pending["size"], name)
    yield metrics.OUTBOX_OVERDUE_SECONDS.at(overdue.total_seconds(), name)


def _connect(broker_connection: Connection) -> None:
    broker_connection.ensure_connection(max_retries=0)  # a second try would come after two seconds


def _depth(broker_connection: Connection, queue: str) -> int:
    try:
        channel: Any = broker_connection.default_channel
        declared = channel.queue_declare(queue=queue, passive=True)
    except ChannelError:
        return 0  # on Redis an empty queue does not exist
    return int(declared.message_count)


def register() -> None:
    """Register probes and readings. Bookings work without a broker, so it is not vital."""
    register_probe("database", database, vital=True)
    register_probe("migrations", migrations, vital=True)
    register_probe("broker", broker)
    register_collector("queues", queues)
