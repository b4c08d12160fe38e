"""
kill -9 of each process at each step of a booking, a move and a cancellation: nothing is lost, and nothing doubled.

Experiments 3 and 4 among them. Wishes are brought to stand at each step: in our processes where a file says so
(`tests.chaos.failpoints`), at Cal.com by the simulator's faults. Then a process dies, everybody else is let go, and it
comes back. The callers ask again until they know; the ledger compares what Cal.com has, what our rows say, and what
they were told.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.db import connections

from calcom.http.parsing import METADATA_KEY
from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, SimulatorClient, User
from script.lib import environment, programs, webhooks
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError, answers
from script.lib.servers import accepts
from tests.chaos.experiments._crash_points import InWeb, InWorker, Standstill, Unpublished, midnight
from tests.chaos.experiments._requests import Callers
from tests.chaos.failpoints.files import HALTS, Halts

if TYPE_CHECKING:
    from tests.chaos.experiments._outcomes import Death  # models, which need the settings

PROMISES = {
    "kill9_lost": Promise("wishes", 0),
    "kill9_double": Promise("bookings", 0),
    "kill9_settle_s": Promise("s", 90),
    "kill9_swept_s": Promise("s", 10),
}
# First what only a sweep finds: any message about a later wish would take it along. Then the worker: what it leaves
# undone is left to it for longest. Redis last: until its memory is whole again, Cal.com is asked for lists less often
# than this experiment asks.
DEATHS: tuple[tuple[str, type[Standstill]], ...] = (
    ("web", Unpublished),
    ("worker-bookings", InWorker),
    ("web", InWeb),
    ("postgres", InWeb),
    ("beat", InWeb),
    ("redis", InWeb),
)
# Those during whose death Cal.com's webhooks are on; otherwise nobody tells us what happened there.
TOLD_BY_WEBHOOKS = ("postgres", "beat")
BACK_WITHIN, SETTLED_WITHIN = 60.0, 180.0


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Kill one process after the other; in full only when the last one's wishes have come to their end."""
    with tempfile.TemporaryDirectory(prefix="slotline-halts-") as folder, _brought_up(folder) as here:
        callers, deaths = Callers(here), []
        try:
            for number, (victim, kind) in enumerate(DEATHS * (3 if full else 1)):
                stood = kind(here, Halts(Path(folder)), callers, midnight(2 + number))
                deaths.append(_kill(here, victim, stood))
                if full or kind is Unpublished:
                    _settle(here, callers)
            rested_at = _settle(here, callers)
        finally:
            callers.hang_up()
        return _found(here, deaths, rested_at)


@contextmanager
def _brought_up(folder: str) -> Iterator[Ground]:
    # One account has at most half of these, and all who stand still may do so in one process.
    environ = {HALTS: folder, "CALCOM_CALL_THREADS": "64"}
    settings = "tests.chaos.failpoints.settings"
    # This is not about the limit: whoever meets it waits, which would be taken for settling.
    limit = 10_000
    with environment.brought_up(
        _dataset(), log="kills", limit=limit, threads=24, settings=settings, environ=environ
    ) as here:
        webhooks.subscribe(here.simulator.base_url, here.url, here.tenants.values())
        with here.agent() as agent:
            for service in here.tenant().services.values():
                window = {"from": midnight(1).isoformat(), "to": midnight(14).isoformat()}
                agent.get("/v1/availability", service=service, **window)
        yield here


def _dataset() -> Dataset:
    hours = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
    return Dataset(
        users=(
            User(1, "kills", "Kills", api_key="cal_kills", hours=hours),
            *(User(number, name, name, hours=hours) for number, name in enumerate(("sole", "left", "right"), 2)),
        ),
        event_types=(
            EventType(1, "kills", "single", "Single", 30, hosts=("sole",)),
            EventType(2, "kills", "pair", "Pair", 30, hosts=("left", "right")),
        ),
    )


# --- a death -------------------------------------------------------------------------------------------------------


