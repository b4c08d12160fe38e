"""Runs a scenario in an environment: starts the callers, takes the steps of the scenario, and collects evidence."""

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

import orjson
from django.conf import settings
from redis import Redis, RedisError

from cachectl import invalidation, tasks
from cachectl.models import CacheInvalidation
from calcom.models import EventType
from calcom.simulator import Kind
from script.lib import local
from script.lib.environment import BOOK, Environment, Servers, midnight
from script.lib.processes import Child, HarnessError
from tests.chaos import consistency
from tests.load import evidence, levels
from tests.load.call_log import CallLog, CallLogError, now
from tests.load.dataset import DATASET
from tests.load.evidence import Depth, Evidence
from tests.load.scenarios import QUEUED_JOBS, Run

QUEUES = ("cache", "refresh", "bookings", "webhooks", "default")
QUEUE = "cache"
# Seconds in which calls end that have begun; a caller follows a pending write for as long.
CALLS_END_WITHIN = 40
# Seconds in which operations settle after the last call: absence is proven after 30 s, and beat's tasks run.
SETTLED_WITHIN = 120.0
JOBS_DONE_WITHIN = 60.0

T = TypeVar("T")


@contextmanager
def started(servers: Servers, seed: int) -> Iterator[Environment]:
    """Start Slotline with three companies at a Cal.com that is as slow and as strict as the real one."""
    with servers.environment(DATASET, limit=120, latency=1.0, seed=seed) as env:
        env.subscribe_webhooks()
        yield env


def run(run: Run, env: Environment, seed: int, *, keep: Path | None = None, html: Path | None = None) -> Evidence:
    """
    Run a scenario and return the evidence; what cannot be found out is missing, with the reason.

    `keep` is a folder for the evidence itself, `html` one for locust's report.

    Raises:
        HarnessError: one of Slotline's processes died, or the callers did not end.
    """
    with tempfile.TemporaryDirectory(prefix="slotline-load-") as folder:
        scenario = _Scenario(run, env, Path(folder), html)
        began, counted = now(), levels.read()
        with _queue_depths() as depths:
            scenario.perform(seed)
            ended = now()
            until = now() + SETTLED_WITHIN
            while consistency.unfinished() and now() < until:  # what never settles fails rows
                time.sleep(0.25)
        counters = levels.growth(counted, levels.read())
        collected = replace(scenario.collect(began, ended, depths), counters=counters)
        if keep is not None:
            scenario.keep(keep, collected)
        return collected


@contextmanager
def _queue_depths() -> Iterator[list[Depth]]:
    """Sample the lengths of the queues while the context lasts."""
    depths: list[Depth] = []
    over = threading.Event()

    def sample() -> None:
        with Redis.from_url(settings.BROKER_URL, socket_timeout=1) as redis:
            while not over.wait(0.2):
                with suppress(RedisError):  # without any sample the row fails
                    depths.append(Depth(now(), {name: int(redis.llen(name)) for name in QUEUES}))

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield depths
    finally:
        over.set()
        sampler.join()


