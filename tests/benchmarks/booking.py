"""The cost of a booking: our share of its time, the wait of others, and further requests to Cal.com."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from script.lib.agent import Agent
from script.lib.environment import BOOK, CONSISTENT_AFTER, Environment, window
from script.lib.measurements import Measurement, median
from script.lib.processes import HarnessError

RUNS, BOOKINGS_PER_RUN = 3, 30
BOOKINGS = 50
CALLERS = 8
# Seconds in which a booking could still cause requests; a busy calendar must not be loaded because of it.
AFTERMATH = 60.0


def measure(env: Environment) -> dict[str, Measurement]:
    """Measure own time, waits, and requests caused."""
    middles = [median(own_ms(env, BOOKINGS_PER_RUN, 3 + run)) or 0.0 for run in range(RUNS)]
    caused = _caused(env)
    beyond = f"beyond one load of the event type; {caused['two-hosts']} in all"
    return {
        "waits_caused_by_booking": Measurement(_waits(env), f"{CALLERS} callers ask while others book"),
        "booking_own_p50_ms": Measurement(median(middles), f"median of {RUNS} runs of {BOOKINGS_PER_RUN}"),
        "requests_caused_by_booking": Measurement(caused["alone"], f"{BOOKINGS} bookings, one host"),
        "requests_caused_by_booking_two_hosts": Measurement(max(0, caused["two-hosts"] - 1), beyond),
    }


def book(env: Environment, agent: Agent, slug: str, start: str) -> float:
    """Book on the agent's connection; return the seconds it took. Raises `HarnessError` unless it is booked."""
    answer = env.book(agent, slug, start)
    if answer.status != 201:
        raise HarnessError(f"Booking {slug} was answered {answer.status}: {str(answer.body)[:200]}")
    return answer.duration


def own_ms(env: Environment, bookings: int, ahead: int) -> list[float]:
    """Book slots of the day `ahead`, one after the other; return the milliseconds that were not Cal.com's."""
    with env.agent() as agent:
        free = env.free_slots(agent, "own", ahead=ahead)[:bookings]
        seen = len(env.simulator.requests(BOOK))
        durations = [book(env, agent, "own", start) for start in free]
    remote = [each["answered_at"] - each["arrived_at"] for each in env.simulator.requests(BOOK)[seen:]]
    if len(remote) != len(durations) or len(durations) < bookings:
        raise HarnessError(f"{len(durations)} bookings, of which Cal.com saw {len(remote)}")
    return [(whole - theirs) * 1000 for whole, theirs in zip(durations, remote, strict=True)]


def _waits(env: Environment) -> int:
    """Have callers ask for a day without pause while others book on it; return how many answers had to wait."""
    free, over = _load(env, "waits"), Event()

    def ask(_number: int) -> list[str]:
        hits = []
        with env.agent() as agent:
            while not over.wait(0.02):
                answer = agent.get("/v1/availability", service=env.services["waits"], **window(3))
                hits.append(answer.headers.get("X-Cache-Hit", str(answer.status)))
        return hits

    env.simulator.configure(latency=1)
    try:
        with ThreadPoolExecutor(CALLERS) as pool, env.agent() as agent:
            callers = [pool.submit(ask, number) for number in range(CALLERS)]
            try:
                for start in free[:6]:
                    book(env, agent, "waits", start)
            finally:
                over.set()
    finally:
        env.simulator.configure(latency=0)
    hits = [caller.result() for caller in callers]
    if min(map(len, hits)) < 10:
        raise HarnessError("a caller asked fewer than ten times")
    return sum(hit != "true" for each in hits for hit in each)


def _caused(env: Environment) -> dict[str, int]:
    """Book fifty slots on loaded days of each event type; return how often Cal.com was asked for its slots."""
    slugs = ("alone", "two-hosts")
    free = {slug: _load(env, slug) for slug in slugs}
    before = {slug: env.slot_requests(slug) for slug in slugs}
    seen, began = len(env.simulator.requests(BOOK)), time.monotonic()

    def book_alone(slug: str, start: str) -> None:
        with env.agent() as agent:
            book(env, agent, slug, start)

    with ThreadPoolExecutor(CALLERS) as pool:
        booked = [pool.submit(book_alone, slug, start) for slug in slugs for start in free[slug][:BOOKINGS]]
        for each in booked:
            each.result()
    time.sleep(max(0.0, began + AFTERMATH - time.monotonic()))
    if len(env.simulator.requests(BOOK)) - seen != BOOKINGS * len(slugs):
        raise HarnessError("Cal.com has not seen each booking exactly once")
    return {slug: env.slot_requests(slug) - before[slug] for slug in slugs}


def _load(env: Environment, slug: str) -> list[str]:
    """Have two days loaded and stored; return their free slots."""
    with env.agent() as agent:
        env.free_slots(agent, slug, days=2)
        time.sleep(CONSISTENT_AFTER)
        return env.free_slots(agent, slug, days=2)
