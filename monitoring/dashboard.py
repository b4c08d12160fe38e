"""
The Grafana dashboard: every row and panel, once.

`manage.py export_dashboard` writes docs/deploy/grafana/slotline.json. Thresholds are those of `monitoring/alerts.py`: a
panel names the alerts that watch what it shows. Gauges are the same for all instances, so their `max` is taken;
counters are summed. Where nothing happened in health, a panel shows 0 and not an empty frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from monitoring.alert_forms import share
from monitoring.alerts import BY_NAME, CRITICAL
from monitoring.service_levels import BY_NAME as LEVELS

RATE = "$__rate_interval"  # Grafana replaces it by four scrapes at least
# What lies above 0: Grafana colours a value from a threshold on, and alerts fire beyond one.
ABOVE_ZERO = 0.001
Kind = Literal["timeseries", "stat"]


@dataclass(frozen=True, slots=True)
class Query:
    """What Prometheus is asked, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which value on, or below which, a panel is coloured."""

    level: float
    critical: bool
    below: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One frame of the dashboard."""

    title: str
    description: str
    unit: str
    """Grafana's id: s, short, percentunit, reqps."""
    queries: Sequence[Query]
    alerts: Sequence[str] = ()
    kind: Kind = "timeseries"

    @property
    def thresholds(self) -> list[Threshold]:
        """Return the levels of its alerts, lowest first."""
        found: dict[float, Threshold] = {}
        for rule in (BY_NAME[name] for name in self.alerts):
            level = getattr(rule.form, "level", 0) or ABOVE_ZERO
            below = getattr(rule.form, "comparison", ">") == "<"
            critical = rule.severity == CRITICAL or (level in found and found[level].critical)
            found[level] = Threshold(level, critical, below)
        return [found[level] for level in sorted(found)]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


def _stat(title: str, description: str, unit: str, expr: str, *alerts: str, legend: str = "") -> Panel:
    return Panel(title, description, unit, [Query(expr, legend)], alerts, "stat")


