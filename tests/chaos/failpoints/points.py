"""Where a process is to halt: one file for each failpoint, in a folder that the processes know."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

FOLDER = "FAILPOINTS"
"""The variable that names the folder."""


class Role(StrEnum):
    """Which of our processes."""

    WEB = "web"
    WORKER = "worker"


class Step(StrEnum):
    """What was done last when it halts."""

    ENTERED = "entered"
    """The operation is committed, and not marked as sending."""
    BEGUN = "begun"
    """It is marked as sending, and not sent."""
    ANSWERED = "answered"
    """Cal.com has answered, and the outcome is not stored."""
    COMMITTED = "committed"
    """The outcome is stored; no day is invalidated and no message sent."""


def file_name(role: str, operation: str, step: str, start: datetime) -> str:
    """Return the file of a failpoint: a step of one operation on an appointment at `start`."""
    return f"{role}-{operation}-{step}-{start:%Y%m%dT%H%M}.halt"


@dataclass
class Failpoints:
    """The armed failpoints of a folder."""

    folder: Path
    _armed: list[Path] = field(default_factory=list)

    def arm(self, role: Role, operation: str, step: Step, start: datetime) -> None:
        """Have the process halt there; `start` is an instant in UTC."""
        file = self.folder / file_name(role, operation, step, start)
        file.touch()
        self._armed.append(file)

    @property
    def missing(self) -> list[str]:
        """Return the failpoints that no process has reached."""
        return [file.stem for file in self._armed if not file.with_suffix(".here").exists()]

    def resume(self) -> None:
        """Disarm all, which resumes what is halted."""
        for file in self._armed:
            file.unlink(missing_ok=True)
        self._armed.clear()
