"""Callers who come at their time, whoever is answered; and what is made of what they heard."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from script.lib.processes import StageError
from tests.chaos import open_loop
from tests.chaos.open_loop import Ask, Heard


class Server(ThreadingHTTPServer):
    """Whoever hangs up is not worth a word."""

    def handle_error(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(status: Callable[[], int], *, once: bool = False) -> Iterator[str]:
    """Answer on loopback with a status, or with nothing for 0; `once` gives each connection up after its answer."""

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
            """Say nothing."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def _few_lines(monkeypatch):
    monkeypatch.setattr(open_loop, "STANDING", 2)


def asks(url: str, *moments: float, wait: float = 1.0) -> list[Ask]:
    """Ask for the same at each moment."""
    return [Ask(at, "ask", "salon", open_loop.request(url, "sl_key", "/v1/services"), wait) for at in moments]


def heard(**changes) -> Heard:
    """One answer."""
    ask = Ask(0.0, "ask", "salon", b"", changes.pop("wait", 2.0))
    return Heard(**{"ask": ask, "late": 0.0, "took": 0.1, "status": 200, "body": {"status": "available"}, **changes})


def test_nobody_waits_for_those_before():
    """All five are there before the first is answered: as on the phone."""
    everybody = threading.Barrier(5)

    def when_all_are_here() -> int:
        everybody.wait(5)
        return 200

    with answering(when_all_are_here) as url:
        told = open_loop.play(url, asks(url, 0.0, 0.01, 0.02, 0.03, 0.04))

    assert [each.status for each in told] == [200] * 5
    assert {each.word for each in told} == {"good"}


def test_who_gets_no_answer_is_told_apart(monkeypatch):
    """A connection that ends without a word is a failure, and so is one that never ends."""
    monkeypatch.setattr(open_loop, "PATIENCE", 0.2)
    with answering(lambda: 0) as url:
        (cut,) = open_loop.play(url, asks(url, 0.0))
    over = threading.Event()
    with answering(lambda: 200 if over.wait(5) else 0) as url:
        (hung,) = open_loop.play(url, asks(url, 0.0))
        over.set()

    assert (cut.status, hung.status) == (0, 0)
    assert cut.is_failure
    assert hung.took >= 0.2


def test_connection_that_was_given_up_is_not_held_against_the_server():
    """An idle connection may be closed at any time: whoever finds it so asks once more, on a new one."""
    with answering(lambda: 200, once=True) as url:
        told = open_loop.play(url, asks(url, 0.0, 0.1, 0.2, 0.3, 0.4))

    assert [each.status for each in told] == [200] * 5


def test_what_counts_is_the_time_beyond_the_deadline():
    """Not how long it took; and a 500 is never right, whenever it comes."""
    assert heard(took=1.9).excess == 0
    assert heard(took=2.25).excess == pytest.approx(0.25)
    assert [heard(status=status).is_failure for status in (200, 202, 409, 503, 504, 500, 0)] == [False] * 5 + [True] * 2


def test_busy_machine_tells_nothing():
    """Callers who came late say nothing about the server; nor does nobody."""
    open_loop.refuse_late([heard(late=0.01)] * 100)
    with pytest.raises(StageError, match="too busy"):
        open_loop.refuse_late([heard(late=0.5)] * 100)
    with pytest.raises(StageError):
        open_loop.refuse_late([])


def test_ledger_has_a_line_for_each_kind_of_answer():
    """With how many there were, and how long they took."""
    lines = open_loop.spelled([heard(), heard(took=0.3), heard(status=504, body={"code": "deadline_exceeded"})])

    assert len(lines) == 2
    assert "2 times ask" in lines[0]
    assert "max    300 ms" in lines[0]
    assert "504 deadline_exceeded" in lines[1]
