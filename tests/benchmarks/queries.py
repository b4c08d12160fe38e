"""The queries of every request among 200,000 appointments: how long the slowest takes, and that all use an index."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from bookings.availability.occupancy import READ
from bookings.models import Appointment, Service
from calcom.models import EventType
from script.lib.environment import Environment, midnight
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from tests.benchmarks.tables import FIRST_ID, Ids, Size, fill

REPEATS = 500
BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan"}

Query = Callable[[Ids, Random, datetime], "QuerySet[Any, Any] | tuple[str, list[Any]]"]
QUERIES: dict[str, Query] = {
    "claims on the hosts of an event type in a day": lambda ids, chance, at: (
        READ,
        [at, at + timedelta(days=1), chance.choice(ids.event_types)],
    ),
    "live ones of a service from a date": lambda ids, chance, at: (
        Appointment.objects.live()
        .filter(service=chance.choice(ids.services), start__gte=at)
        .order_by("start")
        .values_list("start", "end")[:20]
    ),
    "of a branch by state from a date": lambda ids, chance, at: (
        Appointment.objects.filter(branch=chance.choice(ids.branches), state="confirmed", start__gte=at)
        .order_by("start")
        .values_list("id", "start")[:50]
    ),
    "by Cal.com's uid": lambda _ids, chance, _at: Appointment.objects.filter(
        remote_uid=f"big{chance.randrange(Size.appointments)}"
    ).values_list("id"),
    "upcoming ones of a customer": lambda ids, chance, at: (
        Appointment.objects.live()
        .filter(customer=chance.choice(ids.customers), start__gte=at)
        .order_by("start")
        .values_list("id", "start")
    ),
    "event type by Cal.com's id": lambda ids, chance, _at: EventType.objects.filter(
        account=ids.account, calcom_id=FIRST_ID + chance.randrange(len(ids.event_types))
    ).values_list("id"),
    "event types that share a host": lambda ids, chance, _at: EventType.objects.on_hosts(
        [chance.choice(ids.hosts)]
    ).values_list("id"),
    "active services of a branch that fit": lambda ids, chance, _at: Service.objects.filter(
        branch=chance.choice(ids.branches), active=True, duration_minutes__lte=30
    ).values_list("id"),
}


def measure(_env: Environment) -> dict[str, Measurement]:
    """Fill the tables, and run each query often."""
    ids = fill(Size())
    times = {name: _p95(name, query, ids) for name, query in QUERIES.items()}
    slowest = max(times, key=lambda name: times[name])
    return {
        "hot_query_p95_ms": Measurement(
            times[slowest], f"“{slowest}” of {len(times)} at {Size.appointments:,} appointments"
        )
    }


def _p95(name: str, query: Query, ids: Ids) -> float:
    """Return the milliseconds, from the SQL to the rows, that 95 of 100 repeats do not exceed."""
    chance = Random(name)
    times = []
    with connection.cursor() as cursor:
        for _ in range(REPEATS):
            asked = query(ids, chance, midnight(1) + timedelta(hours=chance.randrange(200)))
            sql, parameters = asked if isinstance(asked, tuple) else asked.query.sql_with_params()
            began = time.perf_counter()
            cursor.execute(sql, parameters)
            cursor.fetchall()
            times.append((time.perf_counter() - began) * 1000)
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        _refuse_seq_scans(name, cursor.fetchone()[0][0]["Plan"])
    return percentile(times, 0.95) or 0.0


def _refuse_seq_scans(name: str, plan: dict[str, Any]) -> None:
    scans = set(_scans(plan))
    if not scans or not scans <= BY_INDEX:
        raise HarnessError(f"“{name}” is answered by {', '.join(sorted(scans)) or 'no scan at all'}.")


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    if "Scan" in plan["Node Type"]:
        yield str(plan["Node Type"])
    for part in plan.get("Plans", ()):
        yield from _scans(part)
