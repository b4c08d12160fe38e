"""Slotline's programs beside its servers: the Cal.com simulator, web, workers, beat."""

import sys
from http import HTTPStatus
from http.client import HTTPException

from script.lib.agent import request
from script.lib.processes import Supervisor, free_port, is_listening

# Worker → its queues and threads. `cache` is alone so that invalidation never waits behind a load or a booking.
WORKERS = {
    "cache": ("cache", 2),
    "refresh": ("refresh", 8),
    "bookings": ("bookings,webhooks,default", 8),
}


def _celery(command: str, *options: str) -> list[str]:
    return ["-m", "celery", "--app", "config", "--quiet", command, "--loglevel", "INFO", *options]


def _worker(name: str, queues: str, threads: int) -> list[str]:
    options = ["--pool", "threads", "--concurrency", str(threads), "--without-gossip", "--without-mingle"]
    return _celery("worker", "--queues", queues, "--hostname", f"{name}@%h", *options)


WEB = ["-m", "gunicorn", "--config", "config/gunicorn.py", "config.wsgi"]
BACKGROUND = {
    **{f"worker-{name}": _worker(name, *how) for name, how in WORKERS.items()},
    "beat": _celery("beat", "--pidfile="),
}
"""Arguments of the interpreter by process; those of docker-compose.yml are the same."""


def start_simulator(supervisor: Supervisor, *, name: str = "simulator", **options: object) -> str:
    """Start the Cal.com simulator on a free port, with its command's `options`; return its URL."""
    port = free_port()
    arguments = [f"--{name}={value}" for name, value in {"port": port, **options}.items()]
    supervisor.start(name, [sys.executable, "manage.py", "calcom_simulator", *arguments])
    supervisor.wait_until(lambda: is_listening(port), what="The simulator did not answer", within=30)
    return f"http://127.0.0.1:{port}"


def start_web(supervisor: Supervisor, *, port: int, processes: int = 2, threads: int = 20, name: str = "web") -> str:
    """Start web; return its URL. `wait_for_web` waits until it answers."""
    environ = {"WEB_BIND": f"127.0.0.1:{port}", "WEB_PROCESSES": str(processes), "WEB_THREADS": str(threads)}
    supervisor.start(name, [sys.executable, *WEB], environ)
    return f"http://127.0.0.1:{port}"


def wait_for_web(supervisor: Supervisor, url: str) -> None:
    """Wait until web is ready."""
    supervisor.wait_until(lambda: is_ready(url), what=f"{url} did not become ready", within=60)


def start_workers(supervisor: Supervisor) -> None:
    """Start the workers and beat. `wait_for_workers` waits until they take messages."""
    for name, command in BACKGROUND.items():
        supervisor.start(name, [sys.executable, *command])


def wait_for_workers(supervisor: Supervisor) -> None:
    """Wait until every worker answers a ping over the broker."""
    supervisor.wait_until(all_workers_answer, what="The workers did not answer", within=60)


def all_workers_answer() -> bool:
    """Return whether every worker answers a ping over the broker."""
    from config.celery import app  # noqa: PLC0415  reads the settings, which need the servers' URLs

    answered = {name.partition("@")[0] for reply in app.control.ping(timeout=0.3) or [] for name in reply}
    return answered.issuperset(WORKERS)


def is_ready(url: str) -> bool:
    """Return whether web is ready."""
    try:
        status, _, _ = request(url, "GET", "/health/ready", timeout=2)
    except (OSError, HTTPException):
        return False
    return status == HTTPStatus.OK
