"""Requests to addresses that need no agent's key: health, webhooks, the manual, and unknown ones."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from random import Random
from typing import Any
from urllib.parse import quote

import orjson
from hypothesis import strategies as st

from calcom.simulator import sign
from script.lib.agent import request
from tests.fuzz import problems
from tests.fuzz.companies import Company
from tests.fuzz.drawing import draw

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PURGE")
PATHS = ("/health", "/health/live", "/health/ready", "/v1/openapi.json", "/v1/docs", "/v1", "/v1/", "/webhooks/calcom/")
PREFIXES = ("/v1/", "/webhooks/", "/health")
EXAMPLES = 20
_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates, too: JSON can contain them
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Unsigned:
    """What is sent there, and what is wrong with the responses."""

    url: str
    company: Company
    secret: str
    """Of the company's webhooks."""
    bodies: Sequence[bytes]
    """Genuine webhooks."""
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)

    def run(self, seconds: float, *, at_least: int) -> None:
        """Send until the time is over, and at least so many requests."""
        until = time.monotonic() + seconds
        for number in range(1_000_000):
            for kind in (self._any_webhook, self._altered_webhook, self._any_request):
                draw(st.data(), kind, number=self.seed + number, most=EXAMPLES)
            if time.monotonic() > until and self.statuses.total() >= at_least:
                return

    def _any_webhook(self, data: Any) -> None:
        """Send any bytes, or any JSON, as a webhook with any signature."""
        body = data.draw(st.binary(max_size=200) | _JSON.map(_encoded))
        account = data.draw(st.sampled_from([self.company.tenant.account_id, 0, 10**9, 10**30]))
        visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)
        genuine = sign(self.secret, body)
        signatures = st.just(genuine) | visible | st.just("no-secret-provided") | st.just(genuine.upper() + "0")
        self._post_webhook(account, body, data.draw(signatures))

    def _altered_webhook(self, data: Any) -> None:
        """Send a genuine webhook with another value in one place, rightly signed."""
        message = orjson.loads(data.draw(st.sampled_from(self.bodies)))
        chance = Random(data.draw(st.integers(0, 2**32)))
        _alter(message, data.draw(_JSON), chance)
        body = _encoded(message)
        self._post_webhook(self.company.tenant.account_id, body, sign(self.secret, body))

    def _any_request(self, data: Any) -> None:
        odd = st.text(max_size=20).map(lambda text: "/" + quote(text, safe="/?&=%"))
        path = data.draw(st.sampled_from(PATHS) | odd | odd.map("/v1{}".format) | odd.map("/webhooks/calcom{}".format))
        method = data.draw(st.sampled_from(METHODS))
        self._send(method, path, data.draw(st.none() | st.binary(max_size=50)), {})

    def _post_webhook(self, account: int, body: bytes, signature: str) -> None:
        headers = {"Content-Type": "application/json", "X-Cal-Signature-256": signature}
        self._send("POST", f"/webhooks/calcom/{account}", body, headers)

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        prefix = next((prefix for prefix in PREFIXES if path.startswith(prefix)), "elsewhere")
        try:
            status, received, content = request(self.url, method, path, body, headers)
        except (OSError, HTTPException) as exc:
            self.failed.setdefault(f"{method} {prefix}: no response, {type(exc).__name__}", path)
            return
        self.statuses[f"{prefix} {status}"] += 1
        parsed = problems.parse(content)
        if problems.is_failure(status, parsed):
            self.failed.setdefault(f"{method} {prefix} {status}", f"{path} {content[:300]!r}")
        if prefix in {"/v1/", "/webhooks/"} and method != "HEAD":
            lower = {name.lower(): value for name, value in received.items()}
            if violation := problems.violation(status, lower, parsed, to_agents=prefix == "/v1/"):
                self.violations.setdefault(f"{method} {prefix} {status}: {violation}", f"{path} {content[:300]!r}")


def _encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def _alter(message: Any, value: object, chance: Random) -> None:
    """Put a value in one place of the message, however deep."""
    while isinstance(message, dict) and message:
        name = chance.choice(list(message))
        if not isinstance(message[name], dict) or chance.random() < 0.3:
            message[name] = value
            return
        message = message[name]
