"""Requests that the API's own description allows, and others; mixed with ids that exist, so that they reach deep."""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests
import schemathesis
from schemathesis import GenerationMode, checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi import checks as openapi_checks

from script.lib.processes import HarnessError
from tests.fuzz import problems
from tests.fuzz.companies import Company
from tests.fuzz.drawing import draw

# What the description cannot promise: that a valid time is free, that unknown members are refused. `problems` knows
# which responses of 500 and more are expected.
UNPROMISED = [
    checks.not_a_server_error,
    openapi_checks.positive_data_acceptance,
    openapi_checks.negative_data_rejection,
]
EXAMPLES = 5
"""Of one operation and mode, one after the other."""
PLAUSIBLE = 0.5
"""Share of the valid cases that are made plausible."""
_KEPT = 50
_TIMEOUT_S = 15.0  # seconds
_IDS = {"bk_": "booking_id", "op_": "operation_id", "cv_": "conversation_id", "sv_": "service", "st_": "staff"}
_TOKENS = ("slot_token", "confirm_token")
_SAME = {"hold_id": "booking_id", "from": "start", "to": "start", "caller_phone": "phone"}
"""Parameters that take the values of another one."""


@dataclass
class Pool:
    """Values that exist at the company: its first ones, and those of every response since."""

    chance: Random
    _values: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_KEPT)))
    _asked: int = 0

    def keep(self, name: str, value: object) -> None:
        """Keep a value under the parameter that takes it."""
        self._values[_SAME.get(name, name)].append(value)

    def any(self, name: str) -> Any:
        """Return a value for a parameter."""
        return self.chance.choice(self._values[name])

    def learn(self, body: Any, call: object = None) -> None:
        """Keep the values of a response; `call` is the conversation of its request."""
        if isinstance(body, Mapping):
            for name, value in body.items():
                if isinstance(value, str) and (name == "id" or name in self._values):
                    self.keep(_IDS.get(value[:3], str(name)), value)
                if name in _TOKENS and isinstance(value, str):
                    self.keep(f"{name} in its call", {name: value, "conversation_id": call})
                self.learn(value, call)
        elif isinstance(body, list):
            for each in body[:5]:
                self.learn(each, call)

    def mix_in(self, sent: Any, share: float) -> None:
        """Replace values by existing ones, in about this share of the places that take one."""
        if isinstance(sent, MutableMapping):
            for name, value in list(sent.items()):
                known = self._values.get(_SAME.get(name, str(name)))
                if known and self.chance.random() < share:
                    sent[name] = self.chance.choice(known)
                else:
                    self.mix_in(value, share)
        elif isinstance(sent, list):
            for each in sent:
                self.mix_in(each, share)

    def plausible(self, operation: str) -> Mapping[str, Any]:
        """Return members that make a request of this operation plausible."""
        ways: Mapping[str, Sequence[Callable[[], Mapping[str, Any]]]] = {
            "list_availability": [lambda: self._these("service", "date")],
            "search_availability": [
                lambda: {"service": self.any("service"), "when": {"date": self.any("date")}, "hold": None},
                lambda: (
                    self._these("service", "conversation_id") | {"when": {"windows": [{"from": self.any("start")}]}}
                ),
                lambda: self._these("more_token"),
            ],
            "hold_slot": [lambda: self.any("slot_token in its call")],
            "create_booking": [
                lambda: {"caller": self._these("name", "phone", "email"), **self._these("service", "start")},
                lambda: {"caller": self._these("name"), **self.any("slot_token in its call")},
                lambda: {"caller": self._these("name"), **self.any("confirm_token in its call")},
            ],
            "reschedule_booking": [
                lambda: self._these("start") | {"slot_token": None},
                lambda: self.any("slot_token in its call") | {"start": None},
            ],
            "find_bookings": [
                lambda: self._these("conversation_id", "reference") | {"name": None, "date": None},
                lambda: self._these("conversation_id", "name", "date"),
            ],
            "request_callback": [
                lambda: self._these("phone", "conversation_id") | {"topic": "A perm", "reference": None}
            ],
            "start_conversation": [lambda: {"call_id": f"call-{self.number()}", **self._these("caller_phone")}],
        }
        return self.chance.choice(ways[operation])() if operation in ways else {}

    def number(self) -> int:
        """Return a new number."""
        self._asked += 1
        return self._asked

    def _these(self, *names: str) -> dict[str, Any]:
        return {name: self.any(_SAME.get(name, name)) for name in names}


