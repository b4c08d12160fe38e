"""One HTTP exchange that ends in time. No other module of the product imports an HTTP client; a test checks that."""

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
"""In bytes. Fourteen days of slots have 20 kB, a page of 250 bookings 500 kB."""

ANNOUNCED_IDLE_S = 5.0
"""What Cal.com announces (`Keep-Alive: timeout=5`, recorded 2026-11-30), assumed of servers that announce nothing."""
IDLE_MARGIN_S = 1.0
"""How long before its announced end an idle connection is not used: a request needs time to arrive."""

# urllib3 logs URLs, and the URL of a booking is the right to cancel it. A filter survives later logging configuration.
for _name in ("connection", "connectionpool", "poolmanager", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(lambda _record: False)


class NotSent(Exception):
    """The request did not leave this machine."""


class NoAnswer(Exception):
    """The request may have arrived; no complete response came back."""


class ConnectionClosed(NoAnswer):
    """A connection that had carried responses was closed without a byte of this one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of any status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Case-insensitive."""
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
    Send one request, once, and return its response within `timeout` seconds, or a second later if sending stalls.

    Redirects are not followed: they could take the credential anywhere.

    Raises:
        NotSent: nothing happened there.
        ConnectionClosed: as `NoAnswer`; perhaps only the pooled connection was at its end.
        NoAnswer: what happened there is unknown.
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
    # Their messages have the URL, hence uids and addresses: neither text nor cause is passed on.
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
    Return the error that the exception proves.

    `NotSent` only if that is certain: no connection was made, or the URL or a header cannot be sent at all. A pooled
    connection that is closed before the first byte is replaced and raises nothing.
    """
    wrapped = exc.args[0] if exc.args else None
    if isinstance(exc, ValueError) or isinstance(
        getattr(wrapped, "reason", None), NewConnectionError | ConnectTimeoutError
    ):
        return NotSent
    closed = any(isinstance(cause, _ClosedBetweenResponses) for cause in getattr(wrapped, "args", ()))
    return ConnectionClosed if closed else NoAnswer


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    """Return the process's session, of which accounts share the connections only."""
    return _make_session()


def _make_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a .netrc would replace our Authorization header
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "Slotline"
    # Loads and writes have a pool of threads each; a smaller pool of connections would discard some.
    adapter = _Adapter(pool_maxsize=2 * settings.CALCOM_CALL_THREADS, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


os.register_at_fork(after_in_child=_session.cache_clear)


# Note [One deadline for the whole response]
# The time-out of requests limits each operation on the socket, so a server that sends a byte a second is never late
# (5.7 s under a time-out of 1 s, measured 2026-11). urllib3 counts `Timeout(total=…)` until the request was sent, and
# sets the rest on the socket just before it makes the response object. There it becomes a deadline that all reads of
# the response share: status line, headers and body. No second thread is needed.


class _ReadsUntil(io.RawIOBase):
    """Reads from a socket until the deadline, then raises `TimeoutError`."""

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
    """See Note [One deadline for the whole response]."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = Deadline.after(sock.gettimeout() or 0.0)
        self.fp = io.BufferedReader(_ReadsUntil(self.fp.detach(), sock, deadline))


# Note [Connections that are about to be closed]
# Cal.com closes a connection that was idle for about 6 s, and a request sent at that moment gets no response: the
# outcome of a write is then unknown (72 of 300 sent after 5.97 to 6.03 s, recorded 2026-11-30). So a pooled connection
# counts as closed some time before the end that the last response announced.


class _ClosedBetweenResponses(http.client.RemoteDisconnected):
    """The server closed a connection that had carried responses, without a byte of the next one."""


class _Connection(HTTPConnection):
    """See Note [Connections that are about to be closed]."""

    response_class = _Response
    _has_answered = False
    _usable_until = 0.0

    def connect(self) -> None:
        """Connect, unless the address is one to which no credential may be sent."""
        super().connect()
        peer: str = self.sock.getpeername()[0]
        if not url_policy.may_connect(ip_address(peer.partition("%")[0])):
            self.close()
            raise NewConnectionError(self, "an internal address")
        self._has_answered = False

    @property
    def is_connected(self) -> bool:
        """Whether the next request may be sent on it, which urllib3's pool checks."""
        return time.monotonic() < self._usable_until and super().is_connected

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself
        try:
            response = super().getresponse()
        except http.client.RemoteDisconnected as exc:
            raise (_ClosedBetweenResponses(*exc.args) if self._has_answered else exc) from None
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
