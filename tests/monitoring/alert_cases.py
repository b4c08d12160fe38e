"""
One table of series for both evaluators: for every alert, series in which it fires and series in which it does not.

Values are written as promtool writes them: `1+2x3` is 1 3 5 7, `0x3` is 0 0 0 0, `_` is no sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from monitoring.alert_forms import Subject

OPEN = 'slotline_breaker_state{account="1",kind="reads"}'
_BUCKETS = ("1.6", "2.0", "4.0", "4.5", "6.5", "8.0", "+Inf")


@dataclass(frozen=True)
class Case:
    """Series of one sample a minute, and at which minutes the alert fires for which subjects."""

    rule: str
    what: str
    series: dict[str, str]
    fires: dict[float, list[Subject]]

    def __str__(self) -> str:
        return f"{self.rule}-{self.what.replace(' ', '-')}"


def bookings(slow_edge: str, *, per_minute: int, slow: int, minutes: int = 30) -> dict[str, str]:
    """Return the histogram of Cal.com's time: the slow ones end below `slow_edge`, all others below 2.0 s."""
    series, labels = {}, 'operation="create_booking"'
    for edge in _BUCKETS:
        is_slow = float(edge.replace("+Inf", "inf")) >= float(slow_edge)
        rate = per_minute if is_slow else per_minute - slow if float(edge) >= 2.0 else 0
        series[f'slotline_calcom_request_seconds_bucket{{le="{edge}",{labels}}}'] = f"0+{rate}x{minutes}"
    series[f"slotline_calcom_request_seconds_count{{{labels}}}"] = f"0+{per_minute}x{minutes}"
    return series


def answers(fresh: str, loaded: str) -> dict[str, str]:
    """Return the answers for free slots."""
    name = "slotline_availability_answers_total"
    return {f'{name}{{source="fresh"}}': fresh, f'{name}{{source="loaded"}}': loaded}


def gauge(rule: str, series: str, bad: str, good: str, subject: Subject = (), *, after: float = 0) -> list[Case]:
    """Return what every gauge must do: fire after a time, be quiet at its level, and be one alert while it flaps."""
    flapping = " ".join([f"{good} {bad}"] * 2) + f" {bad}x20"
    return [
        Case(rule, "bad", {series: f"{good}x1 {bad}x20"}, {1: [], 3 + after: [subject]}),
        Case(rule, "good", {series: f"{good}x30"}, {1: [], 5: [], 25: []}),
        Case(rule, "ends", {series: f"{bad}x{int(8 + after)} {good}x20"}, {7 + after: [subject], 25 + after: []}),
        Case(rule, "flaps", {series: flapping}, {12 + after: [subject]}),
        Case(rule, "unknown", {series: "_x20"}, {10: []}),
    ]


def counter(rule: str, series: str, subject: Subject = (), *, step: int = 1, lasts: int) -> list[Case]:
    """Return what every counter must do: fire at a step, not because of what was before, also where it began anew."""
    return [
        Case(rule, "step", {series: f"7x5 {7 + step}x{lasts + 20}"}, {4: [], 7: [subject], lasts + 15: []}),
        Case(rule, "still", {series: "9000x30"}, {5: [], 25: []}),
        Case(rule, "restart", {series: f"7x5 {step}x{lasts + 20}"}, {4: [], 7: [subject], lasts + 15: []}),
        Case(rule, "unknown", {series: "_x20"}, {10: []}),
    ]


def _by(**labels: str) -> Subject:
    return tuple(labels.items())


def _share_of_limit(rule: str, spent: int, at_level: int) -> list[Case]:
    limit = {'slotline_rate_limit{account="1"}': "120x30"}
    cases = gauge(rule, 'slotline_rate_spent{account="1"}', str(spent), str(at_level), _by(account="1"))
    larger = {'slotline_rate_spent{account="1"}': f"{spent}x30", 'slotline_rate_limit{account="1"}': "600x30"}
    return [
        *(Case(each.rule, each.what, {**each.series, **limit}, each.fires) for each in cases),
        Case(rule, "larger limit", larger, {5: []}),
    ]


def _told(no: str, yes: str) -> dict[str, str]:
    name = "slotline_polled_changes_total"
    return {f'{name}{{account="1",told="no"}}': no, f'{name}{{account="1",told="yes"}}': yes}


