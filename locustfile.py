"""
Callers on the phone, for locust: each rings up a company, asks for a time, thinks, takes one or another, thinks again.

`script/loadtest` plays the scenarios with everything that belongs to them and gives a verdict. By hand, against a
Slotline that runs already (`script/demo` prints the key of an agent):

    LOAD_KEYS=sl_… LOAD_TIME_SCALE=0.2 .venv/bin/locust --host http://127.0.0.1:8000

and then in the browser at http://127.0.0.1:8089; or with `--headless` until the scenario is over. What it reads:

    LOAD_KEYS        keys of agents, comma-separated, best of several companies; each line belongs to one of them
    LOAD_SCENARIO    normal (the default), burst, cold, queue, contention or outage
    LOAD_TIME_SCALE  how much shorter than in life it lasts and people think: 0.1 is a tenth
    LOAD_SECONDS     after how many seconds it ends at the latest
    LOAD_SEED        other callers with other wishes
    LOAD_LEDGER      a file that takes what callers were told, line by line; without it nothing is kept

Callers are invented, their numbers are ones that Germany keeps for films. What they book is booked: never aim this at
a Slotline that real people call.
"""

import os
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Any, ClassVar
from urllib.parse import urlencode

from gevent.event import Event
from locust import LoadTestShape, User, task
from locust.env import Environment
from locust.exception import StopUser

from tests.load.call_log import Contested, now
from tests.load.client import KEYS, RUN, SEARCH, SEED, Answer, HungUp, PhoneLine, tell
from tests.load.people import Person, people

# What a caller calls for, by share. Who has an appointment may call again to change it.
CHANGES, ONLY_ASKS, BOOKS_UNHELD, CHANGES_MIND = 0.25, 0.15, 0.25, 0.1
MOVES = 0.6
"""Of those who change something; the others cancel."""
LISTS = 0.15
"""Calls in which a program asks for a plain list as well."""
WEEKS_AWAY, DAYS_AHEAD = 0.1, 4.0
"""Callers who plan far ahead; and how many days ahead the others want to come, in the mean."""
PARTS = ("morning", "noon", "afternoon", "evening")
CLOCKS = ("09:00", "10:30", "14:00", "17:30")

_people = people(Random(f"{SEED} people"))  # noqa: S311
_calls = count()


@dataclass(frozen=True)
class Booked:
    """An appointment, and whose it is."""

    person: Person
    booking: str
    service: Mapping[str, Any] = field(repr=False)


_appointments: "defaultdict[str, deque[Booked]]" = defaultdict(deque)
"""By key. Whoever calls about one takes it out, so that nobody else calls about it meanwhile."""


