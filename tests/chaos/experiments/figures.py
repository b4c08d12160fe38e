"""
Our own figures: web and workers count together, lose nothing when one is killed, and answer while something is away.

What they say is compared with what the simulator saw and with our rows: then they may bear witness elsewhere.
"""

import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from script.lib import programs
from script.lib.environment import Ground, brought_up
from script.lib.measurements import Found, Promise
from script.lib.processes import Child, StageError

PROMISES = {
    "figures_missed_requests": Promise("requests", 0),
    "figures_missed_answers": Promise("answers", 0),
    "figures_missed_days": Promise("days", 0),
    "figures_lost_by_kill": Promise("counts", 0),
    "figures_in_outage_s": Promise("s", 2.0),
}
PATHS = ("/metrics", "/performance-metrics")
CALLERS = 6
BOOKINGS = 3  # of each caller
_SAMPLE = re.compile(r"^(slotline_\w+?(?:_total|_count|_sum|_bucket))(\{.*\})? ([0-9.e+]+)$", re.MULTILINE)
_NOT_SENT = ('outcome="throttled"', 'outcome="circuit_open"')
_Counts = Mapping[str, float]


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Let callers ask and book and compare what all sides counted; then kill those who count, and stop what is read."""
    hours = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
    dataset = Dataset(
        users=(User(1, "owner", "Owner", api_key="cal_figures", hours=hours),),
        event_types=tuple(EventType(n, "owner", f"type-{n}", f"Type {n}", 30) for n in range(1, CALLERS + 1)),
    )
    with brought_up(dataset, log="figures", limit=1000, seed=seed) as ground:
        begun = _settled(ground)
        asked = _let_callers_call(ground, questions=200 if full else 20)
        counted = _settled(ground)
        found = _missed(ground, {line: count - begun.get(line, 0) for line, count in counted.items()}, asked)
        lost = _lost_by_kill(ground, counted)
        slowest = {name: _slowest_without(ground, ground.stage.child(name)) for name in ("redis", "postgres")}
    for name, seconds in slowest.items():
        print(f"  {name} silent: the slowest answer took {seconds:.2f} s")
    return {
        **found,
        "figures_lost_by_kill": Found(lost, "a process of web and two workers, kill -9"),
        "figures_in_outage_s": Found(max(slowest.values()), " and ".join(PATHS)),
    }


# --- what happens ------------------------------------------------------------------------------------------------


def _let_callers_call(ground: Ground, questions: int) -> int:
    """Let each caller ask about a service of his own, and book; return how many questions were answered."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return sum(pool.map(lambda n: _call(ground, f"type-{n}", questions), range(1, CALLERS + 1)))


def _call(ground: Ground, slug: str, questions: int) -> int:
    service = ground.tenant().services[slug]
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=3)
    window = {"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}
    with ground.agent() as agent:
        answers = [agent.get("/v1/availability", service=service, **window) for _ in range(questions)]
        if {answer.status for answer in answers} != {200}:
            raise StageError(f"Questions were answered {[answer.status for answer in answers]}.")
        # The event types share their host, so each caller books hours of his own.
        for hour in range(BOOKINGS):
            start = day + timedelta(hours=int(slug[-1]) * BOOKINGS + hour)
            wish = {"service": service, "start": start.isoformat(), "caller": {"name": "Ada Byron"}}
            agent.post("/v1/bookings", wish, Idempotency_Key=f"{slug}/{hour}", Prefer="wait=8")
    return questions


def _missed(ground: Ground, grown: _Counts, asked: int) -> dict[str, Found]:
    """Compare with what Cal.com, the callers and our rows say."""
    from cachectl.models import CacheInvalidation  # noqa: PLC0415  models, which need the settings

    sent = _total(grown, "slotline_calcom_requests_total", without=_NOT_SENT)
    seen = ground.simulator.count()
    answered = _total(grown, "slotline_availability_answers_total")
    days = _total(grown, "slotline_cache_invalidations_total")
    owed = sum(row.days for row in CacheInvalidation.objects.all())
    booked = _total(grown, "slotline_operations_total", having='operation="create",outcome="done"')
    print(f"  requests: counted {sent:.0f}, Cal.com saw {seen}; bookings: counted {booked:.0f}")
    print(f"  answers: counted {answered:.0f}, callers heard {asked}; days: counted {days:.0f}, our rows {owed}")
    enough = booked == CALLERS * BOOKINGS and owed
    return {
        "figures_missed_requests": Found(abs(sent - seen), f"of {seen}"),
        "figures_missed_answers": Found(abs(answered - asked), f"of {asked}, by two processes of web"),
        "figures_missed_days": Found(abs(days - owed) if enough else None, f"of {owed}, forgotten by workers"),
    }


def _lost_by_kill(ground: Ground, before: _Counts) -> float:
    """Kill -9 a process of web and two workers; return by how much totals fell."""
    stage, web = ground.stage, ground.stage.child("web")
    victim = _children(web)[0]
    os.kill(victim, signal.SIGKILL)
    for name in ("worker-cache", "worker-bookings"):
        worker = stage.child(name)
        stage.kill(worker)
        stage.start_again(worker)
    stage.wait_until(lambda: victim not in _children(web) and len(_children(web)) == 2, what="No successor", within=20)
    programs.wait_for_web(stage, ground.url)
    programs.wait_for_workers(stage)
    after = _counts(ground)
    fallen = {line: before[line] - after.get(line, 0) for line in before if after.get(line, 0) < before[line]}
    print(f"  after the kills {len(after)} totals stand, {len(fallen)} of {len(before)} fell")
    return sum(fallen.values())


def _slowest_without(ground: Ground, server: Child) -> float:
    """Ask for the figures while a server is silent; return the seconds of the slowest answer."""
    with _silent(server):
        return max(_timed(ground, path) for _ in range(3) for path in PATHS)


@contextmanager
def _silent(server: Child) -> Iterator[None]:
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def _children(child: Child) -> list[int]:
    pid = child.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- what is read ------------------------------------------------------------------------------------------------


def _settled(ground: Ground) -> _Counts:
    """Return what is counted, as soon as nothing happens any more that would be."""
    for _ in range(60):
        seen, counts = ground.simulator.count(), _counts(ground)
        time.sleep(1.5)
        if counts == _counts(ground) and seen == ground.simulator.count():
            return counts
    raise StageError("Something went on for a minute and a half.")


def _counts(ground: Ground) -> _Counts:
    """Return all totals; questions for the figures themselves are not counted."""
    status, body = _get(ground, "/metrics")
    if status != 200:
        raise StageError(f"/metrics was answered {status}.")
    return {f"{name}{labels}": float(count) for name, labels, count in _SAMPLE.findall(body)}


def _total(counts: _Counts, name: str, *, having: str = "", without: tuple[str, ...] = ()) -> float:
    lines = (line for line in counts if line.partition("{")[0] == name and having in line)
    return sum(counts[line] for line in lines if not any(word in line for word in without))


def _timed(ground: Ground, path: str) -> float:
    began = time.monotonic()
    status, _ = _get(ground, path)
    if status != 200:
        raise StageError(f"{path} was answered {status}.")
    return time.monotonic() - began


def _get(ground: Ground, path: str) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(ground.url).netloc, timeout=15)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
