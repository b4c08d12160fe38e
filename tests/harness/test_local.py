"""What a checkout keeps for itself."""

import json
import stat

import pytest

from script.lib.local import only_one, read_or_make_secrets
from script.lib.processes import StageError


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path):
    """FM-83: the demo's keys are random, survive a restart, and nobody else on the machine can read them."""
    path = tmp_path / "local" / "secrets.json"

    first = read_or_make_secrets(path)

    assert read_or_make_secrets(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_secrets(tmp_path / "other.json") != first


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"SECRET_KEY": "x"})])
def test_damaged_secrets_are_not_replaced_silently(tmp_path, text):
    """New keys would make what the database holds unreadable; so a person decides."""
    path = tmp_path / "secrets.json"
    path.write_text(text)

    with pytest.raises(StageError, match=r"Remove .* to begin afresh"):
        read_or_make_secrets(path)

    assert path.read_text() == text


def test_one_script_at_a_time(tmp_path):
    """Two demos in one folder would share a database and a beat."""
    lock = tmp_path / "running.lock"

    with only_one(lock), pytest.raises(StageError, match="already runs"), only_one(lock):
        pytest.fail("both run")

    with only_one(lock):
        pass
