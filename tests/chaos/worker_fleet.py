"""Several processes that send to one simulated Cal.com (`tests.chaos.sender`), and what they and Cal.com say of it."""

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, SimulatorClient, User
from script.lib.processes import Child, Stage
from tests.chaos.sender import Demand, Line, Plan

ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
KINDS = ("live", "refresh", "booking", "lookup", "background")


def dataset(accounts: Mapping[str, int]) -> Dataset:
    """Return a Cal.com with these accounts (name → number), each with an event type for every kind of demand."""
    return Dataset(
        users=tuple(User(number, name, name, api_key=f"cal_{name}", hours=ALWAYS) for name, number in accounts.items()),
        event_types=tuple(
            EventType(number * 10 + index, name, f"{name}-{kind}", kind)
            for name, number in accounts.items()
            for index, kind in enumerate(KINDS)
        ),
    )


def spread(demand: Demand, processes: int) -> list[Demand]:
    """Return the part of a demand that each of the processes has: together they are as even as one."""
    share = replace(demand, per_minute=demand.per_minute / processes)
    return [replace(share, phase=number / processes) for number in range(processes)]


@dataclass(frozen=True)
class Arrival:
    """A request as Cal.com saw it; the moment is of the monotonic clock."""

    at: float
    status: int
    path: str
    kind: str
    """Of the demand, as far as Cal.com can see it; empty for what does not come from the fleet."""


@dataclass
class Fleet:
    """The processes, from before their start to after their end."""

    stage: Stage
    simulator: SimulatorClient
    place: Path
    """A folder for what they are told and what they write."""
    children: list[Child] = field(default_factory=list)
    began: float = 0.0

    def start(
        self, name: str, demands: Sequence[Demand], environ: Mapping[str, str], *, seed: int, skew_s: float = 0
    ) -> None:
        """Start one more process; it waits for `go`."""
        plan = Plan(
            url=self.simulator.base_url,
            demands=list(demands),
            go=str(self.place / "go"),
            lines=str(self.place / f"{name}.lines"),
            seed=seed,
            skew_s=skew_s,
        )
        path = self.place / f"{name}.plan"
        path.write_text(plan.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", "tests.chaos.sender", str(path)]
        self.children.append(self.stage.start(name, command, environ))

    def go(self) -> None:
        """Let all of them begin, when all are ready."""
        self.stage.wait_until(
            lambda: all("ready" in _said(child) for child in self.children), what="The fleet was not ready", within=90
        )
        self.began = time.monotonic() + 0.5
        half = self.place / "go.new"
        half.write_text(str(self.began), encoding="utf-8")
        half.rename(self.place / "go")

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self.began

    def restart(self, number: int) -> None:
        """Kill a process in whatever it does, and start it again."""
        child = self.children[number]
        self.stage.kill(child)
        self.children[number] = self.stage.start_again(child)

    def lines(self, name: str) -> list[Line]:
        """Return what the processes wrote about an account. The last line of one that was killed may be half a line."""
        written = (line for path in sorted(self.place.glob("*.lines")) for line in path.read_text().splitlines())
        read = (json.loads(line) for line in written if line.startswith("{") and line.endswith("}"))
        return [Line(**line) for line in read if line["name"] == name]

    def logged(self, event: str) -> int:
        """Count the processes that logged an event."""
        return sum(any(f'"event":"{event}"' in line for line in _said(child)) for child in self.children)


def _said(child: Child) -> list[str]:
    return child.log.read_text(encoding="utf-8").splitlines()


def arrivals(
    simulator: SimulatorClient, names: Collection[str], kinds: Sequence[str] = KINDS
) -> dict[str, list[Arrival]]:
    """Return what Cal.com saw of each account, in order."""
    offset = time.time() - time.monotonic()
    labels = {hashlib.sha256(f"cal_{name}".encode()).hexdigest()[:8]: name for name in names}
    seen: dict[str, list[Arrival]] = {name: [] for name in names}
    for request in simulator.requests():
        if request["key"] in labels and request["counted"]:
            arrival = Arrival(request["arrived_at"] - offset, request["status"], request["path"], "")
            seen[labels[request["key"]]].append(replace(arrival, kind=_kind(arrival.path, kinds)))
    return seen


def _kind(path: str, kinds: Sequence[str]) -> str:
    """Tell from the event type, which each kind has its own, and else from the path."""
    _, _, asked = path.partition("eventTypeId=")
    number = asked.partition("&")[0]
    if number.isdecimal():
        return kinds[int(number) % 10]
    known = {"/v2/me": "background", "/v2/bookings": "booking", "/v2/bookings/nobody": "lookup"}
    return known.get(path, "")


def most_in_60_s(seen: Sequence[Arrival]) -> int:
    """Return the most requests in any 60 s, wherever they begin."""
    most = first = 0
    for last, arrival in enumerate(seen):
        while arrival.at - seen[first].at >= 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def said(name: str, lines: Sequence[Line], seen: Sequence[Arrival]) -> str:
    """Return a line for the ledger: what was wanted and permitted, and what Cal.com saw."""
    wanted = Counter(line.kind for line in lines)
    granted = Counter(line.kind for line in lines if line.granted is not None)
    permitted = ", ".join(f"{kind} {granted[kind]}/{count}" for kind, count in sorted(wanted.items()))
    blocked = sum(arrival.status == 429 for arrival in seen)
    return (
        f"{name}: permitted {permitted}; Cal.com saw {len(seen)}, {most_in_60_s(seen)} in 60 s at most, 429: {blocked}"
    )
