"""
Wakes threads that wait for something another thread, or another process, brings to an end.

A thread waits for a topic, such as the public id of an operation. Threads of the same process are woken at once, those
of others by one Redis channel, to which one thread of each process listens from its first wait on. A message may be
lost, and while Redis does not answer all are: who waits looks for itself now and then.
"""

import os
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from functools import lru_cache

from redis import RedisError

from cachectl import keys
from cachectl.infra.redis import blocking_redis_client, redis_client

# Topics that have ended a moment ago are remembered: a wait may begin after it was read that they had not.
RECENT = 1_000
# Seconds between two attempts to subscribe, and for which the listener waits at once.
RECONNECT_S, LISTEN_S = 1.0, 30.0


class _WakeUps:
    """The threads of this process that wait, by topic."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[threading.Event]] = defaultdict(list)
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, name="wake-ups", daemon=True)

    def wait(self, topic: str, seconds: float) -> bool:
        event = threading.Event()
        with self._lock:
            if not self._listener.is_alive():
                self._listener.start()
            if topic in self._recent:
                return True
            self._waiting[topic].append(event)
        try:
            return event.wait(seconds)
        finally:
            with self._lock:
                self._waiting[topic].remove(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def wake(self, topic: str) -> None:
        with self._lock:
            self._recent.append(topic)
            for event in self._waiting.get(topic, ()):
                event.set()

    def _listen(self) -> None:
        while True:
            with suppress(RedisError):
                self._listen_until_redis_goes()
            time.sleep(RECONNECT_S)

    def _listen_until_redis_goes(self) -> None:
        client = blocking_redis_client(LISTEN_S)
        with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(keys.WAKE_UPS)
            while True:
                message = channel.get_message(timeout=LISTEN_S)
                if message is not None:
                    self.wake(message["data"].decode())


@lru_cache(maxsize=1)
def _here() -> _WakeUps:
    return _WakeUps()


# A child process has threads of its own.
os.register_at_fork(after_in_child=_here.cache_clear)


def wait(topic: str, seconds: float) -> bool:
    """Wait until the topic has ended, at most so many seconds; return whether it is known to have."""
    return _here().wait(topic, seconds)


def wake(topic: str) -> None:
    """Wake the threads that wait for a topic, here and in other processes. Redis cannot make it fail."""
    _here().wake(topic)
    with suppress(RedisError):
        redis_client().publish(keys.WAKE_UPS, topic)
