"""Each request: its id, its client address, its log line and its metrics."""

import ipaddress
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac
from structlog.contextvars import bind_contextvars, clear_contextvars

from monitoring import metrics
from monitoring.logs import contained
from monitoring.tracing import current_trace, trace_of

log = structlog.get_logger(__name__)

# What no caller's number and no key can be: it goes into the log as it came.
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
_RANDOM = re.compile(rf"{_UUID}|{_ULID}|[0-9a-f]{{32}}")
_GIVEN = re.compile(r"(?!(?:.*[^A-Za-z])?(?:sl|cal|whsec)_)(?=.*[A-Za-z])[A-Za-z0-9_-]{8,64}")
_MAX_DIGITS = 5
_QUIET = ("/health", "/metrics", "/performance-metrics", "/static/")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a client may send any word


def request_id(environ: Mapping[str, str]) -> str:
    """
    Return the id that the client gave (X-Request-Id, or the trace of its `traceparent`), or a new one.

    An id that is not random by its form and has six digits or more may hold a telephone number: it is replaced by its
    keyed hash, the same each time, so that its lines can still be found by the id.
    """
    given = environ.get("HTTP_X_REQUEST_ID", "")
    if _RANDOM.fullmatch(given):
        return given
    if _GIVEN.fullmatch(given):
        has_number = sum(character.isdigit() for character in given) > _MAX_DIGITS
        return salted_hmac("request-id", given, algorithm="sha256").hexdigest()[:32] if has_number else given
    return trace_of(environ) or secrets.token_hex(16)


IPV6_SITE = 64  # bits that one client cannot choose


def address_of(environ: Mapping[str, Any]) -> str:
    """
    Return the client address of a request: IPv4, or the /64 network of IPv6; empty for a Unix socket.

    Behind a trusted proxy it is the last address in X-Forwarded-For, which that proxy added.
    """
    nearest: str = environ.get("REMOTE_ADDR", "")
    if settings.BEHIND_TLS_PROXY:
        nearest = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or nearest
    return _site(nearest)


@lru_cache(maxsize=1024)
def _site(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_SITE), strict=False))


class RequestIdMiddleware:
    """Give the request an id that its log lines and its answer carry."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with X-Request-Id."""
        began = time.perf_counter()
        current = request_id(request.META)
        clear_contextvars()
        bind_contextvars(request_id=current)
        if trace := current_trace() or trace_of(request.META):
            bind_contextvars(trace_id=trace)
        try:
            response = self.get_response(request)
            response["X-Request-Id"] = current
            with contained("request.not_recorded"):
                _tell(request, response, began)
        finally:
            clear_contextvars()  # threads of the server are used again
        return response


def _tell(request: HttpRequest, response: HttpResponse, began: float) -> None:
    """Log and count how it went: by the route, never by the path, because a path may hold what a caller said."""
    if request.path.startswith(_QUIET):
        return
    route = request.resolver_match.route if request.resolver_match else ""
    took = time.perf_counter() - began
    took_ms = round(took * 1000, 2)
    log.info("http.request", method=request.method, route=route, status=response.status_code, took_ms=took_ms)
    method = request.method if request.method in _METHODS else "other"
    # All pages of the admin count as one route: no caller waits for them.
    page = "admin/" if route.startswith("admin/") else route
    metrics.REQUEST_SECONDS.labels(method, page, response.status_code).observe(took)
