"""How the things are that belong to no app of ours: the database, its migrations, the broker and its queues."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from celery import current_app
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from kombu import Connection
from kombu.exceptions import ChannelError
from redis import ResponseError

from monitoring import metrics
from monitoring.collectors import Reading, Unhealthy, register_collector, register_probe


def database() -> None:
    """Ask the database something."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def migrations() -> None:
    """Compare the migrations of this code with those of the database: a deploy that did not deploy shows here."""
    missing = _wanted() - set(MigrationRecorder(connection).applied_migrations())
    if missing:
        raise Unhealthy(f"{len(missing)} not applied")


@cache
def _wanted() -> frozenset[tuple[str, str]]:
    """Return the migrations this code needs; they lie on disk and do not change while it runs."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def broker() -> None:
    """Connect to the broker, once and briefly, and see that it takes something: a full one and a replica do not."""
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
    """Register them. Without a broker bookings are still made and settled, so it is not vital."""
    register_probe("database", database, vital=True)
    register_probe("migrations", migrations, vital=True)
    register_probe("broker", broker)
    register_collector("queues", queues)
