"""
OpenTelemetry's own instrumentation of Django, Celery and requests, and what its spans may tell.

A span would hold URLs with uids and what callers said, and exceptions with rows: attributes are allowed by name, events
and descriptions are dropped. Only the trace is passed on: a client's baggage is no business of Cal.com's.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

# Read when the first of these packages is imported. What is asked all the time tells nothing.
os.environ.setdefault("OTEL_PROPAGATORS", "tracecontext")
os.environ.setdefault("OTEL_SERVICE_NAME", "slotline")
os.environ.setdefault("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "/health,/metrics$,/performance-metrics$,/static/")

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Status, Tracer

ATTRIBUTES = frozenset(
    {
        *("http.request.method", "http.method", "http.response.status_code", "http.status_code", "http.route"),
        *("server.address", "server.port", "error.type"),
        *("celery.action", "celery.state", "messaging.destination"),
        *("slotline.operation", "slotline.priority"),
    }
)
"""Attributes that may leave the process: words of code, addresses of servers, numbers."""
INSTRUMENTORS = (DjangoInstrumentor, CeleryInstrumentor, RequestsInstrumentor)


class Allowed(SpanExporter):
    """Passes spans on without what they may not tell."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may leave the process."""
        return self._exporter.export([_allowed(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what the exporter still holds."""
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in (span.attributes or {}).items() if name in ATTRIBUTES},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def start() -> None:
    """Trace this process, and send spans to where the OTEL_ variables say."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Allowed(OTLPSpanExporter())))
    trace.set_tracer_provider(provider)
    instrument(provider)


def instrument(provider: TracerProvider) -> None:
    """Have Django, Celery and requests make spans."""
    for instrumentor in INSTRUMENTORS:
        instrumentor().instrument(tracer_provider=provider)


def span(name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
    """Return a context that is a span; `operation` becomes the attribute `slotline.operation`."""
    ours = {f"slotline.{key}": value for key, value in attributes.items()}
    return _tracer().start_as_current_span(name, attributes=ours)


def current_trace() -> str:
    """Return the id of the current trace; empty where there is none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _tracer() -> Tracer:
    return trace.get_tracer("slotline")
