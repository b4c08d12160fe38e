"""
What warming is worth (FM-29): a morning of phone calls after a night without any, with and without it.

Three companies have the same event types and hear the same calls at the same moments; they differ only in how often
cron warms them: never, hourly, or every quarter of an hour. Callers like some event types better than others (Zipf),
and ask three times in a minute. Yesterday's calls have left demand behind, and days that are old by now.

Hours pass in seconds. Before each question the moments at which the days of its event type were loaded and changed are
set back in Redis by the time since they were last touched (`redis_time`); no lifetime is changed. On this clock a load
takes no time, and Cal.com's limit, which counts real time, is out of the way: what is counted is whose answer had to
wait for Cal.com, and how often it was asked.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cachectl import keys, store
from cachectl.freshness import Day, Freshness
from cachectl.infra.redis import redis_client
from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from script.lib import environment
from script.lib.agent import Agent
from script.lib.environment import Ground
from script.lib.local import ROOT
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from tests import redis_time

if TYPE_CHECKING:
    from script.lib.company import Tenant  # models, which need the settings

PROMISES = {
    "warmed_hit_rate": Promise("share", 0.90, at_least=True),
    "warming_hit_rate_gain": Promise("share", 0.08, at_least=True),
    "warming_requests": Promise("an hour", 200),
    "unwarmed_hit_rate": Promise("share"),
    "warmed_hourly_hit_rate": Promise("share"),
    "warmed_hourly_requests": Promise("an hour"),
}
PLOTS = {"Answers without waiting": ("unwarmed_hit_rate", "warmed_hourly_hit_rate", "warmed_hit_rate")}
EVENT_TYPES = 40
CALLS_PER_HOUR = 60
# Seconds after a call began at which it asks.
QUESTIONS = (0.0, 25.0, 60.0)
MINUTE, HOUR = 60.0, 3600.0
DAY, NIGHT = 8 * HOUR, 10 * HOUR
# Company → minutes between its warmings, the first of them five minutes before the morning begins.
EVERY = {"never": 0, "hourly": 60, "quarterly": 15}
EARLY = 5 * MINUTE
# What a search looks at: two weeks, from three days before the day that is asked for.
NEAR, BEFORE = 14, 3
# Days whose age matters: those that callers ask for, and those that come along.
DATES = 45
# Seconds that a worker has to refresh what was stale.
PATIENCE = 10.0


class CacheLookup(NamedTuple):
    """What a caller asks."""

    at: float
    """Seconds since the morning began; yesterday's are below zero."""
    event_type: int
    """Its place in the order in which callers like them."""
    ahead: int
    """Days from today."""
    opens: bool
    """Whether the call begins with it."""


