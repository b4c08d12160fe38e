"""Which days of the cache a change invalidates, written down in its transaction and done after the commit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import structlog
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis import RedisError

from cachectl import background, limits, services, tasks
from cachectl.models import Forgetting
from calcom.models import Account, EventType
from calcom.ranges import Shape, date_of, minute_from, touched
from calcom.types import ListReach

log = structlog.get_logger(__name__)

Cause = Forgetting.Cause
# What refuses one slot (a closed morning, a new calendar entry) mostly refuses more of that day, which in the time zone
# of the branch may begin or end up to half a day away from it.
_REFUSED_WITH_IT = timedelta(hours=12)


def invalidate_change(
    *,
    account: Account,
    event_type: EventType,
    start: datetime,
    end: datetime,
    host_ids: Collection[int],
    cause: Cause,
) -> list[Forgetting]:
    """
    Write down which days are invalid because time of the hosts was taken or freed from `start` to `end`.

    Call it inside the transaction that makes the change, and `availability_changed` after its commit.

    Note [Lists of more than host time]: what an appointment of ours takes from a list is subtracted, so the list stays
    an answer. A list that rules of the event type decide, too (limits per day, the first slot only), may lose or gain
    more than the appointment's own time: such days expire, as far as the rule reaches.
    """
    if cause is Cause.REFUSED:
        start, end = start - _REFUSED_WITH_IT, end + _REFUSED_WITH_IT
    columns = "length_minutes", "before_buffer_minutes", "after_buffer_minutes", "list_reach"
    sharing = EventType.objects.filter(account=account).on_hosts(set(host_ids)).values_list("pk", *columns)
    shapes, reaches = {event_type.pk: event_type.shape}, {event_type.pk: ListReach(event_type.list_reach)}
    for pk, length, before, after, reach in sharing:
        shapes[pk], reaches[pk] = Shape(length, before, after), ListReach(reach)
    days = touched(start=start, end=end, changed=event_type.shape, others=shapes)
    return [
        services.owe(account_id=account.pk, event_type_ids=ids, first=first, last=last, cause=why)
        for touched_days, touched_ids in days.items()
        for first, last, ids, why in _by_reach(*touched_days, touched_ids, reaches, cause)
    ]


def invalidate_lists(*, account_id: int, event_type_ids: Collection[int]) -> list[Forgetting]:
    """Write down that all days of the event types are invalid, within the transaction that is open."""
    first, last = _cached_days()
    return [
        services.owe(account_id=account_id, event_type_ids=[each], first=first, last=last, cause=Cause.EVENT_TYPE)
        for each in event_type_ids
    ]


def availability_changed(rows: Sequence[Forgetting]) -> None:
    """
    Invalidate the days now, and once more by a task; call it after the commit.

    Neither Redis nor the broker can make it fail: the rows stay pending.
    """
    for each in rows:
        _invalidate_now(each)
    if rows:
        background.submit_errand(_invalidate_again, rows)  # the caller need not wait for the broker


def _by_reach(
    first: date, last: date, ids: Sequence[int], reaches: Mapping[int, ListReach], cause: Cause
) -> Iterator[tuple[date, date, list[int], Cause]]:
    """Yield the days and event types with the cause that they are invalid for."""
    plain = [each for each in ids if cause is not Cause.OWN or reaches[each] is ListReach.NONE]
    if plain:
        yield first, last, plain, cause
    earliest, latest = _cached_days()
    for each in ids:
        if each not in plain:
            days = timedelta(days=reaches[each].days)
            yield max(first - days, min(first, earliest)), min(last + days, max(last, latest)), [each], Cause.RULE


def _cached_days() -> tuple[date, date]:
    """Return the first and last day (UTC) of which a list may be cached."""
    today = date_of(minute_from(timezone.now()))
    return today - timedelta(days=1), today + timedelta(days=limits.MOST_DAYS - 2)


def _invalidate_now(row: Forgetting) -> None:
    try:
        services.forget(row)
    except RedisError as exc:
        log.warning("calcom.not_forgotten_yet", forgetting_id=row.id, error_type=type(exc).__name__)


def _invalidate_again(rows: Sequence[Forgetting]) -> None:
    for each in rows:
        try:
            tasks.forget_range.delay(forgetting_id=each.id)
        except OperationalError as exc:
            log.warning("calcom.forgetting_left_to_sweep", forgetting_id=each.id, error_type=type(exc).__name__)
