"""The processor time of a cached answer, beside an empty view: the WSGI application in this process, no server."""

import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from script.lib.environment import Environment
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from tests.benchmarks.throughput import warmed

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
PAIRS = 500
ANSWERS = 10
"""Of each side of a pair: enough for the clock's resolution, few enough that both meet the same machine."""
SHARE = 0.05
"""Of the runs of each side, the cheapest, that count: what else runs on the machine can only make one dearer."""


def measure(env: Environment) -> dict[str, Measurement]:
    """Measure the processor time of this thread, which does all of the work, in pairs."""
    application, target = WSGIHandler(), warmed(env)
    empty, cached = environ("/bench/empty", ""), environ(target, env.tenant().key)
    for request in (empty, cached):
        cpu_s(application, request)
    asked = env.slot_requests("ratio")
    pairs = [(cpu_s(application, empty), cpu_s(application, cached)) for _ in range(PAIRS)]
    if env.slot_requests("ratio") != asked:
        raise HarnessError("not every answer came from the cache")
    least_empty, least_cached = (percentile(side, SHARE) or 0.0 for side in zip(*pairs, strict=True))
    remark = f"of {PAIRS} pairs, {least_cached * 1e6:.0f} µs against {least_empty * 1e6:.0f} µs"
    return {"cached_cpu_ratio": Measurement(least_cached / least_empty, remark)}


def cpu_s(application: Application, request: dict[str, Any]) -> float:
    """Return the seconds of processor time of one answer, on average."""
    began = time.thread_time()
    for _ in range(ANSWERS):
        answer(application, request)
    return (time.thread_time() - began) / ANSWERS


def answer(application: Application, request: dict[str, Any]) -> bytes:
    """Return the content, read and closed as a server does. Raises `HarnessError` unless the status is 200."""
    statuses: list[str] = []
    response: Any = application({**request, "wsgi.input": BytesIO()}, lambda status, *_: statuses.append(status))
    try:
        content = b"".join(response)
    finally:
        response.close()
    if not statuses[0].startswith("200"):
        raise HarnessError(statuses[0])
    return content


def environ(target: str, key: str) -> dict[str, Any]:
    """Return the WSGI environment of a GET of `target`."""
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        **({"HTTP_AUTHORIZATION": f"Bearer {key}"} if key else {}),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.errors": None,
    }
