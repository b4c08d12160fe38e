"""
The metrics as JSON for people and scripts (`/performance-metrics`).

Totals are those of all processes since `counting_since`; for the last five minutes read twice and subtract. What cannot
be read is null, and `unreadable` says why. A percentile is given as the two histogram edges between which it lies.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from django.conf import settings
from prometheus_client.samples import Sample

from monitoring import collectors, metrics, multiprocess
from monitoring.alert_forms import Selector
from monitoring.collectors import Gauge, Reading
from monitoring.service_levels import LEVELS

ROUTES = {"list": "v1/availability", "search": "v1/availability/search"}
"""Where agents ask for free slots."""
WORDS = ("closed", "open")
"""Of a breaker's state, by its number."""

_started = time.monotonic()


def report() -> dict[str, Any]:
    """Return the whole answer."""
    unreadable: dict[str, str] = {}
    shown = _shown(unreadable)
    counted = _counted(unreadable)
    return {
        "version": settings.RELEASE,
        "now": datetime.now(UTC).isoformat(timespec="seconds"),
        "uptime_s": round(time.monotonic() - _started, 1),
        "counting_since": None if counted is None else multiprocess.counting_since().isoformat(timespec="seconds"),
        "accounts": None if shown.lacks("rate_limiter") else _accounts(shown),
        "availability": None if counted is None else _availability(counted),
        "levels": None if counted is None else _levels(counted),
        "truth": None if counted is None else _truth(counted),
        "operations": None if counted is None else _operations(counted),
        "invalidation": None if counted is None else _invalidation(counted),
        "calcom": None if counted is None else _calcom(counted),
        "queues": None if shown.lacks("queues") else shown.by_label(metrics.QUEUE_DEPTH),
        "outboxes": {name: shown.outbox(name) for name in ("operations", "invalidations", "webhooks")},
        "unreadable": unreadable,
    }


# --- what the gauges show ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    readings: Mapping[Gauge, Sequence[Reading]]
    missing: frozenset[str]
    """Names of readers without an answer."""

    def lacks(self, reader: str) -> bool:
        return reader in self.missing

    def by_label(self, gauge: Gauge, *first: str) -> dict[str, float]:
        """Return the values by the one label that `first` leaves."""
        rows = self.readings.get(gauge, ())
        return {row.labels[-1]: row.value for row in rows if row.labels[:-1] == first}

    def one(self, gauge: Gauge, *labels: str) -> float | None:
        return next((row.value for row in self.readings.get(gauge, ()) if row.labels == labels), None)

    def outbox(self, name: str) -> dict[str, float | None] | None:
        if self.lacks(name):
            return None
        overdue = self.one(metrics.OUTBOX_OVERDUE_SECONDS, name)
        return {"size": self.one(metrics.OUTBOX_SIZE, name), "overdue_s": overdue}


def _shown(unreadable: dict[str, str]) -> _Shown:
    answers = collectors.COLLECTORS.answers()
    unreadable.update({answer.name: answer.problem for answer in answers if answer.problem})
    readings = defaultdict(list)
    for reading in (reading for answer in answers for reading in answer.value or ()):
        readings[reading.gauge].append(reading)
    return _Shown(readings, frozenset(unreadable))


def _accounts(shown: _Shown) -> list[dict[str, Any]]:
    return [_account(shown, account) for account in shown.by_label(metrics.RATE_LIMIT)]


def _account(shown: _Shown, account: str) -> dict[str, Any]:
    limit, spent = shown.one(metrics.RATE_LIMIT, account), shown.one(metrics.RATE_SPENT, account)
    return {
        "account_id": int(account),
        "limit": limit,
        "spent": spent,
        "use": round(spent / limit, 3) if limit and spent is not None else None,
        "used": shown.by_label(metrics.RATE_USED, account),
        "ceilings": shown.by_label(metrics.RATE_PRIORITY_CAP, account),
        "free": shown.by_label(metrics.RATE_FREE, account),
        "foreign": shown.one(metrics.RATE_EXTERNAL, account),
        "in_flight": shown.one(metrics.RATE_IN_FLIGHT, account),
        "told_remaining": shown.one(metrics.RATE_REPORTED_REMAINING, account),
        "paused_for_s": shown.one(metrics.PAUSE_SECONDS, account),
        "held_back_for_s": shown.one(metrics.BACKGROUND_PAUSED_SECONDS, account),
        "distrusted_for_s": shown.one(metrics.RECOVERING_SECONDS, account),
        "breakers": {kind: WORDS[int(state)] for kind, state in shown.by_label(metrics.BREAKER_STATE, account).items()},
    }


# --- what was counted --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Counted:
    samples: Mapping[str, Sequence[Sample]]

    def total(self, name: str, **labels: str) -> int:
        return round(sum(sample.value for sample in self._of(name, labels)))

    def sum(self, what: Selector) -> int:
        """Return the total of the series that are meant."""
        return round(sum(each.value for each in self.samples.get(what.metric, ()) if what.fits(each.labels)))

    def by(self, label: str, name: str, **labels: str) -> dict[str, int]:
        """Return the totals by one label."""
        totals: dict[str, float] = defaultdict(float)
        for sample in self._of(name, labels):
            totals[sample.labels[label]] += sample.value
        return {word: round(total) for word, total in sorted(totals.items())}

    def percentiles(self, name: str, **labels: str) -> dict[str, dict[str, float | None] | None]:
        """Return p50 and p95; null where nothing was measured."""
        buckets: dict[float, float] = defaultdict(float)
        for sample in self._of(f"{name}_bucket", labels):
            buckets[float(sample.labels["le"])] += sample.value
        edges = sorted(buckets.items())
        return {f"p{percent}_s": _between(edges, percent) for percent in (50, 95)}

    def _of(self, name: str, labels: Mapping[str, str]) -> Iterator[Sample]:
        for sample in self.samples.get(name, ()):
            if labels.items() <= sample.labels.items():
                yield sample


