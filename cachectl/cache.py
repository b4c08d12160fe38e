"""The public interface of the day cache: read, refresh, warm, prefetch, invalidate."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from math import inf
from uuid import uuid4

import structlog
from celery import current_app
from kombu.exceptions import OperationalError
from redis import RedisError

from cachectl import conf, loaders, store
from cachectl.freshness import Day, Freshness
from cachectl.infra import executors
from cachectl.infra.deadline import Deadline
from cachectl.loaders import LoadPriority
from cachectl.lookup import CacheLookup, CacheResult
from cachectl.singleflight import dates_between

__all__ = [
    "CacheResult",
    "Day",
    "Freshness",
    "Warmed",
    "ensure_generations",
    "invalidate",
    "peek",
    "prefetch",
    "queue_refresh",
    "read",
    "refresh",
    "warm",
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Warmed:
    """The result of warming an event type."""

    days: int
    """Days loaded; 0 if another process had loaded them meanwhile."""
    requests: int
    """Requests answered: none, one, or a second one for a suspiciously empty list."""
    failure: str | None
    """The loader's reason, `deadline`, or `redis_away`."""
    retry_after: float | None
    """Seconds after which to try again, if known."""


def read(
    *,
    account_id: int,
    event_type_id: int,
    first: date,
    last: date,
    deadline: Deadline,
    max_age: float | None = None,
    revalidate: bool = False,
    tenant: int | None = None,
) -> CacheResult:
    """
    Return the UTC dates `first` to `last` (inclusive), loading those that are expired or missing.

    Never waits past the deadline, and never fails because Redis, the broker or Cal.com does: days are then expired or
    missing, and the result says why.

    Args:
        max_age: seconds; what was loaded earlier is loaded again. What is younger than `conf.min_reload_interval()`
            is reloaded only once in that time, however many ask.
        revalidate: whether days that appointments of ours changed are loaded again, as soon as a load can include them.
        tenant: the company that asks, if several share the account. A load counts for the one that started it.
    """
    lookup = CacheLookup(account_id, event_type_id, first, last, priority=LoadPriority.LIVE, tenant=tenant)
    oldest = -inf if max_age is None else _oldest_that_will_do(lookup, max_age, deadline)

    def needed(day: Day) -> bool:
        outdated = revalidate and day.needs_refresh and day.consistent_at <= lookup.now
        return day.reload_helps or outdated or (day.loaded_at or inf) < oldest

    lookup.load_until(needed, deadline)
    _keep_fresh(lookup)
    return lookup.known()


def peek(*, account_id: int, event_type_id: int, first: date, last: date) -> CacheResult:
    """
    Return the UTC dates `first` to `last` (inclusive) as they are known at this moment.

    Nothing is loaded, queued or counted as demand. Without Redis every day is missing.
    """
    return CacheLookup(account_id, event_type_id, first, last, priority=LoadPriority.WARMING).known()


def refresh(
    *,
    account_id: int,
    event_type_id: int,
    first: date,
    last: date,
    stale: bool = True,
    patient: bool = True,
) -> float:
    """
    Load the days that are no longer fresh, in the background.

    Args:
        stale: whether stale days are loaded, too, which a search would answer without waiting.
        patient: whether to be called again later: once a load can include the last change, so that one load serves
            many changes; and when the loader allows it, if it refused for now.

    Returns:
        Seconds after which to call again; 0 when all is done.
    """
    lookup = CacheLookup(account_id, event_type_id, first, last, priority=LoadPriority.REFRESH)

    def needed(day: Day) -> bool:
        outdated = stale and day.freshness is not Freshness.FRESH and (day.loaded_at or inf) < lookup.asked
        return day.reload_helps or outdated

    if lookup.redis_away:
        return 0.0
    wait = lookup.unsettled(needed)
    if wait and patient:
        return wait + conf.REFRESH_MARGIN
    lookup.load_until(needed, Deadline.after(conf.lease()))
    again = _allowed_again(lookup) if patient else 0.0
    kept = again + conf.REFRESH_QUEUED if again else conf.REFRESH_FAILED if lookup.failure else 0.0
    with suppress(RedisError):  # the mark expires by itself
        store.unmark_refresh(account_id, event_type_id, kept)
    return again


def warm(*, account_id: int, event_type_id: int, first: date, last: date) -> Warmed:
    """
    Load the days that are no longer fresh before they are searched, with the lowest priority.

    Days that changed a moment ago are left out: a load would not count yet.
    """
    lookup = CacheLookup(account_id, event_type_id, first, last, priority=LoadPriority.WARMING)
    if lookup.redis_away:
        return Warmed(0, 0, "redis_away", None)
    lookup.load_until(
        lambda day: day.reload_helps or (day.freshness is Freshness.STALE and (day.loaded_at or inf) < lookup.asked),
        Deadline.after(conf.lease()),
    )
    loaded = [day for day in lookup.days.values() if day.loaded_at is not None and day.loaded_at >= lookup.asked]
    return Warmed(len(loaded) if lookup.loads else 0, lookup.loads, lookup.failure, lookup.retry_after)


