"""How many days one booking invalidates, and how long that takes."""

import time

from bookings.models import Service
from cachectl import cache
from cachectl.models import CacheInvalidation
from script.lib.environment import Environment
from script.lib.measurements import Measurement, percentile
from tests.benchmarks import booking
from tests.benchmarks.dataset import TRIO

REPEATS = 500


def measure(env: Environment) -> dict[str, Measurement]:
    """Count the days that one booking invalidates, and time their invalidation."""
    one, three = (_days_of_booking(env, slug) for slug in ("single", TRIO[0]))
    times = _times(env)
    return {
        "invalidated_days_one_type": Measurement(one),
        "invalidated_days_three_types": Measurement(three),
        "invalidate_p95_ms": Measurement(percentile(times, 0.95), f"three event types, {len(times)} times"),
    }


def _days_of_booking(env: Environment, slug: str) -> int:
    """Book half an hour at noon; return how many days our rows say were invalidated."""
    before = set(CacheInvalidation.objects.values_list("id", flat=True))
    with env.agent() as agent:
        noon = next(start for start in env.free_slots(agent, slug) if "T12:00" in start)
        booking.book(env, agent, slug, noon)
    rows = CacheInvalidation.objects.exclude(id__in=before)
    env.supervisor.wait_until(
        lambda: rows.exists() and not rows.filter(done_at=None).exists(),
        what=f"The invalidation of {slug} was not done",
        within=30,
    )
    return sum(row.keys_invalidated or 0 for row in rows.all())


def _times(env: Environment) -> list[float]:
    """Invalidate a day of three event types again and again; return the milliseconds."""
    ids = [int(env.services[slug].removeprefix("sv_")) for slug in TRIO]
    event_types = dict(Service.objects.filter(id__in=ids).values_list("event_type_id", "event_type__account_id"))
    day = CacheInvalidation.objects.latest("id").first
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        cache.invalidate(
            invalidation_id=None,
            account_id=min(event_types.values()),
            event_type_ids=list(event_types),
            first=day,
            last=day,
            own=True,
        )
        times.append((time.perf_counter() - began) * 1000)
    return times
