"""Files of containers, servers and clusters, as far as they can be checked without any of these."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.core.management import get_commands, load_command_class

from config import gunicorn
from script.lib import programs
from script.lib.local import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
WATCH = {name for name, service in SERVICES.items() if service.get("profiles") == ["watch"]}
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("slotline:")}


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

    assert published == {"proxy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["grafana"]["ports"])
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

    assert unasked == {"migrate", "cron", *WATCH}


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


def test_compose_file_fits_its_schema():
    validator = Path(sys.executable).parent / "check-jsonschema"
    command = [validator, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_bounded(name):
    """None fills the disk with its log, or takes the memory of the others."""
    assert SERVICES[name]["logging"]["options"]["max-size"]
    assert SERVICES[name]["mem_limit"]


def test_image_has_a_version():
    assert {service["image"] for service in OURS.values()} == {"slotline:${RELEASE:-0.2.0}"}


def documented_variables():
    section = (ROOT / "docs" / "operations.md").read_text("utf-8").split("## Environment")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}


def test_every_documented_variable_reaches_the_containers():
    """Those that the file itself does not set come from .env, and .env.example names them."""
    example = (ROOT / ".env.example").read_text("utf-8")
    offered = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    environment = OURS["web"]["environment"]
    of_files = {name.removesuffix("_FILE") for name in environment}
    in_image = {"WHITENOISE_USE_FINDERS", "DEBUG"}
    of_checkout = {"DEMO"}

    assert OURS["web"]["env_file"] == [{"path": ".env", "required": False}]
    assert documented_variables() <= offered | set(environment) | of_files | in_image | of_checkout
    assert offered - documented_variables() == {"SITE_ADDRESS"}


MANIFESTS = yaml.safe_load((ROOT / "docs" / "deploy" / "kubernetes" / "slotline.yaml").read_text("utf-8"))["items"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_manifest_fits_the_schema_of_kubernetes(manifest):
    kubernetes_validate.validate(manifest, "1.37", strict=True)


def pods():
    for manifest in MANIFESTS:
        template = manifest["spec"].get("jobTemplate", manifest)["spec"].get("template") if "spec" in manifest else None
        if template:
            yield manifest, template["spec"]


def test_cluster_runs_the_commands_of_the_containers():
    in_cluster = {
        tuple(container["command"])
        for manifest, pod in pods()
        for container in pod["containers"]
        if manifest["kind"] != "CronJob"
    }
    in_compose = {tuple(service["command"]) for name, service in OURS.items() if name != "cron"}

    assert in_cluster == in_compose
    jobs = yaml.safe_load((ROOT / "docs" / "deploy" / "cron.yaml").read_text("utf-8"))["jobs"]
    scheduled = {
        (manifest["spec"]["schedule"], tuple(pod["containers"][0]["command"]))
        for manifest, pod in pods() if manifest["kind"] == "CronJob"
    }  # fmt: skip
    assert scheduled == {(job["schedule"], tuple(map(str, job["command"]))) for job in jobs}


def test_cluster_has_one_beat_and_unprivileged_pods():
    beat = next(manifest for manifest in MANIFESTS if manifest["metadata"]["name"] == "slotline-beat")

    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]["type"]) == (1, "Recreate")
    for _, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in pod["containers"])


UNITS = ROOT / "docs" / "deploy" / "systemd"


def command_of(unit, variables=""):
    """Return what systemd would start, with the variables of an environment file filled in."""
    command = re.search(r"^ExecStart=(.+)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE)[1]
    for name, value in re.findall(r"(\w+)=(.+)", variables):
        command = command.replace(f"${{{name}}}", value)
    return command.replace("%%", "%")


@pytest.mark.parametrize("name", ["web", *programs.BACKGROUND])
def test_units_run_the_commands_of_the_containers(name):
    started = f"/srv/slotline/.venv/bin/{' '.join(SERVICES[name]['command'])}"
    instance = name.removeprefix("worker-")

    if instance == name:
        assert command_of(f"slotline-{name}.service") == started
    else:
        variables = (UNITS / f"worker-{instance}.env").read_text("utf-8")
        assert command_of("slotline-worker@.service", variables).replace("%i", instance) == started
        assert f"slotline-worker@{instance}.service" in (UNITS / "slotline.target").read_text("utf-8")


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze IS NOT INSTALLED: units are not parsed"
)
def test_units_are_read_by_systemd(tmp_path):
    for unit in UNITS.iterdir():
        text = unit.read_text("utf-8").replace("/srv/slotline/.venv/bin/python", "/usr/bin/env")
        (tmp_path / unit.name.replace("@.", "@cache.")).write_text(text)
    units = [str(each) for each in tmp_path.iterdir() if each.suffix in {".service", ".target"}]

    said = subprocess.run(["systemd-analyze", "verify", *units], check=False, capture_output=True, text=True).stderr

    ours = [line for line in said.splitlines() if str(tmp_path) in line or line.startswith("slotline-")]
    assert not ours, ours
