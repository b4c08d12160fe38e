"""A process of web that hangs: its listening socket still takes connections, and nobody answers on them."""

import os
import signal
import subprocess
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from config import gunicorn
from script.stage.processes import Child, Stage, free_port

APPLICATION = """
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.slow
def test_hanging_process_of_web_is_replaced(tmp_path: Path) -> None:
    """With a shorter patience than in production, one of two is stopped, and another takes its place."""
    (tmp_path / "hello.py").write_text(APPLICATION)
    port = free_port()
    environ = {"WEB_BIND": f"127.0.0.1:{port}", "WEB_PROCESSES": "2", "WEB_THREADS": "2", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "gunicorn", "--config", "config/gunicorn.py", "--timeout", "2", "hello"]
    with Stage(tmp_path) as stage:
        web = stage.start("web", command, environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")})
        stage.wait_until(lambda: len(processes(web)) == 2 and answered(port), what="web did not answer", within=30)
        hanging = processes(web).pop()

        os.kill(hanging, signal.SIGSTOP)

        stage.wait_until(lambda: hanging not in processes(web), what="It was not replaced", within=20)
        stage.wait_until(lambda: len(processes(web)) == 2, what="Nobody took its place", within=20)
        assert all(answered(port) for _ in range(20))
    assert gunicorn.timeout <= 10


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
