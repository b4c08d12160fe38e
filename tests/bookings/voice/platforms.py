"""Voice platforms as their SDKs send: envelopes and signatures written here by hand, from the recorded facts."""

import hashlib
import hmac
import json
import time
from itertools import count
from typing import Any

from django.http import HttpResponse
from django.test import Client

from bookings.models import AgentKey

JSON = "application/json"


def open_voice(key: AgentKey, secret: str) -> AgentKey:
    """Give the key every scope, and the secret of each platform; return it."""
    key.scopes = list(AgentKey.Scope)
    for platform in ("retell", "elevenlabs", "bland", "vapi"):
        key.add_secret(platform, secret=secret)
    key.save()
    return key


class Retell:
    """Sends signed requests in one call."""

    def __init__(self, company: str, secret: str, *, call_id: str = "call_1", number: str = "+4915112345678") -> None:
        self.company, self.secret = company, secret
        self.call = {
            "call_id": call_id,
            "call_type": "phone_call",
            "direction": "inbound",
            "from_number": number,
            "to_number": "+493012345678",
        }
        self._client = Client()
        self._pauses = count()

    def tool(self, tool: str, /, **args: Any) -> dict[str, Any]:
        """Call a custom function, and return what the model is told."""
        answered = self.send("fn", {"name": tool, "call": self.call, "args": args})
        assert answered.status_code == 200, answered.content
        told: dict[str, Any] = answered.json()
        return told

    def send(self, what: str, body: object, *, signature: str | None = None) -> HttpResponse:
        """Send a body, signed as it is written."""
        raw = json.dumps(body, ensure_ascii=False).encode()
        return self.send_raw(what, raw, self.sign(raw) if signature is None else signature)

    def send_raw(self, what: str, raw: bytes, signature: str) -> HttpResponse:
        """Send bytes."""
        address = f"/adapters/retell/{self.company}/{what}"
        return self._client.generic("POST", address, raw, JSON, headers={"X-Retell-Signature": signature})

    def sign(self, raw: bytes, *, at_ms: int | None = None) -> str:
        """Return the signature of a body now; each is of another millisecond."""
        stamp = str(int(time.time() * 1000) + next(self._pauses) if at_ms is None else at_ms)
        return f"v={stamp},d={hmac.new(self.secret.encode(), raw + stamp.encode(), hashlib.sha256).hexdigest()}"


class Mcp:
    """A client of the version 2026-07-28."""

    def __init__(self, key: str, *, call_id: str = "mcp-1", number: str = "+4915112345678") -> None:
        self.key, self.call_id, self.number = key, call_id, number
        self._client = Client()
        self._ids = count(1)

    def tool(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and return what the model sees: the text."""
        answered = self.request("tools/call", {"name": tool, "arguments": arguments})
        assert answered.status_code == 200, answered.content
        (content,) = answered.json()["result"]["content"]
        told: dict[str, Any] = json.loads(content["text"])
        return told

    def request(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        """Send one request as the newest version has it."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": {**(params or {}), "_meta": meta},
        }
        return self.post(body, mcp_protocol_version="2026-07-28", mcp_method=method, **headers)

    def post(self, body: object, **headers: str) -> HttpResponse:
        """Send a body with the key and the headers of the call."""
        sent = {"Authorization": f"Bearer {self.key}", "X-Call-Id": self.call_id, "X-Caller-Id": self.number}
        sent |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self._client.post("/mcp", body, content_type=JSON, headers=sent)