@dataclass
class _Scenario:
    run: Run
    env: Environment
    folder: Path
    html: Path | None
    marks: dict[str, float] = field(default_factory=dict)
    jobs: list[int] = field(default_factory=list)
    """Invalidations that wait for the worker."""

    @property
    def log(self) -> Path:
        return self.folder / "calls.jsonl"

    @property
    def statistics(self) -> Path:
        return self.folder / "locust.json"

    def perform(self, seed: int) -> None:
        """Have callers call, and take the steps of the scenario meanwhile."""
        steps: dict[str, Callable[[], None]] = {
            "stop": self._stop_worker,
            "enqueue": self._enqueue,
            "start": self._start_worker,
            "away": self._take_calcom_away,
            "back": self._bring_calcom_back,
        }
        due = sorted((self.run.due(name), steps[name]) for name in self.run.scenario.steps or {})
        callers, began = self._start_callers(seed), now()
        while callers.alive:
            while due and now() - began >= due[0][0]:
                due.pop(0)[1]()
            if now() - began > self.run.seconds + CALLS_END_WITHIN + 60:
                raise HarnessError(f"The callers did not end. The end of {callers.log}:\n{callers.log_tail()}")
            time.sleep(0.05)
        self.env.supervisor.kill(callers)  # it has ended, and is no longer expected to live
        self.env.supervisor.check()
        if callers.process.returncode not in {0, 1}:  # 1: requests failed, which rows count
            raise HarnessError(f"locust failed. The end of {callers.log}:\n{callers.log_tail()}")

    def _start_callers(self, seed: int) -> Child:
        options = ["--headless", "--only-summary", "--loglevel", "WARNING", "--stop-timeout", f"{CALLS_END_WITHIN}s"]
        command = [sys.executable, "-m", "locust", "--locustfile", str(local.ROOT / "locustfile.py"), *options]
        command += ["--host", self.env.url, "--json-file", str(self.statistics.with_suffix(""))]
        if self.html is not None:
            self.html.mkdir(parents=True, exist_ok=True)
            command += ["--html", str(self.html / f"{self.run.scenario.name}.html")]
        environ = {
            "LOAD_KEYS": ",".join(tenant.key for tenant in self.env.tenants.values()),
            "LOAD_SCENARIO": self.run.scenario.name,
            "LOAD_TIME_SCALE": str(self.run.time_scale),
            "LOAD_SECONDS": str(self.run.seconds),
            "LOAD_SEED": str(seed),
            "LOAD_LOG": str(self.log),
        }
        return self.env.supervisor.start("callers", command, environ)

    # Steps

    def _stop_worker(self) -> None:
        """Kill the worker of invalidations, as a deployment or a crash does."""
        self._worker = self.env.supervisor.child("worker-cache")
        self.env.supervisor.kill(self._worker)

    def _enqueue(self) -> None:
        """Write invalidations, of all event types in turn, and send a message for each."""
        kinds = list(EventType.objects.order_by("pk").values_list("account_id", "pk"))
        for number, (account_id, event_type_id) in enumerate(islice(cycle(kinds), QUEUED_JOBS)):
            day = midnight(1 + number // len(kinds) % 14).date()
            row = invalidation.enqueue(
                account_id=account_id,
                event_type_ids=[event_type_id],
                first=day,
                last=day,
                cause=CacheInvalidation.Cause.OWN,
            )
            self.jobs.append(row.pk)
        for pk in self.jobs:
            tasks.invalidate_range.delay(invalidation_id=pk)

    def _start_worker(self) -> None:
        """Start the worker again, and note when it takes the first message and when the last job is done."""
        self.env.supervisor.restart(self._worker)
        until = time.monotonic() + JOBS_DONE_WITHIN
        with Redis.from_url(settings.BROKER_URL, socket_timeout=1) as broker:
            waiting, taken_at = broker.llen(QUEUE), now()
            while broker.llen(QUEUE) >= waiting and time.monotonic() < until:
                taken_at = now()
                time.sleep(0.002)
        rows = CacheInvalidation.objects.filter(pk__in=self.jobs)
        while rows.filter(done_at=None).exists():
            if time.monotonic() > until:
                raise HarnessError(f"{rows.filter(done_at=None).count()} invalidations were not done in time.")
            time.sleep(0.02)
        done = [each.timestamp() for each in rows.values_list("done_at", flat=True) if each]
        self.marks.update(jobs=len(done), taken=taken_at, done=max(done))

    def _take_calcom_away(self) -> None:
        """Have bookings processed without a response, then requests hang, then all fail."""
        self.marks["away"] = now()
        self.env.simulator.fail(BOOK, Kind.TIMEOUT_AFTER, times=3)
        self.env.simulator.fail("* /v2/*", Kind.TIMEOUT_BEFORE, times=20)
        self.env.simulator.fail("* /v2/*", Kind.ERROR_BEFORE, times=None, status=503)

    def _bring_calcom_back(self) -> None:
        self.env.simulator.clear_faults()
        self.marks["back"] = now()

    # Evidence

    def collect(self, began: float, ended: float, depths: list[Depth]) -> Evidence:
        """Return the evidence of all sides."""
        missing: dict[str, str] = {}

        def read(name: str, source: Callable[[], T]) -> T | None:
            try:
                return source()
            except (CallLogError, OSError, ValueError, KeyError) as exc:
                missing[name] = f"{name}: {exc!r}"
                return None

        simulator = self.env.simulator
        return Evidence(
            run=self.run,
            began=began,
            ended=ended,
            event_types=evidence.event_types_of(self.env.tenants),
            log=read("log", lambda: CallLog.read(self.log)),
            locust=read("locust", lambda: _count_requests(self.statistics)),
            requests=read("requests", lambda: evidence.read_requests(simulator)),
            remote=read("remote", lambda: evidence.read_remote(simulator)),
            rows=read("rows", evidence.read_rows),
            depths=depths or None,
            marks=self.marks,
            missing=missing,
        )

    def keep(self, folder: Path, collected: Evidence) -> None:
        """Copy the call log, Cal.com's request log, and both sides' bookings to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        name = self.run.scenario.name
        shutil.copy(self.log, folder / f"{name}-calls.jsonl")
        seen = json.dumps(self.env.simulator.requests(), indent=1)
        (folder / f"{name}-calcom.json").write_text(seen, encoding="utf-8")
        booked = {"remote": collected.remote, "rows": collected.rows}
        (folder / f"{name}-booked.json").write_bytes(orjson.dumps(booked))


def _count_requests(statistics: Path) -> int:
    entries = json.loads(statistics.read_text(encoding="utf-8"))
    return sum(int(entry["num_requests"]) for entry in entries)
