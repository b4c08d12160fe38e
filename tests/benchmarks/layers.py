"""
Our cache layer beside dogpile.cache and cashews: the same lists, loader and changes, and the same Redis.

Compared are reads a second of cached lists; loads that a hundred callers on one cold key cause; and how often a list
whose load began before a change is served after it (a list is loaded, changes meanwhile, and is then invalidated).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, Protocol

from cashews import Cache
from django.conf import settings
from dogpile.cache import make_region

from cachectl import cache, loaders
from cachectl.infra.deadline import Deadline
from cachectl.loaders import LoadPriority
from script.lib.environment import CONSISTENT_AFTER, Environment, midnight
from script.lib.measurements import Measurement

CALLERS, THREADS, SECONDS, CHANGES = 100, 4, 2.0, 20
LOAD_S, MAX_AGE_S, TIMEOUT_S = 0.2, 120, 10.0
SLOTS = 32
# An account of which nothing is cached, whatever was measured before.
UNUSED_ACCOUNT = 10**9


class Calendar:
    """The true list of each key, and how often it was loaded."""

    def __init__(self) -> None:
        self.loads = 0
        self._versions: dict[int, int] = {}
        self._lock = threading.Lock()

    def read(self, key: int) -> list[int]:
        """Return the list as it is now; its first number is its version."""
        with self._lock:
            self.loads += 1
            return [self._versions.get(key, 0), *range(1, SLOTS)]

    def change(self, key: int) -> None:
        """Change the list."""
        with self._lock:
            self._versions[key] = self._versions.get(key, 0) + 1

    def is_current(self, key: int, starts: Sequence[int]) -> bool:
        """Return whether the list is the current one, or empty."""
        with self._lock:
            return not starts or starts[0] == self._versions.get(key, 0)


class Layer(Protocol):
    """A cache in front of the calendar, used from many threads."""

    def read(self, key: int) -> Sequence[int]:
        """Return the list, loading it if need be; empty where nothing is known about it."""

    def invalidate(self, key: int) -> None:
        """Note that the list has changed."""


class Cachectl:
    """Ours: a key is an event type, its list that of one day."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._day = midnight(3).date()
        self._days = {"account_id": UNUSED_ACCOUNT, "first": self._day, "last": self._day}
        loaders.register(self, accounts=lambda: [UNUSED_ACCOUNT])

    def load(
        self,
        *,
        account_id: int,
        event_type_id: int,
        first: date,
        last: date,
        priority: LoadPriority,
        tenant: int | None,
    ) -> Mapping[date, Sequence[int]]:
        """Return the lists as Cal.com would, some time after reading them."""
        del account_id, priority, tenant
        starts = self._calendar.read(event_type_id)
        time.sleep(LOAD_S)
        days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
        return {day: starts if day == self._day else [] for day in days}

    def read(self, key: int) -> Sequence[int]:
        known = cache.read(event_type_id=key, deadline=Deadline.after(TIMEOUT_S), **self._days)  # type: ignore[arg-type]
        return known.days[self._day].starts if known.verified else ()

    def invalidate(self, key: int) -> None:
        cache.invalidate(invalidation_id=None, event_type_ids=[key], own=False, **self._days)  # type: ignore[arg-type]


class Dogpile:
    """dogpile.cache with its lock in Redis; during a load it serves the expired value."""

    def __init__(self, calendar: Calendar, url: str) -> None:
        self._calendar = calendar
        arguments = {"url": url, "distributed_lock": True, "lock_timeout": 10, "thread_local_lock": False}
        self._region = make_region().configure("dogpile.cache.redis", expiration_time=MAX_AGE_S, arguments=arguments)

    def read(self, key: int) -> Sequence[int]:
        def load() -> list[int]:
            starts = self._calendar.read(key)
            time.sleep(LOAD_S)
            return starts

        starts: Sequence[int] = self._region.get_or_create(f"day-{key}", load)
        return starts

    def invalidate(self, key: int) -> None:
        self._region.delete(f"day-{key}")


