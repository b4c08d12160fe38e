"""Every change to the cache's own rows: forgettings owed, worked off, swept, pruned."""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta

import structlog
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from redis import RedisError

from cachectl import availability, limits
from cachectl.flight import dates_between
from cachectl.models import Forgetting, Warming
from monitoring import metrics

log = structlog.get_logger(__name__)

# How long history is kept.
KEPT = timedelta(days=14)
# A sweep that finds more than this leaves the rest to the next one.
MOST_SWEPT = 500
# Failed attempts after which a person should know: the first and three retries.
MANY_ATTEMPTS = 4
# A failed forgetting is left to its task's retries for this long, then swept again at this pace.
NEXT_SWEEP = timedelta(seconds=10)
# How many others go along with one that is worked off; how many are remembered until their messages come.
MOST_ALONG = 99
MOST_REMEMBERED = 10_000
_went_along: set[int] = set()

# An answer of Cal.com's told of these: what is loaded from then on knows of them.
_KNOWN_THERE = {Forgetting.Cause.REFUSED, Forgetting.Cause.EVENT_TYPE}
_DONE = """
    UPDATE cachectl_forgetting AS row
    SET attempts = row.attempts + 1, done_at = now(), keys_forgotten = done.keys, took = done.took, error = ''
    FROM unnest(%s::bigint[], %s::int[], %s::interval[]) AS done (id, keys, took)
    WHERE row.id = done.id AND row.done_at IS NULL
    RETURNING row.cause, done.keys
"""


def owe(
    *,
    account_id: int,
    event_type_ids: Collection[int],
    first: date,
    last: date,
    cause: Forgetting.Cause,
    freed: bool = False,
) -> Forgetting:
    """
    Write down that the UTC dates `first` to `last` must be forgotten; call it in the transaction that changes them.

    Raises:
        ValueError: the range is out of order, names no event type, or is larger than any change can be.
    """
    days = len(dates_between(first, last)) * len(event_type_ids)
    if not 1 <= days <= limits.MOST_KEYS:
        raise ValueError(f"Forget 1 to {limits.MOST_KEYS} days (event types times dates), from first to last.")
    return Forgetting.objects.create(
        account_id=account_id,
        event_type_ids=sorted(set(event_type_ids)),
        first=first,
        last=last,
        cause=cause,
        freed=freed,
    )


def forget(row: Forgetting) -> int:
    """
    Forget the days of a row in Redis, and return how many they were. The row itself stays as it is: owed.

    Raises:
        RedisError: they could not be forgotten.
        ValueError: the row names a range larger than any change can be.
    """
    return availability.forget(
        forgetting_id=row.id,
        account_id=row.account_id,
        event_type_ids=row.event_type_ids,
        first=row.first,
        last=row.last,
        own=row.cause == Forgetting.Cause.OWN,
        freed=row.freed,
        known_there=row.cause in _KNOWN_THERE,
    )


def work_off(forgetting_id: int) -> int:
    """
    Forget the days of a row and write down how it went; return how many they were.

    Others that are owed go along, so that a queue that piled up is cleared in few statements: when their own messages
    come, there is nothing left to do.

    Raises:
        RedisError: they could not be forgotten; the row stays owed, try again.
    """
    if forgetting_id in _went_along:
        _went_along.discard(forgetting_id)
        return 0
    row = Forgetting.objects.filter(id=forgetting_id, done_at=None).first()
    if row is None:
        return 0
    try:
        done = _forgotten(row)
    except (RedisError, ValueError) as error:
        _note_failure(row, error)
        raise
    along = _forgotten_along(row)
    _note_success([done, *along])
    _remember(along)
    return done.keys


def sweep() -> int:
    """
    Work off what is owed; return how many forgettings were done. Stops at the first that Redis does not take.

    What is owed is due by the database's clock, which wrote it: a worker whose clock is slow sweeps no later.
    """
    done = 0
    try:
        for forgetting_id in (
            Forgetting.objects.owed(Now()).order_by("next_attempt_at").values_list("id", flat=True)[:MOST_SWEPT]
        ):
            done += _swept(forgetting_id)
        availability.touch_epochs()
    except RedisError as error:
        log.warning("cachectl.sweep_stopped", error_type=type(error).__name__)
    return done


def prune(*, now: datetime) -> int:
    """Throw away done forgettings and warmings older than 14 days; return how many. What is owed is kept."""
    forgettings, _ = Forgetting.objects.filter(created_at__lt=now - KEPT, done_at__isnull=False).delete()
    warmings, _ = Warming.objects.filter(started_at__lt=now - KEPT).delete()
    return forgettings + warmings


def _swept(forgetting_id: int) -> int:
    try:
        work_off(forgetting_id)
    except ValueError:
        return 0  # noted in the row; it must not keep the others waiting
    return 1


@dataclass(frozen=True, slots=True)
class _Done:
    """A row whose days were forgotten, and what that took."""

    row_id: int
    keys: int
    took: timedelta


def _forgotten(row: Forgetting) -> _Done:
    began = time.perf_counter()
    keys = forget(row)
    return _Done(row.id, keys, timedelta(seconds=time.perf_counter() - began))


def _forgotten_along(row: Forgetting) -> list[_Done]:
    """Forget the days of others that are owed. What fails is left to its own message, which notes why."""
    done: list[_Done] = []
    for other in Forgetting.objects.owed(Now()).exclude(id=row.id).order_by("next_attempt_at")[:MOST_ALONG]:
        with suppress(ValueError):
            try:
                done.append(_forgotten(other))
            except RedisError:
                break
    return done


def _remember(along: Sequence[_Done]) -> None:
    """Spare the messages of those that went along a look at their row."""
    if len(_went_along) > MOST_REMEMBERED:
        _went_along.clear()  # their messages were lost, or went to other workers; a query costs them little
    _went_along.update(each.row_id for each in along)


def _note_success(done: Sequence[_Done]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DONE, [list(column) for column in zip(*map(astuple, done), strict=True)])
        for cause, keys in cursor.fetchall():  # once, although two workers may have forgotten the same days
            metrics.DAYS_FORGOTTEN.labels(cause).inc(keys)


def _note_failure(row: Forgetting, error: Exception) -> None:
    Forgetting.objects.filter(id=row.id).update(
        attempts=F("attempts") + 1,
        next_attempt_at=Now() + NEXT_SWEEP,
        error=f"{type(error).__name__}: {error}"[:200],
    )
    attempt = str(row.attempts + 1)
    metrics.FORGETTING_FAILURES.labels(attempt if attempt in ("1", "2", "3") else "more").inc()
    report = log.error if row.attempts + 1 >= MANY_ATTEMPTS else log.warning
    report("cachectl.forgetting_owed", forgetting_id=row.id, attempts=row.attempts + 1, error_type=type(error).__name__)