def _checked(true: str, taken: str, undecided: str = "0x90") -> dict[str, str]:
    counts = {"true": true, "offered_but_taken": taken, "withheld": "0x90", "undecided": undecided}
    return {
        f'slotline_checked_slots_total{{account="1",outcome="{outcome}"}}': values for outcome, values in counts.items()
    }


def _requests(route: str, ok: str, failed: str) -> dict[str, str]:
    name, labels = "slotline_request_seconds_count", f'method="POST",route="{route}"'
    return {f'{name}{{{labels},status="200"}}': ok, f'{name}{{{labels},status="503"}}': failed}


_SEARCH = 'method="POST",route="v1/availability/search",status="200"'
_CREATE = 'operation="create"'


def _within(metric: str, labels: str, edge: str, within: str, beyond: str) -> dict[str, str]:
    counted = zip(within.split(), beyond.split(), strict=True)
    whole = " ".join(str(int(good) + int(bad)) for good, bad in counted)
    return {f'{metric}_bucket{{{labels},le="{edge}"}}': within, f"{metric}_count{{{labels}}}": whole}


def _jobs(done: str, failed: str, retried: str = "0x420") -> dict[str, str]:
    counts = {"done": done, "failed": failed, "retried": retried}
    return {f'slotline_jobs_total{{outcome="{outcome}"}}': values for outcome, values in counts.items()}


def _totals(each_minute: Sequence[int]) -> str:
    """Return a counter that grows by these steps, from 0."""
    return " ".join(map(str, accumulate(each_minute, initial=0)))


def burning(
    rule: str, series: Callable[[str, str], dict[str, str]], *, fast: int, slow: int, minutes: int = 120
) -> list[Case]:
    """
    Return what the alert of a service level must do. `series` makes it of the good events and of the bad ones.

    Of a thousand events a minute just more than `fast` are bad above the burn rate of an hour, more than `slow` above
    that of six hours.
    """

    def of(*bad: int, whole: int = 1000) -> dict[str, str]:
        return series(_totals([whole - each for each in bad]), _totals(bad))

    def quiet(minutes: int) -> list[int]:
        return [0] * minutes

    spell, idle = [fast + 1] * 10, quiet(10)
    return [
        Case(rule, "fast", of(*[fast + 1] * 30, *quiet(60)), {0: [], 5: [()], 29: [()], 80: []}),
        Case(rule, "slow", of(*[slow + 1] * minutes), {5: [()], 90: [()], minutes - 1: [()]}),
        Case(rule, "at the level", of(*[slow] * minutes), {5: [], 90: [], minutes - 1: []}),
        Case(rule, "one minute", of(*quiet(120), fast + 1, *quiet(60)), {119: [], 123: [], 150: []}),
        Case(rule, "flaps", of(*(spell + idle) * 5), {5: [()], 19: [()], 38: [()], 75: [()], 98: [()]}),
        Case(rule, "too few", series(_totals(quiet(60)), _totals([1] * 15 + quiet(45))), {10: [], 30: [], 55: []}),
        Case(rule, "no traffic", of(*quiet(60), whole=0), {30: [], 55: []}),
    ]


def _days(count: str, within: str) -> dict[str, str]:
    return {
        "slotline_cache_invalidation_days_count": count,
        'slotline_cache_invalidation_days_bucket{le="100.0"}': within,
    }


