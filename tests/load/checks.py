"""
From the evidence of a run to its measurements. Pure.

Whatever a measurement needs and is not there makes it missing: a call log, Cal.com's request log, locust's statistics
that differ from the call log, a run in which nothing worth checking happened (FM-80).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from monitoring.service_levels import BY_NAME
from script.lib.environment import SLOTS
from script.lib.measurements import Measurement, most_in_60_s, percentile
from tests.load import levels, outcomes, refusals
from tests.load.call_log import CallLog, Exchange
from tests.load.evidence import Evidence, Request, overlaps
from tests.load.scenarios import QUEUED_JOBS, WITH_LEVELS

SEARCHES = frozenset({"POST /v1/availability/search", "GET /v1/availability"})
HOLD = "POST /v1/holds"
TOLERATED = 0.1
"""Seconds that a response may come after its deadline."""
FEWEST_SEARCHES = 15
QUEUE = "cache"
UNAVAILABLE = frozenset({"upstream_unavailable", "deadline_exceeded"})
"""Codes that are expected while Cal.com is away."""
EXPECTED = frozenset({"slot_taken", "slot_not_offered", "hold_expired", "already_cancelled", "too_many_reschedules"})

T = TypeVar("T")
Check = Callable[[Evidence], Measurement]


class Missing(Exception):
    """What the measurement needs is not known; the message says what."""


def check(evidence: Evidence) -> dict[str, Measurement]:
    """Return the measurements of a run by row."""
    name = evidence.run.scenario.name
    checks = {**_OF_SCENARIO[name], **{f"{name}_{row}": each for row, each in _OF_EVERY_SCENARIO.items()}}
    if name in WITH_LEVELS:
        checks |= {f"{name}_{level}": each for level, each in _LEVELS.items()}
    return {row: _measured(each, evidence) for row, each in checks.items()}


def _measured(check: Check, evidence: Evidence) -> Measurement:
    try:
        return check(evidence)
    except Missing as exc:
        return Measurement(None, str(exc))


# --- what must be there --------------------------------------------------------------------------------------------


def _required(evidence: Evidence, name: str, value: T | None) -> T:
    if value is None:
        raise Missing(evidence.missing.get(name, f"{name}: not known"))
    return value


def _log(evidence: Evidence) -> CallLog:
    """Return the call log, if it is complete: locust counted the same, and the callers' own code did not fail."""
    log = _required(evidence, "log", evidence.log)
    counted = _required(evidence, "locust", evidence.locust)
    if log.end is None:
        raise Missing("the call log breaks off")
    if log.end.crashes:
        raise Missing(f"{log.end.crashes} callers crashed: an error in the locustfile")
    if not counted == log.end.requests == len(log.exchanges):
        raise Missing(f"locust counted {counted} requests, the call log has {len(log.exchanges)}")
    return log


def _requests(evidence: Evidence) -> list[Request]:
    """Return what Cal.com saw during the run."""
    seen = _required(evidence, "requests", evidence.requests)
    during = [each for each in seen if evidence.began <= each.arrived_at <= evidence.ended]
    if not during:
        raise Missing("Cal.com saw nothing")
    return during


def _searches(evidence: Evidence) -> list[Exchange]:
    found = [each for each in _log(evidence).exchanges if each.operation in SEARCHES]
    if len(found) < FEWEST_SEARCHES:
        raise Missing(f"only {len(found)} searches")
    return found


def _most_common(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in Counter(words).most_common(3))


def _mark(evidence: Evidence, name: str) -> float:
    return _required(evidence, f"mark “{name}”", evidence.marks.get(name))


# --- every scenario ------------------------------------------------------------------------------------------------


def _most_in_60_s(evidence: Evidence) -> Measurement:
    """Count the requests of one key in the fullest 60 s that end after the beginning of the run."""
    _requests(evidence)
    arrivals: defaultdict[str, list[float]] = defaultdict(list)
    for each in _required(evidence, "requests", evidence.requests):
        if each.arrived_at > evidence.began - 60:
            arrivals[each.key].append(each.arrived_at)
    most = max(map(most_in_60_s, arrivals.values()), default=0)
    return Measurement(most, "of one key, wherever the 60 s begin")


def _too_many(evidence: Evidence) -> Measurement:
    seen = _requests(evidence)
    return Measurement(sum(each.status == 429 for each in seen), f"of {len(seen)} requests at Cal.com")


def _overlaps(evidence: Evidence) -> Measurement:
    rows, remote = _required(evidence, "rows", evidence.rows), _required(evidence, "remote", evidence.remote)
    there = overlaps((each.host, each.start, each.end) for each in remote if each.is_accepted)
    here = overlaps((each.host, each.start, each.end) for each in rows.claimed)
    marked = sum(each.conflicting for each in rows.claimed)
    return Measurement(max(there, here, marked), f"{there} at Cal.com, {here} here, {marked} marked")


