"""Wishes of callers who do not give up: what each asks for, and what it was told until it knew."""

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any, Self

from script.lib.agent import Agent, Answer, UnansweredError
from script.lib.environment import Ground

CREATE, MOVE, CANCEL = "create", "reschedule", "cancel"
BY = timedelta(minutes=30)
"""How far a move goes."""
# Seconds between two requests of one caller, and that one request may take.
PAUSE, WAIT = 1.0, 1
# Seconds after which a caller asks no more.
PATIENCE = 200.0


@dataclass
class Wish:
    """One change that a caller wants, under one Idempotency-Key however often it is asked for."""

    operation: str
    number: int
    start: datetime
    """When the appointment begins: the new one, or the one that is changed."""
    booking_id: str = ""
    """The one that is changed; of a new one, what the caller was told."""
    told: Answer | None = None
    """The last answer, where it said what became of it."""
    statuses: "Counter[int]" = field(default_factory=Counter)
    """Of all answers; 0 stands for none."""

    @property
    def email(self) -> str:
        """Return by which address Cal.com knows the caller."""
        return f"caller-{self.number}@example.com"

    @property
    def aim(self) -> datetime:
        """Return when the appointment begins if all goes well."""
        return self.start + BY if self.operation == MOVE else self.start

    @property
    def came_true(self) -> bool:
        """Return whether the caller was told that it is done."""
        return self.told is not None and self.told.status in (200, 201) and self.told.body["status"] != "refused"

    def ask(self, agent: Agent, service: str, wait: float = WAIT) -> Answer:
        """Ask once."""
        path, body = "/v1/bookings", self._body(service)
        if self.operation != CREATE:
            path += f"/{self.booking_id}/{'reschedule' if self.operation == MOVE else 'cancel'}"
        return agent.post(path, body, Idempotency_Key=f"{self.operation}-{self.number}", Prefer=f"wait={wait:g}")

    def _body(self, service: str) -> Mapping[str, Any]:
        if self.operation == CREATE:
            caller = {"name": "Ada Byron", "email": self.email}
            return {"service": service, "start": self.start.isoformat(), "caller": caller}
        return {"start": self.aim.isoformat()} if self.operation == MOVE else {"reason": "changed her mind"}

    def pursue(self, here: Ground, service: str, over: Event) -> Self:
        """Ask again and again, whatever dies meanwhile, until an answer says what became of it."""
        until = time.monotonic() + PATIENCE
        while not over.is_set() and time.monotonic() < until:
            try:
                with here.agent() as agent:
                    self._note(self._final(agent, self.ask(agent, service), over))
            except UnansweredError:
                self.statuses[0] += 1
            if self.told is not None:
                return self
            over.wait(PAUSE)
        return self

    def _final(self, agent: Agent, answer: Answer, over: Event) -> Answer:
        """Follow a 202 for as long as it is open."""
        self.statuses[answer.status] += 1
        location = answer.headers.get("Location", "")
        until = time.monotonic() + PATIENCE
        while answer.status == 202 or (answer.status == 200 and answer.body["status"] == "pending"):
            if over.wait(PAUSE) or time.monotonic() > until:
                break
            answer = agent.get(location)
            self.statuses[answer.status] += 1
        return answer

    def _note(self, answer: Answer) -> None:
        is_open = answer.status == 202 or answer.body.get("status") == "pending" or answer.body.get("retryable")
        if is_open:
            return
        self.told = answer
        if "booking" in answer.body:
            self.booking_id = answer.body["booking"]["id"]


@dataclass
class Callers:
    """All who are on the phone, each on a thread of its own."""

    here: Ground
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(200))
    over: Event = field(default_factory=Event)
    calls: "list[Future[Wish]]" = field(default_factory=list)

    def call(self, wish: Wish, slug: str) -> None:
        """Let a caller ask for something, until it knows what became of it."""
        self.calls.append(self.pool.submit(wish.pursue, self.here, self.here.tenant().services[slug], self.over))

    @property
    def waiting(self) -> int:
        """Return how many do not know yet."""
        return sum(not call.done() for call in self.calls)

    def hang_up(self) -> None:
        """End all calls."""
        self.over.set()
        self.pool.shutdown()
