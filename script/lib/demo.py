"""Bring everything up, play a call, and stay up; the command behind `script/demo`."""

import argparse
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date, timedelta

import django
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections
from redis import RedisError

from calcom.simulator import SimulatorClient
from script.lib import call, local, programs, voice_call
from script.lib.processes import HarnessError, Supervisor, choose_port
from script.lib.servers import start_servers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _parse(arguments)
    try:
        with local.only_one(), Supervisor(local.LOGS) as supervisor:
            if options.empty:
                _perform_empty(supervisor, port=options.port)
            else:
                _perform(supervisor, port=options.port, once=options.once)
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return 130
    except (HarnessError, CommandError, ImproperlyConfigured, DatabaseError, RedisError) as exc:
        print(f"\nscript/demo: {exc}\nEverything that was started has been stopped.", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/demo", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="end after the call; status 1 if it was not as it should be"
    )
    parser.add_argument(
        "--empty", action="store_true", help="start without companies and without a call, to try manage.py onboard"
    )
    parser.add_argument("--port", type=int, default=8000, help="where web answers; 0 takes any free port")
    return parser.parse_args(arguments)


def _perform(supervisor: Supervisor, *, port: int, once: bool) -> None:
    began = time.monotonic()
    port = choose_port(port, option="--port")
    os.environ.update(local.environment())
    os.environ.setdefault("BOOKINGS_CHECKS_A_MINUTE", "0")  # the transcript counts each request at Cal.com
    made = local.read_or_make_secrets()
    tuesday = call.next_tuesday()
    print("Bringing Slotline up:")
    with _step("PostgreSQL and Redis"):
        start_servers(supervisor, local.LOCAL / "postgres")
    with _step("the Cal.com simulator"):
        simulator = SimulatorClient(programs.start_simulator(supervisor, seed=secrets.randbelow(2**31)))
    with _step("tables and two companies"):
        _prepare(simulator.base_url, tuesday)
    # What an empty cache loads before is not stored.
    consistent_at = time.monotonic() + settings.CACHE_CONSISTENCY_LAG + 0.1
    with _step("web, three workers, beat"):
        url = programs.start_web(supervisor, port=port)
        programs.start_workers(supervisor)
        programs.wait_for_web(supervisor, url)
        programs.wait_for_workers(supervisor)
    time.sleep(max(0.0, consistent_at - time.monotonic()))
    simulator.reset(log_only=True)
    print(f"Up after {time.monotonic() - began:.1f} s. A phone call:")
    keys = {"salon_key": made["DEMO_SALON_KEY"], "practice_key": made["DEMO_PRACTICE_KEY"]}
    try:
        call.play(url=url, simulator=simulator, tuesday=tuesday, **keys)
        print("\nThe same by voice platforms:")
        voice_call.play(url=url, salon_key=keys["salon_key"], simulator=simulator, tuesday=tuesday)
    except HarnessError:
        supervisor.check()  # where a child has died, that is the reason
        raise
    print("\nThe call was as it should be.")
    if not once:
        _tell(url, made)
        supervisor.watch()


def _perform_empty(supervisor: Supervisor, *, port: int) -> None:
    """Bring Slotline up on tables without a company, those of an earlier --empty thrown away."""
    port = choose_port(port, option="--port")
    os.environ.update(local.environment())
    made, data = local.read_or_make_secrets(), local.LOCAL / "postgres-empty"
    print("Bringing Slotline up without companies:")
    with _step("PostgreSQL and Redis"):
        shutil.rmtree(data, ignore_errors=True)
        start_servers(supervisor, data)
    with _step("the Cal.com simulator"):
        calcom_url = programs.start_simulator(supervisor, seed=secrets.randbelow(2**31))
    with _step("tables"):
        _prepare_empty(calcom_url)
    with _step("web, three workers, beat"):
        url = programs.start_web(supervisor, port=port)
        programs.start_workers(supervisor)
        programs.wait_for_web(supervisor, url)
        programs.wait_for_workers(supervisor)
    _tell_empty(url, calcom_url, made)
    supervisor.watch()


def _prepare_empty(calcom_url: str) -> None:
    with _logged():
        django.setup()
        call_command("migrate", verbosity=0)
        if apps.get_model("bookings", "Company").objects.exists():
            raise HarnessError("DATABASE_URL names a database that has companies: --empty wants one without.")
        call_command("seed_demo", calcom_url=calcom_url, empty=True)
    connections.close_all()


@contextmanager
def _logged() -> Iterator[None]:
    """Have output go to a log; what this process logs goes there from here on."""
    log = (local.LOGS / "prepare.log").open("w")
    with redirect_stdout(log), redirect_stderr(log):
        yield


def _prepare(calcom_url: str, tuesday: date) -> None:
    """Migrate and seed in this process, which saves the start of three others; output goes to a log."""
    with _logged():
        django.setup()
        call_command("migrate", verbosity=0)
        call_command("seed_demo", calcom_url=calcom_url)
        # A Redis that REDIS_URL names may know Tuesday from an earlier demo.
        for account_id, id_ in apps.get_model("calcom", "EventType").objects.values_list("account_id", "id"):
            call_command("invalidate_cache", account_id, id_, tuesday - timedelta(days=1), tuesday)
    connections.close_all()


def _tell_empty(url: str, calcom_url: str, made: dict[str, str]) -> None:
    print(
        f"""
Slotline stays up until Ctrl-C, and knows no company. In another terminal, in this folder:

  . {local.write_environment()}
  CALCOM_API_KEY=cal_demo_salon .venv/bin/python manage.py onboard --base-url {calcom_url} --public-url {url}

  admin      {url}/admin/          login: demo   password: {made["DEMO_PASSWORD"]}
  logs       {local.LOGS}
""",
        flush=True,
    )


def _tell(url: str, made: dict[str, str]) -> None:
    print(
        f"""
Slotline stays up until Ctrl-C.

  admin      {url}/admin/          login: demo   password: {made["DEMO_PASSWORD"]}
  API docs   {url}/v1/docs
  health     {url}/health
  manage.py  . {local.write_environment()}
  try        curl -H 'Authorization: Bearer {made["DEMO_SALON_KEY"]}' {url}/v1/services
  logs       {local.LOGS}
""",
        flush=True,
    )


@contextmanager
def _step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"  {what} …", end="", flush=True)
    try:
        yield
    except BaseException:
        print()
        raise
    print(f" {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
