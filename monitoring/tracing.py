"""
Traces, on request: spans of requests, tasks and calls to Cal.com, sent to an OpenTelemetry collector.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set and the packages of requirements-otel.txt are installed. Off or on, the
trace of a caller's `traceparent` is on the log lines of its request and tasks (`trace_id`); only when on is a trace
passed on to Cal.com.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context


def configure() -> None:
    """
    Begin to trace if the environment says so; once in a process, before it serves anything.

    Raises:
        ImproperlyConfigured: traces are wanted, and the packages for them are not installed.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
            "pip install --require-hashes -r requirements-otel.lock"
        )
    from monitoring import otel  # noqa: PLC0415  its packages are there only on request

    otel.start()


def trace_of(environ: Mapping[str, str]) -> str:
    """Return the id of the trace in the client's `traceparent`; empty without a valid one."""
    trace = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    return trace[1] if trace else ""


def current_trace() -> str:
    """Return the id of the trace that is recorded here now; empty where none is."""
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return ""
    from monitoring import otel  # noqa: PLC0415

    return otel.current_trace()


def span(name: str, **attributes: str) -> AbstractContextManager[object]:
    """Return a context that is a span of its own where traces are on, with attributes of our own words only."""
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return nullcontext()
    from monitoring import otel  # noqa: PLC0415

    return otel.span(name, attributes)
