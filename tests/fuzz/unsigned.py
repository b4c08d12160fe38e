"""Doors that ask for no agent's key: health, webhooks, the manual, and addresses that are none."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from hypothesis import strategies as st

from calcom.simulator import sign
from tests.fuzz import problems
from tests.fuzz.companies import Shop
from tests.fuzz.drawing import drawn

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PURGE")
PATHS = ("/health", "/health/live", "/health/ready", "/v1/openapi.json", "/v1/docs", "/v1", "/v1/", "/webhooks/calcom/")
DOORS = ("/v1/", "/webhooks/", "/health")
AT_ONCE = 20
_PATIENCE = 15.0  # seconds
_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates, too: JSON can write them
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Knocking:
    """Everything that is sent there, and what is wrong with what came back."""

    url: str
    shop: Shop
    secret: str
    """Of the shop's webhooks."""
    bodies: Sequence[bytes]
    """What Cal.com said in truth."""
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def run(self, seconds: float) -> None:
        """Knock until the time is over; at every door at least once."""
        until = time.monotonic() + seconds
        for number in range(1_000_000):
            for way in (self._tell, self._tell_almost, self._knock):
                drawn(st.data(), way, number=self.seed + number, most=AT_ONCE)
            if time.monotonic() > until:
                return

    def _tell(self, data: Any) -> None:
        """Send any bytes, or any JSON, as a webhook; signed in any way."""
        body = data.draw(st.binary(max_size=200) | _JSON.map(_written))
        account = data.draw(st.sampled_from([self.shop.tenant.account_id, 0, 10**9, 10**30]))
        self._post_webhook(account, body, data.draw(self._signatures(body)))

    def _tell_almost(self, data: Any) -> None:
        """Send what Cal.com said, with something else in one place, rightly signed."""
        told = orjson.loads(data.draw(st.sampled_from(self.bodies)))
        chance = Random(data.draw(st.integers(0, 2**32)))
        _spoil(told, data.draw(_JSON), chance)
        body = _written(told)
        self._post_webhook(self.shop.tenant.account_id, body, sign(self.secret, body))

    def _knock(self, data: Any) -> None:
        """Ask any way at any address."""
        odd = st.text(max_size=20).map(lambda text: "/" + quote(text, safe="/?&=%"))
        path = data.draw(st.sampled_from(PATHS) | odd | odd.map("/v1{}".format) | odd.map("/webhooks/calcom{}".format))
        method = data.draw(st.sampled_from(METHODS))
        self._ask(method, path, data.draw(st.none() | st.binary(max_size=50)), {})

    def _post_webhook(self, account: int, body: bytes, signature: str) -> None:
        headers = {"Content-Type": "application/json", "X-Cal-Signature-256": signature}
        self._ask("POST", f"/webhooks/calcom/{account}", body, headers)

    def _signatures(self, body: bytes) -> st.SearchStrategy[str]:
        visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)
        genuine = sign(self.secret, body)
        return st.just(genuine) | visible | st.just("no-secret-provided") | st.just(genuine.upper() + "0")

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        door = next((door for door in DOORS if path.startswith(door)), "elsewhere")
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as exc:
            self.failed.setdefault(f"{method} {door}: no answer, {type(exc).__name__}", path)
            return
        finally:
            connection.close()
        self.statuses[f"{door} {answer.status}"] += 1
        told = problems.read(content)
        if problems.is_failure(answer.status, told):
            self.failed.setdefault(f"{method} {door} {answer.status}", f"{path} {content[:300]!r}")
        if door in {"/v1/", "/webhooks/"} and method != "HEAD":
            spoken = {name.lower(): value for name, value in answer.headers.items()}
            lacks = problems.lacks(answer.status, spoken, told, to_agents=door == "/v1/")
            if lacks:
                self.broken.setdefault(f"{method} {door} {answer.status}: {lacks}", f"{path} {content[:300]!r}")


def _written(value: object) -> bytes:
    return json.dumps(value).encode()


def _spoil(told: Any, value: object, chance: Random) -> None:
    """Put a value in one place of what was told, however deep."""
    while isinstance(told, dict) and told:
        name = chance.choice(list(told))
        if not isinstance(told[name], dict) or chance.random() < 0.3:
            told[name] = value
            return
        told = told[name]
