"""From the items of a phrase to its clauses: what belongs together, what is excluded, what replaces what. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bookings.language.expressions import (
    DAYS,
    TIMES,
    Band,
    Between,
    Bound,
    Clock,
    Day,
    DayOfMonth,
    Item,
    Joint,
    Limit,
    Month,
    OfferChoice,
    OfferShift,
    TimeOfDay,
    Week,
    Weekday,
    Which,
)

_ENDS = {Bound.UNTIL, Bound.LATEST}
_PLAIN_JOINTS = {Joint.OR, Joint.AND, Joint.BUT, Joint.COMMA}


@dataclass
class DayLimit:
    """A limit on days; with a clock time, on the instant."""

    bound: Bound
    days: list[Day]
    clock: Clock | None = None
    to: list[Day] = field(default_factory=list)
    """The other end, of a stretch of days."""


@dataclass
class Clause:
    """What is said about one alternative."""

    joint: Joint | None = None
    """The word before it."""
    days: list[Day] = field(default_factory=list)
    day_limits: list[DayLimit] = field(default_factory=list)
    times: list[TimeOfDay] = field(default_factory=list)
    limits: list[Limit | Between] = field(default_factory=list)
    negative: bool = False
    paused: bool = False
    """Whether only a pause parts it from the one before."""
    time_first: bool = False
    said: list[Item] = field(default_factory=list)
    """Its items in their order."""
    unsure: bool = False
    """Its parts do not go together, or go together in more than one way."""

    @property
    def dated(self) -> bool:
        """Return whether a day was named."""
        return bool(self.days or self.day_limits)

    @property
    def timed(self) -> bool:
        """Return whether a time of day was named."""
        return bool(self.times or self.limits)

    @property
    def empty(self) -> bool:
        """Return whether nothing was named."""
        return not (self.dated or self.timed)

    def add(self, item: Item) -> None:
        """Add an item that was said next."""
        self.said.append(item)
        if isinstance(item, Limit | Between):
            self._add_limit(item)
        elif isinstance(item, DAYS):
            self._add_day(item)
        elif isinstance(item, TIMES):
            self._add_time(item)

    def _add_day(self, day: Day) -> None:
        limit = self.day_limits[-1] if self.day_limits else None
        if limit and limit.clock is None and not self.times:
            (limit.to or limit.days).append(day)
        else:
            self.unsure |= any(_rivals(each, day) for each in self.days)
            self.days.append(day)

    def _add_time(self, time: TimeOfDay) -> None:
        limit = self.day_limits[-1] if self.day_limits else None
        if limit and not self.timed and len(self.day_limits) == 1 and not limit.to:
            if isinstance(time, Clock) and limit.bound is not Bound.AFTER:
                limit.clock = time
                self.unsure |= limit.bound is Bound.FROM
                return
            self.unsure = True
        elif limit and (limit.to or len(self.day_limits) > 1) and isinstance(time, Clock):
            self.unsure = True  # daily at that time, or until that time of the last day
        self.unsure |= isinstance(time, Clock) and any(isinstance(each, Clock) for each in self.times)
        self.time_first |= not self.dated
        self.times.append(time)

    def _add_limit(self, item: Limit | Between) -> None:
        first = item.of if isinstance(item, Limit) else item.first
        if not isinstance(first, DAYS):
            self.time_first |= not self.dated
            self.limits.append(item)
        elif isinstance(item, Between):
            self.day_limits.append(DayLimit(Bound.FROM, [item.first], to=[item.last]))  # type: ignore[list-item]
        elif item.bound in _ENDS and self.day_limits and self.day_limits[-1].bound is Bound.FROM and not self.timed:
            self.day_limits[-1].to.append(first)
        elif item.bound is Bound.UNTIL and self.days and not self.day_limits:
            self.day_limits.append(DayLimit(Bound.FROM, self.days, to=[first]))
            self.days = []
        else:
            self.day_limits.append(DayLimit(item.bound, [first]))


@dataclass
class Phrase:
    """A phrase in its clauses."""

    positive: list[Clause]
    negative: list[Clause]
    earliest: bool = False
    open: bool = False
    choice: OfferChoice | None = None
    shift: OfferShift | None = None
    habit: bool = False


def phrase_of(items: Sequence[Item]) -> Phrase:
    """Return the clauses of the items: alternatives, each with its days and times, and what is excluded."""
    given = _with_months(_corrected(list(items)))
    flags = {each for each in given if isinstance(each, Joint)}
    conditional = Joint.IF in flags
    clauses = _spread(_clauses(given, conditional=conditional), conditional=conditional)
    if conditional and len(clauses) == 1 and not {Joint.NOT, Joint.NOT_THAT}.isdisjoint(flags):
        clauses[0].unsure = True
    return Phrase(
        [each for each in clauses if not each.negative],
        [each for each in clauses if each.negative],
        Joint.EARLIEST in flags,
        Joint.OPEN in flags,
        next((each for each in given if isinstance(each, OfferChoice)), None),
        next((each for each in given if isinstance(each, OfferShift)), None),
    )


def _clauses(items: Sequence[Item], *, conditional: bool) -> list[Clause]:
    clauses = [Clause()]
    unlikely = conditional and (Joint.NOT in items or Joint.NOT_THAT in items)
    for place, item in enumerate(items):
        following = next((each for each in items[place + 1 :] if each is not Joint.OPEN), None)
        current = clauses[-1]
        if item in {Joint.NOT, Joint.NOT_THAT}:
            if not unlikely:  # "if Monday is not possible": Monday is asked for first
                _deny(clauses, item is Joint.NOT_THAT or following is None or following in _PLAIN_JOINTS)
        elif item is Joint.COMMA and current.empty and current.joint is not None:
            continue
        elif item is Joint.COMMA:
            apart = unlikely or _separates(_since_joint(clauses), following)
            joint = Joint.BUT if current.negative else Joint.OR if apart else Joint.COMMA
            clauses.append(Clause(joint, paused=True))
        elif item in _PLAIN_JOINTS:
            also = current.negative and item in {Joint.OR, Joint.AND} and _continues(current, following)
            clauses.append(Clause(item, negative=also))
        elif item in {Joint.OR_LATER, Joint.OR_EARLIER}:
            _open_ended(current, later=item is Joint.OR_LATER)
        elif not isinstance(item, Joint | OfferChoice | OfferShift):
            current.add(item)
    return _without_pauses([each for each in clauses if not each.empty])


def _deny(clauses: list[Clause], of_the_last: bool) -> None:
    """Begin a clause of what is excluded, or exclude what was said last."""
    if of_the_last and clauses[-1].empty and clauses[-1].joint is Joint.COMMA and len(clauses) > 1:
        clauses.pop()  # "Monday, no, I cannot then"
    if of_the_last and not clauses[-1].empty:
        _exclude(clauses)
        clauses.append(Clause(Joint.BUT))
    else:
        clauses.append(Clause(negative=True))


def _exclude(clauses: Sequence[Clause]) -> None:
    """Exclude the last clause and what it was listed with: Monday and Tuesday are not possible."""
    for clause, before in pairwise((*reversed(clauses), Clause())):
        clause.negative = True
        if clause.paused:  # "Monday, Tuesday and Wednesday are not": Monday may be part of the list
            before.unsure |= clause is not clauses[-1]
        if clause.paused or clause.joint not in {Joint.AND, Joint.OR} or before.negative:
            break
        before.unsure |= clause.joint is Joint.OR


def _without_pauses(clauses: Sequence[Clause]) -> list[Clause]:
    """Join clauses again that only a pause had parted: Tuesday, the first of December."""
    joined: list[Clause] = []
    for clause in clauses:
        before = joined[-1] if joined else None
        if clause.joint is Joint.COMMA and before and not before.negative and not clause.negative:
            for item in clause.said:
                before.add(item)
        else:
            joined.append(clause)
    return joined


def _since_joint(clauses: Sequence[Clause]) -> Clause:
    """Return all that was said since the last word between alternatives, as one clause."""
    begin = len(clauses) - 1
    while begin > 0 and clauses[begin].joint is Joint.COMMA:
        begin -= 1
    whole = Clause(negative=clauses[-1].negative)
    for clause in clauses[begin:]:
        for item in clause.said:
            whole.add(item)
    return whole


def _separates(clause: Clause, following: Item | None) -> bool:
    """Return whether a comma before the item begins another alternative."""
    if isinstance(following, DAYS):
        return any(_rivals(each, following) for each in clause.days) or (clause.dated and clause.timed)
    return isinstance(following, Clock) and any(isinstance(each, Clock) for each in clause.times)


def _rivals(one: Day, two: Day) -> bool:
    """Return whether two days are alternatives rather than parts of one date."""
    return type(one) is type(two)


def _continues(clause: Clause, following: Item | None) -> bool:
    return isinstance(following, DAYS if clause.dated else TIMES)


def _open_ended(clause: Clause, *, later: bool) -> None:
    bound = Bound.FROM if later else Bound.LATEST
    last = clause.times[-1] if clause.times else None
    if isinstance(last, Clock):
        clause.times.pop()
        clause.limits.append(Limit(bound, last))
    elif clause.days and not clause.timed:
        clause.day_limits.append(DayLimit(bound, clause.days))
        clause.days = []
    elif not clause.limits and not clause.day_limits:
        clause.unsure = True


def _spread(clauses: list[Clause], *, conditional: bool) -> list[Clause]:
    """Give each alternative the day or the time that it shares with its neighbours."""
    merged: list[Clause] = []
    _share_denied_days(clauses)
    clauses = _crossed(clauses)
    for clause in clauses:
        before = next((each for each in reversed(merged) if not each.negative), None)
        if before and not clause.negative and clause.joint in {Joint.AND, Joint.BUT} and _narrows(before, clause):
            targets = merged if clause.joint is Joint.BUT else [before]
            for each in targets:
                if not each.negative and not (each.timed and clause.times and not clause.limits):
                    _merge(each, clause)
        else:
            merged.append(clause)
    _share(merged, conditional=conditional)
    return merged


def _narrows(before: Clause, clause: Clause) -> bool:
    if clause.dated:
        return not before.dated or (not clause.days and not clause.timed)
    if before.limits and clause.limits and _ends_then_begins(before.limits[-1], clause.limits[0]):
        return False  # up to ten, and then again from four
    return bool(clause.limits) or not before.timed or (clause.joint is Joint.BUT and bool(before.times))


def _ends_then_begins(one: Limit | Between, two: Limit | Between) -> bool:
    begins = {Bound.FROM, Bound.AFTER}
    return isinstance(one, Limit) and isinstance(two, Limit) and one.bound not in begins and two.bound in begins


def _merge(clause: Clause, other: Clause) -> None:
    clause.days += other.days
    clause.day_limits += other.day_limits
    clause.times += other.times
    clause.limits += other.limits
    clause.unsure |= other.unsure


def _share(clauses: Sequence[Clause], *, conditional: bool) -> None:
    positive = [each for each in clauses if not each.negative]
    _share_weeks(positive)
    for before, after in pairwise(positive):
        if not after.dated and before.dated:
            after.days, after.day_limits = list(before.days), list(before.day_limits)
        elif before.timed and not after.timed and after.dated:
            if before.time_first:
                after.times, after.limits = list(before.times), list(before.limits)
                after.time_first = True
            else:
                after.unsure = True
        if not any(isinstance(each, Band) for each in after.times) and len(after.times) == 1 and not after.limits:
            after.times += _shared_parts(before, after)
    for after, before in pairwise(reversed(positive)):
        if not before.dated and after.dated:
            before.days, before.day_limits = list(after.days), list(after.day_limits)
        elif after.timed and not before.timed and not after.time_first and before.dated:
            before.unsure |= conditional
            before.times, before.limits = list(after.times), list(after.limits)
        elif len(before.times) == 1 and isinstance(before.times[0], Clock) and len(after.times) > 1:
            before.times += _shared_parts(after, before)


def _share_denied_days(clauses: Sequence[Clause]) -> None:
    """Give a time the day that another time was denied of: not on Monday at ten, but at eleven."""
    for before, after in pairwise(clauses):
        if before.negative and before.days and before.timed and not after.negative and not after.dated:
            after.days = list(before.days)


def _crossed(clauses: Sequence[Clause]) -> list[Clause]:
    """Return the alternatives with every day at every time: Wednesday or Thursday at nine or ten."""
    result: list[Clause] = []
    days: list[Clause] = []
    timed = False
    for clause in clauses:
        result.append(clause)
        listed = not clause.negative and clause.joint in {None, Joint.OR, Joint.AND, Joint.COMMA}
        if listed and clause.dated and not clause.timed and not timed:
            days.append(clause)
        elif listed and clause.dated and not timed:
            timed = True
        elif listed and clause.joint is Joint.OR and clause.timed and not clause.dated and timed:
            result += [
                Clause(Joint.OR, list(each.days), list(each.day_limits), list(clause.times), list(clause.limits))
                for each in days
            ]
        else:
            days, timed = [], False
    return result


def _share_weeks(clauses: Sequence[Clause]) -> None:
    """Give weekdays the week or month that was said once for all of them: next week Tuesday or Wednesday."""
    for before, after in pairwise(clauses):
        around = [each for each in before.days if isinstance(each, Week | Month)]
        if around and len(around) < len(before.days) and _only_weekdays(after):
            after.days += around
            after.unsure |= before.days[0] not in around and before.timed
    for after, before in pairwise(reversed(clauses)):
        around = [each for each in after.days if isinstance(each, Week | Month)]
        if around and len(around) < len(after.days) and after.days[0] not in around and _only_weekdays(before):
            before.days += around


def _only_weekdays(clause: Clause) -> bool:
    return bool(clause.days) and all(isinstance(each, Weekday) and each.which is Which.PLAIN for each in clause.days)


def _shared_parts(said: Clause, of: Clause) -> list[TimeOfDay]:
    """Return the part of the day in which the clock times of both are, where it was said once for both."""
    same_day = said.days == of.days
    clocks = [each for each in (*said.times, *of.times) if isinstance(each, Clock)]
    if not same_day or len(clocks) < 2:
        return []
    return [each for each in said.times if isinstance(each, Band)]


def _with_months(items: list[Item]) -> list[Item]:
    """Give a day of the month the month that follows later: from the first to the fifth of December."""
    month: DayOfMonth | None = None
    result: list[Item] = []
    for item in reversed(_with_months_before(items)):
        of = item.of if isinstance(item, Limit) else item
        if isinstance(of, DayOfMonth) and of.month is None and month is not None:
            of = DayOfMonth(of.day, month.month, month.year)
            item = Limit(item.bound, of) if isinstance(item, Limit) else of  # noqa: PLW2901
        if isinstance(of, DayOfMonth):
            month = of
        if isinstance(item, Between) and isinstance(item.last, DayOfMonth) and isinstance(item.first, DayOfMonth):
            first = item.first
            if first.month is None:
                item = Between(DayOfMonth(first.day, item.last.month, item.last.year), item.last)  # noqa: PLW2901
        result.append(item)
    return result[::-1]


def _with_months_before(items: Sequence[Item]) -> list[Item]:
    """Give a day of the month the month that was said before: on the third of December or the tenth."""
    said: DayOfMonth | None = None
    result: list[Item] = []
    for item in items:
        if isinstance(item, DayOfMonth) and item.month is None and said and said.day < item.day:
            item = DayOfMonth(item.day, said.month, said.year)  # noqa: PLW2901
        if isinstance(item, DayOfMonth):
            said = item if item.month else None
        result.append(item)
    return result


def _corrected(items: list[Item]) -> list[Item]:
    """Apply corrections: what follows one replaces what was said before of its kind."""
    while Joint.CORRECTION in items:
        place = items.index(Joint.CORRECTION)
        before, after = _without_commas(items[:place]), _without_commas(items[place + 1 :], leading=True)
        if before and not after:  # "on Wednesday yes, on Thursday no"
            return [*before, Joint.NOT]
        if Joint.CORRECTION in after[:1] or not before:
            items = before + after
            continue
        items = _replaced(before, _first_clause(after)) + after
    return items


def _replaced(before: list[Item], after: Sequence[Item]) -> list[Item]:
    begin = max((n + 1 for n, each in enumerate(before) if each in {Joint.OR, Joint.AND, Joint.BUT}), default=0)
    kept, last = before[:begin], before[begin:]
    if any(map(_is_day, after)):
        kinds = {type(each) for each in after if isinstance(each, DAYS)}
        same = [each for each in last if type(each) in kinds]
        last = [each for each in last if each not in same] if same and not any(
            isinstance(each, Week | Month) for each in after
        ) else [each for each in last if not _is_day(each)]  # fmt: skip
    if any(map(_is_time, after)):
        only_part = all(isinstance(each, Band) for each in after if _is_time(each))
        last = [each for each in last if not _is_time(each) or (isinstance(each, Band) and not only_part)]
    return kept + last


def _first_clause(items: Sequence[Item]) -> list[Item]:
    end = next((n for n, each in enumerate(items) if each in {Joint.OR, Joint.AND, Joint.BUT}), len(items))
    return list(items[:end])


def _is_day(item: Item) -> bool:
    of = item.of if isinstance(item, Limit) else item.first if isinstance(item, Between) else item
    return isinstance(of, DAYS)


def _is_time(item: Item) -> bool:
    of = item.of if isinstance(item, Limit) else item.first if isinstance(item, Between) else item
    return isinstance(of, TIMES)


def _without_commas(items: Iterable[Item], *, leading: bool = False) -> list[Item]:
    result = list(items)
    while result and result[0 if leading else -1] is Joint.COMMA:
        result.pop(0 if leading else -1)
    return result
