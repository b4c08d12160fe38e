"""Evidence of made-up runs that went well."""

from dataclasses import replace
from typing import Any

from monitoring.alert_forms import History
from tests.load.call_log import CallLog, Contested, End, Exchange, Line, Outcome, Refusal
from tests.load.evidence import Claimed, Depth, EventType, Evidence, Operation, Own, Remote, Request, Rows, instant
from tests.load.levels import Counters, growth
from tests.load.scenarios import SCENARIOS, Run

BEGAN = 1_796_000_000.0
SECONDS = 600.0
START = "2026-12-01T09:00:00+00:00"
NINE = instant(START)
HALF_AN_HOUR = 1800.0
SEARCH, BOOK, HOLD = "POST /v1/availability/search", "POST /v1/bookings", "POST /v1/holds"
EVENT_TYPES = {
    "sv_1": EventType("cut", ("emma",), 30),
    "sv_2": EventType("colour", ("emma", "ben"), 30, after_minutes=10),
    "sv_3": EventType("styling", ("emma",), 45),
}


def exchange(at: float, operation: str = SEARCH, **more: Any) -> Exchange:
    """Return a request that was answered from the cache, `at` seconds after the beginning."""
    cache = "true" if operation == SEARCH else ""
    usual = {"duration": 0.02, "status": 200, "cache": cache, "within": 2.0, "own": 0.01}
    return Exchange(at=BEGAN + at, operation=operation, **{**usual, **more})


def outcome(at: float = 70, state: str = "done", operation: str = "book", **more: Any) -> Outcome:
    """Return an outcome of the one booking."""
    usual = {"booking": "bk_1", "service": "sv_1", "start": START, "operation_id": "op_1"}
    return Outcome(at=BEGAN + at, operation=operation, state=state, **{**usual, **more})


def refusal(at: float = 80, duration: float = 0.1, service: str = "sv_1", **more: Any) -> Refusal:
    """Return a refused hold."""
    usual = {"operation": "hold", "code": "slot_taken", "start": START}
    return Refusal(at=BEGAN + at, duration=duration, service=service, **{**usual, **more})


def call_log(*lines: Line, crashes: int = 0, searches: int = 40) -> CallLog:
    """Return a complete log: searches every ten seconds, and these lines."""
    every = [*(exchange(10.0 * number) for number in range(searches)), *lines]
    number = sum(isinstance(line, Exchange) for line in every)
    return CallLog.of([*every, End(BEGAN + SECONDS, number, 0, crashes, cpu_s=3.0, wall_s=SECONDS)])


def request(at: float, route: str = "GET /v2/slots", event_type: int = 1, **more: Any) -> Request:
    """Return a request that Cal.com answered after half a second."""
    usual = {"key": "aaaa", "path": f"/v2/slots?eventTypeId={event_type}", "status": 200}
    return Request(route=route, arrived_at=BEGAN + at, answered_at=BEGAN + at + 0.5, **{**usual, **more})


def own(**more: Any) -> Own:
    """Return the one appointment."""
    usual = {"booking": "bk_1", "slug": "cut", "state": "confirmed", "start": NINE, "end": NINE + HALF_AN_HOUR}
    return Own(**{**usual, "created_at": BEGAN + 60, "changed_at": BEGAN + 70, **more})


def operation(**more: Any) -> Operation:
    """Return the operation that created it."""
    usual = {"operation_id": "op_1", "booking": "bk_1", "kind": "create", "state": "done"}
    return Operation(**{**usual, "requested_at": BEGAN + 65, "finished_at": BEGAN + 70, **more})


def remote(**more: Any) -> Remote:
    """Return its booking at Cal.com."""
    usual = {"slug": "cut", "host": "emma", "start": NINE, "end": NINE + HALF_AN_HOUR, "status": "accepted"}
    return Remote(**{**usual, "created_at": BEGAN + 69, "updated_at": BEGAN + 69, "booking": "bk_1", **more})


def counters(**bad: int) -> History:
    """Return what was counted of a thousand events of each service level; of those named so many were bad."""

    def split(name: str, label: str, good: str, failed: str, level: str, **labels: str) -> Counters:
        series = {word: (name, tuple(sorted({**labels, label: word}.items()))) for word in (good, failed)}
        return {series[good]: 1000.0 - bad.get(level, 0), series[failed]: float(bad.get(level, 0))}

    def within(name: str, edge: str, level: str, **labels: str) -> Counters:
        return {(f"{name}_bucket", tuple(sorted({**labels, "le": edge}.items()))): 1000.0 - bad.get(level, 0)}

    requests, search = "slotline_request_seconds", {"route": "v1/availability/search"}
    own, create = "slotline_operation_own_seconds", {"operation": "create"}
    after = {
        **split(f"{requests}_count", "status", "200", "503", "answers_given", **search),
        **split(f"{requests}_count", "status", "201", "503", "writes_given", route="v1/bookings"),
        **within(requests, "0.3", "availability_fast", **search),
        **within(own, "0.8", "bookings_fast", **create),
        (f"{own}_count", tuple(create.items())): 1000.0,
        **split("slotline_jobs_total", "outcome", "done", "failed", "jobs_done"),
        **split("slotline_availability_answers_total", "source", "fresh", "loaded", "cache_hits"),
    }
    return growth({}, after)


def evidence(name: str, *lines: Line, time_scale: float = 1.0, **changes: Any) -> Evidence:
    """Return a run of the scenario that meets every threshold, but for the changes."""
    contested = [Contested(BEGAN + 50, "sv_1", START)] if name == "contention" else []
    logged = [*lines] or [outcome(), *contested]
    whole = Evidence(
        run=Run(SCENARIOS[name], time_scale),
        began=BEGAN,
        ended=BEGAN + SECONDS,
        event_types=EVENT_TYPES,
        log=call_log(*logged),
        locust=sum(isinstance(line, Exchange) for line in logged) + 40,
        requests=[
            request(0, event_type=1),
            request(1, event_type=2),
            request(65, "POST /v2/bookings", path="/v2/bookings", status=201),
            request(250, status=503),
            request(420),
        ],
        remote=[remote()],
        rows=Rows(own=[own()], operations=[operation()], claimed=[Claimed("emma", NINE, NINE + HALF_AN_HOUR)]),
        depths=[Depth(BEGAN + 1, {"cache": 0}), Depth(BEGAN + 99, {"cache": 81})],
        counters=counters(),
        marks={
            "jobs": 80,
            "taken": BEGAN + 100,
            "done": BEGAN + 100.3,
            "away": BEGAN + 200,
            "back": BEGAN + 400,
        },
    )
    return replace(whole, **changes)
