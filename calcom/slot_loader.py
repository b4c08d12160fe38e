"""How `cachectl` gets days loaded: the source that `CalcomConfig.ready` registers there."""

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

# Note [No two loads ask the same]
# Cal.com keeps its answer to a query for 2 s (recorded 2026-11-21), and a load must not get an answer from before a
# change. So each load moves its end out by another number of seconds; what is found there is dropped.
_ROLL = 3600
_rolling = itertools.count(secrets.randbelow(_ROLL))

_PRIORITIES = {
    LoadPriority.LIVE: Priority.LIVE,
    LoadPriority.REFRESH: Priority.REFRESH,
    LoadPriority.WARMING: Priority.BACKGROUND,
}


class CalcomDays:
    """Days as Cal.com has them now."""

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
            LoadError: Cal.com did not say, or the account has no such event type.
        """
        try:
            # By account too: a day of one tenant is never filled from another's calendar.
            event_type = EventType.objects.select_related("account").get(id=event_type_id, account_id=account_id)
            client = Client(event_type.account, tenant=tenant)
            return _by_day(_slots(client, event_type, first, last, _PRIORITIES[priority]), first, last)
        except EventType.DoesNotExist:
            raise LoadError("unknown_event_type", None) from None
        except Refused as exc:
            if exc.event_type_is_missing:
                sync.deactivate(event_type)
                raise LoadError(GONE, None) from exc
            # Another 404 is not Cal.com's word: a wrong address, or a proxy's.
            reason = "unavailable" if exc.reason is Reason.NOT_FOUND else exc.reason.value
            raise LoadError(reason, None) from exc
        except CalcomError as exc:
            reason = THROTTLED if isinstance(exc, Throttled) else "unavailable"
            raise LoadError(reason, exc.retry_after if isinstance(exc, Unavailable) else None) from exc


def accounts_in_use() -> Iterable[int]:
    """Return the ids of the accounts that callers are served from."""
    return Account.objects.filter(active=True).values_list("id", flat=True)


def unique_end(end: datetime) -> datetime:
    """Return up to an hour later than `end`, another instant for each list: Note [No two loads ask the same]."""
    return end + timedelta(seconds=next(_rolling) % _ROLL)


def _slots(client: Client, event_type: EventType, first: date, last: date, priority: Priority) -> list[int]:
    """Ask in instants: date-only bounds are UTC days whatever the time zone (recorded 2026-11-21)."""
    start = datetime.combine(first, time(), UTC)
    end = unique_end(datetime.combine(last + timedelta(days=1), time(), UTC))
    return client.open_slots(event_type=event_type, start=start, end=end, priority=priority)


def _by_day(starts: Sequence[int], first: date, last: date) -> dict[date, list[int]]:
    days: dict[date, list[int]] = {first + timedelta(days=number): [] for number in range((last - first).days + 1)}
    for start in starts:
        if (day := date_of(start)) in days:
            days[day].append(start)
    return days