class Cashews:
    """cashews with its lock, on an event loop of its own for which threads wait."""

    def __init__(self, calendar: Calendar, url: str) -> None:
        self._cache = Cache()
        self._cache.setup(url)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

        @self._cache(ttl=MAX_AGE_S, key="day:{key}", lock=True)
        async def load(key: int) -> list[int]:
            starts = calendar.read(key)
            await asyncio.sleep(LOAD_S)
            return starts

        self._load = load

    def read(self, key: int) -> Sequence[int]:
        starts: Sequence[int] = self._wait(self._load(key=key))
        return starts

    def invalidate(self, key: int) -> None:
        self._wait(self._cache.delete(f"day:{key}"))

    def reads_per_s(self, keys: Sequence[int]) -> float:
        """Return reads a second of tasks on the loop, which is how cashews is meant to be used."""

        async def read_until(until: float) -> int:
            reads = 0
            while time.monotonic() < until:
                await self._load(key=keys[reads % len(keys)])
                reads += 1
            return reads

        async def all_tasks() -> int:
            until = time.monotonic() + SECONDS
            return sum(await asyncio.gather(*(read_until(until) for _ in range(THREADS))))

        return float(self._wait(all_tasks())) / SECONDS

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)


def measure(_env: Environment) -> dict[str, Measurement]:
    """Measure the three, one after the other."""
    settings.WEB_THREADS = 2 * CALLERS  # the callers wait in this process, which is none of web's
    server, _, _ = settings.REDIS_URL.rpartition("/")
    layers: dict[str, Callable[[Calendar], Layer]] = {
        "": Cachectl,
        "_dogpile": lambda calendar: Dogpile(calendar, f"{server}/40"),
        "_cashews": lambda calendar: Cashews(calendar, f"{server}/41"),
    }
    before = loaders.current()
    measured: dict[str, Measurement] = {}
    try:
        for suffix, make in layers.items():
            calendar = Calendar()
            layer = make(calendar)
            measured[f"layer_loads_per_100_misses{suffix}"] = Measurement(_loads(layer, calendar))
            measured[f"layer_reads_per_s{suffix}"] = Measurement(_reads_per_s(layer))
            stale = Measurement(_stale(layer, calendar), f"of {CHANGES} changes during a load")
            measured[f"layer_stale_reads{suffix}"] = stale
    finally:
        loaders.register(before)
    return measured


def _loads(layer: Layer, calendar: Calendar) -> int:
    """Have a hundred callers read a cold key at once; return how often it was loaded."""
    layer.read(1)
    time.sleep(CONSISTENT_AFTER)  # from then on ours stores loads in this Redis
    before, ready = calendar.loads, threading.Barrier(CALLERS)

    def read(_number: int) -> bool:
        ready.wait(10)
        return bool(layer.read(2))

    with ThreadPoolExecutor(CALLERS) as pool:
        if not all(pool.map(read, range(CALLERS))):
            raise ValueError("a caller got no list")
    return calendar.loads - before


def _reads_per_s(layer: Layer) -> float:
    keys = [10, 11, 12, 13, 14]
    for key in keys:
        layer.read(key)
    if isinstance(layer, Cashews):
        return layer.reads_per_s(keys)
    until = time.monotonic() + SECONDS

    def read(_number: int) -> int:
        reads = 0
        while time.monotonic() < until:
            layer.read(keys[reads % len(keys)])
            reads += 1
        return reads

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read, range(THREADS))) / SECONDS


def _stale(layer: Layer, calendar: Calendar) -> int:
    """Change lists while they are loaded, invalidate them, and read; return how many reads are not current."""
    keys = range(100, 100 + CHANGES)
    with ThreadPoolExecutor(CHANGES) as pool:
        loads = [pool.submit(layer.read, key) for key in keys]
        time.sleep(LOAD_S / 2)
        for key in keys:
            calendar.change(key)
            layer.invalidate(key)
        for load in loads:
            load.result()
        return sum(pool.map(lambda key: not calendar.is_current(key, layer.read(key)), keys))
