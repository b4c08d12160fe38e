"""Times that cross: fifty who book and cancel at 16:00 and 16:15 of one host, through two event types."""

import time
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from threading import Event

from script.lib.agent import Agent
from script.lib.environment import Ground
from script.lib.measurements import Found
from script.lib.processes import StageError
from tests.chaos.experiments._crowd import PATIENCE, at, at_once, book

RACERS = 50
CREATE, CANCEL = "POST /v2/bookings", "POST /v2/bookings/{uid}/cancel"
FOUR = 7 * 60
_keys = count()


def crossing(here: Ground, *, times: int) -> dict[str, Found]:
    """Let fifty book and cancel at times that overlap, and fifty more book where either of two hosts will do."""
    began = time.time()
    booked = _book_and_cancel(here, times)
    alone = _spans(here, began, CREATE, CANCEL)
    began = time.time()
    answers = at_once(here, RACERS, lambda agent, racer: book(here, agent, "either", _start(1, racer), f"or-{racer}"))
    either = _spans(here, began, CREATE)
    print(f"  crossing: {booked} booked and cancelled by {len(alone)} writes; of two hosts {len(either)} writes")
    if booked < times or [answer.status for answer in answers].count(201) != 2:
        raise StageError("Too few could book: the count of writes in flight would say nothing.")
    most = max(_most_at_once(alone), _most_at_once(either))
    return {"overlap_in_flight_max": Found(most, f"of {len(alone) + len(either)} writes for overlapping times")}


def _book_and_cancel(here: Ground, times: int) -> int:
    """Have everybody book and cancel until all together have done so often enough; return how often that was."""
    over, done = Event(), count(1)

    def run(agent: Agent, racer: int) -> int:
        slug, booked, until = ("massage", "peeling")[racer % 2], 0, time.monotonic() + PATIENCE
        while not over.wait(0.3) and time.monotonic() < until:
            answer = book(here, agent, slug, _start(0, racer), f"cross-{next(_keys)}")
            if answer.status == 201 and _cancel(agent, answer.body["booking"]["id"]):
                booked += 1
                if next(done) >= times:
                    over.set()
        return booked

    return sum(at_once(here, RACERS, run))


def _start(day: int, racer: int) -> datetime:
    return at(day, FOUR + 15 * (racer % 2))


def _cancel(agent: Agent, booking_id: str) -> bool:
    reason = {"reason": "changed her mind"}
    return agent.post(f"/v1/bookings/{booking_id}/cancel", reason, Prefer="wait=8").status == 200


def _spans(here: Ground, began: float, *operations: str) -> list[tuple[float, float]]:
    """Return from when to when Cal.com had each of the writes."""
    writes = [each for each in here.simulator.requests() if each["route"] in operations]
    return [(each["arrived_at"], each["answered_at"]) for each in writes if each["arrived_at"] >= began]


def _most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    return max((sum(first <= at < last for first, last in spans) for at, _ in spans), default=0)
