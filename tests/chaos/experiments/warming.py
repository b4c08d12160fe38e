"""
Experiment 16: a thousand days are warmed while callers ask, and callers do not notice.

Some ask without pause for what is known, and one keeps asking for what is not; they are timed in pairs, without warming
and while the command runs as cron runs it. Then warming is let loose until it stops for live traffic, and at that very
moment callers ask for all that is theirs: as many event types, unknown so far, as the budget holds back for them. In
full, callers finally ask for two minutes nearly as much as that reserve allows, while warming keeps trying.

Cal.com is as slow as the real one and allows 120 requests a minute. Refused are requests of callers that got no permit
in time, by our log, and callers who were told that Cal.com could not be asked.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from threading import Event

from cachectl import store
from cachectl.infra.redis import redis_client
from calcom.resilience.rate_limiter import limiter_keys
from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, User
from calcom.types import Priority
from script.lib import environment, local
from script.lib.agent import Agent, Answer
from script.lib.environment import Ground
from script.lib.measurements import Found, Promise, median, percentile
from script.lib.processes import StageError

PROMISES = {
    "warming_p95_ratio": Promise("times", 1.25),
    "warming_live_refused": Promise("requests", 0),
}
LOG = "warming"
CREDENTIAL, LIMIT = "cal_house", 120
DAYS_TO_WARM = 1000
CALLERS = 6
# Seconds between an answer and the same caller's next question.
THINKING = 0.08
# All who ask at once find a place to wait in, and a thread that loads: what is tried is the budget.
WEB_THREADS, ROOM = 100, {"CALCOM_CALL_THREADS": "80"}
# Event types that callers know, and that are warmed.
KNOWN, WARMED = 2, 120


@dataclass(frozen=True)
class Form:
    """How long it takes, and in how many pieces."""

    pairs: int
    half_s: float
    """Seconds without warming, before and after each run."""
    top: int
    days: int
    """What each run warms: event types, and days of each."""
    unknown: int
    """Event types that nobody asked for yet."""
    unknown_every: float
    """Seconds between two questions for one of them."""
    siege_s: float
    """For how long callers ask nearly as much as their reserve allows."""


SHORT = Form(pairs=1, half_s=4, top=13, days=84, unknown=100, unknown_every=1.5, siege_s=0)
# Pairs are a minute apart, so that each finds the budget as the one before it did.
FULL = Form(pairs=3, half_s=20, top=37, days=28, unknown=400, unknown_every=6, siege_s=120)
# 48 a minute: the reserve is 54.
SIEGE_EVERY = 60 / 48


@dataclass
class Asked:
    """What callers went through in a while: the seconds of their answers."""

    known: list[float] = field(default_factory=list)
    """From the cache."""
    unknown: list[float] = field(default_factory=list)
    """From Cal.com."""
    late: int = 0
    """Those whose time was over before Cal.com had answered."""
    refused: int = 0
    """Those who were told that it could not be asked."""

    def note(self, answer: Answer) -> None:
        """Note an answer."""
        if answer.status == 200:
            (self.known if answer.headers["X-Cache-Hit"] == "true" else self.unknown).append(answer.took)
        elif answer.body["code"] == "deadline_exceeded":
            self.late += 1
        elif answer.body["code"] == "upstream_unavailable":
            self.refused += 1
        else:
            raise StageError(f"A question was answered {answer.status}: {str(answer.body)[:200]}")

    @property
    def p95(self) -> float:
        """Return the seconds that 95 of 100 answers do not exceed."""
        found = percentile([*self.known, *self.unknown], 0.95)
        if found is None or not self.unknown:
            raise StageError("Nobody was answered.")
        return found

    def __str__(self) -> str:
        middle = median(self.unknown)
        from_calcom = f"{len(self.unknown)} from Cal.com" + (f", {middle:.2f} s at the median" if middle else "")
        return f"{len(self.known)} answers from the cache, {from_calcom}, {self.late} late, {self.refused} refused"


class Callers:
    """Those who ask. Each has a connection of its own."""

    def __init__(self, here: Ground) -> None:
        self._notes: list[Asked] = []
        self._here = here
        self._tenant = here.tenant()
        self._date = (datetime.now(UTC) + timedelta(days=3)).date()
        self._unknown = (f"unknown-{number}" for number in count())

    @property
    def refused(self) -> int:
        """Return how many were told, in all, that Cal.com could not be asked."""
        return sum(asked.refused for asked in self._notes)

    def begin_notes(self) -> Asked:
        """Return a page on which what comes is noted."""
        self._notes.append(Asked())
        return self._notes[-1]

    def get_ready(self) -> None:
        """Know some event types, and have wanted those that are to be warmed, each more often than the next."""
        from calcom.models import EventType as Mirrored  # noqa: PLC0415

        _, known, *_ = limiter_keys(CREDENTIAL)
        redis_client().hset(known, "recovering", 0)  # no request was forgotten: this Redis is new, not emptied
        account_id = self._tenant.account_id
        ids = dict(Mirrored.objects.filter(account=account_id).values_list("slug", "pk"))
        for number in range(WARMED):
            for _ in range(WARMED - number):
                store.read(account_id, ids[f"warmed-{number}"], [self._date])
        for number in range(KNOWN):
            self._ask_once(f"known-{number}", self.begin_notes())

    @contextmanager
    def asking(self, asked: Asked, unknown_every: float) -> Iterator[None]:
        """Ask for what is known, and every few seconds for something that is not, while the context lasts."""
        over = Event()
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            going = [pool.submit(self._ask_known, over, asked) for _ in range(CALLERS)]
            going.append(pool.submit(self._ask_unknown, over, unknown_every, asked))
            try:
                yield
            finally:
                over.set()
            for each in going:
                each.result()

    def ask_at_once(self, number: int) -> Asked:
        """Ask for so many unknown event types at the same moment."""
        asked = self.begin_notes()
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(lambda slug: self._ask_once(slug, asked), islice(self._unknown, number)))
        return asked

    def _ask_known(self, over: Event, asked: Asked) -> None:
        with self._here.agent() as agent:
            for number in count():
                if over.wait(THINKING):
                    return
                self._ask(agent, f"known-{number % KNOWN}", asked)

    def _ask_unknown(self, over: Event, every: float, asked: Asked) -> None:
        with ThreadPoolExecutor(4) as pool:
            while not over.wait(every):
                pool.submit(self._ask_once, next(self._unknown), asked)

    def _ask_once(self, slug: str, asked: Asked) -> None:
        with self._here.agent() as agent:
            self._ask(agent, slug, asked)

    def _ask(self, agent: Agent, slug: str, asked: Asked) -> None:
        service = self._tenant.services[slug]
        asked.note(agent.get("/v1/availability", service=service, date=self._date.isoformat()))


def measure(*, full: bool, seed: int) -> dict[str, Found]:
    """Time callers in pairs, then let warming meet the reserve."""
    form = FULL if full else SHORT
    with environment.brought_up(
        _dataset(form), log=LOG, limit=LIMIT, latency=1.0, seed=seed, threads=WEB_THREADS, environ=ROOM
    ) as here:
        callers = Callers(here)
        callers.get_ready()
        ratios = [_pair(callers, form) for _ in range(form.pairs)]
        _insist_on_warmed()
        _burst(here, callers)
        if form.siege_s:
            _siege(callers, form.siege_s)
        saw = here.simulator.summary()
    print(f"Cal.com saw {saw['counts']}, at most {saw['max_in_60_s']} in 60 s; 429: {saw['too_many']}")
    if saw["too_many"]:
        raise StageError("Cal.com's limit was exceeded.")
    pairs = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return {
        "warming_p95_ratio": Found(median(ratios), f"median of {len(ratios)} pairs: {pairs}"),
        "warming_live_refused": Found(_refused_by_log() + callers.refused),
    }


def _pair(callers: Callers, form: Form) -> float:
    """Return callers' p95 while days are warmed over the same without, before and after."""
    alone = callers.begin_notes()
    with callers.asking(alone, form.unknown_every):
        time.sleep(form.half_s)
    meanwhile = callers.begin_notes()
    with callers.asking(meanwhile, form.unknown_every):
        said = _warm(f"--top={form.top}", f"--days={form.days}")
    with callers.asking(alone, form.unknown_every):
        time.sleep(form.half_s)
    print(f"alone     p95 {alone.p95 * 1000:5.1f} ms: {alone}")
    print(f"meanwhile p95 {meanwhile.p95 * 1000:5.1f} ms: {meanwhile}. {said}")
    return meanwhile.p95 / alone.p95


