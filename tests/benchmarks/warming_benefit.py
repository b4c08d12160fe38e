"""
The benefit of warming (FM-29): a morning of phone calls after a night without any, with and without it.

Three companies have the same event types and calls; they differ in how often cron warms them: never, hourly, or every
quarter of an hour. Some event types are asked for more often (Zipf), three times in a minute of a call. Yesterday's
calls have left demand behind, and days that have expired by now.

Hours pass in seconds: before each question the moments at which the days of its event type were loaded and changed are
set back in Redis (`tests.redis_time`); no max-age is changed. On this clock a load takes no time, and Cal.com's limit,
which counts real time, is out of the way: counted is who had to wait for Cal.com, and how often it was asked.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from cachectl import keys, store
from cachectl.freshness import Day, Freshness
from cachectl.infra.redis import redis_client
from calcom.models import EventType
from calcom.simulator import WEEKDAYS, Hours
from script.lib.agent import Agent
from script.lib.environment import SLOTS, Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError
from script.lib.tenants import Tenant
from tests import redis_time
from tests.benchmarks.warming_command import warm

EVENT_TYPES = 40
CALLS_PER_HOUR = 60
# Seconds after the beginning of a call at which it asks.
QUESTIONS = (0.0, 25.0, 60.0)
MINUTE, HOUR = 60.0, 3600.0
DAY, NIGHT = 8 * HOUR, 10 * HOUR
# Company → minutes between its warmings, the first of them five minutes before the morning begins.
EVERY = {"never": 0, "hourly": 60, "quarterly": 15}
EARLY = 5 * MINUTE
# A search reads two weeks, from three days before the day that is asked for.
NEAR, BEFORE = 14, 3
# Days that searches may read.
DATES = 45
# Seconds that a worker has to refresh stale days.
REFRESHED_WITHIN = 10.0


class Question(NamedTuple):
    """A search of a caller."""

    at: float
    """Seconds since the morning began; yesterday's are below zero."""
    event_type: int
    """Its rank among callers."""
    ahead: int
    """Days from today."""
    opens: bool
    """Whether it is the first of its call."""