def _lost(evidence: Evidence) -> Measurement:
    rows, remote = _required(evidence, "rows", evidence.rows), _required(evidence, "remote", evidence.remote)
    known = _log(evidence).outcomes
    if not known:
        raise Missing("no caller knows an outcome")
    wrong = outcomes.wrong_outcomes(outcomes=known, rows=rows, remote=remote)
    return Measurement(len(wrong), _most_common(wrong.values()) or f"of {len(known)} outcomes")


def _failed(evidence: Evidence) -> Measurement:
    log = _log(evidence)
    expected = EXPECTED | (UNAVAILABLE if evidence.run.scenario.name == "outage" else frozenset())
    failed = [each for each in log.exchanges if not 200 <= each.status < 300 and each.code not in expected]
    failed = [each for each in failed if not _waited_for_a_write(each, evidence)]
    kinds = _most_common(f"{each.operation} {each.status} {each.code}".strip() for each in failed)
    cpu = 100 * log.end.cpu_s / max(log.end.wall_s, 0.001) if log.end else 0
    return Measurement(len(failed), kinds or f"of {len(log.exchanges)}; locust used {cpu:.0f} % of a core")


def _waited_for_a_write(exchange: Exchange, evidence: Evidence) -> bool:
    """
    Return whether a hold waited to its deadline for a booking of the same hosts that Cal.com had not answered.

    Which host that booking gets decides whether one is left, and Cal.com may take longer than the caller waits: then
    neither a hold nor a refusal would be true, and the caller may ask again.
    """
    is_late = exchange.duration >= exchange.within - TOLERATED
    if (exchange.operation, exchange.code) != (HOLD, "deadline_exceeded") or not is_late:
        return False
    refused = [each for each in _log(evidence).refusals if (each.operation, each.at) == ("hold", exchange.at)]
    return bool(refused) and not _unexplained(refused, evidence)


def _unexplained(refused: Sequence[refusals.Refusal], evidence: Evidence) -> list[refusals.Refusal]:
    rows, remote = _required(evidence, "rows", evidence.rows), _required(evidence, "remote", evidence.remote)
    return refusals.unexplained(refused, event_types=evidence.event_types, rows=rows, remote=remote)


# --- searches ------------------------------------------------------------------------------------------------------


def _search_p95(evidence: Evidence) -> Measurement:
    durations = [each.duration * 1000 for each in _searches(evidence) if each.operation.startswith("POST")]
    if len(durations) < FEWEST_SEARCHES:
        raise Missing(f"only {len(durations)} searches")
    worst = max(_searches(evidence), key=lambda each: each.duration)
    own = "" if worst.own is None else f", {worst.own * 1000:.0f} of it ours"
    median = percentile(durations, 0.5) or 0
    remark = f"of {len(durations)}, p50 {median:.0f} ms, slowest {worst.duration * 1000:.0f} ms{own}"
    return Measurement(percentile(durations, 0.95), remark)


def _hit_rate(evidence: Evidence) -> Measurement:
    searches = _searches(evidence)
    asked = sum(each.route == SLOTS and not each.is_write for each in _requests(evidence))
    return Measurement(_hit_share(searches), f"of {len(searches)} answers; Cal.com was asked for slots {asked} times")


def _hit_share(searches: Sequence[Exchange]) -> float:
    """Return the share of the responses that did not wait for Cal.com; a failed one is no hit."""
    return sum(each.cache == "true" for each in searches) / len(searches)


def _requests_per_min(evidence: Evidence) -> Measurement:
    """
    Count all requests, writes included: ten people do not make more than that.

    Hurried callers write more in a minute than ten people can: then writes are left out.
    """
    seen = _requests(evidence)
    minutes = (evidence.ended - evidence.began) / 60
    count = sum(each.is_write for each in seen)
    reads, writes, scale = (len(seen) - count) / minutes, count / minutes, evidence.run.time_scale
    if scale < 1:
        return Measurement(reads, f"{writes:.1f} writes left out: callers {1 / scale:.0f} times as fast as people")
    return Measurement(reads + writes, f"{reads:.1f} reads and {writes:.1f} writes")


# --- scenarios -----------------------------------------------------------------------------------------------------


def _cold_requests(evidence: Evidence) -> Measurement:
    """Count requests by event type in the first minute, and before the first booking."""
    seen = _requests(evidence)
    booked = min((each.arrived_at for each in seen if each.route.startswith("POST")), default=evidence.ended)
    until = min(_first_request(evidence) + evidence.run.first_minute, booked)
    slots = (each for each in seen if each.route == SLOTS and each.arrived_at < until)
    by_type = Counter(parse_qs(urlsplit(each.path).query).get("eventTypeId", [""])[0] for each in slots)
    if len(by_type) < len(evidence.event_types) / 2:
        raise Missing(f"only {len(by_type)} event types were asked for")
    return Measurement(max(by_type.values()), f"worst of {len(by_type)} types, {sum(by_type.values())} requests")


def _first_request(evidence: Evidence) -> float:
    return min(each.at for each in _log(evidence).exchanges)


def _hit_rate_after_first_minute(evidence: Evidence) -> Measurement:
    since = _first_request(evidence) + evidence.run.first_minute
    searches = [each for each in _searches(evidence) if each.at > since]
    if len(searches) < FEWEST_SEARCHES:
        raise Missing(f"only {len(searches)} searches after the first minute")
    return Measurement(_hit_share(searches), f"of {len(searches)} answers")


