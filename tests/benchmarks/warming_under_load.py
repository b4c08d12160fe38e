"""
A thousand days are warmed while callers ask: their answers take no longer, and none of their requests is refused.

Callers are timed in pairs, without warming and while the command runs as cron runs it: some ask without pause for
cached days, and one for uncached ones. Then warming runs until it stops for live traffic, and at that moment callers
ask for as many uncached event types as the budget reserves for them. In full, callers finally ask for two minutes
nearly as much as that reserve allows, while warming keeps trying. Cal.com is as slow and as strict as the real one.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from threading import Event

from cachectl import store
from cachectl.infra.redis import redis_client
from cachectl.models import Warming
from calcom.models import EventType
from calcom.resilience.rate_limiter import limiter_for, limiter_keys
from calcom.simulator import WEEKDAYS, Hours
from calcom.types import Priority
from script.lib import local
from script.lib.agent import Agent, Answer
from script.lib.environment import Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement, median, percentile
from script.lib.processes import HarnessError
from tests.benchmarks.warming_command import warm

CREDENTIAL, LIMIT = "cal_house", 120
DAYS_TO_WARM = 1000
CALLERS = 6
# Seconds between an answer and the same caller's next question.
PAUSE = 0.08
# Threads for all who ask at once, in web and for loads, so that only the budget is short.
WEB_THREADS, CALL_THREADS = 100, {"CALCOM_CALL_THREADS": "80"}
# Event types that are cached, and that are warmed.
CACHED, WARMED = 2, 120
# 48 a minute: the reserve is 54.
SUSTAINED_EVERY = 60 / 48


@dataclass(frozen=True)
class Length:
    """How long it takes, and in how many parts."""

    pairs: int
    half_s: float
    """Seconds without warming, before and after each run."""
    top: int
    days: int
    """What each run warms: event types, and days of each."""
    uncached: int
    """Event types that were never loaded."""
    uncached_every: float
    """Seconds between two questions for one of them."""
    sustained_s: float


SHORT = Length(pairs=1, half_s=4, top=13, days=84, uncached=100, uncached_every=1.5, sustained_s=0)
# Pairs are a minute apart, so that each finds the budget as the one before it did.
FULL = Length(pairs=3, half_s=20, top=37, days=28, uncached=400, uncached_every=6, sustained_s=120)


@dataclass
class Answers:
    """The answers of a while, as seconds."""

    cached: list[float] = field(default_factory=list)
    uncached: list[float] = field(default_factory=list)
    refused: int = 0
    """Cal.com could not be asked."""

    def add(self, answer: Answer) -> None:
        """Count an answer. Raises `HarnessError` for one that is never right."""
        if answer.status == 200:
            (self.cached if answer.headers["X-Cache-Hit"] == "true" else self.uncached).append(answer.duration)
        elif answer.code == "upstream_unavailable":
            self.refused += 1
        elif answer.code != "deadline_exceeded":
            raise HarnessError(f"A question was answered {answer.status}: {str(answer.body)[:200]}")

    @property
    def p95(self) -> float:
        """Return the 95th percentile in seconds. Raises `HarnessError` where nothing was answered."""
        value = percentile([*self.cached, *self.uncached], 0.95)
        if value is None or not self.uncached:
            raise HarnessError("No uncached question was answered.")
        return value


class Callers:
    """Callers, each on a connection of its own."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._phases: list[Answers] = []
        self._day = midnight(3).date()
        self._uncached = (f"uncached-{number}" for number in count())

    @property
    def refused(self) -> int:
        """Return how often Cal.com could not be asked, in all."""
        return sum(phase.refused for phase in self._phases)

    def new_phase(self) -> Answers:
        """Return where the answers of a phase are counted."""
        self._phases.append(Answers())
        return self._phases[-1]

    def prepare(self) -> None:
        """Have some event types cached, and demand for those that are to be warmed, each more than the next."""
        _, known, *_ = limiter_keys(CREDENTIAL)
        redis_client().hset(known, "recovering", 0)  # this Redis is new, not emptied
        account_id = self._env.tenant().account_id
        ids = dict(EventType.objects.filter(account=account_id).values_list("slug", "pk"))
        for number in range(WARMED):
            for _ in range(WARMED - number):
                store.read(account_id, ids[f"warmed-{number}"], [self._day])
        for number in range(CACHED):
            self._ask_once(f"cached-{number}", self.new_phase())

    @contextmanager
    def asking(self, answers: Answers, uncached_every: float) -> Iterator[None]:
        """Ask for cached days, and every few seconds for an uncached one, while the context lasts."""
        over = Event()
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            callers = [pool.submit(self._ask_cached, over, answers) for _ in range(CALLERS)]
            callers.append(pool.submit(self._ask_uncached, over, uncached_every, answers))
            try:
                yield
            finally:
                over.set()
            for each in callers:
                each.result()

    def ask_at_once(self, number: int) -> Answers:
        """Ask for so many uncached event types at the same moment."""
        answers = self.new_phase()
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(lambda slug: self._ask_once(slug, answers), islice(self._uncached, number)))
        return answers

    def _ask_cached(self, over: Event, answers: Answers) -> None:
        with self._env.agent() as agent:
            for number in count():
                if over.wait(PAUSE):
                    return
                self._ask(agent, f"cached-{number % CACHED}", answers)

    def _ask_uncached(self, over: Event, every: float, answers: Answers) -> None:
        with ThreadPoolExecutor(4) as pool:
            while not over.wait(every):
                pool.submit(self._ask_once, next(self._uncached), answers)

    def _ask_once(self, slug: str, answers: Answers) -> None:
        with self._env.agent() as agent:
            self._ask(agent, slug, answers)

    def _ask(self, agent: Agent, slug: str, answers: Answers) -> None:
        service, day = self._env.services[slug], self._day.isoformat()
        answers.add(agent.get("/v1/availability", service=service, date=day))


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Time callers in pairs, then have warming meet the reserve."""
    length = FULL if full else SHORT
    numbers = {"cached": CACHED, "warmed": WARMED, "uncached": length.uncached}
    slugs = [f"{kind}-{number}" for kind, each in numbers.items() for number in range(each)]
    dataset = calcom_data({"house": dict.fromkeys(slugs, ())}, hours=(Hours(days=WEEKDAYS),))
    with servers.environment(
        dataset, limit=LIMIT, latency=1.0, seed=seed, threads=WEB_THREADS, environ=CALL_THREADS
    ) as env:
        callers = Callers(env)
        callers.prepare()
        ratios = [_pair(callers, length) for _ in range(length.pairs)]
        warmed = sum(Warming.objects.values_list("days", flat=True))
        if warmed < DAYS_TO_WARM:
            raise HarnessError(f"Only {warmed} days were warmed.")
        _burst(env, callers)
        if length.sustained_s:
            with callers.asking(callers.new_phase(), SUSTAINED_EVERY):
                warm(f"--top={WARMED}", "--days=60", f"--minutes={length.sustained_s / 60}", may_stop=True)
        seen = env.simulator.summary()
    if seen["too_many"]:
        raise HarnessError("Cal.com's limit was exceeded.")
    pairs = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return {
        "warming_p95_ratio": Measurement(median(ratios), f"median of {len(ratios)} pairs: {pairs}; {warmed} days"),
        "warming_live_refused": Measurement(_throttled_by_log() + callers.refused),
    }


def _pair(callers: Callers, length: Length) -> float:
    """Return the callers' p95 during a run over the same before and after it."""
    alone, meanwhile = callers.new_phase(), callers.new_phase()
    with callers.asking(alone, length.uncached_every):
        time.sleep(length.half_s)
    with callers.asking(meanwhile, length.uncached_every):
        warm(f"--top={length.top}", f"--days={length.days}")
    with callers.asking(alone, length.uncached_every):
        time.sleep(length.half_s)
    return meanwhile.p95 / alone.p95


