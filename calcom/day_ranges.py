"""Which days of which event types are affected by a change of a host's time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES_A_DAY = 1440
LONGEST_CHANGE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class SlotFootprint:
    """How much of a host's time a booking takes, in minutes: its length and the buffers around it."""

    length: int
    before: int = 0
    after: int = 0


def affected_days(
    *, start: datetime, end: datetime, changed: SlotFootprint, others: Mapping[int, SlotFootprint]
) -> dict[tuple[date, date], list[int]]:
    """
    Group the ids in `others` by the first and last day (UTC, inclusive) on which slots of theirs may have come or gone.

    A booking with the footprint `changed` was made or removed from `start` to `end`; its buffers count.

    Raises:
        ValueError: naive instants, or a change that does not end after its start, or is longer than 31 days.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("A change needs aware instants.")
    if not timedelta(0) < end - start <= LONGEST_CHANGE:
        raise ValueError("A change must end after it starts and last 31 days at most.")
    first, last = start - changed.before * MINUTE, end + changed.after * MINUTE
    days: dict[tuple[date, date], list[int]] = {}
    for event_type_id, footprint in sorted(others.items()):
        days.setdefault(_days(first, last, footprint), []).append(event_type_id)
    return days


def minute_from(instant: datetime) -> int:
    """Return the first epoch minute that is not before `instant`."""
    return -((EPOCH - instant) // MINUTE)


def date_of(epoch_minute: int) -> date:
    """Return the UTC date on which a slot starts."""
    return EPOCH.date() + timedelta(days=epoch_minute // MINUTES_A_DAY)


def _days(first: datetime, last: datetime, footprint: SlotFootprint) -> tuple[date, date]:
    """
    Return the days of the slots that overlap the time from `first` to `last`.

    A slot at s takes the time from s - before to s + length + after. It overlaps when it begins before `last` and ends
    after `first`. Slots start on whole minutes.
    """
    earliest = (first - EPOCH) // MINUTE - footprint.length - footprint.after + 1
    latest = minute_from(last) + footprint.before - 1
    return date_of(earliest), date_of(latest)
