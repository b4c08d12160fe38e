"""
Redis evicts days, is emptied at peak, and is killed with messages in its queues, while callers ask.

Invalidations and operations are rows, so messages may be lost; a day that was loaded before the loss is not stored
after it; and the rate limiter assumes that the window is full.
"""

import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from cachectl import store, tasks
from script.lib.agent import Answer
from script.lib.environment import SLOTS, Environment, Servers, midnight
from script.lib.measurements import Measurement, most_at_once
from script.lib.processes import HarnessError
from script.lib.programs import WORKERS
from tests.chaos import consistency, outages
from tests.chaos.callers import WEEK, Callers, Questions, date_ahead, failures, load_week, salon

JOBS, EVICTIONS = 200, 300
# Bytes above what Redis uses that it may have: enough for the answer of the moment.
SPARE_MEMORY = 1_000_000
UNUSED_ID = 10**9
"""Of an account and event types that do not exist; their days fill the memory."""
# So few that repeated loads are fewer than the rate limiter admits in the minute after a loss.
HOSTS = 5
# Seconds in which the rate limiter, which admits few until it has seen a full window again, admits a load.
LOADED_WITHIN = 80.0
# Seconds after its return for which a process may avoid Redis.
BREAKER_OPEN = 1.5


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Take Redis' memory away, then its data, then both."""
    flushes = 20 if full else 3
    with servers.environment(salon(HOSTS), latency=0.5, seed=seed, threads=16) as env:
        free = load_week(env)
        *services, cold = env.services.values()
        questions = Questions(env, services)
        with Callers(env) as callers:
            callers.start(questions.ask, number=15, every=0.5)
            callers.start(questions.search, number=10, every=0.5)
            evicted = _evict(env, callers)
            loads = [_flush(env, callers) for _ in range(flushes)]
            lost = _kill(env, callers, free, cold)
        differences = consistency.settled_differences(env, within=130.0)
        seen = env.simulator.summary()
    return {
        **evicted,
        **lost,
        "redis_lost_rows": Measurement(len(differences), "; ".join(differences)),
        "flush_loads_at_once": Measurement(max(loads), f"of one event type; {flushes} times emptied twice"),
        "redis_lost_429": Measurement(seen["too_many"], f"of {sum(seen['counts'].values())}"),
        "redis_lost_max_in_60s": Measurement(seen["max_in_60_s"]),
    }


def _evict(env: Environment, callers: Callers) -> dict[str, Measurement]:
    """Fill Redis until it evicts days, while messages wait in its queues."""
    workers = outages.hanging(*(env.supervisor.child(f"worker-{name}") for name in WORKERS))
    with Redis.from_url(settings.BROKER_URL) as queues, Redis.from_url(settings.REDIS_URL) as redis, workers:
        for _ in range(JOBS):
            tasks.invalidate_range.delay(invalidation_id=0)  # there is no such row, so the job does nothing
        waiting = _queue_lengths(queues)
        redis.config_set("maxmemory-policy", "volatile-lfu")
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] + SPARE_MEMORY)
        began = time.monotonic()
        _fill(redis)
        callers.during(None, 2.0)
        left = _queue_lengths(queues)
        redis.config_set("maxmemory", 0)
    gone = sum(max(0, number - left[name]) for name, number in waiting.items())
    # Each worker had taken one before it hung.
    enough = sum(waiting.values()) >= JOBS - len(WORKERS)
    return {
        "cache_full_queue_lost": Measurement(gone if enough else None, f"of {sum(waiting.values())}"),
        "cache_full_failures": failures(callers.responses(began)),
    }


def _queue_lengths(queues: "Redis") -> dict[str, int]:
    return {queue.name: int(queues.llen(queue.name)) for queue in settings.CELERY_TASK_QUEUES}


def _fill(redis: "Redis") -> None:
    """Store days that are never read until others are evicted."""
    days = {midnight(1).date(): list(range(10**6, 10**6 + 100))}
    before = int(redis.info("stats")["evicted_keys"])
    for event_type_id in range(UNUSED_ID, UNUSED_ID + 20_000):
        store.store_if_current(UNUSED_ID, event_type_id, days, began=1)
        if int(redis.info("stats")["evicted_keys"]) - before >= EVICTIONS:
            return
    raise HarnessError("Redis evicted nothing.")


