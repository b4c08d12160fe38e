"""
How cost grows: from ten event types to ten thousand, from ten thousand appointments to a million, all of one company.

The same questions and bookings are measured before and after, with the same servers; what is promised is their ratio.
"""

import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from cachectl import store
from cachectl.infra.redis import redis_client
from script.lib.environment import BELIEVED
from script.lib.measurements import Found, Promise, median, percentile
from script.lib.processes import StageError
from tests.benchmarks import booking, throughput
from tests.benchmarks.environment import Ground
from tests.benchmarks.tables import Size, fill

FLAT = 1.5
PROMISES = {
    "growth_cached_answer_ratio": Promise("times", FLAT),
    "growth_booking_ratio": Promise("times", FLAT),
    "growth_invalidation_ratio": Promise("times", FLAT),
    "growth_kb_per_event_type": Promise("kB", 16),
    "growth_two_processes_ratio": Promise("times"),
}
SMALL = Size(name="small", appointments=10_000, hosts=10, customers=1_000, branches=1, types=10)
GROWN = Size(name="grown", appointments=1_000_000, hosts=1_000, customers=100_000, branches=500, types=10_000)
ANSWERS, BOOKINGS, FORGETTINGS, FILLED = 400, 20, 200, 1_000
DAYS, SLOTS = 14, 32


def measure(ground: Ground) -> dict[str, Found]:
    """Measure, grow, measure again."""
    kilobytes = _kilobytes_per_event_type(ground)
    one, two = (_answers_per_s(ground, processes) for processes in (1, 2))
    _fill(ground, SMALL)
    small = _costs(ground, 7)
    _fill(ground, GROWN)
    grown = _costs(ground, 9)
    ratios = {
        f"growth_{name}_ratio": Found(grown[name] / cost, f"{cost:.2f} ms, then {grown[name]:.2f} ms")
        for name, cost in small.items()
    }
    return {
        **ratios,
        "growth_kb_per_event_type": Found(kilobytes, f"{DAYS} days of {SLOTS} slots in Redis"),
        "growth_two_processes_ratio": Found(two / one, f"{one:.0f}/s, then {two:.0f}/s; the load takes a share, too"),
    }


def _fill(ground: Ground, size: Size) -> None:
    """Write the house, and wait until it is on the disk: PostgreSQL would do so while bookings are measured."""
    from django.db import ProgrammingError, connection  # noqa: PLC0415  they need the settings

    from bookings.models import Company  # noqa: PLC0415

    fill(size, company=Company.objects.select_related("account").get(pk=ground.below.tenant().company_id))
    with suppress(ProgrammingError), connection.cursor() as cursor:  # a PostgreSQL that is not ours may forbid it
        cursor.execute("CHECKPOINT")


def _costs(ground: Ground, ahead: int) -> dict[str, float]:
    """Return milliseconds: of a cached answer and our share of a booking (medians), of a forgetting (p95)."""
    return {
        "cached_answer": _answer_ms(ground),
        "booking": median(booking.own_times(ground, BOOKINGS, ahead)) or 0.0,
        "forgetting": percentile(_forgetting_ms(ground), 0.95) or 0.0,
    }


def _answer_ms(ground: Ground) -> float:
    target = throughput.target_of(ground)
    with ground.agent() as agent:
        agent.get(target)
        time.sleep(BELIEVED)
        answers = [agent.get(target) for _ in range(ANSWERS)]
    if any(answer.headers.get("X-Cache-Hit") != "true" for answer in answers[1:]):
        raise StageError("not every answer came from the cache")
    return (median([answer.took for answer in answers]) or 0.0) * 1000


def _forgetting_ms(ground: Ground) -> list[float]:
    """Write down and forget what a booking touches, as it does; return the milliseconds of each."""
    from django.db import transaction  # noqa: PLC0415

    from cachectl.models import CacheInvalidation  # noqa: PLC0415
    from calcom.models import Account, EventType  # noqa: PLC0415
    from calcom.service import CalcomService  # noqa: PLC0415

    account = Account.objects.get(pk=ground.below.tenant().account_id)
    calcom, event_type = CalcomService(account), EventType.objects.get(account=account, slug="trio-1")
    host_ids = list(event_type.hosts.values_list("pk", flat=True))
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=20)
    took = []
    for _ in range(FORGETTINGS):
        began = time.perf_counter()
        with transaction.atomic():
            owed = calcom.record_invalidations(
                event_type=event_type,
                start=noon,
                end=noon + timedelta(minutes=30),
                host_ids=host_ids,
                cause=CacheInvalidation.Cause.OWN,
            )
        calcom.availability_changed(owed)
        took.append((time.perf_counter() - began) * 1000)
    return took


def _answers_per_s(ground: Ground, processes: int) -> float:
    url = ground.more_web(processes=processes, threads=4)
    request = throughput.request(url, throughput.warmed(ground), ground.key)
    throughput.answers_per_s(url, request)  # warm
    # The kernel deals connections out by chance: all of a run may come to one of two processes.
    return median([throughput.answers_per_s(url, request) for _ in range(throughput.RUNS)]) or 0.0


def _kilobytes_per_event_type(ground: Ground) -> float:
    """Keep lists of a thousand event types that nobody has; return what Redis needs for one of them."""
    account_id, redis = ground.below.tenant().account_id, redis_client()
    first = datetime.now(UTC).date() + timedelta(days=1)
    days = {first + timedelta(days=ahead): _starts(first + timedelta(days=ahead)) for ahead in range(DAYS)}
    began = int(time.time() * 1000)
    before = int(redis.info("memory")["used_memory"])
    for number in range(FILLED):
        store.store_if_current(account_id, -1 - number, days, began=began)
    after = int(redis.info("memory")["used_memory"])
    return (after - before) / FILLED / 1024


def _starts(day: date) -> list[int]:
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // 60
    return [midnight + 480 + 15 * number for number in range(SLOTS)]
