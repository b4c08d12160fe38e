"""What may happen to a process of web: it hangs, it is stopped, its clients keep connections or send half requests."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from config import gunicorn
from script.lib.processes import Child, Supervisor, free_port, is_listening

APPLICATION = """
import os
import pathlib
import time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        here = pathlib.Path(environ["HTTP_X_FOLDER"])
        (here / "arrived").touch()
        while not (here / "go-on").exists():
            time.sleep(0.02)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body or str(os.getpid()).encode()]
"""


@pytest.mark.slow
def test_hanging_process_of_web_is_replaced(tmp_path: Path) -> None:
    """With a shorter patience than in production, one of two is stopped, and another takes its place."""
    with Supervisor(tmp_path) as supervisor:
        web, port = start_web(supervisor, tmp_path, "--timeout", "2", processes=2)
        supervisor.wait_until(lambda: len(processes(web)) == 2, what="web did not start", within=30)
        hanging = processes(web).pop()

        os.kill(hanging, signal.SIGSTOP)

        supervisor.wait_until(lambda: hanging not in processes(web), what="It was not replaced", within=20)
        supervisor.wait_until(lambda: len(processes(web)) == 2, what="It was not replaced", within=20)
        assert all(answered(port) for _ in range(20))
    assert gunicorn.timeout <= 10


@pytest.mark.slow
def test_web_answers_what_has_begun_before_it_stops(tmp_path: Path) -> None:
    """A deploy costs no caller an answer: who was accepted is answered, and new callers are refused at once."""
    with Supervisor(tmp_path) as supervisor, ExitStack() as held:
        web, port = start_web(supervisor, tmp_path)
        caller = held.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=60)))
        caller.request("POST", "/slow", body=b"hello", headers={"X-Folder": str(tmp_path)})
        supervisor.wait_until((tmp_path / "arrived").exists, what="The request did not arrive", within=30)

        web.process.terminate()

        supervisor.wait_until(lambda: not is_listening(port), what="web still took connections", within=30)
        (tmp_path / "go-on").touch()
        assert caller.getresponse().read() == b"hello"
        assert web.process.wait(60) == 0


@pytest.mark.slow
def test_web_drops_a_request_that_does_not_come_whole(tmp_path: Path) -> None:
    """Other clients are answered meanwhile, with fewer threads than unfinished requests."""
    half_headers = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "
    half_body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhalf"
    with Supervisor(tmp_path) as supervisor, ExitStack() as held:
        _, port = start_web(supervisor, tmp_path, threads=1)
        connections = [connect(held, port, sent) for sent in (half_headers, half_body) * 3]

        assert all(answered(port) for _ in range(5))

        for each in connections:
            each.settimeout(60)
            assert each.recv(100) == b""


@pytest.mark.slow
def test_web_understands_bodies_in_chunks_and_refuses_endless_headers(tmp_path: Path) -> None:
    """A client need not know beforehand how long its body is."""
    with Supervisor(tmp_path) as supervisor, ExitStack() as held:
        _, port = start_web(supervisor, tmp_path)
        caller = held.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=60)))
        caller.request("POST", "/", body=iter([b"in ", b"chunks"]), encode_chunked=True)

        assert caller.getresponse().read() == b"in chunks"
        endless = connect(held, port, b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000)
        assert endless.recv(100).startswith(b"HTTP/1.0 431")


def start_web(
    supervisor: Supervisor, folder: Path, *options: str, processes: int = 1, threads: int = 2
) -> tuple[Child, int]:
    """Start gunicorn with the application above, wait until it answers, and return it with its port."""
    (folder / "hello.py").write_text(APPLICATION)
    port = free_port()
    environ = {
        "WEB_BIND": f"127.0.0.1:{port}",
        "WEB_PROCESSES": str(processes),
        "WEB_THREADS": str(threads),
        "PYTHONPATH": str(folder),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
    }
    web = supervisor.start(
        "web", [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py", *options, "hello"], environ
    )
    supervisor.wait_until(lambda: answered(port), what="web did not answer", within=30)
    return web, port


def connect(held: ExitStack, port: int, sent: bytes) -> socket.socket:
    """Open a connection, send something on it, and keep it until `held` is left."""
    connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    connection.sendall(sent)
    return connection


def processes(web: Child) -> set[int]:
    """Return the ids of gunicorn's processes that serve."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(web.process.pid)], capture_output=True, text=True, check=False
    )
    return {int(line) for line in listed.stdout.split()}


def answered(port: int) -> bool:
    """Return whether a request is answered within a second."""
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
