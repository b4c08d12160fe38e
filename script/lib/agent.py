"""An API client for Slotline: one voice agent with its key on a keep-alive connection."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from script.lib.processes import HarnessError

# Seconds until an answer counts as lost; the longest wait that the API grants is 8 s.
TIMEOUT = 15.0


class NoResponseError(HarnessError):
    """The connection broke or timed out: the outcome of the request is unknown."""


@dataclass(frozen=True)
class Answer:
    """A response; `duration` is in seconds, as the client measured it."""

    status: int
    headers: Mapping[str, str]
    body: Any
    duration: float

    @property
    def code(self) -> str:
        """Return the code of a problem, else the `status` member of the body."""
        return str(self.body.get("code") or self.body.get("status")) if isinstance(self.body, dict) else ""


def request(
    url: str,
    method: str,
    target: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = TIMEOUT,
) -> tuple[int, dict[str, str], bytes]:
    """
    Send one request on a connection of its own; return status, headers and content.

    Raises:
        OSError, HTTPException: there was no response.
    """
    connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


class Agent:
    """One agent on one connection; not thread-safe."""

    def __init__(self, url: str, key: str, *, timeout: float = TIMEOUT) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout)
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def get(self, path: str, **query: str) -> Answer:
        """Send a GET. Raises `NoResponseError`, as `post` does."""
        return self._send("GET", f"{path}?{urlencode(query)}" if query else path, None, {})

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> Answer:
        """Send `body` to `path`; `Idempotency_Key="…"` becomes a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._send("POST", path, json.dumps(body), {"Content-Type": "application/json", **sent})

    def _send(self, method: str, target: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        began = time.monotonic()
        try:
            self._connection.request(method, target, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as exc:
            self._connection.close()
            raise NoResponseError(f"{method} {target} got no response: {exc!r}.") from exc
        duration = time.monotonic() - began
        return Answer(response.status, dict(response.headers), json.loads(content) if content else None, duration)
