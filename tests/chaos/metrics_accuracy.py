"""
Metrics: web and workers count together, lose nothing when one is killed, and answer while a server hangs.

Counters are compared with what the simulator saw and with our rows.
"""

import os
import re
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from cachectl.models import CacheInvalidation
from script.lib import programs
from script.lib.agent import request
from script.lib.environment import Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement
from script.lib.processes import Child, HarnessError
from tests.chaos import outages

PATHS = ("/metrics", "/performance-metrics")
CALLERS = 6
BOOKINGS = 3
"""Of each caller."""
_SAMPLE = re.compile(r"^(slotline_\w+?(?:_total|_count|_sum|_bucket))(\{.*\})? ([0-9.e+]+)$", re.MULTILINE)
_NOT_SENT = ('outcome="throttled"', 'outcome="circuit_open"')
_Counts = Mapping[str, float]


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Have callers ask and book, compare the counts; then kill processes that count, and pause servers."""
    dataset = calcom_data({"metrics": {f"type-{number}": () for number in range(1, CALLERS + 1)}})
    with servers.environment(dataset, limit=1000, seed=seed) as env:
        before = _stable_counts(env)
        answered = _call(env, questions=200 if full else 20)
        after = _stable_counts(env)
        missed = _missed(env, {line: count - before.get(line, 0) for line, count in after.items()}, answered)
        lost = _lost_by_kill(env, after)
        slowest = max(_slowest_while(env, env.supervisor.child(name)) for name in ("redis", "postgres"))
    return {
        **missed,
        "figures_lost_by_kill": Measurement(lost, "a process of web and two workers, kill -9"),
        "figures_in_outage_s": Measurement(slowest, " and ".join(PATHS)),
    }


def _call(env: Environment, questions: int) -> int:
    """Have each caller ask about an event type and book it; return how many questions were answered."""

    def call(number: int) -> int:
        slug = f"type-{number}"
        with env.agent() as agent:
            for _ in range(questions):
                env.free_slots(agent, slug)
            # The event types share their host, so each caller books other hours.
            for hour in range(BOOKINGS):
                start = midnight(3) + timedelta(hours=number * BOOKINGS + hour)
                env.book(agent, slug, start.isoformat())
        return questions

    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(call, range(1, CALLERS + 1)))


def _missed(env: Environment, counts: _Counts, answered: int) -> dict[str, Measurement]:
    """Compare counts with what Cal.com, the callers and our rows say."""
    sent = _total(counts, "slotline_calcom_requests_total", without=_NOT_SENT)
    seen = env.simulator.count()
    answers = _total(counts, "slotline_availability_answers_total")
    days = _total(counts, "slotline_cache_invalidations_total")
    written = sum(row.days for row in CacheInvalidation.objects.all())
    booked = _total(counts, "slotline_operations_total", having='operation="create",outcome="done"')
    enough = booked == CALLERS * BOOKINGS and written
    return {
        "figures_missed_requests": Measurement(abs(sent - seen), f"of {seen}"),
        "figures_missed_answers": Measurement(abs(answers - answered), f"of {answered}, by two processes of web"),
        "figures_missed_days": Measurement(abs(days - written) if enough else None, f"of {written}, by workers"),
    }


def _lost_by_kill(env: Environment, before: _Counts) -> float:
    """Kill a process of web and two workers; return by how much totals fell."""
    supervisor, web = env.supervisor, env.supervisor.child("web")
    victim = _children(web)[0]
    os.kill(victim, signal.SIGKILL)
    for name in ("worker-cache", "worker-bookings"):
        worker = supervisor.child(name)
        supervisor.kill(worker)
        supervisor.restart(worker)
    supervisor.wait_until(
        lambda: victim not in _children(web) and len(_children(web)) == 2, what="No successor", within=20
    )
    programs.wait_for_web(supervisor, env.url)
    programs.wait_for_workers(supervisor)
    after = _counts(env)
    return sum(max(0.0, count - after.get(line, 0)) for line, count in before.items())


def _children(child: Child) -> list[int]:
    pid = child.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _slowest_while(env: Environment, server: Child) -> float:
    """Return the seconds of the slowest scrape while a server hangs."""
    with outages.hanging(server):
        durations = []
        for path in PATHS * 3:
            began = time.monotonic()
            _read(env, path)
            durations.append(time.monotonic() - began)
        return max(durations)


def _stable_counts(env: Environment) -> _Counts:
    """Return the counts as soon as they do not change any more."""
    for _ in range(60):
        seen, counts = env.simulator.count(), _counts(env)
        time.sleep(1.5)
        if counts == _counts(env) and seen == env.simulator.count():
            return counts
    raise HarnessError("Counts went on changing for a minute and a half.")


def _counts(env: Environment) -> _Counts:
    """Return all totals; scrapes themselves are not counted."""
    return {f"{name}{labels}": float(count) for name, labels, count in _SAMPLE.findall(_read(env, "/metrics"))}


def _total(counts: _Counts, name: str, *, having: str = "", without: tuple[str, ...] = ()) -> float:
    lines = (line for line in counts if line.partition("{")[0] == name and having in line)
    return sum(counts[line] for line in lines if not any(word in line for word in without))


def _read(env: Environment, path: str) -> str:
    status, _, content = request(env.url, "GET", path)
    if status != 200:
        raise HarnessError(f"{path} was answered {status}.")
    return content.decode()
