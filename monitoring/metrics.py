"""
Every metric, with its labels: dashboards and alerts depend on this page (docs/operations.md has the alerts).

Counters and histograms are added to by the apps where the thing happens. Gauges are read on request; most say
how something is that all processes share, so of several web processes each tells the same.

A label has few values, and none of them comes from outside: words of our code, ids of accounts. Never a caller, a uid,
a key or its hash, a text of Cal.com's.
"""

from pathlib import Path

from django.conf import settings
from prometheus_client import Counter as _Counter
from prometheus_client import Histogram as _Histogram

from monitoring import multiprocess
from monitoring.collectors import Gauge

multiprocess.count_in(Path(settings.PROMETHEUS_MULTIPROC_DIR))


def _counter(name: str, meaning: str, *labels: str) -> _Counter:
    return _Counter(name, meaning, labels, registry=multiprocess.COUNTED)


def _histogram(name: str, meaning: str, *labels: str, edges: tuple[float, ...]) -> _Histogram:
    return _Histogram(name, meaning, labels, buckets=edges, registry=multiprocess.COUNTED)


# --- requests of agents, staff, Cal.com's webhooks ---------------------------------------------------------------

# Seconds. The deadlines of 2 and 3.5 s, and each with the 100 ms that an answer may be late, are among them.
_ANSWER_EDGES = (
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.5,
    1.0,
    2.0,
    2.1,
    3.5,
    3.6,
    8.0,
    8.1,
)
REQUEST_SECONDS = _histogram(
    "slotline_request_seconds",
    "Seconds until a request was answered.",
    "method",
    "route",
    "status",
    edges=_ANSWER_EDGES,
)
UNKNOWN_KEYS = _counter(
    "slotline_unknown_keys_total",
    "Unknown agent keys; not looked up are those of an address that sent too many.",
    "outcome",
)
LOGINS = _counter(
    "slotline_admin_logins_total",
    "Attempts to log in to the admin; throttled are those whose password was not looked at.",
    "outcome",
)
BAD_SIGNATURES = _counter(
    "slotline_webhook_bad_signatures_total",
    "Webhooks with a wrong signature; throttled are those of an address from which too many came.",
    "outcome",
)

# --- Cal.com -----------------------------------------------------------------------------------------------------

CALCOM_REQUESTS = _counter(
    "slotline_calcom_requests_total",
    "Requests to Cal.com by what came of them. `throttled` and `circuit_open` were not sent.",
    "operation",
    "outcome",
    "priority",
)
# Seconds. A booking's levels of 4.0 and 6.5 s are among them, and the time-outs of 8 and 20 s.
_CALCOM_EDGES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.75, 6.5, 8.0, 10.0, 20.0)
CALCOM_SECONDS = _histogram(
    "slotline_calcom_request_seconds",
    "Seconds from sending a request to Cal.com to the end of its answer, or of waiting for it.",
    "operation",
    edges=_CALCOM_EDGES,
)
CALCOM_RATE_LIMITED = _counter("slotline_calcom_rate_limited_total", "Answers of Cal.com with status 429.")
RATE_LIMITER_REFUSALS = _counter(
    "slotline_rate_limiter_refusals_total",
    "Requests that got no permit in time: the budget is used, Cal.com asked for a pause, the log lost its memory, "
    "or Redis is away.",
    "priority",
    "reason",
)
BREAKER_REFUSALS = _counter(
    "slotline_breaker_refusals_total", "Requests that were not sent because the breaker is open.", "kind"
)
BREAKER_OPENED = _counter("slotline_breaker_opened_total", "How often a breaker opened.", "kind")

KEY_REFUSALS = _counter(
    "slotline_key_refusals_total",
    "Answers of Cal.com that refuse an account's API key.",
    "kind",
)
KEY_REFUSED = Gauge(
    "slotline_key_refused", "1 where Cal.com refuses the account's API key for this kind, else 0.", ("account", "kind")
)

DEFERRED_BOOKINGS = _counter(
    "slotline_deferred_bookings_total",
    "Bookings read at Cal.com that could not be applied (`deferred`), and what became of them: `applied`, `gone`, or "
    "`dead_letter`, which needs a person.",
    "outcome",
)
DEFERRED_GIVEN_UP = Gauge(
    "slotline_deferred_bookings_given_up", "Bookings read at Cal.com that could not be applied and need a person.", ()
)

DEAD_LETTERS = Gauge(
    "slotline_dead_letters", "Rows of an outbox that were given up and need a person, counted up to 10000.", ("outbox",)
)
POLLED_CHANGES = _counter(
    "slotline_polled_changes_total",
    "Changes at Cal.com that polling read a minute later, by whether a webhook had told (`told`: yes, no).",
    "account",
    "told",
)
POLLED_AGE_SECONDS = Gauge(
    "slotline_polled_age_seconds", "Seconds since Cal.com was last read for changes.", ("account",)
)

