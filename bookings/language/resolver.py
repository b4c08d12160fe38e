"""From clauses to windows on the branch's clocks, with what is unsure about them. Pure; for every language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from bookings.language.clauses import Clause, DayLimit, Phrase
from bookings.language.clock_readings import WHOLE_DAY, Stretch, Times, times_of
from bookings.language.day_readings import Dates, Range, dates_of, one_day
from bookings.language.expressions import (
    Bound,
    Clock,
    Day,
    Month,
    OfferChoice,
    OfferShift,
    RelativeDay,
    Span,
    Unit,
    Week,
    Weekday,
    Weekend,
    Workdays,
)

A_DAY = timedelta(days=1)
A_MINUTE = timedelta(minutes=1)
DAYS_LISTED = 14
"""How far times of a day are listed where the days are open."""
DAYS_EXCLUDED = 28
"""How far ahead days are left out where the end is open."""
DAYS_TO_CHOOSE = 7
"""How many days are named by the windows where no day was."""
Window = tuple[datetime, datetime | None]


@dataclass
class Resolved:
    """Windows, ascending and apart, and why the caller is asked: problem codes, and whether only the day is missing."""

    windows: list[Window] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    which_day: bool = False
    which_offer: bool = False
    twice: bool = False
    """Whether clocks show a start twice."""
    past: list[Window] = field(default_factory=list)
    """What was asked for and has passed."""


@dataclass(frozen=True)
class Resolver:
    """Resolves phrases said at one moment at one branch."""

    now: datetime
    """Local and naive, on the minute."""
    zone: ZoneInfo
    hours: Sequence[Sequence[Stretch]]
    """Opening hours by weekday, in minutes since midnight."""
    region: str | None
    offered: Sequence[datetime]

    def resolve(self, phrase: Phrase) -> Resolved:
        """Return the windows of a phrase."""
        result = Resolved()
        if phrase.choice or phrase.shift:
            self._offers(phrase, result)
        elif phrase.positive:
            for clause in phrase.positive:
                self._clause(clause, phrase, result)
        elif phrase.negative or phrase.earliest or phrase.open:
            result.windows = [(self.now, None)]
            result.which_day = not (phrase.earliest or phrase.open)
        if _turns_round(phrase.positive, result.windows):
            result.doubts.append("time_ambiguous")
        result.windows = merged(result.windows)
        for clause in phrase.negative:
            if clause.unsure:
                result.doubts.append("time_ambiguous")
            result.windows = self._without(clause, result)
        self._check_clocks(result)
        return result

    def _clause(self, clause: Clause, phrase: Phrase, result: Resolved) -> None:
        if clause.unsure:
            result.doubts.append("time_ambiguous")
        if (instant := self._instant_from_now(clause)) is not None:
            result.windows.append((instant, instant + A_MINUTE))
            return
        dates = self._dates(clause, phrase, result)
        if dates.doubt:
            result.doubts.append(dates.doubt)
        for each in dates.ranges:
            self._add(each, clause, result)

    def _instant_from_now(self, clause: Clause) -> datetime | None:
        span = clause.days[0] if len(clause.days) == 1 and not clause.timed else None
        if not isinstance(span, Span) or span.unit not in {Unit.MINUTE, Unit.HOUR}:
            return None
        minutes = span.count * (60 if span.unit is Unit.HOUR else 1)
        reached = self.now.replace(tzinfo=self.zone).timestamp() + minutes * 60
        return datetime.fromtimestamp(reached, self.zone).replace(tzinfo=None)

    def _dates(self, clause: Clause, phrase: Phrase, result: Resolved) -> Dates:
        if not clause.dated:
            any_day = phrase.earliest or phrase.open
            result.which_day |= not any_day
            days = DAYS_LISTED if any_day else DAYS_TO_CHOOSE
            return Dates((Range(self.now.date(), self.now.date() + days * A_DAY),))
        named = dates_of(clause.days, self.now.date(), self.region) if clause.days else None
        doubt = named.doubt if named else ""
        if (beside := self._weekday_beside(clause)) is not None:
            return beside
        ranges = named.ranges if named else (Range(self.now.date(), None),)
        for limit in clause.day_limits:
            allowed, unsure = self._allowed(_in_its_week(limit, clause.days))
            doubt = doubt or unsure
            ranges = tuple(_both(one, two) for one in ranges for two in allowed if _meet(one, two))
        return Dates(ranges, doubt or ("" if ranges else "time_ambiguous"))

    def _weekday_beside(self, clause: Clause) -> Dates | None:
        """Return the Friday before Christmas, or the Monday after it; None where nothing of the kind was said."""
        if len(clause.days) != 1 or len(clause.day_limits) != 1:
            return None
        name, limit = clause.days[0], clause.day_limits[0]
        if not isinstance(name, Weekday) or limit.bound not in {Bound.BEFORE, Bound.AFTER} or limit.clock or limit.to:
            return None
        of = dates_of(limit.days, self.now.date(), self.region)
        if not of.ranges:
            return of
        if limit.bound is Bound.AFTER:
            first = of.ranges[-1].last or of.ranges[-1].first
            return Dates((one_day(first + (name.index - first.weekday()) % 7 * A_DAY),), of.doubt)
        last = of.ranges[0].first - A_DAY
        day, coming = last - (last.weekday() - name.index) % 7 * A_DAY, dates_of([name], self.now.date(), self.region)
        same = coming.ranges[0] == one_day(day)
        return Dates((one_day(day),), of.doubt or ("" if same else "time_ambiguous"))

    def _allowed(self, limit: DayLimit) -> tuple[list[Range], str]:
        today = self.now.date()
        of = dates_of(limit.days, today, self.region)
        if not of.ranges:
            return [], of.doubt
        first, last = of.ranges[0].first, of.ranges[-1].last
        unsure = of.doubt
        if limit.to:
            counted = any(isinstance(each, Week | Month | RelativeDay | Span) for each in limit.to)
            to = dates_of(limit.to, today if counted else max(first, today), self.region)
            if not to.ranges:
                return [], to.doubt
            both_weekday = isinstance(limit.to[0], Weekday) and to.ranges[0].first == first
            return [Range(first, to.ranges[0].last)], unsure or ("" if both_weekday else to.doubt)
        if limit.bound is Bound.FROM:
            return [Range(first, None)], unsure
        if limit.bound is Bound.AFTER:
            return [Range(last or first, None)], unsure
        return [Range(today, first if limit.bound is Bound.BEFORE else last)], unsure

    def _add(self, dates: Range, clause: Clause, result: Resolved) -> None:
        instants = [each for each in clause.day_limits if each.clock]
        if instants:
            self._add_up_to(dates, instants[0], result)
            return
        if not clause.timed:
            self._keep((_at(dates.first), _at(dates.last) if dates.last else None), result)
            return
        last = dates.last or dates.first + DAYS_LISTED * A_DAY
        for n in range((last - dates.first).days):
            day = dates.first + n * A_DAY
            times = self._times(clause, day)
            if times.doubt:
                result.doubts.append(times.doubt)
            for first, end in times.stretches:
                single = (last - dates.first).days == 1 and len(times.stretches) == 1
                self._keep((_at(day, first), _at(day, end)), result, exact=times.exact, single=single)

    def _times(self, clause: Clause, day: date) -> Times:
        hours = self.hours[day.weekday()] or [each for open_ in self.hours for each in open_] or WHOLE_DAY
        return times_of(clause.times, clause.limits, hours)

    def _add_up_to(self, dates: Range, limit: DayLimit, result: Resolved) -> None:
        """Add a stretch that ends, or begins, at an instant: until Friday at noon."""
        assert limit.clock is not None  # noqa: S101
        begins = limit.bound in {Bound.FROM, Bound.AFTER}
        day = dates.first if begins else (dates.last or dates.first + A_DAY) - A_DAY
        if limit.bound is Bound.BEFORE:
            day += A_DAY
        hours = self.hours[day.weekday()] or WHOLE_DAY
        times = times_of([limit.clock], [], hours)
        if times.doubt:
            result.doubts.append(times.doubt)
        for first, end in times.stretches:
            if begins:
                self._keep((_at(day, first), None), result)
            else:
                self._keep((self.now, _at(day, end if limit.bound is Bound.LATEST else first)), result)

    def _keep(self, window: Window, result: Resolved, *, exact: bool = False, single: bool = True) -> None:
        """Add what is left of a window from now on; what has passed is noted."""
        first, last = window
        if last is not None and last <= self.now:
            if single:
                result.past.append(window)
                result.doubts.append("date_in_past")
            return
        if exact and first < self.now:
            return
        result.windows.append((max(first, self.now), last))

    def _without(self, clause: Clause, result: Resolved) -> list[Window]:
        """Return the windows without what a clause excludes."""
        left: list[Window] = []
        for first, last in result.windows:
            end = last or _at(first.date() + DAYS_EXCLUDED * A_DAY)
            pieces = [(first, end)]
            for out_first, out_last in self._excluded(clause, first.date(), end.date(), result):
                pieces = [
                    piece
                    for a, b in pieces
                    for piece in ((a, min(b, out_first)), (max(a, out_last), b))
                    if piece[0] < piece[1]
                ]
            if last is None and pieces and pieces[-1][1] == end and not _recurs(clause):
                pieces_open: list[Window] = [*pieces[:-1], (pieces[-1][0], None)]
                left.extend(pieces_open)
            else:
                left.extend(pieces)
        if not left:
            result.doubts.append("time_ambiguous")
        return merged(left)

    def _excluded(
        self, clause: Clause, first: date, last: date, result: Resolved
    ) -> Iterable[tuple[datetime, datetime]]:
        days = [first + n * A_DAY for n in range((last - first).days + 1)]
        for name in clause.days:
            if isinstance(name, Weekday):
                days = [each for each in days if each.weekday() == name.index]
            elif isinstance(name, Weekend | Workdays):
                days = [each for each in days if (each.weekday() >= 5) == isinstance(name, Weekend)]
            else:
                dates = dates_of([name], self.now.date(), self.region)
                if dates.doubt:
                    result.doubts.append(dates.doubt)
                days = [each for each in days if any(_meet(one_day(each), one) for one in dates.ranges)]
        if clause.day_limits:
            allowed = [one for limit in clause.day_limits for one in self._allowed(limit)[0]]
            days = [each for each in days if any(_meet(one_day(each), one) for one in allowed)]
        for day in days:
            times = self._times(clause, day) if clause.timed else Times(WHOLE_DAY)
            if times.doubt:
                result.doubts.append(times.doubt)
            for begin, end in times.stretches:
                yield _at(day, begin), _at(day, end)

    def _offers(self, phrase: Phrase, result: Resolved) -> None:
        offered = sorted(self.offered)
        start: datetime | None = None
        if phrase.choice and offered:
            start = _chosen(phrase.choice, self.offered)
        elif phrase.shift and phrase.shift.minutes is not None and len(offered) == 1:
            start = offered[0] + phrase.shift.direction * timedelta(minutes=phrase.shift.minutes)
        elif phrase.shift and phrase.shift.minutes is None and offered:
            self._beyond(phrase.shift, offered, result)
        others = any(not each.empty for each in (*phrase.positive, *phrase.negative))
        if start is None and not result.windows:
            result.which_offer = True
            for clause in phrase.positive:
                self._clause(clause, phrase, result)
        elif start is not None:
            self._keep((start, start + A_MINUTE), result, exact=True)
        if others:
            result.doubts.append("time_ambiguous")

    def _beyond(self, shift: OfferShift, offered: Sequence[datetime], result: Resolved) -> None:
        base = offered[-1] if shift.direction > 0 else offered[0]
        if shift.direction > 0:
            self._keep((base + A_MINUTE, _at(base.date() + A_DAY)), result)
        else:
            self._keep((_at(base.date()), base), result)
        if len({each.date() for each in offered}) > 1:
            result.doubts.append("time_ambiguous")

    def _check_clocks(self, result: Resolved) -> None:
        """Note starts that the clocks of the zone skip or show twice."""
        for first, last in result.windows:
            for at in (first, last):
                if at is None or at == self.now or at.time() == time() or (last and at == last == first + A_MINUTE):
                    continue
                if doubt := _clock_change(at, self.zone):
                    result.doubts.append(doubt)
                    result.twice |= doubt == "time_ambiguous"


def _turns_round(clauses: Sequence[Clause], windows: Sequence[Window]) -> bool:
    """Return whether opening hours put a later hour of one day before an earlier one: at seven or eight."""
    if len(clauses) != len(windows) or any(len(each.times) != 1 or each.limits for each in clauses):
        return False
    said = [(each.times[0], first) for each, (first, _) in zip(clauses, windows, strict=True)]
    return any(
        isinstance(one, Clock) and isinstance(two, Clock) and not (one.exact or two.exact)
        and (one.hour % 12, one.minute) < (two.hour % 12, two.minute)
        and start > end and start.date() == end.date()
        for (one, start), (two, end) in pairwise(said)
    )  # fmt: skip


def merged(windows: Iterable[Window]) -> list[Window]:
    """Return windows, ascending and apart from each other; exact starts stay apart."""
    apart: list[Window] = []
    for first, last in sorted(windows, key=lambda each: (each[0], each[1] or datetime.max)):  # noqa: DTZ901
        before = apart[-1] if apart else None
        if before and (before[1] is None or first < before[1] or (first == before[1] and not _exact(before))):
            end = None if before[1] is None or last is None else max(before[1], last)
            apart[-1] = (before[0], end)
        else:
            apart.append((first, last))
    return apart


def _exact(window: Window) -> bool:
    return window[1] is not None and window[1] - window[0] == A_MINUTE


def _clock_change(at: datetime, zone: ZoneInfo) -> str:
    early, late = (at.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return ""
    back = datetime.fromtimestamp(early.timestamp(), zone).replace(tzinfo=None)
    return "time_ambiguous" if back == at else "time_nonexistent"


def _chosen(choice: OfferChoice, offered: Sequence[datetime]) -> datetime | None:
    if choice.number == -2:
        return min(offered)
    if choice.number == -3:
        return max(offered)
    place = choice.number - 1 if choice.number > 0 else len(offered) - 1
    return offered[place] if place < len(offered) else None


def _in_its_week(limit: DayLimit, days: Sequence[Day]) -> DayLimit:
    """Return a limit on weekdays within the week that was named around it: next week from Wednesday."""
    around: list[Day] = [each for each in (*days, *limit.to) if isinstance(each, Week | Month)]
    within = [
        each + around if around and each and all(isinstance(day, Weekday) for day in each) else each
        for each in (limit.days, limit.to)
    ]
    return DayLimit(limit.bound, within[0], limit.clock, within[1])


def _recurs(clause: Clause) -> bool:
    return any(isinstance(each, Weekday | Weekend | Workdays) for each in clause.days) or not clause.days


def _at(day: date, minute: int = 0) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _meet(one: Range, two: Range) -> bool:
    return (two.last is None or one.first < two.last) and (one.last is None or two.first < one.last)


def _both(one: Range, two: Range) -> Range:
    lasts = [each for each in (one.last, two.last) if each]
    return Range(max(one.first, two.first), min(lasts) if lasts else None)
