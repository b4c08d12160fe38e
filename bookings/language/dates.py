"""How days and lists are said, whatever the language: today, a weekday, or a weekday with its date."""

from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple


class Day(NamedTuple):
    """A date, and how much of it is said. A date is never said without its weekday."""

    date: date
    relative: Literal["", "today", "tomorrow"] = ""
    dated: bool = False
    """The weekday alone could be another one."""
    month: bool = True
    year: bool = False


def called(days: Sequence[date], today: date) -> list[Day]:
    """Return how the days are called when one is named after the other: a month or a year is said once."""
    named: list[Day] = []
    for day in days:
        ahead = (day - today).days
        before = named[-1] if named and named[-1].dated else None
        month = before is None or (before.date.year, before.date.month) != (day.year, day.month)
        year = day.year != (before.date.year if before else today.year)
        if ahead in {0, 1}:
            named.append(Day(day, "today" if ahead == 0 else "tomorrow"))
        else:
            named.append(Day(day, dated=not 1 < ahead < 7, month=month, year=year))
    return named


def dated(day: date, today: date) -> Day:
    """Return how a day is called by itself, with its date."""
    return Day(day, dated=True, year=day.year != today.year)


def joined(parts: Sequence[str], conjunction: str) -> str:
    """Return parts as a list is spoken: one, another or a third."""
    return f"{', '.join(parts[:-1])} {conjunction} {parts[-1]}" if len(parts) > 1 else parts[0]
