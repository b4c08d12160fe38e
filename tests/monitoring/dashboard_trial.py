"""
Every panel of the dashboard, asked of a real Prometheus that scraped a Slotline with callers.

`python -m tests.monitoring.dashboard_trial` prints each query without a value; status 1 where there is one.
"""

import json
import shutil
import time
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from script.lib.agent import Agent, Answer, request
from script.lib.environment import Environment, running_servers, window
from script.lib.local import ROOT
from script.lib.processes import HarnessError, free_port, is_listening
from tests.chaos.callers import salon

TOKEN = "tests-only"
ROUNDS = 12
CHECKED_WITHIN = 60.0
"""Seconds in which cached lists are compared with Cal.com: twice, because an increase needs two values."""
SCRAPED = 2.5
"""Seconds in which Prometheus has read everything once."""
CALLER = {"topic": "a question", "name": "Ada Byron", "phone": "+49 30 901820"}


def start_prometheus(env: Environment, folder: Path) -> str:
    """Start Prometheus with the configuration of the repository, at another address and pace; return its URL."""
    (folder / "token").write_text(TOKEN, "utf-8")
    shutil.copy(ROOT / "docs/deploy/alerts.yml", folder)
    wanted = yaml.safe_load((ROOT / "docs/deploy/prometheus.yml").read_text("utf-8"))
    wanted["global"]["scrape_interval"] = "1s"
    [job] = wanted["scrape_configs"]
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [env.url.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(wanted), "utf-8")
    port = free_port()
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    env.supervisor.start("prometheus", ["prometheus", *(f"--{name}={value}" for name, value in options.items())])
    env.supervisor.wait_until(lambda: is_listening(port), what="Prometheus did not answer", within=30)
    return f"http://127.0.0.1:{port}"


def play(env: Environment) -> None:
    """Have callers search, book, reschedule and cancel, a round a second: a rate needs a counter that grows."""
    slug = next(iter(env.services))
    with env.agent() as agent:
        starts = env.free_slots(agent, slug, ahead=4, days=5)
        for number in range(ROUNDS):
            began = time.monotonic()
            _search(env, agent, number)
            booked = _done(env.book(agent, slug, starts[2 * number]))
            place = f"/v1/bookings/{booked.body['booking']['id']}"
            _done(agent.post(f"{place}/reschedule", {"start": starts[-1 - number]}, Prefer="wait=8"))
            _done(agent.post(f"{place}/cancel", {}, Prefer="wait=8"))
            time.sleep(max(0.0, began + 1.1 - time.monotonic()))
        _done(agent.post("/v1/callbacks", CALLER))


def _done(answer: Answer) -> Answer:
    if answer.status not in {200, 201}:
        raise HarnessError(f"A caller got {answer.status}: {str(answer.body)[:300]}")
    return answer


def _search(env: Environment, agent: Agent, number: int) -> None:
    """Search days that are cached, and some that are not."""
    services = list(env.services.values())
    for service in (services[0], services[number % len(services)]):
        agent.get("/v1/availability", service=service, **window(5, days=2))


def ask(prometheus: str, expr: str) -> list[float]:
    """Return the values that the query has now; without a number, none."""
    query = urlencode({"query": expr.replace("$__rate_interval", "1m")})
    status, _, content = request(prometheus, "GET", f"/api/v1/query?{query}")
    answer: dict[str, Any] = json.loads(content)
    if status != 200:
        raise HarnessError(f"Prometheus refuses {expr}: {answer.get('error')}")
    values = [float(each["value"][1]) for each in answer["data"]["result"]]
    return [value for value in values if isfinite(value)]


def unanswered(prometheus: str, queries: Sequence[tuple[str, str]]) -> list[str]:
    """Return the queries that have no value now."""
    return [f"{title}: {expr}" for title, expr in queries if not ask(prometheus, expr)]


def check_availability(env: Environment) -> None:
    """Have a cached list compared with Cal.com, as beat does once a minute."""
    from config.celery import app  # noqa: PLC0415  reads the settings

    app.send_task("bookings.check_account", kwargs={"account_id": env.tenant().account_id}, queue="refresh")


def main() -> int:
    """Try every panel; return the exit status."""
    panels = json.loads((ROOT / "docs/deploy/grafana/slotline.json").read_text("utf-8"))["panels"]
    queries = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]
    with (
        running_servers("dashboard") as servers,
        servers.environment(salon(4), environ={"MONITORING_TOKEN": TOKEN}) as env,
    ):
        env.subscribe_webhooks()
        prometheus = start_prometheus(env, servers.place)
        time.sleep(SCRAPED)  # what is counted first must have been seen before
        play(env)
        until = time.monotonic() + CHECKED_WITHIN
        while (empty := unanswered(prometheus, queries)) and time.monotonic() < until:
            check_availability(env)
            time.sleep(SCRAPED)
    print(f"{len(queries)} queries, {len(empty)} without data", *empty, sep="\n")
    return 1 if empty else 0


if __name__ == "__main__":
    raise SystemExit(main())
