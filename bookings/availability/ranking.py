"""
Which of the free slots are offered: ranked by what the caller asked for, spread so that there is a choice. Pure.

Every feature is weighed in minutes, so that a cost can be read: 120 is two hours later, or the same hour a day later.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bookings.availability.criteria import TimeCriteria

MAX_OFFERS = 3
MINUTES_A_DAY = 1440

# What a caller would rather do than …
ANOTHER_DAY = 120  # … come a day earlier or later: come two hours earlier or later
ANOTHER_PART = 60  # … come in the afternoon instead of the morning, beyond what the clock says
ANOTHER_PERSON = 180  # … see another person

# How far apart offers lie, in minutes, as long as there are enough; a day apart means one on each day.
FOR_ONE_TIME = (60, 0)
FOR_ONE_DAY = (180, 60, 0)
FOR_SEVERAL_DAYS = (MINUTES_A_DAY, 180, 60, 0)


class Candidate(NamedTuple):
    """A free slot."""

    start: int
    """Epoch minutes."""
    same_staff: bool = True
    """With whom the caller asked for; true as well where the caller named no one."""


class Features(NamedTuple):
    """What a slot differs in from what was asked for."""

    days: int
    """From its local date to the nearest that was asked for; 0 on the same day."""
    clock: int
    """Minutes from its time of day to the nearest that was asked for."""
    same_part: bool = True
    """In the part of the day that was asked for; true as well where none was."""
    same_staff: bool = True

    @property
    def cost(self) -> int:
        """Return how inconvenient that is."""
        return (
            self.days * ANOTHER_DAY
            + self.clock
            + (not self.same_part) * ANOTHER_PART
            + (not self.same_staff) * ANOTHER_PERSON
        )


def rank(
    candidates: Iterable[Candidate], *, criteria: TimeCriteria, zone: ZoneInfo, after: int, limit: int = MAX_OFFERS
) -> list[Candidate]:
    """
    Return at most `limit` of the candidates that start after the epoch minute `after`, the most convenient first.

    No start comes twice: where two have the same, the one with whom the caller asked for stands for both.
    """
    local = _LocalCriteria(criteria, zone)
    best: dict[int, Candidate] = {}
    for candidate in candidates:
        if candidate.start > after and (candidate.same_staff or candidate.start not in best):
            best[candidate.start] = candidate
    places = [_Place(local.features(each), each, local.clock.read(each.start)[0]) for each in best.values()]
    return _spread(sorted(places, key=_Place.rank), local.gaps, limit)


def features(candidate: Candidate, *, criteria: TimeCriteria, zone: ZoneInfo) -> Features:
    """Return what a slot differs in from what was asked for."""
    return _LocalCriteria(criteria, zone).features(candidate)


class _Place(NamedTuple):
    """A candidate, and where it lies."""

    features: Features
    candidate: Candidate
    day: int

    def rank(self) -> tuple[int, int, Candidate]:
        """Return what it is sorted by: of two that are equally convenient the one on the day that was asked for."""
        return self.features.cost, self.features.days, self.candidate

    def is_apart(self, other: "_Place", gap: int) -> bool:
        """Return whether both make a choice. One is enough on a day that was not asked for."""
        if self.day != other.day:
            return True
        return abs(self.candidate.start - other.candidate.start) >= gap and (self.features.days == 0 or gap == 0)


def _spread(ranked: Sequence[_Place], gaps: Sequence[int], limit: int) -> list[Candidate]:
    """Take the best that are `gap` apart on each day; only when these are too few, those that are closer."""
    taken: list[_Place] = []
    for gap in gaps:
        for place in ranked:
            if len(taken) < limit and place not in taken and all(place.is_apart(each, gap) for each in taken):
                taken.append(place)
    return [place.candidate for place in ranked if place in taken]


class _Clock:
    """What clocks in a zone show. The offset of a day is looked up once: a search reads hundreds of times."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._offsets: dict[int, int | None] = {}

    def read(self, minute: int) -> tuple[int, int]:
        """Return the local date, in days since 1970, and the minutes since its midnight."""
        utc_day = minute // MINUTES_A_DAY
        if utc_day not in self._offsets:
            first, last = self._offset(utc_day * MINUTES_A_DAY), self._offset((utc_day + 1) * MINUTES_A_DAY - 1)
            self._offsets[utc_day] = first if first == last else None
        offset = self._offsets[utc_day]
        return divmod(minute + (self._offset(minute) if offset is None else offset), MINUTES_A_DAY)

    def _offset(self, minute: int) -> int:
        offset = datetime.fromtimestamp(minute * 60, self._zone).utcoffset() or timedelta()
        return offset // timedelta(minutes=1)


class _Span(NamedTuple):
    """On each of these local dates, this stretch of the clock."""

    first_day: int
    last_day: int
    opens: int
    closes: int
    """The last minute of the stretch."""

    def distance(self, day: int, clock: int) -> Features:
        return Features(
            max(0, self.first_day - day, day - self.last_day), max(0, self.opens - clock, clock - self.closes)
        )


class _LocalCriteria:
    """What was asked for, as dates and times of day."""

    def __init__(self, criteria: TimeCriteria, zone: ZoneInfo) -> None:
        self.clock = _Clock(zone)
        self.part = criteria.part
        self.spans: list[_Span] = []
        for first, last in criteria.windows:
            for span in _spans(self.clock.read(first), self.clock.read(last - 1)):
                self._add(span)
        self.gaps = FOR_ONE_TIME if criteria.start is not None else self._gaps_of_days()

    def _add(self, span: _Span) -> None:
        """Add a span, joined to the last one where that is the same stretch up to the day before."""
        last = self.spans[-1] if self.spans else None
        if last and (last.opens, last.closes) == span[2:] and last.last_day + 1 == span.first_day:
            self.spans[-1] = last._replace(last_day=span.last_day)
        else:
            self.spans.append(span)

    def _gaps_of_days(self) -> Sequence[int]:
        one_day = self.spans[0].first_day == self.spans[-1].last_day
        return FOR_ONE_DAY if one_day else FOR_SEVERAL_DAYS

    def features(self, candidate: Candidate) -> Features:
        day, clock = self.clock.read(candidate.start)
        nearest = min((span.distance(day, clock) for span in self.spans), key=lambda distance: distance.cost)
        return nearest._replace(same_part=self.part is None or self.part.covers(clock), same_staff=candidate.same_staff)


def _spans(first: tuple[int, int], last: tuple[int, int]) -> list[_Span]:
    (first_day, opens), (last_day, closes) = first, last
    if first_day == last_day:
        return [_Span(first_day, last_day, opens, closes)]
    head, tail = _Span(first_day, first_day, opens, MINUTES_A_DAY - 1), _Span(last_day, last_day, 0, closes)
    body = [_Span(first_day + 1, last_day - 1, 0, MINUTES_A_DAY - 1)] if last_day - first_day > 1 else []
    return [head, *body, tail]