@dataclass
class Described:
    """What is sent, and what is wrong with the responses."""

    url: str
    company: Company
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    """Responses by operation and status."""
    failed: dict[str, str] = field(default_factory=dict)
    """Unexpected responses of 500 and more, by operation and status."""
    violations: dict[str, str] = field(default_factory=dict)
    """Responses that are not as described, by operation, status and violation."""

    def run(self, seconds: float, *, at_least: int) -> None:
        """Send cases of every operation in turn, in rounds, until the time is over; one round at least."""
        until, session = time.monotonic() + seconds, requests.Session()
        session.headers["Authorization"] = f"Bearer {self.company.key}"  # some negative cases go without, on purpose
        schema = schemathesis.openapi.from_url(f"{self.url}/v1/openapi.json", config=SchemathesisConfig())
        operations = [_parsed(each) for each in schema.get_all_operations()]
        pool = self._pool()
        for number in range(1_000_000):
            for operation in operations:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    if number and time.monotonic() > until and self.statuses.total() >= at_least:
                        return
                    self._some(operation, mode, self.seed + number, pool, session)

    def _pool(self) -> Pool:
        pool = Pool(Random(self.seed))
        call = self.company.values["conversation_id"]
        for name, value in self.company.values.items():
            inside = call if name in _TOKENS else None
            pool.learn({name: value}, inside)
            pool.keep(name.rpartition(" ")[2], value)
        for _ in range(_KEPT):
            pool.keep("start", next(self.company.starts))
        pool.keep("date", pool.any("start")[:10])
        for name in ("email", "phone", "conversation_id"):
            pool.keep(name, None)
        return pool

    def _some(self, operation: Any, mode: GenerationMode, number: int, pool: Pool, session: requests.Session) -> None:
        is_valid = mode is GenerationMode.POSITIVE

        def send(case: Any) -> None:
            for part in (case.path_parameters, case.query, case.headers, case.body):
                pool.mix_in(part, 0.6 if is_valid else 0.3)
            if is_valid and pool.chance.random() < PLAUSIBLE:
                _make_plausible(case, pool)
            self._send(case, pool, session)

        draw(operation.as_strategy(generation_mode=mode), send, number=number, most=EXAMPLES)

    def _send(self, case: Any, pool: Pool, session: requests.Session) -> None:
        label = case.operation.label
        try:
            response = case.call(session=session, timeout=_TIMEOUT_S)
        except requests.RequestException as exc:
            self.failed.setdefault(f"{label}: no response, {type(exc).__name__}", "")
            return
        self.statuses[f"{label} {response.status_code}"] += 1
        body = problems.parse(response.content)
        if problems.is_failure(response.status_code, body):
            self.failed.setdefault(f"{label} {response.status_code}", str(body))
        for wrong, words in self._wrong(case, response, session):
            self.violations.setdefault(f"{label} {response.status_code}: {wrong}", words)
        pool.learn(body, case.body.get("conversation_id") if isinstance(case.body, Mapping) else None)

    def _wrong(self, case: Any, response: Any, session: requests.Session) -> Iterator[tuple[str, str]]:
        try:
            case.validate_response(response, headers=dict(session.headers), excluded_checks=UNPROMISED)
        except FailureGroup as exc:
            yield from ((type(failure).__name__, str(exc)) for failure in exc.exceptions)
        headers = {name.lower(): values[0] for name, values in response.headers.items()}
        if violation := problems.violation(response.status_code, headers, problems.parse(response.content)):
            yield violation, str(response.content[:500])


def _parsed(described: Any) -> Any:
    if isinstance(described, Err):
        raise HarnessError(f"The description of an operation cannot be read: {described.err()}")
    return described.ok()


def _make_plausible(case: Any, pool: Pool) -> None:
    known = pool.plausible(case.operation.definition.raw["operationId"])
    if case.method == "GET":
        case.query.update(known)
    elif isinstance(case.body, dict):
        case.body.update(known)
    case.query.pop("conversation_id", None)
    if "Idempotency-Key" in case.headers or pool.chance.random() < 0.8:
        case.headers["Idempotency-Key"] = f"fuzz-{pool.number()}"
