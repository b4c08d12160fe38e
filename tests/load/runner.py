"""Plays a scenario on a ground: callers come, what the scenario is about happens, and then all sides are heard."""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson

from calcom.simulator import Kind
from script.lib import environment, local, webhooks
from script.lib.processes import Child, StageError
from tests.load import dataset
from tests.load.call_log import Ledger, LedgerDamagedError, now
from tests.load.evidence import Evidence
from tests.load.queue_depth import QueueWatch
from tests.load.scenarios import QUEUED_JOBS, Run

QUEUES = ("cache", "refresh", "bookings", "webhooks", "default")
# Seconds in which calls that have begun come to an end; a booking is followed for as long as its line is patient.
CALLS_END_WITHIN = 40
# Seconds in which wishes have their outcome after the last call: absence is proven after 30 s, and sweeps come by.
SETTLED_WITHIN = 120.0
ANYTHING = "* /v2/*"
BOOK = "POST /v2/bookings"

T = TypeVar("T")


@contextmanager
def brought_up(seed: int) -> Iterator[environment.Ground]:
    """Bring up Slotline and three companies at a Cal.com that is as slow and as strict as the real one."""
    with environment.brought_up(dataset.calcom_dataset(), log="load", limit=120, latency=1.0, seed=seed) as here:
        webhooks.subscribe(here.simulator.base_url, here.url, here.tenants.values())
        yield here


def play(run: Run, here: environment.Ground, seed: int, keep: Path | None = None) -> Evidence:
    """
    Play a scenario and return what is known of it; what cannot be found out is missing, with the reason.

    `keep` is a folder for what callers were told, for Cal.com's own log, and for the bookings there and here, to look
    into what went wrong.

    Raises:
        StageError: one of Slotline's processes died, or the callers did not end.
    """
    with tempfile.TemporaryDirectory(prefix="slotline-load-") as folder:
        show = _Show(run, here, Path(folder))
        began = now()
        with QueueWatch(_broker_url(), QUEUES) as watch:
            show.perform(seed)
            ended = now()
            _let_settle()
        evidence = show.told_by_all(began, ended, watch)
        if keep is not None:
            show.keep(keep, evidence)
        return evidence


