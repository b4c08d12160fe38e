"""Container files, as far as they can be checked without an engine."""

import re
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from config import gunicorn
from script.lib import programs
from script.lib.local import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "slotline"}


def test_processes_have_the_commands_of_the_demo():
    for name, command in {"web": programs.WEB, **programs.BACKGROUND}.items():
        assert SERVICES[name]["command"] == ["python", *command], name
    workers = {name for name in SERVICES if name.startswith("worker-")}
    assert workers | {"beat"} == set(programs.BACKGROUND)


def test_image_runs_web_by_default():
    last = (ROOT / "Dockerfile").read_text(encoding="utf-8").strip().splitlines()[-1]

    assert yaml.safe_load(last.removeprefix("CMD ")) == SERVICES["web"]["command"]


def test_only_the_proxy_publishes_ports():
    """Databases and Prometheus are not published, and web is reached through the proxy only."""
    published = {name for name, service in SERVICES.items() if "ports" in service}

    assert published == {"proxy"}
    assert OURS["web"]["environment"]["BEHIND_TLS_PROXY"] == "1"


@pytest.mark.parametrize("name", OURS)
def test_containers_are_unprivileged_and_read_only(name):
    service = OURS[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER 10001$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)


def test_all_processes_share_the_metrics_volume():
    """Metrics of workers reach a scrape over this volume only."""
    for name, service in OURS.items():
        assert service["environment"]["PROMETHEUS_MULTIPROC_DIR"] == "/metrics", name
        assert "metrics:/metrics" in service["volumes"], name
    assert "metrics" in COMPOSE["volumes"]
    # A new volume has the owner of the folder in the image.
    assert "chown slotline .local /metrics" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_long_running_containers_have_health_checks():
    unasked = {name for name, service in SERVICES.items() if "healthcheck" not in service}

    assert unasked == {"migrate", "cron", "prometheus"}


def test_secrets_are_files():
    """None is in the file or the environment, and `script/secrets` makes each of them."""
    maker = (ROOT / "script" / "secrets").read_text(encoding="utf-8")
    made = {f".local/secrets/{name}" for name in re.findall(r"^keep (\w+)", maker, re.MULTILINE)}

    assert {secret["file"] for secret in COMPOSE["secrets"].values()} == made
    for service in OURS.values():
        environment = service["environment"]
        assert not {"SECRET_KEY", "FIELD_KEYS", "DATABASE_URL", "REDIS_URL", "BROKER_URL", "MONITORING_TOKEN"} & set(
            environment
        )
        read = {path for name, path in environment.items() if name.endswith("_FILE") and path.startswith("/run")}
        assert read == {f"/run/secrets/{name}" for name in service.get("secrets", ())}


def test_proxy_buffers_requests_and_closes_idle_connections_before_web():
    """A request that is sent while web closes the connection gets no answer: the proxy must close first."""
    caddyfile = (ROOT / "docs" / "deploy" / "Caddyfile").read_text(encoding="utf-8")

    assert re.search(r"^\t\trequest_buffers \d+MiB$", caddyfile, re.MULTILINE)
    kept = re.search(r"^\t+keepalive (\d+)s$", caddyfile, re.MULTILINE)
    assert kept
    assert int(kept[1]) < gunicorn.keepalive


@pytest.mark.parametrize("name", ["redis", "broker"])
def test_redis_requires_the_password_that_clients_have(name):
    command = SERVICES[name]["command"][-1]
    made = (ROOT / "script" / "secrets").read_text(encoding="utf-8")

    assert "--requirepass" in command
    assert SERVICES[name]["secrets"] == ["redis_password"]
    assert f"redis://:$(cat redis_password)@{name}:6379/0" in made


def test_broker_evicts_nothing_and_cache_evicts_least_used():
    """One policy for both would lose messages, or fail writes (measured 2026-11)."""
    assert "--maxmemory-policy noeviction" in SERVICES["broker"]["command"][-1]
    assert "--appendonly yes" in SERVICES["broker"]["command"][-1]
    assert "--maxmemory-policy volatile-lfu" in SERVICES["redis"]["command"][-1]
    assert OURS["web"]["environment"]["BROKER_URL_FILE"] != OURS["web"]["environment"]["REDIS_URL_FILE"]


def test_every_scheduled_command_exists():
    jobs = yaml.safe_load((ROOT / "docs" / "deploy" / "cron.yaml").read_text(encoding="utf-8"))["jobs"]

    assert jobs
    for job in jobs:
        python, manage, name, *words = map(str, job["command"])
        assert (python, manage) == ("python", "manage.py")
        load_command_class(get_commands()[name], name).create_parser(manage, name).parse_args(words)


def test_crontab_has_the_jobs_of_the_container():
    jobs = yaml.safe_load((ROOT / "docs" / "deploy" / "cron.yaml").read_text(encoding="utf-8"))["jobs"]
    lines = (ROOT / "docs" / "deploy" / "crontab").read_text(encoding="utf-8").splitlines()
    entries = [re.split(r"\s+", line, maxsplit=5) for line in lines if re.match(r"[\d*]", line)]

    assert sorted((job["schedule"], " ".join(map(str, job["command"][1:]))) for job in jobs) == sorted(
        (" ".join(times), re.search(r"manage\.py [^>]*\w", command)[0]) for *times, command in entries
    )
