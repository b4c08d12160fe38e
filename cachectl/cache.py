"""What is known of free slots: read days, forget days, keep them fresh."""

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
from cachectl.freshness import Band, Day
from cachectl.infra import executors
from cachectl.infra.deadline import Deadline
from cachectl.loaders import Urgency
from cachectl.lookup import Known, Question
from cachectl.singleflight import dates_between

__all__ = [
    "Band",
    "Day",
    "Known",
    "Warmed",
    "forget",
    "prepare",
    "queue_refresh",
    "read",
    "refresh",
    "touch_epochs",
    "warm",
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Warmed:
    """What came of warming an event type."""

    days: int
    """How many were loaded; 0 where somebody else had loaded them meanwhile."""
    requests: int
    """How many were answered: none, one, or another one to resolve a doubt."""
    failure: str | None
    """The source's reason, `deadline`, or `redis_away`."""
    retry_after: float | None
    """Seconds after which to try again, where known."""


def read(
    *,
    account_id: int,
    event_type_id: int,
    first: date,
    last: date,
    deadline: Deadline,
    max_age: float | None = None,
    newer: bool = False,
    tenant: int | None = None,
) -> Known:
    """
    Return what is known of the UTC dates `first` to `last` (inclusive), loading what is not good enough.

    Never waits past the deadline, and never fails because Redis, the broker or Cal.com does: then what is known is
    old, or missing, and says why.

    Args:
        max_age: seconds; what was loaded earlier is loaded again. What is younger than `limits.reload_floor()` only
            once in that time, however many ask.
        newer: whether days that appointments of ours changed are loaded again, as soon as a load can know of them.
        tenant: who asks, where several share the account. A load is on whoever asked first.
    """
    question = Question(account_id, event_type_id, first, last, urgency=Urgency.CALLER, tenant=tenant)
    oldest = -inf if max_age is None else _oldest_that_will_do(question, max_age, deadline)

    def needed(day: Day) -> bool:
        outdated = newer and day.due and day.settled_at <= question.now
        return day.worth_loading or outdated or (day.loaded_at or inf) < oldest

    question.fly_until_good(needed, deadline)
    _keep_fresh(question)
    return question.known()


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
    Load the days that are no longer fresh; nobody waits for it.

    Args:
        stale: whether days are loaded, too, for which nobody would have to wait.
        patient: whether to come again: when the last change of the days is settled, so that one load serves many
            changes; and when the source allows it, where it refused for now.

    Returns:
        Seconds after which to call again; 0 when all is done.
    """
    question = Question(account_id, event_type_id, first, last, urgency=Urgency.REFRESH)

    def needed(day: Day) -> bool:
        outdated = stale and day.band is not Band.FRESH and (day.loaded_at or inf) < question.asked
        return day.worth_loading or outdated

    if question.redis_away:
        return 0.0
    wait = question.unsettled(needed)
    if wait and patient:
        return wait + conf.REFRESH_MARGIN
    question.fly_until_good(needed, Deadline.after(conf.lease()))
    again = _allowed_again(question) if patient else 0.0
    kept = again + conf.REFRESH_QUEUED if again else conf.REFRESH_FAILED if question.failure else 0.0
    with suppress(RedisError):  # then the mark runs out by itself
        store.unmark_refresh(account_id, event_type_id, kept)
    return again


def warm(*, account_id: int, event_type_id: int, first: date, last: date) -> Warmed:
    """
    Load the days that are no longer fresh, before anybody asks for them and behind everybody who does.

    What changed a moment ago is left to those who ask: it could not be believed yet.
    """
    question = Question(account_id, event_type_id, first, last, urgency=Urgency.WARMING)
    if question.redis_away:
        return Warmed(0, 0, "redis_away", None)
    question.fly_until_good(
        lambda day: day.worth_loading or (day.band is Band.STALE and (day.loaded_at or inf) < question.asked),
        Deadline.after(conf.lease()),
    )
    loaded = [day for day in question.days.values() if day.loaded_at is not None and day.loaded_at >= question.asked]
    return Warmed(len(loaded) if question.loads else 0, question.loads, question.failure, question.retry_after)


def prepare(*, account_id: int, event_type_ids: Sequence[int], first: date, last: date) -> None:
    """
    Have the days loaded by a worker for which somebody would have to wait, unless that was seen to a moment ago.

    Never fails, but may take as long as Redis and the broker do: nobody on the phone should wait for it.
    """
    try:
        new = store.mark_prepared(account_id, event_type_ids)
    except RedisError as error:
        log.warning("cachectl.not_prepared", account_id=account_id, error_type=type(error).__name__)
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
    Have the days refreshed by a worker, `delay` seconds from now, unless that is queued already.

    Never fails, but may take as long as Redis and the broker do: nobody on the phone should wait for it.
    """
    days = {"first": first.isoformat(), "last": last.isoformat(), "stale": stale}
    message = {"account_id": account_id, "event_type_id": event_type_id, **days}
    try:
        if store.mark_refresh(account_id, event_type_id, delay + conf.REFRESH_QUEUED):
            current_app.send_task("cachectl.refresh", kwargs=message, countdown=delay or None)
    except (OperationalError, RedisError) as error:
        log.warning("cachectl.refresh_not_queued", event_type_id=event_type_id, error_type=type(error).__name__)
        with suppress(RedisError):  # the next stale answer after a moment tries again
            store.unmark_refresh(account_id, event_type_id, after=1.0)


def forget(
    *,
    forgetting_id: int | None,
    account_id: int,
    event_type_ids: Collection[int],
    first: date,
    last: date,
    own: bool,
    freed: bool = False,
    known_there: bool = False,
) -> int:
    """
    Note that the UTC dates `first` to `last` (inclusive) changed just now; return how many days were forgotten.

    A day counts once for each event type. The same `forgetting_id` moves nothing when it comes again.

    Args:
        own: whether an appointment of ours is the change. Then the days stay answerable, minus our own appointments.
        freed: whether it gave time back, which the list that is cached may not have.
        known_there: whether the source itself told of the change, so that a load which begins now knows of it.

    Raises:
        RedisError: nothing was forgotten; the Forgetting stays owed.
        ValueError: the range is out of order, or larger than any change can be.
    """
    dates = dates_between(first, last)
    if not dates or len(dates) * len(event_type_ids) > conf.MOST_KEYS:
        raise ValueError(f"Forget 1 to {conf.MOST_KEYS} days (event types times dates), from first to last.")
    mark = uuid4().hex if forgetting_id is None else str(forgetting_id)
    return store.forget(account_id, event_type_ids, dates, own=own, mark=mark, freed=freed, known_there=known_there)


def touch_epochs() -> None:
    """Notice an emptied Redis before a caller does: loads are believed from the settle time after that."""
    for account_id in loaders.accounts():
        store.touch(account_id)


def _oldest_that_will_do(question: Question, max_age: float, deadline: Deadline) -> float:
    """Return since when the days must have been loaded, on Redis' clock, so that none is reloaded time and again."""
    floor = conf.reload_floor()
    oldest, young = question.asked - max_age, question.asked - floor
    if not any(young <= (day.loaded_at or inf) < oldest for day in question.days.values()):
        return oldest
    if deadline.passed:  # nothing will be loaded, so the next question may
        return young
    try:
        may_reload = store.mark_reload(question.account_id, question.event_type_id, floor)
    except RedisError:
        may_reload = False
    return oldest if may_reload else young


def _allowed_again(question: Question) -> float:
    """Return in how many seconds a refresh may try again that was refused for now; 0 where nobody said so."""
    if not question.failure or question.retry_after is None:
        return 0.0
    return min(max(question.retry_after, conf.REFRESH_SOONEST), conf.REFRESH_LATEST)


def _keep_fresh(question: Question) -> None:
    aging = [] if question.refresh_queued else question.aging()
    if aging:
        wait = max(day.settled_at for day in aging) - question.now + conf.REFRESH_MARGIN
        executors.submit_errand(
            queue_refresh,
            account_id=question.account_id,
            event_type_id=question.event_type_id,
            first=aging[0].date,
            last=aging[-1].date,
            delay=max(0.0, wait),
        )
