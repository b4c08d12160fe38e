"""Fixtures of all tests."""

from collections.abc import Iterator

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.db import connection
from django.db.models.expressions import CombinedExpression
from django.test.signals import clear_cache_handlers
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from structlog.contextvars import clear_contextvars

from bookings.api import auth, directory, throttling
from bookings.scheduling import claims, execution
from bookings.voice import envelope
from cachectl import keys, singleflight
from cachectl.infra import throttle
from cachectl.infra.deadline import Deadline
from cachectl.infra.redis import redis_client
from calcom.models import Account
from calcom.resilience import circuit_breaker, rate_limiter
from calcom.resilience.rate_limiter import limiter_keys
from calcom.service import CalcomService
from calcom.simulator import Simulator
from config.admin import Site
from monitoring import tenancy
from tests import factories
from tests.agent import Agent
from tests.bookings.helpers import PATIENCE, AfterWriting, let_jobs_finish

# Without limits by the wall clock: tests run beside other work.
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what `script/chaos` accepts."""
    parser.addoption("--full", action="store_true", help="run experiments as long as their promises are meant")
    parser.addoption("--sequences", type=int, default=8, metavar="N", help="how many sequences of faults are played")
    parser.addoption("--seed", type=int, default=0, metavar="S", help="the number of the first of them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with one of them in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name != "test_sequences.py", item.path not in slow))


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    """
    Delete rows instead of truncating all tables after a test that commits.

    Django's own `flush` makes new files for each table, and writes content types and permissions anew: that took longer
    than most tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush.Command, "handle", _empty_tables)
        yield


def _empty_tables(_command: flush.Command, **_options: object) -> None:
    kept = {ContentType._meta.db_table, Permission._meta.db_table}
    tables = [name for name in connection.introspection.django_table_names() if name not in kept]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_relation_size(oid) > 1000000 FROM pg_class"
            " WHERE relname = ANY(%s) AND relkind = 'r' AND pg_relation_size(oid) > 0",
            [tables],
        )
        used = cursor.fetchall()
        # In one transaction: foreign keys are checked at its end.
        statements = [f"TRUNCATE {name} CASCADE" if is_large else f"DELETE FROM {name}" for name, is_large in used]
        cursor.execute(";".join(statements))


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Begin each test with an empty Redis, empty queues, and a process without cached state and background jobs."""
    redis_client().breaker.close()  # a time-out of the test before is none of this one's
    clear_cache_handlers(setting="CACHES")  # one that a test put elsewhere stays with the client it began with
    redis_client().flushdb()
    singleflight._failed.clear()
    current_app.control.purge()
    rate_limiter.limiter_for.cache_clear()
    circuit_breaker.breaker_for.cache_clear()
    auth.key_named.clear()
    throttling.counts.clear()
    envelope.clear_keys()
    throttle.reset_memory()
    directory.clear()
    clear_contextvars()
    yield
    let_jobs_finish()


@pytest.fixture(autouse=True)
def _begins_when_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a deadline of the kind `AfterWriting` when an operation is written down."""
    timing = execution.timing

    def begin(deadline: Deadline) -> dict[str, CombinedExpression]:
        if isinstance(deadline, AfterWriting):
            deadline.begin()
        return timing(deadline)

    monkeypatch.setattr(execution, "timing", begin)


@pytest.fixture(autouse=True)
def _patient_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make callers who say nothing else wait as long as it takes: tests run beside other work."""
    monkeypatch.setattr(claims, "PATIENCE_S", PATIENCE)
    monkeypatch.setattr(settings, "BOOKINGS_READ_WAIT", PATIENCE)
    monkeypatch.setattr(settings, "BOOKINGS_WRITE_WAIT", PATIENCE)


@pytest.fixture
def staff_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Admit users with single rights to the admin: its pages must be safe for them, and may show all rows."""
    monkeypatch.setattr(Site, "has_permission", lambda _site, request: request.user.is_active)
    monkeypatch.setattr(tenancy, "visible", lambda _request, rows, _paths: rows)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Cal.com on loopback, answering at once, with the cast in it."""
    with Simulator.running(factories.dataset()) as running:
        yield running


@pytest.fixture
def salon(request: pytest.FixtureRequest, db: None) -> factories.Salon:
    """The salon in Berlin; at the simulator's, where the test asks for one."""
    salon = factories.cast_salon(_base_url(request))
    trust_redis(salon.account)
    return salon


@pytest.fixture
def practice(request: pytest.FixtureRequest, db: None) -> factories.Practice:
    """The practice in New York; at the simulator's, where the test asks for one."""
    practice = factories.cast_practice(_base_url(request))
    trust_redis(practice.account)
    return practice


@pytest.fixture
def _jobs(transactional_db: None) -> Iterator[None]:
    """Let no job outlive its test: threads see only what is committed, and the tables are emptied after the test."""
    yield
    let_jobs_finish()


@pytest.fixture
def calcom(_jobs: None, simulator: Simulator, salon: factories.Salon) -> CalcomService:
    """The salon's Cal.com."""
    return CalcomService(salon.account)


@pytest.fixture
def practice_calcom(_jobs: None, simulator: Simulator, practice: factories.Practice) -> CalcomService:
    """The practice's Cal.com."""
    return CalcomService(practice.account)


@pytest.fixture
def agent(_jobs: None, simulator: Simulator, salon: factories.Salon) -> Agent:
    """The salon's voice agent, speaking to our API."""
    return Agent(salon.key)


@pytest.fixture
def practice_agent(_jobs: None, simulator: Simulator, practice: factories.Practice) -> Agent:
    """The practice's voice agent."""
    return Agent(practice.key)


def trust_redis(account: Account) -> None:
    """Set up Redis as after a long time: the cache stores what is loaded, and the limiter knows the quota."""
    redis = redis_client()
    redis.set(keys.generation(account.pk), 1)
    permits, known, *_ = limiter_keys(account.api_key)
    redis.hset(known, mapping={"generation": 1, "checked": 1})
    redis.zadd(permits, {"generation:1": 8e15})


def _base_url(request: pytest.FixtureRequest) -> str:
    if "simulator" in request.fixturenames:
        return str(request.getfixturevalue("simulator").base_url)
    return factories.NOWHERE
