"""What callers were told, line by line: locust writes it, the verdict reads it. It names no caller."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO


class LedgerDamagedError(Exception):
    """The ledger does not say all that happened; nothing can be concluded from it."""


@dataclass(frozen=True)
class Asked:
    """One request to Slotline and its answer."""

    at: float
    """When it was sent, in seconds since 1970."""
    operation: str
    """Such as `POST /v1/availability/search`."""
    took: float
    """Seconds, as the caller's side sees it."""
    status: int
    """0: no answer at all."""
    code: str = ""
    """Of a problem."""
    cache: str = ""
    """X-Cache-Hit: `true`, `false`, or empty where it was not said."""
    within: float = 0.0
    """Seconds that the answer may take."""
    own: float | None = None
    """Seconds that Slotline says it took; the rest is the wait for a free thread, and the wire."""


@dataclass(frozen=True)
class Told:
    """What became of a wish, as far as the caller heard."""

    at: float
    operation: str
    """`book`, `move` or `cancel`."""
    state: str
    """`done`, `refused`, or `pending`: the caller hung up before it was known."""
    booking: str
    service: str
    start: str
    """RFC 3339: the time it is about."""
    operation_id: str = ""


@dataclass(frozen=True)
class Refused:
    """A time that was offered, and then not given."""

    at: float
    """When it was asked for."""
    took: float
    wish: str
    """`hold`, `book` or `move`."""
    code: str
    service: str
    start: str


@dataclass(frozen=True)
class Contested:
    """A time that everybody is about to ask for."""

    at: float
    service: str
    start: str


@dataclass(frozen=True)
class End:
    """The last line: what locust itself counted, and what it cost."""

    at: float
    requests: int
    failures: int
    crashes: int
    """Errors of the callers' own code: such a run shows nothing."""
    cpu_s: float
    wall_s: float


Line = Asked | Told | Refused | Contested | End
_KINDS: dict[str, type[Line]] = {kind.__name__: kind for kind in (Asked, Told, Refused, Contested, End)}


class Writer:
    """Writes lines as they come, so that what was told is known even if the writer is killed."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: Line) -> None:
        """Write a line down."""
        self._file.write(json.dumps([type(line).__name__, asdict(line)]) + "\n")
        self._file.flush()


@dataclass(frozen=True)
class Ledger:
    """All that was told in one run."""

    asked: list[Asked] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    contested: list[Contested] = field(default_factory=list)
    end: End | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Read a ledger.

        Raises:
            LedgerDamagedError: it is not there, or breaks off.
        """
        try:
            return cls.of(_parsed(path.read_text(encoding="utf-8").splitlines()))
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise LedgerDamagedError(f"The ledger cannot be read: {exc!r}.") from exc

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """Sort lines by what they tell."""
        sorted_: dict[type[Line], list[Any]] = {kind: [] for kind in _KINDS.values()}
        for line in lines:
            sorted_[type(line)].append(line)
        ends = sorted_[End]
        return cls(sorted_[Asked], sorted_[Told], sorted_[Refused], sorted_[Contested], ends[-1] if ends else None)


def _parsed(lines: Iterable[str]) -> Iterator[Line]:
    for line in lines:
        kind, fields = json.loads(line)
        yield _KINDS[kind](**fields)


def now() -> float:
    """Return the time by the clock that all parts of a run share, in seconds since 1970."""
    return time.time()
