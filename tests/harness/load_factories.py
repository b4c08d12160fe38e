"""Runs that went well, made up: what callers, Cal.com and our rows would say of them."""

from dataclasses import replace
from typing import Any

from tests.load.call_log import Asked, Contested, End, Ledger, Line, Refused, Told
from tests.load.evidence import Claimed, Depth, EventType, Evidence, Own, Remote, Request, Rows, Wish, instant
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


def asked(at: float, operation: str = SEARCH, **more: Any) -> Asked:
    """An answer out of the cache, `at` seconds after the beginning."""
    usual = {"took": 0.02, "status": 200, "cache": "true" if operation == SEARCH else "", "within": 2.0, "own": 0.01}
    return Asked(at=BEGAN + at, operation=operation, **{**usual, **more})


def told(at: float = 70, state: str = "done", operation: str = "book", **more: Any) -> Told:
    """What a caller heard of the one booking there is."""
    usual = {"booking": "bk_1", "service": "sv_1", "start": START, "operation_id": "op_1"}
    return Told(at=BEGAN + at, operation=operation, state=state, **{**usual, **more})


def refused(at: float = 80, took: float = 0.1, service: str = "sv_1", **more: Any) -> Refused:
    """A time that was not given."""
    usual = {"wish": "hold", "code": "slot_taken", "start": START}
    return Refused(at=BEGAN + at, took=took, service=service, **{**usual, **more})


def ledger(*lines: Line, crashes: int = 0, searches: int = 40) -> Ledger:
    """A whole ledger: searches every ten seconds, and these lines."""
    every = [*(asked(10.0 * number) for number in range(searches)), *lines]
    number = sum(isinstance(line, Asked) for line in every)
    return Ledger.of([*every, End(BEGAN + SECONDS, number, 0, crashes, cpu_s=3.0, wall_s=SECONDS)])


def request(at: float, operation: str = "GET /v2/slots", event_type: int = 1, **more: Any) -> Request:
    """A request that Cal.com saw and answered after half a second."""
    usual = {"key": "aaaa", "path": f"/v2/slots?eventTypeId={event_type}", "status": 200}
    return Request(operation=operation, arrived_at=BEGAN + at, answered_at=BEGAN + at + 0.5, **{**usual, **more})


def own(**more: Any) -> Own:
    """The one appointment."""
    usual = {"booking": "bk_1", "slug": "cut", "state": "confirmed", "start": NINE, "end": NINE + HALF_AN_HOUR}
    return Own(**{**usual, "created_at": BEGAN + 60, "changed_at": BEGAN + 70, **more})


def wish(**more: Any) -> Wish:
    """How it came about."""
    usual = {"operation_id": "op_1", "booking": "bk_1", "operation": "create", "state": "done"}
    return Wish(**{**usual, "asked_at": BEGAN + 65, "finished_at": BEGAN + 70, **more})


def remote(**more: Any) -> Remote:
    """The same appointment at Cal.com."""
    usual = {"slug": "cut", "host": "emma", "start": NINE, "end": NINE + HALF_AN_HOUR, "status": "accepted"}
    return Remote(**{**usual, "created_at": BEGAN + 69, "updated_at": BEGAN + 69, "booking": "bk_1", **more})


def evidence(name: str, *lines: Line, time_scale: float = 1.0, **changes: Any) -> Evidence:
    """A run of the scenario in which every promise is kept, but for the changes."""
    written = [*lines] or [told(), *_of_the_scenario(name)]
    whole = Evidence(
        run=Run(SCENARIOS[name], time_scale),
        began=BEGAN,
        ended=BEGAN + SECONDS,
        event_types=EVENT_TYPES,
        ledger=ledger(*written),
        locust=sum(isinstance(line, Asked) for line in written) + 40,
        requests=[
            request(0, event_type=1),
            request(1, event_type=2),
            request(65, "POST /v2/bookings", path="/v2/bookings", status=201),
            request(250, status=503),
            request(420),
        ],
        remote=[remote()],
        rows=Rows(own=[own()], wishes=[wish()], claimed=[Claimed("emma", NINE, NINE + HALF_AN_HOUR)]),
        depths=[Depth(BEGAN + 1, {"cache": 0}), Depth(BEGAN + 99, {"cache": 81})],
        marks={
            "jobs": 80,
            "consuming": BEGAN + 100,
            "worked_off": BEGAN + 100.3,
            "away": BEGAN + 200,
            "back": BEGAN + 400,
        },
    )
    return replace(whole, **changes)


def _of_the_scenario(name: str) -> list[Line]:
    return [Contested(BEGAN + 50, "sv_1", START)] if name == "contention" else []
