"""
Where things stand on the board of a day or a week: columns beside each other, hours below each other. Pure.

Positions are percent of the board's height and of a column's width. Minutes count from the midnight of the column's
date by the clock on the wall, also on days of 23 or 25 hours.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")

MINUTES_A_DAY = 1440
# Hours that are shown at least, where a branch does not say when it is open.
USUAL_HOURS = (8 * 60, 18 * 60)
# Minutes that a block is high at least: its first line must be readable.
LEAST = 15


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """Something that takes time: minutes of the day from `start` to `end`."""

    start: int
    end: int
    content: T


@dataclass(frozen=True, slots=True)
class Block(Generic[T]):
    """Where an entry stands in its column. Entries that overlap stand beside each other."""

    content: T
    top: float
    height: float
    left: float
    width: float
    minutes: int
    """For how long it lasts on this day."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a column, from edge to edge."""

    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Which minutes of the day the board shows: whole hours."""

    first: int
    last: int

    @classmethod
    def around(cls, spans: Iterable[tuple[int, int]]) -> "Scale":
        """Return the whole hours that the spans lie in; the usual ones without any."""
        known = list(spans) or [USUAL_HOURS]
        first, last = min(start for start, _ in known), max(end for _, end in known)
        return cls(max(0, first // 60 * 60), min(MINUTES_A_DAY, -(-last // 60) * 60))

    @property
    def hours(self) -> list[tuple[str, float]]:
        """Return the full hours as the clock shows them, with their positions."""
        return [(f"{minute // 60}:00", self.at(minute)) for minute in range(self.first, self.last, 60)]

    @property
    def height_in_hours(self) -> int:
        return (self.last - self.first) // 60

    def at(self, minute: int) -> float:
        """Return the position of a minute; of one outside of the board, that of its edge."""
        inside = min(max(minute, self.first), self.last)
        return round(100 * (inside - self.first) / (self.last - self.first), 3)

    def span(self, start: int, end: int) -> Span:
        """Return where a stretch of time lies."""
        return Span(self.at(start), round(self.at(end) - self.at(start), 3))

    def outside(self, opened: Sequence[tuple[int, int]]) -> list[Span]:
        """Return where the board shows time that lies in none of the spans, which are in order."""
        edges = [self.first, *(edge for span in opened for edge in span), self.last]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [self.span(start, end) for start, end in pairs if self.at(start) < self.at(end)]

    def place(self, entries: Iterable[Entry[T]]) -> list[Block[T]]:
        """Return the blocks of one column, in the order of time."""
        return [block for cluster in _clusters(entries) for block in self._placed(cluster)]

    def _placed(self, cluster: Sequence[Entry[T]]) -> Iterator[Block[T]]:
        lanes: list[int] = []
        chosen = []
        for entry in cluster:
            lane = next((n for n, until in enumerate(lanes) if until <= entry.start), len(lanes))
            lanes[lane : lane + 1] = [_shown_until(entry)]
            chosen.append(lane)
        width = round(100 / len(lanes), 3)
        for entry, lane in zip(cluster, chosen, strict=True):
            span = self.span(entry.start, _shown_until(entry))
            yield Block(entry.content, span.top, span.height, lane * width, width, entry.end - entry.start)


def _clusters(entries: Iterable[Entry[T]]) -> Iterator[list[Entry[T]]]:
    """Yield the entries in groups of which none overlaps another."""
    cluster: list[Entry[T]] = []
    until = -1
    for entry in sorted(entries, key=lambda each: (each.start, each.end)):
        if cluster and entry.start >= until:
            yield cluster
            cluster = []
        cluster.append(entry)
        until = max(until, _shown_until(entry)) if len(cluster) > 1 else _shown_until(entry)
    if cluster:
        yield cluster


def _shown_until(entry: Entry[T]) -> int:
    return max(entry.end, entry.start + LEAST)


def minute_of(instant: datetime, day: date, zone: ZoneInfo) -> int:
    """Return the minute of the local day that clocks show; before it 0, and after it the last one."""
    local = instant.astimezone(zone)
    days = (local.date() - day).days
    if days:
        return 0 if days < 0 else MINUTES_A_DAY
    return local.hour * 60 + local.minute
