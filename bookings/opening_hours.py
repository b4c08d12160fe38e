"""When a branch is open: local hours and closures become instants. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 1440
_A_DAY = timedelta(days=1)
_CLOSURES = 'Closures are written as [{"first": "2026-12-24", "last": "2026-12-26"}].'


@dataclass(frozen=True)
class Hours:
    """Opening hours by weekday, in minutes after local midnight, and closures as pairs of local dates, inclusive."""

    zone: ZoneInfo
    by_weekday: Sequence[Sequence[tuple[int, int]]]
    closures: Sequence[tuple[date, date]]

    @classmethod
    def parse(cls, time_zone: str, opening_hours: object, closures: object, *, strict: bool = True) -> Self:
        """
        Read what a branch stores. Without opening hours it is open around the clock, except for its closures.

        Args:
            strict: whether hours of a day that overlap are refused. They are rarely meant so; where they are stored
                all the same, callers are answered as if they were one.

        Raises:
            ValueError: it is written wrongly; the message says what is expected.
        """
        return cls(ZoneInfo(time_zone), _by_weekday(opening_hours, strict), _closures(closures))

    def between(self, first: datetime, last: datetime) -> list[tuple[int, int]]:
        """Return when it is open as pairs of epoch minutes, in order: at least for the window, and some days more."""
        opened: list[tuple[int, int]] = []
        day, end = (first - _A_DAY).astimezone(self.zone).date(), (last + _A_DAY).astimezone(self.zone).date()
        while day <= end:
            for start, until in self._minutes(day):
                if opened and opened[-1][1] == start:
                    start = opened.pop()[0]  # noqa: PLW2901  open around midnight: one time, not two
                opened.append((start, until))
            day += _A_DAY
        return opened

    def is_open_on(self, day: date) -> bool:
        """Return whether it is open at all on a local date."""
        return bool(self._minutes(day))

    def on_clock(self, day: date) -> list[tuple[int, int]]:
        """Return when it is open on a local date, in minutes after midnight as the clock on the wall shows them."""
        is_closed = any(first <= day <= last for first, last in self.closures)
        return [] if is_closed else list(self.by_weekday[day.weekday()])

    def _minutes(self, day: date) -> list[tuple[int, int]]:
        # Arithmetic on the wall clock, so that a day of 23 or 25 hours opens and closes when its clocks say so.
        midnight = datetime.combine(day, time(), tzinfo=self.zone)
        return [
            (_epoch_minute(midnight + timedelta(minutes=start)), _epoch_minute(midnight + timedelta(minutes=end)))
            for start, end in self.on_clock(day)
        ]


def _epoch_minute(instant: datetime) -> int:
    return int(instant.timestamp()) // 60


def _by_weekday(opening_hours: object, strict: bool) -> list[list[tuple[int, int]]]:
    if not isinstance(opening_hours, Mapping) or set(opening_hours) - set(WEEKDAYS):
        raise ValueError(f"Opening hours are written by weekday: {', '.join(WEEKDAYS)}.")
    if not opening_hours:
        return [[(0, MINUTES_A_DAY)]] * 7
    return [_spans(day, opening_hours.get(day, ()), strict) for day in WEEKDAYS]


def _spans(day: str, written: object, strict: bool) -> list[tuple[int, int]]:
    try:
        spans = sorted((_minute(start), _minute(end)) for start, end in written)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as exc:
        raise ValueError(f'The hours of {day} are written as [["09:00", "12:30"], ["14:00", "18:00"]].') from exc
    if any(start >= end for start, end in spans):
        raise ValueError(f"The hours of {day} end before they begin.")
    apart: list[tuple[int, int]] = []
    for start, end in spans:
        if apart and start < apart[-1][1]:
            if strict:
                raise ValueError(f"The hours of {day} overlap.")
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        else:
            apart.append((start, end))
    return apart


def _minute(written: str) -> int:
    if written == "24:00":
        return MINUTES_A_DAY
    clock = time.fromisoformat(written)
    if len(written) != 5:
        raise ValueError(written)
    return clock.hour * 60 + clock.minute


def _closures(written: object) -> list[tuple[date, date]]:
    if not isinstance(written, list):
        raise ValueError(_CLOSURES)  # noqa: TRY004  a wrong value, as all others here
    try:
        closures = [(date.fromisoformat(closure["first"]), date.fromisoformat(closure["last"])) for closure in written]
    except (TypeError, KeyError, ValueError) as exc:
        raise ValueError(_CLOSURES) from exc
    if any(last < first for first, last in closures):
        raise ValueError("A closure ends before it begins.")
    return closures
