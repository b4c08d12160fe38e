"""A locust user that calls Slotline as a voice agent does, and logs its calls."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from gevent.event import Event
from locust import FastHttpUser, events
from locust.env import Environment
from locust.exception import StopUser

from tests.load.call_log import End, Exchange, Outcome, Refusal, now, write
from tests.load.scenarios import SCENARIOS, Run, Span

# Seconds until the default deadlines: BOOKINGS_READ_WAIT, BOOKINGS_WRITE_WAIT.
READ_WAIT, WRITE_WAIT = 2.0, 3.5
SEARCH = "POST /v1/availability/search"
# Expected refusals; any other response that is no success is a failure.
EXPECTED = frozenset({"slot_taken", "slot_not_offered", "hold_expired", "already_cancelled", "too_many_reschedules"})
# Seconds for which a caller follows a pending write, and for which it does so once the scenario is over.
FOLLOW_S, FOLLOW_AT_END_S = 60.0, 10.0

RUN = Run(
    SCENARIOS[os.environ.get("LOAD_SCENARIO", "normal")],
    float(os.environ.get("LOAD_TIME_SCALE", "1")),
    float(os.environ["LOAD_SECONDS"]) if os.environ.get("LOAD_SECONDS") else None,
)
# Callers differ between scenarios: where time and event type are the same, Cal.com takes a second booking of one person
# for the first, and so would refuse a free slot.
SEED = f"{os.environ.get('LOAD_SEED', '0')} {RUN.scenario.name}"
KEYS = [key for key in os.environ.get("LOAD_KEYS", "").split(",") if key]
OVER = Event()
"""Set when the scenario is over: callers hang up, and no new ones call."""

LOG = Path(os.environ.get("LOAD_LOG") or os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  until locust ends
_numbers = count()
_crashes: list[str] = []
_began = time.time()


class HungUp(Exception):
    """The call is over."""


@dataclass(frozen=True)
class Answer:
    """A response."""

    at: float
    status: int
    body: Any
    location: str

    @property
    def ok(self) -> bool:
        """Return whether it is a success, or a pending operation."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """Return the code of a problem."""
        return str(self.body.get("code", "")) if isinstance(self.body, Mapping) else ""


class PhoneLine(FastHttpUser):
    """A phone line of one company, on which one caller after the other calls."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = next(_numbers)
        self.chance = Random(f"{SEED} {self.number}")
        self.key = KEYS[self.number % len(KEYS)]

    def send(self, operation: str, body: Mapping[str, Any] | None = None, *, path: str = "") -> Answer:
        """Send a request; `operation` is its name in statistics, `path` its path where that differs."""
        method, _, usual = operation.partition(" ")
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/json"}
        at, began = now(), time.perf_counter()
        with self.client.request(
            method, path or usual, name=operation, json=body, headers=headers, catch_response=True
        ) as response:
            duration = time.perf_counter() - began
            parsed = _parsed(response) if response.status_code else None
            received = response.headers or {}
            answer = Answer(at, response.status_code, parsed, received.get("Location", ""))
            if answer.ok or answer.code in EXPECTED:
                response.success()
            else:
                response.failure(f"{answer.status} {answer.code}")
        exchange = Exchange(
            at=at,
            operation=operation,
            duration=duration,
            status=answer.status,
            code=answer.code,
            cache=received.get("X-Cache-Hit", ""),
            within=READ_WAIT if method == "GET" or operation == SEARCH else WRITE_WAIT,
            own=_own_s(received.get("Server-Timing", "")),
        )
        write(LOG, exchange)
        return answer

    def think(self, span: Span) -> None:
        """Wait as long as the caller thinks; once the scenario is over the caller hangs up instead."""
        if OVER.wait(RUN.thinks(span, self.chance)):
            raise HungUp

    def follow(self, answer: Answer, *, operation: str, slot: Mapping[str, str]) -> str:
        """Follow a write to its end, log its outcome, and return that. `slot` has a `service` and a `start`."""
        if not answer.ok:
            self.log_refusal(answer, operation, slot)
            return "refused"
        state = self._follow(answer.location) if answer.status == 202 else "done"
        ids = {"booking": answer.body["booking"]["id"], "operation_id": answer.body["operation_id"]}
        write(LOG, Outcome(at=now(), operation=operation, state=state, **ids, **slot))
        if state == "refused":
            self.log_refusal(answer, operation, slot)
        return state

    def _follow(self, location: str) -> str:
        until, over = now() + FOLLOW_S, False
        while now() < until:
            if OVER.wait(1.0) and not over:
                over, until = True, min(until, now() + FOLLOW_AT_END_S)
            if over:
                time.sleep(1.0)
            answer = self.send("GET /v1/operations/{id}", path=location)
            if answer.ok and answer.body["status"] != "pending":
                return str(answer.body["status"])
        return "pending"

    def log_refusal(self, answer: Answer, operation: str, slot: Mapping[str, str]) -> None:
        """Log that a slot was refused."""
        code = answer.code or str(answer.status)
        write(LOG, Refusal(answer.at, now() - answer.at, operation, code, slot["service"], slot["start"]))

    def stop_when_over(self) -> None:
        """End this user once the scenario is over."""
        if OVER.is_set():
            raise StopUser


def _parsed(response: Any) -> Any:
    with suppress(ValueError):
        return response.json()
    return None


def _own_s(server_timing: str) -> float | None:
    """Return the seconds of `total;dur=…`, which is in milliseconds."""
    _, _, milliseconds = server_timing.partition("total;dur=")
    return float(milliseconds) / 1000 if milliseconds else None


@events.init.add_listener
def _require_keys(environment: Environment, **_more: Any) -> None:
    if not KEYS:
        print("LOAD_KEYS names no key of an agent: LOAD_KEYS=sl_… locust …", file=sys.stderr)
        sys.exit(2)


@events.user_error.add_listener
def _count_crash(exception: BaseException, **_more: Any) -> None:
    _crashes.append(repr(exception))


@events.test_stopping.add_listener
def _set_over(**_more: Any) -> None:
    OVER.set()


@events.test_start.add_listener
def _clear_over(**_more: Any) -> None:
    OVER.clear()


@events.quitting.add_listener
def _write_end(environment: Environment, **_more: Any) -> None:
    total = environment.stats.total
    times = time.process_time(), time.time() - _began
    write(LOG, End(now(), total.num_requests, total.num_failures, len(_crashes), *times))
