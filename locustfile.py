"""
Callers for locust: each calls a company, asks for a slot, thinks, takes one or another, and thinks again.

`script/loadtest` runs the scenarios in an environment of their own and checks their thresholds. By hand, against a
Slotline that runs already (`script/demo` prints the key of an agent):

    LOAD_KEYS=sl_… LOAD_TIME_SCALE=0.2 .venv/bin/locust --host http://127.0.0.1:8000

and then in the browser at http://127.0.0.1:8089; or with `--headless` until the scenario is over. Variables:

    LOAD_KEYS        keys of agents, comma-separated, best of several companies; each phone line belongs to one of them
    LOAD_SCENARIO    normal (the default), burst, cold, queue, contention or outage
    LOAD_TIME_SCALE  how much shorter than in life the scenario and people's thinking are: 0.1 is a tenth
    LOAD_SECONDS     after how many seconds it ends at the latest
    LOAD_SEED        other callers
    LOAD_LOG         a file for the call log

Callers are invented, with numbers that are reserved in Germany for films. Bookings are made: never aim this at a
Slotline that real people call.
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

from tests.load.call_log import Contested, now, write
from tests.load.client import KEYS, LOG, RUN, SEARCH, SEED, Answer, HungUp, PhoneLine

# Shares of calls. A caller who has an appointment may call again to change it.
CHANGES, ONLY_ASKS, BOOKS_UNHELD, CHANGES_MIND = 0.25, 0.15, 0.25, 0.1
RESCHEDULES = 0.6
"""Of those who change something; the others cancel."""
LISTS = 0.15
"""Calls in which a program lists a day as well."""
WEEKS_AHEAD, DAYS_AHEAD = 0.1, 4.0
"""Callers who plan far ahead; and how many days ahead the others want to come, on average."""
PARTS = ("morning", "noon", "afternoon", "evening")
CLOCKS = ("09:00", "10:30", "14:00", "17:30")
WITHHELD = 0.1
"""Callers who withhold their number."""
FILM_NUMBERS = ("+493023125", "+494066969", "+492214710", "+496990009", "+498999998")
"""Prefixes that Germany's regulator reserves, a thousand numbers each."""

# Other numbers in each scenario: to Cal.com a second booking of one person is the first one.
_people, _calls = count(Random(SEED).randrange(5000)), count()  # noqa: S311


@dataclass(frozen=True)
class Person:
    """An invented caller."""

    name: str = field(repr=False)
    phone: str | None = field(repr=False)


@dataclass(frozen=True)
class Booked:
    """An appointment, and whose it is."""

    person: Person
    booking: str
    service: Mapping[str, Any] = field(repr=False)


_appointments: "defaultdict[str, deque[Booked]]" = defaultdict(deque)
"""By key. A caller takes an appointment out while calling about it."""


