"""Settings and constants of this app. Durations are seconds unless a name says otherwise."""

from dataclasses import dataclass

from django.conf import settings

# For how long a failed load is shared: searches in that time do not repeat it.
FAILURE_NOTE = 2.0
# The longest single blocking command of a waiter: a Redis that stops answering is noticed after that.
WAITS_AT_ONCE = 0.5
# Interval at which the holder checks its lease, and for how long an empty Redis grants none.
LEASE_SEEN_EVERY = 0.15
NO_LEASE = 0.5
# By how much `changed_at` and the generation outlive the entries they decide on.
OUTLIVE = 3600.0
# When a refresh that was queued and never ran may be queued again, and when one that failed may.
REFRESH_QUEUED = 60.0
REFRESH_FAILED = 10.0
# For how long an event type that was prefetched for a call is not prefetched again.
PREFETCHED = 30.0
# Bounds of the delay before a refused refresh is repeated: it is not urgent, and a queue
# that holds messages for longer than Celery's visibility timeout sends them twice.
REFRESH_SOONEST, REFRESH_LATEST = 5.0, 60.0
# Margin between the moment from which a load counts and the refresh.
REFRESH_MARGIN = 0.1
# Lease of a warming run on its account: a killed run blocks the next one no longer.
WARMING_LEASE = 30.0
# How long hourly demand counts are kept.
DEMAND_KEPT = 48 * 3600
# Days one read may span; keys (event type times day) one invalidation may touch.
MOST_DAYS = 400
MOST_KEYS = 4000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a load is answered, in milliseconds: the unit of Redis."""

    max_age: float
    stale_while_revalidate: float
    stale_if_error: float
    consistency_lag: float

    @property
    def entry(self) -> int:
        """Lifetime of an entry."""
        return int(self.stale_if_error)

    @property
    def memory(self) -> int:
        """Lifetime of `changed_at` and the generation: longer than that of any entry."""
        return int(self.stale_if_error + OUTLIVE * 1000)


def lifetimes() -> Lifetimes:
    """Return the lifetimes in force."""
    return Lifetimes(
        max_age=settings.CACHE_MAX_AGE * 1000,
        stale_while_revalidate=settings.CACHE_STALE_WHILE_REVALIDATE * 1000,
        stale_if_error=settings.CACHE_STALE_IF_ERROR * 1000,
        consistency_lag=settings.CACHE_CONSISTENCY_LAG * 1000,
    )


def prefetch_days() -> int:
    """Return the least number of days that one load covers."""
    return int(settings.CACHE_PREFETCH_DAYS)


def min_reload_interval() -> float:
    """Return the least time between two forced reloads of a day (`Cache-Control: no-cache`)."""
    return float(settings.CACHE_MIN_RELOAD_INTERVAL)


def lease() -> float:
    """Return the lifetime of a lease on loading: longer than a load can take."""
    return float(settings.CALCOM_READ_TIMEOUT) + 2.0
