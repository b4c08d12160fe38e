"""
PostgreSQL restarts, has no connection left, or somebody keeps locks for half a minute, while callers ask and book.

Experiment 23: nothing that was accepted is lost; who cannot be served hears so within two seconds, and when to try
again; and everything is as before without anybody's help.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from script.lib import environment
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise
from script.lib.processes import Stage
from script.lib.servers import wait_for_postgres
from tests.chaos.callers import READ_WAIT, Caller, Callers, Heard
from tests.chaos.experiments import _salon

PROMISES = {
    "postgres_503_s": Promise("s", 2),
    "postgres_503_without_retry_after": Promise("answers", 0),
    "postgres_500s": Promise("answers", 0),
    "postgres_accepted_lost": Promise("bookings", 0),
    "postgres_ready_while_away": Promise("answers", 0),
    "postgres_recovered_s": Promise("s", 5),
}
HOSTS = 6
SETTLED_WITHIN = 90.0
# Seconds after which readiness knows: it asks once a second.
KNOWN_AFTER = 1.5
TAKER = "taker"
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> %s
"""
TAKEN_WITHIN = 20.0
HOSTS_LOCK = "SELECT pg_advisory_xact_lock(id) FROM calcom_host ORDER BY id LIMIT 2"
ROW_LOCK = "SELECT id FROM bookings_company FOR UPDATE"


@dataclass(frozen=True)
class _Length:
    """How many seconds everything lasts."""

    restart: float
    exhausted: float
    locked: float


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Let callers go on while PostgreSQL is away, and while it is kept waiting."""
    with environment.brought_up(
        _salon.dataset(HOSTS), log="database", limit=10**6, latency=0.2, seed=seed, threads=16
    ) as here:
        return _measured(here, _Length(10, 30, 30) if full else _Length(3, 3, 4))


def _measured(here: Ground, length: _Length) -> dict[str, Found]:
    url = os.environ["DATABASE_URL"]
    asking, booking = _salon.Questions(here), _Bookings(here)
    with Callers(here) as callers:
        callers.let(booking.book, number=HOSTS, every=0.5)
        for way, number in ((asking.ask, 4), (asking.search, 4), (_salon.look, 1)):
            callers.let(way, number=number, every=0.25)
        _salon.during(callers, "all is well", nullcontext(), 2.0)
        away, back = _restarted(here, callers, url, length.restart)
        broken = {
            "no connection is left": (_exhausted(here.stage, url), length.exhausted),
            "the time of two hosts is locked": (_locked(url, HOSTS_LOCK), length.locked),
            "the company is locked": (_locked(url, ROW_LOCK), length.locked),
        }
        heard = {
            what: _salon.during(callers, what, fault, seconds, after=READ_WAIT)
            for what, (fault, seconds) in broken.items()
        }
    lost = _salon.differences(here, booking.told, within=SETTLED_WITHIN)
    everything = callers.heard()
    sorry = [each for each in everything if each.status >= 500 and each.what not in ("ready", "health")]
    return {
        "postgres_503_s": Found(max((each.took for each in sorry), default=None), f"the slowest of {len(sorry)}"),
        "postgres_503_without_retry_after": Found(sum(not each.retry_after for each in sorry), f"of {len(sorry)}"),
        "postgres_500s": Found(sum(each.is_failure for each in everything), f"of {len(everything)}"),
        "postgres_accepted_lost": Found(len(lost), f"of {len(booking.told)}"),
        "postgres_ready_while_away": _ready_while_away(away, heard["no connection is left"]),
        "postgres_recovered_s": Found(back),
    }


# --- what is broken ------------------------------------------------------------------------------------------------


def _restarted(here: Ground, callers: Callers, url: str, seconds: float) -> tuple[list[Heard], float]:
    """Restart PostgreSQL; return what was said while it was away, and how long nobody was served after it was back."""
    from django.db import connections  # noqa: PLC0415  needs the settings

    postgres = here.stage.child("postgres")

    @contextmanager
    def stopped() -> Iterator[None]:
        here.stage.end(postgres)
        yield
        here.stage.start_again(postgres)
        wait_for_postgres(here.stage, url)

    away = _salon.during(callers, "PostgreSQL restarts", stopped(), seconds)
    back = time.monotonic()
    connections.close_all()  # this process's own, which are as dead
    _salon.during(callers, "it is back", nullcontext(), 3.0)
    late = [each.asked_at + each.took - back for each in callers.heard(back) if each.status >= 500]
    return away, max(late, default=0.0)


@contextmanager
def _exhausted(stage: Stage, url: str) -> Iterator[None]:
    """Take every connection there is, those of everybody else as well; the context begins when nobody can get one."""
    taken: list[psycopg.Connection] = []
    all_taken, over = threading.Event(), threading.Event()

    def take() -> None:
        with psycopg.connect(url, application_name=TAKER, autocommit=True) as ours:
            (there_are,) = ours.execute("SHOW max_connections").fetchone() or ("0",)
            while not over.is_set():
                if len(taken) == int(there_are) - 1:
                    all_taken.set()
                try:
                    taken.append(psycopg.connect(url, application_name=TAKER))
                except psycopg.OperationalError:
                    ours.execute(END_OTHERS, [TAKER])

    taker = threading.Thread(target=take)
    taker.start()
    try:
        # Until then each one that is ended leaves a place that web may get before us: whoever got it is served.
        stage.wait_until(all_taken.is_set, what="Not every connection was taken", within=TAKEN_WITHIN)
        yield
    finally:
        over.set()
        taker.join()
        for each in taken:
            each.close()


@contextmanager
def _locked(url: str, statement: LiteralString) -> Iterator[None]:
    """Keep a lock, as somebody does who forgot to commit."""
    with psycopg.connect(url) as forgetful:
        forgetful.execute(statement)
        yield
        forgetful.rollback()


# --- what is said --------------------------------------------------------------------------------------------------


class _Bookings:
    """Callers who want one slot of their own after the other, and repeat what was not answered with a booking."""

    def __init__(self, here: Ground) -> None:
        self._free = list(_salon.free(here).items())
        self.told: list[str] = []
        """Ids of the bookings that callers were told of."""

    def book(self, caller: Caller) -> None:
        """Book a slot, the very same until that was answered with a booking."""
        service, free = self._free[caller.number]
        wish = {"service": service, "start": free[-1], "caller": {"name": "Ada Byron"}}
        booked = caller.post("book", "/v1/bookings", wish, Idempotency_Key=f"{caller.number}-{free[-1]}")
        if booked and booked.status in (201, 202):
            self.told.append(booked.body["booking"]["id"])
            free.pop()


def _ready_while_away(*times: Sequence[Heard]) -> Found:
    """Return how often we said that callers may be sent here, when for a while nobody could be served."""
    asked = [
        each
        for heard in times
        for each in heard
        if each.what == "ready" and each.asked_at > heard[0].asked_at + KNOWN_AFTER
    ]
    return Found(sum(each.status == 200 for each in asked) if asked else None, f"of {len(asked)}")
