"""What occupies one host, kept sorted so that a question about a time looks only at its neighbours."""

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open stretch of time, buffers included, and the uid of what fills it."""

    start: int
    end: int
    uid: str


class Diary:
    """The spans of one host; they may overlap, because Cal.com lets them."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._longest = 0

    def add(self, span: Span) -> None:
        """Write a span down."""
        insort(self._spans, span)
        self._longest = max(self._longest, span.end - span.start)

    def remove(self, span: Span) -> None:
        """Strike a span out; it may be gone already."""
        at = bisect_left(self._spans, span)
        if at < len(self._spans) and self._spans[at] == span:
            del self._spans[at]

    def overlapping(self, start: int, end: int, ignored: Container[str] = ()) -> Iterator[Span]:
        """Yield what overlaps the time, in order of start, without the uids in `ignored`."""
        for at in range(bisect_left(self._spans, (start - self._longest,)), len(self._spans)):
            span = self._spans[at]
            if span.start >= end:
                return
            if span.end > start and span.uid not in ignored:
                yield span

    def is_free(self, start: int, end: int, ignored: Container[str] = ()) -> bool:
        """Tell whether nothing but the ignored overlaps the time."""
        return next(self.overlapping(start, end, ignored), None) is None