def prefetch(*, account_id: int, event_type_ids: Sequence[int], first: date, last: date) -> None:
    """
    Queue a load of the days that a search would have to wait for, unless that was done a moment ago.

    Never fails, but may take as long as Redis and the broker do: call it in the background.
    """
    try:
        new = store.mark_prefetched(account_id, event_type_ids)
    except RedisError as error:
        log.warning("cache.prefetch_failed", account_id=account_id, error_type=type(error).__name__)
        return
    for event_type_id in new:
        queue_refresh(account_id=account_id, event_type_id=event_type_id, first=first, last=last, stale=False)


def queue_refresh(
    *,
    account_id: int,
    event_type_id: int,
    first: date,
    last: date,
    delay: float = 0.0,
    stale: bool = True,
) -> None:
    """
    Queue a refresh of the days, `delay` seconds from now, unless one is queued already.

    Never fails, but may take as long as Redis and the broker do: call it in the background.
    """
    days = {"first": first.isoformat(), "last": last.isoformat(), "stale": stale}
    message = {"account_id": account_id, "event_type_id": event_type_id, **days}
    try:
        if store.mark_refresh(account_id, event_type_id, delay + conf.REFRESH_QUEUED):
            current_app.send_task("cachectl.refresh", kwargs=message, countdown=delay or None)
    except (OperationalError, RedisError) as error:
        log.warning("cache.refresh_not_queued", event_type_id=event_type_id, error_type=type(error).__name__)
        with suppress(RedisError):  # a later stale answer tries again
            store.unmark_refresh(account_id, event_type_id, after=1.0)


def invalidate(
    *,
    invalidation_id: int | None,
    account_id: int,
    event_type_ids: Collection[int],
    first: date,
    last: date,
    own: bool,
    freed: bool = False,
    known_there: bool = False,
) -> int:
    """
    Record that the UTC dates `first` to `last` (inclusive) changed just now; return the number of days invalidated.

    A day counts once for each event type. Repeating an `invalidation_id` changes nothing.

    Args:
        own: whether an appointment of ours is the change. Then the days stay usable, minus our own appointments.
        freed: whether it freed time, which the cached list may lack.
        known_there: whether Cal.com itself reported the change, so that a load which begins now includes it.

    Raises:
        RedisError: nothing was invalidated; the CacheInvalidation stays pending.
        ValueError: the range is out of order, or larger than any change can be.
    """
    dates = dates_between(first, last)
    if not dates or len(dates) * len(event_type_ids) > conf.MOST_KEYS:
        raise ValueError(f"Invalidate 1 to {conf.MOST_KEYS} days (event types times dates), from first to last.")
    mark = uuid4().hex if invalidation_id is None else str(invalidation_id)
    return store.invalidate(account_id, event_type_ids, dates, own=own, mark=mark, freed=freed, known_there=known_there)


def ensure_generations() -> None:
    """Notice an emptied Redis before a search does: loads count from CACHE_CONSISTENCY_LAG after that."""
    for account_id in loaders.accounts():
        store.ensure_generation(account_id)


def _oldest_that_will_do(lookup: CacheLookup, max_age: float, deadline: Deadline) -> float:
    """Return since when, on Redis' clock, the days must have been loaded, bounding forced reloads."""
    floor = conf.min_reload_interval()
    oldest, young = lookup.asked - max_age, lookup.asked - floor
    if not any(young <= (day.loaded_at or inf) < oldest for day in lookup.days.values()):
        return oldest
    if deadline.passed:  # nothing will be loaded, so the next read may
        return young
    try:
        may_reload = store.mark_reload(lookup.account_id, lookup.event_type_id, floor)
    except RedisError:
        may_reload = False
    return oldest if may_reload else young


def _allowed_again(lookup: CacheLookup) -> float:
    """Return the seconds after which a refused refresh may try again; 0 if unknown."""
    if not lookup.failure or lookup.retry_after is None:
        return 0.0
    return min(max(lookup.retry_after, conf.REFRESH_SOONEST), conf.REFRESH_LATEST)


def _keep_fresh(lookup: CacheLookup) -> None:
    aging = [] if lookup.refresh_queued else lookup.aging()
    if aging:
        wait = max(day.consistent_at for day in aging) - lookup.now + conf.REFRESH_MARGIN
        executors.submit_background(
            queue_refresh,
            account_id=lookup.account_id,
            event_type_id=lookup.event_type_id,
            first=aging[0].date,
            last=aging[-1].date,
            delay=max(0.0, wait),
        )
