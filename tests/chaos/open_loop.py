"""An open-loop load generator: requests are sent at their time, whether or not those before have been answered."""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from script.lib.measurements import percentile
from script.lib.processes import HarnessError

# Seconds until a response counts as lost; the longest wait that the API grants is 8 s.
TIMEOUT = 15.0
# Connections that are open before the first request, so that each process of web has its share of them.
CONNECTIONS = 60
# Seconds by which requests may be sent late. If they are later, this machine is busy, and not the server slow.
MAX_LATENESS = 0.25


@dataclass(frozen=True, slots=True)
class Request:
    """A request, when it is sent, and how long its caller waits."""

    at: float
    """Seconds from the beginning."""
    what: str
    tenant: str
    content: bytes
    """As it goes over the wire."""
    wait: float
    """Seconds until the deadline."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response, or that there was none."""

    request: Request
    late: float
    """Seconds by which the request was sent too late."""
    duration: float
    status: int = 0
    """0 where there was no response."""
    body: Any = None

    @property
    def excess(self) -> float:
        """Return the seconds beyond the deadline."""
        return max(0.0, self.duration - self.request.wait)

    @property
    def is_failure(self) -> bool:
        """Return whether it is a 500, or missing: neither is ever right."""
        return self.status in {0, 500}

    def __str__(self) -> str:
        code = self.body.get("code") or self.body.get("status") if isinstance(self.body, dict) else ""
        return f"{self.request.what}: {self.status} {code}"


def encode(
    url: str, key: str, target: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a request as it goes over the wire; with a body it is a POST."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        *([f"Authorization: Bearer {key}"] if key else []),
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        *(() if body is None else ("Content-Type: application/json", f"Content-Length: {len(content)}")),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def run(url: str, requests: Sequence[Request]) -> list[Response]:
    """
    Send all requests at their time; return the responses, in no order.

    Raises:
        HarnessError: requests were sent late, so this machine is too busy for a measurement.
    """
    responses = asyncio.run(_Pool(url).run(requests))
    check_lateness(responses)
    return responses


def check_lateness(responses: Sequence[Response]) -> None:
    """Raise `HarnessError` unless requests were sent at their time."""
    latest = percentile([each.late for each in responses], 0.99)
    if latest is None or latest > MAX_LATENESS:
        raise HarnessError(f"Requests were sent {latest} s late: this machine is too busy for a measurement.")


class _Pool:
    """Idle connections, of which the one idle for longest is used first: so all processes get their share."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: deque[Connection] = deque()

    async def run(self, requests: Sequence[Request]) -> list[Response]:
        opened = (Connection.open(self._host, self._port) for _ in range(CONNECTIONS))
        self._idle.extend(await asyncio.gather(*opened))
        clock = asyncio.get_running_loop().time
        began, tasks = clock(), []
        for request in sorted(requests, key=lambda each: each.at):
            await asyncio.sleep(max(0.0, began + request.at - clock()))
            tasks.append(asyncio.create_task(self._send(request, clock() - began - request.at)))
        responses = await asyncio.gather(*tasks)
        for connection in self._idle:
            connection.close()
        return responses

    async def _send(self, request: Request, late: float) -> Response:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            status, content = await asyncio.wait_for(self._exchange(request.content), TIMEOUT)
        except (OSError, EOFError, TimeoutError):
            return Response(request, late, clock() - began)
        return Response(request, late, clock() - began, status, json.loads(content) if content else None)

    async def _exchange(self, content: bytes) -> tuple[int, bytes]:
        """Send on an idle connection, and on a new one if that was closed by the server."""
        if self._idle:
            with suppress(ConnectionError, EOFError):
                return await self._on(self._idle.popleft(), content)
        return await self._on(await Connection.open(self._host, self._port), content)

    async def _on(self, connection: "Connection", content: bytes) -> tuple[int, bytes]:
        try:
            response = await connection.send(content)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return response


class Connection:
    """A keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int, *, from_: str = "") -> Self:
        """Connect, from an address of this machine if one is named."""
        return cls(*await asyncio.open_connection(host, port, local_addr=(from_, 0) if from_ else None))

    async def send(self, content: bytes) -> tuple[int, bytes]:
        """Send a request as it goes over the wire; return status and content of the response."""
        self._writer.write(content)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Close it."""
        self._writer.close()
