"""Which minutes of a day are meant by times, parts of the day and limits. Pure; the same for every language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bookings.availability.criteria import PartOfDay
from bookings.language.expressions import Around, Band, Between, Bound, Clock, Limit, TimeOfDay

A_DAY = 1440
Stretch = tuple[int, int]
"""Minutes since midnight: from the first on, before the last."""

WHOLE_DAY: tuple[Stretch, ...] = ((0, A_DAY),)
# In which part of the day people place a clock time: "four in the morning", "twelve in the evening".
_LOOSELY = {
    PartOfDay.MORNING: (60, 721), PartOfDay.NOON: (630, 901), PartOfDay.AFTERNOON: (720, 1141),
    PartOfDay.EVENING: (960, A_DAY),
}  # fmt: skip
_AT_NIGHT = ((0, 360), (1200, A_DAY))


@dataclass(frozen=True)
class Times:
    """When on a day: stretches, of several readings all; whether the caller is asked; whether it is one start."""

    stretches: tuple[Stretch, ...]
    doubt: str = ""
    exact: bool = False


def times_of(times: Sequence[TimeOfDay], limits: Sequence[Limit | Between], hours: Sequence[Stretch]) -> Times:
    """Return when on a day that is open at these hours."""
    return _Clockface([each for each in times if isinstance(each, Band)], hours).read(times, limits)


@dataclass(frozen=True)
class _Clockface:
    bands: Sequence[Band]
    hours: Sequence[Stretch]

    def read(self, times: Sequence[TimeOfDay], limits: Sequence[Limit | Between]) -> Times:
        clocks = [each for each in times if isinstance(each, Clock | Around)]
        spans, singles = _ends(clocks, limits)
        if spans is not None:
            return self._between(*spans)
        if clocks:
            read = [self._start(each) for each in clocks]
            unsure = next((each.doubt for each in read if each.doubt), "time_ambiguous" if len(read) > 1 else "")
            found = tuple(sorted(one for each in read for one in each.stretches))
            exact = all(isinstance(each, Clock) for each in clocks)
            return Times(found, unsure or ("time_ambiguous" if limits else ""), exact)
        return self._limited(singles)

    def _start(self, said: Clock | Around) -> Times:
        clock = said if isinstance(said, Clock) else said.clock
        fitting, doubt = self._minutes(clock)
        before, after = (0, 0) if isinstance(said, Clock) else (said.before, said.after)
        stretches = ((each - before, each + after + (after > 0 or before == 0)) for each in fitting)
        return Times(tuple((max(first, 0), min(last, A_DAY)) for first, last in stretches), doubt)

    def _minutes(self, clock: Clock, *, end: bool = False) -> tuple[list[int], str]:
        """Return at which minutes the clock shows it, as far as that fits, and a doubt where that leaves several."""
        options = _options(clock)
        if len(options) == 1:
            return options, "" if self._in_bands(options[0], end=end) else "time_ambiguous"
        if clock.unsure:
            fits = [each for each in options if self._fits(each, end=end)]
            return fits or options, "time_ambiguous"
        fits = [each for each in options if self._fits(each, end=end)]
        return (fits, "") if len(fits) == 1 else (fits or options, "time_ambiguous")

    def _fits(self, minute: int, *, end: bool) -> bool:
        if self.bands:
            return self._in_bands(minute, end=end)
        return any(first < minute <= last if end else first <= minute < last for first, last in self.hours)

    def _in_bands(self, minute: int, *, end: bool) -> bool:
        return all(any(first <= minute < last + end for first, last in _loose(band)) for band in self.bands)

    def _between(self, first: Clock, last: Clock, last_bound: Bound) -> Times:
        """Read two clock times together: the later one is the first to follow the earlier one."""
        pairs = []
        for begin in _options(first):
            ends = [each for each in (*_options(last), A_DAY) if each > begin and (each < A_DAY or last.hour == 0)]
            if ends:
                pairs.append((begin, min(ends)))
        fits = [
            each
            for each in pairs
            if (self._fits(each[0], end=False) and self._fits(each[1], end=True))
        ] or [each for each in pairs if self._overlaps(each)]  # fmt: skip
        if (
            len(pairs) > 1 and pairs[0][0] >= 60 and last.hour > 12
        ):  # where one time is said on a clock of 24 hours, the other may be
            fits = [pairs[0]] if pairs[0] in fits else pairs
        chosen = fits or pairs
        extra = 1 if last_bound is Bound.LATEST else 0
        stretches = tuple((begin, min(end + extra, A_DAY)) for begin, end in chosen)
        sure = len(fits) == 1 or (len(chosen) == 1 and first.exact and last.exact)
        return Times(stretches, "" if sure and not (first.unsure or last.unsure) else "time_ambiguous")

    def _overlaps(self, pair: Stretch) -> bool:
        bounds = [each for band in self.bands for each in _loose(band)] or self.hours
        return any(pair[0] < last and first < pair[1] for first, last in bounds)

    def _limited(self, limits: Sequence[Limit | Between]) -> Times:
        stretches, doubt = self._base()
        for limit in limits:
            if isinstance(limit, Between):
                return Times(stretches, "time_ambiguous")
            allowed, unsure = self._allowed(limit)
            stretches, doubt = _common(stretches, allowed), doubt or unsure
        return Times(stretches, doubt or ("" if stretches else "time_ambiguous"))

    def _base(self) -> tuple[tuple[Stretch, ...], str]:
        stretches = WHOLE_DAY
        for band in self.bands:
            stretches = _common(stretches, [(band.first, band.last)])
        if not stretches:
            return tuple((band.first, band.last) for band in self.bands), "time_ambiguous"
        return stretches, ""

    def _allowed(self, limit: Limit) -> tuple[list[Stretch], str]:
        if isinstance(limit.of, Band):
            return [_beside(limit.bound, limit.of)], ""
        if not isinstance(limit.of, Clock):
            return list(WHOLE_DAY), "time_ambiguous"
        ends = limit.bound in {Bound.UNTIL, Bound.BEFORE, Bound.LATEST}
        minutes, doubt = self._minutes(limit.of, end=ends and limit.bound is not Bound.LATEST)
        if not doubt and not self.bands and self._says_nothing(minutes[0], _options(limit.of), ends=ends):
            minutes, doubt = _options(limit.of), "time_ambiguous"
        if ends:
            return [(0, each + (limit.bound is Bound.LATEST)) for each in minutes], doubt
        return [(each, A_DAY) for each in minutes], doubt

    def _says_nothing(self, chosen: int, options: Sequence[int], *, ends: bool) -> bool:
        """Return whether another reading of a limit is as likely: before eight, where eight is the opening hour."""
        opens, closes = min(first for first, _ in self.hours), max(last for _, last in self.hours)
        if len(options) == 1:
            return False
        return chosen >= closes if ends else any(opens - 60 <= each < opens for each in options)


def _options(clock: Clock) -> list[int]:
    """Return at which minutes of a day a clock may be meant to show it."""
    minute = clock.hour * 60 + clock.minute
    if clock.exact or clock.hour > 12:
        return [minute]
    options = {minute % 720, minute % 720 + 720}
    if clock.unsure:
        options |= {(each + 60) % A_DAY for each in options}
    return sorted(options)


def _ends(
    clocks: Sequence[Clock | Around], limits: Sequence[Limit | Between]
) -> tuple[tuple[Clock, Clock, Bound] | None, Sequence[Limit | Between]]:
    """Return the two clock times of a stretch, where the words name one."""
    if len(limits) == 1 and isinstance(limits[0], Between):
        first, last = limits[0].first, limits[0].last
        if isinstance(first, Clock) and isinstance(last, Clock):
            return (first, last, Bound.UNTIL), []
    begins: list[Clock] = [
        each.of
        for each in limits
        if isinstance(each, Limit) and each.bound in {Bound.FROM, Bound.AFTER} and isinstance(each.of, Clock)
    ]
    ends = [
        (each.of, each.bound)
        for each in limits
        if isinstance(each, Limit)
        and each.bound in {Bound.UNTIL, Bound.BEFORE, Bound.LATEST}
        and isinstance(each.of, Clock)
    ]
    if not begins and len(clocks) == 1 and isinstance(clocks[0], Clock) and ends and ends[0][1] is Bound.UNTIL:
        begins = [clocks[0]]
    if len(begins) == 1 and len(ends) == 1 and len(limits) <= 2:
        return (begins[0], *ends[0]), []
    return None, limits


def _loose(band: Band) -> tuple[Stretch, ...]:
    if band.part:
        return (_LOOSELY[band.part],)
    return _AT_NIGHT if (band.first, band.last) == (0, 300) else ((band.first, band.last),)


def _beside(bound: Bound, band: Band) -> Stretch:
    if bound is Bound.FROM:
        return band.first, A_DAY
    if bound is Bound.AFTER:
        return band.last, A_DAY
    return (0, band.first) if bound is Bound.BEFORE else (0, band.last)


def _common(one: Iterable[Stretch], two: Iterable[Stretch]) -> tuple[Stretch, ...]:
    found = {(max(a, c), min(b, d)) for a, b in one for c, d in two}
    return tuple(sorted((first, last) for first, last in found if first < last))
