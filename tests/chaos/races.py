"""
Races: twenty slots and 200 callers, fifty callers for one slot, and fifty for overlapping slots of one host.

Every slot is sold exactly once, losers are offered other times at once, and no two writes for overlapping times are
in flight at Cal.com together.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from threading import Barrier, Event
from typing import Any, TypeVar

from django.db import connection

from calcom.simulator import WEEKDAYS, Hours
from script.lib.agent import Agent, Answer, NoResponseError
from script.lib.environment import BOOK, Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement, most_at_once, percentile
from script.lib.processes import HarnessError
from tests.chaos import consistency

T = TypeVar("T")

CANCEL = "POST /v2/bookings/{uid}/cancel"
# Seconds that a caller waits for an answer: all ask at once, and web's threads take one after the other.
TIMEOUT = 60.0
# Seconds after which an impatient caller's platform sends the request again.
IMPATIENT = 0.4
CALLERS, SLOTS, RACERS = 200, 20, 50
# Each race has days of its own, with the same slots: ten hours of half hours.
DAYS_AHEAD = 3


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Run the races; in full against a Cal.com as slow as the real one, and more often."""
    offered = {
        "stock": ("seller",),
        "cut": ("racer",),
        "colour": ("racer",),
        "massage": ("clara",),
        "peeling": ("clara",),
        "either": ("clara", "carl"),
    }
    quarter_hours = {slug: {"interval_minutes": 15} for slug in offered if slug != "stock"}
    hours = (Hours(days=WEEKDAYS, end="19:00"),)
    dataset = calcom_data({"races": offered}, hours=hours, event_types=quarter_hours)
    with servers.environment(dataset, latency=1.0 if full else 0.15, seed=seed, threads=16) as env:
        url = env.start_web(processes=2, threads=4)
        with env.agent() as agent:  # no answer may depend on a load
            for slug in offered:
                env.free_slots(agent, slug, ahead=DAYS_AHEAD, days=12)
        deadlocks = _deadlocks()
        stock, confirmed = _limited_stock(env, Random(seed))
        same_slot, winners = _same_slot(env, url, races=30 if full else 6)
        overlapping = _overlapping_slots(env, times=100 if full else 8)
        deadlocks = _deadlocks() - deadlocks
        differences = consistency.settled_differences(env, {*confirmed, *winners}, within=60.0)
        if differences:
            raise HarnessError("Cal.com and our rows differ:\n  " + "\n  ".join(differences))
        overlaps = Measurement(len(env.simulator.overlaps()))
    return {**stock, **same_slot, **overlapping, "race_overlaps": overlaps, "race_deadlocks": Measurement(deadlocks)}


def _at(day: int, minutes: int) -> datetime:
    """Return a moment so many minutes after nine o'clock of a race day."""
    return midnight(DAYS_AHEAD + day) + timedelta(hours=9, minutes=minutes)


def _deadlocks() -> int:
    time.sleep(1.1)  # a backend reports its counters once a second
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(deadlocks) FROM pg_stat_database")
        return int(cursor.fetchone()[0])


def _at_once(env: Environment, send: Callable[[Agent, int], T], url: str = "") -> list[T]:
    """Have `RACERS` agents call `send` at the same moment, each on an open connection; return their results."""
    ready = Barrier(RACERS)

    def run(number: int) -> T:
        with env.agent(url=url, timeout=TIMEOUT) as agent:
            agent.get("/health/live")
            ready.wait(TIMEOUT)
            return send(agent, number)

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(run, range(RACERS)))


def _counted(statuses: "Counter[int]") -> str:
    return ", ".join(f"{number} times {status}" for status, number in sorted(statuses.items()))


# --- limited stock -------------------------------------------------------------------------------------------------


