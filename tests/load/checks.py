"""
From what is known of a run to the rows of the table. Pure.

Whatever a number needs and is not there makes the row broken: a missing ledger, a log of Cal.com that could not be
read, locust that counted something else than the ledger, a scenario in which nothing worth judging happened (FM-80).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from script.lib.measurements import Found, Promise, Row, percentile
from tests.load import outcomes, refusals
from tests.load.call_log import Asked, Ledger
from tests.load.evidence import SLOTS, Evidence, Request, overlaps
from tests.load.scenarios import QUEUED_JOBS

SEARCHES = frozenset({"POST /v1/availability/search", "GET /v1/availability"})
HOLD = "POST /v1/holds"
TOLERATED = 0.1
"""Seconds that an answer may come after its deadline."""
WINDOW = 60.0
FEWEST_SEARCHES = 15
CLEARING = "cache"
"""The queue of clearing jobs."""
NOBODY_KNOWS = frozenset({"upstream_unavailable", "deadline_exceeded"})
"""What callers may be told while Cal.com is away."""
POLITE = frozenset({"slot_taken", "slot_not_offered", "hold_expired", "already_cancelled", "too_many_moves"})

T = TypeVar("T")
Judge = Callable[[Evidence], Found]


class Missing(Exception):
    """What the number needs is not known; the message says what."""


def promises(name: str) -> dict[str, Promise]:
    """Return what a scenario promises, by the name of the row."""
    return {row: promise for row, (promise, _) in _ROWS[name].items()}


def all_promises() -> dict[str, Promise]:
    """Return what all scenarios promise."""
    return {row: promise for name in _ROWS for row, promise in promises(name).items()}


def judge(evidence: Evidence) -> list[Row]:
    """Return the rows of a run."""
    rows = _ROWS[evidence.run.scenario.name]
    return [Row(name, promise, _found(number, evidence)) for name, (promise, number) in rows.items()]


def unjudged(name: str, why: str) -> list[Row]:
    """Return the rows of a scenario that could not be played: all broken."""
    return [Row(row, promise, Found(None, why)) for row, promise in promises(name).items()]


def _found(number: Judge, evidence: Evidence) -> Found:
    try:
        return number(evidence)
    except Missing as exc:
        return Found(None, str(exc))


# --- what must be there -------------------------------------------------------------------------------------------


def _there(evidence: Evidence, name: str, value: T | None) -> T:
    if value is None:
        raise Missing(evidence.missing.get(name, f"{name}: not known"))
    return value


def _ledger(evidence: Evidence) -> Ledger:
    """Return the ledger, if it is whole: locust counted the same, and the callers' own code did not break."""
    ledger = _there(evidence, "ledger", evidence.ledger)
    counted = _there(evidence, "locust", evidence.locust)
    if ledger.end is None:
        raise Missing("the ledger breaks off")
    if ledger.end.crashes:
        raise Missing(f"{ledger.end.crashes} callers crashed: an error in the locustfile")
    if not counted == ledger.end.requests == len(ledger.asked):
        raise Missing(f"locust counted {counted} requests, the ledger has {len(ledger.asked)}")
    return ledger


def _requests(evidence: Evidence) -> list[Request]:
    """Return what Cal.com saw during the run."""
    seen = _there(evidence, "requests", evidence.requests)
    during = [each for each in seen if evidence.began <= each.arrived_at <= evidence.ended]
    if not during:
        raise Missing("Cal.com saw nothing")
    return during


def _searches(evidence: Evidence) -> list[Asked]:
    found = [each for each in _ledger(evidence).asked if each.operation in SEARCHES]
    if len(found) < FEWEST_SEARCHES:
        raise Missing(f"only {len(found)} searches")
    return found


def _spelled(words: Iterable[str]) -> str:
    """Return the three most frequent ones, with how often each came."""
    return ", ".join(f"{number} {what}" for what, number in Counter(words).most_common(3))


def _mark(evidence: Evidence, name: str) -> float:
    return _there(evidence, f"mark “{name}”", evidence.marks.get(name))


