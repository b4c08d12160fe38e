"""The open-loop load generator: requests are sent at their time, and responses are told apart."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from script.lib.processes import HarnessError
from tests.chaos import open_loop
from tests.chaos.open_loop import Request, Response


class Server(ThreadingHTTPServer):
    def handle_error(self, *_args: object) -> None:
        """Log nothing."""


@contextmanager
def answering(status: Callable[[], int], *, once: bool = False) -> Iterator[str]:
    """Answer on loopback with a status, or not at all for 0; `once` closes each connection after its answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number, content = status(), json.dumps({"status": "good"}).encode()
            self.close_connection = once or not number
            if number:
                self.send_response(number)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _few_connections(monkeypatch):
    monkeypatch.setattr(open_loop, "CONNECTIONS", 2)
    monkeypatch.setattr(open_loop, "MAX_LATENESS", 60)


def requests(url: str, *moments: float) -> list[Request]:
    content = open_loop.encode(url, "sl_key", "/v1/services")
    return [Request(at, "list", "salon", content, wait=1.0) for at in moments]


def response(**changes) -> Response:
    request = Request(0.0, "list", "salon", b"", wait=2.0)
    return Response(**{"request": request, "late": 0.0, "duration": 0.1, "status": 200, **changes})


def test_request_does_not_wait_for_earlier_responses():
    """All five arrive before the first is answered."""
    all_five = threading.Barrier(5)

    def when_all_arrived() -> int:
        all_five.wait(60)
        return 200

    with answering(when_all_arrived) as url:
        responses = open_loop.run(url, requests(url, 0.0, 0.01, 0.02, 0.03, 0.04))

    assert [each.status for each in responses] == [200] * 5
    assert {str(each) for each in responses} == {"list: 200 good"}


def test_missing_response_has_no_status(monkeypatch):
    """The connection was closed, or the time is up."""
    monkeypatch.setattr(open_loop, "TIMEOUT", 0.2)
    with answering(lambda: 0) as url:
        (cut,) = open_loop.run(url, requests(url, 0.0))
    over = threading.Event()
    with answering(lambda: 200 if over.wait(60) else 0) as url:
        (hung,) = open_loop.run(url, requests(url, 0.0))
        over.set()

    assert (cut.status, hung.status) == (0, 0)
    assert cut.is_failure
    assert hung.duration >= 0.2


def test_request_on_a_closed_idle_connection_is_repeated():
    """A server may close an idle connection at any time."""
    with answering(lambda: 200, once=True) as url:
        responses = open_loop.run(url, requests(url, 0.0, 0.1, 0.2, 0.3, 0.4))

    assert [each.status for each in responses] == [200] * 5


def test_excess_is_the_time_beyond_the_deadline():
    assert response(duration=1.9).excess == 0
    assert response(duration=2.25).excess == pytest.approx(0.25)


def test_only_a_500_and_a_missing_response_are_failures():
    statuses = (200, 202, 409, 503, 504, 500, 0)

    assert [response(status=status).is_failure for status in statuses] == [False] * 5 + [True] * 2


def test_late_requests_prove_nothing(monkeypatch):
    monkeypatch.undo()
    open_loop.check_lateness([response(late=0.01)] * 100)
    with pytest.raises(HarnessError, match="too busy"):
        open_loop.check_lateness([response(late=0.5)] * 100)
    with pytest.raises(HarnessError):
        open_loop.check_lateness([])
