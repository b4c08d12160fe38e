"""How much a cached answer costs more than no answer at all: the same server, the same run, in pairs."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from script.lib.environment import BELIEVED
from script.lib.measurements import Found, Promise, median
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground

PROMISES = {
    "cached_vs_empty_view_ratio": Promise("times", 2.5),
    "cached_answers_per_s": Promise("answers/s", 1000, at_least=True),
}
PAIRS = 28
RUNS = 20
SECONDS = 0.5
CONNECTIONS = 4


def measure(ground: Ground) -> dict[str, Found]:
    """
    Measure the ratio of both throughputs, and what all of the machine can answer.

    For the ratio one process serves, on one of the cores; the other is left to those who ask, so that they are not what
    is measured. For the answers a second there are two processes, and whoever asks shares the cores with all servers.
    """
    url, target = ground.more_web(processes=1, threads=4), warmed(ground)
    empty, cached = request(url, "/bench/empty", ""), request(url, target, ground.key)
    pairs = []
    for _ in range(PAIRS):
        asked = ground.asked("ratio")
        pairs.append((answers_per_s(url, empty), answers_per_s(url, cached)))
        if ground.asked("ratio") != asked:
            raise StageError("not every answer came from the cache")
    ratio = median([first / second for first, second in pairs])
    remark = " against ".join(f"{median([pair[side] for pair in pairs]) or 0:.0f}/s" for side in (0, 1))
    both = ground.more_web(processes=2, threads=4)
    whole = [answers_per_s(both, request(both, target, ground.key)) for _ in range(RUNS)]
    return {
        "cached_vs_empty_view_ratio": Found(ratio, f"median of {PAIRS} pairs, {remark}"),
        "cached_answers_per_s": Found(
            median(whole), f"median of {RUNS} runs, two processes, everything on this machine"
        ),
    }


def warmed(ground: Ground) -> str:
    """Have the list loaded and believed; return what asks for it."""
    target = target_of(ground)
    with ground.agent() as agent:
        agent.get(target)
        time.sleep(BELIEVED)
        agent.get(target)
    return target


def target_of(ground: Ground) -> str:
    """Return what asks for a day whose list is kept."""
    day = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    return f"/v1/availability?{urlencode({'service': ground.services['ratio'], 'date': day})}"


def answers_per_s(url: str, request: bytes) -> float:
    """Return the answers per second on a few connections that never pause."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()
        counts = list(pool.map(lambda _: _ask_without_pause(url, request), range(CONNECTIONS)))
        return sum(counts) / (time.perf_counter() - began)


def _ask_without_pause(url: str, request: bytes) -> int:
    """Send the same bytes again and again, as cheaply as Python can; return how many answers came."""
    parts = urlsplit(url)
    answers, until = 0, time.perf_counter() + SECONDS
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < until:
            connection.sendall(request)
            _read_answer(connection)
            answers += 1
    return answers


def _read_answer(connection: socket.socket) -> None:
    received = connection.recv(65536)
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise StageError(head.partition(b"\r\n")[0].decode())
    missing = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))


def request(url: str, target: str, key: str) -> bytes:
    """Return the bytes that ask for `target`."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        *([f"Authorization: Bearer {key}"] if key else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
