"""Samples of what alerts look at: read now, stored once a minute, read back as a history."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from monitoring import collectors, metrics, multiprocess
from monitoring.alert_forms import History, Selector, Series
from monitoring.models import Sample

# Longer than any window of an alert; beyond it Prometheus remembers.
KEPT = timedelta(days=3, hours=1)


@dataclass(frozen=True, slots=True)
class Value:
    """A metric with its labels, as it is now."""

    metric: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read."""

    values: Sequence[Value]
    is_complete: bool
    """Whether every part could be read: what is missing in one that is not says nothing."""


def read() -> Reading:
    """Return all gauges, and all counters summed over the processes of this machine."""
    values, is_complete = [], True
    for answer in collectors.COLLECTORS.answers():
        values += [_value(reading) for reading in answer.value or ()]
        values.append(_value(metrics.READABLE.at(not answer.problem, answer.name)))
        is_complete = is_complete and not answer.problem
    try:
        counted = multiprocess.collected()
    except multiprocess.Unreadable:
        return Reading([*values, _value(metrics.READABLE.at(0, "counters"))], is_complete=False)
    values += [Value(each.name, each.labels, each.value) for family in counted for each in family.samples]
    return Reading([*values, _value(metrics.READABLE.at(1, "counters"))], is_complete)


def store(reading: Reading, selectors: Iterable[Selector], *, at: datetime) -> None:
    """Store the values that are meant by one of the selectors."""
    wanted = defaultdict(list)
    for selector in selectors:
        wanted[selector.metric].append(selector)
    Sample.objects.bulk_create(
        [
            Sample(gauge=each.metric, labels=dict(each.labels), value=each.value, taken_at=at)
            for each in reading.values
            if any(selector.fits(each.labels) for selector in wanted.get(each.metric, ()))
        ],
        batch_size=1000,
    )


def history(reaches: Mapping[str, timedelta], *, at: datetime) -> History:
    """Return what is stored of each metric, farther back than alerts reach: a window begins with a sample before."""
    found = {}
    for metric, reach in reaches.items():
        since = at - reach - min(max(reach, timedelta(minutes=5)), timedelta(hours=1))
        rows = Sample.objects.filter(gauge=metric, taken_at__gt=since, taken_at__lte=at).order_by("taken_at")
        found[metric] = _series(rows.values_list("labels", "taken_at", "value"))
    return found


# For each moment and metric the first sample of the stretch that begins there, found by the index of metric and time.
_AT_MOMENTS = """
    SELECT sample.gauge, sample.labels, sample.taken_at, sample.value
    FROM unnest(%(metrics)s::text[], %(labels)s::jsonb[]) AS wanted (gauge, labels)
    CROSS JOIN generate_series(%(since)s::timestamptz, %(until)s::timestamptz, %(every)s::interval) AS moment
    CROSS JOIN LATERAL (
        SELECT taken_at FROM monitoring_sample
        WHERE gauge = wanted.gauge AND taken_at >= moment AND taken_at < moment + %(every)s::interval
        ORDER BY taken_at LIMIT 1
    ) AS first
    JOIN monitoring_sample AS sample
        ON sample.gauge = wanted.gauge AND sample.taken_at = first.taken_at AND sample.labels @> wanted.labels
    ORDER BY sample.taken_at
"""


def at_moments(selectors: Sequence[Selector], *, since: datetime, until: datetime, every: timedelta) -> History:
    """Return what is stored, thinned out: the first sample of each stretch of `every`. Costs one statement."""
    wanted = {
        (each.metric, json.dumps({name: word for name, word in each.labels if "|" not in word})) for each in selectors
    }
    names, labels = zip(*sorted(wanted), strict=True)
    parameters: dict[str, Any] = {
        "metrics": list(names),
        "labels": list(labels),
        "since": since,
        "until": until,
        "every": every,
    }
    found: dict[str, list[tuple[Mapping[str, str], datetime, float]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_AT_MOMENTS, parameters)
        for metric, of_series, taken_at, value in cursor.fetchall():
            found[metric].append((json.loads(of_series), taken_at, value))
    return {metric: _series(rows) for metric, rows in found.items()}


def live(reading: Reading, *, at: datetime) -> History:
    """Return what was read just now, without a past."""
    found = defaultdict(list)
    for each in reading.values:
        found[each.metric].append(Series(each.labels, [at.timestamp()], [each.value]))
    return found


def prune(*, now: datetime) -> None:
    """Delete samples that no alert looks at any more."""
    Sample.objects.filter(taken_at__lt=now - KEPT).delete()


def _value(reading: collectors.Reading) -> Value:
    gauge = reading.gauge
    return Value(gauge.name, dict(zip(gauge.labels, reading.labels, strict=True)), reading.value)


def _series(rows: Iterable[tuple[Mapping[str, str], datetime, float]]) -> list[Series]:
    points: dict[tuple[tuple[str, str], ...], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for labels, taken_at, value in rows:
        times, values = points[tuple(sorted(labels.items()))]
        times.append(taken_at.timestamp())
        values.append(value)
    return [Series(dict(labels), *of_labels) for labels, of_labels in points.items()]
