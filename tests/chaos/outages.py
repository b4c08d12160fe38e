"""Ways in which a server of ours, or a worker, can be away for a while; each is a context."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from script.lib.processes import Child, Stage

# Where nobody listens: a replica of it keeps what it has, and takes nothing.
MARIA = ("127.0.0.1", "1")


@contextmanager
def hanging(*children: Child) -> Iterator[None]:
    """Let programs hang: connections to them stay open, new ones are taken, and nobody answers."""
    for child in children:
        child.pause()
    try:
        yield
    finally:
        for child in children:
            child.resume()


@contextmanager
def gone(stage: Stage, name: str) -> Iterator[None]:
    """Kill a child, and start it again at the end: connections are refused, and what it held in memory is lost."""
    child = stage.child(name)
    stage.kill(child)
    try:
        yield
    finally:
        stage.start_again(child)


@contextmanager
def slow(url: str, seconds: float) -> Iterator[None]:
    """Let a Redis do nothing else for `seconds`, again and again, half of the time."""
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
    """Let a Redis be what is left of it in a fail-over: it can be read, and refuses to write."""
    with Redis.from_url(url) as redis:
        redis.execute_command("REPLICAOF", *MARIA)
        try:
            yield
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def full(url: str) -> Iterator[None]:
    """Let a Redis have no memory left, and evict nothing."""
    with Redis.from_url(url) as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            redis.config_set("maxmemory", "0")
