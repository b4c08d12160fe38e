"""
Clients without a key keep connections open: after `Connection: close`, in the middle of headers or a body, or silent.

Two hundred of each kind, one kind after the other, while agents ask on connections of their own and a load balancer
asks for `/health/live` on a new connection each time: both are answered as if the two hundred were not there.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from script.lib import environment
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.chaos.experiments import _salon

PROMISES = {
    "held_connections_added_ms": Promise("ms", 100),
    "held_connections_unanswered": Promise("answers", 0),
    "unfinished_requests_end_s": Promise("s", 6),
    "chunked_bodies_answered": Promise("share", 1, exactly=True),
}
HELD = 200
# Seconds between two questions of each of those who are measured.
PACE = 0.02
ENDED_WITHIN = 20.0

KINDS: Mapping[str, bytes] = {
    "held after close": b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "half headers": b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Half: ",
    "half bodies": b"POST /webhooks/calcom/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 5000\r\n\r\n{"triggerEvent":',
    "silent": b"",
}
"""What each client sends before it keeps its connection open."""


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Hold connections of each kind for some seconds."""
    with environment.brought_up(_salon.dataset(2), log="held_connections", limit=10**6, seed=seed) as here:
        _salon.free(here)  # from now on the times are known
        return _measured(here, seconds=20.0 if full else 4.0)


def _measured(here: Ground, seconds: float) -> dict[str, Found]:
    alone = _asked_during(here, seconds)
    added: dict[str, float] = {}
    unanswered = len(alone.missing)
    for kind, sent in KINDS.items():
        with _held(here.url, sent):
            beside = _asked_during(here, seconds)
        unanswered += len(beside.missing)
        added[kind] = max(beside.slowest(who) - alone.slowest(who) for who in _Asked.WHO)
        print(
            f"  {kind:<18}"
            + "".join(f"  {who} +{beside.slowest(who) - alone.slowest(who):.1f} ms" for who in _Asked.WHO)
        )
    return {
        "held_connections_added_ms": Found(
            max(added.values()), f"p99, {HELD} {max(added, key=lambda kind: added[kind])}"
        ),
        "held_connections_unanswered": Found(unanswered),
        "unfinished_requests_end_s": _ended(here.url),
        "chunked_bodies_answered": _chunked(here),
    }


# --- those who keep their connections -------------------------------------------------------------------------------


@contextmanager
def _held(url: str, sent: bytes) -> Iterator[list[socket.socket]]:
    """Keep `HELD` connections on which `sent` was sent and nothing is read."""
    with ExitStack() as open_ones:
        yield [open_ones.enter_context(_connected(url, sent)) for _ in range(HELD)]


def _connected(url: str, sent: bytes) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    connection.sendall(sent)
    return connection


def _ended(url: str) -> Found:
    """Return after how many seconds the last unfinished request was ended by web; nothing if one was not."""
    latest = 0.0
    for kind in ("half headers", "half bodies"):
        with _held(url, KINDS[kind]) as connections:
            began = time.monotonic()
            for each in connections:
                each.settimeout(max(0.1, began + ENDED_WITHIN - time.monotonic()))
                try:
                    each.recv(1000)
                except ConnectionError:
                    pass
                except TimeoutError:
                    return Found(None, f"{kind}: one stood after {ENDED_WITHIN:.0f} s")
            latest = max(latest, time.monotonic() - began)
    return Found(latest, f"{HELD} of each kind")


def _chunked(here: Ground) -> Found:
    """Return the share of questions that are understood when their body comes in chunks."""
    service = next(iter(here.tenant().services.values()))
    body = f'{{"service":"{service}","when":{{"date":"{_salon.date(3)}"}}}}'.encode()
    parts = urlsplit(here.url)
    statuses = []
    for size in (1, 7, len(body)):
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        chunks = (body[at : at + size] for at in range(0, len(body), size))
        headers = {"Authorization": f"Bearer {here.tenant().key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/availability/search", body=chunks, headers=headers, encode_chunked=True)
        statuses.append(connection.getresponse().status)
        connection.close()
    return Found(statuses.count(200) / len(statuses), str(statuses))


# --- those who are to be answered -----------------------------------------------------------------------------------


class _Asked:
    """How long two askers waited: a load balancer with a new connection each time, and an agent that keeps its own."""

    WHO = ("live", "agent")

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {who: [] for who in self.WHO}
        self.missing: list[str] = []

    def slowest(self, who: str) -> float:
        """Return what 99 of 100 answers did not exceed, in milliseconds."""
        return percentile(self.times[who], 0.99) or 0.0


def _asked_during(here: Ground, seconds: float) -> _Asked:
    asked, until = _Asked(), time.monotonic() + seconds
    agent = here.agent()
    service = next(iter(here.tenant().services.values()))

    def live() -> bool:
        with here.agent() as fresh:
            return fresh.get("/health/live").status == 200

    def known() -> bool:
        return agent.get("/v1/availability", service=service, date=_salon.date(3)).status == 200

    def go_on(who: str, ask: Callable[[], bool]) -> None:
        while (began := time.monotonic()) < until:
            try:
                answered = ask()
            except StageError:
                answered = False
            if answered:
                asked.times[who].append((time.monotonic() - began) * 1000)
            else:
                asked.missing.append(who)
            time.sleep(PACE)

    askers: Sequence[threading.Thread] = [
        threading.Thread(target=go_on, args=pair) for pair in zip(_Asked.WHO, (live, known), strict=True)
    ]
    with agent:
        for each in askers:
            each.start()
        for each in askers:
            each.join()
    return asked
