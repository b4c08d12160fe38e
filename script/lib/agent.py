"""A voice agent, as far as HTTP goes: it shows its key, sends JSON, and keeps its connection."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from script.lib.processes import StageError

# Seconds until an answer counts as lost; the longest wait that the API grants is 8 s.
PATIENCE = 15.0


class UnansweredError(StageError):
    """No answer came: nobody knows what came of the request."""


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: Mapping[str, str]
    body: Any
    took: float

    @property
    def cache_status(self) -> str:
        """Return where the answer came from, in the words of RFC 9211."""
        return self.headers.get("Cache-Status", "")


class Agent:
    """One agent on one keep-alive connection; not for several threads."""

    def __init__(self, url: str, key: str, *, patience: float = PATIENCE) -> None:
        """Talk to Slotline at `url` with the agent key `key`, and give up after `patience` seconds."""
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=patience)
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def get(self, path: str, **query: str) -> Answer:
        """Ask for `path`. Raises `UnansweredError`, as `post` does."""
        return self._ask("GET", f"{path}?{urlencode(query)}" if query else path, None, {})

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> Answer:
        """Send `body` to `path`; `Idempotency_Key="…"` becomes a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._ask("POST", path, json.dumps(body), {"Content-Type": "application/json", **sent})

    def _ask(self, method: str, target: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        began = time.monotonic()
        try:
            self._connection.request(method, target, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as exc:
            self._connection.close()
            raise UnansweredError(f"{method} {target} got no answer: {exc!r}.") from exc
        took = time.monotonic() - began
        return Answer(response.status, dict(response.headers), json.loads(content) if content else None, took)
