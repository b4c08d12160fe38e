"""The loader of `cachectl`, which `CalcomConfig.ready` registers there."""

import itertools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from cachectl.loaders import GONE, THROTTLED, LoadError, LoadPriority
from calcom import sync
from calcom.day_ranges import date_of
from calcom.errors import CalcomError, Reason, Refused, Unavailable
from calcom.http.client import Client
from calcom.models import Account, EventType
from calcom.resilience.rate_limiter import Throttled
from calcom.types import Priority

# Note [No two loads send the same query]
# Cal.com caches responses to a query for 2 s (recorded 2026-11-21), and a load must not get one from before a change.
# So each load extends its end by another number of seconds; slots found there are dropped.
_ROLL = 3600
_rolling = itertools.count(secrets.randbelow(_ROLL))

_PRIORITIES = {
    LoadPriority.LIVE: Priority.LIVE,
    LoadPriority.REFRESH: Priority.REFRESH,
    LoadPriority.WARMING: Priority.BACKGROUND,
}


class CalcomDays:
    """Loads the slots of days from Cal.com."""

    def load(
        self,
        *,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        priority: LoadPriority,
        tenant: int | None,
    ) -> Mapping[date, Sequence[int]]:
        """
        Return the slot starts (epoch minutes, ascending) of each UTC day from `first` to `last`, empty days too.

        Raises:
            LoadError: the request failed, or the account has no such event type.
        """
        try:
            # By account too: a day of one tenant is never loaded from the calendar of another.
            event_type = EventType.objects.select_related("account").get(id=event_type_id, account_id=account_id)
            client = Client(event_type.account, tenant=tenant)
            return _by_day(_slots(client, event_type, first, last, _PRIORITIES[priority]), first, last)
        except EventType.DoesNotExist:
            raise LoadError("unknown_event_type", None) from None
        except Refused as exc:
            if exc.event_type_is_missing:
                sync.deactivate(event_type)
                raise LoadError(GONE, None) from exc
            # Any other 404 is not about the event type: a wrong address, or a proxy.
            reason = "unavailable" if exc.reason is Reason.NOT_FOUND else exc.reason.value
            raise LoadError(reason, None) from exc
        except CalcomError as exc:
            reason = THROTTLED if isinstance(exc, Throttled) else "unavailable"
            raise LoadError(reason, exc.retry_after if isinstance(exc, Unavailable) else None) from exc


def active_accounts() -> Iterable[int]:
    """Return the ids of active accounts."""
    return Account.objects.filter(active=True).values_list("id", flat=True)


def unique_end(end: datetime) -> datetime:
    """Return an instant up to an hour after `end`, another for each query: Note [No two loads send the same query]."""
    return end + timedelta(seconds=next(_rolling) % _ROLL)


def _slots(client: Client, event_type: EventType, first: date, last: date, priority: Priority) -> list[int]:
    """Send instants: bounds that are dates are UTC days whatever the time zone (recorded 2026-11-21)."""
    start = datetime.combine(first, time(), UTC)
    end = unique_end(datetime.combine(last + timedelta(days=1), time(), UTC))
    return client.open_slots(event_type=event_type, start=start, end=end, priority=priority)


def _by_day(starts: Sequence[int], first: date, last: date) -> dict[date, list[int]]:
    days: dict[date, list[int]] = {first + timedelta(days=number): [] for number in range((last - first).days + 1)}
    for start in starts:
        if (day := date_of(start)) in days:
            days[day].append(start)
    return days