RATE_LIMIT = Gauge("slotline_rate_limit", "Requests a minute that Cal.com allows the account's key.", ("account",))
RATE_SPENT = Gauge(
    "slotline_rate_spent",
    "Requests of the last 60 s that must be taken for spent, by everybody who uses the key.",
    ("account",),
)
RATE_USED = Gauge("slotline_rate_used", "Permits of ours that count now.", ("account", "priority"))
RATE_PRIORITY_CAP = Gauge(
    "slotline_rate_priority_cap", "How much may be spent before a priority waits.", ("account", "priority")
)
RATE_FREE = Gauge(
    "slotline_rate_free", "Requests that a priority may send now before it waits.", ("account", "priority")
)
RATE_EXTERNAL = Gauge("slotline_rate_external", "Requests a minute that are left to others with the key.", ("account",))
RATE_IN_FLIGHT = Gauge("slotline_rate_in_flight", "Requests that are on their way now.", ("account",))
RATE_REPORTED_REMAINING = Gauge(
    "slotline_rate_reported_remaining",
    "What Cal.com last said remains of its window; absent when that window is over.",
    ("account",),
)
PAUSE_SECONDS = Gauge(
    "slotline_pause_seconds", "Seconds for which nothing may be sent; 0 without a pause.", ("account",)
)
BACKGROUND_PAUSED_SECONDS = Gauge(
    "slotline_background_paused_seconds",
    "Seconds for which refresh and background work pause; 0 without.",
    ("account",),
)
RECOVERING_SECONDS = Gauge(
    "slotline_recovering_seconds", "Seconds for which the log of permits may have a gap; 0 without.", ("account",)
)
BREAKER_STATE = Gauge("slotline_breaker_state", "0 closed, 1 open: until a call has succeeded.", ("account", "kind"))

REDIS_FALLBACKS = _counter(
    "slotline_redis_fallbacks_total",
    "Answers that a process gave within its own share, because Redis was away.",
    "feature",
)

# --- availability ------------------------------------------------------------------------------------------------

AVAILABILITY_ANSWERS = _counter(
    "slotline_availability_answers_total",
    "Answers about free slots by source: fresh or stale from the cache; loaded with a request; collapsed into another "
    "caller's load; expired or missing, because no load came; rules, where nothing was looked up.",
    "source",
)
# Seconds. 120, 900 and 86400 are the ages up to which a day is fresh, stale and old, unless set otherwise.
AVAILABILITY_AGE = _histogram(
    "slotline_availability_age_seconds",
    "Age of the oldest day that an answer stands on.",
    edges=(1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 3600.0, 14400.0, 86400.0),
)
DEGRADED_ANSWERS = _counter(
    "slotline_degraded_answers_total",
    "Answers that promise less than was asked for: slots that are not verified or not known, changes that are pending.",
    "what",
    "reason",
)

AVAILABILITY_RESULTS = _counter(
    "slotline_availability_results_total",
    "Answers about free slots by what they offer: what was asked for (`available`), other times (`alternatives`), "
    "`none`, times with reserve (`degraded`), or nothing because nothing is known (`unknown`).",
    "status",
)
OFFERS_REFUSED = _counter(
    "slotline_offers_refused_total",
    "Offers that a caller chose and was then refused, by the code of the refusal; `step` is hold or booking.",
    "step",
    "reason",
)
# The availability checker: truth rate = true / (all but undecided).
CHECKED_SLOTS = _counter(
    "slotline_checked_slots_total",
    "Slots of cached lists that were compared with Cal.com: `true`; `offered_but_taken`; `withheld`, free there; "
    "`out_of_bounds`, offered sooner than Cal.com allows; `undecided`, because something changed meanwhile.",
    "account",
    "outcome",
)
SLOT_DIFFERENCES = _counter(
    "slotline_slot_differences_total",
    "Slots that differed from Cal.com, by what our knowledge lacked (`cause`).",
    "outcome",
    "cause",
)
SLOT_DIFFERENCE_AGE = _histogram(
    "slotline_slot_difference_age_seconds",
    "Age of the list in which a slot differed from Cal.com: it has been wrong for that long at most.",
    "outcome",
    edges=(1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 600.0, 900.0),
)
AVAILABILITY_CHECKS = _counter(
    "slotline_availability_checks_total",
    "Comparisons of a cached list with Cal.com: `compared`, `nothing_known`, or why there was none.",
    "outcome",
)

BULKHEAD_FULL = _counter(
    "slotline_bulkhead_full_total",
    "Requests that were answered at once with what is known, because too many waited for Cal.com.",
)

# --- changes -----------------------------------------------------------------------------------------------------

OPERATIONS = _counter(
    "slotline_operations_total", "Bookings, moves and cancellations that came to their end.", "operation", "outcome"
)
OPERATION_CALCOM_SECONDS = _histogram(
    "slotline_operation_calcom_seconds",
    "Cal.com's share of the time, of changes that it made at once.",
    "operation",
    edges=_CALCOM_EDGES,
)
OPERATION_SECONDS = _histogram(
    "slotline_operation_seconds",
    "Seconds from writing a change down to its end.",
    "operation",
    edges=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.5, 8.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 3600.0),
)
OPERATION_OWN_SECONDS = _histogram(
    "slotline_operation_own_seconds",
    "Our share of the time, of answers that waited for Cal.com's yes.",
    "operation",
    edges=(0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 0.8, 1.0, 3.5),
)

