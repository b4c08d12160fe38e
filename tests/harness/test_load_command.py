"""`script/loadtest`: what it refuses, and that scenarios that were not run fail in every row."""

import json

import pytest

from script.lib import local
from tests.benchmarks.thresholds import THRESHOLDS
from tests.load.__main__ import main


@pytest.mark.parametrize(
    "arguments", [[], ["burst", "--all"], ["rush"], ["burst", "--time-scale", "0"], ["burst", "--time-scale", "2"]]
)
def test_invalid_arguments_are_refused(arguments, capsys):
    """A time scale above 1 would be a gentler scenario than agreed."""
    with pytest.raises(SystemExit) as refused:
        main(arguments)

    assert refused.value.code == 2
    assert "script/loadtest: error" in capsys.readouterr().err


def test_scenarios_that_were_not_run_fail_in_every_row(tmp_path, capsys, monkeypatch):
    """FM-80: another run holds the lock."""
    monkeypatch.setattr(local, "LOCAL", tmp_path)
    with local.only_one(tmp_path / "load.lock"):
        status = main(["--all", "--json", str(tmp_path / "rows.json")])

    assert status == 1
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["name"] for row in rows] == list(THRESHOLDS["load"])
    assert {(row["value"], row["ok"]) for row in rows} == {(None, False)}
    assert "already runs" in capsys.readouterr().err
