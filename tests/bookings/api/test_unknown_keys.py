"""Unknown keys are limited by address, and valid keys of the same address are served meanwhile."""

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.api import auth
from bookings.models import AgentKey
from cachectl.infra import throttle
from cachectl.infra.redis import redis_client
from monitoring import metrics
from monitoring.middleware import address_of
from tests.bookings.api.helpers import Agent, agent_with
from tests.factories import Salon

pytestmark = pytest.mark.django_db

HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture(autouse=True)
def _three_an_hour(settings) -> None:
    settings.BOOKINGS_GUESS_RATE = "3/hour"


def send_unknown(number: int, address: str = HERE, **headers: str):
    """Send an unknown key."""
    key = f"sl_{number:043}"
    return Client(REMOTE_ADDR=address).get("/v1/services", headers={"Authorization": f"Bearer {key}", **headers})


def send_until_refused(address: str = HERE) -> None:
    """Send unknown keys until the address is refused."""
    assert [send_unknown(number, address).status_code for number in range(4)] == [401, 401, 401, 429]


def ask(agent: Agent, address: str = HERE) -> int:
    """Show a key from an address."""
    agent.client = Client(REMOTE_ADDR=address)
    return agent.get("services").status_code


def restart_process() -> None:
    """Act as a process that has just started."""
    auth.key_named.clear()
    throttle.reset_memory()


def test_unknown_key_is_not_looked_up_above_the_rate() -> None:
    """Refused keys cost no query; the answer says when to come back."""
    send_until_refused()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = send_unknown(99)

    assert len(queries) == 0
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer["Content-Type"] == "application/problem+json"
    assert 3500 <= int(answer["Retry-After"]) <= 3600


def test_unknown_keys_are_counted_over_all_processes() -> None:
    """An address refused by one process is refused by the next."""
    send_until_refused()

    restart_process()

    assert send_unknown(99).status_code == 429


def test_addresses_are_counted_apart() -> None:
    """An address is not refused because of another."""
    send_until_refused()

    assert send_unknown(99, ELSEWHERE).status_code == 401


def test_valid_key_in_use_is_served_beside_unknown_ones(agent: Agent) -> None:
    """Many companies' agents may share one address: only failures count."""
    assert ask(agent) == 200

    send_until_refused()

    assert ask(agent) == 200
    assert [ask(agent) for _ in range(5)] == [200] * 5


def test_valid_key_in_use_is_served_by_a_new_process(agent: Agent) -> None:
    """What one process saw, the others know."""
    assert ask(agent) == 200
    send_until_refused()

    restart_process()

    assert ask(agent) == 200


def test_new_key_is_refused_only_at_an_address_above_the_rate(agent: Agent) -> None:
    """It cannot be told from an unknown key without looking it up."""
    send_until_refused()

    assert ask(agent) == 429
    assert ask(agent, ELSEWHERE) == 200


def test_valid_keys_are_not_counted(salon: Salon) -> None:
    """Many keys may be new at an address, as long as they are valid."""
    agents = [agent_with(salon, scopes=[AgentKey.Scope.AVAILABILITY_READ]) for _ in range(5)]

    assert [ask(one) for one in agents] == [200] * 5
    send_until_refused()


def test_revoked_key_is_counted_as_unknown(agent: Agent) -> None:
    """A client that keeps sending it is limited like any other."""
    assert ask(agent) == 200
    AgentKey.objects.update(revoked_at=timezone.now())
    restart_process()

    assert [ask(agent) for _ in range(4)] == [401, 401, 401, 429]


def test_failed_look_up_is_not_counted(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """While PostgreSQL is away no key is known to be unknown."""
    with monkeypatch.context() as away:
        away.setattr(AgentKey.objects, "valid", _fail)
        assert [ask(agent) for _ in range(5)] == [503] * 5

    assert ask(agent) == 200


def _fail(_key: str) -> None:
    raise OperationalError


def test_address_is_admitted_again_when_its_window_has_ended() -> None:
    """Windows begin with the first unknown key."""
    send_until_refused()
    (window,) = redis_client().keys("sl1:throttle:*unknown-key:*")

    redis_client().delete(window)  # as Redis does at its end

    assert [send_unknown(number).status_code for number in range(4)] == [401, 401, 401, 429]
    assert redis_client().ttl(window) > 3500


def test_unknown_keys_are_counted_per_process_while_redis_is_away(settings) -> None:
    """The limit holds in each process."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    send_until_refused()

    restart_process()
    assert send_unknown(99).status_code == 401


def test_valid_key_in_use_is_served_while_redis_is_away(agent: Agent, settings) -> None:
    """What this process has seen it knows by itself."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert ask(agent) == 200

    send_until_refused()

    assert ask(agent) == 200


def test_client_cannot_choose_its_address() -> None:
    """X-Forwarded-For says what its sender wants it to say."""
    answers = [send_unknown(number, **{"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


def test_address_behind_a_trusted_proxy_is_the_last_one(settings) -> None:
    """What the proxy adds comes last; what the client wrote stands before it."""
    settings.BEHIND_TLS_PROXY = True
    told = [
        {"X-Forwarded-For": f"203.0.113.{number}, {ELSEWHERE}", "X-Forwarded-Proto": "https"} for number in range(4)
    ]

    assert [send_unknown(number, **told[number]).status_code for number in range(4)] == [401, 401, 401, 429]
    assert send_unknown(99, **{"X-Forwarded-For": HERE}).status_code == 401
    assert send_unknown(98).status_code == 401


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("", "", True),
    ],
)
def test_an_ipv6_client_is_its_network(one: str, other: str, same: bool) -> None:
    """It has 2^64 addresses to choose from."""
    assert (address_of({"REMOTE_ADDR": one}) == address_of({"REMOTE_ADDR": other})) is same


def test_redis_holds_neither_keys_nor_addresses(agent: Agent) -> None:
    """A reader of Redis can neither send requests nor tell who sent them."""
    assert ask(agent) == 200
    send_unknown(1)

    redis = redis_client()
    held = b" ".join(redis.keys("*"))

    assert b":valid-key:" in held
    assert b":unknown-key:" in held
    assert agent.key.encode() not in held
    assert HERE.encode() not in held


def test_unknown_keys_are_counted_in_the_metrics() -> None:
    """By whether they were looked up."""
    before = [_counted("looked_up"), _counted("not_looked_up")]

    send_until_refused()

    assert [_counted("looked_up") - before[0], _counted("not_looked_up") - before[1]] == [3, 1]


def _counted(outcome: str) -> float:
    return metrics.UNKNOWN_KEYS.labels(outcome)._value.get()