class Caller(PhoneLine):
    """One caller after the other."""

    def wait_time(self) -> float:
        """Return the seconds until the next one calls."""
        return RUN.thinks(RUN.pace.between_calls, self.chance)

    @task
    def call(self) -> None:
        """Make one call."""
        self.stop_when_over()
        known = _appointments[self.key]
        with suppress(HungUp):
            if known and self.chance.random() < CHANGES:
                self._change(known.popleft())
            else:
                self._book_new(self._person())

    def _person(self) -> Person:
        number = next(_people)
        prefix, extension = FILM_NUMBERS[number // 1000 % len(FILM_NUMBERS)], number % 1000
        withheld = self.chance.random() < WITHHELD
        return Person(f"Ada Caller-{number}", None if withheld else f"{prefix}{extension:03}")

    # New callers

    def _book_new(self, person: Person) -> None:
        call = self._start(person)
        service = self.chance.choice([each for each in call["services"] if each["bookable"]])
        if self.chance.random() < LISTS:
            query = urlencode({"service": service["id"], "date": self._day(call).isoformat()})
            self.send("GET /v1/availability", path=f"/v1/availability?{query}")
        self.think(RUN.pace.asks)
        found = self._search(call, service)
        self.think(RUN.pace.considers)
        if self.chance.random() < ONLY_ASKS:
            raise HungUp
        if found["hold"]:
            self._confirm(call, person, service, found["hold"])
        else:
            self._take(call, person, service, self.chance.choice(found["offers"]))

    def _start(self, person: Person) -> Any:
        body = {"platform": "loadtest", "call_id": f"{os.getpid()}-{next(_calls)}", "caller_phone": person.phone}
        return self._required(self.send("POST /v1/conversations", body))

    def _required(self, answer: Answer) -> Any:
        """Return the body; without a success the caller hangs up."""
        if not answer.ok:
            raise HungUp
        return answer.body

    def _search(self, call: Mapping[str, Any], service: Mapping[str, Any]) -> Any:
        """Search a wanted time, and any time where there is no offer."""
        for when in (self._when(call), {}):
            hold = {"hold": "exact_match"} if "time" in when else {}
            body = {"conversation_id": call["conversation_id"], "service": service["id"], "when": when, **hold}
            answer = self.send(SEARCH, body)
            if answer.ok and answer.body["offers"]:
                return answer.body
            self.think(RUN.pace.considers)
        raise HungUp

    def _when(self, call: Mapping[str, Any]) -> dict[str, str]:
        day = {"date": self._day(call).isoformat()}
        kind = self.chance.random()
        if kind < 0.6:
            return {**day, "part_of_day": self.chance.choice(PARTS)}
        if kind < 0.75:
            return {**day, "time": self.chance.choice(CLOCKS)}
        return day if kind < 0.9 else {}

    def _day(self, call: Mapping[str, Any]) -> date:
        """Return a day: most people want one of the next, and one in ten one that is weeks ahead."""
        if self.chance.random() < WEEKS_AHEAD:
            return date.fromisoformat(call["days"][-1]["date"]) + timedelta(days=self.chance.randint(1, 28))
        ahead = 1 + int(self.chance.expovariate(1 / DAYS_AHEAD))
        return date.fromisoformat(call["days"][min(ahead, len(call["days"]) - 1)]["date"])

    # Taking a slot

    def _take(
        self,
        call: Mapping[str, Any],
        person: Person,
        service: Mapping[str, Any],
        offer: Mapping[str, str],
        *,
        last: bool = False,
    ) -> None:
        """Hold the offer and confirm it, or book it at once; if it is taken, try an alternative, once."""
        if self.chance.random() < BOOKS_UNHELD:
            self._book(call, person, service, {"slot_token": offer["slot_token"]}, offer["start"])
            return
        body = {"slot_token": offer["slot_token"], "conversation_id": call["conversation_id"]}
        answer = self.send("POST /v1/holds", body)
        if answer.ok:
            self._confirm(call, person, service, answer.body)
            return
        self.log_refusal(answer, "hold", {"service": service["id"], "start": offer["start"]})
        others = answer.body["alternatives"] if answer.code == "slot_taken" else []
        if others and not last:
            self.think(RUN.pace.considers)
            self._take(call, person, service, self.chance.choice(others), last=True)

    def _confirm(
        self, call: Mapping[str, Any], person: Person, service: Mapping[str, Any], held: Mapping[str, str]
    ) -> None:
        """Agree to the held slot, or release it."""
        self.think(RUN.pace.agrees)
        if self.chance.random() < CHANGES_MIND:
            self.send("DELETE /v1/holds/{id}", path=f"/v1/holds/{held['hold_id']}")
            return
        self._book(call, person, service, {"confirm_token": held["confirm_token"]}, held["start"])

    def _book(
        self,
        call: Mapping[str, Any],
        person: Person,
        service: Mapping[str, Any],
        token: Mapping[str, str],
        start: str,
    ) -> None:
        caller = {"name": person.name, "phone": person.phone}
        body = {**token, "caller": caller, "conversation_id": call["conversation_id"]}
        answer = self.send("POST /v1/bookings", body)
        state = self.follow(answer, operation="book", slot={"service": service["id"], "start": start})
        if state == "done" and person.phone:
            _appointments[self.key].append(Booked(person, answer.body["booking"]["id"], service))

    # Callers with an appointment

    def _change(self, booked: Booked) -> None:
        call = self._start(booked.person)
        found = self._required(self.send("POST /v1/bookings/find", {"conversation_id": call["conversation_id"]}))
        own = next(each for each in found["bookings"] if each["id"] == booked.booking)
        self.think(RUN.pace.asks)
        if self.chance.random() < RESCHEDULES:
            self._reschedule(call, booked)
        else:
            path = f"/v1/bookings/{own['id']}/cancel"
            answer = self.send("POST /v1/bookings/{id}/cancel", {"reason": "cannot come"}, path=path)
            self.follow(answer, operation="cancel", slot={"service": booked.service["id"], "start": own["start"]})

    def _reschedule(self, call: Mapping[str, Any], booked: Booked) -> None:
        offers = self._search(call, booked.service)["offers"]
        self.think(RUN.pace.considers)
        offer = self.chance.choice(offers)
        body = {"slot_token": offer["slot_token"], "conversation_id": call["conversation_id"]}
        path = f"/v1/bookings/{booked.booking}/reschedule"
        answer = self.send("POST /v1/bookings/{id}/reschedule", body, path=path)
        slot = {"service": booked.service["id"], "start": offer["start"]}
        if self.follow(answer, operation="reschedule", slot=slot) == "done":
            _appointments[self.key].append(booked)


class Rendezvous:
    """Where all wait until the last has come."""

    def __init__(self, parties: int) -> None:
        self._parties, self._waiting, self._open = parties, 0, Event()

    def wait(self) -> None:
        """Wait for the others. Ends the user where they do not come any more."""
        opened, self._waiting = self._open, self._waiting + 1
        if self._waiting == self._parties:
            self._waiting, self._open = 0, Event()
            opened.set()
        if not opened.wait(timeout=Rival.LONGEST_ROUND):
            raise StopUser


class Rival(PhoneLine):
    """One of many who want the same slot, round after round; half of them hold it first."""

    LONGEST_ROUND: ClassVar[float] = 30.0
    """Seconds."""
    rendezvous = Rendezvous(RUN.scenario.users)
    slot: ClassVar[dict[str, str]] = {}
    began: ClassVar[float] = 0.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.key = KEYS[0]

    @task
    def compete(self) -> None:
        """Run one round."""
        self.rendezvous.wait()
        if self.number == 0:
            self._choose()
        self.rendezvous.wait()
        if not Rival.slot:
            raise StopUser
        token, call = self._offer()
        self.rendezvous.wait()
        if token:
            self._request(token, call)

    def _choose(self) -> None:
        """Choose the slot of this round: the first of a day in two weeks; none once the time is over."""
        Rival.began = Rival.began or now()
        if now() - Rival.began > RUN.seconds:
            Rival.slot = {}
            return
        services = self.send("GET /v1/services").body["services"]
        day = (date.today() + timedelta(days=self.chance.randint(3, 13))).isoformat()  # noqa: DTZ011  any day will do
        query = urlencode({"service": services[0]["id"], "date": day})
        slots = self.send("GET /v1/availability", path=f"/v1/availability?{query}").body["slots"]
        Rival.slot = {"service": services[0]["id"], "start": slots[0]["start"]}
        write(LOG, Contested(now(), **Rival.slot))

    def _offer(self) -> tuple[str, str]:
        """Have the slot offered; return its token and the conversation."""
        body = {"platform": "loadtest", "call_id": f"{os.getpid()}-{next(_calls)}"}
        call = self.send("POST /v1/conversations", body).body["conversation_id"]
        when = {"windows": [{"from": self.slot["start"]}]}
        question = {"conversation_id": call, "service": self.slot["service"], "when": when, "max_offers": 1}
        offers = self.send(SEARCH, question).body["offers"]
        return (offers[0]["slot_token"], call) if offers and offers[0]["start"] == self.slot["start"] else ("", call)

    def _request(self, token: str, call: str) -> None:
        slot = {"slot_token": token}
        if self.number % 2:
            held = self.send("POST /v1/holds", {**slot, "conversation_id": call})
            if not held.ok:
                self.log_refusal(held, "hold", self.slot)
                return
            slot = {"confirm_token": held.body["confirm_token"]}
        body = {**slot, "conversation_id": call, "caller": {"name": f"Ada Rival-{next(_people)}"}}
        self.follow(self.send("POST /v1/bookings", body), operation="book", slot=dict(self.slot))


class Shape(LoadTestShape):
    """As many callers as the scenario has, for as long as it lasts."""

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Return the number of users and how many start in a second; None when it is over."""
        scenario = RUN.scenario
        if self.get_run_time() > RUN.seconds and not (scenario.same_slot and self._is_between_rounds()):
            return None
        rate = min(100.0, max(0.5, scenario.users / max(RUN.arrives_within, 0.1)))
        return scenario.users, rate, [Rival if scenario.same_slot else Caller]

    def _is_between_rounds(self) -> bool:
        """Return whether rivals are still there: they end by themselves, after a round, soon after the time is over."""
        users: int = self.get_current_user_count()
        return users > 0 and bool(self.get_run_time() < RUN.seconds + Rival.LONGEST_ROUND)
