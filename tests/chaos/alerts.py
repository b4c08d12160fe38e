"""
Every alert that a fault can cause within minutes, caused in a Slotline that runs, and timed to the message.

`python -m tests.chaos.alerts calcom` (or `parts`) prints a line for each: seconds from the fault to the message, at a
webhook and a mail server. Status 1 where one of the urgent alerts took more than 30 s, one never came, or one came
without a fault. `load` causes none: callers ring up as in the load scenarios, and no message may come.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from script.lib.environment import Environment, Servers, running_servers, window
from script.lib.processes import HarnessError
from tests.chaos.callers import salon
from tests.load.scenarios import short_run
from tests.sinks import Sink, mail_server, webhook

URGENT_WITHIN, WITHIN = 30.0, 240.0
QUIET = 75.0
SEED = 1
# Until spent requests count no more; until a probe closes the circuit; until a refused key is tried again.
BUDGET_FREE, BREAKER_PROBES, KEY_PROBES = 65.0, 12.0, 35.0


@dataclass
class Fired:
    """How long a message about an alert took."""

    alert: str
    what: str
    seconds: float
    within: float

    def __str__(self) -> str:
        late = "" if self.seconds <= self.within else f" (more than {self.within:.0f} s)"
        return f"{self.alert:22} {self.seconds:6.1f} s  {self.what}{late}"


class Trial:
    """Faults and the messages that follow."""

    def __init__(self, env: Environment, hook: Sink, mail: Sink) -> None:
        self._env, self._hook, self._mail = env, hook, mail
        self._asked = 0
        self.fired: list[Fired] = []

    def ask(self, *, times: int = 1) -> None:
        """Search for days that are not cached: each time of another service."""
        services = list(self._env.services.values())
        with self._env.agent() as agent:
            for _ in range(times):
                agent.get("/v1/availability", service=services[self._asked % len(services)], **window(3))
                self._asked += 1

    def fault(self, alert: str, what: str, cause: Callable[[], object], *, urgent: bool = False) -> None:
        """Cause a fault, and wait for both messages about it."""
        before = len(self._hook.received), len(self._mail.received)
        within = URGENT_WITHIN if urgent else WITHIN
        began = time.monotonic()
        cause()
        while time.monotonic() < began + within + 60:
            seen = [
                self._time(sink, since, alert) for sink, since in zip((self._hook, self._mail), before, strict=True)
            ]
            if all(seen):
                self._tell(Fired(alert, what, max(each for each in seen if each) - began, within))
                return
            time.sleep(0.1)
        self._tell(Fired(alert, f"{what}: no message", float("inf"), within))

    def _tell(self, fired: Fired) -> None:
        self.fired.append(fired)
        print(fired, flush=True)

    @staticmethod
    def _time(sink: Sink, since: int, alert: str) -> float | None:
        for text, at in list(zip(sink.received, sink.times, strict=True))[since:]:
            if f" {alert} (" in text or f" {alert}:" in text:
                return at
        return None


def calcom(env: Environment, trial: Trial) -> None:
    """Cause what Cal.com and the budget can cause."""
    from calcom.models import Account  # noqa: PLC0415  models need the settings
    from calcom.resilience.rate_limiter import limiter_for  # noqa: PLC0415
    from calcom.types import Priority  # noqa: PLC0415

    account = Account.objects.get(pk=env.tenant().account_id)

    def spend(number: int) -> None:
        limiter = limiter_for(account.api_key, account.requests_per_minute)
        state = limiter.state()
        assert state is not None
        for _ in range(number - state.spent):
            limiter.permit(Priority.WRITE, tenant=None, longest_call_s=8, deadline_left_s=0).ended({}, 200)

    def fail(kind: str, **how: Any) -> None:
        env.simulator.fail("GET *", kind, **how)
        trial.ask(times=4)

    trial.fault("rate_high", "110 requests of a minute spent", lambda: spend(110), urgent=True)
    trial.fault("rate_critical", "117 requests of a minute spent", lambda: spend(117), urgent=True)
    time.sleep(BUDGET_FREE)
    trial.fault("circuit_open", "Cal.com answers 500", lambda: fail("error_before", times=None), urgent=True)
    env.simulator.clear_faults()
    time.sleep(BREAKER_PROBES)
    trial.fault(
        "key_refused",
        "Cal.com refuses the key",
        lambda: fail("refused", times=None, status=401, message="Invalid API Key"),
        urgent=True,
    )
    env.simulator.clear_faults()
    time.sleep(KEY_PROBES)
    trial.fault("calcom_rate_limited", "Cal.com answers 429", lambda: fail("too_many"))


def parts(env: Environment, trial: Trial) -> None:
    """Cause what our own parts can cause."""
    from config.celery import app  # noqa: PLC0415  reads the settings

    supervisor = env.supervisor
    worker, beat, broker, database = map(supervisor.child, ("worker-cache", "beat", "broker", "postgres"))

    def stop_worker() -> None:
        supervisor.stop_child(worker)
        for _ in range(60):
            app.send_task("cachectl.invalidate_range", kwargs={}, queue="cache")

    def open_circuit() -> None:
        supervisor.kill(broker)
        env.simulator.fail("GET *", "error_before", times=None)
        trial.ask(times=4)

    trial.fault("queue_deep", "the cache worker stopped, 60 messages", stop_worker, urgent=True)
    supervisor.restart(worker)
    trial.fault("beat_silent", "beat stopped: web evaluates", lambda: supervisor.stop_child(beat))
    trial.fault("circuit_open", "Cal.com answers 500, no broker", open_circuit, urgent=True)
    trial.fault("database_away", "PostgreSQL stopped", lambda: supervisor.stop_child(database), urgent=True)


def load(servers: Servers, hook: Sink) -> None:
    """Have callers ring up as in the load scenarios, cold, as usual and all at once."""
    from tests.load import runner  # noqa: PLC0415

    with runner.started(servers, SEED) as env:
        for name in ("cold", "normal", "burst"):
            began = time.monotonic()
            runner.run(short_run(name), env, SEED)
            print(f"{name:22} {time.monotonic() - began:6.1f} s  {len(hook.received)} messages", flush=True)
        time.sleep(QUIET)  # until all of it was evaluated


GROUPS = {"calcom": calcom, "parts": parts}


def main(name: str) -> int:
    """Run one group; return the exit status."""
    return quiet() if name == "load" else faults(name)


def quiet() -> int:
    """Run the load; return the exit status."""
    with webhook() as hook, running_servers("alerts-load") as servers:
        os.environ["ALERT_URLS"] = hook.url
        load(servers, hook)
        wrong = [f"without a fault: {each[:300]}" for each in hook.received] + unevaluated()
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


def unevaluated() -> list[str]:
    """Return what was not evaluated of late: it would be quiet, too."""
    from monitoring.models import Turn  # noqa: PLC0415

    since = timezone.now() - timedelta(seconds=2 * QUIET)
    evaluated = Turn.objects.filter(taken_at__gt=since).count()
    return [] if evaluated == 2 else [f"only {evaluated} of 2 paces of alerts were evaluated"]


def faults(name: str) -> int:
    """Cause one group of faults; return the exit status."""
    with webhook() as hook, mail_server() as mail, running_servers(f"alerts-{name}", own_broker=True) as servers:
        urls = {"ALERT_URLS": f"{hook.url},{mail.url}"}
        try:
            with servers.environment(salon(8), environ=urls) as env:
                trial = Trial(env, hook, mail)
                trial.ask()
                time.sleep(QUIET)
                wrong = [f"without a fault: {each[:300]}" for each in hook.received]
                GROUPS[name](env, trial)
                wrong += [str(each) for each in trial.fired if each.seconds > each.within]
        except HarnessError as exc:
            wrong = [str(exc)]
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
