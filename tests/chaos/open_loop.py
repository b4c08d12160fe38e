"""
Callers who keep coming, whether or not those before them have been answered; one thread asks for all of them.

A caller who waits holds up nobody here: if answers come late, more and more callers wait, as they would on the phone.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from script.lib.measurements import percentile
from script.lib.processes import StageError

# Seconds until an answer counts as lost; the longest wait that the API grants is 8 s.
PATIENCE = 15.0
# Connections that stand before the first caller comes: so many that each process of web has its share of them.
STANDING = 60
# Seconds by which callers may come late, because this machine is busy. More, and it is not the server that is slow.
LATEST = 0.25


@dataclass(frozen=True, slots=True)
class Ask:
    """What one caller asks, when, and how long they wait."""

    at: float
    """Seconds from the beginning."""
    what: str
    who: str
    """Whose line it is."""
    request: bytes
    wait: float
    """Seconds until the deadline."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer, or that none came."""

    ask: Ask
    late: float
    """Seconds by which it was asked too late."""
    took: float
    status: int = 0
    """Of HTTP; 0 where no answer came."""
    body: Any = None

    @property
    def excess(self) -> float:
        """Return the seconds beyond the deadline."""
        return max(0.0, self.took - self.ask.wait)

    @property
    def is_failure(self) -> bool:
        """Return whether it is a 500, or nothing at all: neither is ever right."""
        return self.status in {0, 500}

    @property
    def word(self) -> str:
        """Return the code of a problem, else the status of the answer in a word."""
        return str(self.body.get("code") or self.body.get("status")) if isinstance(self.body, dict) else ""


def request(
    url: str, key: str, target: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a request as it goes over the wire; with a body it is a POST."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{'GET' if body is None else 'POST'} {target} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        f"Authorization: Bearer {key}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
        *(() if body is None else ("Content-Type: application/json", f"Content-Length: {len(content)}")),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content


def play(url: str, asks: Sequence[Ask]) -> list[Heard]:
    """Let all of them come at their time; return what each was told, in no order."""
    return asyncio.run(_Switchboard(url).play(asks))


class _Switchboard:
    """Connections that wait for a caller, the one that has waited longest first: so all processes get their share."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._free: deque[Line] = deque()

    async def play(self, asks: Sequence[Ask]) -> list[Heard]:
        self._free.extend(await asyncio.gather(*(Line.to(self._host, self._port) for _ in range(STANDING))))
        clock = asyncio.get_running_loop().time
        began, coming = clock(), []
        for ask in sorted(asks, key=lambda each: each.at):
            await asyncio.sleep(max(0.0, began + ask.at - clock()))
            coming.append(asyncio.create_task(self._one(ask, clock() - began - ask.at)))
        heard = await asyncio.gather(*coming)
        for line in self._free:
            line.close()
        return heard

    async def _one(self, ask: Ask, late: float) -> Heard:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            status, content = await asyncio.wait_for(self._told(ask.request), PATIENCE)
        except (OSError, EOFError, TimeoutError):
            return Heard(ask, late, clock() - began)
        took = clock() - began
        return Heard(ask, late, took, status, json.loads(content) if content else None)

    async def _told(self, asked: bytes) -> tuple[int, bytes]:
        """Ask on a connection that stands, and once more on a new one if that had been given up by the other side."""
        if self._free:
            with suppress(ConnectionError, EOFError):
                return await self._on(self._free.popleft(), asked)
        return await self._on(await Line.to(self._host, self._port), asked)

    async def _on(self, line: "Line", asked: bytes) -> tuple[int, bytes]:
        try:
            told = await line.ask(asked)
        except BaseException:
            line.close()
            raise
        self._free.append(line)
        return told


class Line:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, host: str, port: int, *, from_: str = "") -> Self:
        """Connect, from an address of this machine if one is named."""
        here = (from_, 0) if from_ else None
        return cls(*await asyncio.open_connection(host, port, local_addr=here))

    async def ask(self, asked: bytes) -> tuple[int, bytes]:
        """Send a request as it goes over the wire; return the status and the body of the answer."""
        self._writer.write(asked)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Give it up."""
        self._writer.close()


def refuse_late(heard: Sequence[Heard]) -> None:
    """
    Do nothing if callers came when they should.

    Raises:
        StageError: this machine is too busy to tell anything about the server.
    """
    latest = percentile([each.late for each in heard], 0.99)
    if latest is None or latest > LATEST:
        raise StageError(f"Callers came {latest} s late: this machine is too busy to tell anything.")


def spelled(heard: Sequence[Heard]) -> list[str]:
    """Return what was heard, a line for each kind of answer."""
    kinds: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for each in heard:
        kinds[each.ask.what, each.status, each.word].append(each.took * 1000)
    return [
        f"{len(times):>5} times {what:<15} {status or 'no answer'} {word:<22}"
        f" p50 {percentile(times, 0.5):>6.0f}  p99 {percentile(times, 0.99):>6.0f}  max {max(times):>6.0f} ms"
        for (what, status, word), times in sorted(kinds.items())
    ]
