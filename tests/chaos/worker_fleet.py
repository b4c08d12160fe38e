"""Several processes that send to one simulated Cal.com (`tests.chaos.sender`), and what Cal.com saw of them."""

import hashlib
import json
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from calcom.simulator import SimulatorClient
from script.lib.processes import Child, Supervisor
from tests.chaos.sender import KINDS, Demand, Plan, Record


def spread(demand: Demand, processes: int) -> list[Demand]:
    """Return the share of each process: together they are as even as one."""
    share = replace(demand, per_minute=demand.per_minute / processes)
    return [replace(share, phase=number / processes) for number in range(processes)]


@dataclass(frozen=True)
class Arrival:
    """A request as Cal.com saw it; the moment is of the monotonic clock."""

    at: float
    status: int
    kind: str
    """Of the demand; empty for external usage."""


@dataclass
class Fleet:
    """The processes, with a folder for their plans and records."""

    supervisor: Supervisor
    simulator: SimulatorClient
    folder: Path
    children: list[Child] = field(default_factory=list)
    began: float = 0.0

    def add(
        self, name: str, demands: Sequence[Demand], environ: Mapping[str, str], *, seed: int, skew_s: float = 0
    ) -> None:
        """Start one more process; it waits for `begin`."""
        records = str(self.folder / f"{name}.records")
        plan = Plan(self.simulator.base_url, list(demands), str(self.folder / "go"), records, seed=seed, skew_s=skew_s)
        path = self.folder / f"{name}.plan"
        path.write_text(plan.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "tests.chaos.sender", str(path)]
        self.children.append(self.supervisor.start(name, command, environ))

    def begin(self) -> None:
        """Have all of them begin, when all are ready."""
        self.supervisor.wait_until(
            lambda: all("ready" in _logged(child) for child in self.children), what="The fleet was not ready", within=90
        )
        self.began = time.monotonic() + 0.5
        half = self.folder / "go.new"
        half.write_text(str(self.began), encoding="utf-8")
        half.rename(self.folder / "go")

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began

    def restart(self, number: int) -> None:
        """Kill a process, and start it again."""
        child = self.children[number]
        self.supervisor.kill(child)
        self.children[number] = self.supervisor.restart(child)

    def records(self, name: str) -> list[Record]:
        """Return the records of an account. The last line of a process that was killed may be incomplete."""
        lines = (line for path in sorted(self.folder.glob("*.records")) for line in path.read_text().splitlines())
        read = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [Record(**record) for record in read if record["name"] == name]

    def count_logging(self, event: str) -> int:
        """Count the processes that logged an event."""
        return sum(any(f'"event":"{event}"' in line for line in _logged(child)) for child in self.children)


def _logged(child: Child) -> list[str]:
    return child.log.read_text(encoding="utf-8").splitlines()


def arrivals(simulator: SimulatorClient, names: Collection[str]) -> dict[str, list[Arrival]]:
    """Return what Cal.com saw of each account, in order."""
    offset = time.time() - time.monotonic()
    labels = {hashlib.sha256(f"cal_{name}".encode()).hexdigest()[:8]: name for name in names}
    seen: dict[str, list[Arrival]] = {name: [] for name in names}
    for request in simulator.requests():
        if request["key"] in labels and request["counted"]:
            arrival = Arrival(request["arrived_at"] - offset, request["status"], _kind(request["path"]))
            seen[labels[request["key"]]].append(arrival)
    return seen


def _kind(path: str) -> str:
    number = path.partition("eventTypeId=")[2].partition("&")[0]
    if number.isdecimal():
        return KINDS[int(number) % 10]
    known = {"/v2/me": "background", "/v2/bookings": "booking", "/v2/bookings/unknown": "lookup"}
    return known.get(path, "")
