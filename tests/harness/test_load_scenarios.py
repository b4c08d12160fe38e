"""The load scenarios themselves: who calls, for how long; what callers are told is written down whole."""

import inspect
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random

import phonenumbers
import pytest

from tests.harness.load_factories import asked, evidence, ledger, told
from tests.load import dataset, runner
from tests.load.call_log import Asked, End, Ledger, LedgerDamagedError, Told, Writer
from tests.load.checks import judge, unjudged
from tests.load.people import people
from tests.load.report import Played, page
from tests.load.scenarios import SCENARIOS, SHORT, Pace, Run, in_short

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("name", "users", "minutes"), [("normal", 10, 30), ("burst", 25, 10), ("cold", 15, 5)])
def test_scenarios_are_as_large_and_as_long_as_they_must_be(name, users, minutes):
    """What must pass before a release."""
    assert (SCENARIOS[name].users, SCENARIOS[name].minutes) == (users, minutes)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_time_scale_shortens_the_run_and_how_long_people_think(name):
    """And nothing else: as many callers come, and Cal.com and our own lifetimes know nothing of it."""
    whole, tenth = Run(SCENARIOS[name]), Run(SCENARIOS[name], 0.1)

    assert tenth.seconds == pytest.approx(whole.seconds / 10)
    for span in vars(Pace()).values():
        assert tenth.thinks(span, Random(1)) == pytest.approx(whole.thinks(span, Random(1)) / 10)
    assert tenth.scenario == whole.scenario
    assert list(inspect.signature(runner.brought_up).parameters) == ["seed"]


def test_the_short_form_ends_sooner_with_as_many_callers():
    """Four minutes are enough for all of them."""
    assert set(SHORT) == set(SCENARIOS)
    assert sum(in_short(name).seconds for name in SHORT) < 180
    assert {name: in_short(name).scenario for name in SHORT} == SCENARIOS


def test_the_companies_are_strangers_and_their_people_serve_several_kinds():
    """Three tenants, a dozen event types, hosts that are shared."""
    known = dataset.calcom_dataset()
    serves = [host for hosts in dataset.HOSTS.values() for host in hosts]

    assert len([user for user in known.users if user.api_key]) == 3
    assert len(known.event_types) >= 10
    assert len({host for host in serves if serves.count(host) > 1}) >= 3
    owners = {each.slug: each.owner for each in known.event_types}
    assert all(len({owners[slug] for slug, hosts in dataset.HOSTS.items() if host in hosts}) == 1 for host in serves)


def test_callers_are_invented_and_nobody_has_their_numbers_twice():
    """Numbers are valid, so that they are taken for numbers; some callers withhold theirs."""
    called = list(islice(people(Random(1)), 5000))
    numbers = [person.phone for person in called if person.phone]

    assert len(numbers) == len(set(numbers)) < 5000
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers[:500])
    assert called[:50] == list(islice(people(Random(1)), 50))
    assert numbers[0] not in repr(called)


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_what_is_written_into_the_ledger_is_read_back(tmp_path):
    """Line by line, sorted by what it tells."""
    path = tmp_path / "ledger.jsonl"
    end = End(3.0, 1, 0, 0, 0.5, 10.0)
    with path.open("w") as file:
        for line in (asked(1), told(), end):
            Writer(file).write(line)

    read = Ledger.read(path)

    assert (read.asked, read.told, read.end) == ([asked(1)], [told()], end)


@pytest.mark.parametrize("damage", ["[", '["Nothing", {}]', '["Told", {"at": 1}]', "{}"])
def test_a_damaged_ledger_is_no_ledger(tmp_path, damage):
    """FM-80: what cannot be read may be what went wrong."""
    path = tmp_path / "ledger.jsonl"
    path.write_text(f"{damage}\n")

    with pytest.raises(LedgerDamagedError):
        Ledger.read(path)
    with pytest.raises(LedgerDamagedError):
        Ledger.read(tmp_path / "not there")


def test_a_ledger_without_its_last_line_is_read_and_has_no_end(tmp_path):
    """Whoever judges it must see that locust was killed."""
    assert Ledger.of([asked(1)]).end is None


def test_no_name_and_no_number_is_written_down():
    """FM-83: the ledger may be kept."""
    assert not {"name", "phone", "email", "token"} & (set(Asked.__annotations__) | set(Told.__annotations__))


# --- the report ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_report_shows_every_row_and_what_happened_over_time():
    """One page with its plots in it, that loads nothing; a scenario that was not played is on it as well."""
    played = [Played(name, judge(evidence(name)), evidence(name)) for name in ("queue", "outage")]
    played.append(Played("burst", unjudged("burst", "web <has> died")))

    html = page(played, title="Load")

    assert html.count("<svg") == 8
    assert all(row.name in html for each in played for row in each.rows)
    assert "web &lt;has&gt; died" in html
    assert "away" in html
    assert "src=" not in html
    assert "<script" not in html


@pytest.mark.slow
@pytest.mark.parametrize("part", ["ledger", "requests", "depths"])
def test_the_report_shows_what_there_is(part):
    """A run whose data are incomplete is the one that somebody looks into."""
    run = evidence("burst", **{part: None})

    assert page([Played("burst", judge(run), run)], title="Load").count("<svg") == 4


# --- locust -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_locust_finds_callers_for_every_scenario(name):
    """The file is usable by hand, too."""
    command = [sys.executable, "-m", "locust", "--locustfile", "locustfile.py", "--list"]
    environ = {**os.environ, "LOAD_SCENARIO": name, "LOAD_KEYS": "sl_x"}

    listed = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert {"Caller", "Rival"} <= set(listed.stdout.split())


@pytest.mark.slow
def test_locust_says_which_keys_it_needs():
    """Without one there is a sentence and no traceback."""
    command = [
        sys.executable,
        "-m",
        "locust",
        "--locustfile",
        "locustfile.py",
        "--headless",
        "--host",
        "http://127.0.0.1:9",
    ]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("LOAD_")}

    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "LOAD_KEYS" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_ledger_of_the_cast_is_whole():
    """What the other tests stand on."""
    whole = ledger(told())

    assert whole.end is not None
    assert whole.end.requests == len(whole.asked)