def _limited_stock(env: Environment, chance: Random) -> tuple[dict[str, Measurement], list[str]]:
    """Sell the slots of a day to callers who accept alternatives until none is left; return the bookings as well."""
    numbers = [number % SLOTS for number in range(CALLERS)]
    chance.shuffle(numbers)
    callers = [
        _Caller(env, number, _at(0, 30 * slot), holds=number % 4 >= 2, sends_twice=number % 2 == 1)
        for number, slot in enumerate(numbers)
    ]
    ready = Barrier(len(callers))

    def call(caller: _Caller) -> None:
        with caller.connected():
            ready.wait(TIMEOUT)
            caller.buy()

    with ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(call, callers))
    confirmed = [id_ for caller in callers for id_ in caller.booked]
    statuses = Counter(status for caller in callers for status in caller.statuses)
    if len(set(confirmed)) != len(confirmed) or any(len(caller.booked) > 1 for caller in callers):
        raise HarnessError("Two callers have one booking, or one caller has two.")
    if 500 in statuses:
        raise HarnessError(f"A caller was answered with a failure: {_counted(statuses)}.")
    sold = sum(each["status"] == "accepted" for each in env.simulator.bookings())
    remark = f"{SLOTS} slots, {CALLERS} callers, {env.simulator.count(BOOK)} writes, {len(confirmed)} confirmed"
    return {"race_bookings": Measurement(sold, remark)}, confirmed


