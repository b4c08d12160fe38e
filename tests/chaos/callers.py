"""Closed-loop load while something is broken: callers who send requests again and again, and what they are answered."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Any, Self

from calcom.simulator import Dataset
from script.lib.agent import Agent, Answer
from script.lib.environment import Environment, calcom_data, midnight
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError

# Seconds that an agent waits by default: for a read, and for a write.
READ_WAIT, WRITE_WAIT = 2.0, 3.5
# Days ahead that callers ask for.
WEEK = range(3, 10)


@dataclass(frozen=True, slots=True)
class Response:
    """A response, or that there was none."""

    what: str
    sent_at: float
    """On the monotonic clock."""
    duration: float
    wait: float
    """Seconds until the deadline."""
    status: int = 0
    """0 where there was no response."""
    code: str = ""
    """Of a problem, else the `status` of the body."""
    retry_after: str = ""

    @property
    def excess(self) -> float:
        """Return the seconds beyond the deadline."""
        return max(0.0, self.duration - self.wait)

    @property
    def is_failure(self) -> bool:
        """Return whether it is a 500, or missing: neither is ever right."""
        return self.status in (0, 500)


class Caller:
    """A caller, whose responses are recorded."""

    def __init__(self, number: int, agent: Agent, responses: list[Response]) -> None:
        self.number = number
        """From 0, over all callers."""
        self.calls = 0
        self._agent = agent
        self._responses = responses

    def get(self, what: str, path: str, **query: str) -> Answer | None:
        """Send a GET; None where there was no response."""
        return self._record(what, READ_WAIT, lambda: self._agent.get(path, **query))

    def post(
        self, what: str, path: str, body: Mapping[str, Any], *, wait: float = WRITE_WAIT, **headers: str
    ) -> Answer | None:
        """Send a POST with a deadline of `wait` seconds; None where there was no response."""
        return self._record(what, wait, lambda: self._agent.post(path, body, **headers))

    def _record(self, what: str, wait: float, send: Callable[[], Answer]) -> Answer | None:
        began = time.monotonic()
        try:
            answer = send()
        except HarnessError:
            self._responses.append(Response(what, began, time.monotonic() - began, wait))
            return None
        retry_after = answer.headers.get("Retry-After", "")
        self._responses.append(Response(what, began, answer.duration, wait, answer.status, answer.code, retry_after))
        return answer


class Callers:
    """Callers on threads and connections of their own, until the context is left."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._responses: list[Response] = []
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._errors and error is None:
            raise HarnessError(f"A caller failed: {self._errors[0]!r}.") from self._errors[0]

    def start(self, action: Callable[[Caller], None], *, number: int, every: float) -> None:
        """Start callers who repeat the action every so many seconds."""
        for _ in range(number):
            caller = Caller(len(self._threads), self._env.agent(), self._responses)
            thread = threading.Thread(target=self._call, args=(action, caller, every))
            self._threads.append(thread)
            thread.start()

    def responses(self, since: float = -inf, until: float = inf) -> list[Response]:
        """Return the responses to requests of this time."""
        return [each for each in self._responses if since <= each.sent_at < until]

    def during(
        self, fault: AbstractContextManager[object] | None, seconds: float, *, after: float = 0.0
    ) -> list[Response]:
        """
        Return the responses to requests while a fault lasts.

        `after` is how many seconds later the last of them is answered.
        """
        with fault or nullcontext():
            began = time.monotonic()
            time.sleep(seconds)
            until = time.monotonic()
        time.sleep(after)
        return self.responses(began, until)

    def _call(self, action: Callable[[Caller], None], caller: Caller, every: float) -> None:
        began = time.monotonic()
        try:
            while not self._over.wait(max(0.0, began + every * caller.calls - time.monotonic())):
                action(caller)
                caller.calls += 1
        except Exception as exc:  # noqa: BLE001  raised where the context is left
            self._errors.append(exc)


# --- what they do --------------------------------------------------------------------------------------------------


def salon(hosts: int) -> Dataset:
    """Return a Cal.com with so many hosts, each with a service of fifteen minutes of its own."""
    return calcom_data({"salon": {f"with-{number}": (f"host-{number}",) for number in range(hosts)}}, minutes=15)


class Questions:
    """Availability requests, each for the next service and day."""

    def __init__(self, env: Environment, services: Sequence[str] = ()) -> None:
        self._services = list(services or env.services.values())

    def ask(self, caller: Caller) -> None:
        """List the slots of a day."""
        service, day = self._next(caller)
        caller.get("ask", "/v1/availability", service=service, date=day)

    def search(self, caller: Caller) -> None:
        """Search a day; each offer is a row."""
        service, day = self._next(caller)
        caller.post("search", "/v1/availability/search", {"service": service, "when": {"date": day}}, wait=READ_WAIT)

    def _next(self, caller: Caller) -> tuple[str, str]:
        number = caller.number + caller.calls
        return self._services[number % len(self._services)], date_ahead(WEEK[number % len(WEEK)])


def check_health(caller: Caller) -> None:
    """Ask for readiness and health, as a load balancer and as an operator do."""
    caller.get("ready", "/health/ready")
    caller.get("health", "/health")


def date_ahead(days: int) -> str:
    """Return the UTC date so many days from today."""
    return midnight(days).date().isoformat()


def load_week(env: Environment) -> dict[str, list[str]]:
    """Have the week loaded into the cache; return its free starts by service, the last one first."""
    with env.agent() as agent:
        return {
            service: env.free_slots(agent, slug, ahead=WEEK[0], days=len(WEEK))[::-1]
            for slug, service in env.services.items()
        }


# --- what is measured ----------------------------------------------------------------------------------------------


def excess_ms(responses: Sequence[Response]) -> Measurement:
    """Return the 99th percentile of the time beyond the deadlines."""
    return Measurement(percentile([each.excess * 1000 for each in responses], 0.99), f"p99 of {len(responses)}")


def failures(responses: Sequence[Response]) -> Measurement:
    """Return how many responses are a 500, or missing."""
    return Measurement(sum(each.is_failure for each in responses), f"of {len(responses)}")
