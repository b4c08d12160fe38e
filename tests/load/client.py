"""One telephone line, for locust: it asks Slotline as a voice agent does, and writes down what came back."""

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

from tests.load.call_log import Asked, End, Line, Refused, Told, Writer, now
from tests.load.scenarios import SCENARIOS, Run, Span

# Seconds in which an answer is due where the agent does not say otherwise: BOOKINGS_READ_WAIT, BOOKINGS_WRITE_WAIT.
READ_WAIT, WRITE_WAIT = 2.0, 3.5
SEARCH = "POST /v1/availability/search"
# How a caller may be turned down; anything else that is not a success is a failure.
POLITE = frozenset({"slot_taken", "slot_not_offered", "hold_expired", "already_cancelled", "too_many_moves"})
# Seconds for which a line follows a booking that was not answered in time, and for which it does so at closing time.
PATIENCE, PATIENCE_AT_THE_END = 60.0, 10.0
A_SECOND = 1.0

RUN = Run(
    SCENARIOS[os.environ.get("LOAD_SCENARIO", "normal")],
    float(os.environ.get("LOAD_TIME_SCALE", "1")),
    float(os.environ["LOAD_SECONDS"]) if os.environ.get("LOAD_SECONDS") else None,
)
# The callers of one scenario are not those of the next: where time and event type are the same, Cal.com takes a second
# booking of one person for the first, and so would refuse what is free.
SEED = f"{os.environ.get('LOAD_SEED', '0')} {RUN.scenario.name}"
KEYS = [key for key in os.environ.get("LOAD_KEYS", "").split(",") if key]
CLOSING = Event()
"""Set when the scenario is over: nobody thinks on, and nobody calls any more."""

_file = Path(os.environ.get("LOAD_LEDGER") or os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  until locust ends
_writer = Writer(_file)
_numbers = count()
_crashes: list[str] = []
_began = time.time()


class HungUp(Exception):
    """The call is over."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    at: float
    took: float
    status: int
    body: Any
    location: str

    @property
    def ok(self) -> bool:
        """Return whether it is a success, or will be one."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """Return the code of the problem, if it is one."""
        return str(self.body.get("code", "")) if isinstance(self.body, Mapping) else ""


class PhoneLine(FastHttpUser):
    """A line of one company: whoever calls on it is answered by the company's agent."""

    abstract = True

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = next(_numbers)
        self.chance = Random(f"{SEED} {self.number}")
        self.key = KEYS[self.number % len(KEYS)]

    def ask(self, operation: str, body: Mapping[str, Any] | None = None, *, path: str = "") -> Answer:
        """Send a request; `operation` is its name in all figures, `path` what it is called this time."""
        method, _, usual = operation.partition(" ")
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/json"}
        at, began = now(), time.perf_counter()
        with self.client.request(
            method, path or usual, name=operation, json=body, headers=headers, catch_response=True
        ) as response:
            took = time.perf_counter() - began
            read = _read(response) if response.status_code else None
            shown = response.headers or {}
            answer = Answer(at, took, response.status_code, read, shown.get("Location", ""))
            if answer.ok or answer.code in POLITE:
                response.success()
            else:
                response.failure(f"{answer.status} {answer.code}")
        tell(
            Asked(
                at=at,
                operation=operation,
                took=took,
                status=answer.status,
                code=answer.code,
                cache=shown.get("X-Cache-Hit", ""),
                within=READ_WAIT if method == "GET" or operation == SEARCH else WRITE_WAIT,
                own=_own_time(shown.get("Server-Timing", "")),
            )
        )
        return answer

    def thinks(self, span: Span) -> None:
        """Let somebody take their time; at closing time they hang up instead."""
        if CLOSING.wait(RUN.thinks(span, self.chance)):
            raise HungUp

    def hears(self, answer: Answer, *, operation: str, wish: Mapping[str, str]) -> str:
        """
        Follow a write to its end, write down what the caller is told, and return that.

        A wish is a `service` and a `start`, and a `booking` where it is about one.
        """
        if not answer.ok:
            self.is_refused(answer, "book" if operation == "book" else operation, wish)
            return "refused"
        booking, told = answer.body["booking"], "done"
        if answer.status == 202:
            told = self._followed(answer.location)
        tell(
            Told(
                at=now(),
                operation=operation,
                state=told,
                booking=booking["id"],
                service=wish["service"],
                start=wish["start"],
                operation_id=answer.body["operation_id"],
            )
        )
        if told == "refused":
            self.is_refused(answer, operation, wish)
        return told

    def _followed(self, location: str) -> str:
        until, closing = now() + PATIENCE, None
        while now() < until:
            if CLOSING.wait(A_SECOND) and closing is None:
                closing = now()
                until = min(until, closing + PATIENCE_AT_THE_END)
            if closing is not None:
                time.sleep(A_SECOND)
            answer = self.ask("GET /v1/operations/{id}", path=location)
            if answer.ok and answer.body["status"] != "pending":
                return str(answer.body["status"])
        return "pending"

    def is_refused(self, answer: Answer, wish: str, slot: Mapping[str, str]) -> None:
        """Write down that a time was not given."""
        tell(
            Refused(
                at=answer.at,
                took=now() - answer.at,
                wish=wish,
                code=answer.code or str(answer.status),
                service=slot["service"],
                start=slot["start"],
            )
        )

    def leave_at_closing(self) -> None:
        """Let nobody call after closing time."""
        if CLOSING.is_set():
            raise StopUser


def tell(line: Line) -> None:
    """Write a line down."""
    _writer.write(line)


def _read(response: Any) -> Any:
    with suppress(ValueError):
        return response.json()
    return None


def _own_time(server_timing: str) -> float | None:
    """Return the seconds of `total;dur=…`, which is in milliseconds."""
    _, _, milliseconds = server_timing.partition("total;dur=")
    return float(milliseconds) / 1000 if milliseconds else None


@events.init.add_listener
def _check(environment: Environment, **_more: Any) -> None:
    if not KEYS:
        print("LOAD_KEYS names no key of an agent: LOAD_KEYS=sl_… locust …", file=sys.stderr)
        sys.exit(2)


@events.user_error.add_listener
def _remember_crash(exception: BaseException, **_more: Any) -> None:
    _crashes.append(repr(exception))


@events.test_stopping.add_listener
def _close(**_more: Any) -> None:
    CLOSING.set()


@events.test_start.add_listener
def _open(**_more: Any) -> None:
    CLOSING.clear()


@events.quitting.add_listener
def _end(environment: Environment, **_more: Any) -> None:
    total = environment.stats.total
    tell(End(now(), total.num_requests, total.num_failures, len(_crashes), time.process_time(), time.time() - _began))
