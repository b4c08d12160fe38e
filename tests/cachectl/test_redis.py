"""A Redis that does not answer: which caller waits for it, and for how long."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.conf import settings
from django.core.cache import caches
from pytest_django.fixtures import Settings
from redis import ConnectionError as RedisConnectionError
from redis import Redis, RedisError, ResponseError
from redis import TimeoutError as RedisTimeoutError

from cachectl import store
from cachectl.infra import circuit_breaker
from cachectl.infra.circuit_breaker import CircuitBreaker, CircuitOpen
from cachectl.infra.redis import blocking_redis_client, redis_client
from tests.cachectl.conftest import ACCOUNT, CUT


@pytest.fixture
def silent_redis(settings: Settings) -> Iterator[socket.socket]:
    """Put a server in Redis' place that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        yield server


@pytest.fixture
def breaker() -> Iterator[CircuitBreaker]:
    """Return the circuit breaker of the tests' Redis, and close it."""
    breaker = redis_client().breaker
    yield breaker
    breaker.close()


def is_open(exc: Exception) -> bool:
    """Return whether it was raised without asking Redis."""
    return isinstance(exc.__cause__, CircuitOpen)


@pytest.mark.usefixtures("silent_redis")
def test_only_the_first_to_notice_pays() -> None:
    """For a second no thread of the process asks again, with whichever client."""
    with pytest.raises(RedisTimeoutError):
        redis_client().ping()
    began = time.monotonic()

    for ask in (
        lambda: store.ensure_generation(ACCOUNT),
        lambda: store.mark_refresh(ACCOUNT, CUT, 1),
        lambda: store.unmark_refresh(ACCOUNT, CUT),
        lambda: store.demand(ACCOUNT, 48),
        lambda: blocking_redis_client(10).blpop("never", 10),
    ):
        with pytest.raises(RedisConnectionError, check=is_open):
            ask()
    assert time.monotonic() - began < 0.1


@pytest.mark.usefixtures("silent_redis")
def test_djangos_cache_finds_redis_away_with_all_others() -> None:
    """The first call has paid; a missing value is None, and nothing is raised."""
    cache = caches.create_connection("default")
    with pytest.raises(RedisTimeoutError):
        redis_client().ping()
    began = time.monotonic()

    assert cache.get("search") is None
    assert not cache.add("search", {"service": 1}, timeout=60)

    assert time.monotonic() - began < 0.1


def test_djangos_cache_works() -> None:
    """And where Redis answers, it keeps what it is given, as JSON."""
    cache = caches.create_connection("default")

    assert cache.add("search", {"service": 1}, timeout=60)
    assert cache.get("search") == {"service": 1}
    assert redis_client().get("sl1:django:1:search") == b'{"service": 1}'


@pytest.mark.usefixtures("silent_redis")
def test_who_waits_for_a_load_notices_that_redis_fell_silent() -> None:
    """Others who ask for those days would wait with it, each to their deadline."""
    began = time.monotonic()

    with pytest.raises(RedisTimeoutError):
        store.wait(ACCOUNT, "token", 10)

    assert time.monotonic() - began < 1


def test_one_thread_probes_a_silent_redis_for_all(silent_redis: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A black hole costs the many threads of a process one time-out a second, not one each."""
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)
    with pytest.raises(RedisTimeoutError):
        redis_client().ping()
    silent_redis.accept()[0].close()

    def find_out() -> None:
        with suppress(RedisError):
            redis_client().ping()

    one = threading.Thread(target=find_out)
    one.start()
    with silent_redis.accept()[0]:
        with pytest.raises(RedisConnectionError, check=is_open):
            redis_client().ping()
        one.join()


def test_command_connects_once_after_a_connection_broke(
    silent_redis: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent Redis costs each attempt one time-out: the broken connection is not made anew only to be looked at."""
    monkeypatch.setattr(circuit_breaker, "OPEN_S", 0.0)

    for _ in range(2):
        with pytest.raises(RedisTimeoutError):
            redis_client().ping()

    assert len(list(connected(silent_redis))) == 2


def connected(server: socket.socket) -> Iterator[str]:
    """Yield who has connected so far."""
    server.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            connection, address = server.accept()
            connection.close()
            yield str(address)


@pytest.mark.parametrize("answers", ["no", "yes"])
def test_redis_circuit_closes_with_any_answer(breaker: CircuitBreaker, answers: str) -> None:
    """Whatever it says: a script that is not there any more is loaded by the next command."""
    breaker.storage.follow(failures=0, wait_s=0.0)
    assert breaker.current_state == "open"

    if answers == "no":
        with pytest.raises(ResponseError):
            redis_client().evalsha("0" * 40, 0)
    else:
        assert redis_client().ping()

    assert breaker.current_state == "closed"


def test_command_succeeds_after_redis_closed_the_idle_connection() -> None:
    """Redis was started again, or closed an idle connection: no caller hears of it."""
    client = redis_client()
    client_id = client.client_id()
    other = Redis.from_url(settings.REDIS_URL)

    other.client_kill_filter(_id=client_id)
    other.close()

    assert client.ping()
    assert client.client_id() != client_id


def test_command_that_redis_does_not_answer_is_sent_once(silent_redis: socket.socket) -> None:
    """Redis may have done it: sent again, a script would count twice."""
    with pytest.raises(RedisTimeoutError):
        redis_client().ping()

    assert len(list(connected(silent_redis))) == 1


def test_an_answer_that_comes_too_late_is_nobody_elses(breaker: CircuitBreaker) -> None:
    """The next command goes over another connection."""
    with pytest.raises(RedisTimeoutError):
        redis_client().blpop("never", 2)
    breaker.close()

    assert [redis_client().echo(word) for word in ("one", "two")] == [b"one", b"two"]


def test_each_thread_hears_its_own_answer() -> None:
    """Connections are handed from thread to thread, and never to two at once."""
    with ThreadPoolExecutor(8) as threads:
        heard = list(threads.map(lambda number: redis_client().echo(str(number)), range(400)))

    assert heard == [str(number).encode() for number in range(400)]
