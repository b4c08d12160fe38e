"""In one process: what callers are told without Redis, and that what they were offered holds."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.db.models.functions import Now
from django.test import Client
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from bookings.models import Appointment
from cachectl import invalidation
from cachectl.infra.redis import redis_client
from cachectl.models import CacheInvalidation
from calcom.simulator import Simulator
from config.broker import Application
from monitoring import collectors, probes
from monitoring.collectors import Unhealthy
from script.lib.processes import Child, Supervisor, is_listening
from script.lib.servers import start_redis
from tests.agent import Agent
from tests.bookings.helpers import let_jobs_finish
from tests.chaos import outages
from tests.chaos.test_broker import application
from tests.factories import TUESDAY, Salon

pytestmark = pytest.mark.slow

Fault = Callable[[Supervisor, Child], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    "silent": lambda _stage, child: outages.hanging(child),
    "refused": lambda supervisor, child: outages.gone(supervisor, child.name),
    "a replica": lambda _stage, _child: outages.replica(redis_url()),
    "full": lambda _stage, _child: outages.full(redis_url()),
}


def redis_url() -> str:
    """Return where this test's Redis is."""
    return str(django_settings.REDIS_URL)


@pytest.fixture
def supervisor(tmp_path: Path, settings: Settings) -> Iterator[Supervisor]:
    """Give this test a Redis of its own, to break."""
    with Supervisor(tmp_path) as supervisor:
        settings.REDIS_URL = start_redis(supervisor)
        yield supervisor


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, supervisor: Supervisor) -> AbstractContextManager[None]:
    """Return a way in which Redis can be away."""
    return FAULTS[request.param](supervisor, supervisor.child("redis"))


def test_what_was_offered_is_held_and_booked_without_redis(
    supervisor: Supervisor, fault: AbstractContextManager[None], agent: Agent, salon: Salon, simulator: Simulator
) -> None:
    """No list can be had, the offer stands for it; Cal.com decides, and the invalidation is left pending."""
    conversation = agent.post("conversations", {"platform": "retell", "call_id": "1"}).json()
    within = {"conversation_id": conversation["conversation_id"]}
    question = {"service": f"sv_{salon.colour.pk}", "when": {"date": TUESDAY.isoformat()}, **within}
    found = agent.post("availability/search", question).json()
    slot_token = found["offers"][0]["slot_token"]
    with fault:
        began = time.monotonic()
        held = agent.post("holds", {"slot_token": slot_token, **within})
        assert (held.status_code, held.json()["verified"]) == (201, False), held.content
        wish = {"confirm_token": held.json()["confirm_token"], "caller": {"name": "Anna Berg"}, **within}
        booked = agent.post("bookings", wish)
        duration = time.monotonic() - began
        let_jobs_finish()

    assert (booked.status_code, booked.json()["status"]) == (201, "confirmed"), booked.content
    assert duration < 1.5
    assert Appointment.objects.get().state == "confirmed"
    assert simulator.count("POST /v2/bookings") == 1
    assert CacheInvalidation.objects.filter(done_at=None).exists()

    redis_is_asked_again()
    CacheInvalidation.objects.update(next_attempt_at=Now())  # whatever failed meanwhile waits for its next attempt
    invalidation.process()
    assert not CacheInvalidation.objects.filter(done_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_health_says_that_redis_is_missed_and_sends_nobody_away(
    supervisor: Supervisor, fault: AbstractContextManager[None], client: Client, settings: Settings
) -> None:
    """Degraded, not down, and neither waits for Redis; also where Redis answers and says no."""
    with fault:
        collectors.PROBES.clear_cache()
        began = time.monotonic()
        ready, health = client.get("/health/ready"), client.get("/health")
        duration = time.monotonic() - began

    assert (ready.status_code, health.status_code) == (200, 200)
    assert (ready.json()["ready"], health.json()["status"]) == (True, "degraded")
    assert not health.json()["probes"]["redis"]["ok"]
    assert duration < 2 * collectors.TIMEOUT_S + 2  # of two requests, on a machine that does other things as well


def test_health_says_that_the_broker_is_missed(supervisor: Supervisor, fault: AbstractContextManager[None]) -> None:
    """The same for the queues' Redis, also where it answers and says no."""
    broker = application(redis_url())
    with fault, broker_probed(broker), pytest.raises((Unhealthy, OperationalError)):
        probes.broker()
    supervisor.wait_until(
        lambda: is_listening(urlsplit(redis_url()).port or 0), what="The broker did not come back", within=10
    )

    with broker_probed(broker):
        probes.broker()


@contextmanager
def broker_probed(broker: Application) -> Iterator[None]:
    """Let probes ask this broker."""
    before = current_app._get_current_object()
    broker.set_current()
    began = time.monotonic()
    try:
        yield
    finally:
        before.set_current()
    assert time.monotonic() - began < 1


def redis_is_asked_again() -> None:
    """Wait until Redis is no longer left alone."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            redis_client().set("sl1:test", 1)
        except Exception:  # noqa: BLE001
            time.sleep(0.05)
        else:
            return
