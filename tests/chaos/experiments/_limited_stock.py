"""The sale: 200 callers for the 20 slots of one host, half of them with twins and retries."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from threading import Barrier
from typing import Any

from script.lib.agent import Agent, Answer, UnansweredError
from script.lib.environment import Ground
from script.lib.measurements import Found
from script.lib.processes import StageError
from tests.chaos.experiments._crowd import PATIENCE, at, spelled

CALLERS, SLOTS = 200, 20
# Seconds after which an impatient caller's platform sends the request once more.
IMPATIENT = 0.4
HALF_HOUR = timedelta(minutes=30)
_wishes = count()


def sale(here: Ground, chance: Random) -> tuple[dict[str, Found], list[str]]:
    """
    Let everybody want one of the slots of a day, and go on to what they are offered instead until nothing is left.

    Returns what was found, and the bookings that callers were told of.
    """
    callers = _callers(here, chance)
    began = time.monotonic()
    _buy(callers)
    took = time.monotonic() - began
    told = [id_ for caller in callers for id_ in caller.booked]
    statuses = Counter(status for caller in callers for status in caller.statuses)
    sold = [each for each in here.simulator.bookings() if each["status"] == "accepted"]
    writes = here.simulator.count("POST /v2/bookings")
    print(
        f"  sale: {CALLERS} callers were answered {spelled(statuses)} in {took:.1f} s, and told of {len(told)} bookings"
    )
    print(f"  sale: Cal.com saw {writes} writes and has {len(sold)} bookings")
    if len(set(told)) != len(told) or any(len(caller.booked) > 1 for caller in callers):
        raise StageError("Two callers were told of one booking, or one caller of two.")
    if 500 in statuses:
        raise StageError(f"Somebody was answered with a failure: {spelled(statuses)}.")
    remark = f"{SLOTS} slots, {CALLERS} callers, {writes} writes, {len(told)} told so"
    return {"race_bookings": Found(len(sold), remark)}, told


def _callers(here: Ground, chance: Random) -> "list[_Caller]":
    """Return them: ten for each slot, of which half hold before they book, and half have twins."""
    wishes = [number % SLOTS for number in range(CALLERS)]
    chance.shuffle(wishes)
    return [
        _Caller(here, number, at(0, 0) + wish * HALF_HOUR, holds=number % 4 >= 2, twins=number % 2 == 1)
        for number, wish in enumerate(wishes)
    ]


def _buy(callers: "Sequence[_Caller]") -> None:
    ready = Barrier(len(callers))

    def call(caller: _Caller) -> None:
        with caller.on_the_line():
            ready.wait(PATIENCE)
            caller.buy()

    with ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(call, callers))


@dataclass
class _Caller:
    """Somebody on the phone who takes what is offered, until there is nothing."""

    here: Ground
    number: int
    start: datetime
    """What is wanted next."""
    holds: bool
    """Whether a slot is searched and held before it is booked; else it is booked by its time."""
    twins: bool
    """Whether the platform sends each booking twice at once, and again when it is not answered at once."""
    statuses: list[int] = field(default_factory=list)
    booked: set[str] = field(default_factory=set)

    @contextmanager
    def on_the_line(self) -> Iterator[None]:
        """Have connections: one to ask on, and one for the twin."""
        agents = (self.here.agent(patience=PATIENCE) for _ in range(2))
        with next(agents) as self._agent, next(agents) as self._second, ThreadPoolExecutor(1) as self._pool:
            for agent in (self._agent, self._second):
                agent.get("/health/live")
            call = self._agent.post("/v1/conversations", {"platform": "sale", "call_id": f"call-{self.number}"})
            self._call = {"conversation_id": call.body["conversation_id"]}
            yield

    def buy(self) -> None:
        """Ask for the slot, and after each no for one of those that were offered instead."""
        while not self.booked:
            answer = self._hold_and_book() if self.holds else self._book()
            self._note(answer)
            others = self._others(answer)
            if not others:
                return
            self.start = others[self.number % len(others)]

    def _book(self) -> Answer:
        """Book the slot by its time, under a key of its own."""
        wish = {"service": self._service, "start": self.start.isoformat(), "caller": self._who}
        return self._ask(wish, Idempotency_Key=f"sale-{next(_wishes)}")

    def _hold_and_book(self) -> Answer:
        """Search for the slot with a hold, and book that."""
        when = {"windows": [{"from": self.start.isoformat()}]}
        question = {"service": self._service, "when": when, "hold": "exact_match", **self._call}
        found = self._until_known(self._agent, "/v1/availability/search", question, {})
        if found.status != 200 or found.body["hold"] is None:
            return found
        return self._ask({"confirm_token": found.body["hold"]["confirm_token"], "caller": self._who, **self._call})

    def _ask(self, wish: dict[str, Any], **headers: str) -> Answer:
        """Send a booking, with twins twice at once, and go on asking until each says what became of it."""
        twin = self._pool.submit(self._impatiently, wish, headers) if self.twins else None
        answer = self._until_known(self._agent, "/v1/bookings", wish, headers)
        if twin is not None:
            self._note(twin.result())
        return answer

    def _impatiently(self, wish: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Ask, hang up before the answer, and ask the same again."""
        with self.here.agent(patience=IMPATIENT) as hasty, suppress(UnansweredError):
            hasty.post("/v1/bookings", wish, Prefer="wait=8", **headers)
        return self._until_known(self._second, "/v1/bookings", wish, headers)

    def _until_known(self, agent: Agent, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = agent.post(path, body, Prefer="wait=8", **headers)
            self.statuses.append(answer.status)
            if answer.status != 202 and not answer.body.get("retryable"):
                return answer
            time.sleep(0.1)
        raise StageError(f"Nobody told caller {self.number} in {PATIENCE:.0f} s what became of {path}.")

    def _note(self, answer: Answer) -> None:
        if answer.status in (200, 201) and "booking" in answer.body:
            self.booked.add(answer.body["booking"]["id"])

    def _others(self, answer: Answer) -> list[datetime]:
        """Return what was offered instead on the day of the sale."""
        offered = answer.body.get("offers") or answer.body.get("alternatives") or []
        starts = [datetime.fromisoformat(each["start"]) for each in offered]
        return [start for start in starts if start.astimezone(UTC).date() == at(0, 0).date()]

    @property
    def _service(self) -> str:
        return self.here.tenant().services["sale"]

    @property
    def _who(self) -> dict[str, str]:
        return {"name": "Ada Byron", "phone": f"+4915112{self.number:06d}"}
