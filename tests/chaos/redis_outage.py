"""
Redis hangs, refuses connections, is slow, a replica or full, while callers ask fifty times a second and book.

Without Redis no free time is known, and for a minute Cal.com may not be asked: availability degrades at once. Offers
that were made before are booked.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, cycle, product

from django.conf import settings

from script.lib.agent import Agent
from script.lib.environment import Environment, Servers
from script.lib.measurements import Measurement, percentile
from script.lib.processes import HarnessError
from tests.chaos import consistency, outages
from tests.chaos.callers import (
    WEEK,
    WRITE_WAIT,
    Caller,
    Callers,
    Questions,
    Response,
    check_health,
    date_ahead,
    excess_ms,
    failures,
    salon,
)

# Seconds after which health knows: it asks once a second.
KNOWN_AFTER = 2.0


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Break Redis in each way, under load."""
    # In one minute without Redis the rate limiter admits few writes; further ones would settle after it.
    seconds, offers = (60.0, 4) if full else (10.0, 2)
    few = {"CALCOM_PROCESSES": "4"}  # the number of processes that send here
    with servers.environment(salon(8), latency=0.2, seed=seed, threads=16, environ=few) as env:
        questions, bookings = Questions(env), _Bookings(env)
        with Callers(env) as callers:
            for action, number in ((questions.ask, 15), (questions.search, 10), (check_health, 1), (bookings.book, 1)):
                callers.start(action, number=number, every=0.5)
            usual = callers.during(None, seconds / 3)
            bookings.prepare(offers)
            hanging = callers.during(outages.hanging(env.supervisor.child("redis")), seconds, after=WRITE_WAIT)
            bookings.prepare(offers)
            gone = callers.during(outages.gone(env.supervisor, "redis"), seconds, after=WRITE_WAIT)
            others = (
                outages.slow(settings.REDIS_URL, 0.1),
                outages.replica(settings.REDIS_URL),
                outages.full(settings.REDIS_URL),
            )
            rest = [each for fault in others for each in callers.during(fault, seconds / 4, after=1.0)]
        lost = bookings.refused + consistency.settled_differences(env, bookings.confirmed, within=130.0)
    away = [*gone, *rest]
    return {
        "redis_refused_added_ms": _added(gone, usual),
        "redis_silent_added_ms": _added(hanging, usual),
        "redis_blackhole_excess_ms": excess_ms(hanging),
        "redis_blackhole_500s": failures(hanging),
        "redis_away_excess_ms": excess_ms(away),
        "redis_away_500s": failures(away),
        "redis_away_bookings_lost": Measurement(len(lost), "; ".join(lost) or f"of {len(bookings.confirmed)}"),
        "redis_away_unready": _unready(hanging, gone),
    }


@dataclass(frozen=True)
class _Call:
    """A caller with an offer, or with a hold."""

    conversation: str
    slot_token: str
    confirm_token: str | None


class _Bookings:
    """Callers who got an offer before Redis went away, and book it meanwhile."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._wanted = cycle(product(WEEK, env.services.values()))
        self._numbers = count()
        self._calls: deque[_Call] = deque()
        self.confirmed: list[str] = []
        self.refused: list[str] = []
        self.prepare(len(env.services))  # loads everything
        self._calls.clear()

    def prepare(self, number: int) -> None:
        """Have callers be offered slots, each of another service or day; every other one is held."""
        with self._env.agent() as agent:
            self._calls += [self._offer(agent, hold=which % 2 == 0) for which in range(number)]

    def _offer(self, agent: Agent, *, hold: bool) -> _Call:
        day, service = next(self._wanted)
        call = agent.post("/v1/conversations", {"platform": "chaos", "call_id": f"call-{next(self._numbers)}"})
        conversation = {"conversation_id": call.body["conversation_id"]}
        question = {"service": service, "when": {"date": date_ahead(day)}, **conversation}
        answer = agent.post("/v1/availability/search", question)
        if answer.status != 200 or not answer.body["offers"]:
            raise HarnessError(f"No offer: {answer.status} {str(answer.body)[:200]}")
        token = answer.body["offers"][0]["slot_token"]
        held = agent.post("/v1/holds", {"slot_token": token, **conversation}).body if hold else {}
        return _Call(conversation["conversation_id"], token, held.get("confirm_token"))

    def book(self, caller: Caller) -> None:
        """Book one of the offers, after a hold."""
        if not self._calls:
            return
        call = self._calls.popleft()
        conversation = {"conversation_id": call.conversation}
        token = call.confirm_token
        if token is None:
            held = caller.post("hold", "/v1/holds", {"slot_token": call.slot_token, **conversation})
            token = held.body.get("confirm_token") if held else None
        slot = {"confirm_token": token} if token else {"slot_token": call.slot_token}
        answer = caller.post("book", "/v1/bookings", {**slot, **conversation, "caller": {"name": "Ada Byron"}})
        if answer and answer.status in (201, 202):
            self.confirmed.append(answer.body["booking"]["id"])
        else:
            self.refused.append(f"a booking was answered {answer and answer.code}")


def _added(responses: Sequence[Response], usual: Sequence[Response]) -> Measurement:
    """Return by how much longer availability took than usual."""
    now, before = _p99(responses), _p99(usual)
    if now is None or before is None:
        return Measurement(None)
    return Measurement(now - before, f"p99 of availability: {now:.0f} instead of {before:.0f} ms")


def _p99(responses: Sequence[Response]) -> float | None:
    return percentile([each.duration * 1000 for each in responses if each.what in ("ask", "search")], 0.99)


def _unready(*phases: Sequence[Response]) -> Measurement:
    """Count responses of unreadiness, and those of health that were not `degraded` although that could be known."""
    ready = [each for responses in phases for each in responses if each.what == "ready"]
    health = [
        each
        for responses in phases
        for each in responses
        if each.what == "health" and each.sent_at > responses[0].sent_at + KNOWN_AFTER
    ]
    wrong = sum(each.status != 200 for each in ready) + sum(each.code != "degraded" for each in health)
    return Measurement(wrong if ready and health else None, f"of {len(ready) + len(health)}")