@dataclass
class _Show:
    """One performance."""

    run: Run
    here: environment.Ground
    folder: Path
    marks: dict[str, float] = field(default_factory=dict)
    jobs: list[int] = field(default_factory=list)
    """Invalidations that wait for the worker."""

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def statistics(self) -> Path:
        return self.folder / "locust.json"

    def perform(self, seed: int) -> None:
        """Let callers come, and do in their midst what the scenario is about."""
        steps: dict[str, Callable[[], None]] = {
            "stop": self._stop_clearing,
            "enqueue": self._enqueue,
            "start": self._start_clearing,
            "away": self._go_away,
            "back": self._come_back,
        }
        due = sorted((self.run.due(name), steps[name]) for name in self.run.scenario.begins or {})
        callers, began = self._call(seed), now()
        while callers.alive:
            while due and now() - began >= due[0][0]:
                due.pop(0)[1]()
            if now() - began > self.run.seconds + CALLS_END_WITHIN + 60:
                raise StageError(f"The callers did not end. The end of {callers.log}:\n{callers.last_words()}")
            time.sleep(0.05)
        self.here.stage.kill(callers)  # it has ended: nobody expects it to live any more
        self.here.stage.check()
        if callers.process.returncode not in {0, 1}:  # 1: requests failed, which is the verdict's business
            raise StageError(f"locust failed. The end of {callers.log}:\n{callers.last_words()}")

    def _call(self, seed: int) -> Child:
        options = ["--headless", "--only-summary", "--loglevel", "WARNING", "--stop-timeout", f"{CALLS_END_WITHIN}s"]
        command = [sys.executable, "-m", "locust", "--locustfile", str(local.ROOT / "locustfile.py"), *options]
        files = ["--host", self.here.url, "--json-file", str(self.statistics.with_suffix(""))]
        environ = {
            "LOAD_KEYS": ",".join(tenant.key for tenant in self.here.tenants.values()),
            "LOAD_SCENARIO": self.run.scenario.name,
            "LOAD_TIME_SCALE": str(self.run.time_scale),
            "LOAD_SECONDS": str(self.run.seconds),
            "LOAD_SEED": str(seed),
            "LOAD_LEDGER": str(self.ledger),
        }
        return self.here.stage.start("callers", [*command, *files], environ)

    # What the scenarios are about

    def _stop_clearing(self) -> None:
        """Stop the worker that forgets days, as a deployment or a crash does."""
        self._worker = self.here.stage.child("worker-cache")
        self.here.stage.kill(self._worker)

    def _enqueue(self) -> None:
        """Owe invalidations, as bookings do, and enqueue a job for each, while nobody works them off."""
        from tests.load import invalidation_jobs  # noqa: PLC0415  models, which need the settings

        self.jobs = invalidation_jobs.enqueue(QUEUED_JOBS, list(self.here.tenants.values()))

    def _start_clearing(self) -> None:
        """Start the worker again, and see when it has worked off everything."""
        from tests.load import invalidation_jobs  # noqa: PLC0415  models, which need the settings

        self.here.stage.start_again(self._worker)
        self.marks.update(invalidation_jobs.worked_off(self.jobs))

    def _go_away(self) -> None:
        """Let bookings that are on their way be made and never answered, and nothing else be answered at all."""
        self.marks["away"] = now()
        self.here.simulator.fail(BOOK, Kind.TIMEOUT_AFTER, times=3)
        self.here.simulator.fail(ANYTHING, Kind.TIMEOUT_BEFORE, times=20)
        self.here.simulator.fail(ANYTHING, Kind.ERROR_BEFORE, times=None, status=503)

    def _come_back(self) -> None:
        self.here.simulator.clear_faults()
        self.marks["back"] = now()

    # What all sides say

    def keep(self, folder: Path, evidence: Evidence) -> None:
        """Copy what was told, what Cal.com saw, and what was booked to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.ledger, folder / f"{self.run.scenario.name}-ledger.jsonl")
        seen = json.dumps(self.here.simulator.requests(), indent=1)
        (folder / f"{self.run.scenario.name}-calcom.json").write_text(seen, encoding="utf-8")
        booked = {"there": evidence.remote, "here": evidence.rows}
        (folder / f"{self.run.scenario.name}-booked.json").write_bytes(orjson.dumps(booked))

    def told_by_all(self, began: float, ended: float, watch: QueueWatch) -> Evidence:
        """Return everything that is known."""
        from tests.load import collected  # noqa: PLC0415  models, which need the settings

        missing: dict[str, str] = {}

        def heard(name: str, ask: Callable[[], T]) -> T | None:
            try:
                return ask()
            except (LedgerDamagedError, OSError, ValueError, KeyError) as exc:
                missing[name] = f"{name}: {exc!r}"
                return None

        simulator = self.here.simulator
        return Evidence(
            run=self.run,
            began=began,
            ended=ended,
            event_types=collected.event_types(self.here.tenants),
            ledger=heard("ledger", lambda: Ledger.read(self.ledger)),
            locust=heard("locust", lambda: _counted(self.statistics)),
            requests=heard("requests", lambda: collected.requests(simulator)),
            remote=heard("remote", lambda: collected.remote(simulator)),
            rows=heard("rows", collected.rows),
            depths=watch.depths or None,
            marks=self.marks,
            missing=missing,
        )


def _counted(statistics: Path) -> int:
    """Return how many requests locust's own statistics have."""
    entries = json.loads(statistics.read_text(encoding="utf-8"))
    return sum(int(entry["num_requests"]) for entry in entries)


def _let_settle() -> None:
    """Wait until our processes have nothing left to do, but not for ever: the rows will say what was not done."""
    from tests.load import collected  # noqa: PLC0415  models, which need the settings

    until = now() + SETTLED_WITHIN
    while collected.unfinished() and now() < until:
        time.sleep(0.25)


def _broker_url() -> str:
    from django.conf import settings  # noqa: PLC0415

    return str(settings.BROKER_URL)