def _kill(here: Ground, victim: str, stood: Standstill) -> "Death":
    """Bring wishes to stand at each step, kill, let everybody else go, and have the process back."""
    from tests.chaos.experiments._outcomes import Death  # noqa: PLC0415  models, which need the settings

    # A webhook that arrived first would settle an operation from the worker, and web would never come to its step.
    here.simulator.configure(webhooks="hold")
    told_before = {message["id"] for message in here.simulator.deliveries()}
    stood.prepare()
    child, beat = here.stage.child(victim), here.stage.child("beat")
    if not stood.sweeps:
        beat.process.send_signal(signal.SIGSTOP)
    stood.bring()
    for booking_id in stood.elsewhere:
        _tell_of_a_cancellation(here.simulator, booking_id)
    if victim in TOLD_BY_WEBHOOKS:
        _send_held(here.simulator, told_before)
    killed_at = time.time()
    here.stage.kill(child)
    beat.process.send_signal(signal.SIGCONT)
    stood.let_go()
    here.stage.bring_back(child, _is_back(here, victim), within=BACK_WITHIN)
    connections.close_all()  # this process's own may have died with PostgreSQL
    death = Death(victim, stood, killed_at, time.time())
    print(f"  {death.name}: killed with {len(stood.wishes)} wishes, back after {death.took:.1f} s", flush=True)
    return death


def _tell_of_a_cancellation(simulator: SimulatorClient, booking_id: str) -> None:
    """Have somebody cancel at Cal.com, and us say that we heard it."""
    (uid,) = (each["uid"] for each in simulator.bookings() if each["metadata"].get(METADATA_KEY) == booking_id)
    mode = simulator.configure()["webhooks"]
    simulator.configure(webhooks="hold")
    simulator.cancel_elsewhere(uid)
    simulator.configure(webhooks=mode)
    message = next(each for each in reversed(simulator.deliveries()) if each["uid"] == uid)
    heard = simulator.deliver(message["id"])["outcome"]
    if heard != HTTPStatus.ACCEPTED:
        raise StageError(f"A webhook was answered {heard}.")


def _send_held(simulator: SimulatorClient, told_before: set[int]) -> None:
    """Send what Cal.com has held back in this round, and hold nothing back from now on."""
    for message in simulator.deliveries():
        if message["id"] not in told_before and message["outcome"] == "held":
            simulator.deliver(message["id"])
    simulator.configure(webhooks="send")


def _is_back(here: Ground, victim: str) -> Callable[[], bool]:
    """Return how to see that the process works again."""
    redis = urlsplit(os.environ["REDIS_URL"]).port or 0
    return {
        "web": lambda: programs.is_ready(f"{here.url}/health/ready"),
        "worker-bookings": programs.all_workers_answer,
        "beat": lambda: True,
        "redis": lambda: answers(redis),
        "postgres": lambda: accepts(os.environ["DATABASE_URL"]),
    }[victim]


def _settle(here: Ground, callers: Callers) -> float:
    """Wait until everybody knows, and nothing is left to be done; return when that was."""
    from tests.chaos import consistency  # noqa: PLC0415  models, which need the settings

    def rests() -> bool:
        return not callers.waiting and not consistency.left_over()

    try:
        here.stage.wait_until(rests, what="Not everything came to its end", within=SETTLED_WITHIN)
    except StageError as exc:
        left = [*consistency.left_over(), f"{callers.waiting} callers"]
        raise StageError(f"{exc} Left: {', '.join(left)}.") from exc
    return time.time()


# --- the ledger ----------------------------------------------------------------------------------------------------


def _found(here: Ground, deaths: "list[Death]", rested_at: float) -> dict[str, Found]:
    from tests.chaos.experiments import _outcomes  # noqa: PLC0415  models, which need the settings

    books = _outcomes.reckon(here.simulator, deaths)
    for line in books.lines:
        print(f"  !!! {line}")
    settled = [(death.name, _outcomes.settled_after(death)) for death in deaths]
    unpublished = [death for death in deaths if isinstance(death.stood, Unpublished)]
    swept, owed = _outcomes.swept_after(unpublished)
    statuses = ", ".join(f"{number} times {status}" for status, number in sorted(_outcomes.told(deaths).items()))
    print(f"  callers were answered {statuses} (0 is no answer); {_outcomes.sent_again()} writes were sent again")
    print(f"  settled after {', '.join(f'{name} {seconds:.1f} s' for name, seconds in settled)}")
    wishes = sum(len(death.stood.wishes) for death in deaths)
    slowest = max(*(seconds for _, seconds in settled), rested_at - deaths[-1].back_at)
    return {
        "kill9_lost": Found(len(books.lost), f"of {wishes} wishes, in {len(deaths)} deaths"),
        "kill9_double": Found(len(books.doubled)),
        "kill9_settle_s": Found(slowest, "from its return, the slowest"),
        "kill9_swept_s": Found(swept, f"from the kill; {owed} invalidations that nobody was told of"),
    }
