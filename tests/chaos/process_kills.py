"""
kill -9 of each process at each step of a create, a reschedule and a cancel: nothing is lost and nothing doubled.

Requests are halted in our processes by `tests.chaos.failpoints`, at Cal.com by the simulator's faults. Then a process
is killed, everything else resumes, and it is started again, while callers repeat their requests.
"""

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connections

from bookings.models import Appointment, AppointmentState, Operation
from cachectl.models import CacheInvalidation
from calcom.http.parsing import METADATA_KEY
from calcom.models import WebhookDelivery
from calcom.simulator import SimulatorClient
from script.lib import programs
from script.lib.environment import Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError, is_listening
from script.lib.servers import is_accepting
from tests.chaos import consistency
from tests.chaos.crash_points import CANCEL, Callers, CrashPoints, InWeb, InWorker, Request, Unpublished
from tests.chaos.failpoints.points import FOLDER, Failpoints

# First what only the relay finds: a message about a later operation would process it. Then the worker: its operations
# are left to it for longest. Redis last: until its data are complete again, Cal.com is asked for lists less often than
# is done here.
KILLS: tuple[tuple[str, type[CrashPoints]], ...] = (
    ("web", Unpublished),
    ("worker-bookings", InWorker),
    ("web", InWeb),
    ("postgres", InWeb),
    ("beat", InWeb),
    ("redis", InWeb),
)
# Processes during whose absence Cal.com's webhooks are delivered.
WITH_WEBHOOKS = ("postgres", "beat")
BACK_WITHIN, SETTLED_WITHIN = 60.0, 180.0


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Kill one process after the other; in full only when all operations of the one before have settled."""
    del seed
    with tempfile.TemporaryDirectory(prefix="slotline-failpoints-") as folder, _started(servers, folder) as env:
        callers, kills = Callers(env), []
        try:
            for number, (victim, kind) in enumerate(KILLS * (3 if full else 1)):
                points = kind(env, Failpoints(Path(folder)), callers, midnight(2 + number))
                kills.append(_kill(env, victim, points))
                if full or kind is Unpublished:
                    _settle(env, callers)
            settled_at = _settle(env, callers)
        finally:
            callers.stop()
        return _measurements(env, kills, settled_at)


@dataclass(frozen=True)
class Kill:
    """One kill, in epoch seconds."""

    victim: str
    points: CrashPoints
    killed_at: float
    back_at: float


@contextmanager
def _started(servers: Servers, folder: str) -> Iterator[Environment]:
    dataset = calcom_data({"kills": {"single": ("sole",), "pair": ("left", "right")}})
    # One account has at most half of these threads, and all that are halted may be so in one process.
    environ = {FOLDER: folder, "CALCOM_CALL_THREADS": "64"}
    # This is not about the limit, whose delays would count as settling.
    with servers.environment(dataset, limit=10_000, threads=24, environ=environ) as env:
        env.subscribe_webhooks()
        with env.agent() as agent:
            for slug in env.services:
                env.free_slots(agent, slug, ahead=1, days=13)
        yield env


def _kill(env: Environment, victim: str, points: CrashPoints) -> Kill:
    """Halt requests at each step, kill, resume everything else, and start the process again."""
    # A webhook that arrived first would settle an operation in the worker, and web would never reach its step.
    env.simulator.configure(webhooks="hold")
    before = {message["id"] for message in env.simulator.deliveries()}
    points.prepare()
    child, beat = env.supervisor.child(victim), env.supervisor.child("beat")
    if not points.relay_runs:
        beat.process.send_signal(signal.SIGSTOP)
    points.halt()
    for booking_id in points.cancelled_at_calcom:
        _cancel_at_calcom(env.simulator, booking_id)
    if victim in WITH_WEBHOOKS:
        for message in env.simulator.deliveries():
            if message["id"] not in before and message["outcome"] == "held":
                env.simulator.deliver(message["id"])
        env.simulator.configure(webhooks="send")
    killed_at = time.time()
    env.supervisor.kill(child)
    beat.process.send_signal(signal.SIGCONT)
    points.resume()
    env.supervisor.restart_until_ready(child, _readiness(env, victim), within=BACK_WITHIN)
    connections.close_all()  # this process's own may have died with PostgreSQL
    return Kill(victim, points, killed_at, time.time())


def _cancel_at_calcom(simulator: SimulatorClient, booking_id: str) -> None:
    """Cancel a booking at Cal.com, and have its webhook accepted."""
    (uid,) = (each["uid"] for each in simulator.bookings() if each["metadata"].get(METADATA_KEY) == booking_id)
    mode = simulator.configure()["webhooks"]
    simulator.configure(webhooks="hold")
    simulator.cancel_elsewhere(uid)
    simulator.configure(webhooks=mode)
    message = next(each for each in reversed(simulator.deliveries()) if each["uid"] == uid)
    outcome = simulator.deliver(message["id"])["outcome"]
    if outcome != HTTPStatus.ACCEPTED:
        raise HarnessError(f"A webhook was answered {outcome}.")


def _readiness(env: Environment, victim: str) -> Callable[[], bool]:
    """Return how to see that the process works again."""
    redis = urlsplit(os.environ["REDIS_URL"]).port or 0
    return {
        "web": lambda: programs.is_ready(env.url),
        "worker-bookings": programs.all_workers_answer,
        "beat": lambda: True,
        "redis": lambda: is_listening(redis),
        "postgres": lambda: is_accepting(os.environ["DATABASE_URL"]),
    }[victim]


def _settle(env: Environment, callers: Callers) -> float:
    """Wait until every caller knows the outcome and nothing is unfinished; return when that was."""

    def is_settled() -> bool:
        return not callers.waiting and not consistency.unfinished()

    try:
        env.supervisor.wait_until(is_settled, what="Not everything settled", within=SETTLED_WITHIN)
    except HarnessError as exc:
        left = [*consistency.unfinished(), f"{callers.waiting} callers"]
        raise HarnessError(f"{exc} Left: {', '.join(left)}.") from exc
    return time.time()


def _measurements(env: Environment, kills: list[Kill], settled_at: float) -> dict[str, Measurement]:
    requests = [request for kill in kills for request in kill.points.requests]
    confirmed = {each.booking_id for each in requests if each.succeeded and each.operation != CANCEL}
    differences = consistency.compare(env.simulator, confirmed=confirmed)
    lost = [*differences.lost, *_wrong_outcomes(kills, requests), *_lost_webhooks(env.simulator)]
    slowest = max(*(_settled_after(kill) for kill in kills), settled_at - kills[-1].back_at)
    swept = [wait for kill in kills if isinstance(kill.points, Unpublished) for wait in _relayed_after(kill)]
    statuses = sum((request.statuses for request in requests), Counter[int]())
    answers = ", ".join(f"{number} times {status}" for status, number in sorted(statuses.items()))
    remark = "; ".join(lost) or f"of {len(requests)} requests, in {len(kills)} kills; answers: {answers}"
    return {
        "kill9_lost": Measurement(len(lost), remark),
        "kill9_double": Measurement(len(differences.duplicated), "; ".join(differences.duplicated)),
        "kill9_settle_s": Measurement(slowest, "the slowest, from the return of the process"),
        "kill9_swept_s": Measurement(max(swept, default=None), f"from the kill; {len(swept)} without a message"),
    }


def _wrong_outcomes(kills: list[Kill], requests: list[Request]) -> list[str]:
    """Return the requests that failed, or whose confirmed outcome is not what our rows say."""
    rows = {each.public_id: each for each in Appointment.objects.all()}
    wrong = []
    for each in requests:
        row, name = rows.get(each.booking_id), f"{each.operation} {each.number}"
        if not each.succeeded:
            last = each.outcome.body if each.outcome else None
            wrong.append(f"{name} failed: answered {dict(each.statuses)}, at last {last}")
        elif (row is not None and row.state == AppointmentState.CONFIRMED and row.start == each.target) is (
            each.operation == CANCEL
        ):
            wrong.append(f"{name} was confirmed and is {row and row.state} here")
    return wrong + [
        f"a cancellation that was accepted before {kill.victim} was killed is {rows[id_].state}"
        for kill in kills
        for id_ in kill.points.cancelled_at_calcom
        if rows[id_].state != AppointmentState.CANCELLED
    ]


def _lost_webhooks(simulator: SimulatorClient) -> list[str]:
    accepted = {(each["trigger"], each["uid"]) for each in simulator.deliveries() if each["outcome"] == 202}
    stored = set(WebhookDelivery.objects.values_list("trigger", "remote_uid"))
    return [f"an accepted webhook {trigger} is not stored" for trigger, _ in accepted - stored]


def _settled_after(kill: Kill) -> float:
    """Return the seconds from the return of the process to the end of the last operation."""
    ids = [request.booking_id for request in kill.points.requests]
    ends = Operation.objects.filter(appointment__public_id__in=ids).values_list("finished_at", flat=True)
    return max(0.0, *(end.timestamp() - kill.back_at for end in ends if end is not None))


def _relayed_after(kill: Kill) -> list[float]:
    """Return the seconds from the kill to the end of each invalidation that was pending then."""
    at = datetime.fromtimestamp(kill.killed_at, UTC)
    pending = CacheInvalidation.objects.filter(created_at__lt=at, done_at__gt=at).values_list("done_at", flat=True)
    return [done_at.timestamp() - kill.killed_at for done_at in pending if done_at]