def _burst(env: Environment, callers: Callers) -> None:
    """Have warming take all it may, and callers at once all that is reserved for them."""
    env.simulator.configure(latency=0)
    warm(f"--top={WARMED}", "--days=90", "--minutes=0.05", may_stop=True)
    env.simulator.configure(latency=1)
    budget = limiter_for(CREDENTIAL, LIMIT).state()
    if budget is None:
        raise HarnessError("The budget is unknown.")
    caps = budget.priority_caps
    left = caps[Priority.LIVE] - budget.spent
    answers = callers.ask_at_once(left)
    if left < caps[Priority.LIVE] - caps[Priority.BACKGROUND]:
        raise HarnessError(f"Warming left callers {left} requests, of caps {caps}.")
    if len(answers.uncached) < left / 2:
        raise HarnessError("Callers were too slow to use their reserve.")


def _throttled_by_log() -> int:
    """Return how many live requests were refused by the rate limiter, by web's log."""
    with (local.LOGS / "warming_under_load" / "web.log").open(encoding="utf-8") as log:
        lines = [json.loads(line) for line in log if '"calcom.request"' in line]
    live = [line["outcome"] for line in lines if line["priority"] == Priority.LIVE]
    if not live:
        raise HarnessError("The log of web has no request.")
    return live.count("throttled")
