"""
One process of a worker fleet: sends to Cal.com as Slotline does, through `Client`, as often as its plan says.

`python -m tests.chaos.sender PLAN` prints `ready`, begins when the plan's file `go` appears, and writes a record for
each request that was wanted. `tests.chaos.worker_fleet` starts several and reads the records.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from heapq import merge
from pathlib import Path
from random import Random
from typing import Any

KINDS = ("live", "refresh", "booking", "lookup", "background")
BURST_S, BURST_EVERY_S = 20.0, 60.0


@dataclass(frozen=True)
class Demand:
    """How often one process wants a kind of request for an account."""

    name: str
    """Of the account."""
    number: int
    """Of the account."""
    kind: str
    per_minute: float
    lasts: float
    """Seconds."""
    pace: str = "random"
    """random, steady, or bursts: steady for twenty seconds of each minute."""
    phase: float = 0.0
    """Share of the pause between two by which a steady pace is shifted."""
    tenant: int | None = None

    @property
    def event_type_id(self) -> int:
        """Return Cal.com's event type of this kind, by which its log tells the kinds apart."""
        return self.number * 10 + KINDS.index(self.kind)

    def moments(self, random: Random) -> Iterator[float]:
        """Yield the seconds after the beginning at which a request is wanted."""
        pause = 60 / self.per_minute
        moment = self.phase * pause
        while moment < self.lasts:
            if self.pace != "bursts" or moment % BURST_EVERY_S < BURST_S:
                yield moment
            moment += random.expovariate(1 / pause) if self.pace == "random" else pause


@dataclass(frozen=True)
class Plan:
    """What one process does."""

    url: str
    """Of the simulated Cal.com."""
    demands: list[Demand]
    go: str
    """The file with the moment of the beginning, on the monotonic clock."""
    records: str
    """The file that gets a line for each request."""
    seed: int
    threads: int = 8
    """For each account."""
    network_s: tuple[float, float] = (0.02, 0.4)
    """Shortest and longest delay before a request arrives."""
    skew_s: float = 0.0
    """By how much this process's clock is wrong."""

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "demands": [Demand(**each) for each in fields["demands"]]})


@dataclass
class Record:
    """What became of one request. Moments are of the monotonic clock, which all processes of a machine share."""

    name: str
    kind: str
    tenant: int | None
    wanted: float
    admitted: float | None = None
    """When the rate limiter admitted it; None where it did not."""
    ended: float = 0.0
    outcome: str = "ok"


@dataclass
class _Sender:
    plan: Plan
    calls: Mapping[str, Callable[[Demand, Random], object]]
    random: Random = field(init=False)
    pools: dict[str, ThreadPoolExecutor] = field(default_factory=dict)
    current: threading.local = field(default_factory=threading.local)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.random = Random(self.plan.seed)
        self.file = Path(self.plan.records).open("a", encoding="utf-8")  # noqa: SIM115  as long as the process

    def run(self, began: float) -> None:
        """Submit every request at its moment, and wait for those in flight."""
        timed = (((moment, demand) for moment in demand.moments(self.random)) for demand in self.plan.demands)
        for moment, demand in merge(*map(list, timed), key=lambda entry: entry[0]):
            wait = began + moment - time.monotonic()
            if wait < -1:
                continue  # this process was restarted in the middle
            time.sleep(max(0.0, wait))
            pool = self.pools.setdefault(demand.name, ThreadPoolExecutor(self.plan.threads))
            pool.submit(self._send, demand)
        for pool in self.pools.values():
            pool.shutdown()

    def _send(self, demand: Demand) -> None:
        record = self.current.record = Record(demand.name, demand.kind, demand.tenant, time.monotonic())
        try:
            self.calls[demand.kind](demand, self.random)
        except Exception as exc:  # noqa: BLE001  every outcome is recorded
            record.outcome = getattr(exc, "outcome", type(exc).__name__)
        record.ended = time.monotonic()
        with self.lock:
            self.file.write(json.dumps(asdict(record)) + "\n")
            self.file.flush()

    def delayed(self, send: Callable[..., object]) -> Callable[..., object]:
        """Put a network delay before Cal.com; it begins when the request was admitted."""

        def send_later(**request: object) -> object:
            self.current.record.admitted = time.monotonic()
            time.sleep(self.random.uniform(*self.plan.network_s))
            return send(**request)

        return send_later


def _calls(url: str) -> Mapping[str, Callable[[Demand, Random], object]]:
    """Return how each kind of demand calls `Client`."""
    from calcom.http.client import Client  # noqa: PLC0415  models, which need the settings
    from calcom.models import Account, EventType  # noqa: PLC0415
    from calcom.types import NewBooking, Priority  # noqa: PLC0415
    from script.lib.environment import midnight  # noqa: PLC0415

    def account(demand: Demand) -> Account:
        return Account(id=demand.number, name=demand.name, base_url=url, api_key=f"cal_{demand.name}")

    def client(demand: Demand) -> Client:
        return Client(account(demand), tenant=demand.tenant)

    def event_type(demand: Demand) -> EventType:
        return EventType(account=account(demand), calcom_id=demand.event_type_id, length_minutes=30)

    def slots(priority: Priority, demand: Demand, _random: Random) -> object:
        days = {"start": midnight(3), "end": midnight(4)}
        return client(demand).open_slots(event_type=event_type(demand), **days, priority=priority)

    def book(demand: Demand, random: Random) -> object:
        start = midnight(random.randrange(3, 300)) + timedelta(minutes=30 * random.randrange(48))
        booking = NewBooking(start, "Ada Byron", "ada@callers.example", "UTC", appointment_id="bk_0")
        return client(demand).create_booking(event_type=event_type(demand), booking=booking)

    return {
        "live": partial(slots, Priority.LIVE),
        "refresh": partial(slots, Priority.REFRESH),
        "background": lambda demand, _random: client(demand).me(),
        "booking": book,
        "lookup": lambda demand, _random: client(demand).get_booking(uid="unknown"),
    }


def main() -> None:
    """Run the plan, and stay until told to stop: a program that ends by itself counts as dead."""
    plan = Plan.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if plan.skew_s:
        right = time.time
        time.time = lambda: right() + plan.skew_s
    import django  # noqa: PLC0415  after the clock was shifted

    django.setup()
    from calcom.http import transport  # noqa: PLC0415

    sender = _Sender(plan, _calls(plan.url))
    patched: Any = transport
    patched.send = sender.delayed(transport.send)
    go = Path(plan.go)
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.02)
    sender.run(float(go.read_text(encoding="utf-8")))
    print("done", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
