"""
The five forms of an alert: gauge, rate, quantile, ratio and absence; and any of several of them.

Each is written down once and read twice: `promql` is what Prometheus asks, `firing` what Slotline asks of its own
samples. tests/monitoring/test_alert_rules.py holds both to the same answers.
"""

import operator
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from math import inf, isnan, nan
from typing import ClassVar, Literal, Protocol

# A gauge that was not read for this long says nothing any more. Bridges what could not be read for a moment.
NEWEST = timedelta(minutes=5)
Comparison = Literal[">", "<", "=="]
_COMPARE = {">": operator.gt, "<": operator.lt, "==": operator.eq}
Subject = tuple[tuple[str, str], ...]
"""The labels, in order of the form's `by`, that tell one alert of a rule from another; empty where there is one."""


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one metric with one set of labels, oldest first."""

    labels: Mapping[str, str]
    times: Sequence[float]
    """Epoch seconds."""
    values: Sequence[float]

    def newest(self, at: float, window: timedelta) -> float | None:
        """Return the newest value of the window that ends at `at`; None if it has none."""
        end = bisect_right(self.times, at)
        return self.values[end - 1] if end and self.times[end - 1] > at - window.total_seconds() else None

    def increase(self, at: float, window: timedelta) -> float | None:
        """
        Return by how much a counter grew in the window that ends at `at`; None if it was seen once at most.

        Counted from the last sample at or before the beginning, so that nothing falls between two windows. A counter
        that is lower than before began anew at 0.
        """
        end = bisect_right(self.times, at)
        first = max(bisect_right(self.times, at - window.total_seconds()) - 1, 0)
        if end - first < 2 or self.times[first] < at - 2 * window.total_seconds():
            first = bisect_left(self.times, at - window.total_seconds())
            if end - first < 2:
                return None
        seen = self.values[first:end]
        return sum(new - old if new >= old else new for old, new in pairwise(seen))


History = Mapping[str, Sequence[Series]]
"""Series by the name of their metric."""


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of a metric whose labels have the given words, or one of several that `|` separates."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return it as PromQL writes it."""
        inner = ",".join(f'{name}{"=~" if "|" in word else "="}"{word}"' for name, word in self.labels)
        return f"{self.metric}{{{inner}}}" if inner else self.metric

    def of(self, history: History) -> list[Series]:
        """Return the series that are meant."""
        return [series for series in history.get(self.metric, ()) if self.fits(series.labels)]

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Return whether a series with these labels is meant."""
        return all(labels.get(name) in word.split("|") for name, word in self.labels)

    def part(self, ending: str) -> "Selector":
        """Return the same of a part of a histogram: `bucket` or `count`."""
        return Selector(f"{self.metric}_{ending}", self.labels)


def of(metric: str, **labels: str) -> Selector:
    """Return a selector; `of("slotline_queue_depth", queue="cache")`."""
    return Selector(metric, tuple(labels.items()))


class Form(Protocol):
    """What can be asked of a history, here and at Prometheus."""

    @property
    def reach(self) -> timedelta:
        """How far back it looks."""

    @property
    def selectors(self) -> Sequence[Selector]:
        """What must be sampled for it."""

    def promql(self) -> str:
        """Return the expression that Prometheus evaluates."""

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        """Return the subjects for which it holds at `at` (epoch seconds), with the value that says so."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """The newest value of a gauge, or its share of another, compared with a level."""

    what: Selector
    comparison: Comparison
    level: float
    by: tuple[str, ...] = ()
    share_of: Selector | None = None
    reach: ClassVar[timedelta] = NEWEST

    @property
    def selectors(self) -> Sequence[Selector]:
        return (self.what,) if self.share_of is None else (self.what, self.share_of)

    def promql(self) -> str:
        value = " / ".join(f"last_over_time({each}[{span(NEWEST)}])" for each in self.selectors)
        worst = "min" if self.comparison == "<" else "max"
        return f"{worst}{_grouped(self.by)} ({value}) {self.comparison} {self.level!r}"

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        worst: dict[Subject, float] = {}
        whole = {} if self.share_of is None else _newest_by_labels(self.share_of.of(history), at)
        for labels, value in _newest_by_labels(self.what.of(history), at).items():
            if self.share_of is not None:
                value = value / whole[labels] if whole.get(labels) else nan  # noqa: PLW2901  a share from here on
            subject = _subject(dict(labels), self.by)
            if not isnan(value):
                worst[subject] = (min if self.comparison == "<" else max)(value, worst.get(subject, value))
        return _compared(worst, self.comparison, self.level)


@dataclass(frozen=True, slots=True)
class Rate:
    """By how much a counter grew in a window, less by how much another did."""

    what: Selector
    window: timedelta
    level: float = 0
    by: tuple[str, ...] = ()
    less: Selector | None = None

    @property
    def reach(self) -> timedelta:
        return self.window

    @property
    def selectors(self) -> Sequence[Selector]:
        return (self.what,) if self.less is None else (self.what, self.less)

    def promql(self) -> str:
        return f"{' - '.join(_increase(each, self.window, self.by) for each in self.selectors)} > {self.level!r}"

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        grown = _sums(self.what.of(history), at, self.window, self.by)
        if self.less is not None:
            less = _sums(self.less.of(history), at, self.window, self.by)
            grown = {subject: value - less[subject] for subject, value in grown.items() if subject in less}
        return _compared(grown, ">", self.level)


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a histogram over a window in which at least `least` were observed."""

    what: Selector
    """The histogram, without an ending."""
    quantile: float
    window: timedelta
    level: float
    least: int
    by: tuple[str, ...] = ()

    @property
    def reach(self) -> timedelta:
        return self.window

    @property
    def selectors(self) -> Sequence[Selector]:
        return self.what.part("bucket"), self.what.part("count")

    def promql(self) -> str:
        buckets, count = self.selectors
        grown = _increase(buckets, self.window, (*self.by, "le"))
        enough = f"{_increase(count, self.window, self.by)} >= {self.least}"
        return f"histogram_quantile({self.quantile!r}, {grown}) > {self.level!r} and {enough}"

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        buckets, count = self.selectors
        observed = _sums(count.of(history), at, self.window, self.by)
        edges: dict[Subject, list[tuple[float, float]]] = defaultdict(list)
        for subject, grown in _sums(buckets.of(history), at, self.window, (*self.by, "le")).items():
            edges[subject[:-1]].append((float(subject[-1][1].replace("+Inf", "inf")), grown))
        values = {
            subject: _quantile(self.quantile, sorted(of_subject))
            for subject, of_subject in edges.items()
            if observed.get(subject, 0) >= self.least
        }
        return _compared(values, ">", self.level)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A part of what was counted in a window in which at least `least` were; `recent`: also in that shorter window."""

    part: Selector
    whole: Selector
    window: timedelta
    comparison: Comparison
    level: float
    least: int
    by: tuple[str, ...] = ()
    recent: timedelta | None = None

    @property
    def reach(self) -> timedelta:
        return self.window

    @property
    def selectors(self) -> Sequence[Selector]:
        return self.part, self.whole

    def promql(self) -> str:
        windows = [self.window, *([self.recent] if self.recent else [])]
        enough = f"{_increase(self.whole, self.window, self.by)} >= {self.least}"
        return " and ".join([*map(self._share, windows), enough])

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        counted = _sums(self.whole.of(history), at, self.window, self.by)
        shares = self._shares(history, at, self.window)
        found = _compared(shares, self.comparison, self.level)
        if self.recent:
            recently = _compared(self._shares(history, at, self.recent), self.comparison, self.level)
            found = {subject: share for subject, share in found.items() if subject in recently}
        return {subject: share for subject, share in found.items() if counted[subject] >= self.least}

    def _share(self, window: timedelta) -> str:
        return f"{share(self.part, self.whole, window, self.by)} {self.comparison} {self.level!r}"

    def _shares(self, history: History, at: float, window: timedelta) -> dict[Subject, float]:
        whole = _sums(self.whole.of(history), at, window, self.by)
        part = _sums(self.part.of(history), at, window, self.by)
        return {subject: part.get(subject, 0) / counted for subject, counted in whole.items() if counted}


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one of several ratios does, which have the same subjects; the first has the highest level."""

    forms: tuple[Ratio, ...]

    @property
    def level(self) -> float:
        return self.forms[0].level

    @property
    def comparison(self) -> Comparison:
        return self.forms[0].comparison

    @property
    def reach(self) -> timedelta:
        return max(form.reach for form in self.forms)

    @property
    def selectors(self) -> Sequence[Selector]:
        return list(dict.fromkeys(selector for form in self.forms for selector in form.selectors))

    def promql(self) -> str:
        return " or ".join(f"({form.promql()})" for form in self.forms)

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        found: dict[Subject, float] = {}
        for form in reversed(self.forms):  # of several values the first form's is told
            found |= form.firing(history, at)
        return found


