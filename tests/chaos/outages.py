"""Faults of a server or worker, each a context."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from script.lib.processes import Child, Supervisor

# Where nothing listens: its replica keeps what it has, and accepts no write.
UNREACHABLE = ("127.0.0.1", "1")


@contextmanager
def hanging(*children: Child) -> Iterator[None]:
    """Pause programs: connections to them stay open, new ones are accepted, and nothing is answered."""
    for child in children:
        child.pause()
    try:
        yield
    finally:
        for child in children:
            child.resume()


@contextmanager
def gone(supervisor: Supervisor, name: str) -> Iterator[None]:
    """Kill a child, and start it again at the end: connections are refused, and its memory is lost."""
    child = supervisor.child(name)
    supervisor.kill(child)
    try:
        yield
    finally:
        supervisor.restart(child)


@contextmanager
def slow(url: str, seconds: float) -> Iterator[None]:
    """Block a Redis for `seconds`, again and again, half of the time."""
    over = threading.Event()

    def sleep() -> None:
        with Redis.from_url(url) as redis:
            while not over.wait(seconds):
                redis.execute_command("DEBUG", "SLEEP", seconds)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    try:
        yield
    finally:
        over.set()
        sleeper.join()


@contextmanager
def replica(url: str) -> Iterator[None]:
    """Make a Redis read-only, as in a fail-over."""
    with Redis.from_url(url) as redis:
        redis.execute_command("REPLICAOF", *UNREACHABLE)
        try:
            yield
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def full(url: str) -> Iterator[None]:
    """Leave a Redis no memory and no eviction."""
    with Redis.from_url(url) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            redis.config_set("maxmemory", "0")
