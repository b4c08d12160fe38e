"""Traces: continued from agents, through tasks, to Cal.com, without what a span may not tell."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import bound_contextvars, get_contextvars

from calcom.http import transport
from config.celery import app as slotline
from monitoring import otel, tracing
from tests.factories import ANNA, TUESDAY, at

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
Spans = Callable[[], list[Any]]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def spans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Traces switched on; returns what a collector would have got."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(otel.Allowed(exporter)))
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    settings.MIDDLEWARE = list(settings.MIDDLEWARE)  # to which OpenTelemetry adds its own
    monkeypatch.setattr(otel, "_tracer", lambda: provider.get_tracer("slotline"))
    otel.instrument(provider)
    try:
        yield lambda: list(exporter.get_finished_spans())
    finally:
        for instrumentor in otel.INSTRUMENTORS:
            instrumentor().uninstrument()


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """Run a server that answers 200; yield its address, and the path and headers of what it got."""
    got: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_task(task: Callable[[], object], send: Callable[[Celery], object]) -> None:
    """Have a worker run `task`, as `send` sent it under the name `known`."""
    app, done = Celery("traced", broker="memory://traced", set_as_current=False), threading.Event()

    @app.task(name="known", shared=False)
    def known() -> None:
        task()
        done.set()

    send(app)
    try:
        with start_worker(app, perform_ping_check=False, pool="solo", shutdown_timeout=30):
            assert done.wait(30)
    finally:  # `start_worker` makes its application the process's
        slotline.set_current()
        slotline.set_default()


def trace_id(span: Any) -> str:
    return f"{span.context.trace_id:032x}"


@pytest.mark.django_db(transaction=True)
def test_trace_of_an_agent_is_continued_to_calcom(agent, salon, spans: Spans) -> None:
    """One trace has the request by its route, the call to Cal.com by its operation, and the HTTP exchange."""
    answer = agent.availability(salon.cut, TUESDAY, traceparent=TRACEPARENT)

    assert answer.status_code == 200
    told = {span.name: span for span in spans()}
    assert {trace_id(span) for span in told.values()} == {TRACE}
    request, call, exchange = told["GET v1/availability"], told["calcom.request"], told["GET"]
    assert (f"{request.parent.span_id:016x}", request.parent.is_remote) == ("00f067aa0ba902b7", True)
    assert exchange.parent.span_id == call.context.span_id
    assert call.attributes == {"slotline.operation": "open_slots", "slotline.priority": "live"}


@pytest.mark.django_db(transaction=True)
def test_spans_tell_nothing_of_callers_and_no_uid(agent, salon, simulator, spans: Spans) -> None:
    booked = agent.book(salon.cut, at(10))
    agent.cancel(booked.json()["booking"]["id"], reason="no time on Tuesday")
    simulator.fail("GET *", "error_before", times=1)
    agent.availability(salon.cut, TUESDAY)

    told = " ".join(span.to_json() for span in spans())

    uids = [each["uid"] for each in simulator.bookings()]
    assert uids
    for secret in (*uids, ANNA.phone, ANNA.name, "Tuesday", agent.key, "?", str(booked.json()["booking"]["id"])):
        assert secret not in told
    assert all(not span.events and not span.status.description for span in spans())


@pytest.mark.django_db
def test_health_and_metrics_make_no_span(client: Client, spans: Spans) -> None:
    for path in ("/health/live", "/health/ready", "/health", "/metrics", "/v1/openapi.json"):
        client.get(path)

    assert [span.name for span in spans()] == ["GET v1/openapi.json"]


def test_trace_but_no_baggage_is_passed_on(spans: Spans) -> None:
    with receiver() as (url, got), tracing.span("outer"):
        token = context.attach(baggage.set_baggage("caller", "Anna"))
        sent = {"method": "POST", "url": url, "headers": {}, "params": {}, "body": b"{}", "timeout": 5.0}
        transport.send(**sent)
        context.detach(token)
        current = tracing.current_trace()

    [(_, headers)] = got
    assert headers["traceparent"].split("-")[1] == current
    assert "baggage" not in headers


def test_task_is_in_the_trace_that_sent_it(spans: Spans) -> None:
    def send(app: Celery) -> None:
        with tracing.span("outer"):
            app.send_task("known")

    run_task(lambda: None, send)

    told = {span.name: span for span in spans()}
    assert trace_id(told["run/known"]) == trace_id(told["outer"])


@pytest.mark.django_db
def test_log_lines_carry_the_trace_of_an_agent_without_opentelemetry(client: Client, monkeypatch) -> None:
    """Beside the request's own id, and on the lines of the tasks that it sends."""
    bound: list[dict[str, Any]] = []
    monkeypatch.setattr("monitoring.middleware.log.info", lambda *_args, **_fields: bound.append(get_contextvars()))

    client.get("/v1/services", headers={"traceparent": TRACEPARENT, "X-Request-Id": "of-the-agent"})

    assert (bound[0]["trace_id"], bound[0]["request_id"]) == (TRACE, "of-the-agent")


def test_task_carries_the_ids_of_the_request_that_sent_it() -> None:
    seen: list[dict[str, Any]] = []

    def send(app: Celery) -> None:
        with bound_contextvars(request_id="of-the-agent", trace_id=TRACE):
            app.send_task("known")

    run_task(lambda: seen.append(get_contextvars()), send)

    assert (seen[0]["request_id"], seen[0]["trace_id"]) == ("of-the-agent", TRACE)


def test_trace_that_is_wanted_without_its_packages_stops_the_start(settings: Any, monkeypatch) -> None:
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"
    monkeypatch.setattr(tracing, "find_spec", lambda _name: None)

    with pytest.raises(ImproperlyConfigured, match=r"requirements-otel\.lock"):
        tracing.configure()


@pytest.mark.slow
def test_process_sends_its_spans_to_the_collector() -> None:
    """As a process of Slotline starts: nothing but the environment switches traces on."""
    asks = "from django.test import Client; Client(HTTP_HOST='localhost').get('/v1/services')"
    program = f"import django; django.setup(); {asks}"
    with receiver() as (url, got):
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=django_settings.BASE_DIR, env=environ, check=True, timeout=120)

    assert [path for path, _ in got] == ["/v1/traces"]
