"""Which dates are meant by a day, a week, a month or a holiday. Pure; the same for every language."""

from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from bookings.language.expressions import (
    Day,
    DayOfMonth,
    Edge,
    EitherDate,
    Holiday,
    Month,
    RelativeDay,
    Span,
    Unit,
    Week,
    Weekday,
    Weekend,
    Which,
    Workdays,
)
from bookings.language.holiday_dates import holiday_dates

A_DAY = timedelta(days=1)
WEEKS_OF_A_HABIT = 4
_LONG_PAST = 90  # days: a date that has passed by less may be meant as such; by more, next year's is meant
_EDGES_OF_WEEK = {Edge.START: (0, 2), Edge.MIDDLE: (2, 3), Edge.END: (3, 5)}
_EDGES_OF_MONTH = {Edge.START: (1, 10), Edge.MIDDLE: (11, 20), Edge.END: (21, 31)}


class Range(NamedTuple):
    """Dates from `first` on, before `last`; None where it is open."""

    first: date
    last: date | None


@dataclass(frozen=True)
class Dates:
    """What a day may mean."""

    ranges: tuple[Range, ...]
    """Ascending. Of several readings, all."""
    doubt: str = ""
    """Empty, or a problem code: why the caller is asked."""


def one_day(day: date) -> Range:
    """Return the range of one date."""
    return Range(day, day + A_DAY)


def dates_of(days: Sequence[Day], today: date, region: str | None) -> Dates:
    """Return the dates that all of the days agree on; where they contradict each other, those of each, with a doubt."""
    return _Calendar(today, region).together(list(days))


