"""
One process that sends to Cal.com as Slotline's own processes do, as often as its plan says: through `Client`.

`python -m tests.chaos.sender PLAN`: it says when it is ready, begins when the plan's file `go` appears, and writes a
line for each request that somebody wanted. `tests.chaos.worker_fleet` starts several of them and reads what they wrote.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import merge
from pathlib import Path
from random import Random
from typing import Any

BURST_S, BURST_EVERY_S = 20.0, 60.0


@dataclass(frozen=True)
class Demand:
    """How often something is wanted of one account, by this process."""

    name: str
    """Of the account."""
    number: int
    """Of the account; it counts up its event types, too."""
    kind: str
    """live, refresh, background, booking or lookup."""
    per_minute: float
    lasts: float
    """Seconds."""
    pace: str = "random"
    """random, steady, or bursts: steady for twenty seconds of each minute."""
    phase: float = 0.0
    """Share of the pause between two by which a steady pace is shifted."""
    tenant: int | None = None

    @property
    def api_key(self) -> str:
        """Return the account's."""
        return f"cal_{self.name}"

    @property
    def event_type_id(self) -> int:
        """Return Cal.com's id of the event type that this kind asks for: so Cal.com's log tells them apart."""
        return self.number * 10 + ("live", "refresh", "booking", "lookup", "background").index(self.kind)

    def moments(self, random: Random) -> Iterator[float]:
        """Yield the seconds after the beginning at which somebody wants it."""
        pause = 60 / self.per_minute
        moment = self.phase * pause
        while moment < self.lasts:
            if self.pace != "bursts" or moment % BURST_EVERY_S < BURST_S:
                yield moment
            moment += random.expovariate(1 / pause) if self.pace == "random" else pause


@dataclass(frozen=True)
class Plan:
    """What one process is to do."""

    url: str
    """Of the simulated Cal.com."""
    demands: list[Demand]
    go: str
    """The file that holds the moment of the beginning, on the monotonic clock."""
    lines: str
    """The file that gets a line for each request."""
    seed: int
    threads: int = 8
    """For each account."""
    way_s: tuple[float, float] = (0.02, 0.4)
    """Shortest and longest time that a request is on its way."""
    skew_s: float = 0.0
    """By how much this process's clock is wrong."""

    def to_json(self) -> str:
        """Write it so that `from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote."""
        said = json.loads(text)
        return cls(**{**said, "demands": [Demand(**each) for each in said["demands"]]})


@dataclass
class Line:
    """What became of one request. Moments are of the monotonic clock, which all processes of a machine share."""

    name: str
    kind: str
    tenant: int | None
    asked: float
    granted: float | None = None
    """When the limiter permitted it; None where it did not."""
    ended: float = 0.0
    outcome: str = "ok"


@dataclass
class _Driver:
    """The running plan."""

    plan: Plan
    calls: Mapping[str, Callable[[Demand, Random], object]]
    random: Random = field(init=False)
    pools: dict[str, ThreadPoolExecutor] = field(default_factory=dict)
    of_thread: threading.local = field(default_factory=threading.local)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.random = Random(self.plan.seed)
        self.file = Path(self.plan.lines).open("a", encoding="utf-8")  # noqa: SIM115  as long as the process

    def run(self, began: float) -> None:
        """Want everything at its moment, and wait for what is under way."""
        for moment, demand in merge(*map(self._timed, self.plan.demands), key=lambda entry: entry[0]):
            wait = began + moment - time.monotonic()
            if wait < -1:
                continue  # it was started again in the middle
            time.sleep(max(0.0, wait))
            self._pool(demand.name).submit(self._want, demand)
        for pool in self.pools.values():
            pool.shutdown()

    def _timed(self, demand: Demand) -> Iterator[tuple[float, Demand]]:
        return ((moment, demand) for moment in demand.moments(self.random))

    def _pool(self, name: str) -> ThreadPoolExecutor:
        return self.pools.setdefault(name, ThreadPoolExecutor(self.plan.threads))

    def _want(self, demand: Demand) -> None:
        line = self.of_thread.line = Line(demand.name, demand.kind, demand.tenant, time.monotonic())
        try:
            self.calls[demand.kind](demand, self.random)
        except Exception as exc:  # noqa: BLE001  every outcome is written down
            line.outcome = getattr(exc, "outcome", type(exc).__name__)
        line.ended = time.monotonic()
        with self.lock:
            self.file.write(json.dumps(asdict(line)) + "\n")
            self.file.flush()

    def far(self, send: Callable[..., object]) -> Callable[..., object]:
        """Put a way of some length before Cal.com; it begins when the limiter has permitted the request."""

        def send_far(**request: object) -> object:
            self.of_thread.line.granted = time.monotonic()
            time.sleep(self.random.uniform(*self.plan.way_s))
            return send(**request)

        return send_far


def _calls(url: str) -> Mapping[str, Callable[[Demand, Random], object]]:
    """Return what each kind of demand asks of `Client`. Models are imported here: they need the settings."""
    from calcom.http.client import Client  # noqa: PLC0415
    from calcom.models import Account, EventType  # noqa: PLC0415
    from calcom.types import NewBooking, Priority  # noqa: PLC0415

    def account(demand: Demand) -> Account:
        return Account(id=demand.number, name=demand.name, base_url=url, api_key=demand.api_key)

    def client(demand: Demand) -> Client:
        return Client(account(demand), tenant=demand.tenant)

    def event_type(demand: Demand) -> EventType:
        return EventType(account=account(demand), calcom_id=demand.event_type_id, length_minutes=30)

    def slots(priority: Priority, demand: Demand, _random: Random) -> object:
        start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=3)
        end = start + timedelta(days=1)
        return client(demand).open_slots(event_type=event_type(demand), start=start, end=end, priority=priority)

    def book(demand: Demand, random: Random) -> object:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start = midnight + timedelta(days=random.randrange(3, 300), minutes=30 * random.randrange(48))
        booking = NewBooking(start, "Ada Byron", "ada@callers.example", "UTC", appointment_id="bk_0")
        return client(demand).create_booking(event_type=event_type(demand), booking=booking)

    return {
        "live": partial(slots, Priority.LIVE),
        "refresh": partial(slots, Priority.REFRESH),
        "background": lambda demand, _random: client(demand).me(),
        "booking": book,
        "lookup": lambda demand, _random: client(demand).get_booking(uid="nobody"),
    }


def _shift_clock(seconds: float) -> None:
    """Make this process's wall clock wrong."""
    right = time.time
    time.time = lambda: right() + seconds


def _set_out(plan: Plan) -> _Driver:
    import django  # noqa: PLC0415  after the clock was shifted

    django.setup()
    from calcom.http import transport  # noqa: PLC0415

    driver = _Driver(plan, _calls(plan.url))
    patched: Any = transport
    patched.send = driver.far(transport.send)
    return driver


def main() -> None:
    """Do what the plan says, and stay until told to stop: a program that ends by itself counts as dead."""
    plan = Plan.from_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if plan.skew_s:
        _shift_clock(plan.skew_s)
    driver = _set_out(plan)
    go = Path(plan.go)
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.02)
    driver.run(float(go.read_text(encoding="utf-8")))
    print("done", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
