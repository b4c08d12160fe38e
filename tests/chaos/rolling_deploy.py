"""
The last release and this one side by side, on one database and one broker, while callers call.

First this one takes over, in the order of docs/guides/deploy.md: workers, beat, web. Then it is rolled back, in the
reverse order. The schema is this release's all the time.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from script.lib import programs
from script.lib.agent import Agent, Answer, NoResponseError
from script.lib.environment import Environment, calcom_data, running_servers
from script.lib.local import ROOT
from script.lib.processes import Child, HarnessError, free_port

LAST_RELEASE = Path(__file__).with_name("last_release")
"""The commit of the last release."""
SLUG = "visit"
CALLERS = 2
STAYS_S = 6
"""How long each state of the deployment lasts at least, so that callers meet it."""
SETTLED_WITHIN = 180.0
PAUSE_S = 1.0
"""Of each caller after a turn: two requests to Cal.com each, of 120 a minute and key."""


class NoLastReleaseError(HarnessError):
    """Its commit is not in this clone."""


@dataclass
class Report:
    """What callers met."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    bookings: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Bookings that came to no end, and how they are said to be."""
    unknown_tasks: list[str] = field(default_factory=list)


def play() -> Report:
    """
    Deploy and roll back under load, and report.

    Raises:
        NoLastReleaseError: the clone is shallow.
        HarnessError: a process did not start or died.
    """
    companies = {f"owner{number}": {SLUG: ()} for number in range(CALLERS)}
    with running_servers("rolling_deploy") as servers:
        old = _check_out(servers.place)
        with servers.environment(calcom_data(companies)) as env:
            return _Deployment(env, old).play()


def _check_out(place: Path) -> Path:
    """Return a folder with the last release."""
    commit, target = LAST_RELEASE.read_text("utf-8").strip(), place / "last-release"
    target.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=False, capture_output=True)
    if archive.returncode:
        raise NoLastReleaseError(f"{commit} is not in this clone: git fetch --unshallow")
    subprocess.run(["tar", "--extract", "--directory", target], input=archive.stdout, check=True)
    return target


