"""What the benchmark measures on: one company at a Cal.com that answers at once and has no limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, SimulatorClient, User
from script.lib import environment, local
from script.lib.agent import Agent
from script.lib.processes import Stage, StageError

ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
# Event types by what is measured on them, with their hosts; each host serves only these.
COLD = ("cold-1", "cold-2", "cold-3")
TRIO = ("trio-1", "trio-2", "trio-3")
ALONE = (*COLD, "first", "search", "single", "waits", "own", "alone", "ratio", "held", "told")
EVENT_TYPES = {
    **{slug: (f"host-of-{slug}",) for slug in ALONE},
    **dict.fromkeys(TRIO, ("host-of-trio",)),
    "two-hosts": ("first-of-two", "second-of-two"),
}


@dataclass(frozen=True)
class Ground:
    """Where things are, and what they are called here."""

    below: environment.Ground

    @property
    def stage(self) -> Stage:
        """Return where the programs run."""
        return self.below.stage

    @property
    def simulator(self) -> SimulatorClient:
        """Return the simulated Cal.com."""
        return self.below.simulator

    @property
    def key(self) -> str:
        """Return the agent's key."""
        return self.below.tenant().key

    @property
    def services(self) -> dict[str, str]:
        """Return the services' ids by slug of the event type."""
        return self.below.tenant().services

    def agent(self, url: str = "") -> Agent:
        """Return an agent on a connection of its own."""
        return self.below.agent(url=url)

    def more_web(self, *, processes: int, threads: int) -> str:
        """Start another web beside the first, and return its URL."""
        return self.below.more_web(processes=processes, threads=threads)

    def asked(self, slug: str) -> int:
        """Return how often Cal.com was asked for slots of the event type."""
        wanted = f"eventTypeId={list(EVENT_TYPES).index(slug) + 1}&"
        return sum(wanted in f"{each['path']}&" for each in self.simulator.requests("GET /v2/slots"))

    def free(self, agent: Agent, slug: str, days: int = 1, ahead: int = 3) -> list[str]:
        """Ask for the free slots of some days, from midnight UTC `ahead` days from now; return their starts."""
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=ahead)
        window = {"from": first.isoformat(), "to": (first + timedelta(days=days)).isoformat()}
        answer = agent.get("/v1/availability", service=self.services[slug], **window)
        if answer.status != 200 or not answer.body["slots"]:
            raise StageError(f"Asking for {slug} was answered {answer.status}: {str(answer.body)[:200]}")
        return [slot["start"] for slot in answer.body["slots"]]

    def book(self, agent: Agent, slug: str, start: str) -> float:
        """Book a slot to its end within eight seconds; return how long that took, in seconds."""
        wish = {"service": self.services[slug], "start": start, "caller": {"name": "Ada Byron"}}
        answer = agent.post("/v1/bookings", wish, Idempotency_Key=f"{slug}/{start}", Prefer="wait=8")
        if answer.status != 201:
            raise StageError(f"Booking {slug} was answered {answer.status}: {str(answer.body)[:200]}")
        return answer.took


@contextmanager
def brought_up() -> Iterator[Ground]:
    """Bring everything up for the length of the context."""
    with (
        local.only_one(),
        environment.brought_up(_dataset(), log="bench", limit=10**9, settings="tests.benchmarks.settings") as below,
    ):
        yield Ground(below)


def _dataset() -> Dataset:
    hosts = dict.fromkeys(host for served_by in EVENT_TYPES.values() for host in served_by)
    return Dataset(
        users=(
            User(1, "bench", "Bench", "Europe/Berlin", api_key="cal_bench", hours=ALWAYS),
            *(User(number, name, name, hours=ALWAYS) for number, name in enumerate(hosts, 2)),
        ),
        event_types=tuple(
            EventType(number, "bench", slug, slug, 30, hosts=served_by)
            for number, (slug, served_by) in enumerate(EVENT_TYPES.items(), 1)
        ),
    )
