"""The ground that is measured on: throw-away servers, a simulated Cal.com without limit, a company, web, workers."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connections

from calcom.simulator.client import SimulatorClient
from calcom.simulator.world import WEEKDAYS, EventType, Hours, User, World
from script.stage import local, parts
from script.stage.agent import Agent
from script.stage.processes import Stage, StageError, free_port
from script.stage.servers import bring_servers

LOGS = local.LOGS / "bench"
CREDENTIAL = "cal_bench"
# Seconds after a change, or the first use of an empty Redis, from which loads are believed; with a margin.
BELIEVED = 3.0
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
# Event types by what is measured on them, with their hosts; each host serves only these.
COLD = ("cold-1", "cold-2", "cold-3")
TRIO = ("trio-1", "trio-2", "trio-3")
EVENT_TYPES = {
    **{slug: (f"host-of-{slug}",) for slug in (*COLD, "first", "search", "single", "waits", "own", "alone", "ratio")},
    **dict.fromkeys(TRIO, ("host-of-trio",)),
    "two-hosts": ("first-of-two", "second-of-two"),
}


@dataclass(frozen=True)
class Ground:
    """Where things are."""

    stage: Stage
    simulator: SimulatorClient
    url: str
    key: str
    services: dict[str, str]
    """Ids by slug of the event type."""

    def agent(self, url: str = "") -> Agent:
        """Return an agent on a connection of its own."""
        return Agent(url or self.url, self.key)

    def more_web(self, *, processes: int, threads: int) -> str:
        """Start another web beside the first, and return its URL."""
        url = parts.bring_web(
            self.stage, name=f"web-{processes}", port=free_port(), processes=processes, threads=threads
        )
        parts.wait_for_web(self.stage, url)
        return url

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
    place = Path(tempfile.mkdtemp(prefix="slotline-bench-"))
    os.environ.pop("DATABASE_URL", None)  # 200,000 appointments are for nobody's own database
    os.environ.pop("REDIS_URL", None)
    os.environ.update(local.environment(), DJANGO_SETTINGS_MODULE="script.stage.bench.settings")
    os.environ["BOOKINGS_THROTTLE_RATE"] = "100000000/min"
    with local.only_one(), Stage(LOGS) as stage:
        stage.finally_call(lambda: shutil.rmtree(place))
        bring_servers(stage, place / "postgres")
        simulator = SimulatorClient(parts.bring_simulator(stage, world=_world(place), limit=10**9, latency=0))
        key, services = _prepare(simulator.base_url)
        url = parts.bring_web(stage, port=free_port())
        parts.bring_workers(stage)
        parts.wait_for_web(stage, url)
        parts.wait_for_workers(stage)
        ground = Ground(stage, simulator, url, key, services)
        with ground.agent() as agent:  # from now on this is a Redis that has been in use
            ground.free(agent, "first")
        time.sleep(BELIEVED)
        yield ground
        connections.close_all()


def _world(place: Path) -> Path:
    hosts = dict.fromkeys(host for served_by in EVENT_TYPES.values() for host in served_by)
    world = World(
        users=(
            User(1, "bench", "Bench", api_key=CREDENTIAL),
            *(User(number, name, name, hours=ALWAYS) for number, name in enumerate(hosts, 2)),
        ),
        event_types=tuple(
            EventType(number, "bench", slug, slug, 30, hosts=served_by)
            for number, (slug, served_by) in enumerate(EVENT_TYPES.items(), 1)
        ),
    )
    path = place / "world.json"
    path.write_text(json.dumps(world.to_json()), encoding="utf-8")
    return path


def _prepare(calcom_url: str) -> tuple[str, dict[str, str]]:
    """Migrate and write the company; return its agent's key and the ids of its services."""
    log = (LOGS / "prepare.log").open("w")
    with redirect_stdout(log), redirect_stderr(log):  # from here on, also what this process logs
        django.setup()
        call_command("migrate", verbosity=0)
        from script.stage.bench import company  # noqa: PLC0415  models, which need the settings

        return company.write(calcom_url, CREDENTIAL)
