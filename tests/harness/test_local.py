"""Secrets and lock of a checkout."""

import json
import stat
import subprocess

import pytest

from script.lib.local import only_one, read_or_make_secrets, write_environment
from script.lib.processes import HarnessError


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path):
    """FM-83."""
    path = tmp_path / "local" / "secrets.json"

    first = read_or_make_secrets(path)

    assert read_or_make_secrets(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_secrets(tmp_path / "other.json") != first


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"SECRET_KEY": "x"})])
def test_damaged_secrets_are_reported_and_kept(tmp_path, text):
    """New keys would make the database unreadable."""
    path = tmp_path / "secrets.json"
    path.write_text(text)

    with pytest.raises(HarnessError, match=r"Remove .* to begin afresh"):
        read_or_make_secrets(path)

    assert path.read_text() == text


def test_shell_that_reads_the_environment_has_what_manage_py_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@/it's here?host=/tmp")

    path = write_environment(tmp_path / "demo.env")

    read = subprocess.run(["sh", "-c", f". {path}; env"], capture_output=True, text=True, check=True, env={}).stdout
    assert "DATABASE_URL=postgresql://postgres@/it's here?host=/tmp\n" in read
    assert {"SECRET_KEY", "FIELD_KEYS", "CALCOM_LOOPBACK_ONLY"} <= {
        line.partition("=")[0] for line in read.splitlines()
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_one_script_runs_at_a_time(tmp_path):
    lock = tmp_path / "running.lock"

    with only_one(lock), pytest.raises(HarnessError, match="already runs"), only_one(lock):
        pytest.fail("both run")

    with only_one(lock):
        pass
