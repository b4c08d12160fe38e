"""One company's ids, tokens and names with another company's key: answered as if they had never been."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from itertools import count
from random import Random
from string import ascii_lowercase, ascii_uppercase
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from calcom.simulator import sign
from script.lib.processes import StageError
from tests.fuzz.companies import Shop

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
        *("caller", "notes", "answers", "reason", "topic", "hold", "max_offers"),
        *("start", "from", "to", "date", "when", "part_of_day", "not_before", "time", "phrase", "windows"),
    }
)
"""Parameters that name nothing which anybody has."""
EXACT = frozenset({"ok", "status", "code", "title", "detail", "reason", "retryable", "replayed", "known", "number"})
"""Members of answers that must be the same to the letter; of the others the kind is compared."""
ANY_TEXT = frozenset({"name", "phone", "email", "Idempotency-Key", "caller_phone", "call_id", "q"})
_NAMED_ALIKE = {"caller_phone": "phone", "q": "name"}
NO_BOOKING, NO_OPERATION, NO_TOKEN = "bk_0000000000000000", "op_0000000000000000", "ZZZZZZZZZZ"
_SAID = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # letters of references and of tokens
_PATIENCE = 15.0  # seconds
AT_ONCE = 8


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
    """Where an operation takes something."""

    operation: str
    where: str
    """path, query, header or body."""
    name: str
    """With that of what it is in: `caller.name`."""

    @property
    def last(self) -> str:
        """Return the name without that of what it is in."""
        return self.name.rpartition(".")[2]

    def is_for(self, kind: str) -> bool:
        """Return whether it takes things of that kind."""
        return kind.rpartition(" ")[2] == _NAMED_ALIKE.get(self.last, self.last)


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    content: str

    def __str__(self) -> str:
        return f"{self.status} {self.content[:300]}"

    def shape(self, sent: str) -> object:
        """Return what may not differ from the answer to something that never was; `sent` is what was asked for."""
        told = json.loads(self.content.replace(json.dumps(sent)[1:-1], "<sent>")) if self.content else None
        return self.status, sorted(self.headers), _shape(told)


def _shape(told: object, name: str = "") -> object:
    if isinstance(told, dict):
        return {key: _shape(value, key) for key, value in told.items()}
    if isinstance(told, list):
        return sorted({json.dumps(_shape(each), sort_keys=True, default=str) for each in told})
    return told if name in EXACT else type(told).__name__


@dataclass
class Robbery:
    """Somebody who shows what is another company's."""

    url: str
    robber: Shop
    robbed: Shop
    chance: Random
    thorough: bool
    """Whether places are shown things that are not called like them."""
    tried: int = 0
    caught: Sequence[str] = ()
    """What was answered in another way than for something that never was, or told something of the other company."""
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, description: Mapping[str, Any]) -> None:
        """Show everything the other company has in every place that takes anything."""
        self._twins = {kind: never_was(thing, self.chance) for kind, thing in self.robbed.things.items()}
        # Nothing of its own on the day of the other's booking, lest it finds that under the other's name.
        self._starts = filter(lambda start: not start.startswith(self.robbed.booked_on), self.robber.starts)
        self._kept = self._booked()
        asks = [
            (place, kind)
            for place in places_of(description)
            for kind in self.robbed.things
            if place.is_for(kind) or (self.thorough and place.last not in ANY_TEXT)
        ]
        # A key is used once: what comes of it the second time depends on what came of it the first time.
        in_order = [ask for ask in asks if ask[0].where == "header"]
        with ThreadPoolExecutor(AT_ONCE) as many:
            wrong = [*many.map(self._compare, [ask for ask in asks if ask not in in_order])]
        wrong += map(self._compare, in_order)
        self.tried = len(asks)
        self.caught = [line for lines in wrong for line in lines]

    def _compare(self, ask: "tuple[Place, str]") -> list[str]:
        (place, kind) = ask
        thing, twin = self.robbed.things[kind], self._twins[kind]
        there = self._ask(self._plain(place).with_(place, thing))
        nowhere = self._ask(self._plain(place).with_(place, twin))
        what = f"{self.robber.tenant.slug}: {kind} as {place.name} ({place.where}) of {place.operation}"
        wrong = []
        if there.shape(thing) != nowhere.shape(twin):
            wrong.append(f"{what}: {there} instead of {nowhere}")
        known = {*self.robbed.things.values(), *self.robbed.private} - {thing, ""}
        if any(re.search(rf"(?<!\w){re.escape(each)}(?!\w)", there.content) for each in known):
            wrong.append(f"{what}: tells more than was asked for: {there}")
        return wrong

    def _ask(self, asked: Request) -> Told:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE)
        target = f"{asked.path}?{urlencode(asked.query)}" if asked.query else asked.path
        headers = {"Authorization": f"Bearer {self.robber.key}", "Content-Type": "application/json", **asked.headers}
        try:
            connection.request(asked.method, target, None if asked.body is None else json.dumps(asked.body), headers)
            answer = connection.getresponse()
            return Told(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    # --- what would be answered, were it not for the one place ---------------------------------------------------

    def _plain(self, place: Place) -> Request:
        """Return a request of the robber's own for the operation, to which the answer is yes if that can be."""
        day = {"date": self.robbed.booked_on}
        ways: Mapping[str, Callable[[], Request]] = {
            "list_services": lambda: Request("GET", "/v1/services"),
            "list_availability": lambda: Request("GET", "/v1/availability", {"service": self.robber.service, **day}),
            "search_availability": lambda: _post("availability/search", service=self.robber.service, when=day),
            "start_conversation": lambda: _post("conversations", call_id=f"robbers-{next(self._numbers)}"),
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
                "callbacks", topic=f"Robbery {next(self._numbers)}", phone=self.robber.things["phone"]
            ),
            "get_operation": lambda: Request("GET", f"/v1/operations/{NO_OPERATION}"),
        }
        if place.operation not in ways:
            raise StageError(f"Nobody knows what {place.operation} is asked with: say so in {__name__}.")
        return ways[place.operation]()

    def _booking(self) -> Request:
        caller = {name: self.robber.things[name] for name in ("name", "phone", "email")}
        asked = _post("bookings", service=self.robber.service, start=next(self._starts), caller=caller)
        return replace(asked, headers={"Idempotency-Key": f"robbers-{next(self._numbers)}"})

    def _to_change(self, place: Place) -> str:
        """Return a booking of the robber's; a new one where it will be changed."""
        return self._booked() if place.where == "header" else self._kept

    def _booked(self) -> str:
        return str(self._made(self._booking())["booking"]["id"])

    def _call(self) -> str:
        return str(self._made(_post("conversations", call_id=f"robbers-{next(self._numbers)}"))["conversation_id"])

    def _made(self, asked: Request) -> Any:
        told = self._ask(asked)
        if told.status not in {200, 201}:
            raise StageError(f"The robber has nothing of its own: {told}")
        return json.loads(told.content)


