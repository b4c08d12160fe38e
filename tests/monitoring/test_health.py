"""What load balancers, deploys and people learn about us."""

import threading
import time
from datetime import timedelta

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from monitoring import collectors, heartbeats
from monitoring.collectors import Unhealthy, register_probe
from monitoring.models import Heartbeat


@pytest.fixture(autouse=True)
def _own_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of a test are its own, and nothing remembered reaches the next one."""
    monkeypatch.setattr(collectors.PROBES, "functions", dict(collectors.PROBES.functions))
    collectors.PROBES.clear_cache()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No probes but those of the test."""
    collectors.PROBES.functions.clear()


@pytest.mark.django_db(transaction=True)
def test_health_tells_each_part(client: Client) -> None:
    """One look shows the parts, the release, and that the migrations of this code are in the database (FM-84)."""
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["version"]
    assert {"database", "redis", "broker", "migrations"} <= set(answer.json()["probes"])
    assert all(probe["ok"] for probe in answer.json()["probes"].values())


@pytest.mark.django_db(transaction=True)
def test_a_deploy_without_its_migrations_is_not_ready(client: Client) -> None:
    """FM-84: code that is newer than the database gets no callers."""
    row = MigrationRecorder.Migration.objects.filter(app="bookings").latest("name")
    row.delete()
    try:
        answer, health = client.get("/health/ready"), client.get("/health")
    finally:
        MigrationRecorder.Migration.objects.create(app=row.app, name=row.name)

    assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])
    assert (health.status_code, health.json()["status"]) == (503, "down")
    assert health.json()["probes"]["migrations"]["detail"] == "1 not applied"


def test_a_part_that_answers_can_do_without_only_degrades(client: Client, only: None) -> None:
    """Callers are still served without a broker, so the instance stays ready."""

    def broken() -> None:
        raise ConnectionError("redis://user:hunter2@10.0.0.1:6379/0 refused")

    register_probe("broker", broken)

    health = client.get("/health")

    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["probes"]["broker"]["detail"] == "not reachable"
    assert "hunter2" not in health.text
    assert client.get("/health/ready").status_code == 200


def test_something_vital_that_fails_makes_us_not_ready(client: Client, only: None) -> None:
    """The balancer sends callers elsewhere; the process itself lives on."""

    def broken() -> None:
        raise Unhealthy("three parts missing")

    register_probe("engine", broken, vital=True)

    assert client.get("/health/ready").status_code == 503
    assert client.get("/health").json()["probes"]["engine"]["detail"] == "three parts missing"
    assert client.get("/health/live").status_code == 200


def test_a_probe_that_hangs_is_not_waited_for(client: Client, only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health answers in time, and says who did not."""
    released = threading.Event()
    register_probe("hanging", lambda: released.wait(10), vital=True)
    monkeypatch.setattr(collectors, "TIMEOUT_S", 0.05)
    began = time.monotonic()

    answer = client.get("/health/ready")

    released.set()
    assert answer.status_code == 503
    assert time.monotonic() - began < 1


def test_asking_often_costs_little(client: Client, only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred requests in a second get one result."""
    monkeypatch.setattr(collectors, "CACHED_S", 600)  # the second is as long as this test takes
    asked = []
    register_probe("counted", lambda: asked.append(1))

    for _ in range(5):
        client.get("/health")

    assert len(asked) == 1


class TestMetrics:
    """The figures are for those who run this."""

    def test_a_private_network_may_see_them(self, client: Client) -> None:
        """Without a token: direct clients on loopback and private networks."""
        assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 200
        assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200

    @pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "nonsense"])
    def test_the_internet_may_not(self, client: Client, address: str) -> None:
        """An address from outside is refused."""
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == 403

    @pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"])
    def test_behind_a_proxy_nobody_seems_private(self, client: Client, header: str) -> None:
        """The proxy has a private address, whatever client is behind it."""
        assert client.get("/metrics", REMOTE_ADDR="10.1.2.3", **{header: "8.8.8.8"}).status_code == 403

    def test_with_a_token_the_token_decides(self, client: Client, settings) -> None:
        """From everywhere with it, from nowhere without it."""
        settings.MONITORING_TOKEN = "let me see"

        seen = client.get("/metrics", REMOTE_ADDR="8.8.8.8", HTTP_AUTHORIZATION="Bearer let me see")

        assert seen.status_code == 200
        assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 403
        assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer let me in").status_code == 403
        assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer ünïcode").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_health_names_a_worker_that_is_silent(client: Client) -> None:
    heartbeats.note("refresh")
    Heartbeat.objects.filter(part="refresh").update(seen_at=timezone.now() - timedelta(minutes=3))

    health = client.get("/health").json()

    assert (health["status"], health["probes"]["beat"]["ok"]) == ("degraded", True)
    assert health["probes"]["workers"]["detail"].startswith("silent: refresh for 18")
    assert health["ready_to_sell"] == {"ok": True, "reason": ""}


@pytest.mark.django_db(transaction=True)
def test_health_names_beat_that_is_silent(client: Client) -> None:
    heartbeats.note("refresh")
    Heartbeat.objects.filter(part="beat").update(seen_at=timezone.now() - timedelta(minutes=3))

    probes = client.get("/health").json()["probes"]

    assert (probes["beat"]["ok"], probes["workers"]["ok"]) == (False, True)


def test_vital_part_that_is_missing_is_in_the_way_of_selling(client: Client, only: None) -> None:
    def broken() -> None:
        raise Unhealthy("gone")

    register_probe("database", broken, vital=True)

    assert client.get("/health").json()["ready_to_sell"] == {"ok": False, "reason": "database: gone"}
