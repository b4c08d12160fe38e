"""Where something is tried or measured: throw-away servers, a simulated Cal.com, companies, web, workers."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.core.management import call_command
from django.db import connections

from calcom.simulator import Dataset, SimulatorClient
from script.lib import local, programs
from script.lib.agent import PATIENCE, Agent
from script.lib.processes import Stage, free_port
from script.lib.servers import bring_redis, bring_servers

if TYPE_CHECKING:
    from script.lib.company import Tenant  # models, which need the settings

# Seconds after a change, or the first use of an empty Redis, from which loads are believed; with a margin.
BELIEVED = 3.0
# No experiment is about our own throttle, unless it says so.
UNTHROTTLED = "100000000/minute"


@dataclass(frozen=True)
class Ground:
    """Where things are, and who is there."""

    stage: Stage
    simulator: SimulatorClient
    url: str
    """Of web; empty where none was started."""
    tenants: Mapping[str, "Tenant"]
    """By the username of the API key's owner."""
    dataset: Path
    """The file that says what Cal.com knew at the beginning."""

    def agent(self, tenant: str = "", url: str = "", patience: float = PATIENCE) -> Agent:
        """Return an agent on a connection of its own, who waits `patience` seconds; the first tenant's unless named."""
        return Agent(url or self.url, self.tenant(tenant).key, patience=patience)

    def tenant(self, slug: str = "") -> "Tenant":
        """Return the tenant, the first one unless named."""
        return self.tenants[slug] if slug else next(iter(self.tenants.values()))

    def more_web(self, *, processes: int, threads: int, name: str = "") -> str:
        """Start another web beside the first, and return its URL."""
        name = name or f"web-{processes}"
        url = programs.bring_web(self.stage, name=name, port=free_port(), processes=processes, threads=threads)
        programs.wait_for_web(self.stage, url)
        return url


@contextmanager
def brought_up(
    dataset: Dataset,
    *,
    log: str,
    limit: int = 120,
    latency: float = 0.0,
    seed: int = 0,
    processes: int = 2,
    threads: int = 20,
    workers: bool = True,
    own_broker: bool = False,
    settings: str = "config.settings",
    environ: Mapping[str, str] | None = None,
) -> Iterator[Ground]:
    """
    Bring everything up for the length of the context; once in a process, because Django is set up in it.

    Args:
        dataset: what Cal.com knows; each user with an API key becomes a tenant.
        log: the folder of the logs, below `.local/log`.
        limit: requests a minute that Cal.com allows.
        latency: 1 is as slow as Cal.com, 0 answers at once.
        seed: makes Cal.com's latency, uids and chances repeatable.
        processes: of web; 0 starts none.
        threads: of each process of web.
        workers: whether workers and beat are started.
        own_broker: whether Celery's queues have a Redis of their own, the child `broker`.
        settings: Django's settings module.
        environ: more environment, for this process and all others.
    """
    place = Path(tempfile.mkdtemp(prefix="slotline-ground-"))
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):  # what is tried here is for nobody's own servers
        os.environ.pop(name, None)
    os.environ.update(local.environment(), DJANGO_SETTINGS_MODULE=settings, BOOKINGS_THROTTLE_RATE=UNTHROTTLED)
    os.environ["BEAT_SCHEDULE_FILE"] = str(place / "beat-schedule")  # two grounds may be up at once
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(place / "metrics")
    os.environ.update(environ or {})
    logs = local.LOGS / log
    with Stage(logs) as stage:
        stage.finally_call(lambda: shutil.rmtree(place))
        bring_servers(stage, place / "postgres")
        if own_broker:
            os.environ["BROKER_URL"] = bring_redis(stage, "broker")
        simulated = place / "dataset.json"
        simulated.write_text(json.dumps(dataset.to_json()), encoding="utf-8")
        simulator = SimulatorClient(
            programs.bring_simulator(stage, dataset=simulated, limit=limit, latency=latency, seed=seed)
        )
        tenants = _prepare(simulator.base_url, dataset, limit, logs / "prepare.log")
        in_use_since = _use_redis(tenants)
        url = programs.bring_web(stage, port=free_port(), processes=processes, threads=threads) if processes else ""
        if workers:
            programs.bring_workers(stage)
        if url:
            programs.wait_for_web(stage, url)
        if workers:
            programs.wait_for_workers(stage)
        time.sleep(max(0.0, in_use_since + BELIEVED - time.monotonic()))
        simulator.reset(log_only=True)
        try:
            yield Ground(stage, simulator, url, tenants, simulated)
        finally:
            connections.close_all()


def _prepare(calcom_url: str, dataset: Dataset, limit: int, log: Path) -> Mapping[str, "Tenant"]:
    """Migrate, and write the companies."""
    said = log.open("w")  # it stays open: from here on, what this process logs goes there, too
    with redirect_stdout(said), redirect_stderr(said):
        django.setup()
        call_command("migrate", verbosity=0)
        from script.lib import company  # noqa: PLC0415  models, which need the settings

        owners = [user for user in dataset.users if user.api_key]
        return {owner.username: company.write(calcom_url, owner, limit) for owner in owners}


def _use_redis(tenants: Mapping[str, "Tenant"]) -> float:
    """Make this a Redis that is in use; return since when (monotonic), minus infinity where nobody loads anything."""
    from cachectl import cache  # noqa: PLC0415  models, which need the settings

    cache.ensure_generations()
    return time.monotonic() if tenants else -inf
