"""
Our cache layer beside dogpile.cache and cashews: the same lists, loader and changes, and the same Redis.

What is compared: reads a second of what is known; loads that a hundred callers on one cold key cause; and how often a
load that began before a change is believed after it (a list is loaded, changes meanwhile, and is then forgotten).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from cashews import Cache
from django.conf import settings
from dogpile.cache import make_region

from cachectl import cache, loaders
from cachectl.infra.deadline import Deadline
from cachectl.loaders import LoadPriority
from script.lib.environment import BELIEVED
from script.lib.measurements import Found, Promise
from tests.benchmarks.environment import Ground

PROMISES = {
    "layer_stale_reads": Promise("reads", 0),
    "layer_stale_reads_dogpile": Promise("reads"),
    "layer_stale_reads_cashews": Promise("reads"),
    "layer_loads_per_100_misses": Promise("loads", 1),
    "layer_loads_per_100_misses_dogpile": Promise("loads"),
    "layer_loads_per_100_misses_cashews": Promise("loads"),
    "layer_reads_per_s": Promise("reads/s"),
    "layer_reads_per_s_dogpile": Promise("reads/s"),
    "layer_reads_per_s_cashews": Promise("reads/s"),
}
CROWD, THREADS, SECONDS, CHANGES = 100, 4, 2.0, 20
LOADING_S, LIFETIME_S, PATIENCE_S = 0.2, 120, 10.0
SLOTS = 32
# An account of which nothing is kept, whatever was measured before.
ALL_ACCOUNTS = 10**9


class Calendar:
    """What is true of each key, and how often somebody asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._version: dict[int, int] = {}
        self._lock = threading.Lock()

    def read(self, key: int) -> list[int]:
        """Return the list as it is now; its first number says which version that is."""
        with self._lock:
            self.asked += 1
            return [self._version.get(key, 0), *range(1, SLOTS)]

    def change(self, key: int) -> None:
        """Make every list of before untrue."""
        with self._lock:
            self._version[key] = self._version.get(key, 0) + 1

    def is_true(self, key: int, starts: Sequence[int]) -> bool:
        """Return whether the list says what is true now."""
        with self._lock:
            return not starts or starts[0] == self._version.get(key, 0)


class Layer(Protocol):
    """A cache in front of the calendar, used from many threads."""

    def read(self, key: int) -> Sequence[int]:
        """Return the list, loading it if need be; empty where nothing is promised about it."""
        ...

    def forget(self, key: int) -> None:
        """Take note that the list has changed."""
        ...


