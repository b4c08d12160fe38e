"""Keys cannot be tried out, and whoever has one does not notice that somebody tries."""

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.api import auth, guessing
from bookings.models import AgentKey
from cachectl.connections import redis_client
from monitoring import metrics
from monitoring.client_address import address_of
from tests.bookings.api.conftest import Agent, agent_with
from tests.cast import Salon

pytestmark = pytest.mark.django_db

HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture(autouse=True)
def _three_a_minute(settings) -> None:
    settings.BOOKINGS_GUESS_RATE = "3/min"


def guess(number: int, address: str = HERE, **headers: str):
    """Show a key that nobody knows."""
    key = f"sl_{number:043}"
    return Client(REMOTE_ADDR=address).get("/v1/services", headers={"Authorization": f"Bearer {key}", **headers})


def guess_until_refused(address: str = HERE) -> None:
    """Use up what an address may guess."""
    assert [guess(number, address).status_code for number in range(4)] == [401, 401, 401, 429]


def ask(agent: Agent, address: str = HERE) -> int:
    """Show a key from an address."""
    agent.client = Client(REMOTE_ADDR=address)
    return agent.get("services").status_code


def forget_in_the_process() -> None:
    """Be a process that has just started."""
    auth.key_named.forget()
    guessing.forget()


def test_what_is_above_the_rate_is_not_looked_up() -> None:
    """L-59, experiment 24: guesses cost no query, and are told when to come back."""
    guess_until_refused()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = guess(99)

    assert len(queries) == 0
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert answer["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer["Retry-After"]) <= 20


def test_all_processes_count_together() -> None:
    """Who is refused by one process gets nothing from the next."""
    guess_until_refused()

    forget_in_the_process()

    assert guess(99).status_code == 429


def test_addresses_do_not_share_their_guesses() -> None:
    """Nobody is refused because somebody guesses elsewhere."""
    guess_until_refused()

    assert guess(99, ELSEWHERE).status_code == 401


def test_a_key_in_use_is_served_beside_guesses(agent: Agent) -> None:
    """Many companies' agents may share one address: only failures count."""
    assert ask(agent) == 200

    guess_until_refused()

    assert ask(agent) == 200
    assert [ask(agent) for _ in range(5)] == [200] * 5


def test_a_key_that_was_good_from_there_is_served_by_a_new_process(agent: Agent) -> None:
    """What one process saw, the others know."""
    assert ask(agent) == 200
    guess_until_refused()

    forget_in_the_process()

    assert ask(agent) == 200


def test_a_new_key_waits_only_where_somebody_guesses(agent: Agent) -> None:
    """It cannot be told from a guess without looking it up."""
    guess_until_refused()

    assert ask(agent) == 429
    assert ask(agent, ELSEWHERE) == 200


def test_a_good_key_costs_no_guess(salon: Salon) -> None:
    """However many keys are new at an address, as long as they are good."""
    agents = [agent_with(salon, scopes=[AgentKey.Scope.READ]) for _ in range(5)]

    assert [ask(one) for one in agents] == [200] * 5
    guess_until_refused()


def test_a_revoked_key_becomes_a_guess(agent: Agent) -> None:
    """Who keeps showing it is looked up no more often than anybody."""
    assert ask(agent) == 200
    AgentKey.objects.update(revoked_at=timezone.now())
    forget_in_the_process()

    assert [ask(agent) for _ in range(4)] == [401, 401, 401, 429]


def test_what_cannot_be_looked_up_is_no_guess(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """While PostgreSQL is away nobody uses up anything."""
    with monkeypatch.context() as away:
        away.setattr(AgentKey.objects, "valid", _fail)
        assert [ask(agent) for _ in range(5)] == [503] * 5

    assert ask(agent) == 200


def _fail(_key: str) -> None:
    raise OperationalError


def test_guesses_come_back_one_by_one() -> None:
    """Three a minute are one in twenty seconds."""
    guess_until_refused()
    guesses = redis_client().keys("*:guesses")[0]

    redis_client().decrby(guesses, 20_000)  # as if that long had passed

    assert [guess(number).status_code for number in range(2)] == [401, 429]
    assert 39_000 < redis_client().pttl(guesses) <= 60_000


def test_without_redis_each_process_counts_alone(settings) -> None:
    """Redis away opens no door, and closes none."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    guess_until_refused()

    forget_in_the_process()
    assert guess(99).status_code == 401


def test_what_a_process_counts_alone_is_bounded(settings) -> None:
    """Guessing from everywhere fills no memory."""
    alone = guessing.Alone(most=10)

    for number in range(1000):
        alone.count(f"192.0.2.{number}", guessing._rate())

    assert len(alone._used_up) <= 10


def test_a_key_in_use_is_served_beside_guesses_without_redis(agent: Agent, settings) -> None:
    """What this process has seen it knows by itself."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert ask(agent) == 200

    guess_until_refused()

    assert ask(agent) == 200


def test_nobody_gets_more_guesses_by_naming_other_addresses() -> None:
    """X-Forwarded-For says what its sender wants it to say."""
    answers = [guess(number, **{"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(4)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


def test_behind_a_trusted_proxy_its_word_counts(settings) -> None:
    """What the proxy adds comes last; what the client wrote stands before it."""
    settings.BEHIND_TLS_PROXY = True
    told = [
        {"X-Forwarded-For": f"203.0.113.{number}, {ELSEWHERE}", "X-Forwarded-Proto": "https"} for number in range(4)
    ]

    assert [guess(number, **told[number]).status_code for number in range(4)] == [401, 401, 401, 429]
    assert guess(99, **{"X-Forwarded-For": HERE}).status_code == 401
    assert guess(98).status_code == 401


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
    """Who reads Redis can neither ask nor tell who asked."""
    assert ask(agent) == 200
    guess(1)

    redis = redis_client()
    names = redis.keys("sl1:{from:*")
    held = b" ".join([*redis.keys("*"), *redis.mget(names)])

    assert b":good:" in held
    assert b":guesses" in held
    assert agent.key.encode() not in held
    assert HERE.encode() not in held


def test_guesses_are_counted() -> None:
    """Whoever watches the figures sees that somebody tries."""
    before = [_counted("looked_up"), _counted("not_looked_up")]

    guess_until_refused()

    assert [_counted("looked_up") - before[0], _counted("not_looked_up") - before[1]] == [3, 1]


def _counted(outcome: str) -> float:
    return metrics.UNKNOWN_KEYS.labels(outcome)._value.get()
