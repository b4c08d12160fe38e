"""Evidence of made-up runs that went well."""

from dataclasses import replace
from typing import Any

from tests.load.call_log import CallLog, Contested, End, Exchange, Line, Outcome, Refusal
from tests.load.evidence import Claimed, Depth, EventType, Evidence, Operation, Own, Remote, Request, Rows, instant
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
        marks={
            "jobs": 80,
            "taken": BEGAN + 100,
            "done": BEGAN + 100.3,
            "away": BEGAN + 200,
            "back": BEGAN + 400,
        },
    )
    return replace(whole, **changes)