# --- every scenario -----------------------------------------------------------------------------------------------


def most_in_60_s(requests: Sequence[Request], since: float) -> int:
    """Return the largest number of requests of one key that arrived in any 60 s which reach beyond `since`."""
    arrivals: defaultdict[str, list[float]] = defaultdict(list)
    for each in requests:
        if each.arrived_at > since - WINDOW:
            arrivals[each.key].append(each.arrived_at)
    return max((_most(times) for times in arrivals.values()), default=0)


def _most(times: Sequence[float]) -> int:
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


def _busiest(evidence: Evidence) -> Found:
    _requests(evidence)
    seen = _there(evidence, "requests", evidence.requests)
    return Found(most_in_60_s(seen, evidence.began), "of one key, wherever the 60 s begin")


def _too_many(evidence: Evidence) -> Found:
    seen = _requests(evidence)
    return Found(sum(each.status == 429 for each in seen), f"of {len(seen)} requests at Cal.com")


def _overlaps(evidence: Evidence) -> Found:
    rows, remote = _there(evidence, "rows", evidence.rows), _there(evidence, "remote", evidence.remote)
    there = overlaps((each.host, each.start, each.end) for each in remote if each.stands)
    here = overlaps((each.host, each.start, each.end) for each in rows.claimed)
    marked = sum(each.conflicting for each in rows.claimed)
    return Found(max(there, here, marked), f"{there} at Cal.com, {here} here, {marked} marked")


def _lost(evidence: Evidence) -> Found:
    rows, remote = _there(evidence, "rows", evidence.rows), _there(evidence, "remote", evidence.remote)
    told = _ledger(evidence).told
    if not told:
        raise Missing("nobody was told anything of a booking")
    complaints = outcomes.complaints(told=told, rows=rows, remote=remote)
    return Found(len(complaints), _spelled(complaints.values()) or f"of {len(told)} wishes that callers were told of")


def _failed(evidence: Evidence) -> Found:
    asked = _ledger(evidence).asked
    allowed = POLITE | (NOBODY_KNOWS if evidence.run.scenario.name == "outage" else frozenset())
    bad = [each for each in asked if not 200 <= each.status < 300 and each.code not in allowed]
    bad = [each for each in bad if not _waited_for_a_write(each, evidence)]
    kinds = _spelled(f"{each.operation} {each.status} {each.code}".strip() for each in bad)
    return Found(len(bad), kinds or f"of {len(asked)}; {_generator(evidence)}")


def _waited_for_a_write(asked: Asked, evidence: Evidence) -> bool:
    """
    Return whether a hold waited to its deadline for a booking of the same hosts that Cal.com had not answered.

    Which host that booking gets decides whether one is left, and Cal.com may take longer than the caller waits: then
    neither a hold nor a refusal would be true, and the caller may ask again.
    """
    if (asked.operation, asked.code) != (HOLD, "deadline_exceeded") or asked.took < asked.within - TOLERATED:
        return False
    refused = [each for each in _ledger(evidence).refused if (each.wish, each.at) == ("hold", asked.at)]
    rows, remote = _there(evidence, "rows", evidence.rows), _there(evidence, "remote", evidence.remote)
    kinds = evidence.event_types
    return bool(refused) and not refusals.unexplained(refused, event_types=kinds, rows=rows, remote=remote)


def _generator(evidence: Evidence) -> str:
    end = _ledger(evidence).end
    return f"locust used {100 * end.cpu_s / max(end.wall_s, 0.001):.0f} % of a core" if end else ""


def _common(name: str) -> dict[str, tuple[Promise, Judge]]:
    return {
        f"{name}_most_in_60_s": (Promise("requests", 120), _busiest),
        f"{name}_429": (Promise("answers", 0), _too_many),
        f"{name}_overlaps": (Promise("pairs", 0), _overlaps),
        f"{name}_lost": (Promise("wishes", 0), _lost),
        f"{name}_failed_answers": (Promise("answers", 0), _failed),
    }


# --- searches -----------------------------------------------------------------------------------------------------


