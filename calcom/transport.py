"""One HTTP exchange that ends in time. The only module of ours that imports an HTTP client: a test holds it to that."""

import http.client
import io
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from cachectl.deadline import Deadline

LARGEST_BODY = 5_000_000
"""Bytes. Fourteen days of slots have 20 kB, a page of 250 bookings 500 kB."""

# urllib3 logs URLs, and a booking's URL is the right to cancel it. A filter outlives later logging configuration.
for _name in ("connection", "connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(lambda _record: False)


class NotSent(Exception):
    """The request did not leave this machine."""


class NoAnswer(Exception):
    """The request may have arrived, and no complete answer came back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Their names in any case."""
    body: bytes = field(repr=False)


def send(
    *, method: str, url: str, headers: Mapping[str, str], params: Mapping[str, str], body: bytes | None, timeout: float
) -> Answer:
    """
    Send one request, once, and return its answer within `timeout` seconds, or a second later if sending stalls.

    No redirect is followed: it could lead anywhere, with our credential.

    Raises:
        NotSent: nothing happened there.
        NoAnswer: nobody knows what happened there.
    """
    clock: Any = Timeout(connect=settings.CALCOM_CONNECT_TIMEOUT, total=timeout)  # requests hands it on to urllib3
    try:
        with _session().request(
            method, url, headers=headers, params=params, data=body, timeout=clock, allow_redirects=False, stream=True
        ) as response:
            return Answer(response.status_code, response.headers, _whole_body(response))
    # Their messages hold the URL, hence uids and addresses: neither text nor chain goes on.
    except (requests.RequestException, UnicodeError) as exc:
        failure = NoAnswer if _may_have_left(exc) else NotSent
        raise failure(type(exc).__name__) from None


def _whole_body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(65_536):
        body += chunk
        if len(body) > LARGEST_BODY:
            raise NoAnswer("BodyTooLarge")
    return bytes(body)


def _may_have_left(exc: Exception) -> bool:
    """Return False only for what is certain: no connection came about, or the URL or a header cannot be sent at all."""
    cause = getattr(exc.args[0], "reason", None) if exc.args else None
    return not isinstance(cause, NewConnectionError | ConnectTimeoutError) and not isinstance(exc, ValueError)


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    """Return the process's session. Accounts share its connections and nothing else."""
    session = requests.Session()
    session.trust_env = False  # a .netrc would replace our Authorization header
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "Slotline"
    # Loads and writes have a pool of threads each; a smaller pool throws connections away.
    adapter = _Adapter(pool_maxsize=2 * settings.CALCOM_CALL_THREADS, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


os.register_at_fork(after_in_child=_session.cache_clear)


# Note [One clock for the whole answer]
# A time-out of requests bounds each operation on the socket, so a server that drips a byte a second is never late
# (5.7 s under a time-out of 1 s, measured 2026-11). urllib3 counts `Timeout(total=…)` until the request has left, and
# sets what remains of it on the socket just before it makes the response object. There it becomes a deadline that all
# reads of this answer share: status line, headers and body. No second thread watches, so none can be left behind.


class _ReadsUntil(io.RawIOBase):
    """A socket's bytes until the deadline; then `TimeoutError`."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline.left
        if not left:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        super().close()
        self._raw.close()


class _Response(http.client.HTTPResponse):
    """See Note [One clock for the whole answer]."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = Deadline.after(sock.gettimeout() or 0.0)
        self.fp = io.BufferedReader(_ReadsUntil(self.fp.detach(), sock, deadline))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
