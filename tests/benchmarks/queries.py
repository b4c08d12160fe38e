"""The look-ups on the hot way among 200,000 appointments: how long the slowest takes, and that all go by an index."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from bookings.availability.occupancy import READ
from bookings.models import Appointment, Service
from calcom.models import EventType
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground
from tests.benchmarks.tables import FIRST_ID, House, Size, fill

PROMISES = {"hot_query_p95_ms": Promise("ms", 1)}
REPEATS = 500
BY_INDEX = {"Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan"}

Question = Callable[[House, Random, datetime], "QuerySet[Any, Any] | tuple[str, list[Any]]"]
LOOK_UPS: dict[str, Question] = {
    "claims on the hosts of an event type in a day": lambda house, chance, at: (
        READ,
        [at, at + timedelta(days=1), chance.choice(house.event_types)],
    ),
    "live ones of a service from a date": lambda house, chance, at: (
        Appointment.objects.live()
        .filter(service=chance.choice(house.services), start__gte=at)
        .order_by("start")
        .values_list("start", "end")[:20]
    ),
    "of a branch by state from a date": lambda house, chance, at: (
        Appointment.objects.filter(branch=chance.choice(house.branches), state="confirmed", start__gte=at)
        .order_by("start")
        .values_list("id", "start")[:50]
    ),
    "by Cal.com's uid": lambda _house, chance, _at: Appointment.objects.filter(
        remote_uid=f"big{chance.randrange(Size.appointments)}"
    ).values_list("id"),
    "upcoming ones of a customer": lambda house, chance, at: (
        Appointment.objects.live()
        .filter(customer=chance.choice(house.customers), start__gte=at)
        .order_by("start")
        .values_list("id", "start")
    ),
    "event type by Cal.com's id": lambda house, chance, _at: EventType.objects.filter(
        account=house.account, calcom_id=FIRST_ID + chance.randrange(len(house.event_types))
    ).values_list("id"),
    "event types that share a host": lambda house, chance, _at: EventType.objects.on_hosts(
        [chance.choice(house.hosts)]
    ).values_list("id"),
    "active services of a branch that fit": lambda house, chance, _at: Service.objects.filter(
        branch=chance.choice(house.branches), active=True, duration_minutes__lte=30
    ).values_list("id"),
}


def measure(_ground: Ground) -> dict[str, Found]:
    """Fill the tables, and ask each question often."""
    house = fill(Size())
    times = {name: _p95(name, question, house) for name, question in LOOK_UPS.items()}
    slowest = max(times, key=lambda name: times[name])
    return {
        "hot_query_p95_ms": Found(times[slowest], f"“{slowest}” of {len(times)} at {Size.appointments:,} appointments")
    }


def _p95(name: str, question: Question, house: House) -> float:
    """Return the milliseconds, from the SQL to the rows, that 95 of 100 repeats do not exceed."""
    chance = Random(name)
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    times = []
    with connection.cursor() as cursor:
        for _ in range(REPEATS):
            asked = question(house, chance, tomorrow + timedelta(hours=chance.randrange(200)))
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
        raise StageError(f"“{name}” is answered by {', '.join(sorted(scans)) or 'no scan at all'}.")


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    if "Scan" in plan["Node Type"]:
        yield str(plan["Node Type"])
    for part in plan.get("Plans", ()):
        yield from _scans(part)