def _search_p95(evidence: Evidence) -> Found:
    took = [each.took * 1000 for each in _searches(evidence) if each.operation.startswith("POST")]
    if len(took) < FEWEST_SEARCHES:
        raise Missing(f"only {len(took)} searches")
    return Found(
        percentile(took, 0.95), f"of {len(took)}, p50 {percentile(took, 0.5) or 0:.0f} ms, {_slowest(evidence)}"
    )


def _slowest(evidence: Evidence) -> str:
    worst = max(_searches(evidence), key=lambda each: each.took)
    own = "" if worst.own is None else f", {worst.own * 1000:.0f} of it ours"
    return f"slowest {worst.took * 1000:.0f} ms{own}"


def _hit_rate(evidence: Evidence) -> Found:
    searches = _searches(evidence)
    asked = sum(each.operation == SLOTS and not each.is_write for each in _requests(evidence))
    return Found(hit_share(searches), f"of {len(searches)} answers; Cal.com was asked for slots {asked} times")


def hit_share(searches: Sequence[Asked]) -> float:
    """Return the share of the answers for which nobody had to wait for Cal.com. A failed one is no hit."""
    return sum(each.cache == "true" for each in searches) / len(searches)


def _requests_per_min(evidence: Evidence) -> Found:
    """
    Count all requests, those of the wishes themselves included: ten people do not make more than that.

    Hurried callers make more wishes in a minute than ten people can: what these cost by themselves is then left out.
    """
    seen = _requests(evidence)
    minutes = (evidence.ended - evidence.began) / 60
    writes = sum(each.is_write for each in seen)
    reads, own, scale = (len(seen) - writes) / minutes, writes / minutes, evidence.run.time_scale
    if scale < 1:
        return Found(reads, f"{own:.1f} of the wishes left out: callers {1 / scale:.0f} times as fast as people")
    return Found(reads + own, f"{reads:.1f} reads and {own:.1f} of the wishes themselves")


# --- cold ---------------------------------------------------------------------------------------------------------


def _cold_requests(evidence: Evidence) -> Found:
    """Count by event type what was asked until all was known: in the first minute, and before anybody booked."""
    seen = _requests(evidence)
    booked = min((each.arrived_at for each in seen if each.operation.startswith("POST")), default=evidence.ended)
    until = min(_first_asked(evidence) + evidence.run.first_minute, booked)
    by_type = Counter(_event_type(each) for each in seen if each.operation == SLOTS and each.arrived_at < until)
    if len(by_type) < len(evidence.event_types) / 2:
        raise Missing(f"only {len(by_type)} event types were asked for")
    return Found(max(by_type.values()), f"worst of {len(by_type)} types, {sum(by_type.values())} requests")


def _first_asked(evidence: Evidence) -> float:
    return min(each.at for each in _ledger(evidence).asked)


def _event_type(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query).get("eventTypeId", [""])[0]


def _hit_rate_afterwards(evidence: Evidence) -> Found:
    since = _first_asked(evidence) + evidence.run.first_minute
    searches = [each for each in _searches(evidence) if each.at > since]
    if len(searches) < FEWEST_SEARCHES:
        raise Missing(f"only {len(searches)} searches after the first minute")
    return Found(hit_share(searches), f"of {len(searches)} answers")


# --- burst, queue, contention -------------------------------------------------------------------------------------


def _wrongly_refused(evidence: Evidence) -> Found:
    rows, remote = _there(evidence, "rows", evidence.rows), _there(evidence, "remote", evidence.remote)
    refused = _ledger(evidence).refused
    wrong = refusals.unexplained(refused, event_types=evidence.event_types, rows=rows, remote=remote)
    kinds = _spelled(f"{each.wish} {each.code}" for each in wrong)
    return Found(len(wrong), kinds or f"of {len(refused)} refusals")