@dataclass(frozen=True, slots=True)
class Absence:
    """No value of a series in a window."""

    what: Selector
    window: timedelta

    @property
    def reach(self) -> timedelta:
        return self.window

    @property
    def selectors(self) -> Sequence[Selector]:
        return (self.what,)

    def promql(self) -> str:
        return f"absent_over_time({self.what}[{span(self.window)}])"

    def firing(self, history: History, at: float) -> dict[Subject, float]:
        if any(series.newest(at, self.window) is not None for series in self.what.of(history)):
            return {}
        return {tuple((name, word) for name, word in self.what.labels if "|" not in word): 1.0}


def share(part: Selector, whole: Selector, window: timedelta, by: tuple[str, ...] = ()) -> str:
    """Return what Prometheus is asked for the share of what was counted in a window."""
    counted = _increase(whole, window, by)
    # A part that was never counted has no series, and is 0.
    return f"({_increase(part, window, by)} or 0 * {counted}) / {counted}"


def _compared(values: Mapping[Subject, float], comparison: Comparison, level: float) -> dict[Subject, float]:
    return {subject: value for subject, value in values.items() if _COMPARE[comparison](value, level)}


def _subject(labels: Mapping[str, str], by: Iterable[str]) -> Subject:
    return tuple((name, labels.get(name, "")) for name in by)