def _flush(env: Environment, callers: Callers) -> int:
    """Empty Redis at peak, and again in the middle of the loads that follow; return the most loads at once."""
    seen = len(env.simulator.requests(SLOTS))
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushall()
        env.supervisor.wait_until(
            lambda: env.simulator.in_flight(SLOTS) > 0, what="Nothing was loaded", within=LOADED_WITHIN
        )
        redis.flushall()
    callers.during(None, 4.0)
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for each in env.simulator.requests(SLOTS)[seen:]:
        spans[_event_type_of(each)].append((each["arrived_at"], each["answered_at"] or time.time()))
    return max(most_at_once(each) for each in spans.values())


def _event_type_of(request: dict[str, Any]) -> str:
    return parse_qs(urlsplit(request["path"]).query)["eventTypeId"][0]


def _kill(env: Environment, callers: Callers, free: dict[str, list[str]], cold: str) -> dict[str, Measurement]:
    """Kill Redis while messages wait and a load is under way, and start it again, empty."""
    event_type_id, start = len(free), free[cold][-1]
    workers = outages.hanging(*(env.supervisor.child(f"worker-{name}") for name in WORKERS))
    hanging = env.simulator.fail(SLOTS, "hang", times=None, event_type_id=event_type_id)
    with ThreadPoolExecutor(1) as pool, workers, Redis.from_url(settings.BROKER_URL) as queues:
        for service in set(free) - {cold}:
            _book(env, service, free[service][-1])
        env.supervisor.wait_until(lambda: sum(_queue_lengths(queues).values()) > 0, what="No message", within=10)
        load = pool.submit(_search, env, cold)
        env.supervisor.wait_until(lambda: _is_loading(env, event_type_id), what="Nothing was loaded", within=10)
        with outages.gone(env.supervisor, "redis"):
            pass
        env.supervisor.wait_until(lambda: _is_up(queues), what="Redis did not come back", within=10)
        time.sleep(BREAKER_OPEN)  # else web would answer without storing, which proves nothing
        taken = env.simulator.book_elsewhere(event_type_id, start, webhook=False)
        env.simulator.clear_faults(hanging)
        stale = _is_verified(load.result())
    wrong, right = _answers_after(env, cold, start)
    env.simulator.cancel_elsewhere(taken["uid"], webhook=False)
    callers.during(None, 2.0)
    return {"redis_lost_believed": Measurement(wrong + stale if right else None, f"of {wrong + right + 1}")}


def _book(env: Environment, service: str, start: str) -> None:
    """Book, again and again while slots are unknown: the rate limiter, emptied before, admits few requests."""
    booking = {"service": service, "start": start, "caller": {"name": "Ada Byron"}}
    key = f"{service}-{start}"
    with env.agent() as agent:
        env.supervisor.wait_until(
            lambda: agent.post("/v1/bookings", booking, Idempotency_Key=key).status in (201, 202),
            what=f"{service} was not booked",
            within=60,
        )


def _search(env: Environment, service: str) -> Answer:
    with env.agent() as agent:
        question = {"service": service, "when": {"date": date_ahead(WEEK[0])}}
        return agent.post("/v1/availability/search", question, Prefer="wait=8")


def _is_up(redis: "Redis") -> bool:
    try:
        return bool(redis.ping())
    except RedisConnectionError:
        return False


def _is_loading(env: Environment, event_type_id: int) -> bool:
    """Return whether Cal.com has a slot request of the event type that it has not answered."""
    return any(
        _event_type_of(each) == str(event_type_id) and not each["answered_at"] for each in env.simulator.requests(SLOTS)
    )


def _is_verified(answer: Answer) -> bool:
    return answer.status == 200 and bool((answer.body["freshness"] or {}).get("verified"))


def _answers_after(env: Environment, service: str, taken: str) -> tuple[int, int]:
    """Ask until the day is known again; return how many verified answers had the taken slot, and how many had not."""
    wrong = right = 0
    until = time.monotonic() + LOADED_WITHIN
    with env.agent() as agent:
        while not right and time.monotonic() < until:
            answer = agent.get("/v1/availability", service=service, date=date_ahead(WEEK[0]))
            if _is_verified(answer):
                is_wrong = taken in [slot["start"] for slot in answer.body["slots"]]
                wrong, right = wrong + is_wrong, right + (not is_wrong)
            time.sleep(0.1)
    return wrong, right
