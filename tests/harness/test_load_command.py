"""`script/loadtest` as a person types it: what it refuses, and that what was not played is broken in every file."""

import json

import pytest

from script.lib import local
from tests.load import checks
from tests.load.__main__ import main
from tests.load.scenarios import SCENARIOS


@pytest.mark.parametrize(
    "arguments", [[], ["burst", "--all"], ["rush"], ["burst", "--time-scale", "0"], ["burst", "--time-scale", "2"]]
)
def test_what_makes_no_sense_is_refused(arguments, capsys):
    """A time scale above 1 would be a gentler scenario than promised."""
    with pytest.raises(SystemExit) as refused:
        main(arguments)

    assert refused.value.code == 2
    assert "script/loadtest: error" in capsys.readouterr().err


def test_what_could_not_be_played_is_broken_in_every_row(tmp_path, capsys, monkeypatch):
    """FM-80: another run holds the ground, so nothing is played; the files say so, and the status as well."""
    monkeypatch.setattr(local, "LOCAL", tmp_path)
    files = {name: tmp_path / f"rows.{name}" for name in ("json", "html")}
    with local.only_one(tmp_path / "load.lock"):
        status = main(["--all", "--json", str(files["json"]), "--html", str(files["html"])])

    assert status == 1
    rows = json.loads(files["json"].read_text())
    assert [row["name"] for row in rows] == list(checks.all_promises())
    assert {(row["value"], row["ok"]) for row in rows} == {(None, False)}
    assert files["html"].read_text().count("could not be played") == len(SCENARIOS)
    assert "already runs" in capsys.readouterr().err
