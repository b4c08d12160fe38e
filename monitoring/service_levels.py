"""
The service levels: what is promised, which metric tells, and the alert that fires when the error budget burns.

Each is a share of events that must be good. docs/service-levels.md has whose figures they are; load scenarios measure
them from the same counters (tests/load/levels.py).

Note [Burn rate]: an error budget is the share that may be bad. It burns at rate 1 if just that share is. Alerts look
at two pairs of windows, after the SRE workbook: 14.4 times the budget in an hour and in its last 5 minutes (2 % of a
month's budget is gone), and 6 times in 6 hours and in their last 30 minutes (5 %). The short window ends the alert
soon after the trouble has ended.
"""

from dataclasses import dataclass
from datetime import timedelta

from monitoring.alert_forms import AnyOf, Comparison, History, Ratio, Selector, of, share

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
MONTH = timedelta(days=30)
_PAIRS = ((14.4, _HOUR, 5 * _MINUTE, 1), (6.0, 6 * _HOUR, 30 * _MINUTE, 3))
"""Burn rate, long and short window, and by how much `least` grows with the long one: Note [Burn rate]."""
_FAILED = "500|502|503|504"

_READS = (
    "v1/availability|v1/availability/search|v1/services|v1/conversations|v1/conversations/<str:conversation_id>/end"
    "|v1/bookings/find|v1/bookings/<str:booking_id>|v1/operations/<str:operation_id>|v1/callbacks|v1/tools"
)
_AVAILABILITY = "v1/availability|v1/availability/search"
_WRITES = "v1/holds|v1/bookings|v1/bookings/<str:booking_id>/cancel|v1/bookings/<str:booking_id>/reschedule"
_REQUESTS, _OWN = "slotline_request_seconds", "slotline_operation_own_seconds"


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """A share of events that must be good."""

    name: str
    sentence: str
    objective: float
    """The least share that must be good."""
    part: Selector
    """What is counted of it: the good ones, or with `counts_bad` the bad ones."""
    whole: Selector
    counts_bad: bool = False
    least: int = 0
    """Events in an hour below which no alert is raised; 0: another alert watches it."""

    @property
    def budget(self) -> float:
        """Return the share that may be bad."""
        return round(1 - self.objective, 6)

    def promql(self, window: timedelta = MONTH) -> str:
        """Return what Prometheus is asked for the share of good events in a window."""
        counted = share(self.part, self.whole, window)
        return f"1 - {counted}" if self.counts_bad else counted

    def measured(self, history: History, at: float, window: timedelta) -> tuple[float, int] | None:
        """Return the share of good events in a window, and the number of all; None if there were none."""
        whole = _increase(self.whole, history, at, window)
        if not whole:
            return None
        counted = _increase(self.part, history, at, window) / whole
        return (1 - counted if self.counts_bad else counted), round(whole)

    @property
    def burning(self) -> AnyOf:
        """Return the form of the alert: Note [Burn rate]."""
        return AnyOf(tuple(self._ratio(*pair) for pair in _PAIRS))

    def _ratio(self, rate: float, window: timedelta, recent: timedelta, times: int) -> Ratio:
        burnt = round(rate * self.budget, 6)
        comparison: Comparison = ">" if self.counts_bad else "<"
        level = burnt if self.counts_bad else round(1 - burnt, 6)
        return Ratio(self.part, self.whole, window, comparison, level, self.least * times, recent=recent)


def _increase(what: Selector, history: History, at: float, window: timedelta) -> float:
    return sum(series.increase(at, window) or 0.0 for series in what.of(history))


LEVELS: tuple[ServiceLevel, ...] = (
    ServiceLevel(
        "answers_given",
        "Agents' questions are answered without an error of ours",
        0.999,
        of(f"{_REQUESTS}_count", route=_READS, status=_FAILED),
        of(f"{_REQUESTS}_count", route=_READS),
        counts_bad=True,
        least=150,
    ),
    ServiceLevel(
        "writes_given",
        "Holds, bookings, reschedules and cancellations are answered without an error of ours",
        0.99,
        of(f"{_REQUESTS}_count", route=_WRITES, status=_FAILED),
        of(f"{_REQUESTS}_count", route=_WRITES),
        counts_bad=True,
        least=20,
    ),
    ServiceLevel(
        "availability_fast",
        "Questions about free times are answered within 0.3 s",
        0.95,
        of(f"{_REQUESTS}_bucket", route=_AVAILABILITY, le="0.3"),
        of(f"{_REQUESTS}_count", route=_AVAILABILITY),
        least=20,
    ),
    ServiceLevel(
        "bookings_fast",
        "We add at most 0.8 s to Cal.com's time in the answer to a booking",
        0.95,
        of(f"{_OWN}_bucket", operation="create", le="0.8"),
        of(f"{_OWN}_count", operation="create"),
        least=20,
    ),
    ServiceLevel(
        "jobs_done",
        "Background jobs end without failing",
        0.99,
        of("slotline_jobs_total", outcome="failed"),
        of("slotline_jobs_total", outcome="done|failed"),
        counts_bad=True,
        least=100,
    ),
    ServiceLevel(
        "cache_hits",
        "Questions about free times are answered from the cache",
        0.90,
        of("slotline_availability_answers_total", source="fresh|stale"),
        of("slotline_availability_answers_total", source="fresh|stale|loaded|collapsed|expired|missing"),
    ),
    ServiceLevel(
        "truth",
        "A slot that is compared with Cal.com is the same here and there",
        0.999,
        of("slotline_checked_slots_total", outcome="true"),
        of("slotline_checked_slots_total", outcome="true|offered_but_taken|withheld|out_of_bounds"),
    ),
)
BY_NAME = {level.name: level for level in LEVELS}
