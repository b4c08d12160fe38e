"""Requests that are halted each at another step, while a process is killed; and what becomes of them."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from threading import Event
from typing import Any, ClassVar, Self

from bookings.models import Claim
from cachectl import invalidation
from cachectl.models import CacheInvalidation
from calcom.simulator import Kind
from script.lib.agent import Agent, Answer, NoResponseError
from script.lib.environment import Environment
from script.lib.processes import HarnessError
from tests.chaos.failpoints.points import Failpoints, Role, Step

CREATE, RESCHEDULE, CANCEL = "create", "reschedule", "cancel"
AT_CALCOM = {
    CREATE: "POST /v2/bookings",
    RESCHEDULE: "POST /v2/bookings/{uid}/reschedule",
    CANCEL: "POST /v2/bookings/{uid}/cancel",
}
# Steps at Cal.com: it has not processed the request, or it has and the response is lost.
FAULTS = {"not processed": Kind.HANG, "processed": Kind.TIMEOUT_AFTER}
STEPS: tuple[str, ...] = (*Step, *FAULTS)
THREADS = 8
HALTED_WITHIN = 60.0
HALF_HOUR = timedelta(minutes=30)
# Seconds between two requests of one caller, and that one request waits.
PAUSE, WAIT = 1.0, 1
# Seconds after which a caller gives up.
PATIENCE = 200.0
_numbers = count()


@dataclass
class Request:
    """An operation that a caller wants, under one Idempotency-Key however often it is sent."""

    operation: str
    start: datetime
    """When the appointment begins: the new one, or the one that is changed."""
    number: int = field(default_factory=lambda: next(_numbers))
    booking_id: str = ""
    """Of the appointment that is changed, or of the one that was created."""
    outcome: Answer | None = None
    """The final answer."""
    statuses: "Counter[int]" = field(default_factory=Counter)
    """Of all answers; 0 stands for none."""

    @property
    def email(self) -> str:
        """Return the address by which Cal.com knows the caller."""
        return f"caller-{self.number}@example.com"

    @property
    def target(self) -> datetime:
        """Return when the appointment begins in the end."""
        return self.start + HALF_HOUR if self.operation == RESCHEDULE else self.start

    @property
    def succeeded(self) -> bool:
        """Return whether the caller was told that it is done."""
        return self.outcome is not None and self.outcome.status in (200, 201) and self.outcome.code != "refused"

    def run(self, env: Environment, service: str, over: Event) -> Self:
        """Send again and again, whatever dies meanwhile, until the answer is final."""
        until = time.monotonic() + PATIENCE
        while self.outcome is None and not over.is_set() and time.monotonic() < until:
            try:
                with env.agent() as agent:
                    self._record(self._follow(agent, self._send(agent, service), over))
            except NoResponseError:
                self.statuses[0] += 1
            if self.outcome is None:
                over.wait(PAUSE)
        return self

    def _send(self, agent: Agent, service: str) -> Answer:
        path, body = "/v1/bookings", self._body(service)
        if self.operation != CREATE:
            path += f"/{self.booking_id}/{self.operation}"
        return agent.post(path, body, Idempotency_Key=f"{self.operation}-{self.number}", Prefer=f"wait={WAIT}")

    def _body(self, service: str) -> Mapping[str, Any]:
        if self.operation == CREATE:
            caller = {"name": "Ada Byron", "email": self.email}
            return {"service": service, "start": self.start.isoformat(), "caller": caller}
        return {"start": self.target.isoformat()} if self.operation == RESCHEDULE else {"reason": "changed her mind"}

    def _follow(self, agent: Agent, answer: Answer, over: Event) -> Answer:
        """Poll the operation while it is pending."""
        self.statuses[answer.status] += 1
        location = answer.headers.get("Location", "")
        until = time.monotonic() + PATIENCE
        while answer.status == 202 or (answer.status == 200 and answer.code == "pending"):
            if over.wait(PAUSE) or time.monotonic() > until:
                break
            answer = agent.get(location)
            self.statuses[answer.status] += 1
        return answer

    def _record(self, answer: Answer) -> None:
        if answer.status == 202 or answer.code == "pending" or answer.body.get("retryable"):
            return
        self.outcome = answer
        if "booking" in answer.body:
            self.booking_id = answer.body["booking"]["id"]


@dataclass
class Callers:
    """Callers on threads of their own."""

    env: Environment
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(200))
    over: Event = field(default_factory=Event)
    calls: "list[Future[Request]]" = field(default_factory=list)

    def start(self, request: Request, slug: str) -> None:
        """Have a caller send the request until its outcome is known."""
        self.calls.append(self.pool.submit(request.run, self.env, self.env.services[slug], self.over))

    @property
    def waiting(self) -> int:
        """Return how many outcomes are not known yet."""
        return sum(not call.done() for call in self.calls)

    def stop(self) -> None:
        """End all calls."""
        self.over.set()
        self.pool.shutdown()


@dataclass
class CrashPoints(ABC):
    """The requests of one kill, on a day of their own, and where they are halted."""

    relay_runs: ClassVar[bool] = True
    """Whether beat runs meanwhile. The outbox relay takes over what is halted for long."""

    env: Environment
    failpoints: Failpoints
    callers: Callers
    day: datetime
    """Its midnight, UTC."""
    requests: list[Request] = field(default_factory=list)
    cancelled_at_calcom: list[str] = field(default_factory=list)
    """Appointments whose cancellation webhook is accepted just before the kill."""
    _faults: list[int] = field(default_factory=list)

    @abstractmethod
    def prepare(self) -> None:
        """Create what the requests need, while nothing is wrong."""

    @abstractmethod
    def halt(self) -> None:
        """Send the requests and wait until each is halted."""

    def resume(self) -> None:
        """Resume what still lives, and have Cal.com process what it holds."""
        self.failpoints.resume()
        for fault in self._faults:
            self.env.simulator.clear_faults(fault)

    def _book(self, operation: str, starts: Sequence[datetime], slug: str = "single") -> list[Request]:
        """Book appointments; return requests to change them."""

        def book(request: Request) -> Request:
            created = replace(request, operation=CREATE, statuses=Counter())
            created.run(self.env, self.env.services[slug], self.callers.over)
            if not created.succeeded:
                raise HarnessError(f"Booking before the kill was answered {dict(created.statuses)}.")
            request.booking_id = created.booking_id
            return request

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(book, [Request(operation, start) for start in starts]))

    def _halt_at(self, role: Role, request: Request, step: str, slug: str = "single") -> None:
        """Send a request that is halted at a step."""
        if step in FAULTS:
            fault = self.env.simulator.fail(AT_CALCOM[request.operation], FAULTS[step], attendee=request.email)
            self._faults.append(fault)
        else:
            self.failpoints.arm(role, request.operation, Step(step), request.target)
        self._send(request, slug)

    def _send(self, request: Request, slug: str) -> None:
        self.requests.append(request)
        self.callers.start(request, slug)

    def _wait_until_halted(self) -> None:
        simulator = self.env.simulator
        self.env.supervisor.wait_until(
            lambda: (
                not self.failpoints.missing and sum(map(simulator.in_flight, AT_CALCOM.values())) == len(self._faults)
            ),
            what="Not every request was halted",
            within=HALTED_WITHIN,
        )


class InWeb(CrashPoints):
    """
    A create, a reschedule and a cancel at each step, all of them in web.

    Only two of them are processed without a response: a third would open the circuit breaker, and later requests would
    not reach their step.
    """

    relay_runs = False

    def prepare(self) -> None:
        self.cancelled_at_calcom += [each.booking_id for each in self._book(CANCEL, [self.day.replace(hour=23)])]
        numbers = range(4, 4 + len(STEPS))
        self._reschedules = self._book(RESCHEDULE, [self.day + 2 * number * HALF_HOUR for number in numbers])
        self._cancels = self._book(CANCEL, [self.day + number * HALF_HOUR for number in range(30, 29 + len(STEPS))])

    def halt(self) -> None:
        creates = [Request(CREATE, self.day + number * HALF_HOUR) for number in range(len(STEPS))]
        for requests in (creates, self._reschedules, self._cancels):
            for request, step in zip(requests, STEPS, strict=False):
                self._halt_at(Role.WEB, request, step)
        self._wait_until_halted()


class Unpublished(CrashPoints):
    """
    A create, a reschedule and a cancel in web that are committed, and for which no message was sent.

    Nothing else happens meanwhile: a message about another operation would process theirs as well.
    """

    def prepare(self) -> None:
        (self._reschedule,) = self._book(RESCHEDULE, [self.day + 4 * HALF_HOUR])
        (self._cancel,) = self._book(CANCEL, [self.day + 8 * HALF_HOUR])
        self._wait_for_relay()  # the next run is as far away as it can be

    def halt(self) -> None:
        for request in (Request(CREATE, self.day), self._reschedule, self._cancel):
            self._halt_at(Role.WEB, request, Step.COMMITTED)
        self._wait_until_halted()

    def _wait_for_relay(self) -> None:
        """Write an invalidation without a message, and wait until the relay has processed it."""
        row = invalidation.enqueue(
            account_id=self.env.tenant().account_id,
            event_type_ids=[1],
            first=self.day.date(),
            last=self.day.date(),
            cause=CacheInvalidation.Cause.COMMAND,
        )
        done = CacheInvalidation.objects.filter(pk=row.pk, done_at__isnull=False)
        self.env.supervisor.wait_until(done.exists, what="The outbox relay did not run", within=HALTED_WITHIN)


class InWorker(CrashPoints):
    """
    A create at each step in the worker, and a reschedule at one.

    A write that is queued behind another write for the same time is left to the worker, if that takes longer than the
    caller waits.
    """

    def prepare(self) -> None:
        self.cancelled_at_calcom += [each.booking_id for each in self._book(CANCEL, [self.day.replace(hour=23)])]
        starts = [self.day + 2 * number * HALF_HOUR for number in range(len(STEPS) + 1)]
        self._queued = [Request(CREATE, start) for start in starts[:-1]]
        self._queued += self._book(RESCHEDULE, [starts[-1] - HALF_HOUR], "pair")
        ahead = [Request(CREATE, start) for start in starts]
        simulator = self.env.simulator
        self._hanging = [simulator.fail(AT_CALCOM[CREATE], Kind.HANG, attendee=each.email) for each in ahead]
        for request in ahead:
            self._send(request, "pair")
        simulator.await_in_flight(len(ahead), AT_CALCOM[CREATE])

    def halt(self) -> None:
        for request, step in zip(self._queued, (*STEPS, Step.ANSWERED), strict=True):
            self._halt_at(Role.WORKER, request, step, "pair")
        claims = Claim.objects.filter(kind=Claim.Kind.QUEUED).values("appointment").distinct()
        self.env.supervisor.wait_until(
            lambda: claims.count() == len(self._queued), what="Not every write was queued", within=HALTED_WITHIN
        )
        time.sleep(WAIT + 0.5)  # then no thread of web waits for them
        for fault in self._hanging:
            self.env.simulator.clear_faults(fault)
        self._wait_until_halted()
