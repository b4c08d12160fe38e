"""How many messages wait in each queue, looked at again and again while a scenario is played."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from redis import Redis, RedisError

from tests.load.call_log import now
from tests.load.evidence import Depth

EVERY = 0.2  # seconds


class QueueWatch:
    """A context in which the lengths of the queues are written down."""

    def __init__(self, broker_url: str, queues: tuple[str, ...]) -> None:
        self.depths: list[Depth] = []
        self._redis = Redis.from_url(broker_url, socket_timeout=1)
        self._queues = queues
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            with suppress(RedisError):  # a look that failed is a hole in the plot, and no sample at all breaks the row
                lengths = [int(self._redis.llen(name)) for name in self._queues]
                self.depths.append(Depth(now(), dict(zip(self._queues, lengths, strict=True))))
