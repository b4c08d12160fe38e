"""The load scenarios: how many callers, for how long; and the call log."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.harness.load_factories import call_log, exchange, outcome
from tests.load import dataset, runner
from tests.load.call_log import CallLog, CallLogError, End, Exchange, Outcome, write
from tests.load.scenarios import SCENARIOS, SHORT, Pace, Run, short_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "users", "minutes"), [("normal", 10, 30), ("burst", 25, 10), ("cold", 15, 5)])
def test_scenarios_are_as_large_and_long_as_agreed(name, users, minutes):
    assert (SCENARIOS[name].users, SCENARIOS[name].minutes) == (users, minutes)


@pytest.mark.parametrize("name", SCENARIOS)
def test_time_scale_shortens_the_run_and_thinking_only(name):
    whole, tenth = Run(SCENARIOS[name]), Run(SCENARIOS[name], 0.1)

    assert tenth.seconds == pytest.approx(whole.seconds / 10)
    for span in vars(Pace()).values():
        assert tenth.thinks(span, Random(1)) == pytest.approx(whole.thinks(span, Random(1)) / 10)
    assert tenth.scenario == whole.scenario
    assert list(inspect.signature(runner.started).parameters) == ["servers", "seed"]


def test_short_form_ends_sooner_with_as_many_callers():
    assert set(SHORT) == set(SCENARIOS)
    assert sum(short_run(name).seconds for name in SHORT) < 180
    assert {name: short_run(name).scenario for name in SHORT} == SCENARIOS


def test_companies_share_no_host_and_hosts_serve_several_event_types():
    serving = [host for _, hosts, _ in dataset.EVENT_TYPES.values() for host in hosts]
    owners = {each.slug: each.owner for each in dataset.DATASET.event_types}

    assert len([user for user in dataset.DATASET.users if user.api_key]) == 3
    assert len(owners) >= 10
    assert len({host for host in serving if serving.count(host) > 1}) >= 3
    for host in serving:
        assert len({owners[slug] for slug, (_, hosts, _) in dataset.EVENT_TYPES.items() if host in hosts}) == 1


def test_call_log_is_read_as_it_was_written(tmp_path):
    path, end = tmp_path / "calls.jsonl", End(3.0, 1, 0, 0, 0.5, 10.0)
    with path.open("w") as file:
        for line in (exchange(1), outcome(), end):
            write(file, line)

    read = CallLog.read(path)

    assert (read.exchanges, read.outcomes, read.end) == ([exchange(1)], [outcome()], end)


@pytest.mark.parametrize("damage", ["[", '["Nothing", {}]', '["Outcome", {"at": 1}]', "{}"])
def test_damaged_call_log_is_refused(tmp_path, damage):
    """FM-80."""
    path = tmp_path / "calls.jsonl"
    path.write_text(f"{damage}\n")

    with pytest.raises(CallLogError):
        CallLog.read(path)
    with pytest.raises(CallLogError):
        CallLog.read(tmp_path / "missing")


def test_call_log_without_its_last_line_has_no_end():
    """Locust was killed."""
    assert CallLog.of([exchange(1)]).end is None
    assert call_log(outcome()).end.requests == 40


def test_call_log_has_no_personal_data():
    """FM-83."""
    assert not {"name", "phone", "email", "token"} & (set(Exchange.__annotations__) | set(Outcome.__annotations__))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_locust_accepts_every_scenario(name):
    command = [sys.executable, "-m", "locust", "--locustfile", "locustfile.py", "--list"]
    environ = {**os.environ, "LOAD_SCENARIO": name, "LOAD_KEYS": "sl_x"}

    listed = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert {"Caller", "Rival"} <= set(listed.stdout.split())


@pytest.mark.slow
def test_locust_names_the_variable_of_missing_keys():
    options = ["--headless", "--host", "http://127.0.0.1:9"]
    command = [sys.executable, "-m", "locust", "--locustfile", "locustfile.py", *options]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("LOAD_")}

    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "LOAD_KEYS" in done.stderr
    assert "Traceback" not in done.stderr