class _Deployment:
    """Processes of both releases, and callers who know only an address that answers."""

    def __init__(self, env: Environment, old: Path) -> None:
        self._env, self._old = env, old
        self._urls: list[str] = [env.url]
        self._report = Report()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._logs: list[Path] = []

    def play(self) -> Report:
        supervisor = self._env.supervisor
        # What runs before a deployment is the last release alone.
        new_workers = [supervisor.child(name) for name in programs.BACKGROUND if name != "beat"]
        old_web, old_url = self._start_old_web()
        for child in [*new_workers, supervisor.child("beat")]:
            supervisor.stop_child(child)
        old_workers, old_beat = self._start_old_workers(), self._start_old("beat")
        self._urls[:] = [old_url]
        callers = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            self._stay("the last release")
            self._take_over(old_workers, old_beat, old_web)
            self._stay("this release")
            self._roll_back()
            self._stay("the last release again")
        finally:
            self._over.set()
            for caller in callers:
                caller.join()
        self._settle()
        self._report.unknown_tasks = [line for log in self._logs for line in _complaints(log)]
        return self._report

    # --- steps -----------------------------------------------------------------------------------------------------

    def _take_over(self, old_workers: list[Child], old_beat: Child, old_web: Child) -> None:
        supervisor = self._env.supervisor
        workers = [self._start_new(name) for name in programs.BACKGROUND if name != "beat"]
        self._stay("workers of both")
        for child in old_workers:
            supervisor.stop_child(child)
        supervisor.stop_child(old_beat)
        self._workers, self._beat = workers, self._start_new("beat")
        self._urls.append(self._env.url)  # this release's web, which ran without callers
        self._stay("web of both")
        del self._urls[0]
        time.sleep(1)  # requests under way
        supervisor.stop_child(old_web)

    def _roll_back(self) -> None:
        supervisor = self._env.supervisor
        _, old_url = self._start_old_web()
        self._urls.append(old_url)
        self._stay("web of both, on the way back")
        del self._urls[0]
        time.sleep(1)
        supervisor.stop_child(supervisor.child("web"))
        supervisor.stop_child(self._beat)
        time.sleep(3)  # what beat has sent is taken
        self._start_old_workers()
        self._stay("workers of both, on the way back")
        for child in self._workers:
            supervisor.stop_child(child)
        self._start_old("beat")

    def _stay(self, what: str) -> None:
        """Wait until callers were answered in this state."""
        self._env.supervisor.check()
        before = self._report.requests
        until = time.monotonic() + SETTLED_WITHIN
        time.sleep(STAYS_S)
        while self._report.requests < before + CALLERS:
            if time.monotonic() > until:
                raise HarnessError(f"No caller was answered while there was {what}.")
            time.sleep(0.2)

    # --- processes ---------------------------------------------------------------------------------------------------

    _numbers = count(1)

    def _start_old(self, name: str, environ: dict[str, str] | None = None) -> Child:
        command = programs.WEB if name == "web" else programs.BACKGROUND[name]
        script = f'cd "{self._old}" && exec "$0" "$@"'
        child = self._env.supervisor.start(
            f"old-{name}-{next(self._numbers)}", ["sh", "-c", script, sys.executable, *command], environ
        )
        self._logs.append(child.log)
        return child

    def _start_new(self, name: str) -> Child:
        command = [sys.executable, *programs.BACKGROUND[name]]
        child = self._env.supervisor.start(f"new-{name}-{next(self._numbers)}", command)
        self._logs.append(child.log)
        return child

    def _start_old_workers(self) -> list[Child]:
        return [self._start_old(name) for name in programs.BACKGROUND if name != "beat"]

    def _start_old_web(self) -> tuple[Child, str]:
        port = free_port()
        environ = {"WEB_BIND": f"127.0.0.1:{port}", "WEB_PROCESSES": "1", "WEB_THREADS": "20"}
        child, url = self._start_old("web", environ), f"http://127.0.0.1:{port}"
        programs.wait_for_web(self._env.supervisor, url)
        return child, url

    # --- callers -----------------------------------------------------------------------------------------------------

    def _call(self, number: int) -> None:
        """Search, book and cancel in turn, each time at an address that is served then."""
        tenant = f"owner{number}"
        service = self._env.tenant(tenant).services[SLUG]
        for turn in count():
            if self._over.is_set():
                return
            time.sleep(PAUSE_S)
            found = self._ask(tenant, lambda agent: agent.post("/v1/availability/search", {"service": service}))
            offers = found.body.get("offers") if found and isinstance(found.body, dict) else None
            if not offers:
                continue
            body = {"service": service, "start": offers[turn % len(offers)]["start"], "caller": {"name": "Ada Byron"}}
            key = f"{tenant}-{turn}"
            booked = self._ask(tenant, lambda agent: agent.post("/v1/bookings", body, Idempotency_Key=key))  # noqa: B023
            if booked and booked.status in {200, 201, 202}:
                booking = str(booked.body["booking"]["id"])
                with self._lock:
                    self._report.bookings.append(f"{tenant} {booking}")
                if turn % 3 == 0 and booked.status == 201:
                    self._ask(tenant, lambda agent: agent.post(f"/v1/bookings/{booking}/cancel", {}))  # noqa: B023

    def _ask(self, tenant: str, ask: Callable[[Agent], Answer]) -> Answer | None:
        url = self._urls[self._report.requests % len(self._urls)]
        answer, failure = None, ""
        try:
            with self._env.agent(tenant, url) as agent:
                answer = ask(agent)
        except NoResponseError as exc:
            failure = str(exc)
        if answer and answer.status >= 500:
            failure = f"{answer.status} {str(answer.body)[:200]}"
        with self._lock:
            self._report.requests += 1
            if failure:
                self._report.failed.append(failure)
        return answer

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until every booking has come to its end, and count those that are not what they were said to be."""
        until = time.monotonic() + SETTLED_WITHIN
        waiting = list(self._report.bookings)
        while waiting and time.monotonic() < until:
            waiting = [each for each in waiting if self._state(each) in {"pending", ""}]
            time.sleep(0.5)
        self._report.lost = [f"{each}: {self._state(each) or 'no answer'}" for each in waiting]

    def _state(self, booking: str) -> str:
        tenant, _, booking_id = booking.partition(" ")
        with self._env.agent(tenant, self._urls[0]) as agent:
            answer = agent.get(f"/v1/bookings/{booking_id}")
        return str(answer.body.get("status", "")) if isinstance(answer.body, dict) else ""


def _complaints(log: Path) -> list[str]:
    """Return what a worker said of messages that it does not know."""
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return [line[:300] for line in text.splitlines() if "unregistered task" in line or "unexpected keyword" in line]


if __name__ == "__main__":
    print(f"\n{json.dumps(asdict(play()))}")
