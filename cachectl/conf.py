"""The numbers of this app, read from the settings in one place."""

from dataclasses import dataclass

from django.conf import settings

# Seconds for which a failure is shared: whoever asks meanwhile does not repeat it.
FAILURE_NOTE = 2.0
# Seconds for which one command waits for somebody's load: a Redis that falls silent meanwhile is noticed after that.
WAITS_AT_ONCE = 0.5
# Seconds between two looks whether our lease still stands, and for which an empty Redis gives none.
LEASE_SEEN_EVERY = 0.15
NO_LEASE = 0.5
# Seconds by which what is needed to judge an entry outlives it.
OUTLIVE = 3600.0
# Seconds until a refresh that was queued and never ran may be queued again, and until one that failed may.
REFRESH_QUEUED = 60.0
REFRESH_FAILED = 10.0
# Seconds for which an event type that was prepared for a call is not looked at again for the next one.
PREFETCHED = 30.0
# Seconds after which a refresh that was refused for now comes back, whatever it was told: it is no hurry, and a queue
# that holds messages for longer than Celery's visibility timeout sends them twice.
REFRESH_SOONEST, REFRESH_LATEST = 5.0, 60.0
# Seconds by which a refresh is put after the moment from which a load can be believed.
REFRESH_MARGIN = 0.1
# Seconds after which a warming that was killed no longer keeps the next one from its account.
WARMING_LEASE = 30.0
# Seconds for which hourly counts of demand are kept.
DEMAND_KEPT = 48 * 3600
# Days one question may span; keys (event type and day) one forgetting may touch.
MOST_DAYS = 400
MOST_KEYS = 4000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a load answers, in milliseconds: the unit of Redis."""

    max_age: float
    stale_while_revalidate: float
    stale_if_error: float
    consistency_lag: float

    @property
    def entry(self) -> int:
        """Return how long an entry is kept."""
        return int(self.stale_if_error)

    @property
    def memory(self) -> int:
        """Return how long changes and the epoch are kept: longer than any entry they judge."""
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
    """Return how many days one load covers at least."""
    return int(settings.CACHE_PREFETCH_DAYS)


def min_reload_interval() -> float:
    """Return the seconds in which callers who insist on a new list cost one request at most."""
    return float(settings.CACHE_MIN_RELOAD_INTERVAL)


def lease() -> float:
    """Return for how many seconds one process may be alone in loading: longer than a load can take."""
    return float(settings.CALCOM_READ_TIMEOUT) + 2.0
