"""A broker that does not answer, or says no: what it costs a sender, and that no process ends because of it."""

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from cachectl.infra import circuit_breaker
from config.broker import Application
from config.celery import app

OPTIONS = app.conf.broker_transport_options


def application(url: str) -> Application:
    """Return Celery as web has it, with another broker."""
    made = Application("elsewhere", broker=url, set_as_current=False)
    made.conf.update(
        task_publish_retry_policy=app.conf.task_publish_retry_policy,
        broker_transport_options=OPTIONS,
        broker_pool_limit=app.conf.broker_pool_limit,
    )
    return made


def duration(send: Application) -> float:
    """Send a message that the broker does not take; return the seconds until that was clear."""
    began = time.monotonic()
    with pytest.raises(OperationalError):
        send.send_task("cachectl.invalidate_range")
    return time.monotonic() - began


@pytest.fixture
def silent() -> Iterator[Application]:
    """Return Celery with a broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield application(f"redis://127.0.0.1:{server.getsockname()[1]}/0")


def test_only_the_first_message_waits_for_a_silent_broker(silent: Application) -> None:
    """The first dispatch may cost 0.3 s, those of the second that follows at most 50 ms."""
    first, others = duration(silent), [duration(silent) for _ in range(20)]

    assert 0.25 < first < 0.6
    assert sum(others) < 0.05


def test_broker_is_asked_again_when_the_circuit_is_due_for_a_probe(
    silent: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that came back is noticed, at the price of one time-out a second while it does not."""
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)
    impatient = application(silent.conf.broker_url)
    duration(impatient)

    assert duration(impatient) > 0.25


def test_refused_broker_costs_nothing() -> None:
    """A port without a server refuses at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"

    assert duration(application(url)) < 0.25


def test_broker_circuit_closes_when_a_message_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is sent at once."""
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)
    sending = application("memory://")
    sending.breaker.open()

    sending.send_task("cachectl.invalidate_range")

    assert sending.breaker.current_state == "closed"


def test_tasks_are_sent_by_the_application_with_the_circuit_breaker() -> None:
    """Every way to send a message leads through the one place that knows whether the broker answers."""
    assert isinstance(current_app._get_current_object(), Application)


def test_channel_that_lost_its_connection_says_so() -> None:
    """A worker that acknowledges a message after Redis went away hears a connection error, which it survives."""
    with app.connection_for_read(os.environ["REDIS_URL"], transport="config.broker:Transport") as connection:
        channel = connection.channel()

    with pytest.raises(connection.connection_errors):
        channel.basic_ack("1")
    with pytest.raises(connection.connection_errors):
        channel.basic_reject("1", requeue=True)


def test_workers_outlive_a_broker_that_says_no() -> None:
    """A broker that is full, or became a replica, is tried again; and however long it is away."""
    assert app.conf.broker_channel_error_retry
    assert app.conf.broker_connection_max_retries is None


@pytest.mark.parametrize("entry", app.conf.beat_schedule.values(), ids=lambda entry: entry["task"])
def test_sweeps_are_run_by_workers_with_another_clock(entry: dict[str, Any]) -> None:
    """What a slow beat sends is no older for a fast worker than its interval and their difference."""
    assert entry["options"]["expires"] >= entry["schedule"] + 2 * 10
