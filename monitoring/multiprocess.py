"""
How several processes count together: prometheus_client's multiprocess mode, with files that are used again.

A process counts in the files of a slot, whose lock it holds as long as it lives. The next process that takes the slot
adds to what stands there, so that no total ever falls and no files pile up (docs/adr/0007).
"""

import fcntl
import os
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import structlog
from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

log = structlog.get_logger(__name__)

COUNTED = CollectorRegistry()
"""What this process counts."""

# Bytes that each file has from the start. A file that grows on a full disk kills its process (SIGBUS): 1 MiB is three
# times what all series of all metrics need.
FILE_SIZE = 1 << 20
# What reading a file raises whose machine lost power in the middle of a write.
_TORN = (RuntimeError, ValueError, struct.error)


class Unreadable(Exception):
    """What was counted cannot be read."""


class _Process:
    """Where this process counts."""

    since = datetime.now(UTC)
    directory: Path | None = None
    slot = ""
    """Empty before it counts, and after a fork."""
    lock: BinaryIO | None = None


def count_in(directory: Path) -> None:
    """
    Have all that this process counts stand in `directory`; call it before the first metric is made.

    Where that cannot be written, the process counts for itself, and what it counted ends with it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "since").open("ab").close()
        _Process.directory = directory
        values.ValueClass = values.MultiProcessValue(_slot)
    except OSError as exc:
        log.warning("metrics.process_only", error_type=type(exc).__name__)
        _Process.directory, values.ValueClass = None, values.MutexValue
    else:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # prometheus_client reads it nowhere else


def collected() -> Sequence[Metric]:
    """
    Return what all processes have counted, the dead ones too.

    Raises:
        Unreadable: the files are gone, or torn.
    """
    if _Process.directory is None:
        return list(COUNTED.collect())
    try:
        return list(MultiProcessCollector(None, str(_Process.directory)).collect())
    except (OSError, *_TORN) as exc:
        log.warning("metrics.unreadable", error_type=type(exc).__name__)
        raise Unreadable from exc


def counting_since() -> datetime:
    """Return when counting began: in this process, or in the directory."""
    if _Process.directory is None:
        return _Process.since
    return datetime.fromtimestamp((_Process.directory / "since").stat().st_mtime, UTC)


def _slot() -> str:
    """Return the slot of this process. prometheus_client asks before each change, under its lock."""
    if not _Process.slot:
        assert _Process.directory is not None  # noqa: S101
        _Process.slot, _Process.lock = _take_slot(_Process.directory)
    return _Process.slot


def _take_slot(directory: Path) -> tuple[str, BinaryIO]:
    """Return the first slot that no living process holds, with its lock."""
    number = 0
    while True:
        lock = (directory / f"{number}.slot").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            number += 1
        else:
            for kind in ("counter", "histogram"):
                _prepare(directory / f"{kind}_{number}.db")
            return str(number), lock


def _prepare(path: Path) -> None:
    """Make the file in its full size, unless there is one that can be read."""
    if path.exists():
        try:
            MultiProcessCollector.merge([str(path)])
        except _TORN as exc:
            log.warning("metrics.counts_lost", error_type=type(exc).__name__)
        else:
            return
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, FILE_SIZE)
        else:
            file.truncate(FILE_SIZE)
    new.replace(path)


def _leave_slot() -> None:
    """Take another slot when something is counted next: this process was forked, and its parent lives on."""
    if _Process.lock is not None:
        _Process.lock.close()
    _Process.slot, _Process.lock = "", None


os.register_at_fork(after_in_child=_leave_slot)
