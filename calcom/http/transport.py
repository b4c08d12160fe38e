"""One HTTP exchange that ends in time. The only module of ours that imports an HTTP client: a test holds it to that."""

import http.client
import io
import logging
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.response import HTTPResponse

from cachectl.infra.deadline import Deadline
from calcom.http import url_policy

LARGEST_BODY = 5_000_000
"""Bytes. Fourteen days of slots have 20 kB, a page of 250 bookings 500 kB."""

ANNOUNCED_IDLE_S = 5.0
"""What Cal.com announces (`Keep-Alive: timeout=5`, recorded 2026-11-30), assumed where a server announces nothing."""
IDLE_MARGIN_S = 1.0
"""How long before its announced end an idle connection is not used any more: a request needs time to arrive."""

# urllib3 logs URLs, and a booking's URL is the right to cancel it. A filter outlives later logging configuration.
for _name in ("connection", "connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(lambda _record: False)


class NotSent(Exception):
    """The request did not leave this machine."""


class NoAnswer(Exception):
    """The request may have arrived, and no complete answer came back."""


class ConnectionClosed(NoAnswer):
    """A connection that had carried answers before was closed without a byte of this one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Their names in any case."""
    body: bytes = field(repr=False)


def send(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    body: bytes | None,
    timeout: float,
    reuse_connection: bool = True,
) -> Answer:
    """
    Send one request, once, and return its answer within `timeout` seconds, or a second later if sending stalls.

    No redirect is followed: it could lead anywhere, with our credential.

    Raises:
        NotSent: nothing happened there.
        ConnectionClosed: as `NoAnswer`; it may be the connection that was at its end, not the server.
        NoAnswer: nobody knows what happened there.
    """
    clock: Any = Timeout(connect=settings.CALCOM_CONNECT_TIMEOUT, total=timeout)  # requests hands it on to urllib3
    try:
        with (
            nullcontext(_session()) if reuse_connection else _make_session() as session,
            session.request(
                method,
                url,
                headers=headers,
                params=params,
                data=body,
                timeout=clock,
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            return Answer(response.status_code, response.headers, _whole_body(response))
    # Their messages hold the URL, hence uids and addresses: neither text nor chain goes on.
    except (requests.RequestException, UnicodeError) as exc:
        raise _failure(exc)(type(exc).__name__) from None


def _whole_body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(65_536):
        body += chunk
        if len(body) > LARGEST_BODY:
            raise NoAnswer("BodyTooLarge")
    return bytes(body)


def _failure(exc: Exception) -> type[NotSent | NoAnswer]:
    """
    Return what the exception proves.

    `NotSent` only for what is certain: no connection came about, or the URL or a header cannot be sent at all. A pooled
    connection that is found closed before the first byte is replaced and raises nothing.
    """
    wrapped = exc.args[0] if exc.args else None
    if isinstance(exc, ValueError) or isinstance(
        getattr(wrapped, "reason", None), NewConnectionError | ConnectTimeoutError
    ):
        return NotSent
    closed = any(isinstance(cause, _ClosedBetweenAnswers) for cause in getattr(wrapped, "args", ()))
    return ConnectionClosed if closed else NoAnswer


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    """Return the process's session. Accounts share its connections and nothing else."""
    return _make_session()


def _make_session() -> requests.Session:
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


# Note [Connections that are about to be closed]
# Cal.com closes a connection that was idle for about 6 s, and a request sent at that moment gets no answer: of
# a write it is then unknown what became of it (72 of 300 sent after 5.97 to 6.03 s, recorded 2026-11-30). So a pooled
# connection counts as closed some time before the end that the last answer announced.


class _ClosedBetweenAnswers(http.client.RemoteDisconnected):
    """The server closed a connection that had carried answers, without a byte of the next one."""


class _Connection(HTTPConnection):
    """See Note [Connections that are about to be closed]."""

    response_class = _Response
    _has_answered = False
    _usable_until = 0.0

    def connect(self) -> None:
        """Connect, unless the name led to an address that no credential may be sent to."""
        super().connect()
        peer: str = self.sock.getpeername()[0]
        if not url_policy.may_connect(ip_address(peer.partition("%")[0])):
            self.close()
            raise NewConnectionError(self, "an address of the inside")
        self._has_answered = False

    @property
    def is_connected(self) -> bool:
        """Return whether the next request may be sent on it: urllib3's pool asks before it hands the connection out."""
        return time.monotonic() < self._usable_until and super().is_connected

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself
        try:
            response = super().getresponse()
        except http.client.RemoteDisconnected as exc:
            raise (_ClosedBetweenAnswers(*exc.args) if self._has_answered else exc) from None
        self._has_answered = True
        self._usable_until = time.monotonic() + _announced_idle_s(response.headers) - IDLE_MARGIN_S
        return response


def _announced_idle_s(headers: Mapping[str, str]) -> float:
    announced = re.search(r"timeout=(\d{1,6})", headers.get("Keep-Alive", ""))
    return float(announced[1]) if announced else ANNOUNCED_IDLE_S


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
