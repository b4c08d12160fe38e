"""
PostgreSQL restarts, runs out of connections, or keeps locks, while callers ask and book.

Nothing that was accepted may be lost; failing requests get a 503 with Retry-After within two seconds; and recovery
needs no operator.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from django.db import connections

from script.lib.environment import Environment, Servers
from script.lib.measurements import Measurement
from script.lib.processes import Supervisor
from script.lib.servers import wait_for_postgres
from tests.chaos import consistency
from tests.chaos.callers import (
    READ_WAIT,
    Caller,
    Callers,
    Questions,
    Response,
    check_health,
    failures,
    load_week,
    salon,
)

HOSTS = 6
# Seconds after which readiness knows: it asks once a second.
KNOWN_AFTER = 1.5
APPLICATION = "connection-hog"
TERMINATE_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> %s
"""
LOCK_HOSTS = "SELECT pg_advisory_xact_lock(id) FROM calcom_host ORDER BY id LIMIT 2"
LOCK_COMPANY = "SELECT id FROM bookings_company FOR UPDATE"


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Break PostgreSQL in each way, under load."""
    restart, exhausted, locked = (10.0, 30.0, 30.0) if full else (3.0, 3.0, 4.0)
    url = os.environ["DATABASE_URL"]
    with servers.environment(salon(HOSTS), limit=10**6, latency=0.2, seed=seed, threads=16) as env:
        questions, bookings = Questions(env), _Bookings(env)
        with Callers(env) as callers:
            callers.start(bookings.book, number=HOSTS, every=0.5)
            for action, number in ((questions.ask, 4), (questions.search, 4), (check_health, 1)):
                callers.start(action, number=number, every=0.25)
            callers.during(None, 2.0)
            away, recovered = _restart(env, callers, url, restart)
            full_up = callers.during(_exhausted(env.supervisor, url), exhausted, after=READ_WAIT)
            for statement in (LOCK_HOSTS, LOCK_COMPANY):
                callers.during(_locked(url, statement), locked, after=READ_WAIT)
        lost = consistency.settled_differences(env, bookings.confirmed, within=90.0)
    everything = callers.responses()
    refused = [each for each in everything if each.status >= 500 and each.what not in ("ready", "health")]
    unhelpful = sum(not each.retry_after for each in refused)
    return {
        "postgres_503_s": Measurement(max((each.duration for each in refused), default=None), f"of {len(refused)}"),
        "postgres_503_without_retry_after": Measurement(unhelpful, f"of {len(refused)}"),
        "postgres_500s": failures(everything),
        "postgres_accepted_lost": Measurement(len(lost), "; ".join(lost) or f"of {len(bookings.confirmed)}"),
        "postgres_ready_while_away": _ready(away, full_up),
        "postgres_recovered_s": Measurement(recovered),
    }


def _restart(env: Environment, callers: Callers, url: str, seconds: float) -> tuple[list[Response], float]:
    """Restart PostgreSQL; return the responses while it was away, and the seconds until the last later failure."""
    postgres = env.supervisor.child("postgres")

    @contextmanager
    def stopped() -> Iterator[None]:
        env.supervisor.stop_child(postgres)
        yield
        env.supervisor.restart(postgres)
        wait_for_postgres(env.supervisor, url)

    away = callers.during(stopped(), seconds)
    back = time.monotonic()
    connections.close_all()  # this process's own are dead as well
    late = [each.sent_at + each.duration - back for each in callers.during(None, 3.0) if each.status >= 500]
    return away, max(late, default=0.0)


@contextmanager
def _exhausted(supervisor: Supervisor, url: str) -> Iterator[None]:
    """Take every connection, also those of others; the context begins when none is left."""
    taken: list[psycopg.Connection] = []
    all_taken, over = threading.Event(), threading.Event()

    def take() -> None:
        with psycopg.connect(url, application_name=APPLICATION, autocommit=True) as own:
            (maximum,) = own.execute("SHOW max_connections").fetchone() or ("0",)
            while not over.is_set():
                if len(taken) == int(maximum) - 1:
                    all_taken.set()
                try:
                    taken.append(psycopg.connect(url, application_name=APPLICATION))
                except psycopg.OperationalError:
                    own.execute(TERMINATE_OTHERS, [APPLICATION])

    taker = threading.Thread(target=take)
    taker.start()
    try:
        # Until then web may get a connection that was just terminated, and serve a request with it.
        supervisor.wait_until(all_taken.is_set, what="Not every connection was taken", within=20.0)
        yield
    finally:
        over.set()
        taker.join()
        for each in taken:
            each.close()


@contextmanager
def _locked(url: str, statement: LiteralString) -> Iterator[None]:
    """Keep a lock, as a client does that does not commit."""
    with psycopg.connect(url) as client:
        client.execute(statement)
        yield
        client.rollback()


class _Bookings:
    """Callers who book one slot of their own host after the other, and repeat each until it is booked."""

    def __init__(self, env: Environment) -> None:
        self._free = list(load_week(env).items())
        self.confirmed: list[str] = []

    def book(self, caller: Caller) -> None:
        """Book the next slot, or try the same again."""
        service, free = self._free[caller.number]
        booking = {"service": service, "start": free[-1], "caller": {"name": "Ada Byron"}}
        answer = caller.post("book", "/v1/bookings", booking, Idempotency_Key=f"{caller.number}-{free[-1]}")
        if answer and answer.status in (201, 202):
            self.confirmed.append(answer.body["booking"]["id"])
            free.pop()


def _ready(*phases: Sequence[Response]) -> Measurement:
    """Count how often web was ready although PostgreSQL had been away for a while."""
    asked = [
        each
        for responses in phases
        for each in responses
        if each.what == "ready" and each.sent_at > responses[0].sent_at + KNOWN_AFTER
    ]
    return Measurement(sum(each.status == 200 for each in asked) if asked else None, f"of {len(asked)}")
