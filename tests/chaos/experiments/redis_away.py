"""
Redis is silent, refuses, is slow, a replica or full, while callers ask fifty times a second and book.

Experiments 5 and 6, and issue 4's `redis_blackhole_…`. Nobody knows free times without Redis, and for a minute nobody
may ask Cal.com for them: so availability degrades, at once and honestly. What a caller was offered before is booked.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count, cycle, product

from script.lib import environment
from script.lib.agent import Agent
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError
from tests.chaos import outages
from tests.chaos.callers import WRITE_WAIT, Caller, Callers, Heard
from tests.chaos.experiments import _salon

PROMISES = {
    "redis_refused_added_ms": Promise("ms", 300),
    "redis_silent_added_ms": Promise("ms", 300),
    "redis_blackhole_excess_ms": Promise("ms", 100),
    "redis_blackhole_500s": Promise("answers", 0),
    "redis_away_excess_ms": Promise("ms", 100),
    "redis_away_500s": Promise("answers", 0),
    "redis_away_bookings_lost": Promise("bookings", 0),
    "redis_away_unready": Promise("answers", 0),
}
SETTLED_WITHIN = 130.0
# Seconds after which health knows: it asks once a second.
KNOWN_AFTER = 2.0


@dataclass(frozen=True)
class _Length:
    """How long Redis is silent, and how long it refuses."""

    seconds: float
    bookings: int
    """Of each time. In one minute without Redis the governor lets few writes through; the others settle after it."""


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Let callers go on while Redis is away in every way there is."""
    few = {"CALCOM_PROCESSES": "4"}  # that many do send here
    with environment.brought_up(
        _salon.dataset(8), log="redis-away", latency=0.2, seed=seed, threads=16, environ=few
    ) as here:
        return _measured(here, _Length(60, bookings=4) if full else _Length(10, bookings=2))


def _measured(here: Ground, length: _Length) -> dict[str, Found]:
    from django.conf import settings  # noqa: PLC0415  needs the environment

    seconds = length.seconds
    asking, booking = _salon.Questions(here), _Bookings(here)
    with Callers(here) as callers:
        for way, number in ((asking.ask, 15), (asking.search, 10), (_salon.look, 1), (booking.book, 1)):
            callers.let(way, number=number, every=0.5)
        usual = _salon.during(callers, "all is well", nullcontext(), seconds / 3)
        booking.prepare(length.bookings)
        hanging = outages.hanging(here.stage.child("redis"))
        silent = _salon.during(callers, "Redis is silent", hanging, seconds, after=WRITE_WAIT)
        booking.prepare(length.bookings)
        gone = outages.gone(here.stage, "redis")
        refused = _salon.during(callers, "Redis refuses", gone, seconds, after=WRITE_WAIT)
        others = {
            "Redis is slow": outages.slow(settings.REDIS_URL, 0.1),
            "Redis is a replica": outages.replica(settings.REDIS_URL),
            "Redis is full": outages.full(settings.REDIS_URL),
        }
        rest = [
            each
            for what, fault in others.items()
            for each in _salon.during(callers, what, fault, seconds / 4, after=1.0)
        ]
    lost = booking.refused + _salon.differences(here, booking.told, within=SETTLED_WITHIN)
    away = [*refused, *rest]
    return {
        "redis_refused_added_ms": _added(refused, usual),
        "redis_silent_added_ms": _added(silent, usual),
        "redis_blackhole_excess_ms": _excess(silent),
        "redis_blackhole_500s": _failures(silent),
        "redis_away_excess_ms": _excess(away),
        "redis_away_500s": _failures(away),
        "redis_away_bookings_lost": Found(len(lost), f"of {len(booking.told)}, offered or held before"),
        "redis_away_unready": _unready(silent, refused),
    }


# --- bookings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """A caller who has been offered a time, or for whom it is held."""

    conversation: str
    slot_token: str
    confirm_token: str | None


class _Bookings:
    """Callers who were offered something before Redis went, and now decide."""

    def __init__(self, here: Ground) -> None:
        self._here = here
        self._wishes = cycle(product(_salon.WEEK, here.tenant().services.values()))
        self._numbers = count()
        self._calls: deque[_Call] = deque()
        self.told: list[str] = []
        """Ids of the bookings that callers were told of."""
        self.refused: list[str] = []
        """What the others heard."""
        self.prepare(len(here.tenant().services))  # so that everything is known
        self._calls.clear()

    def prepare(self, number: int) -> None:
        """Let callers be offered times, each a service or day of its own; every other one is held."""
        with self._here.agent() as agent:
            self._calls += [self._offered(agent, hold=which % 2 == 0) for which in range(number)]

    def _offered(self, agent: Agent, *, hold: bool) -> _Call:
        day, service = next(self._wishes)
        call = agent.post("/v1/conversations", {"platform": "stage", "call_id": f"call-{next(self._numbers)}"})
        within = {"conversation_id": call.body["conversation_id"]}
        question = {"service": service, "when": {"date": _salon.date(day)}, **within}
        found = agent.post("/v1/availability/search", question)
        if found.status != 200 or not found.body["offers"]:
            raise StageError(f"Nothing was offered: {found.status} {str(found.body)[:200]}")
        token = found.body["offers"][0]["slot_token"]
        held = agent.post("/v1/holds", {"slot_token": token, **within}).body if hold else {}
        return _Call(within["conversation_id"], token, held.get("confirm_token"))

    def book(self, caller: Caller) -> None:
        """Book what somebody was offered, holding it first; one of them each time."""
        if not self._calls:
            return
        call = self._calls.popleft()
        within = {"conversation_id": call.conversation}
        token = call.confirm_token
        if token is None:
            held = caller.post("hold", "/v1/holds", {"slot_token": call.slot_token, **within})
            token = held.body.get("confirm_token") if held else None
        wish = {"confirm_token": token} if token else {"slot_token": call.slot_token}
        booked = caller.post("book", "/v1/bookings", {**wish, **within, "caller": {"name": "Ada Byron"}})
        if booked and booked.status in (201, 202):
            self.told.append(booked.body["booking"]["id"])
        else:
            self.refused.append(f"A caller heard {booked and booked.body['code']}")


# --- what came of it -----------------------------------------------------------------------------------------------


def _added(heard: Sequence[Heard], usual: Sequence[Heard]) -> Found:
    """Return by how much longer questions took than usual."""
    now, before = _p99(heard), _p99(usual)
    if now is None or before is None:
        return Found(None)
    return Found(now - before, f"p99 of questions: {now:.0f} instead of {before:.0f} ms")


def _p99(heard: Sequence[Heard]) -> float | None:
    return percentile([each.took * 1000 for each in heard if each.what in ("ask", "search")], 0.99)


def _excess(heard: Sequence[Heard]) -> Found:
    return Found(percentile([each.excess * 1000 for each in heard], 0.99), f"p99 of {len(heard)}")


def _failures(heard: Sequence[Heard]) -> Found:
    return Found(sum(each.is_failure for each in heard), f"of {len(heard)}")


def _unready(*times: Sequence[Heard]) -> Found:
    """Return how often somebody was sent away; and how often we said that all is well, when that could be known."""
    ready = [each for heard in times for each in heard if each.what == "ready"]
    health = [
        each
        for heard in times
        for each in heard
        if each.what == "health" and each.asked_at > heard[0].asked_at + KNOWN_AFTER
    ]
    wrong = sum(each.status != 200 for each in ready) + sum(each.code != "degraded" for each in health)
    return Found(wrong if ready and health else None, f"of {len(ready) + len(health)}")
