"""One company's ids, tokens and names with another company's key: answered as if they did not exist."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from urllib.parse import quote, urlencode

from script.lib.agent import request
from script.lib.processes import HarnessError
from tests.fuzz.companies import Company

TAKES = frozenset(
    {
        *("conversation_id", "slot_token", "confirm_token", "booking_id", "hold_id", "operation_id", "reference"),
        *("more_token", "service", "staff", "branch", "call_id", "caller_phone", "phone", "email", "name", "q"),
        "Idempotency-Key",
    }
)
"""Parameters by which something is looked up."""
SAYS = frozenset(
    {
        *("language", "Accept-Language", "X-Request-Id", "traceparent", "Prefer", "Cache-Control", "platform"),
        *("caller", "notes", "answers", "reason", "topic", "hold", "max_offers", "wants_earlier", "format"),
        *("start", "from", "to", "date", "when", "part_of_day", "not_before", "time", "phrase", "windows"),
    }
)
"""Parameters by which nothing is looked up."""
EXACT = frozenset({"ok", "status", "code", "title", "detail", "reason", "retryable", "replayed", "known", "number"})
"""Members of responses that must be equal; of the others the type is compared."""
ANY_TEXT = frozenset({"name", "phone", "email", "Idempotency-Key", "caller_phone", "call_id", "q"})
_NAMED_ALIKE = {"caller_phone": "phone", "q": "name"}
NO_BOOKING, NO_OPERATION, NO_TOKEN = "bk_0000000000000000", "op_0000000000000000", "ZZZZZZZZZZ"
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # of references and tokens
THREADS = 8


@dataclass(frozen=True)
class Request:
    """A request before it is sent."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    def with_(self, place: "Place", value: str) -> "Request":
        """Return it with a value in one place."""
        if place.where == "path":
            return replace(self, path=re.sub(r"/(?:bk|op)_[0-9A-Z]+", f"/{quote(value, safe='')}", self.path))
        if place.where == "query":
            return replace(self, query={**self.query, place.name: value})
        if place.where == "header":
            return replace(self, headers={**self.headers, place.name: value})
        outer, _, inner = place.name.rpartition(".")
        body = self.body or {}
        return replace(self, body={**body, **({outer: {**body[outer], inner: value}} if outer else {inner: value})})


@dataclass(frozen=True)
class Place:
    """A parameter of an operation."""

    operation: str
    where: str
    """path, query, header or body."""
    name: str
    """With that of its object: `caller.name`."""

    @property
    def last(self) -> str:
        """Return the name without that of its object."""
        return self.name.rpartition(".")[2]

    def is_for(self, kind: str) -> bool:
        """Return whether it takes values of that kind."""
        return kind.rpartition(" ")[2] == _NAMED_ALIKE.get(self.last, self.last)


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    headers: Mapping[str, str]
    content: str

    def __str__(self) -> str:
        return f"{self.status} {self.content[:300]}"

    def shape(self, sent: str) -> object:
        """Return what may not differ from the response to a made-up value; `sent` is the value."""
        response = json.loads(self.content.replace(json.dumps(sent)[1:-1], "<sent>")) if self.content else None
        return self.status, sorted(self.headers), _shape(response)


def _shape(response: object, name: str = "") -> object:
    if isinstance(response, dict):
        return {key: _shape(value, key) for key, value in response.items()}
    if isinstance(response, list):
        return sorted({json.dumps(_shape(each), sort_keys=True, default=str) for each in response})
    return response if name in EXACT else type(response).__name__