def _wrongly_refused(evidence: Evidence) -> Measurement:
    refused = _log(evidence).refusals
    wrong = _unexplained(refused, evidence)
    kinds = _most_common(f"{each.operation} {each.code}" for each in wrong)
    return Measurement(len(wrong), kinds or f"of {len(refused)} refusals")


def _queue(evidence: Evidence) -> Measurement:
    jobs = _mark(evidence, "jobs")
    if jobs != QUEUED_JOBS:
        raise Missing(f"{jobs:.0f} of {QUEUED_JOBS} jobs were done")
    depths = _required(evidence, "depths", evidence.depths)
    deepest = max(each.by_queue[QUEUE] for each in depths)
    if deepest < QUEUED_JOBS:
        raise Missing(f"no more than {deepest} messages were seen waiting")
    seconds = _mark(evidence, "done") - _mark(evidence, "taken")
    return Measurement(seconds, f"from when the worker takes the first of {deepest} messages")


def _winners(evidence: Evidence) -> Measurement:
    """Count, for each contested slot, the callers who have it, and its bookings at Cal.com and here."""
    log, rows = _log(evidence), _required(evidence, "rows", evidence.rows)
    remote = _required(evidence, "remote", evidence.remote)
    if not log.contested:
        raise Missing("no slot was contested")
    known = {"outcomes": log.outcomes, "rows": rows, "remote": remote, "event_types": evidence.event_types}
    counts = [count for slot in log.contested for count in outcomes.winners(slot, **known)]  # type: ignore[arg-type]
    if min(counts) == 0:
        raise Missing("a contested slot was not sold")
    return Measurement(max(counts), f"worst of {len(log.contested)} rounds, {evidence.run.scenario.users} callers")


def _late(evidence: Evidence) -> Measurement:
    exchanges = _log(evidence).exchanges
    late = [each for each in exchanges if each.duration > each.within + TOLERATED]
    worst = max(exchanges, key=lambda each: each.duration - each.within)
    own = "" if worst.own is None else f" ({worst.own:.2f} ours)"
    kinds = _most_common(each.operation for each in late) or f"of {len(exchanges)}"
    latest = f"latest: {worst.operation} after {worst.duration:.2f} s{own}, due within {worst.within:g}"
    return Measurement(len(late), f"{kinds}; {latest}")


def _recovery(evidence: Evidence) -> Measurement:
    """Return when Cal.com was asked and answered again, and every operation from before its return was finished."""
    away, back = _mark(evidence, "away"), _mark(evidence, "back")
    seen = _requests(evidence)
    if not any(away < each.arrived_at < back and each.status in {0, 503} for each in seen):
        raise Missing("no request met the outage")
    answered = [each.answered_at for each in seen if each.arrived_at > back and each.answered_at and each.status == 200]
    rows = _required(evidence, "rows", evidence.rows)
    earlier = [each for each in rows.operations if each.requested_at < back]
    unfinished = sum(each.finished_at is None for each in earlier)
    if not answered or unfinished:
        raise Missing(f"Cal.com was not asked again, or {unfinished} operations have no outcome")
    settled = max((each.finished_at or back for each in earlier), default=back)
    waiting = sum((each.finished_at or 0) > back for each in earlier)
    first = min(answered) - back
    remark = f"first answer after {first:.1f} s, {waiting} operations were still open"
    return Measurement(max(first, settled - back), remark)


# --- service levels ------------------------------------------------------------------------------------------------


def _level(name: str) -> Check:
    """Return the check of a service level, in percent."""

    def check(evidence: Evidence) -> Measurement:
        counters = _required(evidence, "counters", evidence.counters)
        measured = BY_NAME[name].measured(counters, levels.AT, levels.WHOLE_RUN)
        if measured is None:
            raise Missing("nothing of the kind was counted")
        share, count = measured
        return Measurement(100 * share, f"of {count}")

    return check


_LEVELS: Mapping[str, Check] = {name: _level(name) for name in levels.MEASURED}

_OF_EVERY_SCENARIO: Mapping[str, Check] = {
    "most_in_60_s": _most_in_60_s,
    "429": _too_many,
    "overlaps": _overlaps,
    "lost": _lost,
    "failed_answers": _failed,
}
_OF_SCENARIO: Mapping[str, Mapping[str, Check]] = {
    "cold": {"cold_requests_per_type": _cold_requests, "cold_hit_rate_after_1_min": _hit_rate_after_first_minute},
    "normal": {
        "normal_search_p95_ms": _search_p95,
        "normal_hit_rate": _hit_rate,
        "normal_requests_per_min": _requests_per_min,
    },
    "burst": {"burst_search_p95_ms": _search_p95, "burst_wrongly_refused": _wrongly_refused},
    "queue": {"queue_80_s": _queue},
    "contention": {"contention_bookings": _winners},
    "outage": {"outage_late_answers": _late, "outage_recovery_s": _recovery},
}
