"""Every alert fires and is quiet as the table says, evaluated by Slotline and by Prometheus."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from monitoring.alert_forms import Series, Subject, of
from monitoring.alerting import Status, advance
from monitoring.alerts import BY_NAME, RULES, Rule
from tests.monitoring.alert_cases import CASES, Case

ROOT = Path(__file__).resolve().parents[2]
EXPORTED = ROOT / "docs/deploy/alerts.yml"
START = datetime(2026, 11, 24, tzinfo=UTC)


def expanded(notation: str) -> Iterator[float | None]:
    """Yield the values that promtool's notation stands for."""
    for word in notation.split():
        first, step, count = re.fullmatch(r"(_|[\d.]+)(?:\+(\d+))?(?:x(\d+))?", word).groups()
        # Without an `x` it is one value, with it one more than the number: the first is the zeroth.
        for number in range(int(count or 0) + (0 if first == "_" and count else 1)):
            yield None if first == "_" else float(first) + number * float(step or 0)


def history(case: Case) -> dict[str, list[Series]]:
    """Return the case's series, a sample a minute."""
    found: dict[str, list[Series]] = {}
    for line, notation in case.series.items():
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        points = [
            ((START + timedelta(minutes=minute)).timestamp(), value)
            for minute, value in enumerate(expanded(notation))
            if value is not None
        ]
        series = Series(labels, [at for at, _ in points], [value for _, value in points])
        found.setdefault(line.partition("{")[0], []).append(series)
    return found


def played(rule: Rule, case: Case) -> dict[float, list[Subject]]:
    """Return what fires at the minutes of the case, evaluated as often as the rule wants it."""
    past, standing, fired = history(case), {}, {}
    now = START
    while now <= START + timedelta(minutes=max(case.fires)):
        seen = {name: [_until(each, now) for each in several] for name, several in past.items()}
        holds = rule.form.firing(seen, now.timestamp())
        for subject in {*holds, *standing}:
            status = advance(rule, standing.get(subject), holds=subject in holds, now=now)
            standing[subject] = status
        standing = {subject: status for subject, status in standing.items() if status and not status.resolved_at}
        minute = (now - START) / timedelta(minutes=1)
        fired[minute] = sorted(subject for subject, status in standing.items() if status.fired_at)
        now += rule.every
    return {minute: fired[minute] for minute in case.fires}


def _until(series: Series, now: datetime) -> Series:
    known = [at for at in series.times if at <= now.timestamp()]
    return Series(series.labels, known, series.values[: len(known)])


def test_every_alert_has_a_firing_and_a_quiet_case() -> None:
    firing = {case.rule for case in CASES if any(case.fires.values())}
    quiet = {case.rule for case in CASES if not any(case.fires.values())}

    assert firing == quiet == set(BY_NAME)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alert_fires_as_the_table_says_of_our_own_samples(case: Case) -> None:
    assert played(BY_NAME[case.rule], case) == case.fires


def test_alert_fires_as_the_table_says_of_prometheus(tmp_path: Path) -> None:
    """The same table, by Prometheus' own evaluator; Debian has it in the package `prometheus`."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool IS MISSING: no alert was evaluated by Prometheus. Install the package `prometheus`.")
    for rule in RULES:  # each alone: Prometheus evaluates whatever is in a file for every case
        plan, alone = f"{rule.name}.test.yml", f"{rule.name}.yml"
        (tmp_path / alone).write_text(yaml.safe_dump({"groups": exported(rule.name)}), "utf-8")
        tests = [as_promtool(case) for case in CASES if case.rule == rule.name]
        paced = {"rule_files": [alone], "evaluation_interval": "5s" if rule.urgent else "1m", "tests": tests}
        (tmp_path / plan).write_text(yaml.safe_dump(paced), "utf-8")

    plans = [f"{rule.name}.test.yml" for rule in RULES]
    for arguments in (["check", "rules", str(EXPORTED)], ["test", "rules", *plans]):
        run = subprocess.run([promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, (run.stdout + run.stderr)[-6000:]


def exported(rule: str) -> list[dict[str, Any]]:
    """Return the groups of the exported file with one of its rules."""
    only = [{**group, "rules": [each for each in group["rules"] if each["alert"] == rule]} for group in _groups()]
    return [group for group in only if group["rules"]]


@cache
def _groups() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(EXPORTED.read_text("utf-8"))["groups"]
    return groups


def as_promtool(case: Case) -> dict[str, Any]:
    """Return a case as promtool reads it. Annotations are the exported ones."""
    [[alert]] = [group["rules"] for group in exported(case.rule)]
    return {
        "name": str(case),
        "interval": "1m",
        "input_series": [{"series": line, "values": values} for line, values in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{round(minute * 60)}s",
                "alertname": case.rule,
                "exp_alerts": [
                    {"exp_labels": {**dict(subject), **alert["labels"]}, "exp_annotations": alert["annotations"]}
                    for subject in subjects
                ],
            }
            for minute, subjects in case.fires.items()
        ],
    }


def test_exported_rules_are_what_the_command_writes(tmp_path: Path) -> None:
    """`manage.py export_alerts` makes docs/deploy/alerts.yml: run it after a change of a rule."""
    call_command("export_alerts", str(tmp_path / "alerts.yml"))

    assert EXPORTED.read_text("utf-8") == (tmp_path / "alerts.yml").read_text("utf-8")


def test_counter_that_began_anew_has_grown_by_what_it_shows() -> None:
    series = Series({}, [0, 60, 120, 180], [10, 15, 2, 4])

    assert series.increase(180, timedelta(minutes=3)) == 9


def test_increase_begins_with_the_last_sample_before_the_window() -> None:
    """What is counted between two samples belongs to one window at least."""
    series = Series({}, [0, 60, 120], [0, 5, 5])

    assert series.increase(119, timedelta(seconds=60)) == 5


def test_counter_that_was_seen_once_has_no_increase() -> None:
    assert Series({}, [0], [10]).increase(0, timedelta(minutes=5)) is None


def test_alert_that_comes_and_goes_is_one() -> None:
    rule = BY_NAME["rate_high"]
    status = Status(began_at=START, fired_at=START)

    for seconds in range(0, 600, 30):
        now = START + timedelta(seconds=seconds)
        status = advance(rule, status, holds=seconds % 60 == 0, now=now)

    assert status == Status(began_at=START, fired_at=START, clear_since=now)


def test_alert_that_did_not_last_never_fires() -> None:
    rule = BY_NAME["part_unreadable"]

    status = advance(rule, None, holds=True, now=START)

    assert status == Status(began_at=START)
    assert advance(rule, status, holds=False, now=START + rule.lasting) is None


def test_selector_takes_one_of_several_words() -> None:
    selector = of("slotline_x", kind="a|b")

    assert str(selector) == 'slotline_x{kind=~"a|b"}'
    assert [selector.fits({"kind": word}) for word in ("a", "b", "a|b", "c")] == [True, True, False, False]
