"""Where a process shall halt, as the one who kills it says it: a file for each place."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

HALTS = "HALTS"
"""The variable that names the folder of the files."""


class Role(StrEnum):
    """Which of our processes."""

    WEB = "web"
    WORKER = "worker"


class Step(StrEnum):
    """What was done last when it halts."""

    ENTERED = "entered"
    """The wish is committed, and not said to be on its way."""
    BEGUN = "begun"
    """It is said to be on its way, and did not leave."""
    ANSWERED = "answered"
    """Cal.com has answered, and nothing of that is written down."""
    COMMITTED = "committed"
    """All is written down, and nobody was told: no day forgotten, no message published."""


def name_of(role: str, operation: str, step: str, start: datetime) -> str:
    """Return the file's name; one operation on an appointment at `start` is meant."""
    return f"{role}-{operation}-{step}-{start:%Y%m%dT%H%M}.halt"


@dataclass
class Halts:
    """The places that are wanted now, in a folder that the processes know by `HALTS`."""

    folder: Path
    _wanted: list[Path] = field(default_factory=list)

    def want(self, role: Role, operation: str, step: Step, start: datetime) -> None:
        """Have the process halt there when it comes by; `start` is an instant in UTC."""
        file = self.folder / name_of(role, operation, step, start)
        file.touch()
        self._wanted.append(file)

    @property
    def missing(self) -> list[str]:
        """Return the places where nobody stands yet."""
        return [file.stem for file in self._wanted if not file.with_suffix(".here").exists()]

    def let_go(self) -> None:
        """Let go on whoever halts, and want nothing any more."""
        for file in self._wanted:
            file.unlink(missing_ok=True)
        self._wanted.clear()
