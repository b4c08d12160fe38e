"""`/performance-metrics`: figures that were measured, null where nothing was, and the reason why."""

import time
from typing import Any

import pytest
from django.test import Client
from prometheus_client.samples import Sample

from bookings.tasks import check_account
from monitoring import collectors, multiprocess, performance
from script.lib.servers import free_port
from tests.agent import Agent
from tests.bookings.helpers import let_jobs_finish
from tests.factories import TUESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _counted_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures only grow: what other tests counted is taken away, and so are series that only they began."""
    collectors.COLLECTORS.clear_cache()
    before = {(s.name, tuple(s.labels.items())): s.value for f in multiprocess.collected() for s in f.samples}
    collected = multiprocess.collected

    def grown(sample: Sample) -> Sample:
        return sample._replace(value=sample.value - before.get((sample.name, tuple(sample.labels.items())), 0))

    def since_then() -> Any:
        families = collected()
        for family in families:
            family.samples = [sample for sample in map(grown, family.samples) if sample.value]
        return families

    monkeypatch.setattr(multiprocess, "collected", since_then)


def report(client: Client) -> dict[str, Any]:
    """Ask for it."""
    collectors.COLLECTORS.clear_cache()
    answer = client.get("/performance-metrics")
    assert answer.status_code == 200
    return answer.json()


def test_what_there_is_to_know(client: Client, agent: Agent, salon: Salon) -> None:
    """After a question, another one and a booking: shares, times, budgets, queues."""
    for _ in range(3):
        agent.availability(salon.cut, TUESDAY)
    agent.book(salon.cut, at(10))
    let_jobs_finish()

    said = report(client)

    assert said["unreadable"] == {}
    assert said["version"]
    assert said["uptime_s"] > 0
    availability = said["availability"]
    assert (availability["answers"], availability["by_source"]) == (3, {"fresh": 2, "loaded": 1})
    assert (availability["hit_rate"], availability["without_call"]) == (0.6667, 0.6667)
    assert 0 <= availability["list"]["p50_s"]["above"] < availability["list"]["p50_s"]["at_most"] <= 1
    assert availability["search"] == {"p50_s": None, "p95_s": None}
    levels = {name: (level["share"], level["of"]) for name, level in said["levels"].items()}
    assert levels["answers_given"] == (1.0, 3)
    assert levels["writes_given"] == (1.0, 1)
    assert levels["cache_hits"] == (0.6667, 3)
    create = said["operations"]["create"]
    assert create["outcomes"] == {"done": 1}
    assert create["answered_pending"] == 0
    assert all(create[share]["p95_s"]["at_most"] < 5 for share in ("calcom", "ours", "to_the_end"))
    assert said["operations"]["reschedule"]["outcomes"] == {}
    assert said["invalidation"]["changes"] == 1
    assert said["invalidation"]["days_per_change"] >= 1
    assert said["invalidation"]["changes_above_100_days"] == 0
    assert {outcome: count for outcome, count in said["calcom"]["requests"].items() if count} == {"ok": 2}
    (account,) = said["accounts"]
    assert (account["account_id"], account["limit"], account["spent"]) == (salon.account.pk, 120, 2)
    assert account["used"] == {"write": 1, "live": 1, "refresh": 0, "background": 0}
    assert account["use"] == 0.017
    assert account["breakers"] == {"reads": "closed", "writes": "closed"}
    assert set(said["queues"]) == {"cache", "refresh", "bookings", "webhooks", "default"}
    assert said["outboxes"]["operations"] == {"size": 0, "overdue_s": 0}


def test_truth_rate_is_told_of_what_was_compared(client: Client, agent: Agent, salon: Salon, simulator) -> None:
    agent.availability(salon.colour, TUESDAY)
    simulator.book_elsewhere(2, at(14), webhook=False)
    check_account(account_id=salon.account.pk)

    truth = report(client)["truth"]

    assert truth["checks"] == {"compared": 1}
    assert truth["causes"] == {"not_told": 3}
    assert truth["slots"]["offered_but_taken"] == 3
    assert truth["rate"] == round(truth["slots"]["true"] / (truth["slots"]["true"] + 3), 6) < 1


def test_where_nothing_happened_nothing_is_claimed(client: Client) -> None:
    """FM-80: no estimate, no default, no share of nothing."""
    said = report(client)

    assert said["accounts"] == []
    assert said["availability"]["hit_rate"] is None
    assert said["availability"]["without_call"] is None
    assert said["truth"]["rate"] is None
    assert said["levels"]["answers_given"] == {"share": None, "of": 0, "objective": 0.999}
    assert said["availability"]["list"] == {"p50_s": None, "p95_s": None}
    assert said["invalidation"]["days_per_change"] is None


def test_without_redis_the_rest_is_told_in_time(client: Client, salon: Salon, settings) -> None:
    """Null, and why."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    began = time.monotonic()

    said = report(client)

    assert time.monotonic() - began < 2
    assert said["accounts"] is None
    assert said["unreadable"] == {"rate_limiter": "Redis does not answer"}
    assert said["outboxes"]["operations"] == {"size": 0, "overdue_s": 0}


def test_without_counters_the_gauges_are_told(client: Client, salon: Salon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory was emptied while the process runs."""

    def torn() -> None:
        raise multiprocess.Unreadable

    monkeypatch.setattr(multiprocess, "collected", torn)

    said = report(client)

    assert (said["availability"], said["operations"], said["calcom"], said["counting_since"]) == (
        None,
        None,
        None,
        None,
    )
    assert "counters" in said["unreadable"]
    assert len(said["accounts"]) == 1


def test_only_those_who_may_see_metrics_may_see_it(client: Client, settings) -> None:
    """The same rule as for `/metrics`."""
    assert client.get("/performance-metrics", REMOTE_ADDR="8.8.8.8").status_code == 403
    assert client.get("/performance-metrics", REMOTE_ADDR="10.0.0.1", HTTP_FORWARDED="for=8.8.8.8").status_code == 403
    settings.MONITORING_TOKEN = "let me see"
    assert client.get("/performance-metrics").status_code == 403
    assert client.get("/performance-metrics", HTTP_AUTHORIZATION="Bearer let me see").status_code == 200


@pytest.mark.parametrize(
    ("counts", "percent", "between"),
    [
        ([(1.0, 0), (2.0, 0), (float("inf"), 0)], 50, None),
        ([(1.0, 1), (2.0, 2), (float("inf"), 2)], 50, {"above": 0.0, "at_most": 1.0}),
        ([(1.0, 1), (2.0, 20), (float("inf"), 20)], 50, {"above": 1.0, "at_most": 2.0}),
        ([(1.0, 19), (2.0, 20), (float("inf"), 20)], 95, {"above": 0.0, "at_most": 1.0}),
        ([(1.0, 18), (2.0, 18), (float("inf"), 20)], 95, {"above": 2.0, "at_most": None}),
    ],
)
def test_a_percentile_lies_between_two_edges(counts, percent: int, between) -> None:
    """More was not measured, so more is not said."""
    assert performance._between(counts, percent) == between