def _burst(here: Ground, callers: Callers) -> None:
    """Let warming take all it may, and callers at once all that is theirs."""
    from calcom.resilience.rate_limiter import limiter_for  # noqa: PLC0415  needs the settings

    here.simulator.configure(latency=0)
    said = _warm(f"--top={WARMED}", "--days=90", "--minutes=0.05", may_stop=True)
    here.simulator.configure(latency=1)
    budget = limiter_for(CREDENTIAL, LIMIT).state()
    if budget is None:
        raise StageError("Nobody knows the budget.")
    live, background = budget.ceilings[Priority.LIVE], budget.ceilings[Priority.BACKGROUND]
    theirs = live - budget.spent
    asked = callers.ask_at_once(theirs)
    print(f"{said} Then {budget.spent} of {budget.limit} were spent, and {theirs} callers asked at once: {asked}")
    if theirs < live - background:
        raise StageError(f"Warming left callers {theirs} requests, and owes them {live - background}.")
    if len(asked.unknown) < theirs / 2:
        raise StageError("Callers were too slow to ask for what was theirs.")


def _siege(callers: Callers, seconds: float) -> None:
    """Let callers ask nearly as much as their reserve allows, while warming tries to get on."""
    asked = callers.begin_notes()
    with callers.asking(asked, SIEGE_EVERY):
        said = _warm(f"--top={WARMED}", "--days=60", f"--minutes={seconds / 60}", may_stop=True)
    print(f"siege: {asked}. {said}")


