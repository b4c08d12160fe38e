"""The service levels: measured from counters, watched by alerts, and written down as they are."""

from datetime import timedelta
from pathlib import Path

import pytest
from celery import signals, states
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from monitoring import multiprocess
from monitoring.alert_forms import Series
from monitoring.alerts import RULES
from monitoring.service_levels import BY_NAME, LEVELS, ServiceLevel
from tests.monitoring import samples

PAGE = (Path(__file__).resolve().parents[2] / "docs/service-levels.md").read_text("utf-8")
HOUR = timedelta(hours=1)
WATCHED_BY = {"cache_hits": "hit_rate_low", "truth": "truth_rate_low"}
"""Levels that an alert with a form of its own watches."""


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_service_level_stands_on_the_page_as_it_is_defined(level: ServiceLevel) -> None:
    assert f"| `{level.name}` | {level.sentence} | {100 * level.objective:g} % |" in PAGE
    assert f"# {level.name}\n{level.promql()}\n" in PAGE


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_service_level_has_an_alert_and_counts_what_exists(level: ServiceLevel) -> None:
    alerts = [rule.name for rule in RULES if rule.form == level.burning] or [WATCHED_BY[level.name]]

    assert len(alerts) == 1
    assert f"(runbooks/{alerts[0]}.md)" in PAGE
    assert {selector.metric.rpartition("_")[0] for selector in (level.part, level.whole)} <= _counted()


def test_routes_of_service_levels_exist() -> None:
    named = {
        word for level in LEVELS for name, word in level.whole.labels if name == "route" for word in word.split("|")
    }

    assert named <= set(_routes(get_resolver().url_patterns))


def test_share_of_good_events_is_measured() -> None:
    level = BY_NAME["cache_hits"]
    history = {level.whole.metric: [Series({"source": word}, [0, 60], [5, 5 + n]) for word, n in _ANSWERS.items()]}

    assert level.measured(history, 60, HOUR) == (0.75, 40)


_ANSWERS = {"fresh": 20, "stale": 10, "loaded": 10, "rules": 900}


def test_share_of_good_events_is_what_the_bad_ones_leave() -> None:
    level = BY_NAME["jobs_done"]
    name = level.whole.metric
    history = {name: [Series({"outcome": "done"}, [0, 60], [0, 99]), Series({"outcome": "failed"}, [0, 60], [0, 1])]}

    assert level.measured(history, 60, HOUR) == (0.99, 100)


def test_nothing_is_measured_where_nothing_happened() -> None:
    assert BY_NAME["truth"].measured({}, 60, HOUR) is None


@pytest.mark.parametrize(
    ("state", "outcome"), [(states.SUCCESS, "done"), (states.FAILURE, "failed"), (states.RETRY, "retried")]
)
@pytest.mark.django_db
def test_job_is_counted_by_how_it_ended(state: str, outcome: str) -> None:
    with samples.growth() as grown:
        signals.task_postrun.send(sender=None, state=state)

    assert {line: count for line, count in grown.items() if "jobs" in line} == {
        f'slotline_jobs_total{{outcome="{outcome}"}}': 1
    }


def _counted() -> set[str]:
    """Return what is counted, without the endings that Prometheus adds."""
    return {name for collector in multiprocess.COUNTED._names_to_collectors.values() for name in [collector._name]}


def _routes(patterns: list[URLPattern | URLResolver], before: str = "") -> list[str]:
    found: list[str] = []
    for each in patterns:
        route = f"{before}{each.pattern}"
        found += _routes(each.url_patterns, route) if isinstance(each, URLResolver) else [route]
    return found