@dataclass
class House:
    """A company, and what its callers went through."""

    tenant: "Tenant"
    agent: Agent
    event_types: Sequence[int]
    """Our ids, in the order in which callers like them."""
    today: date
    hits: list[bool] = field(default_factory=list)
    openings: list[bool] = field(default_factory=list)
    _touched: dict[int, float] = field(default_factory=dict)

    def ask(self, question: CacheLookup) -> None:
        """Ask, and let workers refresh what was stale."""
        self._let_pass(question.event_type, question.at)
        day = self.today + timedelta(days=question.ahead)
        service = self.tenant.services[_slug(question.event_type)]
        answer = self.agent.post("/v1/availability/search", {"service": service, "when": {"date": day.isoformat()}})
        if answer.status != 200 or answer.body["status"] != "available":
            raise StageError(f"A question was answered {answer.status}: {str(answer.body)[:200]}")
        hit = answer.headers["X-Cache-Hit"] == "true"
        self.hits.append(hit)
        if question.opens:
            self.openings.append(hit)
        self._await_refresh(question)

    def let_all_pass(self, until: float) -> None:
        """Let time pass for every event type."""
        for place in range(EVENT_TYPES):
            self._let_pass(place, until)

    def hear_of(self, questions: Sequence[CacheLookup]) -> None:
        """Count questions as demand, without an answer."""
        for question in questions:
            self._near(question, asked=True)

    def _let_pass(self, place: int, until: float) -> None:
        dates = [self.today + timedelta(days=number) for number in range(DATES)]
        of_type = self.tenant.account_id, self.event_types[place], dates
        passed = until - self._touched.get(place, until)
        if passed > 0:
            redis_time.let_pass([*keys.days(*of_type), *keys.changes(*of_type)], passed)
        self._touched[place] = until

    def _await_refresh(self, question: CacheLookup) -> None:
        """Wait until nothing is stale of what was looked at, and the worker is ready for the next refresh."""
        mark = keys.refresh(self.tenant.account_id, self.event_types[question.event_type])
        until = time.monotonic() + PATIENCE
        while any(day.freshness is Freshness.STALE for day in self._near(question)) or redis_client().exists(mark):
            if time.monotonic() > until:
                raise StageError("No worker refreshed what was stale.")
            time.sleep(0.005)

    def _near(self, question: CacheLookup, *, asked: bool = False) -> Sequence[Day]:
        first = max(0, question.ahead - BEFORE)
        near = [self.today + timedelta(days=number) for number in range(first, first + NEAR)]
        return store.read(self.tenant.account_id, self.event_types[question.event_type], near, asked=asked).days


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Play yesterday for everybody, then the morning, each company warmed in its own way."""
    hours = 5 if full else 1
    chance = random.Random(seed)
    yesterday, morning = _calls(chance, -NIGHT - DAY, DAY / HOUR), _calls(chance, 0.0, hours)
    with ExitStack() as stack:
        here = stack.enter_context(
            environment.brought_up(_dataset(), log="warming-worth", limit=10**9, seed=seed, processes=1)
        )
        houses = {name: stack.enter_context(_opened(here, name)) for name in EVERY}
        for house in houses.values():
            house.hear_of(yesterday)
            house.let_all_pass(-NIGHT)
        _warm()
        here.simulator.reset(log_only=True)
        _play(morning, houses, hours)
        asked = _requests(here)
    for name, house in houses.items():
        print(f"{name:<9} {len(house.hits)} questions, {house.hits.count(False)} waited; {asked[name]} requests")
    return _found(houses, asked, hours)


def _found(houses: Mapping[str, House], asked: Mapping[str, int], hours: int) -> dict[str, Found]:
    never, hourly, quarterly = (_share(houses[name].hits) for name in EVERY)
    more = {name: (asked[name] - asked["never"]) / hours for name in EVERY}
    openings = {name: f"{_share(house.openings):.2f} of questions that open a call" for name, house in houses.items()}
    return {
        "warmed_hit_rate": Found(quarterly, f"warmed every quarter of an hour; {openings['quarterly']}"),
        "warming_hit_rate_gain": Found(quarterly - never, "more than without warming"),
        "warming_requests": Found(more["quarterly"], f"more than {asked['never'] / hours:.0f} without warming"),
        "unwarmed_hit_rate": Found(never, openings["never"]),
        "warmed_hourly_hit_rate": Found(hourly, openings["hourly"]),
        "warmed_hourly_requests": Found(more["hourly"], "more than without warming"),
    }


def _play(morning: Sequence[CacheLookup], houses: Mapping[str, House], hours: int) -> None:
    """Let questions and cron's runs come in their order."""
    runs = [
        (minute * MINUTE - EARLY, name)
        for name, every in EVERY.items()
        if every
        for minute in range(0, hours * 60, every)
    ]
    events: list[tuple[float, CacheLookup | str]] = [*runs, *((question.at, question) for question in morning)]
    for at, event in sorted(events, key=lambda event: event[0]):
        if isinstance(event, str):
            houses[event].let_all_pass(at)
            print(f"{at / MINUTE:5.0f} min  {event}: {_warm('--company', event)}")
        else:
            for house in houses.values():
                house.ask(event)


def _warm(*words: str) -> str:
    """Run the command as cron does, and return what it says."""
    command = [sys.executable, "manage.py", "warm_calcom_cache", *words]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise StageError(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.strip()


def _calls(chance: random.Random, begin: float, hours: float) -> list[CacheLookup]:
    """Return the questions of calls that come by chance, each for one event type."""
    liked = [1 / place for place in range(1, EVENT_TYPES + 1)]
    questions, at = [], begin
    while (at := at + chance.expovariate(CALLS_PER_HOUR / HOUR)) < begin + hours * HOUR:
        (event_type,) = chance.choices(range(EVENT_TYPES), liked)
        for later in QUESTIONS:
            # Near days are asked for more often than far ones.
            ahead = 1 + min(chance.randrange(NEAR), chance.randrange(NEAR))
            questions.append(CacheLookup(at + later, event_type, ahead, opens=later == 0))
    return sorted(questions)


def _dataset() -> Dataset:
    """Return companies that are open every day, each with the same event types."""
    always = (Hours(days=WEEKDAYS),)
    return Dataset(
        users=tuple(
            User(number, name, name, api_key=f"cal_{name}", hours=always) for number, name in enumerate(EVERY, 1)
        ),
        event_types=tuple(
            EventType(1000 * number + place, name, _slug(place), _slug(place))
            for number, name in enumerate(EVERY, 1)
            for place in range(EVENT_TYPES)
        ),
    )


def _slug(place: int) -> str:
    return f"type-{place}"


@contextmanager
def _opened(here: Ground, name: str) -> Iterator[House]:
    """Open a company, in a Redis that has been in use for long."""
    from calcom.models import EventType as Mirrored  # noqa: PLC0415  models, which need the settings

    tenant = here.tenant(name)
    ids = dict(Mirrored.objects.filter(account=tenant.account_id).values_list("slug", "pk"))
    redis_client().set(keys.generation(tenant.account_id), 1)
    with here.agent(name) as agent:
        yield House(tenant, agent, [ids[_slug(place)] for place in range(EVENT_TYPES)], datetime.now(UTC).date())


def _requests(here: Ground) -> Counter[str]:
    """Return how often Cal.com was asked for slots, by company."""
    names = list(EVERY)
    seen = here.simulator.requests("GET /v2/slots")
    ids = (int(parse_qs(urlsplit(each["path"]).query)["eventTypeId"][0]) for each in seen)
    return Counter(names[number // 1000 - 1] for number in ids)


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
