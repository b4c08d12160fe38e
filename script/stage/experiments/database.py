"""
PostgreSQL restarts, has no connection left, or somebody keeps locks for half a minute, while callers ask and book.

Experiment 23: nothing that was accepted is lost; who cannot be served hears so within two seconds, and when to try
again; and everything is as before without anybody's help.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg

from calcom.simulator.world import WEEKDAYS, EventType, Hours, User, World
from script.stage import ground
from script.stage.callers import READ_WAIT, Caller, Callers, Heard, spelled
from script.stage.ground import BELIEVED, Ground
from script.stage.processes import StageError
from script.stage.rows import Found, Promise
from script.stage.servers import wait_for_postgres

PROMISES = {
    "postgres_503_s": Promise("s", 2),
    "postgres_503_without_retry_after": Promise("answers", 0),
    "postgres_500s": Promise("answers", 0),
    "postgres_accepted_lost": Promise("bookings", 0),
    "postgres_ready_while_away": Promise("answers", 0),
    "postgres_recovered_s": Promise("s", 5),
}
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
HOSTS = [f"host-{number}" for number in range(6)]
DAYS = range(3, 10)
"""From today."""
BOOKERS = len(HOSTS)
SETTLED_WITHIN = 90.0
# Seconds after which readiness knows: it asks once a second.
KNOWN_AFTER = 1.5
TAKER = "taker"
END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> %s
"""
# Seconds in which all connections are taken.
EXHAUSTED_AFTER = 1.0
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
    with ground.brought_up(_world(), log="database", limit=10**6, latency=0.2, seed=seed, threads=16) as here:
        return _measured(here, _Length(10, 30, 30) if full else _Length(3, 3, 4))


def _world() -> World:
    return World(
        users=(
            User(1, "salon", "Salon", "Europe/Berlin", api_key="cal_database", hours=ALWAYS),
            *(User(number, name, name, hours=ALWAYS) for number, name in enumerate(HOSTS, 2)),
        ),
        event_types=tuple(
            EventType(number, "salon", f"with-{name}", name, 15, hosts=(name,)) for number, name in enumerate(HOSTS, 1)
        ),
    )


