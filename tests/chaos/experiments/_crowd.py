"""What the races have in common: the days they are about, many who ask at the same moment, and how they ask."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

from script.lib.agent import Agent, Answer
from script.lib.environment import Ground

T = TypeVar("T")

# Seconds that everybody waits for an answer: all ask at once, and web's threads take one after the other.
PATIENCE = 60.0
# Day by day the same slots: ten hours of half hours. Each race has days of its own.
DAYS_AHEAD = 3


def at(day: int, minutes: int) -> datetime:
    """Return a moment so many minutes after nine o'clock of a day."""
    nine = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    return nine + timedelta(days=DAYS_AHEAD + day, minutes=minutes)


def at_once(here: Ground, number: int, ask: Callable[[Agent, int], T], url: str = "") -> list[T]:
    """Have so many ask at the same moment, each on a connection that stands already; return what they got."""
    ready = Barrier(number)

    def run(which: int) -> T:
        with here.agent(url=url, patience=PATIENCE) as agent:
            agent.get("/health/live")
            ready.wait(PATIENCE)
            return ask(agent, which)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def book(here: Ground, agent: Agent, slug: str, start: datetime, key: str) -> Answer:
    """Book a slot by its time, to its end within eight seconds."""
    wish = {"service": here.tenant().services[slug], "start": start.isoformat(), "caller": {"name": "Ada Byron"}}
    return agent.post("/v1/bookings", wish, Idempotency_Key=key, Prefer="wait=8")


def spelled(counts: "Counter[int]") -> str:
    """Write what came how often."""
    return ", ".join(f"{number} times {what}" for what, number in sorted(counts.items()))