class Ours:
    """cachectl: a key is an event type, its list that of one day."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._day = datetime.now(UTC).date() + timedelta(days=3)
        loaders.register(self, accounts=lambda: [ALL_ACCOUNTS])

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
        """Answer as Cal.com would, some time after looking."""
        del account_id, priority, tenant
        starts = self._calendar.read(event_type_id)
        time.sleep(LOADING_S)
        days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
        return {day: starts if day == self._day else [] for day in days}

    def read(self, key: int) -> Sequence[int]:
        """Return what is known for certain."""
        known = cache.read(
            account_id=ALL_ACCOUNTS,
            event_type_id=key,
            first=self._day,
            last=self._day,
            deadline=Deadline.after(PATIENCE_S),
        )
        return known.days[self._day].starts if known.verified else ()

    def forget(self, key: int) -> None:
        """Forget the day."""
        cache.invalidate(
            invalidation_id=None,
            account_id=ALL_ACCOUNTS,
            event_type_ids=[key],
            first=self._day,
            last=self._day,
            own=False,
        )


class Dogpile:
    """dogpile.cache with its lock in Redis; whoever finds an expired value while another loads gets the old one."""

    def __init__(self, calendar: Calendar, url: str) -> None:
        self._calendar = calendar
        arguments = {"url": url, "distributed_lock": True, "lock_timeout": 10, "thread_local_lock": False}
        self._region = make_region().configure("dogpile.cache.redis", expiration_time=LIFETIME_S, arguments=arguments)

    def read(self, key: int) -> Sequence[int]:
        """Return what is kept, else load it."""

        def load() -> list[int]:
            starts = self._calendar.read(key)
            time.sleep(LOADING_S)
            return starts

        starts: Sequence[int] = self._region.get_or_create(f"day-{key}", load)
        return starts

    def forget(self, key: int) -> None:
        """Delete the value."""
        self._region.delete(f"day-{key}")


class Cashews:
    """cashews with its lock, on an event loop of its own; threads ask it and wait."""

    def __init__(self, calendar: Calendar, url: str) -> None:
        self._cache = Cache()
        self._cache.setup(url)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

        @self._cache(ttl=LIFETIME_S, key="day:{key}", lock=True)
        async def load(key: int) -> list[int]:
            starts = calendar.read(key)
            await asyncio.sleep(LOADING_S)
            return starts

        self._load = load

    def read(self, key: int) -> Sequence[int]:
        """Return what is kept, else load it."""
        starts: Sequence[int] = self._wait(self._load(key=key))
        return starts

    def forget(self, key: int) -> None:
        """Delete the value."""
        self._wait(self._cache.delete(f"day:{key}"))

    def reads_per_s(self, keys: Sequence[int]) -> float:
        """Return reads a second of tasks on the loop, which is how cashews is meant to be used."""

        async def read_on(until: float) -> int:
            reads = 0
            while time.monotonic() < until:
                await self._load(key=keys[reads % len(keys)])
                reads += 1
            return reads

        async def all_of_them() -> int:
            until = time.monotonic() + SECONDS
            return sum(await asyncio.gather(*(read_on(until) for _ in range(THREADS))))

        return float(self._wait(all_of_them())) / SECONDS

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


def measure(ground: Ground) -> dict[str, Found]:
    """Measure the three, one after the other; ours last of all groups that use this process's source of days."""
    del ground  # its Redis is what all three use
    settings.WEB_THREADS = 2 * CROWD  # the crowd waits in this process, which is none of web's
    server, _, _ = settings.REDIS_URL.rpartition("/")
    before = loaders.current()
    try:
        found: dict[str, Found] = {}
        for suffix, make in _makers(server).items():
            calendar = Calendar()
            layer = make(calendar)
            found[f"layer_loads_per_100_misses{suffix}"] = Found(_loads(layer, calendar))
            found[f"layer_reads_per_s{suffix}"] = Found(_reads_per_s(layer))
            found[f"layer_stale_reads{suffix}"] = Found(_stale(layer, calendar), f"of {CHANGES} changes under a load")
        return found
    finally:
        loaders.register(before)


def _makers(server: str) -> dict[str, Callable[[Calendar], Layer]]:
    return {
        "": Ours,
        "_dogpile": lambda calendar: Dogpile(calendar, f"{server}/40"),
        "_cashews": lambda calendar: Cashews(calendar, f"{server}/41"),
    }


def _loads(layer: Layer, calendar: Calendar) -> int:
    """Let a hundred callers ask for a cold key at once; return how often the calendar was asked."""
    layer.read(1)
    time.sleep(BELIEVED)  # ours believes a Redis that it has just met only from then on
    before, ready = calendar.asked, threading.Barrier(CROWD)

    def ask(_number: int) -> bool:
        ready.wait(10)
        return bool(layer.read(2))

    with ThreadPoolExecutor(CROWD) as pool:
        if not all(pool.map(ask, range(CROWD))):
            raise ValueError("somebody got no list")
    return calendar.asked - before


def _reads_per_s(layer: Layer) -> float:
    keys = [10, 11, 12, 13, 14]
    for key in keys:
        layer.read(key)
    if isinstance(layer, Cashews):
        return layer.reads_per_s(keys)
    until = time.monotonic() + SECONDS

    def read_on(_number: int) -> int:
        reads = 0
        while time.monotonic() < until:
            layer.read(keys[reads % len(keys)])
            reads += 1
        return reads

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(read_on, range(THREADS))) / SECONDS


def _stale(layer: Layer, calendar: Calendar) -> int:
    """Change lists while they are loaded, forget them, and read; return how often what is read is not true."""
    keys = range(100, 100 + CHANGES)
    with ThreadPoolExecutor(CHANGES) as pool:
        loads = [pool.submit(layer.read, key) for key in keys]
        time.sleep(LOADING_S / 2)
        for key in keys:
            calendar.change(key)
            layer.forget(key)
        for load in loads:
            load.result()
        return sum(pool.map(lambda key: not calendar.is_true(key, layer.read(key)), keys))