def _between(edges: Iterable[tuple[float, float]], percent: int) -> dict[str, float | None] | None:
    """Return the edges between which the percentile lies; no upper one where it is beyond the last."""
    edges = list(edges)
    if not edges or not edges[-1][1]:
        return None
    wanted, below = edges[-1][1] * percent / 100, 0.0
    for edge, count in edges:
        if count >= wanted:
            return {"above": below, "at_most": None if edge == inf else edge}
        below = edge
    raise AssertionError("The last edge of a histogram is above everything.")


def _counted(unreadable: dict[str, str]) -> _Counted | None:
    try:
        families = multiprocess.collected()
    except multiprocess.Unreadable:
        unreadable["counters"] = "the files in which processes count together cannot be read"
        return None
    samples = defaultdict(list)
    for sample in (sample for family in families for sample in family.samples):
        samples[sample.name].append(sample)
    return _Counted(samples)


def _availability(counted: _Counted) -> dict[str, Any]:
    sources = counted.by("source", "slotline_availability_answers_total")
    looked_up = sum(sources.values()) - sources.get("rules", 0)
    hits = sources.get("fresh", 0) + sources.get("stale", 0)
    # Old and missing are not among them: whether a request was spent on them in vain they do not say.
    free_of_calls = hits + sources.get("collapsed", 0)
    name = "slotline_request_seconds"
    return {
        "answers": looked_up,
        "by_source": sources,
        "hit_rate": _share(hits, looked_up),
        "without_call": _share(free_of_calls, looked_up),
        "degraded": counted.by("reason", "slotline_degraded_answers_total", what="availability"),
        **{way: counted.percentiles(name, route=route, status="200") for way, route in ROUTES.items()},
    }


def _levels(counted: _Counted) -> dict[str, Any]:
    """Return the share of good events of each service level, and how many events there were."""
    found = {}
    for level in LEVELS:
        whole, part = counted.sum(level.whole), counted.sum(level.part)
        share = _share(whole - part if level.counts_bad else part, whole)
        found[level.name] = {"share": share, "of": whole, "objective": level.objective}
    return found


def _truth(counted: _Counted) -> dict[str, Any]:
    slots = counted.by("outcome", "slotline_checked_slots_total")
    decided = sum(slots.values()) - slots.get("undecided", 0)
    return {
        "rate": round(slots.get("true", 0) / decided, 6) if decided else None,
        "slots": slots,
        "causes": counted.by("cause", "slotline_slot_differences_total"),
        "checks": counted.by("outcome", "slotline_availability_checks_total"),
    }


def _operations(counted: _Counted) -> dict[str, Any]:
    return {kind: _operation(counted, kind) for kind in ("create", "reschedule", "cancel")}


def _operation(counted: _Counted, operation: str) -> dict[str, Any]:
    return {
        "outcomes": counted.by("outcome", "slotline_operations_total", operation=operation),
        "answered_pending": counted.total("slotline_degraded_answers_total", what=operation, reason="pending"),
        "calcom": counted.percentiles("slotline_operation_calcom_seconds", operation=operation),
        "ours": counted.percentiles("slotline_operation_own_seconds", operation=operation),
        "to_the_end": counted.percentiles("slotline_operation_seconds", operation=operation),
    }


def _invalidation(counted: _Counted) -> dict[str, Any]:
    changes = counted.total("slotline_cache_invalidation_days_count")
    days = counted.total("slotline_cache_invalidation_days_sum")
    return {
        "days": counted.by("cause", "slotline_cache_invalidations_total"),
        "changes": changes,
        "days_per_change": round(days / changes, 2) if changes else None,
        "changes_above_100_days": changes - counted.total("slotline_cache_invalidation_days_bucket", le="100.0"),
        "failed_attempts": counted.by("attempt", "slotline_cache_invalidation_failures_total"),
    }


def _calcom(counted: _Counted) -> dict[str, Any]:
    return {
        "requests": counted.by("outcome", "slotline_calcom_requests_total"),
        "by_priority": counted.by("priority", "slotline_calcom_requests_total"),
        "rate_limited": counted.total("slotline_calcom_rate_limited_total"),
        "refused_by_rate_limiter": counted.by("reason", "slotline_rate_limiter_refusals_total"),
        "refused_by_breaker": counted.by("kind", "slotline_breaker_refusals_total"),
        "slots": counted.percentiles("slotline_calcom_request_seconds", operation="open_slots"),
        "booking": counted.percentiles("slotline_calcom_request_seconds", operation="create_booking"),
    }


def _share(part: int, whole: int) -> float | None:
    """Return the share, null where there is nothing to share."""
    return round(part / whole, 4) if whole else None
