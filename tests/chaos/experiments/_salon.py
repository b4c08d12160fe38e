"""Where parts of ours are broken: a salon whose hosts have a service each, and callers who ask for the next week."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from script.lib.environment import Ground
from script.lib.processes import StageError
from tests.chaos.callers import READ_WAIT, Caller, Callers, Heard, spelled

ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
# Days from today that callers are about.
WEEK = range(3, 10)


def dataset(hosts: int) -> Dataset:
    """Return a Cal.com with so many hosts, each with a service of fifteen minutes that nobody else gives."""
    names = [f"host-{number}" for number in range(hosts)]
    return Dataset(
        users=(
            User(1, "salon", "Salon", "Europe/Berlin", api_key="cal_salon", hours=ALWAYS),
            *(User(number, name, name, hours=ALWAYS) for number, name in enumerate(names, 2)),
        ),
        event_types=tuple(
            EventType(number, "salon", f"with-{name}", name, 15, hosts=(name,)) for number, name in enumerate(names, 1)
        ),
    )


def date(ahead: int) -> str:
    """Return the date so many days from today."""
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()


class Questions:
    """What callers ask: for the times of a day, or for a time; each call is about another service and day."""

    def __init__(self, here: Ground, services: Sequence[str] = ()) -> None:
        """Ask for these services, or all there are."""
        self._services = list(services or here.tenant().services.values())

    def ask(self, caller: Caller) -> None:
        """Ask for the times of a day."""
        service, day = self._any(caller)
        caller.get("ask", "/v1/availability", service=service, date=day)

    def search(self, caller: Caller) -> None:
        """Search for a time; each offer is a row."""
        service, day = self._any(caller)
        question = {"service": service, "when": {"date": day}}
        caller.post("search", "/v1/availability/search", question, wait=READ_WAIT)

    def _any(self, caller: Caller) -> tuple[str, str]:
        number = caller.number + caller.calls
        return self._services[number % len(self._services)], date(WEEK[number % len(WEEK)])


def look(caller: Caller) -> None:
    """Ask how we are, as a load balancer does and as a person does."""
    caller.get("ready", "/health/ready")
    caller.get("health", "/health")


def free(here: Ground) -> dict[str, list[str]]:
    """Return the free times of the week by service, the first one last; from now on they are known."""
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=WEEK[0])
    window = {"from": first.isoformat(), "to": (first + timedelta(days=len(WEEK))).isoformat()}
    found = {}
    with here.agent() as agent:
        for service in here.tenant().services.values():
            answer = agent.get("/v1/availability", service=service, **window)
            if answer.status != 200 or not answer.body["slots"]:
                raise StageError(f"Nothing is free: {answer.status} {str(answer.body)[:200]}")
            found[service] = [slot["start"] for slot in answer.body["slots"]][::-1]
    return found


def during(
    callers: Callers, what: str, fault: AbstractContextManager[object], seconds: float, *, after: float = 0.0
) -> list[Heard]:
    """
    Break something for a while; return what was said to those who asked meanwhile.

    Args:
        callers: who asks.
        what: what is broken, for the ledger.
        fault: the context in which it is.
        seconds: for how long.
        after: seconds in which who asked last is answered.
    """
    with fault:
        began = time.monotonic()
        time.sleep(seconds)
        until = time.monotonic()
    time.sleep(after)
    heard = callers.heard(began, until)
    print(f"  {what}, {seconds:.0f} s", *spelled(heard), sep="\n", flush=True)
    return heard


def differences(here: Ground, told: Sequence[str] = (), *, within: float) -> list[str]:
    """Wait until everything has come to its end; return what differs between us and Cal.com, and what was told."""
    from tests.chaos import consistency  # noqa: PLC0415  models, which need the settings

    here.stage.wait_until(lambda: not consistency.left_over(), what="Not everything came to its end", within=within)
    found = consistency.balance(here.simulator, told=told).lines
    print("\n".join(f"  !!! {line}" for line in found) or "  here and at Cal.com it is the same", flush=True)
    return found
