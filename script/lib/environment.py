"""Throw-away environments for tests and benchmarks: servers, a simulated Cal.com, companies, web and workers."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.core.management import call_command
from django.db import connections

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, SimulatorClient, User
from script.lib import local, programs
from script.lib.agent import TIMEOUT, Agent, Answer
from script.lib.processes import HarnessError, Supervisor, free_port
from script.lib.servers import start_redis, start_servers

if TYPE_CHECKING:
    from script.lib.tenants import Tenant  # models, which need the settings

# Seconds after a change, or the first use of an empty Redis, from which loads are stored; with a margin.
CONSISTENT_AFTER = 3.0
SLOTS, BOOK = "GET /v2/slots", "POST /v2/bookings"
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)


def calcom_data(
    companies: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    minutes: int = 30,
    hours: tuple[Hours, ...] = ALWAYS,
    event_types: Mapping[str, Mapping[str, Any]] | None = None,
    users: Mapping[str, Mapping[str, Any]] | None = None,
) -> Dataset:
    """
    Return what the simulated Cal.com knows: owners with an API key, their event types and the hosts of these.

    Args:
        companies: owner → slug of the event type → its hosts; none means the owner. Event types are numbered from 1.
        minutes: the length of event types.
        hours: when everybody works.
        event_types, users: more fields of some event types, by slug, and of some users, by name.
    """
    event_types, users = event_types or {}, users or {}
    kinds = [(owner, slug, tuple(hosts)) for owner, offered in companies.items() for slug, hosts in offered.items()]
    names = [*companies, *dict.fromkeys(host for _, _, hosts in kinds for host in hosts)]
    keys = {owner: f"cal_{owner}" for owner in companies}
    return Dataset(
        users=tuple(
            User(number, name, name.title(), **{"api_key": keys.get(name), "hours": hours, **users.get(name, {})})
            for number, name in enumerate(names, 1)
        ),
        event_types=tuple(
            EventType(
                number,
                owner,
                slug,
                f"{slug} of {owner}",
                **{"minutes": minutes, "hosts": hosts, **event_types.get(slug, {})},
            )
            for number, (owner, slug, hosts) in enumerate(kinds, 1)
        ),
    )


def midnight(ahead: int = 0) -> datetime:
    """Return the beginning of a UTC day, so many days from today."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=ahead)


def window(ahead: int, days: int = 1) -> dict[str, str]:
    """Return the query of `days` whole UTC days, the first so many days from today."""
    return {"from": midnight(ahead).isoformat(), "to": midnight(ahead + days).isoformat()}


