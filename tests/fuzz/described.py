"""What the API's own description allows, and what it does not; mixed with ids that exist, so that it gets deep."""

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

from script.lib.processes import StageError
from tests.fuzz import problems
from tests.fuzz.companies import Shop
from tests.fuzz.drawing import drawn

# What the description cannot promise: that a time which is one is free, that what nobody reads is refused. `problems`
# knows which answers of 500 and more are honest.
UNPROMISED = [
    checks.not_a_server_error,
    openapi_checks.positive_data_acceptance,
    openapi_checks.negative_data_rejection,
]
AT_ONCE = 5
"""Cases of one operation and mode, one after the other."""
SENSIBLE = 0.5
"""How many of the valid cases are made such that they could lead to something."""
_REMEMBERED = 50
_PATIENCE = 15.0  # seconds
_IDS = {"bk_": "booking_id", "op_": "operation_id", "cv_": "conversation_id", "sv_": "service", "st_": "staff"}
_TOKENS = ("slot_token", "confirm_token")
_SAME = {"hold_id": "booking_id", "from": "start", "to": "start", "caller_phone": "phone"}
"""Parameters that take what another one takes."""


@dataclass
class Pool:
    """Values that mean something to the company: of its beginning, and of every answer since."""

    chance: Random
    _values: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED)))
    _asked: int = 0

    def keep(self, name: str, value: object) -> None:
        """Remember a value under the parameter that takes it; a token together with the call that it belongs to."""
        self._values[_SAME.get(name, name)].append(value)

    def any(self, name: str) -> Any:
        """Return a value for a parameter."""
        return self.chance.choice(self._values[name])

    def learn(self, told: Any, call: object = None) -> None:
        """Remember what an answer tells; `call` is the conversation in which it was told."""
        if isinstance(told, Mapping):
            for name, value in told.items():
                if isinstance(value, str) and (name == "id" or name in self._values):
                    self.keep(_IDS.get(value[:3], str(name)), value)
                if name in _TOKENS and isinstance(value, str):
                    self.keep(f"{name} in its call", {name: value, "conversation_id": call})
                self.learn(value, call)
        elif isinstance(told, list):
            for each in told[:5]:
                self.learn(each, call)

    def mix_in(self, sent: Any, share: float) -> None:
        """Put values that exist in the place of others, in about so many of the places that take one."""
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

    def sensible(self, operation: str) -> Mapping[str, Any]:
        """Return what makes a request of this operation one that an agent could send."""
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
        """Return one that nobody had before."""
        self._asked += 1
        return self._asked

    def _these(self, *names: str) -> dict[str, Any]:
        return {name: self.any(_SAME.get(name, name)) for name in names}


@dataclass
class Fuzzing:
    """Everything that is sent, and what is wrong with what came back."""

    url: str
    shop: Shop
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    """Answers by operation and status."""
    failed: dict[str, str] = field(default_factory=dict)
    """Answers of 500 and above that are none of the honest ones, by what they have in common."""
    broken: dict[str, str] = field(default_factory=dict)
    """Answers that are not as the description says, by what is wrong."""

    def run(self, seconds: float) -> None:
        """Send cases of every operation in turn, in rounds, until the time is over; one round at least."""
        until, session = time.monotonic() + seconds, requests.Session()
        session.headers["Authorization"] = f"Bearer {self.shop.key}"  # some negative cases go without, on purpose
        schema = schemathesis.openapi.from_url(f"{self.url}/v1/openapi.json", config=SchemathesisConfig())
        operations = [_understood(each) for each in schema.get_all_operations()]
        pool = self._pool()
        for number in range(1_000_000):
            for operation in operations:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    if number and time.monotonic() > until:
                        return
                    self._some(operation, mode, self.seed + number, pool, session)

    def _pool(self) -> Pool:
        pool = Pool(Random(self.seed))
        call = self.shop.things["conversation_id"]
        for name, value in self.shop.things.items():
            inside = call if name in _TOKENS else None
            pool.learn({name: value}, inside)
            pool.keep(name.rpartition(" ")[2], value)
        for _ in range(_REMEMBERED):
            pool.keep("start", next(self.shop.starts))
        pool.keep("date", pool.any("start")[:10])
        for name in ("email", "phone", "conversation_id"):
            pool.keep(name, None)
        return pool

    def _some(self, operation: Any, mode: GenerationMode, number: int, pool: Pool, session: requests.Session) -> None:
        is_valid = mode is GenerationMode.POSITIVE

        def send(case: Any) -> None:
            for part in (case.path_parameters, case.query, case.headers, case.body):
                pool.mix_in(part, 0.6 if is_valid else 0.3)
            if is_valid and pool.chance.random() < SENSIBLE:
                _make_sensible(case, pool)
            self._send(case, pool, session)

        drawn(operation.as_strategy(generation_mode=mode), send, number=number, most=AT_ONCE)

    def _send(self, case: Any, pool: Pool, session: requests.Session) -> None:
        label = case.operation.label
        try:
            answer = case.call(session=session, timeout=_PATIENCE)
        except requests.RequestException as exc:
            self.failed.setdefault(f"{label}: no answer, {type(exc).__name__}", "")
            return
        self.statuses[f"{label} {answer.status_code}"] += 1
        told = problems.read(answer.content)
        if problems.is_failure(answer.status_code, told):
            self.failed.setdefault(f"{label} {answer.status_code}", str(told))
        for wrong, words in self._wrong(case, answer, session):
            self.broken.setdefault(f"{label} {answer.status_code}: {wrong}", words)
        pool.learn(told, case.body.get("conversation_id") if isinstance(case.body, Mapping) else None)

    def _wrong(self, case: Any, answer: Any, session: requests.Session) -> Iterator[tuple[str, str]]:
        try:
            case.validate_response(answer, headers=dict(session.headers), excluded_checks=UNPROMISED)
        except FailureGroup as exc:
            yield from ((type(failure).__name__, str(exc)) for failure in exc.exceptions)
        headers = {name.lower(): values[0] for name, values in answer.headers.items()}
        if lacks := problems.lacks(answer.status_code, headers, problems.read(answer.content)):
            yield lacks, str(answer.content[:500])


def _understood(described: Any) -> Any:
    if isinstance(described, Err):
        raise StageError(f"The description of an operation cannot be read: {described.err()}")
    return described.ok()


def _make_sensible(case: Any, pool: Pool) -> None:
    known = pool.sensible(case.operation.definition.raw["operationId"])
    if case.method == "GET":
        case.query.update(known)
    elif isinstance(case.body, dict):
        case.body.update(known)
    case.query.pop("conversation_id", None)
    if "Idempotency-Key" in case.headers or pool.chance.random() < 0.8:
        case.headers["Idempotency-Key"] = f"fuzz-{pool.number()}"