class Caller(PhoneLine):
    """One caller after the other, each with a wish of their own."""

    def wait_time(self) -> float:
        """Return the seconds until the next one calls."""
        return RUN.thinks(RUN.pace.between_calls, self.chance)

    @task
    def call(self) -> None:
        """Play one call."""
        self.leave_at_closing()
        known = _appointments[self.key]
        with suppress(HungUp):
            if known and self.chance.random() < CHANGES:
                self._changes(known.popleft())
            else:
                self._wants(next(_people))

    # Somebody new

    def _wants(self, person: Person) -> None:
        call = self._rings(person)
        service = self.chance.choice([each for each in call["services"] if each["bookable"]])
        if self.chance.random() < LISTS:
            query = urlencode({"service": service["id"], "date": self._day(call).isoformat()})
            self.ask("GET /v1/availability", path=f"/v1/availability?{query}")
        self.thinks(RUN.pace.says_wish)
        found = self._searches(call, service)
        self.thinks(RUN.pace.considers)
        if self.chance.random() < ONLY_ASKS:
            raise HungUp
        if found["hold"]:
            self._confirms(call, person, service, found["hold"])
        else:
            self._takes(call, person, service, self.chance.choice(found["offers"]))

    def _rings(self, person: Person) -> Any:
        body = {"platform": "loadtest", "call_id": f"{os.getpid()}-{next(_calls)}", "caller_phone": person.phone}
        return self._heard(self.ask("POST /v1/conversations", body))

    def _heard(self, answer: Answer) -> Any:
        """Return what an answer says; without one the caller gives up."""
        if not answer.ok:
            raise HungUp
        return answer.body

    def _searches(self, call: Mapping[str, Any], service: Mapping[str, Any]) -> Any:
        """Ask for a time; who hears of none asks for any."""
        found: Any = {"offers": []}
        for when in (self._when(call), {}):
            hold = {"hold": "exact_match"} if "time" in when else {}
            body = {"conversation_id": call["conversation_id"], "service": service["id"], "when": when, **hold}
            answer = self.ask(SEARCH, body)
            if answer.ok:
                found = answer.body
                if found["offers"]:
                    return found
            self.thinks(RUN.pace.considers)
        raise HungUp

    def _when(self, call: Mapping[str, Any]) -> dict[str, str]:
        day = {"date": self._day(call).isoformat()}
        likes = self.chance.random()
        if likes < 0.6:
            return {**day, "part_of_day": self.chance.choice(PARTS)}
        if likes < 0.75:
            return {**day, "time": self.chance.choice(CLOCKS)}
        return day if likes < 0.9 else {}

    def _day(self, call: Mapping[str, Any]) -> date:
        """Return a day: most people want one of the next, and one in ten one that is weeks away."""
        if self.chance.random() < WEEKS_AWAY:
            return date.fromisoformat(call["days"][-1]["date"]) + timedelta(days=self.chance.randint(1, 28))
        ahead = 1 + int(self.chance.expovariate(1 / DAYS_AHEAD))
        return date.fromisoformat(call["days"][min(ahead, len(call["days"]) - 1)]["date"])

    # Taking a time

    def _takes(
        self,
        call: Mapping[str, Any],
        person: Person,
        service: Mapping[str, Any],
        offer: Mapping[str, str],
        *,
        last: bool = False,
    ) -> None:
        """Hold the offer and confirm it, or book it at once; who comes too late takes another, once."""
        if self.chance.random() < BOOKS_UNHELD:
            self._books(call, person, service, {"slot_token": offer["slot_token"]}, offer["start"])
            return
        body = {"slot_token": offer["slot_token"], "conversation_id": call["conversation_id"]}
        answer = self.ask("POST /v1/holds", body)
        if answer.ok:
            self._confirms(call, person, service, answer.body)
            return
        self.is_refused(answer, "hold", {"service": service["id"], "start": offer["start"]})
        others = answer.body["alternatives"] if answer.code == "slot_taken" else []
        if others and not last:
            self.thinks(RUN.pace.considers)
            self._takes(call, person, service, self.chance.choice(others), last=True)

    def _confirms(
        self, call: Mapping[str, Any], person: Person, service: Mapping[str, Any], held: Mapping[str, str]
    ) -> None:
        """Hear the time read back, and agree; or not."""
        self.thinks(RUN.pace.agrees)
        if self.chance.random() < CHANGES_MIND:
            self.ask("DELETE /v1/holds/{id}", path=f"/v1/holds/{held['hold_id']}")
            return
        self._books(call, person, service, {"confirm_token": held["confirm_token"]}, held["start"])

    def _books(
        self,
        call: Mapping[str, Any],
        person: Person,
        service: Mapping[str, Any],
        token: Mapping[str, str],
        start: str,
    ) -> None:
        caller = {"name": person.name, "phone": person.phone}
        body = {**token, "caller": caller, "conversation_id": call["conversation_id"]}
        answer = self.ask("POST /v1/bookings", body)
        told = self.hears(answer, operation="book", wish={"service": service["id"], "start": start})
        if told == "done" and person.phone:
            _appointments[self.key].append(Booked(person, answer.body["booking"]["id"], service))

    # Somebody who has an appointment

    def _changes(self, booked: Booked) -> None:
        call = self._rings(booked.person)
        found = self._heard(self.ask("POST /v1/bookings/find", {"conversation_id": call["conversation_id"]}))
        own = next(each for each in found["bookings"] if each["id"] == booked.booking)
        self.thinks(RUN.pace.says_wish)
        if self.chance.random() < MOVES:
            self._moves(call, booked)
        else:
            path = f"/v1/bookings/{own['id']}/cancel"
            answer = self.ask("POST /v1/bookings/{id}/cancel", {"reason": "cannot come"}, path=path)
            self.hears(answer, operation="cancel", wish={"service": booked.service["id"], "start": own["start"]})

    def _moves(self, call: Mapping[str, Any], booked: Booked) -> None:
        offers = self._searches(call, booked.service)["offers"]
        self.thinks(RUN.pace.considers)
        offer = self.chance.choice(offers)
        body = {"slot_token": offer["slot_token"], "conversation_id": call["conversation_id"]}
        path = f"/v1/bookings/{booked.booking}/reschedule"
        answer = self.ask("POST /v1/bookings/{id}/reschedule", body, path=path)
        wish = {"service": booked.service["id"], "start": offer["start"]}
        if self.hears(answer, operation="reschedule", wish=wish) == "done":
            _appointments[self.key].append(booked)


# --- everybody wants the same -------------------------------------------------------------------------------------


