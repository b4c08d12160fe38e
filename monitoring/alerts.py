"""
What a person is told of: every alert, once.

Slotline evaluates these itself (`monitoring/alerting.py`), and docs/deploy/alerts.yml is made of them for Prometheus.
Each has a page of its own name in docs/runbooks.
"""

from dataclasses import dataclass
from datetime import timedelta

from monitoring.alert_forms import Absence, Form, Gauge, Quantile, Rate, Ratio, of
from monitoring.models import Alert
from monitoring.service_levels import BY_NAME as LEVELS

WARNING, CRITICAL = Alert.Severity.WARNING, Alert.Severity.CRITICAL
_NOW = timedelta()
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
URGENT_EVERY, EVERY = timedelta(seconds=5), _MINUTE


@dataclass(frozen=True, slots=True)
class Rule:
    """When a person is told, how urgently, and in which words."""

    name: str
    severity: Alert.Severity
    summary: str
    form: Form
    lasting: timedelta = _NOW
    """For how long it must hold before the alert fires."""
    keeping: timedelta = _MINUTE
    """For how long it must not hold before the alert is resolved: what comes and goes is one alert."""
    urgent: bool = False
    """Evaluated every 5 s, of gauges as they are read just then; others every minute, of stored samples."""

    @property
    def every(self) -> timedelta:
        """How often it is evaluated."""
        return URGENT_EVERY if self.urgent else EVERY


_ANSWERS = of("slotline_availability_answers_total", source="fresh|stale|loaded|collapsed|expired|missing")
_BOOKING = of("slotline_calcom_request_seconds", operation="create_booking")
_CHECKED = "slotline_checked_slots_total"
_CHANGE_DAYS = "slotline_cache_invalidation_days"
_SPENT, _LIMIT = of("slotline_rate_spent"), of("slotline_rate_limit")


def _level(name: str, severity: Alert.Severity, level: str, summary: str) -> Rule:
    """Return the rule that tells of a service level whose error budget burns too fast."""
    return Rule(name, severity, summary, LEVELS[level].burning, keeping=5 * _MINUTE)


