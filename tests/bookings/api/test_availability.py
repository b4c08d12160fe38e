"""GET /v1/availability: slots, headers, forced reloads and outages."""

from datetime import timedelta

import pytest

from bookings.models import Branch, Service
from calcom.simulator import Kind, Simulator
from tests import redis_time
from tests.bookings.api.helpers import Agent
from tests.factories import BERLIN, SUNDAY, TUESDAY, WEDNESDAY, Salon, at

pytestmark = pytest.mark.django_db(transaction=True)


def _day(salon: Salon, day=TUESDAY) -> dict[str, object]:
    return {"service": f"sv_{salon.cut.pk}", "date": day.isoformat()}


def test_second_list_is_answered_from_cache(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The first question costs one request to Cal.com, the next ones none, and both answers say so."""
    cold = agent.get("availability", _day(salon))
    warm = agent.get("availability", _day(salon))
    neighbour = agent.get("availability", _day(salon, WEDNESDAY))

    assert (cold["Cache-Status"], cold["X-Cache-Hit"]) == ("Slotline; fwd=miss", "false")
    assert warm["X-Cache-Hit"] == "true"
    assert warm["Cache-Status"] == f"Slotline; hit; ttl={119 - int(warm['Age'])}"
    assert neighbour["X-Cache-Hit"] == "true"
    assert warm.json()["slots"] == cold.json()["slots"]
    assert simulator.count("GET /v2/slots") == 1


def test_slots_have_the_branch_time_zone(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-50: nine o'clock in Berlin is nine o'clock in the answer."""
    body = agent.get("availability", _day(salon)).json()

    nine = at(9).astimezone(BERLIN)
    assert body["status"] == "available"
    assert body["time_zone"] == "Europe/Berlin"
    assert body["service"] == {"id": f"sv_{salon.cut.pk}", "name": "Haircut", "duration_minutes": 30}
    assert body["slots"][0] == {
        "start": nine.isoformat(),
        "end": (nine + timedelta(minutes=30)).isoformat(),
        "weekday": "Dienstag",
    }
    assert body["unknown_days"] == []
    assert body["freshness"]["verified"] is True


def test_window_bounds_are_exact(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """FM-31: from the first instant on, and before the last one."""
    query = {"service": "Haarschnitt", "from": at(10).isoformat(), "to": at(11).isoformat()}

    body = agent.get("availability", query).json()

    expected = [at(10), at(10, 30)]
    assert [slot["start"] for slot in body["slots"]] == [start.astimezone(BERLIN).isoformat() for start in expected]


def test_unescaped_plus_in_offset_is_accepted(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """A + in a query arrives as a blank."""
    start, end = (moment.astimezone(BERLIN).isoformat() for moment in (at(10), at(11)))

    answer = agent.client.get(
        f"/v1/availability?service=sv_{salon.cut.pk}&from={start}&to={end}",
        headers={"Authorization": f"Bearer {agent.key}"},
    )

    assert len(answer.json()["slots"]) == 2


def test_closed_day_has_status_none(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Sunday is closed: that is known, not missing."""
    body = agent.get("availability", _day(salon, SUNDAY)).json()

    assert (body["status"], body["slots"]) == ("none", [])
    assert body["freshness"]["verified"] is True


def test_max_age_forces_a_reload(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """`Cache-Control: max-age` says how old the answer may be."""
    agent.get("availability", _day(salon))

    young = agent.get("availability", _day(salon), cache_control="max-age=60")
    new = agent.get("availability", _day(salon), cache_control="no-cache")

    assert (young["X-Cache-Hit"], new["X-Cache-Hit"]) == ("true", "false")
    assert simulator.count("GET /v2/slots") == 2


def test_forced_reloads_of_a_day_are_limited(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Repeated max-age or no-cache headers cost one request."""
    agent.get("availability", _day(salon))

    answers = [
        agent.get("availability", _day(salon), cache_control=header)
        for header in ("no-cache", "no-cache", "max-age=0", "max-age=1, no-cache")
    ]

    assert [answer["X-Cache-Hit"] for answer in answers] == ["false", "true", "true", "true"]
    assert {answer.json()["freshness"]["source"] for answer in answers[1:]} == {"cache"}
    assert simulator.count("GET /v2/slots") == 2


def test_forced_reloads_of_a_search_are_limited(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """A search and a list reload the same days."""
    asked = {"service": f"sv_{salon.cut.pk}", "when": {"date": str(TUESDAY), "time": "10:00"}}
    agent.get("availability", _day(salon))

    for _ in range(3):
        agent.post("availability/search", asked, cache_control="no-cache")
        agent.get("availability", _day(salon), cache_control="no-cache")

    assert simulator.count("GET /v2/slots") == 2


@pytest.mark.parametrize("seconds", [11, 300])
def test_old_day_is_reloaded_by_force(simulator: Simulator, agent: Agent, salon: Salon, seconds: int) -> None:
    """The limit applies to young lists only."""
    agent.get("availability", _day(salon))
    agent.get("availability", _day(salon), cache_control="no-cache")
    redis_time.let_all_pass(seconds)

    forced = agent.get("availability", _day(salon), cache_control="no-cache")

    assert forced["X-Cache-Hit"] == "false"
    assert simulator.count("GET /v2/slots") == 3


@pytest.mark.parametrize("kind", [Kind.ERROR_BEFORE, Kind.TOO_MANY])
def test_failed_forced_reload_answers_from_cache(simulator: Simulator, agent: Agent, salon: Salon, kind: Kind) -> None:
    """Source, hit, status and age describe the cached answer."""
    agent.get("availability", _day(salon))
    redis_time.let_all_pass(50)
    simulator.fail("GET /v2/slots", kind, times=None)
    asked = {"service": f"sv_{salon.cut.pk}", "when": {"date": str(TUESDAY), "time": "10:00"}}

    listed = agent.get("availability", _day(salon), cache_control="max-age=0")
    searched = agent.post("availability/search", asked, cache_control="max-age=0")

    for answer in (listed, searched):
        freshness = answer.json()["freshness"]
        assert (freshness["source"], freshness["verified"]) == ("cache", True)
        assert 50 <= freshness["age_s"] == int(answer["Age"]) < 60
        assert answer["X-Cache-Hit"] == "true"
        assert answer["Cache-Status"].startswith("Slotline; hit; ttl=6")


def test_outage_is_not_reported_as_full(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Where nothing is known the agent is told so; it must never say that nothing is free."""
    simulator.fail("GET /v2/slots", Kind.ERROR_BEFORE, times=None)

    answer = agent.get("availability", _day(salon))

    assert answer.status_code == 503
    assert answer.json()["code"] == "upstream_unavailable"
    assert answer.json()["retryable"] is True
    assert int(answer["Retry-After"]) >= 1


def test_list_keeps_to_the_preferred_wait(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """The wait in `Prefer` bounds the whole way, and is confirmed."""
    with simulator.holding("GET /v2/slots"):
        answer = agent.get("availability", _day(salon), prefer="wait=0.5")

    assert answer["Preference-Applied"] == "wait=0.5"
    assert answer.json()["code"] == "deadline_exceeded"
    assert 500 <= float(answer["Server-Timing"].removeprefix("total;dur=")) < 900


def test_cached_list_costs_one_query(
    simulator: Simulator, agent: Agent, salon: Salon, django_assert_num_queries
) -> None:
    """Only our own claims are asked for: the key, the service and its branch are remembered."""
    agent.get("availability", _day(salon))

    with django_assert_num_queries(1):
        agent.get("availability", _day(salon))


def test_response_headers_describe_the_response(simulator: Simulator, agent: Agent, salon: Salon) -> None:
    """Language, time, rate and request id, and that caches on the way may not keep it."""
    answer = agent.get("availability", _day(salon), x_request_id="call-0815", accept_language="en-GB")

    assert answer["Content-Type"] == "application/json"
    assert answer["Content-Language"] == "en"
    assert answer.json()["slots"][0]["weekday"] == "Tuesday"
    assert answer["X-Request-Id"] == "call-0815"
    assert answer["RateLimit-Policy"] == '"agent-key";q=6000;w=60'
    assert answer["RateLimit"].startswith('"agent-key";r=5999;t=')
    assert answer["Cache-Control"] == "no-store"


def test_service_name_in_two_branches_is_ambiguous(agent: Agent, salon: Salon) -> None:
    """FM-17: what is ambiguous is asked back, with what it may be."""
    other = Branch.objects.create(company=salon.company, name="Wedding", time_zone="Europe/Berlin")
    Service.objects.create(branch=other, event_type=salon.cut.event_type, name="Haircut", duration_minutes=30)

    answer = agent.get("availability", {"service": "haircut", "date": TUESDAY.isoformat()})

    assert (answer.status_code, answer.json()["code"]) == (422, "service_ambiguous")
    assert {candidate["branch"] for candidate in answer.json()["candidates"]} == {"Mitte", "Wedding"}
