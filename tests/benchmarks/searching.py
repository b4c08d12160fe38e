"""How often Cal.com is asked: by a hundred callers at once, and for two weeks."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from script.lib.environment import Environment
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError
from tests.benchmarks.dataset import COLD

CALLERS = 100


def measure(env: Environment) -> dict[str, Measurement]:
    """Count the requests of cold and of warm questions."""
    env.simulator.configure(latency=1)  # as slow as Cal.com, so that callers wait for each other
    try:
        url = env.start_web(processes=4, threads=64)
        cold = [_at_once(env, url, slug) for slug in COLD]
        with env.agent() as agent:
            env.free_slots(agent, "search", days=14)
            first = env.slot_requests("search")
            env.free_slots(agent, "search", days=14)
            second = env.slot_requests("search") - first
    finally:
        env.simulator.configure(latency=0)
    return {
        "cold_100_callers_requests": Measurement(max(cold), f"worst of {len(cold)} runs, 4 processes"),
        "search_14_days_requests_cold": Measurement(first),
        "search_14_days_requests_warm": Measurement(second),
    }


def _at_once(env: Environment, url: str, slug: str) -> int:
    """Have a hundred callers ask for a cold event type at once; return how often Cal.com was asked."""
    ready = Barrier(CALLERS)

    def ask(_number: int) -> tuple[str, ...]:
        with env.agent(url=url) as agent:
            agent.get("/health/live")
            ready.wait(30)
            return tuple(env.free_slots(agent, slug))

    with ThreadPoolExecutor(CALLERS) as pool:
        answers = set(pool.map(ask, range(CALLERS)))
    if len(answers) != 1:
        raise HarnessError(f"{CALLERS} callers got {len(answers)} different answers")
    return env.slot_requests(slug)
