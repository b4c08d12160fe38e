"""What a booking costs: our share of its time, the others' wait, and requests to Cal.com beyond itself."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event

from script.lib.environment import BELIEVED
from script.lib.measurements import Found, Promise, median
from script.lib.processes import StageError
from tests.benchmarks.environment import Ground

PROMISES = {
    "waits_caused_by_booking": Promise("callers", 0),
    "booking_own_p50_ms": Promise("ms", 30),
    "requests_caused_by_booking": Promise("requests", 0),
    "requests_caused_by_booking_two_hosts": Promise("requests", 0),
}
BOOK = "POST /v2/bookings"
RUNS, BOOKINGS_PER_RUN = 3, 30
BOOKINGS = 50
CALLERS = 8
# Seconds in which a booking could still cause requests; a busy calendar must not be asked because of it.
AFTERMATH = 60.0


def measure(ground: Ground) -> dict[str, Found]:
    """Measure own time, waits, and requests caused."""
    own = [own_times(ground, BOOKINGS_PER_RUN, 3 + run) for run in range(RUNS)]
    middles = [middle for times in own if (middle := median(times)) is not None]
    caused = _caused(ground)
    beyond = f"beyond one load of the event type; {caused['two-hosts']} in all"
    return {
        "waits_caused_by_booking": Found(_waits(ground), f"{CALLERS} callers ask while others book"),
        "booking_own_p50_ms": Found(median(middles), f"median of {RUNS} runs of {BOOKINGS_PER_RUN}"),
        "requests_caused_by_booking": Found(caused["alone"], f"{BOOKINGS} bookings, one host"),
        "requests_caused_by_booking_two_hosts": Found(max(0, caused["two-hosts"] - 1), beyond),
    }


def own_times(ground: Ground, bookings: int, ahead: int) -> list[float]:
    """Book one after the other, so many days ahead; return the milliseconds that were not Cal.com's."""
    with ground.agent() as agent:
        free = ground.free(agent, "own", ahead=ahead)[:bookings]
        seen = len(ground.simulator.requests(BOOK))
        took = [ground.book(agent, "own", start) for start in free]
    calcoms = [each["answered_at"] - each["arrived_at"] for each in ground.simulator.requests(BOOK)[seen:]]
    if len(calcoms) != len(took) or len(took) < bookings:
        raise StageError(f"{len(took)} bookings, of which Cal.com saw {len(calcoms)}")
    return [(whole - theirs) * 1000 for whole, theirs in zip(took, calcoms, strict=True)]


def _waits(ground: Ground) -> int:
    """Let callers ask for a day without pause while others book on it; return how many answers had to wait."""
    with ground.agent() as agent:
        free = _warm(ground, "waits")
        over = Event()
        ground.simulator.configure(latency=1)
        try:
            with ThreadPoolExecutor(CALLERS + 1) as pool:
                callers = [pool.submit(_ask_until, ground, over) for _ in range(CALLERS)]
                for start in free[:6]:
                    ground.book(agent, "waits", start)
                over.set()
        finally:
            over.set()
            ground.simulator.configure(latency=0)
    return sum(_waited(caller) for caller in callers)


def _ask_until(ground: Ground, over: Event) -> list[str]:
    """Ask until it is over; return the `X-Cache-Hit` of each answer."""
    with ground.agent() as agent:
        first = datetime.fromisoformat(ground.free(agent, "waits")[0])
        window = {"from": first.isoformat(), "to": (first + timedelta(days=1)).isoformat()}
        hits = []
        while not over.wait(0.02):
            answer = agent.get("/v1/availability", service=ground.services["waits"], **window)
            hits.append(answer.headers.get("X-Cache-Hit", str(answer.status)))
        return hits


def _waited(caller: "Future[list[str]]") -> int:
    hits = caller.result()
    if len(hits) < 10:
        raise StageError(f"a caller asked only {len(hits)} times")
    return sum(hit != "true" for hit in hits)


def _caused(ground: Ground) -> dict[str, int]:
    """Book fifty slots on warm days of each event type; return how often Cal.com was asked for its slots."""
    slugs = ("alone", "two-hosts")
    free = {slug: _warm(ground, slug) for slug in slugs}
    before = {slug: ground.asked(slug) for slug in slugs}
    seen = len(ground.simulator.requests(BOOK))
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:
        booked = [pool.submit(_book_one, ground, slug, start) for slug in slugs for start in free[slug][:BOOKINGS]]
        for each in booked:
            each.result()
    time.sleep(max(0.0, began + AFTERMATH - time.monotonic()))
    if len(ground.simulator.requests(BOOK)) - seen != BOOKINGS * len(slugs):
        raise StageError("Cal.com has not seen each booking exactly once")
    return {slug: ground.asked(slug) - before[slug] for slug in slugs}


def _book_one(ground: Ground, slug: str, start: str) -> None:
    with ground.agent() as agent:
        ground.book(agent, slug, start)


def _warm(ground: Ground, slug: str) -> list[str]:
    """Ask for two days until they are known for good; return their free slots."""
    with ground.agent() as agent:
        ground.free(agent, slug, days=2)
        time.sleep(BELIEVED)
        return ground.free(agent, slug, days=2)
