"""
How cost grows from ten event types to ten thousand, and from ten thousand appointments to a million, of one company.

The same requests are measured before and after, on the same servers; the threshold is for their ratio.
"""

import time
from contextlib import suppress
from datetime import date, timedelta

from django.db import ProgrammingError, connection, transaction

from bookings.models import Company
from cachectl import store
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from calcom.models import Account, EventType
from calcom.service import CalcomService
from script.lib.environment import CONSISTENT_AFTER, Environment, midnight
from script.lib.measurements import Measurement, median, percentile
from script.lib.processes import HarnessError
from tests.benchmarks import booking, throughput
from tests.benchmarks.tables import Size, fill

SMALL = Size(name="small", appointments=10_000, hosts=10, customers=1_000, branches=1, types=10)
GROWN = Size(name="grown", appointments=1_000_000, hosts=1_000, customers=100_000, branches=500, types=10_000)
ANSWERS, BOOKINGS, INVALIDATIONS, FILLED = 400, 20, 200, 1_000
DAYS, SLOTS = 14, 32


def measure(env: Environment) -> dict[str, Measurement]:
    """Measure, grow, measure again."""
    kilobytes = _kilobytes_per_event_type(env)
    one, two = (_answers_per_s(env, processes) for processes in (1, 2))
    _fill(env, SMALL)
    small = _costs_ms(env, 7)
    _fill(env, GROWN)
    grown = _costs_ms(env, 9)
    ratios = {
        f"growth_{name}_ratio": Measurement(grown[name] / cost, f"{cost:.2f} ms, then {grown[name]:.2f} ms")
        for name, cost in small.items()
    }
    return {
        **ratios,
        "growth_kb_per_event_type": Measurement(kilobytes, f"{DAYS} days of {SLOTS} slots in Redis"),
        "growth_two_processes_ratio": Measurement(
            two / one, f"{one:.0f}/s, then {two:.0f}/s; the load takes a share, too"
        ),
    }


def _fill(env: Environment, size: Size) -> None:
    """Write rows, and have them on the disk: PostgreSQL would write them while bookings are measured."""
    fill(size, company=Company.objects.select_related("account").get(pk=env.tenant().company_id))
    with suppress(ProgrammingError), connection.cursor() as cursor:  # a PostgreSQL that is not ours may forbid it
        cursor.execute("CHECKPOINT")


def _costs_ms(env: Environment, ahead: int) -> dict[str, float]:
    """Return milliseconds of a cached answer and our share of a booking (medians), and of an invalidation (p95)."""
    return {
        "cached_answer": _answer_ms(env),
        "booking": median(booking.own_ms(env, BOOKINGS, ahead)) or 0.0,
        "invalidation": percentile(_invalidations_ms(env), 0.95) or 0.0,
    }


def _answer_ms(env: Environment) -> float:
    target = throughput.target_of(env)
    with env.agent() as agent:
        agent.get(target)
        time.sleep(CONSISTENT_AFTER)
        answers = [agent.get(target) for _ in range(ANSWERS)]
    if any(answer.headers.get("X-Cache-Hit") != "true" for answer in answers[1:]):
        raise HarnessError("not every answer came from the cache")
    return (median([answer.duration for answer in answers]) or 0.0) * 1000


def _invalidations_ms(env: Environment) -> list[float]:
    """Write down and invalidate what a booking affects; return the milliseconds of each."""
    account = Account.objects.get(pk=env.tenant().account_id)
    calcom, event_type = CalcomService(account), EventType.objects.get(account=account, slug="trio-1")
    host_ids = list(event_type.hosts.values_list("pk", flat=True))
    noon = midnight(20) + timedelta(hours=12)
    times = []
    for _ in range(INVALIDATIONS):
        began = time.perf_counter()
        with transaction.atomic():
            pending = calcom.record_invalidations(
                event_type=event_type,
                start=noon,
                end=noon + timedelta(minutes=30),
                host_ids=host_ids,
                cause=CacheInvalidation.Cause.OWN,
            )
        calcom.availability_changed(pending)
        times.append((time.perf_counter() - began) * 1000)
    return times


def _answers_per_s(env: Environment, processes: int) -> float:
    url = env.start_web(processes=processes, threads=4)
    request = throughput.encode(url, env.tenant().key, throughput.warmed(env))
    throughput.answers_per_s(url, request)  # warm-up
    # The kernel deals connections out by chance: all of a run may come to one of two processes.
    return median([throughput.answers_per_s(url, request) for _ in range(throughput.RUNS)]) or 0.0


def _kilobytes_per_event_type(env: Environment) -> float:
    """Store lists of a thousand event types that do not exist; return what Redis needs for one of them."""
    account_id, redis = env.tenant().account_id, redis_client()
    dates = [midnight(1 + ahead).date() for ahead in range(DAYS)]
    days = {day: _starts(day) for day in dates}
    began = int(time.time() * 1000)
    before = int(redis.info("memory")["used_memory"])
    for number in range(FILLED):
        store.store_if_current(account_id, -1 - number, days, began=began)
    after = int(redis.info("memory")["used_memory"])
    return (after - before) / FILLED / 1024


def _starts(day: date) -> list[int]:
    """Return minutes since 1970."""
    first = (day - date(1970, 1, 1)).days * 1440 + 480
    return [first + 15 * number for number in range(SLOTS)]