@dataclass
class Probe:
    """A company that uses another company's values."""

    url: str
    attacker: Company
    victim: Company
    chance: Random
    thorough: bool
    """Whether parameters are also given values of other kinds."""
    tried: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, description: Mapping[str, Any]) -> list[str]:
        """Use every value of the other company in every parameter; return the responses that reveal something."""
        self._made_up = {kind: made_up(value, self.chance) for kind, value in self.victim.values.items()}
        # No booking of its own on the day of the other's, which it would find under the other's name.
        self._starts = filter(lambda start: not start.startswith(self.victim.booked_on), self.attacker.starts)
        self._kept = self._booked()
        asks = [
            (place, kind)
            for place in places_of(description)
            for kind in self.victim.values
            if place.is_for(kind) or (self.thorough and place.last not in ANY_TEXT)
        ]
        # The response to a used idempotency key depends on the first request.
        in_order = [ask for ask in asks if ask[0].where == "header"]
        with ThreadPoolExecutor(THREADS) as many:
            wrong = [*many.map(self._compare, [ask for ask in asks if ask not in in_order])]
        wrong += map(self._compare, in_order)
        self.tried = len(asks)
        return [line for lines in wrong for line in lines]

    def _compare(self, ask: "tuple[Place, str]") -> list[str]:
        (place, kind) = ask
        value, unknown = self.victim.values[kind], self._made_up[kind]
        there = self._ask(self._plain(place).with_(place, value))
        nowhere = self._ask(self._plain(place).with_(place, unknown))
        what = f"{self.attacker.tenant.slug}: {kind} as {place.name} ({place.where}) of {place.operation}"
        wrong = []
        if there.shape(value) != nowhere.shape(unknown):
            wrong.append(f"{what}: {there} instead of {nowhere}")
        known = {*self.victim.values.values(), *self.victim.private} - {value, ""}
        if any(re.search(rf"(?<!\w){re.escape(each)}(?!\w)", there.content) for each in known):
            wrong.append(f"{what}: tells more than was asked for: {there}")
        return wrong

    def _ask(self, asked: Request) -> Response:
        target = f"{asked.path}?{urlencode(asked.query)}" if asked.query else asked.path
        headers = {"Authorization": f"Bearer {self.attacker.key}", "Content-Type": "application/json", **asked.headers}
        body = None if asked.body is None else json.dumps(asked.body)
        status, received, content = request(self.url, asked.method, target, body, headers)
        return Response(status, received, content.decode())

    def _plain(self, place: Place) -> Request:
        """Return a request of the attacker's own for the operation, which succeeds if one can."""
        day = {"date": self.victim.booked_on}
        ways: Mapping[str, Callable[[], Request]] = {
            "list_services": lambda: Request("GET", "/v1/services"),
            "list_tools": lambda: Request("GET", "/v1/tools", {"format": "mcp"}),
            "list_availability": lambda: Request("GET", "/v1/availability", {"service": self.attacker.service, **day}),
            "search_availability": lambda: _post("availability/search", service=self.attacker.service, when=day),
            "start_conversation": lambda: _post("conversations", call_id=f"attacker-{next(self._numbers)}"),
            "end_conversation": lambda: _post(f"conversations/{self._call()}/end"),
            "hold_slot": lambda: _post("holds", slot_token=NO_TOKEN),
            "release_slot": lambda: Request("DELETE", f"/v1/holds/{NO_BOOKING}"),
            "create_booking": self._booking,
            "get_booking": lambda: Request("GET", f"/v1/bookings/{self._kept}"),
            "cancel_booking": lambda: _post(f"bookings/{self._to_change(place)}/cancel"),
            "reschedule_booking": lambda: _post(
                f"bookings/{self._to_change(place)}/reschedule",
                **({} if place.name == "slot_token" else {"start": next(self._starts)}),
            ),
            "find_bookings": lambda: _post(
                "bookings/find", conversation_id=self._call(), **(day if place.name == "name" else {})
            ),
            "request_callback": lambda: _post(
                "callbacks", topic=f"Probe {next(self._numbers)}", phone=self.attacker.values["phone"]
            ),
            "get_operation": lambda: Request("GET", f"/v1/operations/{NO_OPERATION}"),
        }
        if place.operation not in ways:
            raise HarnessError(f"There is no request for {place.operation}: add it to {__name__}.")
        return ways[place.operation]()

    def _booking(self) -> Request:
        caller = {name: self.attacker.values[name] for name in ("name", "phone", "email")}
        asked = _post("bookings", service=self.attacker.service, start=next(self._starts), caller=caller)
        return replace(asked, headers={"Idempotency-Key": f"attacker-{next(self._numbers)}"})

    def _to_change(self, place: Place) -> str:
        """Return a booking of the attacker; a new one where it will be changed."""
        return self._booked() if place.where == "header" else self._kept

    def _booked(self) -> str:
        return str(self._made(self._booking())["booking"]["id"])

    def _call(self) -> str:
        return str(self._made(_post("conversations", call_id=f"attacker-{next(self._numbers)}"))["conversation_id"])

    def _made(self, asked: Request) -> Any:
        response = self._ask(asked)
        if response.status not in {200, 201}:
            raise HarnessError(f"The attacker has no data: {response}")
        return json.loads(response.content)


def _post(path: str, **body: Any) -> Request:
    return Request("POST", f"/v1/{path}", body=body)


def made_up(value: str, chance: Random) -> str:
    """Return a value of the same form that does not exist."""
    prefix, _, rest = value.rpartition("_")
    if prefix in {"sv", "st"}:
        return f"{prefix}_{chance.randrange(10**8, 10**9)}"
    if value.startswith("+"):
        return f"{value[:8]}{chance.randrange(10**5, 10**6)}"
    if re.fullmatch("[0-9A-Z]+", rest):
        return value[: -len(rest)] + "".join(chance.choice(_ALPHABET) for _ in rest)
    return "".join(_alike(letter, chance) for letter in value)


def _alike(letter: str, chance: Random) -> str:
    if not letter.isalpha():
        return letter
    return chance.choice(ascii_uppercase if letter.isupper() else ascii_lowercase)


# --- places ------------------------------------------------------------------------------------------------------


def places_of(description: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the parameters by which something is looked up. Raises `HarnessError` for an unclassified one."""
    schemas = description["components"]["schemas"]
    for item in description["paths"].values():
        for operation in item.values():
            name = operation["operationId"]
            yield from _named(name, ((each["in"], each["name"]) for each in operation.get("parameters", ())))
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                yield from _named(name, (("body", member) for member in _members(body, schemas)))


def _named(operation: str, parameters: Iterable[tuple[str, str]]) -> Iterator[Place]:
    for where, name in parameters:
        place = Place(operation, where, name)
        if place.last not in TAKES | SAYS:
            raise HarnessError(f"Is anything looked up by {name} of {operation}? Add it to {__name__}.")
        if place.last in TAKES:
            yield place


def _members(schema: Mapping[str, Any], schemas: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the members of a body, those of its members as `caller.name`."""
    for option in (schema, *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if "$ref" in option:
            yield from _members(schemas[option["$ref"].rpartition("/")[2]], schemas, path)
    for name, below in schema.get("properties", {}).items():
        yield f"{path}{name}"
        if not path:
            yield from _members(below, schemas, f"{name}.")
