"""The cost of a cached answer beside an empty view: the same server, the same run, in pairs."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

from script.lib.environment import CONSISTENT_AFTER, Environment, midnight
from script.lib.measurements import Measurement, median
from script.lib.processes import HarnessError
from tests.chaos.open_loop import encode

PAIRS, RUNS = 28, 20
SECONDS, CONNECTIONS = 0.5, 4


def measure(env: Environment) -> dict[str, Measurement]:
    """
    Measure the ratio of both throughputs, and what all of the machine can answer.

    For the ratio one process serves, on one of the cores; the other is left to the clients, so that they are not what
    is measured. For the answers a second there are two processes, and clients share the cores with all servers.
    """
    key, target = env.tenant().key, warmed(env)
    url = env.start_web(processes=1, threads=4)
    empty, cached = encode(url, "", "/bench/empty"), encode(url, key, target)
    asked = env.slot_requests("ratio")
    pairs = [(answers_per_s(url, empty), answers_per_s(url, cached)) for _ in range(PAIRS)]
    if env.slot_requests("ratio") != asked:
        raise HarnessError("not every answer came from the cache")
    ratio = median([first / second for first, second in pairs])
    remark = " against ".join(f"{median([pair[side] for pair in pairs]) or 0:.0f}/s" for side in (0, 1))
    both = env.start_web(processes=2, threads=4)
    whole = [answers_per_s(both, encode(both, key, target)) for _ in range(RUNS)]
    return {
        "cached_vs_empty_view_ratio": Measurement(ratio, f"median of {PAIRS} pairs, {remark}"),
        "cached_answers_per_s": Measurement(
            median(whole), f"median of {RUNS} runs, two processes, everything on this machine"
        ),
    }


def warmed(env: Environment) -> str:
    """Have a day loaded and stored; return the target of the request for it."""
    target = target_of(env)
    with env.agent() as agent:
        agent.get(target)
        time.sleep(CONSISTENT_AFTER)
        agent.get(target)
    return target


def target_of(env: Environment) -> str:
    """Return the target of a request for the slots of a day."""
    day = midnight(5).date().isoformat()
    return f"/v1/availability?{urlencode({'service': env.services['ratio'], 'date': day})}"


def answers_per_s(url: str, request: bytes) -> float:
    """Return the answers per second on a few connections that never pause."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        began = time.perf_counter()
        counts = list(pool.map(lambda _: _repeat(url, request), range(CONNECTIONS)))
        return sum(counts) / (time.perf_counter() - began)


def _repeat(url: str, request: bytes) -> int:
    """Send the same bytes again and again, as cheaply as Python can; return the number of answers."""
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
        raise HarnessError(head.partition(b"\r\n")[0].decode())
    missing = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))
