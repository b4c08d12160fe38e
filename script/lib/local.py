"""What this checkout keeps in .local, which git ignores: secrets, data, logs, the lock of the running script."""

import base64
import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from script.lib.processes import HarnessError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
LOGS = LOCAL / "log"


def read_or_make_secrets(path: Path = LOCAL / "secrets.json") -> dict[str, str]:
    """
    Return this checkout's secrets by name; only its owner may read the file.

    Raises:
        StageError: the file is there and cannot be understood.
    """
    made = _make_secrets()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file, indent=1)
        return made
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(kept[name]) for name in made}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise HarnessError(f"{path} cannot be understood. Remove {path.parent} to begin afresh.") from exc


def environment() -> dict[str, str]:
    """Return the environment of Slotline's processes on this machine, for the simulator only."""
    made = read_or_make_secrets()
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "0",
        "SECOND_FACTOR": "0",
        "DEMO": "1",
        "SECRET_KEY": made["SECRET_KEY"],
        "FIELD_KEYS": made["FIELD_KEYS"],
        "CALCOM_LOOPBACK_ONLY": "1",
        "BOOKINGS_ATTENDEE_DOMAIN": "callers.example",
        "PYTHONUNBUFFERED": "1",  # the last output of a child must be in its log when it dies
    }


def write_environment(path: Path = LOCAL / "demo.env") -> Path:
    """Write what a shell needs to run manage.py beside the demo; return the file, which only its owner may read."""
    names = [*environment(), "DATABASE_URL", "REDIS_URL", "BROKER_URL", "CALCOM_LOOPBACK_ONLY"]
    known = {name: os.environ[name] for name in dict.fromkeys(names) if os.environ.get(name)}
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in known.items())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(lines)
    return path


@contextmanager
def only_one(path: Path = LOCAL / "running.lock") -> Iterator[None]:
    """
    Hold the lock of this checkout: its data bear one script at a time.

    Raises:
        StageError: another one runs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise HarnessError("Another script of this folder already runs. Stop it first.") from exc
        yield


def _make_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "FIELD_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DEMO_SALON_KEY": f"sl_{secrets.token_urlsafe(32)}",
        "DEMO_PRACTICE_KEY": f"sl_{secrets.token_urlsafe(32)}",
        "DEMO_PASSWORD": secrets.token_urlsafe(9),
    }
