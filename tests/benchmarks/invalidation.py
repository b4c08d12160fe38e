"""What one booking forgets, and how long that takes."""

import time

from bookings.models import Service
from cachectl import cache
from cachectl.models import CacheInvalidation
from script.lib.measurements import Found, Promise, percentile
from tests.benchmarks.environment import TRIO, Ground

PROMISES = {
    "invalidated_days_one_type": Promise("days", 1),
    "invalidated_days_three_types": Promise("days", 3),
    "invalidate_p95_ms": Promise("ms", 2),
}
REPEATS = 500


def measure(ground: Ground) -> dict[str, Found]:
    """Measure the days forgotten by one booking, and the time it takes to forget them."""
    forgotten = {slug: _forgotten_by_booking(ground, slug) for slug in ("single", TRIO[0])}
    times = _times(ground)
    return {
        "invalidated_days_one_type": Found(forgotten["single"]),
        "invalidated_days_three_types": Found(forgotten[TRIO[0]]),
        "invalidate_p95_ms": Found(percentile(times, 0.95), f"three event types, {len(times)} times"),
    }


def _forgotten_by_booking(ground: Ground, slug: str) -> int:
    """Book half an hour around noon; return how many days the rows say were forgotten."""
    before = set(CacheInvalidation.objects.values_list("id", flat=True))
    with ground.agent() as agent:
        noon = next(start for start in ground.free(agent, slug) if "T12:00" in start)
        ground.book(agent, slug, noon)
    rows = CacheInvalidation.objects.exclude(id__in=before)
    ground.stage.wait_until(
        lambda: rows.exists() and not rows.filter(done_at=None).exists(),
        what=f"The forgetting of {slug} was not done",
        within=30,
    )
    return sum(row.keys_invalidated or 0 for row in rows.all())


def _times(ground: Ground) -> list[float]:
    """Forget a day of three event types again and again; return the milliseconds."""
    ids = [int(ground.services[slug].removeprefix("sv_")) for slug in TRIO]
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