CASES: list[Case] = [
    *_share_of_limit("rate_high", 101, 100),
    *_share_of_limit("rate_critical", 116, 115),
    *gauge("circuit_open", OPEN, "1", "0", _by(account="1", kind="reads")),
    Case(
        "circuit_open",
        "unread in mid-outage",
        {OPEN: "0x1 1x3 _x3 1x3 0x9"},
        {3: [_by(account="1", kind="reads")], 7: [_by(account="1", kind="reads")], 15: []},
    ),
    Case(
        "circuit_open",
        "two accounts",
        {OPEN: "1x9", OPEN.replace('"1"', '"2"'): "1x9", OPEN.replace('"1"', '"3"'): "0x9"},
        {5: [_by(account="1", kind="reads"), _by(account="2", kind="reads")]},
    ),
    *gauge("key_refused", 'slotline_key_refused{account="1",kind="writes"}', "1", "0", _by(account="1", kind="writes")),
    *gauge("queue_deep", 'slotline_queue_depth{queue="cache"}', "51", "50", _by(queue="cache")),
    Case("queue_deep", "another queue", {'slotline_queue_depth{queue="refresh"}': "900x9"}, {5: []}),
    *counter("calcom_rate_limited", "slotline_calcom_rate_limited_total", lasts=5),
    Case("booking_slow_median", "slow", bookings("4.5", per_minute=2, slow=2), {5: [], 12: [()]}),
    Case("booking_slow_median", "at the level", bookings("4.0", per_minute=2, slow=2), {12: [], 25: []}),
    Case("booking_slow_median", "a minority", bookings("4.5", per_minute=5, slow=2), {12: [], 25: []}),
    Case("booking_slow_median", "too few", bookings("8.0", per_minute=1, slow=1, minutes=8), {8: [], 20: []}),
    Case("booking_slow_tail", "slow", bookings("8.0", per_minute=10, slow=1), {1: [], 12: [()]}),
    Case("booking_slow_tail", "at the level", bookings("6.5", per_minute=10, slow=10), {12: [], 25: []}),
    Case("booking_slow_tail", "too few", bookings("8.0", per_minute=1, slow=1, minutes=15), {12: [], 20: []}),
    *counter("invalidation_failing", 'slotline_cache_invalidation_failures_total{attempt="3"}', lasts=5),
    Case(
        "invalidation_failing",
        "first attempts",
        {'slotline_cache_invalidation_failures_total{attempt="1"}': "0+5x30"},
        {10: []},
    ),
    Case("hit_rate_low", "low", answers("0+2x40", "0+8x40"), {5: [], 20: [()]}),
    Case("hit_rate_low", "no hit", {'slotline_availability_answers_total{source="missing"}': "0+8x40"}, {20: [()]}),
    Case("hit_rate_low", "at the level", answers("0+5x40", "0+5x40"), {20: [], 35: []}),
    Case("hit_rate_low", "four searches", answers("0x40", "0x5 4x34"), {10: [], 35: []}),
    Case("hit_rate_low", "cold start", answers("0x3 0+20x30", "0+20x4 80x30"), {4: [], 10: [], 30: []}),
    Case(
        "hit_rate_low",
        "only rules",
        {'slotline_availability_answers_total{source="rules"}': "0+99x40", **answers("0x40", "0x40")},
        {35: []},
    ),
    Case("truth_rate_low", "low", _checked("0+99x90", "0+1x90"), {3: [], 30: [_by(account="1")]}),
    Case("truth_rate_low", "at the level", _checked("0+199x90", "0+1x90"), {30: [], 80: []}),
    Case("truth_rate_low", "too few", _checked("0+4x90", "0+1x90"), {30: [], 80: []}),
    Case("truth_rate_low", "undecided", _checked("0+100x90", "0x90", "0+900x90"), {30: [], 80: []}),
    Case(
        "truth_rate_low",
        "put right",
        _checked("0+99x10 1089+100x80", "0+9x10 90x80"),
        {9: [_by(account="1")], 20: [_by(account="1")], 40: []},
    ),
    Case("invalidation_wide", "wide", _days("5x5 6x20", "5x25"), {4: [], 7: [()], 20: []}),
    Case("invalidation_wide", "narrow", _days("0+3x25", "0+3x25"), {7: [], 20: []}),
    *gauge("appointments_overlap", 'slotline_overlapping_appointments{account="1"}', "2", "0", _by(account="1")),
    *counter("booked_without_booking", "slotline_bookings_missing_total", lasts=60),
    *counter("told_booked", "slotline_told_booked_total", lasts=60),
    *counter(
        "operation_not_in_time",
        'slotline_operations_total{operation="create",outcome="not_in_time"}',
        _by(operation="create"),
        lasts=60,
    ),
    Case(
        "operation_not_in_time",
        "other ends",
        {'slotline_operations_total{operation="create",outcome="done"}': "0+5x30"},
        {10: []},
    ),
    *counter("caller_unreachable", "slotline_unreachable_callers_total", lasts=60),
    *gauge("callback_waiting", 'slotline_callback_waiting_seconds{company="1"}', "3601", "3600", _by(company="1")),
    Case("webhooks_silent", "silent", _told("0+1x30", "0x30"), {2: [], 8: [_by(account="1")]}),
    Case("webhooks_silent", "few changes", _told("0x5 2x25", "0x30"), {10: [], 25: []}),
    Case("webhooks_silent", "most told", _told("0+1x30", "0+3x30"), {10: [], 25: []}),
    *gauge("polling_silent", 'slotline_polled_age_seconds{account="1"}', "901", "900", _by(account="1")),
    *gauge("dead_letters", 'slotline_dead_letters{outbox="webhooks"}', "1", "0", _by(outbox="webhooks")),
    *gauge("sync_failed", 'slotline_job_failed{job="sync",account="1"}', "1", "0", _by(account="1")),
    *gauge(
        "reconciliation_failed", 'slotline_job_failed{job="reconciliation",account="1"}', "1", "0", _by(account="1")
    ),
    *gauge(
        "job_overdue",
        'slotline_job_age_seconds{job="sync",account="1"}',
        "93601",
        "93600",
        _by(job="sync", account="1"),
    ),
    *gauge("drift", 'slotline_drift{account="1"}', "1", "0", _by(account="1")),
    *burning(
        "answers_failing",
        lambda ok, bad: _requests("v1/availability/search", ok, bad),
        fast=14,
        slow=6,
        minutes=420,  # longer than its longest window
    ),
    Case("answers_failing", "a booking", _requests("v1/bookings", "0x60", "0+100x60"), {30: []}),
    *burning("writes_failing", lambda ok, bad: _requests("v1/bookings", ok, bad), fast=144, slow=60),
    *burning("answers_slow", partial(_within, "slotline_request_seconds", _SEARCH, "0.3"), fast=720, slow=300),
    *burning(
        "bookings_slow_here", partial(_within, "slotline_operation_own_seconds", _CREATE, "0.8"), fast=720, slow=300
    ),
    *burning("jobs_failing", _jobs, fast=144, slow=60),
    Case("jobs_failing", "retried", _jobs("0+100x60", "0x60", "0+900x60"), {30: []}),
    *gauge("beat_silent", 'slotline_heartbeat_age_seconds{part="beat"}', "91", "90", _by(part="beat")),
    *gauge("worker_silent", 'slotline_heartbeat_age_seconds{part="cache"}', "121", "120", _by(part="cache")),
    Case("worker_silent", "beat", {'slotline_heartbeat_age_seconds{part="beat"}': "900x9"}, {5: []}),
    *gauge(
        "outbox_overdue",
        'slotline_outbox_overdue_seconds{outbox="operations"}',
        "61",
        "60",
        _by(outbox="operations"),
        after=1,
    ),
    *counter(
        "redis_away", 'slotline_redis_fallbacks_total{feature="throttle"}', _by(feature="throttle"), step=40, lasts=5
    ),
    *gauge("part_unreadable", 'slotline_readable{part="queues"}', "0", "1", _by(part="queues"), after=2),
    Case("counters_absent", "absent", {"slotline_calcom_rate_limited_total": "0x3 _x40"}, {10: [], 30: [()]}),
    Case("counters_absent", "present", {"slotline_calcom_rate_limited_total": "0x40"}, {10: [], 30: []}),
    Case("counters_absent", "a gap", {"slotline_calcom_rate_limited_total": "0x3 _x8 0x30"}, {10: [], 30: []}),
    *gauge("database_away", 'slotline_readable{part="machine"}', "0", "1"),
    Case("database_away", "another part", {'slotline_readable{part="queues"}': "0x9"}, {5: []}),
    *gauge("connections_used_up", "slotline_database_connections_used", "0.9", "0.8", after=2),
    *gauge("disk_full", 'slotline_disk_free{disk="metrics"}', "0.09", "0.1", _by(disk="metrics")),
    Case("unknown_keys", "many", {'slotline_unknown_keys_total{outcome="unknown"}': "0+50x20"}, {0: [], 6: [()]}),
    Case("unknown_keys", "few", {'slotline_unknown_keys_total{outcome="unknown"}': "0+10x20"}, {6: [], 15: []}),
    *gauge("notification_failed", "slotline_notifications_overdue_seconds", "301", "300"),
    *gauge("alerts_not_evaluated", "slotline_alerts_evaluated_age_seconds", "121", "120"),
]
