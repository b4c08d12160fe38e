"""The shell scripts, as a stranger runs them: from anywhere, and when something is missing."""

import os
import shutil
import subprocess
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
    """A checkout with nothing but the scripts and requirements that name a package nobody has."""
    folder = tmp_path / "a checkout"
    shutil.copytree(ROOT / "script", folder / "script", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.txt").write_text("")
    (folder / "requirements-dev.txt").write_text("-r requirements.txt\n./there-is-no-such-package\n")
    return folder


@pytest.mark.parametrize("name", ["setup", "test", "check", "demo", "bench", "faults", "loadtest"])
def test_scripts_are_posix_sh(name):
    """Debian's sh is dash: nothing of bash may creep in."""
    script = ROOT / "script" / name

    assert script.read_text().startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_setup_says_which_python_it_needs(checkout, tmp_path):
    """Without Python 3.11 there is one sentence, and nothing was made."""
    done = run(checkout / "script" / "setup", cwd=tmp_path, PYTHON="no-such-python")

    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_failed_install_is_said_and_tried_again(checkout, tmp_path):
    """A package that cannot be installed ends `setup` with its log's name; the next run does not think it was done."""
    for _ in range(2):
        done = run(checkout / "script" / "setup", cwd=tmp_path)

        assert done.returncode == 1
        assert "pip did not finish" in done.stderr
        assert "setup.log" in done.stderr


@pytest.mark.slow
def test_setup_installs_only_when_the_requirements_changed(checkout, tmp_path):
    """The second run is silent; a changed file installs again."""
    (checkout / "requirements-dev.txt").write_text("-r requirements.txt\n")
    setup = checkout / "script" / "setup"

    first, second = run(setup, cwd=tmp_path), run(setup, cwd=tmp_path)
    (checkout / "requirements.txt").write_text("# changed\n")
    third = run(setup, cwd=tmp_path)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert "Installing" in first.stderr
    assert second.stderr == ""
    assert "Installing" in third.stderr
    assert "Making .venv" not in third.stderr