UNREACHABLE_CALLERS = _counter(
    "slotline_unreachable_callers_total", "Callers who must be told something and left no number."
)
BOOKINGS_MISSING = _counter(
    "slotline_bookings_missing_total", "Appointments that were confirmed here and could not be found at Cal.com."
)
TOLD_BOOKED = _counter(
    "slotline_told_booked_total", "Calls in which an agent told the caller of a booking, and none was made."
)
OVERLAPPING_APPOINTMENTS = Gauge(
    "slotline_overlapping_appointments", "Appointments ahead that overlap another of the same host.", ("account",)
)
CALLBACK_WAITING_SECONDS = Gauge(
    "slotline_callback_waiting_seconds",
    "Seconds of opening time that the oldest open callback request has waited.",
    ("company",),
)

# --- invalidation ------------------------------------------------------------------------------------------------

CACHE_INVALIDATIONS = _counter("slotline_cache_invalidations_total", "Days invalidated, of all event types.", "cause")
CHANGE_DAYS_INVALIDATED = _histogram(
    "slotline_cache_invalidation_days",
    "Days that one booking, reschedule, cancellation or webhook invalidated, of all event types.",
    edges=(1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0, 64.0, 100.0, 200.0, 400.0, 1000.0),
)
CACHE_INVALIDATION_FAILURES = _counter(
    "slotline_cache_invalidation_failures_total", "Failed attempts to invalidate, by their number in a row.", "attempt"
)

# --- what waits --------------------------------------------------------------------------------------------------

QUEUE_DEPTH = Gauge("slotline_queue_depth", "Messages that wait for a worker.", ("queue",))
OUTBOX_SIZE = Gauge("slotline_outbox_size", "Pending rows, counted up to 10000.", ("outbox",))
OUTBOX_OVERDUE_SECONDS = Gauge(
    "slotline_outbox_overdue_seconds", "Seconds for which the oldest due row has been pending.", ("outbox",)
)

JOBS = _counter(
    "slotline_jobs_total",
    "Background jobs that ended: `done`, `failed`, or `retried`, which are tried again.",
    "outcome",
)

# --- jobs, processes, machines ------------------------------------------------------------------------------------

JOB_AGE_SECONDS = Gauge(
    "slotline_job_age_seconds", "Seconds since a job last succeeded, or was first due.", ("job", "account")
)
JOB_FAILED = Gauge("slotline_job_failed", "1 where the last run of a job failed, else 0.", ("job", "account"))
DRIFT = Gauge("slotline_drift", "Bookings that differed when they were last compared with Cal.com.", ("account",))
HEARTBEAT_AGE_SECONDS = Gauge(
    "slotline_heartbeat_age_seconds", "Seconds since beat, or a worker of a queue, gave a sign of life.", ("part",)
)
DATABASE_CONNECTIONS_USED = Gauge("slotline_database_connections_used", "Share of PostgreSQL's connections taken.")
DISK_FREE = Gauge("slotline_disk_free", "Share of a disk of this machine that is free.", ("disk",))

# --- alerts ------------------------------------------------------------------------------------------------------

ALERTS = Gauge(
    "slotline_alerts",
    "Alerts that fire now, by severity and whether a person has taken them.",
    ("severity", "acknowledged"),
)
ALERTS_EVALUATED_AGE_SECONDS = Gauge(
    "slotline_alerts_evaluated_age_seconds", "Seconds since Slotline last evaluated its alerts."
)
NOTIFICATIONS = _counter("slotline_notifications_total", "Attempts to send a message about alerts.", "outcome")
NOTIFICATIONS_OVERDUE_SECONDS = Gauge(
    "slotline_notifications_overdue_seconds",
    "Seconds for which the oldest message about alerts has not been delivered.",
)

# --- this page itself --------------------------------------------------------------------------------------------

INFO = Gauge("slotline_info", "1, for the version that answers.", ("version",))
READABLE = Gauge(
    "slotline_readable", "1 where a part could be read just now, 0 where its gauges are missing.", ("part",)
)

# Prometheus sees an increase only of what it has seen before, and these are alerted of at the first.
for _attempt in ("1", "2", "3", "more"):
    CACHE_INVALIDATION_FAILURES.labels(_attempt)
for _outcome in ("done", "failed", "retried"):
    JOBS.labels(_outcome)
for _feature in ("throttle", "rate_limiter", "circuit_breaker"):
    REDIS_FALLBACKS.labels(_feature)
for _operation in ("create", "reschedule", "cancel"):
    OPERATIONS.labels(_operation, "not_in_time")
for _kind in ("reads", "writes"):
    BREAKER_OPENED.labels(_kind)
    KEY_REFUSALS.labels(_kind)
