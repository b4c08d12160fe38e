"""Which days of the cache a change invalidates: recorded in its transaction, applied after the commit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

import structlog
from django.utils import timezone
from redis import RedisError

from cachectl import conf, invalidation, tasks
from cachectl.infra import executors, outbox
from cachectl.models import CacheInvalidation
from calcom.day_ranges import SlotFootprint, affected_days, date_of, minute_from
from calcom.models import Account, EventType, EventTypeHost
from calcom.sync_requests import request_sync
from calcom.types import ListReach

log = structlog.get_logger(__name__)

Cause = CacheInvalidation.Cause
# What refuses one slot (a closed morning, a new calendar entry) mostly refuses more of that day, which in the time zone
# of the branch may begin or end up to half a day earlier or later.
_REFUSED_WITH_IT = timedelta(hours=12)


def invalidate_change(
    *,
    account: Account,
    event_type: EventType,
    start: datetime,
    end: datetime,
    host_ids: Collection[int],
    cause: Cause,
    freed: bool = False,
) -> list[CacheInvalidation]:
    """
    Record which days are invalid because time of the hosts was taken, or `freed`, from `start` to `end`.

    Call it inside the transaction that makes the change, and `availability_changed` after its commit.

    Note [Lists of more than host time]: our appointments are subtracted from a list, so it stays valid. A list that
    depends on rules of the event type, too (limits per day, the first slot only), may change by more than the time of
    the appointment: such days expire, as far as the rule reaches, and so do the days around a refusal.
    """
    if cause is Cause.REFUSED:
        start, end = start - _REFUSED_WITH_IT, end + _REFUSED_WITH_IT
    columns = "length_minutes", "before_buffer_minutes", "after_buffer_minutes", "list_reach"
    sharing = EventType.objects.filter(account=account).on_hosts(set(host_ids)).values_list("pk", *columns)
    footprints, reaches = {event_type.pk: event_type.footprint}, {event_type.pk: event_type.list_reach}
    for pk, length, before, after, reach in sharing:
        footprints[pk], reaches[pk] = SlotFootprint(length, before, after), reach
    causes = {pk: Cause.RULE if cause is Cause.OWN and reach else cause for pk, reach in reaches.items()}
    widened = {pk: reach for pk, reach in reaches.items() if causes[pk] is Cause.RULE}
    if cause is Cause.REFUSED and event_type.list_reach:
        widened[event_type.pk] = event_type.list_reach
    own_hosts = EventTypeHost.objects.filter(event_type=event_type).values_list("host_id", flat=True)
    if not set(host_ids).issubset(own_hosts):
        request_sync(event_type)
        # The hosts are not synced for it, so their appointments are not subtracted from its list.
        causes[event_type.pk] = Cause.ELSEWHERE if causes[event_type.pk] is Cause.OWN else causes[event_type.pk]
    days = affected_days(start=start, end=end, changed=event_type.footprint, others=footprints)
    return [
        invalidation.enqueue(
            account_id=account.pk,
            event_type_ids=its,
            first=first,
            last=last,
            cause=why,
            freed=freed and why is Cause.OWN,
        )
        for affected, ids in days.items()
        for first, last, its, why in _by_cause(*affected, ids, causes, widened)
    ]


def invalidate_lists(*, account_id: int, event_type_ids: Collection[int]) -> list[CacheInvalidation]:
    """Record, in the open transaction, that all days of the event types are invalid."""
    first, last = _cached_days()
    return [
        invalidation.enqueue(
            account_id=account_id, event_type_ids=[each], first=first, last=last, cause=Cause.EVENT_TYPE
        )
        for each in event_type_ids
    ]


def availability_changed(rows: Sequence[CacheInvalidation]) -> None:
    """
    Invalidate the days now, and again by a task; call it after the commit.

    Never fails: without Redis or broker the rows stay pending.
    """
    for each in rows:
        _invalidate_now(each)
    if rows:
        executors.submit_background(outbox.publish, tasks.invalidate_range)  # does not wait for the broker


def _by_cause(
    first: date, last: date, ids: Sequence[int], causes: Mapping[int, Cause], widened: Mapping[int, str]
) -> Iterator[tuple[date, date, list[int], Cause]]:
    """Yield ranges of invalid days with event types and cause; event types in `widened` one by one."""
    earliest, latest = _cached_days()
    for each in dict.fromkeys(causes[pk] for pk in ids if pk not in widened):
        yield first, last, [pk for pk in ids if causes[pk] is each and pk not in widened], each
    for pk in ids:
        if pk in widened:
            days = timedelta(days=ListReach(widened[pk]).days)
            yield max(first - days, min(first, earliest)), min(last + days, max(last, latest)), [pk], causes[pk]


def _cached_days() -> tuple[date, date]:
    """Return the first and last day (UTC) of which a list may be cached."""
    today = date_of(minute_from(timezone.now()))
    return today - timedelta(days=1), today + timedelta(days=conf.MOST_DAYS - 2)


def _invalidate_now(row: CacheInvalidation) -> None:
    try:
        invalidation.apply(row)
    except RedisError as exc:
        log.warning("cache.invalidation_postponed", invalidation_id=row.id, error_type=type(exc).__name__)
