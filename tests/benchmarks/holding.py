"""How long a search takes that Cal.com is not asked for: ranked, held where the time is free, and said."""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count

from script.lib.agent import Agent, Answer
from script.lib.environment import BELIEVED
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground

PROMISES = {"search_p95_ms": Promise("ms", 25)}
SLUG = "held"
SEARCHES = 150
"""Of each kind; each is another phone call's."""
_calls = count()


def measure(ground: Ground) -> dict[str, Found]:
    """Ask for times that are free, which are held, and for times that are taken, instead of which others are ranked."""
    with ground.agent() as agent:
        free = _warm(ground, agent)
        asked = ground.asked(SLUG)
        held = _times(ground, agent, free[:SEARCHES], _is_held)
        ranked = _times(ground, agent, _repeated(free[: len(held)]), _is_ranked)
        if ground.asked(SLUG) != asked:
            raise StageError("Cal.com was asked; this is about what is known")
    slowest = max(percentile(held, 0.95) or 0.0, percentile(ranked, 0.95) or 0.0)
    middle = f"held {percentile(held, 0.5):.1f} and ranked {percentile(ranked, 0.5):.1f} at the median"
    return {"search_p95_ms": Found(slowest, f"{len(held)} held, {len(ranked)} ranked; {middle}")}


def _warm(ground: Ground, agent: Agent) -> list[str]:
    """Have two weeks loaded and believed; return the free times, those of different days in turn."""
    ground.free(agent, SLUG, days=14, ahead=0)
    time.sleep(BELIEVED)
    free = [datetime.fromisoformat(start) for start in ground.free(agent, SLUG, days=8, ahead=2)]
    return [start.isoformat() for start in sorted(free, key=lambda start: (start.time(), start.date()))]


def _repeated(starts: list[str]) -> Iterator[str]:
    return (starts[number % len(starts)] for number in range(SEARCHES))


def _times(ground: Ground, agent: Agent, starts: Iterable[str], right: Callable[[Answer], bool]) -> list[float]:
    """Search for each start in a call of its own; return the milliseconds, all of them ours."""
    times = []
    for start in starts:
        answer = _search(ground, agent, start)
        if not right(answer):
            raise StageError(f"Searching was answered {answer.status}: {str(answer.body)[:300]}")
        times.append(answer.took * 1000)
    return times


def _search(ground: Ground, agent: Agent, start: str) -> Answer:
    call = agent.post("/v1/conversations", {"platform": "bench", "call_id": f"search-{next(_calls)}"})
    wish = {"service": ground.services[SLUG], "when": {"windows": [{"from": start}]}, "hold": "exact_match"}
    return agent.post("/v1/availability/search", wish | {"conversation_id": call.body["conversation_id"]})


def _is_held(answer: Answer) -> bool:
    return answer.status == 200 and answer.body["status"] == "available" and answer.body["hold"] is not None


def _is_ranked(answer: Answer) -> bool:
    return answer.status == 200 and answer.body["status"] == "alternatives" and len(answer.body["offers"]) == 3