@dataclass
class House:
    """A company, and which of its callers' questions were answered without waiting."""

    tenant: Tenant
    agent: Agent
    event_types: Sequence[int]
    """Our ids, by rank."""
    today: date
    hits: list[bool] = field(default_factory=list)
    openings: list[bool] = field(default_factory=list)
    _advanced_to: dict[int, float] = field(default_factory=dict)

    def ask(self, question: Question) -> None:
        """Search, and have workers refresh what was stale."""
        self._advance(question.event_type, question.at)
        day = self.today + timedelta(days=question.ahead)
        service = self.tenant.services[f"type-{question.event_type}"]
        answer = self.agent.post("/v1/availability/search", {"service": service, "when": {"date": day.isoformat()}})
        if answer.status != 200 or answer.code != "available":
            raise HarnessError(f"A question was answered {answer.status}: {str(answer.body)[:200]}")
        hit = answer.headers["X-Cache-Hit"] == "true"
        self.hits.append(hit)
        if question.opens:
            self.openings.append(hit)
        self._wait_for_refresh(question)

    def advance_all(self, until: float) -> None:
        """Have time pass for every event type."""
        for rank in range(EVENT_TYPES):
            self._advance(rank, until)

    def count_demand(self, questions: Sequence[Question]) -> None:
        """Count questions as demand without answering them."""
        for question in questions:
            self._days(question, asked=True)

    def _advance(self, rank: int, until: float) -> None:
        dates = [self.today + timedelta(days=number) for number in range(DATES)]
        of_type = self.tenant.account_id, self.event_types[rank], dates
        passed = until - self._advanced_to.get(rank, until)
        if passed > 0:
            redis_time.let_pass([*keys.days(*of_type), *keys.changes(*of_type)], passed)
        self._advanced_to[rank] = until

    def _wait_for_refresh(self, question: Question) -> None:
        """Wait until none of the days is stale, and the worker is ready for the next refresh."""
        mark = keys.refresh(self.tenant.account_id, self.event_types[question.event_type])
        until = time.monotonic() + REFRESHED_WITHIN
        while any(day.freshness is Freshness.STALE for day in self._days(question)) or redis_client().exists(mark):
            if time.monotonic() > until:
                raise HarnessError("No worker refreshed stale days.")
            time.sleep(0.005)

    def _days(self, question: Question, *, asked: bool = False) -> Sequence[Day]:
        first = max(0, question.ahead - BEFORE)
        near = [self.today + timedelta(days=number) for number in range(first, first + NEAR)]
        return store.read(self.tenant.account_id, self.event_types[question.event_type], near, asked=asked).days


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Play yesterday for all, then the morning, each company warmed in its own way."""
    hours = 5 if full else 1
    chance = random.Random(seed)
    yesterday, morning = _draw(chance, -NIGHT - DAY, DAY / HOUR), _draw(chance, 0.0, hours)
    offered = {f"type-{rank}": () for rank in range(EVENT_TYPES)}
    dataset = calcom_data(dict.fromkeys(EVERY, offered), hours=(Hours(days=WEEKDAYS),))
    with servers.environment(dataset, limit=10**9, seed=seed, processes=1) as env, ExitStack() as stack:
        houses = {name: _house(env, name, stack.enter_context(env.agent(name))) for name in EVERY}
        for house in houses.values():
            house.count_demand(yesterday)
            house.advance_all(-NIGHT)
        warm()
        env.simulator.reset(log_only=True)
        _run(morning, houses, hours)
        owners = {each.calcom_id: each.account.name.lower() for each in EventType.objects.select_related("account")}
        paths = (urlsplit(each["path"]).query for each in env.simulator.requests(SLOTS))
        asked = Counter(owners[int(parse_qs(query)["eventTypeId"][0])] for query in paths)
    never, hourly, quarterly = (_share(houses[name].hits) for name in EVERY)
    more = {name: (asked[name] - asked["never"]) / hours for name in EVERY}
    openings = {name: f"{_share(house.openings):.2f} of questions that open a call" for name, house in houses.items()}
    return {
        "warmed_hit_rate": Measurement(quarterly, f"warmed every quarter of an hour; {openings['quarterly']}"),
        "warming_hit_rate_gain": Measurement(quarterly - never, "more than without warming"),
        "warming_requests": Measurement(more["quarterly"], f"more than {asked['never'] / hours:.0f} without warming"),
        "unwarmed_hit_rate": Measurement(never, openings["never"]),
        "warmed_hourly_hit_rate": Measurement(hourly, openings["hourly"]),
        "warmed_hourly_requests": Measurement(more["hourly"], "more than without warming"),
    }


def _house(env: Environment, name: str, agent: Agent) -> House:
    """Return a company, in a Redis that has long been in use."""
    tenant = env.tenant(name)
    ids = dict(EventType.objects.filter(account=tenant.account_id).values_list("slug", "pk"))
    redis_client().set(keys.generation(tenant.account_id), 1)
    return House(tenant, agent, [ids[f"type-{rank}"] for rank in range(EVENT_TYPES)], midnight().date())


def _run(morning: Sequence[Question], houses: Mapping[str, House], hours: int) -> None:
    """Ask the questions and run cron's jobs in their order."""
    jobs = [
        (minute * MINUTE - EARLY, name)
        for name, every in EVERY.items()
        if every
        for minute in range(0, hours * 60, every)
    ]
    events: list[tuple[float, Question | str]] = [*jobs, *((question.at, question) for question in morning)]
    for at, event in sorted(events, key=lambda event: event[0]):
        if isinstance(event, str):
            houses[event].advance_all(at)
            warm("--company", event)
        else:
            for house in houses.values():
                house.ask(event)


def _draw(chance: random.Random, begin: float, hours: float) -> list[Question]:
    """Return the questions of calls at random moments, each for one event type."""
    popularity = [1 / rank for rank in range(1, EVENT_TYPES + 1)]
    questions, at = [], begin
    while (at := at + chance.expovariate(CALLS_PER_HOUR / HOUR)) < begin + hours * HOUR:
        (event_type,) = chance.choices(range(EVENT_TYPES), popularity)
        for later in QUESTIONS:
            # Near days are asked for more often than far ones.
            ahead = 1 + min(chance.randrange(NEAR), chance.randrange(NEAR))
            questions.append(Question(at + later, event_type, ahead, opens=later == 0))
    return sorted(questions)


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)