@dataclass(frozen=True)
class Environment:
    """A running Slotline at a simulated Cal.com."""

    supervisor: Supervisor
    simulator: SimulatorClient
    url: str
    """Of web."""
    tenants: Mapping[str, "Tenant"]
    """By the username of the API key's owner."""
    dataset: Path
    """The file with what Cal.com knew at the beginning."""
    event_types: Mapping[str, int]
    """Cal.com's ids by slug."""

    @property
    def services(self) -> Mapping[str, str]:
        """Return ids of the first tenant's services, by slug of the event type."""
        return self.tenant().services

    def tenant(self, slug: str = "") -> "Tenant":
        """Return the tenant, the first one unless named."""
        return self.tenants[slug] if slug else next(iter(self.tenants.values()))

    def agent(self, tenant: str = "", url: str = "", timeout: float = TIMEOUT) -> Agent:
        """Return an agent of the tenant on a connection of its own."""
        return Agent(url or self.url, self.tenant(tenant).key, timeout=timeout)

    def start_web(self, *, processes: int, threads: int) -> str:
        """Start another web beside the first, and return its URL."""
        name = f"web-{processes}"
        url = programs.start_web(self.supervisor, name=name, port=free_port(), processes=processes, threads=threads)
        programs.wait_for_web(self.supervisor, url)
        return url

    def start_simulator(self, name: str, **options: float) -> SimulatorClient:
        """Start another Cal.com with the same data."""
        url = programs.start_simulator(self.supervisor, name=f"simulator-{name}", dataset=self.dataset, **options)
        return SimulatorClient(url)

    def subscribe_webhooks(self) -> None:
        """Have Cal.com send every tenant's webhooks to web."""
        from script.lib.tenants import subscribe_webhooks  # noqa: PLC0415  models, which need the settings

        for tenant in self.tenants.values():
            subscribe_webhooks(self.simulator.base_url, self.url, tenant)

    def free_slots(self, agent: Agent, slug: str, *, ahead: int = 3, days: int = 1, tenant: str = "") -> list[str]:
        """Return the starts that are free on whole UTC days. Raises `HarnessError` where there is none."""
        service = self.tenant(tenant).services[slug]
        answer = agent.get("/v1/availability", service=service, **window(ahead, days))
        if answer.status != 200 or not answer.body["slots"]:
            raise HarnessError(f"No slots of {slug}: {answer.status} {str(answer.body)[:200]}")
        return [slot["start"] for slot in answer.body["slots"]]

    def book(self, agent: Agent, slug: str, start: str, *, key: str = "") -> Answer:
        """Book a slot and wait up to eight seconds for the outcome."""
        booking = {"service": self.services[slug], "start": start, "caller": {"name": "Ada Byron"}}
        return agent.post("/v1/bookings", booking, Idempotency_Key=key or f"{slug}/{start}", Prefer="wait=8")

    def slot_requests(self, slug: str) -> int:
        """Return how often Cal.com was asked for slots of the event type."""
        wanted = f"eventTypeId={self.event_types[slug]}&"
        return sum(wanted in f"{each['path']}&" for each in self.simulator.requests(SLOTS))


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Redis with migrated tables, for which this process's settings are made."""

    supervisor: Supervisor
    place: Path
    """A folder for temporary files."""
    log: Path

    def start_simulator(
        self, dataset: Dataset, *, limit: int, latency: float, seed: int
    ) -> tuple[SimulatorClient, Path]:
        """Start Cal.com with these data; return it and the file that holds them."""
        file = self.place / "dataset.json"
        file.write_text(json.dumps(dataset.to_json()), encoding="utf-8")
        url = programs.start_simulator(self.supervisor, dataset=file, limit=limit, latency=latency, seed=seed)
        return SimulatorClient(url), file

    @contextmanager
    def environment(
        self,
        dataset: Dataset,
        *,
        limit: int = 120,
        latency: float = 0.0,
        seed: int = 0,
        processes: int = 2,
        threads: int = 20,
        environ: Mapping[str, str] | None = None,
    ) -> Iterator[Environment]:
        """
        Run Slotline for the length of the context.

        Args:
            dataset: what Cal.com knows; each user with an API key becomes a tenant.
            limit: requests a minute that Cal.com allows.
            latency: 1 is as slow as Cal.com, 0 answers at once.
            seed: makes Cal.com's latency, uids and chances repeatable.
            processes: of web.
            threads: of each process of web.
            environ: more environment of all processes.
        """
        os.environ.update(environ or {})
        simulator, file = self.start_simulator(dataset, limit=limit, latency=latency, seed=seed)
        tenants = self._create_tenants(simulator.base_url, dataset, limit)
        consistent_at = time.monotonic() + CONSISTENT_AFTER
        url = programs.start_web(self.supervisor, port=free_port(), processes=processes, threads=threads)
        programs.start_workers(self.supervisor)
        programs.wait_for_web(self.supervisor, url)
        programs.wait_for_workers(self.supervisor)
        time.sleep(max(0.0, consistent_at - time.monotonic()))
        simulator.reset(log_only=True)
        try:
            event_types = {each.slug: each.id for each in dataset.event_types}
            yield Environment(self.supervisor, simulator, url, tenants, file, event_types)
        finally:
            connections.close_all()

    def _create_tenants(self, calcom_url: str, dataset: Dataset, limit: int) -> dict[str, "Tenant"]:
        from cachectl import cache  # noqa: PLC0415  models, which need the settings
        from script.lib.tenants import create_tenant  # noqa: PLC0415

        owners = [user for user in dataset.users if user.api_key]
        with self.log.open("a") as log, redirect_stdout(log):
            tenants = {owner.username: create_tenant(calcom_url, owner, limit) for owner in owners}
        cache.ensure_generations()  # from now on this is a Redis in use
        return tenants


@contextmanager
def running_servers(log: str, *, settings: str = "config.settings", own_broker: bool = False) -> Iterator[Servers]:
    """
    Start servers and set Django up for them; once in a process. Models can be imported from then on.

    Args:
        log: the folder of the logs, below `.local/log`.
        settings: Django's settings module.
        own_broker: whether Celery's queues have a Redis of their own, the child `broker`.
    """
    place = Path(tempfile.mkdtemp(prefix="slotline-environment-"))
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):  # never servers that run already
        os.environ.pop(name, None)
    os.environ.update(
        local.environment(),
        DJANGO_SETTINGS_MODULE=settings,
        BOOKINGS_THROTTLE_RATE="100000000/minute",
        BEAT_SCHEDULE_FILE=str(place / "beat-schedule"),  # two environments may run at once
        PROMETHEUS_MULTIPROC_DIR=str(place / "metrics"),
    )
    logs = local.LOGS / log
    with Supervisor(logs) as supervisor:
        supervisor.add_cleanup(lambda: shutil.rmtree(place))
        start_servers(supervisor, place / "postgres")
        if own_broker:
            os.environ["BROKER_URL"] = start_redis(supervisor, "broker")
        file = logs / "prepare.log"
        output = file.open("w")  # stays open: this process logs there from here on
        with redirect_stdout(output), redirect_stderr(output):
            django.setup()
            call_command("migrate", verbosity=0)
        yield Servers(supervisor, place, file)
