"""
The gunicorn worker that serves web: waitress receives the requests, so that a thread is taken only for a whole one.

gunicorn supervises the processes: it replaces one that died or hangs, and ends them gracefully. In each process
waitress reads and writes all connections on the main thread, without blocking, and hands complete requests to threads.
A client that sends slowly or not at all, or keeps its socket open after the answer, costs a file descriptor and no
thread. docs/adr/0018-waitress-under-gunicorn.md has the reasons and the measurements.
"""

import os
import resource
import time
from collections.abc import Iterator
from typing import Any

from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

# Seconds between two signs of life to gunicorn, and between two looks for connections that are to be closed.
TICK = 0.5
# Seconds that a request may take to come whole, from its first byte to its last.
RECEIVE_TIMEOUT = 5.0
# Connections of one process. Above the first number the longest idle ones are closed, so that the second, at which no
# connection is accepted any more, is not reached.
IDLE_CONNECTIONS = 1_500
MAX_CONNECTIONS = 2_000
# Bytes of headers, and of a body: larger than the application reads (DATA_UPLOAD_MAX_MEMORY_SIZE), so that it answers.
MAX_HEADERS = 32_768
MAX_BODY = 2 * 1_048_576
# Bytes of a body that are kept in memory; what comes beyond that goes to a temporary file until the request is served.
BODY_IN_MEMORY = 65_536


class Channel(HTTPChannel):
    """A connection that knows since when it has been receiving a request that is not whole yet."""

    receiving_since: float | None = None
    """On the monotonic clock; None between requests."""

    def received(self, data: bytes) -> bool:
        """Take bytes that arrived; see `HTTPChannel`."""
        taken = super().received(data)
        if self.request is None:
            self.receiving_since = None
        elif self.receiving_since is None:
            self.receiving_since = time.monotonic()
        return bool(taken)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is being received, worked on or sent."""
        return not (self.request or self.requests or self.total_outbufs_len)

    def end(self) -> None:
        """Have the main loop close it as soon as it comes by."""
        self.will_close = True


class WaitressWorker(Worker):
    """One process of web."""

    def run(self) -> None:
        """Serve until gunicorn says that it is enough, then finish what has begun, for `graceful_timeout` seconds."""
        _raise_file_limit()
        self._connections: dict[int, Any] = {}
        self._next_look = 0.0
        options = {
            "threads": self.cfg.threads,
            "channel_timeout": self.cfg.keepalive,
            "cleanup_interval": 5,
            "connection_limit": MAX_CONNECTIONS,
            "backlog": self.cfg.backlog,
            "asyncore_use_poll": True,
            "max_request_header_size": MAX_HEADERS,
            "max_request_body_size": MAX_BODY,
            "inbuf_overflow": BODY_IN_MEMORY,
            "ident": None,
            # Settings say whether a proxy is trusted; the metrics' page refuses by the mere presence of its headers.
            "clear_untrusted_proxy_headers": False,
        }
        application: Any = self.wsgi
        wrapped: list[Any] = self.sockets  # gunicorn's own class around each socket
        server = create_server(application, self._connections, sockets=[each.sock for each in wrapped], **options)
        for listener in self._listeners():
            listener.channel_class = Channel
        while self.alive and self.ppid == os.getppid():
            self._turn(TICK)
        self._finish()
        server.task_dispatcher.shutdown(timeout=0)

    def _turn(self, longest: float) -> None:
        """Wait up to `longest` seconds for something to do, and do it."""
        self.notify()
        wasyncore.loop(timeout=longest, use_poll=True, map=self._connections, count=1)
        self._close_unwanted()

    def _close_unwanted(self) -> None:
        """Close connections whose request does not come to its end, and the longest idle ones where there are many."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look, latest = now + TICK, now - RECEIVE_TIMEOUT
        channels = list(self._channels())
        for channel in channels:
            if channel.receiving_since is not None and channel.receiving_since < latest and not channel.requests:
                channel.end()
        if len(channels) > IDLE_CONNECTIONS:
            idle = sorted((each for each in channels if each.is_idle), key=lambda each: each.last_activity)
            for channel in idle[: len(channels) - IDLE_CONNECTIONS]:
                channel.end()

    def _finish(self) -> None:
        """Accept nothing more, and wait until every request that has begun is answered."""
        until = time.monotonic() + self.cfg.graceful_timeout
        for listener in self._listeners():
            wasyncore.dispatcher.close(listener)
        while time.monotonic() < until and any(self._channels()):
            for channel in self._channels():
                if channel.is_idle:
                    channel.end()
            self._turn(TICK / 10)

    def _channels(self) -> Iterator[Channel]:
        return (each for each in list(self._connections.values()) if isinstance(each, Channel))

    def _listeners(self) -> list[Any]:
        return [each for each in self._connections.values() if each.accepting]


def _raise_file_limit() -> None:
    """Allow a file descriptor for each connection, and for PostgreSQL's, Redis' and Cal.com's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1_000
    if soft != resource.RLIM_INFINITY and soft < wanted:
        upper = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (upper, hard))