def _post(path: str, **body: Any) -> Request:
    return Request("POST", f"/v1/{path}", body=body)


def never_was(thing: str, chance: Random) -> str:
    """Return something of the same form that nobody was ever given."""
    prefix, _, rest = thing.rpartition("_")
    if prefix in {"sv", "st"}:
        return f"{prefix}_{chance.randrange(10**8, 10**9)}"
    if thing.startswith("+"):
        return f"{thing[:8]}{chance.randrange(10**5, 10**6)}"
    if re.fullmatch("[0-9A-Z]+", rest):
        return thing[: -len(rest)] + "".join(chance.choice(_SAID) for _ in rest)
    return "".join(_alike(letter, chance) for letter in thing)


def _alike(letter: str, chance: Random) -> str:
    if not letter.isalpha():
        return letter
    return chance.choice(ascii_uppercase if letter.isupper() else ascii_lowercase)


# --- places ------------------------------------------------------------------------------------------------------


def places_of(description: Mapping[str, Any]) -> Iterator[Place]:
    """
    Yield every place of the API in which something is named.

    Raises:
        StageError: there is a parameter of which nobody has said whether it names anything.
    """
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
            raise StageError(f"Does {name} of {operation} name anything that somebody has? Say so in {__name__}.")
        if place.last in TAKES:
            yield place


def _members(schema: Mapping[str, Any], schemas: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the members of a body, those of its members as `caller.name`."""
    for option in (schema, *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if "$ref" in option:
            yield from _members(schemas[option["$ref"].rpartition("/")[2]], schemas, path)
    for name, below in schema.get("properties", {}).items():
        yield f"{path}{name}"
        if not path:  # nothing deeper names anything
            yield from _members(below, schemas, f"{name}.")


# --- webhooks ----------------------------------------------------------------------------------------------------


def forge(url: str, secret: str, account_id: int, body: bytes) -> int:
    """Tell an account's door something, signed with a secret; return the status of the answer."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    signature = sign(secret, body)
    headers = {"Content-Type": "application/json", "X-Cal-Signature-256": signature}
    try:
        connection.request("POST", f"/webhooks/calcom/{account_id}", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
