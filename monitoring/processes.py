"""
How what several processes count comes together: each in files of its own, in one directory, added up for whoever asks.

A process holds the lock of its mark as long as it lives, in a container, too, where process ids repeat. What a dead
one has counted goes into the files of the past, so that no total ever falls (docs/decisions/0007). Knows no settings:
gunicorn's master calls it.
"""

import fcntl
import json
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import structlog
from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

log = structlog.get_logger(__name__)

COUNTED = CollectorRegistry()
"""What this process counts."""

KINDS = ("counter", "histogram")
# Bytes that each file has from the start. A file that grows on a full disk kills its process (SIGBUS): 1 MiB is three
# times what all series of all metrics need.
ROOM = 1 << 20
# What reading a file raises that its process, or its machine, left in the middle of a new entry.
_TORN = (RuntimeError, ValueError, struct.error)
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it from the environment, and nowhere else


class Unreadable(Exception):
    """What was counted cannot be read."""


class _Me:
    """Which of those that count together we are."""

    since = datetime.now(UTC)
    directory: Path | None = None
    name = ""
    mark: BinaryIO | None = None


def count_in(directory: Path) -> None:
    """
    Have all that this process counts stand in `directory`; call it before the first metric is made.

    Where that cannot be written, the process counts for itself, and what it counted ends with it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _Me.directory = directory
        _appear()
    except OSError as exc:
        log.warning("metrics of this process only", error_type=type(exc).__name__)
        _Me.directory, values.ValueClass = None, values.MutexValue
        return
    os.environ[_DIRECTORY] = str(directory)
    values.ValueClass = values.MultiProcessValue(_name)


def collected() -> Sequence[Metric]:
    """
    Return what all processes have counted, the dead ones too.

    Raises:
        Unreadable: the files are gone, or torn.
    """
    if _Me.directory is None:
        return list(COUNTED.collect())
    try:
        with _locked(_Me.directory, fcntl.LOCK_SH):
            return list(MultiProcessCollector(None, str(_Me.directory)).collect())
    except (OSError, *_TORN) as exc:
        log.warning("counters cannot be read", error_type=type(exc).__name__)
        raise Unreadable from exc


def counting_since() -> datetime:
    """Return when counting began: in this process, or in the directory."""
    if _Me.directory is None:
        return _Me.since
    return datetime.fromtimestamp((_Me.directory / "since").stat().st_mtime, UTC)


def tidy(directory: Path) -> None:
    """Add what dead processes counted to the files of the past; where that cannot be, the next one to start does it."""
    with suppress(OSError), _locked(directory, fcntl.LOCK_EX):
        _tidy(directory)


def _name() -> str:
    """Return what this process is called here. prometheus_client asks before each change, under its lock."""
    return _Me.name or _appear()


def _appear() -> str:
    """Take a name that no process has or had, and hold its lock; tidy up after those that do not any more."""
    directory = _Me.directory
    assert directory is not None  # noqa: S101
    with _locked(directory, fcntl.LOCK_EX):
        _tidy(directory)
        with suppress(FileExistsError):
            (directory / "since").touch(exist_ok=False)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        mark = (directory / f"{name}.alive").open("xb")
        fcntl.flock(mark, fcntl.LOCK_EX)
        for kind in KINDS:
            _make_room(directory / f"{kind}_{name}.db")
    _Me.name, _Me.mark = name, mark
    return name


def _make_room(path: Path) -> None:
    with path.open("xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, ROOM)


def _tidy(directory: Path) -> None:
    for path in directory.glob("*.alive"):
        with path.open("rb") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it lives
            for figures in directory.glob(f"*_{path.stem}.db"):
                _add_to_past(figures)
            path.unlink()


def _add_to_past(figures: Path) -> None:
    try:
        counted = [entry[:2] for entry in MmapedDict.read_all_values_from_file(str(figures))]
        for key, _ in counted:
            json.loads(key)
    except _TORN as exc:
        log.warning("figures of a dead process lost", error_type=type(exc).__name__)
        counted = []
    past = MmapedDict(str(figures.with_name(f"{figures.name.partition('_')[0]}_past.db")))
    for key, value in counted:
        past.write_value(key, past.read_value(key)[0] + value, 0.0)
    past.close()
    figures.unlink()


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[None]:
    """Keep files from being made and removed meanwhile. The system gives the lock back when its holder dies."""
    with (directory / "lock").open("ab") as file:
        fcntl.flock(file, how)
        yield


def _be_another() -> None:
    """Take another name when something is counted next: this process was forked, and its parent lives on."""
    if _Me.mark is not None:
        _Me.mark.close()
    _Me.name, _Me.mark = "", None


os.register_at_fork(after_in_child=_be_another)
