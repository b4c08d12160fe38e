"""
Clients without a key keep connections open: after `Connection: close`, within headers or a body, or without a byte.

Two hundred of each kind, while agents and a load balancer keep asking: both must not notice.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from script.lib.environment import Environment, Servers
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from tests.chaos.callers import date_ahead, load_week, salon

HELD = 200
# Seconds between two requests of each client that is measured.
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


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Compare how long others wait without held connections, and beside those of each kind."""
    seconds = 20.0 if full else 4.0
    with servers.environment(salon(2), limit=10**6, seed=seed) as env:
        load_week(env)
        usual, unanswered = _durations(env, seconds)
        added: dict[str, float] = {}
        for kind, content in KINDS.items():
            with _held(env.url, content):
                beside, missing = _durations(env, seconds)
            unanswered += missing
            added[kind] = max(_p99(beside[who]) - _p99(usual[who]) for who in usual)
        slowest = max(added, key=added.__getitem__)
        return {
            "held_connections_added_ms": Measurement(added[slowest], f"p99, {HELD} {slowest}"),
            "held_connections_unanswered": Measurement(unanswered),
            "unfinished_requests_end_s": _ended(env.url),
            "chunked_bodies_answered": _chunked(env),
        }


@contextmanager
def _held(url: str, content: bytes) -> Iterator[list[socket.socket]]:
    """Keep `HELD` connections on which `content` was sent and nothing is read."""
    with ExitStack() as stack:
        yield [stack.enter_context(_connected(url, content)) for _ in range(HELD)]


def _connected(url: str, content: bytes) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    connection.sendall(content)
    return connection


def _ended(url: str) -> Measurement:
    """Return after how many seconds web ended the last unfinished request."""
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
                    return Measurement(None, f"{kind}: one was open after {ENDED_WITHIN:.0f} s")
            latest = max(latest, time.monotonic() - began)
    return Measurement(latest, f"{HELD} of each kind")


def _chunked(env: Environment) -> Measurement:
    """Return the share of requests that are understood when their body comes in chunks."""
    service = next(iter(env.services.values()))
    body = f'{{"service":"{service}","when":{{"date":"{date_ahead(3)}"}}}}'.encode()
    headers = {"Authorization": f"Bearer {env.tenant().key}", "Content-Type": "application/json"}
    statuses = []
    for size in (1, 7, len(body)):
        connection = HTTPConnection(urlsplit(env.url).netloc, timeout=10)
        chunks = (body[at : at + size] for at in range(0, len(body), size))
        connection.request("POST", "/v1/availability/search", body=chunks, headers=headers, encode_chunked=True)
        statuses.append(connection.getresponse().status)
        connection.close()
    return Measurement(statuses.count(200) / len(statuses), str(statuses))


def _durations(env: Environment, seconds: float) -> tuple[dict[str, list[float]], int]:
    """
    Return how long two clients waited in milliseconds, and how many requests were not answered.

    A load balancer opens a connection for each request, an agent keeps its own.
    """
    durations: dict[str, list[float]] = {"load balancer": [], "agent": []}
    missing: list[str] = []
    until = time.monotonic() + seconds
    agent, service = env.agent(), next(iter(env.services.values()))

    def live() -> bool:
        with env.agent() as fresh:
            return fresh.get("/health/live").status == 200

    def availability() -> bool:
        return agent.get("/v1/availability", service=service, date=date_ahead(3)).status == 200

    def repeat(who: str, send: Callable[[], bool]) -> None:
        while (began := time.monotonic()) < until:
            try:
                answered = send()
            except HarnessError:
                answered = False
            if answered:
                durations[who].append((time.monotonic() - began) * 1000)
            else:
                missing.append(who)
            time.sleep(PACE)

    threads = [threading.Thread(target=repeat, args=pair) for pair in zip(durations, (live, availability), strict=True)]
    with agent:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    return durations, len(missing)


def _p99(durations: list[float]) -> float:
    return percentile(durations, 0.99) or 0.0
