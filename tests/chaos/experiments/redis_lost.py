"""
Redis has no memory left, is emptied at peak, and is killed with everything in it, while callers ask and book.

Experiments 7 to 9. What must not be lost is a row, so queues may be; what is believed about days says when it was
learnt, so nothing from before is believed afterwards; and the governor, which knows no longer what was sent, assumes
the worst.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionError as RedisConnectionError
from redis import Redis

from script.lib import environment
from script.lib.agent import Answer
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from script.lib.programs import WORKERS
from tests.chaos import outages
from tests.chaos.callers import Callers
from tests.chaos.experiments import _salon

PROMISES = {
    "cache_full_queue_lost": Promise("messages", 0),
    "cache_full_failures": Promise("answers", 0),
    "flush_loads_at_once": Promise("loads", 1),
    "redis_lost_rows": Promise("rows", 0),
    "redis_lost_believed": Promise("answers", 0),
    "redis_lost_429": Promise("answers", 0),
    "redis_lost_max_in_60s": Promise("requests", 120),
}
SLOTS = "GET /v2/slots"
JOBS, EVICTIONS = 200, 300
# Bytes above what Redis uses that it may have: enough for the answer of the moment.
ROOM = 1_000_000
NOWHERE = 10**9
"""An account and event types that nobody asks for: what fills the memory."""
# So few that what is loaded again and again is less than the governor lets through after a loss, in one minute.
HOSTS = 5
# Seconds in which the governor, which few may pass until it has seen a full window again, lets somebody load.
LOADED_WITHIN = 80.0
# Seconds after its return in which a process may leave Redis alone.
ASKED_AGAIN = 1.5
SETTLED_WITHIN = 130.0


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Take away Redis' memory, then what is in it, then both."""
    with environment.brought_up(_salon.dataset(HOSTS), log="redis-lost", latency=0.5, seed=seed, threads=16) as here:
        return _measured(here, flushes=20 if full else 3)


def _measured(here: Ground, *, flushes: int) -> dict[str, Found]:
    free = _salon.free(here)
    *services, cold = here.tenant().services.values()
    asking = _salon.Questions(here, services)
    with Callers(here) as callers:
        callers.let(asking.ask, number=15, every=0.5)
        callers.let(asking.search, number=10, every=0.5)
        filled = _filled(here, callers)
        flushed = [_flushed(here, callers) for _ in range(flushes)]
        lost = _killed(here, callers, free, cold)
    lost |= {"redis_lost_rows": Found(len(_salon.differences(here, within=SETTLED_WITHIN)))}
    seen = here.simulator.summary()
    return {
        **filled,
        **lost,
        "flush_loads_at_once": Found(max(flushed), f"of one event type; {flushes} times emptied twice"),
        "redis_lost_429": Found(seen["too_many"], f"of {sum(seen['counts'].values())}"),
        "redis_lost_max_in_60s": Found(seen["max_in_60_s"]),
    }


# --- experiment 8 --------------------------------------------------------------------------------------------------


def _filled(here: Ground, callers: Callers) -> dict[str, Found]:
    """Fill Redis until it throws days away, while messages wait in its queues."""
    from django.conf import settings  # noqa: PLC0415  needs the environment

    workers = outages.hanging(*(here.stage.child(f"worker-{name}") for name in WORKERS))
    with Redis.from_url(settings.BROKER_URL) as queues, Redis.from_url(settings.REDIS_URL) as redis, workers:
        _send_jobs(JOBS)
        waiting = _waiting(queues)
        redis.config_set("maxmemory-policy", "volatile-lfu")
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] + ROOM)
        began = time.monotonic()
        evicted = _fill(redis)
        heard = _salon.during(callers, f"Redis is full, and threw {evicted} keys away", nullcontext(), 2.0)
        left = _waiting(queues)
        redis.config_set("maxmemory", 0)
    failures = [each for each in callers.heard(began) if each.is_failure]
    gone = sum(max(0, number - left[name]) for name, number in waiting.items())
    # Each worker had asked for one before it hung.
    enough = sum(waiting.values()) >= JOBS - len(WORKERS)
    return {
        "cache_full_queue_lost": Found(gone if enough else None, f"of {sum(waiting.values())}"),
        "cache_full_failures": Found(len(failures) if heard else None, f"of {len(heard)}"),
    }


def _send_jobs(number: int) -> None:
    """Send messages for nothing that there is: doing them does nothing."""
    from cachectl import tasks  # noqa: PLC0415  needs the settings

    for _ in range(number):
        tasks.invalidate_range.delay(invalidation_id=0)


def _waiting(queues: "Redis") -> dict[str, int]:
    """Return how many messages wait in each queue."""
    from django.conf import settings  # noqa: PLC0415  needs the environment

    return {queue.name: int(queues.llen(queue.name)) for queue in settings.CELERY_TASK_QUEUES}


def _fill(redis: "Redis") -> int:
    """Store days that nobody asked for until others had to go; return how many went."""
    from cachectl import store  # noqa: PLC0415  needs the settings

    days = {datetime.fromisoformat(_salon.date(1)).date(): list(range(10**6, 10**6 + 100))}
    before = int(redis.info("stats")["evicted_keys"])
    for event_type_id in range(NOWHERE, NOWHERE + 20_000):
        store.store_if_current(NOWHERE, event_type_id, days, began=1)
        evicted = int(redis.info("stats")["evicted_keys"]) - before
        if evicted >= EVICTIONS:
            return evicted
    raise StageError("Redis threw nothing away.")


