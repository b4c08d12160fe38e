"""The call log: what callers sent and were answered, line by line. Locust writes it, the checks read it."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TextIO


class CallLogError(Exception):
    """The log is incomplete: nothing can be concluded from it."""


@dataclass(frozen=True)
class Exchange:
    """One request to Slotline and its response."""

    at: float
    """When it was sent, in seconds since 1970."""
    operation: str
    """Such as `POST /v1/availability/search`."""
    duration: float
    """Seconds, as the client measured."""
    status: int
    """0: no response."""
    code: str = ""
    """Of a problem."""
    cache: str = ""
    """X-Cache-Hit: `true`, `false`, or empty."""
    within: float = 0.0
    """Seconds that the response may take."""
    own: float | None = None
    """Seconds that Slotline says it took; the rest is the wait for a free thread, and the network."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a write, as far as its caller knows."""

    at: float
    operation: str
    """`book`, `reschedule` or `cancel`."""
    state: str
    """`done`, `refused`, or `pending`: the caller hung up before it was known."""
    booking: str
    service: str
    start: str
    """RFC 3339."""
    operation_id: str = ""


@dataclass(frozen=True)
class Refusal:
    """A slot that was offered, and then refused."""

    at: float
    """When it was requested."""
    duration: float
    operation: str
    """`hold`, `book` or `reschedule`."""
    code: str
    service: str
    start: str


@dataclass(frozen=True)
class Contested:
    """A slot that all callers are about to request."""

    at: float
    service: str
    start: str


@dataclass(frozen=True)
class End:
    """The last line: locust's own counts and cost."""

    at: float
    requests: int
    failures: int
    crashes: int
    """Errors of the callers' own code: such a run proves nothing."""
    cpu_s: float
    wall_s: float


Line = Exchange | Outcome | Refusal | Contested | End
_KINDS: dict[str, type[Line]] = {kind.__name__: kind for kind in (Exchange, Outcome, Refusal, Contested, End)}


def write(file: TextIO, line: Line) -> None:
    """Append a line at once, so that the log is good up to the moment at which locust is killed."""
    file.write(json.dumps([type(line).__name__, asdict(line)]) + "\n")
    file.flush()


@dataclass(frozen=True)
class CallLog:
    """The lines of one run by kind."""

    exchanges: list[Exchange] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    contested: list[Contested] = field(default_factory=list)
    end: End | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a log. Raises `CallLogError` where it is missing, or damaged."""
        try:
            parsed = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            return cls.of(_KINDS[kind](**fields) for kind, fields in parsed)
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise CallLogError(f"The call log cannot be read: {exc!r}.") from exc

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Self:
        """Sort lines by kind."""
        by_kind: dict[type[Line], list[Any]] = {kind: [] for kind in _KINDS.values()}
        for line in lines:
            by_kind[type(line)].append(line)
        exchanges, outcomes, refusals, contested, ends = by_kind.values()
        return cls(exchanges, outcomes, refusals, contested, ends[-1] if ends else None)


def now() -> float:
    """Return the time by the clock that all parts of a run share, in seconds since 1970."""
    return time.time()