def _warm(*words: str, may_stop: bool = False) -> str:
    """Run the command as cron does, and return what it says."""
    command = ["nice", sys.executable, "manage.py", "warm_calcom_cache", *words]
    done = subprocess.run(
        command, cwd=local.ROOT, env=os.environ, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode not in ({0, os.EX_TEMPFAIL} if may_stop else {0}):
        raise StageError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.strip()


def _insist_on_warmed() -> None:
    from cachectl.models import Warming  # noqa: PLC0415  models, which need the settings

    days = sum(Warming.objects.values_list("days", flat=True))
    if days < DAYS_TO_WARM:
        raise StageError(f"Only {days} days were warmed.")
    print(f"{days} days warmed while callers asked")


def _refused_by_log() -> int:
    """Return how many requests of callers got no permit, by what web says."""
    with (local.LOGS / LOG / "web.log").open(encoding="utf-8") as log:
        lines = [json.loads(line) for line in log if '"calcom.request"' in line]
    live = [line["outcome"] for line in lines if line["priority"] == Priority.LIVE]
    if not live:
        raise StageError("The log of web tells of no request.")
    return live.count("throttled")


def _dataset(form: Form) -> Dataset:
    slugs = [
        *(f"known-{number}" for number in range(KNOWN)),
        *(f"warmed-{number}" for number in range(WARMED)),
        *(f"unknown-{number}" for number in range(form.unknown)),
    ]
    return Dataset(
        users=(User(1, "house", "House", api_key=CREDENTIAL, hours=(Hours(days=WEEKDAYS),)),),
        event_types=tuple(EventType(number, "house", slug, slug) for number, slug in enumerate(slugs, 1)),
    )