def _newest_by_labels(several: Iterable[Series], at: float) -> dict[tuple[tuple[str, str], ...], float]:
    newest = {tuple(sorted(series.labels.items())): series.newest(at, NEWEST) for series in several}
    return {labels: value for labels, value in newest.items() if value is not None}


def _sums(several: Iterable[Series], at: float, window: timedelta, by: Iterable[str]) -> dict[Subject, float]:
    sums: dict[Subject, float] = defaultdict(float)
    for series in several:
        grown = series.increase(at, window)
        if grown is not None:
            sums[_subject(series.labels, by)] += grown
    return sums


def _quantile(quantile: float, edges: Sequence[tuple[float, float]]) -> float:
    """Return the quantile as Prometheus does: linear between the edges, and the last finite edge beyond it."""
    if len(edges) < 2 or edges[-1][0] != inf or not edges[-1][1]:
        return nan
    wanted, below_edge, below = quantile * edges[-1][1], 0.0, 0.0
    for edge, count in edges:
        if count >= wanted:
            if edge == inf:
                return edges[-2][0]
            return below_edge + (edge - below_edge) * (wanted - below) / (count - below or 1)
        below_edge, below = edge, count
    return nan


def _increase(what: Selector, window: timedelta, by: tuple[str, ...]) -> str:
    return f"sum{_grouped(by)} (increase({what}[{span(window)}]))"


def _grouped(by: tuple[str, ...]) -> str:
    return f" by ({', '.join(by)})" if by else ""


def span(duration: timedelta) -> str:
    """Return a duration as Prometheus writes it."""
    seconds = round(duration.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