# --- experiment 9 --------------------------------------------------------------------------------------------------


def _flushed(here: Ground, callers: Callers) -> int:
    """Empty Redis at peak, and again in the middle of the loads that follow; return how many went on side by side."""
    from django.conf import settings  # noqa: PLC0415  needs the environment

    seen = len(here.simulator.requests(SLOTS))
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushall()
        here.stage.wait_until(lambda: here.simulator.in_flight(SLOTS) > 0, what="Nobody loads", within=LOADED_WITHIN)
        redis.flushall()
    _salon.during(callers, "Redis was emptied, and once more in the middle of a load", nullcontext(), 4.0)
    loads = here.simulator.requests(SLOTS)[seen:]
    print(f"  {len(loads)} loads followed", flush=True)
    return _most_at_once(loads)


def _most_at_once(requests: Sequence[dict[str, Any]]) -> int:
    """Return how many requests of one event type were under way at once, at the most."""
    by_event_type: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in requests:
        event_type = parse_qs(urlsplit(each["path"]).query)["eventTypeId"][0]
        by_event_type[event_type] += [(each["arrived_at"], 1), (each["answered_at"] or time.time(), -1)]
    most = 0
    for moments in by_event_type.values():
        under_way = 0
        for _, change in sorted(moments):
            under_way += change
            most = max(most, under_way)
    return most


# --- experiment 7 --------------------------------------------------------------------------------------------------


def _killed(here: Ground, callers: Callers, free: dict[str, list[str]], cold: str) -> dict[str, Found]:
    """Kill Redis while messages wait in its queues and a load is under way, and start it again with nothing in it."""
    from django.conf import settings  # noqa: PLC0415  needs the environment

    event_type_id = len(free)
    workers = outages.hanging(*(here.stage.child(f"worker-{name}") for name in WORKERS))
    hanging = here.simulator.fail(SLOTS, "hang", times=None, event_type_id=event_type_id)
    with ThreadPoolExecutor(1) as pool, workers, Redis.from_url(settings.BROKER_URL) as queues:
        for service in set(free) - {cold}:
            _book(here, service, free[service][-1])
        here.stage.wait_until(lambda: sum(_waiting(queues).values()) > 0, what="No message waits", within=10)
        asked = pool.submit(_search, here, cold)
        here.stage.wait_until(lambda: _is_asked(here, event_type_id), what="Nobody loads", within=10)
        print(f"  Redis is killed with {sum(_waiting(queues).values())} messages, and starts again", flush=True)
        with outages.gone(here.stage, "redis"):
            pass
        here.stage.wait_until(lambda: _is_back(queues), what="Redis did not come back", within=10)
        time.sleep(ASKED_AGAIN)  # else web would hand on what it loaded, and nobody could believe it or not
        taken = here.simulator.book_elsewhere(event_type_id, free[cold][-1], webhook=False)
        here.simulator.clear_faults(hanging)
        believed = _is_verified(asked.result())
    wrong, right = _followed(here, cold, free[cold][-1])
    here.simulator.cancel_elsewhere(taken["uid"], webhook=False)
    _salon.during(callers, "Redis is back, and empty", nullcontext(), 2.0)
    print(f"  the load from before came {'verified' if believed else 'unverified'}; then {wrong} answers believed it")
    return {"redis_lost_believed": Found(wrong + believed if right else None, f"of {wrong + right + 1}")}


def _book(here: Ground, service: str, start: str) -> None:
    """Book, again and again while the slots are not known: the governor, emptied before, lets few requests through."""
    wish = {"service": service, "start": start, "caller": {"name": "Ada Byron"}}
    with here.agent() as agent:
        here.stage.wait_until(
            lambda: agent.post("/v1/bookings", wish, Idempotency_Key=f"lost-{service}-{start}").status in (201, 202),
            what=f"{service} is not booked",
            within=60,
        )


def _search(here: Ground, service: str) -> Answer:
    with here.agent() as agent:
        question = {"service": service, "when": {"date": _salon.date(_salon.WEEK[0])}}
        return agent.post("/v1/availability/search", question, Prefer="wait=8")


def _is_back(redis: "Redis") -> bool:
    try:
        return bool(redis.ping())
    except RedisConnectionError:
        return False


def _is_asked(here: Ground, event_type_id: int) -> bool:
    """Return whether Cal.com has a question for slots of the event type that it has not answered."""
    wanted = f"eventTypeId={event_type_id}&"
    return any(wanted in each["path"] and not each["answered_at"] for each in here.simulator.requests(SLOTS))


def _is_verified(answer: Answer) -> bool:
    return answer.status == 200 and bool((answer.body["freshness"] or {}).get("verified"))


def _followed(here: Ground, service: str, taken: str) -> tuple[int, int]:
    """Ask for the day until it is known again; return how many believed answers had the time that was taken."""
    wrong = right = 0
    until = time.monotonic() + LOADED_WITHIN
    with here.agent() as agent:
        while not right and time.monotonic() < until:
            answer = agent.get("/v1/availability", service=service, date=_salon.date(_salon.WEEK[0]))
            if _is_verified(answer):
                is_wrong = taken in [slot["start"] for slot in answer.body["slots"]]
                wrong, right = wrong + is_wrong, right + (not is_wrong)
            time.sleep(0.1)
    return wrong, right
