"""How many requests one agent key may send."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from bookings.api import throttling
from bookings.models import AgentKey
from cachectl.infra import throttle
from config.env import Env
from tests.bookings.api.helpers import Agent, agent_with
from tests.factories import Salon

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("text", ["6000", "6000/fortnight", "-1/minute", "0/minute", "many/minute"])
def test_rate_setting_is_refused_by_name(text: str) -> None:
    """A process does not start with a rate that it does not understand."""
    with pytest.raises(ImproperlyConfigured, match="BOOKINGS_THROTTLE_RATE"):
        Env({"BOOKINGS_THROTTLE_RATE": text}).rate("BOOKINGS_THROTTLE_RATE", "6000/minute")


def test_agent_key_is_throttled_over_all_processes(agent: Agent, settings) -> None:
    """A process that starts anew admits no more."""
    settings.BOOKINGS_THROTTLE_RATE = "2/day"
    first = [agent.get("services").status_code for _ in range(2)]

    throttle.reset_memory()
    throttling.counts.clear()

    assert first == [200, 200]
    assert agent.get("services").status_code == 429


def test_process_asks_redis_once_for_a_hundredth_of_the_rate(agent: Agent, settings) -> None:
    """All processes together admit no more than the rate and what each counts by itself."""
    settings.BOOKINGS_THROTTLE_RATE = "1000/day"
    first = [agent.get("services")["RateLimit"].partition(";t=")[0] for _ in range(11)]

    throttling.counts.clear()  # as in another process
    second = agent.get("services")["RateLimit"].partition(";t=")[0]

    assert first == [f'"agent-key";r={999 - number}' for number in range(11)]
    assert second == '"agent-key";r=988'


def test_agent_keys_are_throttled_apart(salon: Salon, settings) -> None:
    """One busy agent slows down no other."""
    settings.BOOKINGS_THROTTLE_RATE = "1/day"
    busy, calm = (agent_with(salon, scopes=[AgentKey.Scope.AVAILABILITY_READ]) for _ in range(2))

    assert [busy.get("services").status_code for _ in range(2)] == [200, 429]
    assert calm.get("services").status_code == 200


def test_agent_key_is_throttled_while_redis_is_away(agent: Agent, settings) -> None:
    """Each process counts for itself then, and refuses no request below the rate."""
    settings.BOOKINGS_THROTTLE_RATE = "2/day"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert [agent.get("services").status_code for _ in range(3)] == [200, 200, 429]


def test_agent_key_is_told_what_remains(agent: Agent, settings) -> None:
    """With each answer, as the IETF's draft on RateLimit header fields spells it."""
    settings.BOOKINGS_THROTTLE_RATE = "2/day"

    answers = [agent.get("services") for _ in range(3)]

    assert {answer["RateLimit-Policy"] for answer in answers} == {'"agent-key";q=2;w=86400'}
    assert [answer["RateLimit"].partition(";t=")[0] for answer in answers] == [
        '"agent-key";r=1',
        '"agent-key";r=0',
        '"agent-key";r=0',
    ]
