"""When a caller would like to come: dates and times of a branch become windows of instants. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from bookings.errors import TimeAmbiguous, TimeNonexistent, TimeNotUnderstood
from calcom.day_ranges import EPOCH, MINUTES_A_DAY, minute_from

A_DAY = timedelta(days=1)


class PartOfDay(StrEnum):
    """What people call a stretch of the day. Stretches overlap: half past eleven is morning and noon."""

    MORNING = "morning"
    NOON = "noon"
    AFTERNOON = "afternoon"
    EVENING = "evening"

    @property
    def hours(self) -> tuple[int, int]:
        """Return the hours, 0 to 24, at which it begins and ends."""
        return _HOURS[self]

    def covers(self, clock: int) -> bool:
        """Return whether a time of day, in minutes since midnight, is in it."""
        first, last = self.hours
        return first * 60 <= clock < last * 60


_HOURS = {
    PartOfDay.MORNING: (5, 12),
    PartOfDay.NOON: (11, 14),
    PartOfDay.AFTERNOON: (12, 18),
    PartOfDay.EVENING: (17, 24),
}


class Window(NamedTuple):
    """Epoch minutes: slots that start from `first` on and before `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TimeCriteria:
    """When the caller would like to come, however it was said."""

    windows: tuple[Window, ...]
    """Ascending and apart from each other; never empty."""
    start: int | None = None
    """The one start asked for, in epoch minutes; None where there were several."""
    part: PartOfDay | None = None

    @classmethod
    def at(cls, start: datetime) -> Self:
        """Return criteria for one start."""
        minute = minute_from(start)
        return cls((Window(minute, minute + 1),), minute)

    @classmethod
    def between(cls, windows: Iterable[tuple[datetime, datetime]], part: PartOfDay | None = None) -> Self:
        """
        Return criteria for a start in one of the windows.

        Raises:
            TimeNotUnderstood: one ends before it begins.
        """
        spans = sorted(Window(minute_from(first), minute_from(last)) for first, last in windows)
        if any(last <= first for first, last in spans):
            raise TimeNotUnderstood("A window ends before it begins.")
        apart: list[Window] = []
        for span in spans:
            if apart and span.first <= apart[-1].last:
                apart[-1] = Window(apart[-1].first, max(apart[-1].last, span.last))
            else:
                apart.append(span)
        return cls(tuple(apart), part=part)

    @classmethod
    def on(
        cls, days: Sequence[date], zone: ZoneInfo, *, part: PartOfDay | None = None, not_before: time | None = None
    ) -> Self:
        """
        Return criteria for a start on one of the local dates, in that part of the day and not before that time.

        Raises:
            TimeAmbiguous, TimeNonexistent: clocks are changed there at that time.
            TimeNotUnderstood: the part of the day is over by then.
        """
        opens, closes = part.hours if part else (0, 24)
        if not_before and closes * 60 <= not_before.hour * 60 + not_before.minute:
            raise TimeNotUnderstood("That part of the day is over by not_before.")
        later = not_before if not_before and not_before > time(opens) else None
        return cls.between(
            (
                (instant_of(day, later, zone) if later else _hour_of(day, opens, zone), _hour_of(day, closes, zone))
                for day in days
            ),
            part,
        )

    def covers(self, start: int) -> bool:
        """Return whether a slot at this epoch minute meets the criteria."""
        return any(first <= start < last for first, last in self.windows)

    def among(self, starts: Sequence[int]) -> list[int]:
        """Return those of the epoch minutes, ascending, that meet the criteria."""
        return [
            start
            for first, last in self.windows
            for start in starts[bisect_left(starts, first) : bisect_left(starts, last)]
        ]

    def touches(self, day: date, margin: int = 0) -> bool:
        """Return whether the UTC date has time of a window, or lies within `margin` minutes of one."""
        first = (day - EPOCH.date()).days * MINUTES_A_DAY - margin
        last = first + MINUTES_A_DAY + 2 * margin
        return any(window.first < last and first < window.last for window in self.windows)


def instant_of(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """
    Return the instant at which clocks in `zone` show that time on that date.

    Raises:
        TimeNonexistent: they skip it.
        TimeAmbiguous: they show it twice; carries both.
    """
    early, late = (datetime.combine(day, clock.replace(fold=fold), zone) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early.astimezone(UTC)
    # Of a time that clocks skip, the way to UTC and back makes another.
    if early.astimezone(UTC).astimezone(zone).time() != clock:
        raise TimeNonexistent("Clocks are set forward then and skip this time.")
    raise TimeAmbiguous("Clocks are set back then and show this time twice.", readings=(early, late))


def _hour_of(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """Return where a day or a part of it begins or ends; of a skipped or repeated hour either reading will do."""
    days, hour = divmod(hour, 24)
    return datetime.combine(day + days * A_DAY, time(hour), zone).astimezone(UTC)