def _measured(here: Ground, length: _Length) -> dict[str, Found]:
    url = os.environ["DATABASE_URL"]
    line = _Line(here)
    with Callers(here) as callers:
        callers.let(line.book, number=BOOKERS, every=0.5)
        callers.let(line.ask, number=4, every=0.25)
        callers.let(line.search, number=4, every=0.25)
        callers.let(line.look, number=1, every=0.25)
        _during(callers, "all is well", nullcontext(), 2.0)
        away, back = _restarted(here, callers, url, length.restart)
        exhausted = _during(callers, "no connection is left", _exhausted(url), length.exhausted)
        _during(callers, "the time of two hosts is locked", _locked(url, HOSTS_LOCK), length.locked)
        _during(callers, "the company is locked", _locked(url, ROW_LOCK), length.locked)
    heard = callers.heard()
    sorry = [each for each in heard if each.status >= 500 and each.what != "ready"]
    return {
        "postgres_503_s": Found(max((each.took for each in sorry), default=None), f"the slowest of {len(sorry)}"),
        "postgres_503_without_retry_after": Found(sum(not each.retry_after for each in sorry), f"of {len(sorry)}"),
        "postgres_500s": Found(sum(each.is_failure for each in heard), f"of {len(heard)}"),
        "postgres_accepted_lost": line.lost(),
        "postgres_ready_while_away": _ready_while_away(away, exhausted),
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

    away = _during(callers, "PostgreSQL restarts", stopped(), seconds)
    back = time.monotonic()
    connections.close_all()  # this process's own, which are as dead
    _during(callers, "it is back", nullcontext(), 3.0)
    late = [each.asked_at + each.took - back for each in callers.heard(back) if each.status >= 500]
    return away, max(late, default=0.0)


@contextmanager
def _exhausted(url: str) -> Iterator[None]:
    """Take every connection there is, those of everybody else as well."""
    taken: list[psycopg.Connection] = []
    over = threading.Event()

    def take() -> None:
        with psycopg.connect(url, application_name=TAKER, autocommit=True) as ours:
            while not over.is_set():
                try:
                    taken.append(psycopg.connect(url, application_name=TAKER))
                except psycopg.OperationalError:
                    ours.execute(END_OTHERS, [TAKER])

    taker = threading.Thread(target=take)
    taker.start()
    time.sleep(EXHAUSTED_AFTER)
    try:
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


# --- what callers say ----------------------------------------------------------------------------------------------


class _Line:
    """What callers say, and what was promised to them."""

    def __init__(self, here: Ground) -> None:
        self._here = here
        self._services = list(here.tenant().services.values())
        self._free = [deque(_free(here, service)) for service in self._services]
        self._booked: list[str] = []
        time.sleep(BELIEVED)

    def ask(self, caller: Caller) -> None:
        """Ask for the times of a day."""
        caller.get("ask", "/v1/availability", service=self._any(caller), date=_date(caller))

    def search(self, caller: Caller) -> None:
        """Search for a time; each offer is a row."""
        question = {"service": self._any(caller), "when": {"date": _date(caller)}}
        caller.post("search", "/v1/availability/search", question, wait=READ_WAIT)

    def book(self, caller: Caller) -> None:
        """Book a slot of one's own; what was answered otherwise than with a booking is asked again, the very same."""
        free = self._free[caller.number]
        wish = {"service": self._services[caller.number], "start": free[0], "caller": {"name": "Ada Byron"}}
        booked = caller.post("book", "/v1/bookings", wish, Idempotency_Key=f"{caller.number}-{free[0]}")
        if booked and booked.status in (201, 202):
            self._booked.append(booked.body["booking"]["id"])
            free.popleft()

    def look(self, caller: Caller) -> None:
        """Ask whether callers may be sent here."""
        caller.get("ready", "/health/ready")

    def _any(self, caller: Caller) -> str:
        return self._services[(caller.number + caller.calls) % len(self._services)]

    def lost(self) -> Found:
        """Wait until everything has come to its end; return what was promised and not kept."""
        from script.stage import ledger  # noqa: PLC0415  models, which need the settings

        self._here.stage.wait_until(
            lambda: not ledger.left_over(), what="Not everything came to its end", within=SETTLED_WITHIN
        )
        lost = ledger.balance(self._here.simulator, told=self._booked).lines
        print("\n".join(f"  !!! {line}" for line in lost) or f"  {len(self._booked)} bookings, here and at Cal.com")
        return Found(len(lost), f"of {len(self._booked)}")


def _free(here: Ground, service: str) -> list[str]:
    """Return the free slots of the days; from now on they are known."""
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=DAYS[0])
    window = {"from": first.isoformat(), "to": (first + timedelta(days=len(DAYS))).isoformat()}
    with here.agent() as agent:
        answer = agent.get("/v1/availability", service=service, **window)
    if answer.status != 200 or not answer.body["slots"]:
        raise StageError(f"Nothing is free: {answer.status} {str(answer.body)[:200]}")
    return [slot["start"] for slot in answer.body["slots"]]


def _date(caller: Caller) -> str:
    ahead = DAYS[(caller.number + caller.calls) % len(DAYS)]
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()


# --- what came of it -----------------------------------------------------------------------------------------------


def _during(callers: Callers, what: str, fault: AbstractContextManager[None], seconds: float) -> list[Heard]:
    """Break something for a while; return what was said to those who asked meanwhile."""
    with fault:
        began = time.monotonic()
        time.sleep(seconds)
        until = time.monotonic()
    time.sleep(READ_WAIT)  # some are still waiting
    heard = callers.heard(began, until)
    print(f"  {what}, {seconds:.0f} s", *spelled(heard), sep="\n")
    return heard


def _ready_while_away(*times: Sequence[Heard]) -> Found:
    """Return how often we said that callers may be sent here, when for a while nobody could be served."""
    asked = [
        each
        for heard in times
        for each in heard
        if each.what == "ready" and each.asked_at > heard[0].asked_at + KNOWN_AFTER
    ]
    return Found(sum(each.status == 200 for each in asked) if asked else None, f"of {len(asked)}")