RULES: tuple[Rule, ...] = (
    # --- Cal.com: the budget, the circuit, the key -------------------------------------------------------------------
    Rule(
        "rate_high",
        WARNING,
        "More than 100 of 120 requests a minute are spent",
        Gauge(_SPENT, ">", 100 / 120, by=("account",), share_of=_LIMIT),
        keeping=2 * _MINUTE,
        urgent=True,
    ),
    Rule(
        "rate_critical",
        CRITICAL,
        "More than 115 of 120 requests a minute are spent: searches wait, only bookings are sent",
        Gauge(_SPENT, ">", 115 / 120, by=("account",), share_of=_LIMIT),
        keeping=2 * _MINUTE,
        urgent=True,
    ),
    Rule(
        "circuit_open",
        CRITICAL,
        "Cal.com does not answer: the circuit is open until a call has succeeded",
        Gauge(of("slotline_breaker_state"), "==", 1, by=("account", "kind")),
        urgent=True,
    ),
    Rule(
        "key_refused",
        CRITICAL,
        "Cal.com refuses the account's API key",
        Gauge(of("slotline_key_refused"), "==", 1, by=("account", "kind")),
        urgent=True,
    ),
    Rule(
        "queue_deep",
        WARNING,
        "More than 50 messages wait in the queue cache",
        Gauge(of("slotline_queue_depth", queue="cache"), ">", 50, by=("queue",)),
        lasting=timedelta(seconds=10),
        urgent=True,
    ),
    Rule(
        "calcom_rate_limited",
        CRITICAL,
        "Cal.com answered 429: it takes nothing from the key for a minute",
        Rate(of("slotline_calcom_rate_limited_total"), 5 * _MINUTE),
    ),
    Rule(
        "booking_slow_median",
        WARNING,
        "Half of the bookings take Cal.com more than 4.0 s",
        Quantile(_BOOKING, 0.5, 15 * _MINUTE, 4.0, least=10),
        lasting=2 * _MINUTE,
        keeping=5 * _MINUTE,
    ),
    Rule(
        "booking_slow_tail",
        WARNING,
        "One booking in twenty takes Cal.com more than 6.5 s",
        Quantile(_BOOKING, 0.95, 15 * _MINUTE, 6.5, least=20),
        lasting=2 * _MINUTE,
        keeping=5 * _MINUTE,
    ),
    # --- the cache ---------------------------------------------------------------------------------------------------
    Rule(
        "invalidation_failing",
        CRITICAL,
        "An invalidation failed three times in a row: callers may be offered what is taken",
        Rate(of("slotline_cache_invalidation_failures_total", attempt="3|more"), 5 * _MINUTE),
    ),
    Rule(
        "hit_rate_low",
        WARNING,
        "Less than half of the answers come from the cache",
        Ratio(
            of("slotline_availability_answers_total", source="fresh|stale"),
            _ANSWERS,
            15 * _MINUTE,
            "<",
            0.5,
            least=50,
        ),
        lasting=10 * _MINUTE,
        keeping=5 * _MINUTE,
    ),
    Rule(
        "truth_rate_low",
        WARNING,
        "More than one slot in 200 differs from what Cal.com lists",
        Ratio(
            of(_CHECKED, outcome="true"),
            of(_CHECKED, outcome="true|offered_but_taken|withheld|out_of_bounds"),
            _HOUR,
            "<",
            0.995,
            least=500,
            by=("account",),
            recent=15 * _MINUTE,
        ),
        keeping=5 * _MINUTE,
    ),
    Rule(
        "invalidation_wide",
        WARNING,
        "One booking invalidated more than 100 days",
        Rate(
            of(f"{_CHANGE_DAYS}_count"),
            5 * _MINUTE,
            less=of(f"{_CHANGE_DAYS}_bucket", le="100.0"),
        ),
    ),
    # --- appointments and callers ------------------------------------------------------------------------------------
    Rule(
        "appointments_overlap",
        CRITICAL,
        "Appointments ahead overlap: a host's time is taken twice",
        Gauge(of("slotline_overlapping_appointments"), ">", 0, by=("account",)),
    ),
    Rule(
        "booked_without_booking",
        CRITICAL,
        "A caller was told “booked”, and Cal.com has no such booking",
        Rate(of("slotline_bookings_missing_total"), _HOUR),
    ),
    Rule(
        "told_booked",
        CRITICAL,
        "A voice agent told a caller of a booking that was never made",
        Rate(of("slotline_told_booked_total"), _HOUR),
    ),
    Rule(
        "operation_not_in_time",
        CRITICAL,
        "A booking, move or cancellation was not settled when the appointment should have begun",
        Rate(of("slotline_operations_total", outcome="not_in_time"), _HOUR, by=("operation",)),
    ),
    Rule(
        "caller_unreachable",
        CRITICAL,
        "A caller must be told something and left no number",
        Rate(of("slotline_unreachable_callers_total"), _HOUR),
    ),
    Rule(
        "callback_waiting",
        WARNING,
        "A caller has waited an hour of opening time to be called back",
        Gauge(of("slotline_callback_waiting_seconds"), ">", 3600.0, by=("company",)),
    ),
    # --- what Cal.com tells ------------------------------------------------------------------------------------------
    Rule(
        "webhooks_silent",
        WARNING,
        "Polling finds changes of which no webhook told",
        Ratio(
            of("slotline_polled_changes_total", told="no"),
            of("slotline_polled_changes_total"),
            _HOUR,
            ">",
            0.5,
            least=3,
            by=("account",),
        ),
        keeping=5 * _MINUTE,
    ),
    Rule(
        "polling_silent",
        WARNING,
        "Cal.com was not read for changes for a quarter of an hour",
        Gauge(of("slotline_polled_age_seconds"), ">", 900.0, by=("account",)),
    ),
    Rule(
        "dead_letters",
        WARNING,
        "Something that Cal.com told was given up and needs a person",
        Gauge(of("slotline_dead_letters"), ">", 0, by=("outbox",)),
    ),
    Rule(
        "sync_failed",
        WARNING,
        "The last sync with Cal.com failed",
        Gauge(of("slotline_job_failed", job="sync"), "==", 1, by=("account",)),
    ),
    Rule(
        "reconciliation_failed",
        WARNING,
        "The last comparison with Cal.com failed, or was stopped because too much differs",
        Gauge(of("slotline_job_failed", job="reconciliation"), "==", 1, by=("account",)),
    ),
    Rule(
        "job_overdue",
        WARNING,
        "A nightly job has not succeeded for more than a day",
        Gauge(of("slotline_job_age_seconds"), ">", 93_600.0, by=("job", "account")),
    ),
    Rule(
        "drift",
        WARNING,
        "The comparison with Cal.com found bookings that differ",
        Gauge(of("slotline_drift"), ">", 0, by=("account",)),
    ),
    # --- service levels: see monitoring/service_levels.py -----------------------------------------------------------
    _level("answers_failing", CRITICAL, "answers_given", "Agents get errors instead of answers"),
    _level("writes_failing", CRITICAL, "writes_given", "Holds, bookings and changes of them fail with errors"),
    _level("answers_slow", WARNING, "availability_fast", "Questions about free times take longer than 0.3 s"),
    _level("bookings_slow_here", WARNING, "bookings_fast", "We add more than 0.8 s to Cal.com's time for a booking"),
    _level("jobs_failing", WARNING, "jobs_done", "Background jobs fail"),
    # --- our own parts -----------------------------------------------------------------------------------------------
    Rule(
        "beat_silent",
        CRITICAL,
        "Beat has sent nothing: nothing is relayed, polled or expired",
        Gauge(of("slotline_heartbeat_age_seconds", part="beat"), ">", 90.0, by=("part",)),
    ),
    Rule(
        "worker_silent",
        CRITICAL,
        "No worker takes what waits in a queue",
        Gauge(
            of("slotline_heartbeat_age_seconds", part="cache|refresh|bookings|webhooks|default"),
            ">",
            120.0,
            by=("part",),
        ),
    ),
    Rule(
        "outbox_overdue",
        WARNING,
        "A row of an outbox has been due for more than a minute",
        Gauge(of("slotline_outbox_overdue_seconds"), ">", 60.0, by=("outbox",)),
        lasting=_MINUTE,
    ),
    Rule(
        "redis_away",
        WARNING,
        "Redis is away: processes answer within their own small share",
        Rate(of("slotline_redis_fallbacks_total"), 2 * _MINUTE, by=("feature",)),
        keeping=2 * _MINUTE,
    ),
    Rule(
        "part_unreadable",
        WARNING,
        "A part of Slotline cannot be read",
        Gauge(of("slotline_readable"), "<", 1, by=("part",)),
        lasting=2 * _MINUTE,
    ),
    Rule(
        "counters_absent",
        WARNING,
        "Nothing is counted: alerts about rates and times cannot fire",
        Absence(of("slotline_calcom_rate_limited_total"), 10 * _MINUTE),
        lasting=5 * _MINUTE,
    ),
    Rule(
        "database_away",
        CRITICAL,
        "PostgreSQL does not answer: nothing can be booked, and no other alert evaluated",
        Gauge(of("slotline_readable", part="machine"), "<", 1),
    ),
    Rule(
        "connections_used_up",
        WARNING,
        "More than 80 % of PostgreSQL's connections are taken",
        Gauge(of("slotline_database_connections_used"), ">", 0.8),
        lasting=2 * _MINUTE,
    ),
    Rule(
        "disk_full",
        CRITICAL,
        "Less than 10 % of a disk is free",
        Gauge(of("slotline_disk_free"), "<", 0.1, by=("disk",)),
        keeping=5 * _MINUTE,
    ),
    Rule(
        "unknown_keys",
        WARNING,
        "More than 100 requests in five minutes came with unknown agent keys",
        Rate(of("slotline_unknown_keys_total"), 5 * _MINUTE, level=100),
    ),
    Rule(
        "notification_failed",
        WARNING,
        "A message about an alert could not be delivered for five minutes",
        Gauge(of("slotline_notifications_overdue_seconds"), ">", 300.0),
    ),
    Rule(
        "alerts_not_evaluated",
        CRITICAL,
        "Slotline has not looked at its own alerts for two minutes",
        Gauge(of("slotline_alerts_evaluated_age_seconds"), ">", 120.0),
    ),
)
URGENT = tuple(rule for rule in RULES if rule.urgent)
BY_NAME = {rule.name: rule for rule in RULES}