class Crossing:
    """Where all wait until the last has come; then all go at once."""

    def __init__(self, parties: int) -> None:
        self._parties, self._waiting, self._open = parties, 0, Event()

    def wait(self) -> None:
        """Wait for the others; at closing time nobody comes any more."""
        opened, self._waiting = self._open, self._waiting + 1
        if self._waiting == self._parties:
            self._waiting, self._open = 0, Event()
            opened.set()
        if not opened.wait(timeout=Rival.LONGEST_ROUND):
            raise StopUser


class Rival(PhoneLine):
    """One of many who want the very same slot, round after round; half of them hold it first."""

    LONGEST_ROUND: ClassVar[float] = 30.0
    """Seconds."""
    crossing = Crossing(RUN.scenario.users)
    slot: ClassVar[dict[str, str]] = {}
    began: ClassVar[float] = 0.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.key = KEYS[0]

    @task
    def compete(self) -> None:
        """Play one round."""
        self.crossing.wait()
        if self.number == 0:
            self._choose()
        self.crossing.wait()
        if not Rival.slot:
            raise StopUser
        token, call = self._offered()
        self.crossing.wait()
        if token:
            self._grab(token, call)

    def _choose(self) -> None:
        """Choose the slot of this round: the first of a day in two weeks; none once the time is over."""
        Rival.began = Rival.began or now()
        if now() - Rival.began > RUN.seconds:
            Rival.slot = {}
            return
        services = self.ask("GET /v1/services").body["services"]
        day = (date.today() + timedelta(days=self.chance.randint(3, 13))).isoformat()  # noqa: DTZ011  any day will do
        query = urlencode({"service": services[0]["id"], "date": day})
        slots = self.ask("GET /v1/availability", path=f"/v1/availability?{query}").body["slots"]
        Rival.slot = {"service": services[0]["id"], "start": slots[0]["start"]}
        tell(Contested(now(), **Rival.slot))

    def _offered(self) -> tuple[str, str]:
        """Have the slot offered; return its token and the conversation."""
        body = {"platform": "loadtest", "call_id": f"{os.getpid()}-{next(_calls)}"}
        call = self.ask("POST /v1/conversations", body).body["conversation_id"]
        when = {"windows": [{"from": self.slot["start"]}]}
        question = {"conversation_id": call, "service": self.slot["service"], "when": when, "max_offers": 1}
        offers = self.ask(SEARCH, question).body["offers"]
        return (offers[0]["slot_token"], call) if offers and offers[0]["start"] == self.slot["start"] else ("", call)

    def _grab(self, token: str, call: str) -> None:
        named = {"slot_token": token}
        if self.number % 2:
            held = self.ask("POST /v1/holds", {**named, "conversation_id": call})
            if not held.ok:
                self.is_refused(held, "hold", self.slot)
                return
            named = {"confirm_token": held.body["confirm_token"]}
        body = {**named, "conversation_id": call, "caller": {"name": next(_people).name}}
        self.hears(self.ask("POST /v1/bookings", body), operation="book", wish=dict(self.slot))


# --- how many callers there are -----------------------------------------------------------------------------------


class Script(LoadTestShape):
    """As many callers as the scenario has, for as long as it lasts."""

    abstract: ClassVar[bool] = True

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Return how many there shall be and how many come in a second; None when it is over."""
        scenario = RUN.scenario
        if self.get_run_time() > RUN.seconds and not (scenario.rivals and self._is_between_rounds()):
            return None
        rate = min(100.0, max(0.5, scenario.users / max(RUN.arrives_within, 0.1)))
        return scenario.users, rate, [Rival if scenario.rivals else Caller]

    def _is_between_rounds(self) -> bool:
        """Return whether rivals are still there: they end by themselves, after a round, soon after the time is over."""
        there: int = self.get_current_user_count()
        return there > 0 and bool(self.get_run_time() < RUN.seconds + Rival.LONGEST_ROUND)


class Normal(Script):
    """Ten lines, half an hour."""

    abstract = RUN.scenario.name != "normal"


class Burst(Script):
    """Twenty-five lines at once, ten minutes."""

    abstract = RUN.scenario.name != "burst"


class Cold(Script):
    """Fifteen lines, five minutes, and nothing is known when they begin."""

    abstract = RUN.scenario.name != "cold"


class Queue(Script):
    """Light traffic while eighty clearing jobs wait."""

    abstract = RUN.scenario.name != "queue"


class Contention(Script):
    """Forty callers and one slot."""

    abstract = RUN.scenario.name != "contention"


class Outage(Script):
    """Cal.com goes away, and comes back."""

    abstract = RUN.scenario.name != "outage"