@dataclass(frozen=True)
class _Calendar:
    today: date
    region: str | None

    def together(self, days: list[Day]) -> Dates:
        spans = [each for each in days if isinstance(each, Span)]
        if len(days) == 2 and len(spans) == 1:
            (other,) = (each for each in days if not isinstance(each, Span))
            if isinstance(other, RelativeDay | Weekday):
                return self._shifted(other, spans[0])
        wide = [each for each in days if isinstance(each, Week | Month)]
        names = [each for each in days if isinstance(each, Weekday | Weekend | Workdays | DayOfMonth)]
        if wide and names and len(wide) + len(names) == len(days):
            return self._within(wide, names)
        found = [self.dates(each) for each in days]
        if len(found) == 1:
            return found[0]
        return self._agreeing(days, found)

    def dates(self, day: Day) -> Dates:
        """Return what one day by itself may mean."""
        readers: dict[type, Callable[..., Dates]] = {
            RelativeDay: self._relative, Weekday: self._weekday, Week: self._week, Weekend: self._weekend,
            Workdays: self._workdays, DayOfMonth: self._day_of_month, EitherDate: self._either, Month: self._month,
            Span: self._span, Holiday: self._holiday,
        }  # fmt: skip
        return readers[type(day)](day)

    def _relative(self, day: RelativeDay) -> Dates:
        return Dates((one_day(self.today + day.days * A_DAY),), "date_in_past" if day.days < 0 else "")

    def _weekday(self, day: Weekday) -> Dates:
        ahead = (day.index - self.today.weekday()) % 7
        first = self.today + ahead * A_DAY
        if day.habit:
            ranges = tuple(one_day(first + 7 * n * A_DAY) for n in range(WEEKS_OF_A_HABIT))
            return Dates(ranges, "time_ambiguous")
        if ahead == 0:
            return self._weekday_of_today(day.which)
        is_this_week = day.index > self.today.weekday()
        weeks = {Which.NEXT: (0, 1) if is_this_week else (0,), Which.AFTER_NEXT: (1, 2) if is_this_week else (1,)}
        asked = weeks.get(day.which, (0,))
        unsure = len(asked) > 1 or (day.which is Which.THIS and not is_this_week)
        return Dates(tuple(one_day(first + 7 * n * A_DAY) for n in asked), "time_ambiguous" if unsure else "")

    def _weekday_of_today(self, which: Which) -> Dates:
        weeks = {Which.COMING: (1,), Which.NEXT: (1,), Which.AFTER_NEXT: (2,)}.get(which, (0, 1))
        ranges = tuple(one_day(self.today + 7 * n * A_DAY) for n in weeks)
        return Dates(ranges, "time_ambiguous" if len(weeks) > 1 else "")

    def _week(self, week: Week) -> Dates:
        monday = self._monday(week.ahead)
        first, last = _EDGES_OF_WEEK[week.edge] if week.edge else (0, 7)
        return self._not_past((Range(monday + first * A_DAY, monday + last * A_DAY),))

    def _weekend(self, weekend: Weekend) -> Dates:
        saturday = self._monday(0) + 5 * A_DAY
        weeks = {Which.AFTER_NEXT: (1, 2)}.get(weekend.which, (0,))
        if weekend.which is Which.NEXT:
            weeks = (0, 1) if self.today < saturday else (1,)
        if weekend.which is Which.COMING and self.today >= saturday:
            weeks = (1,)
        ranges = tuple(Range(saturday + 7 * n * A_DAY, saturday + (7 * n + 2) * A_DAY) for n in weeks)
        return self._not_past(ranges, "time_ambiguous" if len(weeks) > 1 else "")

    def _workdays(self, _day: Workdays) -> Dates:
        days = [self.today + n * A_DAY for n in range(7)]
        return Dates(joined(one_day(each) for each in days if each.weekday() < 5), "time_ambiguous")

    def _day_of_month(self, day: DayOfMonth) -> Dates:
        if day.year is not None and day.month is not None:
            return self._complete(day.year, day.month, day.day)
        if day.month is not None:
            return self._in_some_year(day.month, day.day)
        months = (self._month_start(n) for n in range(13))
        found = [each.replace(day=day.day) for each in months if day.day <= monthrange(each.year, each.month)[1]]
        coming = [each for each in found if each >= self.today]
        if not coming:
            return Dates((), "time_not_understood")
        if coming[0] == self.today:
            return Dates((one_day(coming[0]), one_day(coming[1])), "time_ambiguous")
        return Dates((one_day(coming[0]),))

    def _complete(self, year: int, month: int, day: int) -> Dates:
        try:
            value = date(year, month, day)
        except ValueError:
            return Dates((), "time_not_understood")
        return Dates((one_day(value),), "date_in_past" if value < self.today else "")

    def _in_some_year(self, month: int, day: int) -> Dates:
        years = range(self.today.year, self.today.year + 9)
        found = [
            date(each, month, day) for each in years if 1 <= month <= 12 and 1 <= day <= monthrange(each, month)[1]
        ]
        if not found:
            return Dates((), "time_not_understood")
        if found[0] >= self.today:
            leaping = (found[0] - self.today).days > 366
            return Dates((one_day(found[0]),), "time_ambiguous" if leaping else "")
        recently = (self.today - found[0]).days < _LONG_PAST
        return Dates((one_day(found[1]),), "date_in_past" if recently else "")

    def _either(self, day: EitherDate) -> Dates:
        both = [self._day_of_month(day.one), self._day_of_month(day.other)]
        ranges = joined(each for dates in both for each in dates.ranges)
        return Dates(ranges, "time_ambiguous" if len(set(both)) > 1 else both[0].doubt)

    def _month(self, month: Month) -> Dates:
        if month.edge and not month.ahead and not month.number and self.today.day > _EDGES_OF_MONTH[month.edge][1]:
            return self._month(Month(ahead=1, edge=month.edge))  # the beginning of this month is over
        first = self._month_start(month.ahead)
        if month.number is not None:
            year = month.year or self.today.year + (month.number < self.today.month)
            first = date(year, month.number, 1)
        length = monthrange(first.year, first.month)[1]
        low, high = _EDGES_OF_MONTH[month.edge] if month.edge else (1, 31)
        return self._not_past((Range(first.replace(day=low), first.replace(day=min(high, length)) + A_DAY),))

    def _span(self, span: Span) -> Dates:
        if span.unit is Unit.MONTH:
            first = self._month_start(span.count)
            day = min(self.today.day, monthrange(first.year, first.month)[1])
            reached = first.replace(day=day)
        else:
            reached = self.today + span.count * A_DAY * (7 if span.unit is Unit.WEEK else 1)
        unsure = span.vague and (span.unit in {Unit.WEEK, Unit.MONTH} or (span.unit is Unit.DAY and span.count == 8))
        ranges = [one_day(reached)]
        if unsure and span.unit is Unit.DAY:
            ranges.insert(0, one_day(reached - A_DAY))
        elif unsure and span.unit is Unit.WEEK:
            monday = reached - reached.weekday() * A_DAY
            ranges = [Range(monday, monday + 7 * A_DAY)]
        elif unsure:
            month = reached.replace(day=1)
            ranges = [Range(month, month + monthrange(month.year, month.month)[1] * A_DAY)]
        return Dates(tuple(ranges), "time_ambiguous" if unsure else "")

    def _holiday(self, holiday: Holiday) -> Dates:
        found, sure = holiday_dates(holiday.key, self.today, self.region)
        ranges = tuple(Range(first, last) for first, last in found)
        return Dates(ranges, "" if sure else "time_ambiguous") if ranges else Dates((), "time_not_understood")

    def _shifted(self, day: RelativeDay | Weekday, span: Span) -> Dates:
        base = self.dates(day)
        if span.unit is Unit.MONTH and day == RelativeDay(0):
            return self._span(Span(span.count, span.unit, vague=False))
        if span.unit is Unit.MONTH or span.unit in {Unit.MINUTE, Unit.HOUR}:
            return Dates(base.ranges, "time_ambiguous")
        days = span.count * (7 if span.unit is Unit.WEEK else 1)
        if span.unit is Unit.DAY and days == 8:
            days = 7  # German and English of old count both ends
        moved = tuple(Range(each.first + days * A_DAY, each.last and each.last + days * A_DAY) for each in base.ranges)
        return Dates(moved, base.doubt if len(moved) > 1 else "")

    def _within(self, wide: Sequence[Day], names: Sequence[Day]) -> Dates:
        outer = self._agreeing(wide, [self._uncut(each) for each in wide])
        if outer.doubt or not outer.ranges:
            return outer
        first, last = outer.ranges[0].first, outer.ranges[-1].last or self.today
        days = [first + n * A_DAY for n in range((last - first).days)]
        if (nth := _place_in_month(wide, names)) is not None:
            days, names = [each for each in days if (each.day - 1) // 7 == nth - 1], names[1:]
        chosen = [each for each in days if all(_is(each, name) for name in names)]
        if not chosen:
            return Dates(outer.ranges, "time_ambiguous")
        coming = [each for each in chosen if each >= self.today]
        return Dates(joined(map(one_day, coming or chosen)), "" if coming else "date_in_past")

    def _uncut(self, day: Day) -> Dates:
        found = self.dates(day)
        if isinstance(day, Week) and day.edge is None:
            monday = self._monday(day.ahead)
            return Dates((Range(monday, monday + 7 * A_DAY),))
        return found

    def _agreeing(self, days: Sequence[Day], found: Sequence[Dates]) -> Dates:
        ranges = found[0].ranges
        for each in found[1:]:
            ranges = tuple(
                Range(max(one.first, two.first), _sooner(one.last, two.last))
                for one in ranges
                for two in each.ranges
                if (two.last is None or one.first < two.last) and (one.last is None or two.first < one.last)
            )
        if ranges:  # what one leaves open, another may settle
            past = "date_in_past" if any(each.doubt == "date_in_past" for each in found) else ""
            return Dates(ranges, past or ("" if len(ranges) == 1 else found[0].doubt))
        weekdays = [each for each in days if isinstance(each, Weekday)]
        dated = [each for day, each in zip(days, found, strict=True) if not isinstance(day, Weekday)]
        if weekdays and dated and len(dated) == 1 and dated[0].ranges:
            fits = [each for each in dated[0].ranges if each.first.weekday() == weekdays[0].index]
            if fits and all(each.which is Which.PLAIN for each in weekdays):
                return Dates(tuple(fits[:1]), dated[0].doubt if dated[0].doubt == "date_in_past" else "")
        return Dates(joined(each for dates in found for each in dates.ranges), "time_ambiguous")

    def _not_past(self, ranges: tuple[Range, ...], doubt: str = "") -> Dates:
        left = tuple(
            Range(max(each.first, self.today), each.last) for each in ranges if not each.last or each.last > self.today
        )
        return Dates(left or ranges, doubt if left else "date_in_past")

    def _monday(self, ahead: int) -> date:
        return self.today + (7 * ahead - self.today.weekday()) * A_DAY

    def _month_start(self, ahead: int) -> date:
        years, month = divmod(self.today.month - 1 + ahead, 12)
        return date(self.today.year + years, month + 1, 1)


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return ranges, ascending and apart from each other."""
    apart: list[Range] = []
    for each in sorted(ranges, key=lambda one: one.first):
        if apart and (apart[-1].last is None or each.first <= apart[-1].last):
            before = apart[-1]
            last = None if before.last is None or each.last is None else max(before.last, each.last)
            apart[-1] = Range(before.first, last)
        else:
            apart.append(each)
    return tuple(apart)


def _place_in_month(wide: Sequence[Day], names: Sequence[Day]) -> int | None:
    """Return n where the n-th weekday of a month was said: the first Monday in December."""
    if len(names) != 2 or not all(isinstance(each, Month) for each in wide):
        return None
    number, name = names
    counted = isinstance(number, DayOfMonth) and number.month is None and isinstance(name, Weekday)
    return number.day if counted and number.day <= 5 else None  # type: ignore[union-attr]


def _sooner(one: date | None, two: date | None) -> date | None:
    return two if one is None else one if two is None else min(one, two)


def _is(day: date, name: Day) -> bool:
    if isinstance(name, Weekday):
        return day.weekday() == name.index
    if isinstance(name, DayOfMonth):
        return day.day == name.day and name.month in {None, day.month} and name.year in {None, day.year}
    return day.weekday() >= 5 if isinstance(name, Weekend) else day.weekday() < 5
