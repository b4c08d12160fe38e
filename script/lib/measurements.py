"""Rows of the report: what was measured, in what unit, and the threshold that it must meet."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Threshold:
    """The limit of a value, an upper one unless said otherwise; without a limit it is measured for comparison only."""

    unit: str
    limit: float | None = None
    at_least: bool = False
    exactly: bool = False

    def accepts(self, value: float) -> bool:
        """Return whether the value meets the limit; a value on the limit does."""
        if self.limit is None:
            return True
        if self.exactly:
            return value == self.limit
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        sign = "=" if self.exactly else "≥" if self.at_least else "≤"
        return "" if self.limit is None else f"{sign} {self.limit:g}"


@dataclass(frozen=True)
class Measurement:
    """A value with a remark; without a value it could not be measured."""

    value: float | None
    remark: str = ""

    def __str__(self) -> str:
        return "nothing" if self.value is None else f"{self.value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Row:
    """A measurement beside its threshold. Without a value it fails: nothing passes for want of data."""

    name: str
    threshold: Threshold
    measurement: Measurement

    @property
    def ok(self) -> bool:
        """Return whether the threshold is met."""
        return self.measurement.value is not None and self.threshold.accepts(self.measurement.value)

    @property
    def verdict(self) -> str:
        """Return `pass`, `FAIL`, or nothing for a value that is only compared."""
        return "FAIL" if not self.ok else "" if self.threshold.limit is None else "pass"

    def __str__(self) -> str:
        row = f"{self.name:<38} {self.measurement!s:>8} {self.threshold.unit:<9} {self.threshold!s:<8}"
        return f"{row} {self.verdict:<7} {self.measurement.remark}".rstrip()


def rows_of(
    thresholds: Mapping[str, Threshold], measurements: Mapping[str, Measurement], *, otherwise: str = "not measured"
) -> list[Row]:
    """Return a row for every threshold; what is missing fails with the remark `otherwise`."""
    missing = Measurement(None, otherwise)
    return [Row(name, threshold, measurements.get(name, missing)) for name, threshold in thresholds.items()]


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that `share` of the values do not exceed; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float | None:
    """Return the median; None where there are no values."""
    return statistics.median(values) if values else None


def most_in_60_s(moments: Sequence[float]) -> int:
    """Return how many of the moments (seconds, in order) lie in the fullest 60 s, wherever these begin."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """Return how many of the spans (begin, end) overlap at one moment, at the most; ends are exclusive."""
    moments = sorted((moment, step) for begin, end in spans for moment, step in ((begin, 1), (end, -1)))
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON."""
    listed = [{"name": row.name, **asdict(row.threshold), "ok": row.ok, **asdict(row.measurement)} for row in rows]
    path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Measurement]:
    """Return the measurements that `write_json` wrote; none where there is no file."""
    listed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {row["name"]: Measurement(row["value"], row["remark"]) for row in listed}
