"""The rows of the table: what was measured, in what unit, and the limit that it must keep."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Promise:
    """What a number may be at most, must be at least or exactly; without a limit it is told for comparison."""

    unit: str
    limit: float | None = None
    at_least: bool = False
    exactly: bool = False

    def is_kept_by(self, value: float) -> bool:
        """Return whether the value is on the right side of the limit; on the limit is on the right side."""
        if self.limit is None:
            return True
        if self.exactly:
            return value == self.limit
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def sign(self) -> str:
        """Return which side that is, as a sign."""
        if self.exactly:
            return "="
        return "≥" if self.at_least else "≤"


@dataclass(frozen=True)
class Found:
    """What a number is; without a value it was not found."""

    value: float | None
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One number beside its promise. Without a value the promise is broken: nothing passes for want of data."""

    name: str
    promise: Promise
    found: Found

    @property
    def ok(self) -> bool:
        """Return whether the promise is kept."""
        return self.found.value is not None and self.promise.is_kept_by(self.found.value)


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that `share` of the values do not exceed; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float | None:
    """Return the median; None where there are no values."""
    return statistics.median(values) if values else None


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON."""
    listed = [
        {
            "name": row.name,
            "value": row.found.value,
            "unit": row.promise.unit,
            "limit": row.promise.limit,
            "at_least": row.promise.at_least,
            "exactly": row.promise.exactly,
            "ok": row.ok,
            "remark": row.found.remark,
        }
        for row in rows
    ]
    path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def show(row: Row) -> str:
    """Return the row as a line of the table."""
    verdict = "BROKEN" if not row.ok else "" if row.promise.limit is None else "ok"
    promise = f"{row.promise.unit:<9} {limit_of(row.promise):<8}"
    return f"{row.name:<38} {number_of(row):>8} {promise} {verdict:<7} {row.found.remark}".rstrip()


def number_of(row: Row) -> str:
    """Return what was found, in two places at most."""
    return "nothing" if row.found.value is None else f"{row.found.value:.2f}".rstrip("0").rstrip(".")


def limit_of(promise: Promise) -> str:
    """Return what is promised: the limit and its side, or nothing."""
    if promise.limit is None:
        return ""
    return f"{promise.sign} {promise.limit:g}"
