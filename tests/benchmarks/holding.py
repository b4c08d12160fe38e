"""How long a search takes without a request to Cal.com: ranked, held where the slot is free, and put into words."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import count, cycle, islice

from script.lib.agent import Agent, Answer
from script.lib.environment import CONSISTENT_AFTER, Environment
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError

SLUG = "held"
SEARCHES = 150
"""Of each kind; each is another phone call's."""
_calls = count()


def measure(env: Environment) -> dict[str, Measurement]:
    """Search free slots, which are held, and then the same, for which alternatives are ranked."""
    with env.agent() as agent:
        free = _load(env, agent)
        asked = env.slot_requests(SLUG)
        held = _times(env, agent, free[:SEARCHES], _is_held)
        ranked = _times(env, agent, islice(cycle(free[: len(held)]), SEARCHES), _is_ranked)
        if env.slot_requests(SLUG) != asked:
            raise HarnessError("Cal.com was asked; this is about loaded days")
    slowest = max(percentile(held, 0.95) or 0.0, percentile(ranked, 0.95) or 0.0)
    medians = f"held {percentile(held, 0.5):.1f} and ranked {percentile(ranked, 0.5):.1f} at the median"
    return {"search_p95_ms": Measurement(slowest, f"{len(held)} held, {len(ranked)} ranked; {medians}")}


def _load(env: Environment, agent: Agent) -> list[str]:
    """Have two weeks loaded and stored; return the free slots, those of different days in turn."""
    env.free_slots(agent, SLUG, days=14, ahead=0)
    time.sleep(CONSISTENT_AFTER)
    free = [datetime.fromisoformat(start) for start in env.free_slots(agent, SLUG, days=8, ahead=2)]
    return [start.isoformat() for start in sorted(free, key=lambda start: (start.time(), start.date()))]


def _times(env: Environment, agent: Agent, starts: Iterable[str], expected: Callable[[Answer], bool]) -> list[float]:
    """Search each start in a conversation of its own; return the milliseconds."""
    times = []
    for start in starts:
        call = agent.post("/v1/conversations", {"platform": "bench", "call_id": f"search-{next(_calls)}"})
        search = {"service": env.services[SLUG], "when": {"windows": [{"from": start}]}, "hold": "exact_match"}
        answer = agent.post("/v1/availability/search", search | {"conversation_id": call.body["conversation_id"]})
        if not expected(answer):
            raise HarnessError(f"A search was answered {answer.status}: {str(answer.body)[:300]}")
        times.append(answer.duration * 1000)
    return times


def _is_held(answer: Answer) -> bool:
    return answer.status == 200 and answer.code == "available" and answer.body["hold"] is not None


def _is_ranked(answer: Answer) -> bool:
    return answer.status == 200 and answer.code == "alternatives" and len(answer.body["offers"]) == 3