@dataclass
class _Caller:
    """A caller who takes what is offered, until there is nothing."""

    env: Environment
    number: int
    start: datetime
    """The slot that is wanted next."""
    holds: bool
    """Whether a slot is searched and held before it is booked; else it is booked by its time."""
    sends_twice: bool
    """Whether the platform sends each booking twice at once, and again when it is not answered soon."""
    statuses: list[int] = field(default_factory=list)
    booked: set[str] = field(default_factory=set)
    _keys: Iterator[int] = field(default_factory=count)

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Open two connections, one for the duplicates."""
        agents = (self.env.agent(timeout=TIMEOUT) for _ in range(2))
        with next(agents) as self._agent, next(agents) as self._second, ThreadPoolExecutor(1) as self._pool:
            for agent in (self._agent, self._second):
                agent.get("/health/live")
            call = self._agent.post("/v1/conversations", {"platform": "races", "call_id": f"call-{self.number}"})
            self._call = {"conversation_id": call.body["conversation_id"]}
            yield

    def buy(self) -> None:
        """Book the slot, and after each refusal one of those that were offered instead."""
        while not self.booked:
            answer = self._hold_and_book() if self.holds else self._book()
            self._record(answer)
            others = self._alternatives(answer)
            if not others:
                return
            self.start = others[self.number % len(others)]

    def _book(self) -> Answer:
        booking = {"service": self.env.services["stock"], "start": self.start.isoformat(), "caller": self._person}
        return self._send(booking, Idempotency_Key=f"stock-{self.number}-{next(self._keys)}")

    def _hold_and_book(self) -> Answer:
        when = {"windows": [{"from": self.start.isoformat()}]}
        question = {"service": self.env.services["stock"], "when": when, "hold": "exact_match", **self._call}
        found = self._final(self._agent, "/v1/availability/search", question, {})
        if found.status != 200 or found.body["hold"] is None:
            return found
        token = found.body["hold"]["confirm_token"]
        return self._send({"confirm_token": token, "caller": self._person, **self._call})

    def _send(self, booking: dict[str, Any], **headers: str) -> Answer:
        duplicate = self._pool.submit(self._send_impatiently, booking, headers) if self.sends_twice else None
        answer = self._final(self._agent, "/v1/bookings", booking, headers)
        if duplicate is not None:
            self._record(duplicate.result())
        return answer

    def _send_impatiently(self, booking: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Send, hang up before the answer, and send the same again."""
        with self.env.agent(timeout=IMPATIENT) as agent, suppress(NoResponseError):
            agent.post("/v1/bookings", booking, Prefer="wait=8", **headers)
        return self._final(self._second, "/v1/bookings", booking, headers)

    def _final(self, agent: Agent, path: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Send until the answer is final."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            answer = agent.post(path, body, Prefer="wait=8", **headers)
            self.statuses.append(answer.status)
            if answer.status != 202 and not answer.body.get("retryable"):
                return answer
            time.sleep(0.1)
        raise HarnessError(f"Caller {self.number} had no final answer from {path} in {TIMEOUT:.0f} s.")

    def _record(self, answer: Answer) -> None:
        if answer.status in (200, 201) and "booking" in answer.body:
            self.booked.add(answer.body["booking"]["id"])

    def _alternatives(self, answer: Answer) -> list[datetime]:
        """Return the other starts of the day that the answer offers."""
        offered = answer.body.get("offers") or answer.body.get("alternatives") or []
        starts = [datetime.fromisoformat(each["start"]) for each in offered]
        return [start for start in starts if start.astimezone(UTC).date() == _at(0, 0).date()]

    @property
    def _person(self) -> dict[str, str]:
        return {"name": "Ada Byron", "phone": f"+4915112{self.number:06d}"}


# --- same slot -----------------------------------------------------------------------------------------------------


def _same_slot(env: Environment, url: str, *, races: int) -> tuple[dict[str, Measurement], list[str]]:
    """
    Have fifty book at once: one slot, and in every other race two that overlap, of two event types.

    Raises:
        HarnessError: there was another answer than a booking, or `slot_taken` with alternatives.
    """
    winners: list[list[str]] = []
    losers: list[Answer] = []
    for number in range(races):
        answers = _at_once(env, _racer(env, number), url)
        won = [each.body["booking"]["id"] for each in answers if each.status == 201]
        lost = [each for each in answers if each.status == 409 and each.code == "slot_taken"]
        if len(won) + sum(bool(each.body["alternatives"]) for each in lost) != RACERS:
            raise HarnessError(f"A race was answered {_counted(Counter(each.status for each in answers))}.")
        winners.append(won)
        losers += lost
    worst = max((len(won) for won in winners), key=lambda number: abs(number - 1))
    waited = percentile([each.duration * 1000 for each in losers], 0.95)
    remark = f"of {len(losers)} losers, in one of web's 8 threads; {waited:.0f} with the wait for a thread"
    return {
        "race_winners": Measurement(worst, f"of each of {races} races"),
        "race_losers_p95_ms": Measurement(percentile([_ms_in_web(each) for each in losers], 0.95), remark),
    }, [id_ for won in winners for id_ in won]


def _racer(env: Environment, number: int) -> Callable[[Agent, int], Answer]:
    day, minutes, overlapping = 1 + number % 8, 60 * (number // 8), number % 2 == 1

    def book(agent: Agent, racer: int) -> Answer:
        second = overlapping and racer % 2 == 1
        slug, start = ("colour", _at(day, minutes + 15)) if second else ("cut", _at(day, minutes))
        return env.book(agent, slug, start.isoformat(), key=f"race-{number}-{racer}")

    return book


def _ms_in_web(answer: Answer) -> float:
    return float(answer.headers["Server-Timing"].partition("dur=")[2])


# --- overlapping slots ---------------------------------------------------------------------------------------------


def _overlapping_slots(env: Environment, *, times: int) -> dict[str, Measurement]:
    """Book and cancel at 16:00 and 16:15 of one host without pause; then book where either of two hosts will do."""
    began = time.time()
    booked = _book_and_cancel(env, times)
    alone = _writes(env, began, BOOK, CANCEL)
    began = time.time()
    answers = _at_once(env, lambda agent, racer: env.book(agent, "either", _start(1, racer), key=f"either-{racer}"))
    either = _writes(env, began, BOOK)
    if booked < times or [answer.status for answer in answers].count(201) != 2:
        raise HarnessError("Too few were booked: the number of writes in flight proves nothing.")
    most = max(most_at_once(alone), most_at_once(either))
    return {"overlap_in_flight_max": Measurement(most, f"of {len(alone) + len(either)} writes for overlapping times")}


def _book_and_cancel(env: Environment, times: int) -> int:
    """Have all racers book and cancel until this has happened often enough; return how often it did."""
    over, done, keys = Event(), count(1), count()

    def run(agent: Agent, racer: int) -> int:
        slug, booked, until = ("massage", "peeling")[racer % 2], 0, time.monotonic() + TIMEOUT
        while not over.wait(0.3) and time.monotonic() < until:
            answer = env.book(agent, slug, _start(0, racer), key=f"overlapping-{next(keys)}")
            if answer.status == 201 and _cancel(agent, answer.body["booking"]["id"]):
                booked += 1
                if next(done) >= times:
                    over.set()
        return booked

    return sum(_at_once(env, run))


def _start(day: int, racer: int) -> str:
    return _at(day, 7 * 60 + 15 * (racer % 2)).isoformat()


def _cancel(agent: Agent, booking_id: str) -> bool:
    reason = {"reason": "changed her mind"}
    return agent.post(f"/v1/bookings/{booking_id}/cancel", reason, Prefer="wait=8").status == 200


def _writes(env: Environment, began: float, *operations: str) -> Sequence[tuple[float, float]]:
    """Return from when to when Cal.com processed each of the writes."""
    seen: list[Mapping[str, Any]] = [each for each in env.simulator.requests() if each["route"] in operations]
    return [(each["arrived_at"], each["answered_at"]) for each in seen if each["arrived_at"] >= began]