def _gauge(metric: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"max{by} ({metric})"


def _rate(counter: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (rate({counter}[{RATE}]))"


def _grown(counter: str, window: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} (increase({counter}[{window}]))"


def _or_zero(expr: str) -> str:
    return f"{expr} or vector(0)"


def _quantile(quantile: float, histogram: str, *labels: str, selector: str = "", window: str = RATE) -> str:
    by = ", ".join((*labels, "le"))
    return f"histogram_quantile({quantile}, sum by ({by}) (rate({histogram}_bucket{selector}[{window}])))"


def _quantiles(histogram: str, *labels: str, selector: str = "") -> list[Query]:
    suffix = "".join(f" {{{{{label}}}}}" for label in labels)
    return [
        Query(_quantile(quantile, histogram, *labels, selector=selector), f"p{quantile * 100:.0f}{suffix}")
        for quantile in (0.5, 0.95)
    ]


_AGENTS = '{route=~"v1/.*"}'
_BOOKING = '{operation="create_booking"}'
_SPENT = f"{_gauge('slotline_rate_spent', 'account')} / {_gauge('slotline_rate_limit', 'account')}"
_KNOWN = 'slotline_availability_answers_total{source=~"fresh|stale|loaded|collapsed|expired|missing"}'
_CACHED = 'slotline_availability_answers_total{source=~"fresh|stale"}'
_CHANGES = "slotline_cache_invalidation_days_count"
_NARROW_CHANGES = 'slotline_cache_invalidation_days_bucket{le="100.0"}'
_POLLED = "slotline_polled_changes_total"
_UNTOLD = 'slotline_polled_changes_total{told="no"}'
_ANSWERED = f"slotline_request_seconds_count{_AGENTS}"
_FAILED = 'slotline_request_seconds_count{route=~"v1/.*",status=~"5.."}'

NOW = Row(
    "Is it all right now",
    [
        _stat(
            "Alerts that fire",
            "How many alerts fire now, by severity; the admin lists them with their runbooks.",
            "short",
            _gauge("sum by (severity, instance) (slotline_alerts)", "severity"),
            legend="{{severity}}",
        ),
        _stat(
            "Open circuits",
            "Accounts and kinds of request for which Cal.com does not answer; callers hear what was last known.",
            "short",
            f"sum({_gauge('slotline_breaker_state', 'account', 'kind')})",
            "circuit_open",
        ),
        _stat(
            "Refused API keys",
            "Accounts and kinds of request for which Cal.com refuses the key; nothing can be booked for them.",
            "short",
            f"sum({_gauge('slotline_key_refused', 'account', 'kind')})",
            "key_refused",
        ),
        _stat(
            "Budget spent",
            "Share of Cal.com's requests a minute that is spent, of the account that has spent most.",
            "percentunit",
            f"max({_SPENT})",
            "rate_high",
            "rate_critical",
        ),
        _stat(
            "Requests that failed",
            "Share of agents' requests of the last five minutes that were answered with an error of ours.",
            "percentunit",
            f"({_or_zero(_grown(_FAILED, '5m'))}) / {_grown(_ANSWERED, '5m')}",
        ),
        _stat(
            "Overlapping appointments",
            "Appointments ahead that overlap another of the same host, and need a person.",
            "short",
            _or_zero(f"sum({_gauge('slotline_overlapping_appointments', 'account')})"),
            "appointments_overlap",
        ),
        _stat(
            "Longest wait for a call back",
            "Opening time that the oldest open callback request of any company has waited.",
            "s",
            _or_zero(_gauge("slotline_callback_waiting_seconds")),
            "callback_waiting",
        ),
        _stat(
            "Parts that can be read",
            "1 while every part of Slotline can be read; 0 where one is missing, and its panels with it.",
            "short",
            "min(slotline_readable)",
            "part_unreadable",
        ),
    ],
)

CALLERS = Row(
    "Callers",
    [
        Panel(
            "Requests",
            "Requests a second of agents, staff and Cal.com's webhooks, by route.",
            "reqps",
            [Query(_rate("slotline_request_seconds_count", "route"), "{{route}}")],
        ),
        Panel(
            "Time until an agent is answered",
            "Half, and 95 %, of agents' requests were answered within this time; callers hear silence meanwhile.",
            "s",
            [
                *_quantiles("slotline_request_seconds", selector=_AGENTS),
                Query(_quantile(0.99, "slotline_request_seconds", selector=_AGENTS), "p99"),
            ],
        ),
        Panel(
            "Time until an answer, by route",
            "95 % of the requests of each route were answered within this time.",
            "s",
            [Query(_quantile(0.95, "slotline_request_seconds", "route"), "{{route}}")],
        ),
        Panel(
            "Errors",
            "Answers a second that say that something is wrong with Slotline, by status.",
            "reqps",
            [Query(_or_zero(_rate('slotline_request_seconds_count{status=~"5.."}', "status")), "{{status}}")],
        ),
        Panel(
            "Answers that promise less",
            "Slots that were not verified and changes that were pending, a second, by reason.",
            "reqps",
            [Query(_or_zero(_rate("slotline_degraded_answers_total", "what", "reason")), "{{what}} {{reason}}")],
        ),
        Panel(
            "Answered without waiting",
            "Requests a second that were answered from the cache because too many waited for Cal.com.",
            "reqps",
            [Query(_rate("slotline_bulkhead_full_total"), "bulkhead full")],
        ),
        Panel(
            "Unknown agent keys",
            "Requests of the last five minutes whose key is unknown: an agent with an old key, or an attack.",
            "short",
            [Query(_or_zero(_grown("slotline_unknown_keys_total", "5m")), "unknown keys")],
            ["unknown_keys"],
        ),
    ],
)

CALCOM = Row(
    "Cal.com and budget",
    [
        Panel(
            "Share of the budget that is spent",
            "Requests of the last 60 s that count as spent, of those that Cal.com allows, by account.",
            "percentunit",
            [Query(_SPENT, "account {{account}}")],
            ["rate_high", "rate_critical"],
        ),
        Panel(
            "Spent by whom",
            "Permits that count now by priority, and requests that are left to others who use the key.",
            "short",
            [
                Query(
                    f"sum by (priority) ({_gauge('slotline_rate_used', 'account', 'priority')})",
                    "{{priority}}",
                ),
                Query(f"sum({_gauge('slotline_rate_external', 'account')})", "others"),
                Query(f"sum({_gauge('slotline_rate_limit', 'account')})", "limit"),
            ],
        ),
        Panel(
            "Requests to Cal.com",
            "Requests a second by what came of them; `throttled` and `circuit_open` were not sent.",
            "reqps",
            [Query(_rate("slotline_calcom_requests_total", "outcome"), "{{outcome}}")],
        ),
        Panel(
            "Time of Cal.com",
            "95 % of Cal.com's answers of each operation came within this time.",
            "s",
            [Query(_quantile(0.95, "slotline_calcom_request_seconds", "operation"), "{{operation}}")],
        ),
        Panel(
            "Half of the bookings at Cal.com",
            "Half of the bookings of the last quarter of an hour took Cal.com no longer than this.",
            "s",
            [Query(_quantile(0.5, "slotline_calcom_request_seconds", selector=_BOOKING, window="15m"), "p50")],
            ["booking_slow_median"],
        ),
        Panel(
            "Slow bookings at Cal.com",
            "95 % of the bookings of the last quarter of an hour took Cal.com no longer than this.",
            "s",
            [Query(_quantile(0.95, "slotline_calcom_request_seconds", selector=_BOOKING, window="15m"), "p95")],
            ["booking_slow_tail"],
        ),
        Panel(
            "Answers 429",
            "Answers of Cal.com in the last five minutes that say that the key has spent too much; 0 is promised.",
            "short",
            [Query(_grown("slotline_calcom_rate_limited_total", "5m"), "429")],
            ["calcom_rate_limited"],
        ),
        Panel(
            "Requests that were not sent",
            "Requests a second that got no permit in time, by priority and reason, or met an open circuit.",
            "reqps",
            [
                Query(
                    _or_zero(_rate("slotline_rate_limiter_refusals_total", "priority", "reason")),
                    "{{priority}} {{reason}}",
                ),
                Query(_or_zero(_rate("slotline_breaker_refusals_total", "kind")), "circuit {{kind}}"),
            ],
        ),
        Panel(
            "Circuits",
            "1 while Cal.com does not answer the account, for reads and for writes, until a call has succeeded.",
            "short",
            [Query(_gauge("slotline_breaker_state", "account", "kind"), "account {{account}} {{kind}}")],
            ["circuit_open"],
        ),
        Panel(
            "Circuits that opened, keys that were refused",
            "How often within an hour a circuit opened, and Cal.com refused a key.",
            "short",
            [
                Query(_grown("slotline_breaker_opened_total", "1h", "kind"), "opened {{kind}}"),
                Query(_grown("slotline_key_refusals_total", "1h", "kind"), "refused {{kind}}"),
            ],
        ),
        Panel(
            "Pauses",
            "Seconds for which nothing, or nothing in the background, is sent, and for which the log may have a gap.",
            "s",
            [
                Query(_gauge("slotline_pause_seconds", "account"), "all, account {{account}}"),
                Query(_gauge("slotline_background_paused_seconds", "account"), "background, account {{account}}"),
                Query(_gauge("slotline_recovering_seconds", "account"), "recovering, account {{account}}"),
            ],
        ),
        Panel(
            "On their way",
            "Requests that Cal.com has not answered yet, by account.",
            "short",
            [Query(_gauge("slotline_rate_in_flight", "account"), "account {{account}}")],
        ),
    ],
)

CACHE = Row(
    "Cache",
    [
        Panel(
            "Answers by source",
            "Answers a second about free slots: from the cache, loaded, or of what was last known.",
            "reqps",
            [Query(_rate("slotline_availability_answers_total", "source"), "{{source}}")],
        ),
        Panel(
            "Hit rate",
            "Share of the answers of a quarter of an hour that came from the cache; the alert wants 50 of them.",
            "percentunit",
            [Query(f"({_or_zero(_grown(_CACHED, '15m'))}) / {_grown(_KNOWN, '15m')}", "hit rate")],
            ["hit_rate_low"],
        ),
        Panel(
            "Age of what is answered",
            "Half, and 95 %, of the answers stand on days that are no older than this.",
            "s",
            _quantiles("slotline_availability_age_seconds"),
        ),
        Panel(
            "Days invalidated",
            "Days a second that are loaded anew before they are answered again, by cause.",
            "cps",
            [Query(_rate("slotline_cache_invalidations_total", "cause"), "{{cause}}")],
        ),
        Panel(
            "Changes that invalidated more than 100 days",
            "Bookings and messages of the last five minutes that made a whole season expire: one is too many.",
            "short",
            [
                Query(
                    f"{_grown(_CHANGES, '5m')} - {_grown(_NARROW_CHANGES, '5m')}",
                    "too wide",
                )
            ],
            ["invalidation_wide"],
        ),
        Panel(
            "Invalidations that failed three times",
            "Within five minutes; callers may be offered what is taken until the relay has processed the row.",
            "short",
            [Query(_grown('slotline_cache_invalidation_failures_total{attempt=~"3|more"}', "5m"), "failed")],
            ["invalidation_failing"],
        ),
    ],
)

BOOKINGS = Row(
    "Bookings and operations",
    [
        Panel(
            "Operations that ended",
            "Bookings, reschedules and cancellations of an hour, by outcome.",
            "short",
            [Query(_grown("slotline_operations_total", "1h", "operation", "outcome"), "{{operation}} {{outcome}}")],
        ),
        Panel(
            "Time to the end",
            "95 % of the operations were settled within this time after the agent asked.",
            "s",
            [Query(_quantile(0.95, "slotline_operation_seconds", "operation"), "{{operation}}")],
        ),
        Panel(
            "Our share of the time",
            "What Slotline added to Cal.com's time in 95 % of the answers that waited for its yes.",
            "s",
            [Query(_quantile(0.95, "slotline_operation_own_seconds", "operation"), "{{operation}}")],
        ),
        Panel(
            "Cal.com's share of the time",
            "95 % of the changes that Cal.com made at once took it no longer than this.",
            "s",
            [Query(_quantile(0.95, "slotline_operation_calcom_seconds", "operation"), "{{operation}}")],
        ),
        Panel(
            "Not settled in time",
            "Operations of an hour that were not settled when the appointment should have begun.",
            "short",
            [Query(_grown('slotline_operations_total{outcome="not_in_time"}', "1h", "operation"), "{{operation}}")],
            ["operation_not_in_time"],
        ),
        Panel(
            "Told “booked”, without a booking",
            "Appointments of an hour that were confirmed to a caller and could not be found at Cal.com.",
            "short",
            [Query(_grown("slotline_bookings_missing_total", "1h"), "missing")],
            ["booked_without_booking"],
        ),
        Panel(
            "Told of a booking that was never made",
            "Calls of an hour in which an agent told of a booking that it had not made.",
            "short",
            [Query(_grown("slotline_told_booked_total", "1h"), "calls")],
            ["told_booked"],
        ),
        Panel(
            "Callers that cannot be reached",
            "Callers of an hour who must be told something and left no number.",
            "short",
            [Query(_grown("slotline_unreachable_callers_total", "1h"), "callers")],
            ["caller_unreachable"],
        ),
        Panel(
            "Waiting to be called back",
            "Opening time that the oldest open callback request of each company has waited.",
            "s",
            [Query(_or_zero(_gauge("slotline_callback_waiting_seconds", "company")), "company {{company}}")],
            ["callback_waiting"],
        ),
        Panel(
            "Overlapping appointments",
            "Appointments ahead that overlap another of the same host, by account.",
            "short",
            [Query(_gauge("slotline_overlapping_appointments", "account"), "account {{account}}")],
            ["appointments_overlap"],
        ),
        Panel(
            "Drift",
            "Bookings that differed when they were last compared with Cal.com, by account.",
            "short",
            [Query(_gauge("slotline_drift", "account"), "account {{account}}")],
            ["drift"],
        ),
        Panel(
            "Given up",
            "Rows of an outbox that were given up and need a person.",
            "short",
            [Query(_gauge("slotline_dead_letters", "outbox"), "{{outbox}}")],
            ["dead_letters"],
        ),
        Panel(
            "Bookings read that could not be applied",
            "Within an hour by what became of them, and those that need a person now.",
            "short",
            [
                Query(_or_zero(_grown("slotline_deferred_bookings_total", "1h", "outcome")), "{{outcome}}"),
                Query(_gauge("slotline_deferred_bookings_given_up"), "given up"),
            ],
        ),
    ],
)

QUEUES = Row(
    "Queues and workers",
    [
        Panel(
            "Messages that wait",
            "Messages that no worker has taken, by queue; the threshold is that of the queue `cache`.",
            "short",
            [Query(_gauge("slotline_queue_depth", "queue"), "{{queue}}")],
            ["queue_deep"],
        ),
        Panel(
            "Signs of life",
            "Seconds since beat, and a worker of each queue, gave a sign of life; one is due every 30 s.",
            "s",
            [Query(_gauge("slotline_heartbeat_age_seconds", "part"), "{{part}}")],
            ["beat_silent", "worker_silent"],
        ),
        Panel(
            "Outboxes",
            "Rows that wait to be processed, counted up to 10000.",
            "short",
            [Query(_gauge("slotline_outbox_size", "outbox"), "{{outbox}}")],
        ),
        Panel(
            "Overdue in outboxes",
            "Seconds for which the oldest due row has waited.",
            "s",
            [Query(_gauge("slotline_outbox_overdue_seconds", "outbox"), "{{outbox}}")],
            ["outbox_overdue"],
        ),
        Panel(
            "Changes without a webhook",
            "Share of the changes at Cal.com within an hour that only polling found; the alert wants three of them.",
            "percentunit",
            [
                Query(
                    _or_zero(f"{_grown(_UNTOLD, '1h', 'account')} / {_grown(_POLLED, '1h', 'account')}"),
                    "account {{account}}",
                )
            ],
            ["webhooks_silent"],
        ),
        Panel(
            "Last read for changes",
            "Seconds since Cal.com was last read for changes, by account.",
            "s",
            [Query(_gauge("slotline_polled_age_seconds", "account"), "account {{account}}")],
            ["polling_silent"],
        ),
        Panel(
            "Nightly jobs",
            "Seconds since sync and reconciliation last succeeded, by account.",
            "s",
            [Query(_gauge("slotline_job_age_seconds", "job", "account"), "{{job}}, account {{account}}")],
            ["job_overdue"],
        ),
        Panel(
            "Jobs that failed",
            "1 where the last run failed, or was stopped because too much differs.",
            "short",
            [Query(_gauge("slotline_job_failed", "job", "account"), "{{job}}, account {{account}}")],
            ["sync_failed", "reconciliation_failed"],
        ),
        Panel(
            "Answers without Redis",
            "Answers of the last two minutes that a process gave within its own small share, by feature.",
            "short",
            [Query(_grown("slotline_redis_fallbacks_total", "2m", "feature"), "{{feature}}")],
            ["redis_away"],
        ),
    ],
)

_CHECKED = 'slotline_checked_slots_total{outcome=~"true|offered_but_taken|withheld|out_of_bounds"}'
_TRUE = 'slotline_checked_slots_total{outcome="true"}'
_ASKED = "slotline_availability_results_total"
_REFUSED = "slotline_offers_refused_total"
_HOUR = timedelta(hours=1)


def _level(title: str, description: str, level: str, alert: str) -> Panel:
    """Return what the alert of a service level compares: the share in an hour of what is counted of it."""
    counted = LEVELS[level]
    return Panel(
        title, description, "percentunit", [Query(_or_zero(share(counted.part, counted.whole, _HOUR)))], [alert]
    )


SERVICE_LEVELS = Row(
    "Service levels",
    [
        _level(
            "Answers with errors",
            "Share of agents' questions within an hour that were answered 500 to 504; 0.1 % is allowed in a month.",
            "answers_given",
            "answers_failing",
        ),
        _level(
            "Holds and bookings with errors",
            "Share of holds, bookings and changes within an hour that were answered 500 to 504; 1 % is allowed.",
            "writes_given",
            "writes_failing",
        ),
        _level(
            "Answers within 0.3 s",
            "Share of questions about free times within an hour that were answered in 0.3 s; 95 % is wanted.",
            "availability_fast",
            "answers_slow",
        ),
        _level(
            "Bookings to which we add at most 0.8 s",
            "Share of bookings within an hour in whose answer our own time was at most 0.8 s; 95 % is wanted.",
            "bookings_fast",
            "bookings_slow_here",
        ),
        _level(
            "Background jobs that failed",
            "Share of the jobs that ended within an hour; 1 % is allowed in a month.",
            "jobs_done",
            "jobs_failing",
        ),
    ],
)

TRUTH = Row(
    "Truth rate and funnel",
    [
        Panel(
            "Truth rate",
            "Share of the cached slots compared with Cal.com within an hour that were true; the alert wants 500.",
            "percentunit",
            [
                Query(
                    f"({_grown(_TRUE, '1h', 'account')} or 0 * {_grown(_CHECKED, '1h', 'account')})"
                    f" / {_grown(_CHECKED, '1h', 'account')}",
                    "account {{account}}",
                )
            ],
            ["truth_rate_low"],
        ),
        Panel(
            "Slots that differed",
            "Slots of an hour that were not as Cal.com lists them, by what was wrong and what our knowledge lacked.",
            "short",
            [
                Query(
                    _or_zero(_grown("slotline_slot_differences_total", "1h", "outcome", "cause")),
                    "{{outcome}} {{cause}}",
                )
            ],
        ),
        Panel(
            "Age of lists that were wrong",
            "95 % of the slots that differed stood in lists no older than this, by what was wrong.",
            "s",
            [
                Query(
                    _or_zero(_quantile(0.95, "slotline_slot_difference_age_seconds", "outcome", window="1h")),
                    "{{outcome}}",
                )
            ],
        ),
        Panel(
            "Comparisons with Cal.com",
            "Cached lists that were compared within an hour, and why others were not.",
            "short",
            [Query(_grown("slotline_availability_checks_total", "1h", "outcome"), "{{outcome}}")],
        ),
        Panel(
            "Funnel",
            "What became of the questions of an hour: asked, offered something, booked, and offered but then refused.",
            "short",
            [
                Query(_grown(_ASKED, "1h"), "asked"),
                Query(_or_zero(_grown(f'{_ASKED}{{status=~"available|alternatives|degraded"}}', "1h")), "offered"),
                Query(
                    _or_zero(_grown('slotline_operations_total{operation="create",outcome="confirmed"}', "1h")),
                    "booked",
                ),
                Query(_or_zero(_grown(_REFUSED, "1h")), "refused"),
            ],
        ),
        Panel(
            "What answers offered",
            "Answers of an hour about free slots by what they offered to the caller.",
            "short",
            [Query(_grown(_ASKED, "1h", "status"), "{{status}}")],
        ),
        Panel(
            "Offers that were refused",
            "Offers of an hour that a caller chose and was then refused, by step and reason.",
            "short",
            [Query(_or_zero(_grown(_REFUSED, "1h", "step", "reason")), "{{step}} {{reason}}")],
        ),
    ],
)

PROCESS = Row(
    "Process",
    [
        Panel(
            "Version",
            "Web instances that are scraped, by the version that answers; two versions stand here during a deployment.",
            "short",
            [Query("count by (version) (slotline_info)", "{{version}}")],
        ),
        Panel(
            "Readable parts",
            "0 where a part could not be read, so that its gauges are missing; `machine` is PostgreSQL.",
            "short",
            [Query("min by (part) (slotline_readable)", "{{part}}")],
            ["part_unreadable", "database_away"],
        ),
        Panel(
            "Free on the disk",
            "Share of the disk of the counters that is free, of the machine that has least.",
            "percentunit",
            [Query("min by (disk) (slotline_disk_free)", "{{disk}}")],
            ["disk_full"],
        ),
        Panel(
            "Connections to PostgreSQL",
            "Share of PostgreSQL's connections that is taken, by everybody who uses the server.",
            "percentunit",
            [Query(_gauge("slotline_database_connections_used"), "taken")],
            ["connections_used_up"],
        ),
        Panel(
            "Alerts were evaluated",
            "Seconds since Slotline last looked at its own alerts; a few are usual.",
            "s",
            [Query(_gauge("slotline_alerts_evaluated_age_seconds"), "ago")],
            ["alerts_not_evaluated"],
        ),
        Panel(
            "Messages about alerts",
            "Attempts of an hour to send a message about alerts, by outcome.",
            "short",
            [Query(_or_zero(_grown("slotline_notifications_total", "1h", "outcome")), "{{outcome}}")],
        ),
        Panel(
            "Message about an alert that is late",
            "Seconds for which the oldest message about alerts has not been delivered.",
            "s",
            [Query(_or_zero(_gauge("slotline_notifications_overdue_seconds")), "late")],
            ["notification_failed"],
        ),
        Panel(
            "Logins and signatures",
            "Attempts of an hour to log in to the admin, by outcome, and webhooks with a wrong signature.",
            "short",
            [
                Query(_or_zero(_grown("slotline_admin_logins_total", "1h", "outcome")), "login {{outcome}}"),
                Query(
                    _or_zero(_grown("slotline_webhook_bad_signatures_total", "1h", "outcome")),
                    "signature {{outcome}}",
                ),
            ],
        ),
    ],
)

ROWS = (NOW, SERVICE_LEVELS, CALLERS, CALCOM, CACHE, BOOKINGS, QUEUES, TRUTH, PROCESS)