def _queue(evidence: Evidence) -> Found:
    jobs = _mark(evidence, "jobs")
    if jobs != QUEUED_JOBS:
        raise Missing(f"{jobs:.0f} of {QUEUED_JOBS} jobs were worked off")
    depths = _there(evidence, "depths", evidence.depths)
    deepest = max(each.by_queue[CLEARING] for each in depths)
    if deepest < QUEUED_JOBS:
        raise Missing(f"no more than {deepest} messages were ever seen waiting")
    took = _mark(evidence, "worked_off") - _mark(evidence, "consuming")
    return Found(took, f"from when the worker takes the first of {deepest} messages")


def _winners(evidence: Evidence) -> Found:
    """Compare, for each contested slot, who was told so, what stands at Cal.com and what our rows confirm."""
    ledger, rows = _ledger(evidence), _there(evidence, "rows", evidence.rows)
    remote = _there(evidence, "remote", evidence.remote)
    if not ledger.contested:
        raise Missing("no slot was contested")
    counts = [
        count
        for slot in ledger.contested
        for count in outcomes.winners(
            slot, told=ledger.told, rows=rows, remote=remote, event_types=evidence.event_types
        )
    ]
    if min(counts) == 0:
        raise Missing("a slot that everybody wanted went to nobody")
    rivals = evidence.run.scenario.users
    return Found(max(counts), f"worst of {len(ledger.contested)} rounds, {rivals} callers")


# --- outage -------------------------------------------------------------------------------------------------------


def _late(evidence: Evidence) -> Found:
    asked = _ledger(evidence).asked
    late = [each for each in asked if each.took > each.within + TOLERATED]
    worst = max(asked, key=lambda each: each.took - each.within)
    spelled = _spelled(each.operation for each in late)
    own = "" if worst.own is None else f" ({worst.own:.2f} ours)"
    remark = f"latest: {worst.operation} after {worst.took:.2f} s{own}, due within {worst.within:g}"
    return Found(len(late), f"{spelled}; {remark}" if spelled else f"of {len(asked)}; {remark}")


def _recovery(evidence: Evidence) -> Found:
    """Return when Cal.com was asked and answered again, and every wish from before its return had its outcome."""
    away, back = _mark(evidence, "away"), _mark(evidence, "back")
    seen = _requests(evidence)
    if not any(away < each.arrived_at < back and each.status in {0, 503} for each in seen):
        raise Missing("nobody felt that Cal.com was away")
    answered = [each.answered_at for each in seen if each.arrived_at > back and each.answered_at and each.status == 200]
    earlier = [each for each in _there(evidence, "rows", evidence.rows).wishes if each.asked_at < back]
    unfinished = sum(each.finished_at is None for each in earlier)
    if not answered or unfinished:
        raise Missing(f"Cal.com was not asked again, or {unfinished} wishes have no outcome")
    settled = max((each.finished_at or back for each in earlier), default=back)
    waited = sum((each.finished_at or 0) > back for each in earlier)
    reads = min(answered) - back
    return Found(max(reads, settled - back), f"first answer after {reads:.1f} s, {waited} wishes were still open")


_ROWS: Mapping[str, Mapping[str, tuple[Promise, Judge]]] = {
    "cold": {
        "cold_requests_per_type": (Promise("requests", 1), _cold_requests),
        "cold_hit_rate_after_1_min": (Promise("share", 0.90, at_least=True), _hit_rate_afterwards),
        **_common("cold"),
    },
    "normal": {
        "normal_search_p95_ms": (Promise("ms", 300), _search_p95),
        "normal_hit_rate": (Promise("share", 0.95, at_least=True), _hit_rate),
        "normal_requests_per_min": (Promise("requests", 40), _requests_per_min),
        **_common("normal"),
    },
    "burst": {
        "burst_search_p95_ms": (Promise("ms", 500), _search_p95),
        "burst_wrongly_refused": (Promise("refusals", 0), _wrongly_refused),
        **_common("burst"),
    },
    "queue": {"queue_80_s": (Promise("s", 0.5), _queue), **_common("queue")},
    "contention": {"contention_bookings": (Promise("bookings", 1), _winners), **_common("contention")},
    "outage": {
        "outage_late_answers": (Promise("answers", 0), _late),
        "outage_recovery_s": (Promise("s", 60), _recovery),
        **_common("outage"),
    },
}
