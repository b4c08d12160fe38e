"""How often Cal.com is asked: by a hundred callers at once, and for two weeks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from tests.benchmarks.environment import COLD, Ground

PROMISES = {
    "cold_100_callers_requests": Promise("requests", 1),
    "search_14_days_requests_cold": Promise("requests", 1),
    "search_14_days_requests_warm": Promise("requests", 0),
}
CALLERS = 100


def measure(ground: Ground) -> dict[str, Found]:
    """Measure the requests of cold and of warm questions."""
    ground.simulator.configure(latency=1)  # as slow as Cal.com: callers must really wait for each other
    try:
        url = ground.more_web(processes=4, threads=64)
        crowds = [_crowd(ground, url, slug) for slug in COLD]
        cold, warm = _two_weeks(ground)
    finally:
        ground.simulator.configure(latency=0)
    return {
        "cold_100_callers_requests": Found(max(crowds), f"worst of {len(crowds)} runs, 4 processes"),
        "search_14_days_requests_cold": Found(cold),
        "search_14_days_requests_warm": Found(warm),
    }


def _crowd(ground: Ground, url: str, slug: str) -> int:
    """Let a hundred callers ask for a cold event type at once; return how often Cal.com was asked."""
    ready = Barrier(CALLERS)

    def call(_number: int) -> tuple[str, ...]:
        with ground.agent(url) as agent:
            agent.get("/health/live")
            ready.wait(30)
            return tuple(ground.free(agent, slug))

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = set(pool.map(call, range(CALLERS)))
    if len(answers) != 1:
        raise StageError(f"{CALLERS} callers got {len(answers)} different answers")
    return ground.asked(slug)


def _two_weeks(ground: Ground) -> tuple[int, int]:
    with ground.agent() as agent:
        ground.free(agent, "search", days=14)
        cold = ground.asked("search")
        ground.free(agent, "search", days=14)
    return cold, ground.asked("search") - cold
