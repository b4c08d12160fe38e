"""
Cal.com is slow, hangs, refuses, fails, drips, floods, talks nonsense, while fifty callers a second ask, hold and book.

Experiment 18, and issue 4's `deadline_…`. Each trouble is one company's, whose Cal.com has it. In full they come one
after the other, each with all of the callers; in the short form all at once, each with its share. Meanwhile a company
whose Cal.com is well is served by the same processes: nobody's trouble is hers.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count, cycle
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from calcom.simulator import WEEKDAYS, Dataset, EventType, Hours, Kind, User
from script.lib.environment import Ground, brought_up
from script.lib.measurements import Found, Promise, percentile
from script.lib.processes import StageError, free_port
from tests.chaos import open_loop
from tests.chaos.callers import READ_WAIT, WRITE_WAIT
from tests.chaos.open_loop import Ask, Heard

if TYPE_CHECKING:
    from script.lib.company import Tenant  # models, which need the settings

PROMISES = {
    "deadline_excess_ms": Promise("ms", 100),
    "deadline_500s": Promise("answers", 0),
    "deadline_untrue_bookings": Promise("bookings", 0),
    "deadline_bystanders_hit": Promise("answers", 0),
    "breakers_left_closed": Promise("breakers", 0),
    "breaker_probes_at_once": Promise("requests", 1),
}
# What is wrong with Cal.com, by company; None: nobody listens where it should be.
TROUBLES: Mapping[str, Mapping[str, Any] | None] = {
    "slow": {"kind": Kind.HANG, "seconds": 5.0},
    "hanging": {"kind": Kind.TIMEOUT_BEFORE},
    "refused": None,
    "failing": {"kind": Kind.ERROR_BEFORE, "status": 503},
    "failing-at-times": {"kind": Kind.ERROR_BEFORE, "status": 500, "probability": 0.3},
    "dripping": {"kind": Kind.DRIP, "seconds": 1.0},
    "flooding": {"kind": Kind.HUGE},
    "garbled": {"kind": Kind.INVALID_JSON},
    "elsewhere": {"kind": Kind.WRONG_ZONE},
}
OPENING = ("hanging", "refused", "failing", "dripping", "flooding")
"""Whose breaker for reads must open."""
WELL = "bystander"
PER_SECOND = 50.0
SHORT_S, FULL_S = 30.0, 60.0
"""Of all troubles at once; of each of them."""
SETTLED_WITHIN_S = 240.0
# Seconds until every process knows that an account has moved: it remembers services for four.
KNOWN_S = 4.5
# Seconds after a breaker has opened in which a request may arrive that was let through before.
UNDER_WAY_S = 1.0
HURRIED_WAIT = 1.0
LIST, BOOK = "GET /v2/slots", "POST /v2/bookings"
ALWAYS = (Hours(days=WEEKDAYS, start="00:00", end="23:59"),)
SERVICES = ("known", "old", "cold-1", "cold-2", "cold-3")
FIRST_DAY, DAYS = 3, 7
BESIDE = 40
"""Services of the bystander that nobody has asked for yet."""


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Break every Cal.com but one, let callers come, and compare what they heard with what was promised."""
    with brought_up(_dataset(), log="deadlines", seed=seed, processes=4) as here:
        chance, heard = Random(seed), list[Heard]()
        companies = {slug: _Company.prepared(here, slug) for slug in (*TROUBLES, WELL)}
        for wave in [[slug] for slug in TROUBLES] if full else [list(TROUBLES)]:
            for slug in wave:
                companies[slug].let_grow_old()
                _break(here, slug)
            time.sleep(KNOWN_S)
            crowd = _Crowd(here.url, chance, [companies[slug] for slug in wave], companies[WELL])
            came = open_loop.play(here.url, list(crowd.coming(FULL_S if full else SHORT_S)))
            print(f"  {', '.join(wave)}: {len(came)} callers", *open_loop.spelled(came), sep="\n")
            heard += came
        return _found(here, companies, heard, full=full)


def _dataset() -> Dataset:
    users = [
        User(number, slug, slug, api_key=_key(slug), hours=ALWAYS) for number, slug in enumerate((*TROUBLES, WELL), 1)
    ]
    beside = [f"beside-{number}" for number in range(BESIDE)]
    offered = [
        (user.username, slug) for user in users for slug in (*SERVICES, *(beside if user.username == WELL else ()))
    ]
    return Dataset(
        users=tuple(users),
        event_types=tuple(
            EventType(number, owner, slug, f"{slug} of {owner}", 15) for number, (owner, slug) in enumerate(offered, 1)
        ),
    )


# --- companies ---------------------------------------------------------------------------------------------------


@dataclass
class _Company:
    """A company, what callers know of it, and what they may still wish for."""

    tenant: "Tenant"
    starts: Iterator[str]
    """Free, and wished for by nobody yet."""
    tokens: Iterator[str]
    """Of offers of other times."""
    fresh: Iterator[str] = field(default_factory=lambda: iter([f"beside-{number}" for number in range(BESIDE)]))

    @classmethod
    def prepared(cls, here: Ground, slug: str) -> "_Company":
        """Have two of its services known, and some of the times of one offered."""
        tenant = here.tenant(slug)
        with here.agent(slug) as agent:
            for name in ("known", "old"):
                known = agent.get("/v1/availability", service=tenant.services[name], **_window())
                if known.status != 200 or not known.body["freshness"]["verified"]:
                    raise StageError(f"{slug} was not known: {known.status} {str(known.body)[:200]}")
                if name == "known":
                    starts = [slot["start"] for slot in known.body["slots"]]
        return cls(tenant, iter(starts[::2]), iter(_offered(tenant, starts[1::2])))

    def let_grow_old(self) -> None:
        """Have one of its services known from before something changed."""
        from bookings.models import Service  # noqa: PLC0415  models, which need the settings
        from cachectl import cache  # noqa: PLC0415

        today = datetime.now(UTC).date()
        cache.invalidate(
            invalidation_id=None,
            account_id=self.tenant.account_id,
            event_type_ids=[Service.objects.get(pk=_pk(self.tenant.services["old"])).event_type_id],
            first=today,
            last=today + timedelta(days=60),
            own=False,
        )


def _window() -> dict[str, str]:
    first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=FIRST_DAY)
    return {"from": first.isoformat(), "to": (first + timedelta(days=DAYS)).isoformat()}


def _offered(tenant: "Tenant", starts: Sequence[str]) -> list[str]:
    from bookings.models import Service  # noqa: PLC0415  models, which need the settings
    from bookings.scheduling import holds  # noqa: PLC0415

    service = Service.objects.select_related("branch__company", "event_type").get(pk=_pk(tenant.services["known"]))
    offers = holds.issue_tokens(
        company=service.branch.company,
        conversation=None,
        service=service,
        starts=[datetime.fromisoformat(start) for start in starts],
        now=datetime.now(UTC),
    )
    return [offer.token for offer in offers]


def _pk(service_id: str) -> int:
    return int(service_id.removeprefix("sv_"))


def _break(here: Ground, slug: str) -> None:
    """Let the company's Cal.com have its trouble from now on."""
    from calcom.models import Account  # noqa: PLC0415  models, which need the settings

    if (trouble := TROUBLES[slug]) is None:
        nobody = f"http://127.0.0.1:{free_port()}"
        Account.objects.filter(pk=here.tenant(slug).account_id).update(base_url=nobody)
        return
    here.simulator.fail("* /v2/*", times=None, owner=slug, **trouble)


# --- callers -----------------------------------------------------------------------------------------------------


@dataclass
class _Crowd:
    """Who comes, and what they ask."""

    url: str
    chance: Random
    companies: Sequence[_Company]
    well: _Company
    number: Iterator[int] = field(default_factory=count)

    def coming(self, seconds: float) -> Iterator[Ask]:
        """Yield callers by chance at fifty a second, three of them the bystander's."""
        turns, at = cycle(self.companies), 0.0
        ways: Mapping[Callable[[float, _Company], Ask], int] = {
            self._ask_known: 28,
            self._search_known: 10,
            self._ask_old: 8,
            self._search_old: 6,
            self._ask_cold: 12,
            self._search_cold: 8,
            self._hold: 10,
            self._book: 10,
            self._call_back: 2,
            self._ask_well: 3,
            self._ask_well_cold: 1,
            self._book_well: 2,
        }
        while (at := at + self.chance.expovariate(PER_SECOND)) < seconds:
            (way,) = self.chance.choices(list(ways), list(ways.values()))
            yield way(at, next(turns))

    def _ask_known(self, at: float, company: _Company) -> Ask:
        return self._ask("ask known", at, company, "known")

    def _ask_old(self, at: float, company: _Company) -> Ask:
        return self._ask("ask old", at, company, "old")

    def _ask_cold(self, at: float, company: _Company) -> Ask:
        return self._ask("ask cold", at, company, self._cold())

    def _search_known(self, at: float, company: _Company) -> Ask:
        return self._search("search known", at, company, "known")

    def _search_old(self, at: float, company: _Company) -> Ask:
        return self._search("search old", at, company, "old")

    def _search_cold(self, at: float, company: _Company) -> Ask:
        return self._search("search cold", at, company, self._cold())

    def _ask_well(self, at: float, _company: _Company) -> Ask:
        return self._ask("ask beside", at, self.well, "known")

    def _ask_well_cold(self, at: float, _company: _Company) -> Ask:
        return self._ask("cold beside", at, self.well, next(self.well.fresh, "known"))

    def _book_well(self, at: float, _company: _Company) -> Ask:
        return self._book(at, self.well, "book beside")

    def _ask(self, what: str, at: float, company: _Company, service: str) -> Ask:
        day = datetime.now(UTC).date() + timedelta(days=FIRST_DAY + self.chance.randrange(DAYS))
        target = f"/v1/availability?{urlencode({'service': company.tenant.services[service], 'date': str(day)})}"
        wait = self._patience(READ_WAIT)
        asked = self._wire(company, target, headers={"Prefer": f"wait={wait:g}"})
        return Ask(at, what, company.tenant.slug, asked, wait)

    def _search(self, what: str, at: float, company: _Company, service: str) -> Ask:
        day = datetime.now(UTC).date() + timedelta(days=FIRST_DAY + self.chance.randrange(DAYS))
        body = {"service": company.tenant.services[service], "when": {"date": str(day)}}
        asked = self._wire(company, "/v1/availability/search", body)
        return Ask(at, what, company.tenant.slug, asked, READ_WAIT)

    def _hold(self, at: float, company: _Company) -> Ask:
        body = {"slot_token": next(company.tokens)}
        return Ask(at, "hold", company.tenant.slug, self._wire(company, "/v1/holds", body), WRITE_WAIT)

    def _book(self, at: float, company: _Company, what: str = "book") -> Ask:
        body = {
            "service": company.tenant.services["known"],
            "start": next(company.starts),
            "caller": {"name": "Ada Byron", "phone": f"+4915112{next(self.number) % 10**6:06}"},
        }
        wait = self._patience(WRITE_WAIT)
        headers = {"Idempotency-Key": f"wish-{next(self.number)}", "Prefer": f"wait={wait:g}"}
        return Ask(at, what, company.tenant.slug, self._wire(company, "/v1/bookings", body, headers), wait)

    def _call_back(self, at: float, company: _Company) -> Ask:
        body = {"topic": f"Number {next(self.number)}", "phone": "+4915112345678"}
        return Ask(at, "call back", company.tenant.slug, self._wire(company, "/v1/callbacks", body), WRITE_WAIT)

    def _cold(self) -> str:
        return self.chance.choice([name for name in SERVICES if name.startswith("cold")])

    def _patience(self, usual: float) -> float:
        """One caller in five is in a hurry."""
        return HURRIED_WAIT if self.chance.random() < 0.2 else usual

    def _wire(
        self,
        company: _Company,
        target: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        return open_loop.request(self.url, company.tenant.key, target, body, headers)


# --- what came of it ---------------------------------------------------------------------------------------------


def _found(here: Ground, companies: Mapping[str, _Company], heard: Sequence[Heard], *, full: bool) -> dict[str, Found]:
    closed, at_once = _breakers(here, companies)
    open_loop.refuse_late(heard)
    odd = {
        f"{each.ask.what}: {each.status} {each.word}"
        for each in heard
        if each.status not in ({201} if each.ask.what == "call back" else {0, 200, 201, 202, 409, 500, 503, 504})
    }
    if odd:
        raise StageError(f"Somebody was answered in another way: {', '.join(sorted(odd))}")
    excess = [each.excess * 1000 for each in heard]
    untrue = _untrue(here, heard)
    if full:
        untrue += _settled(here)
    return {
        "deadline_excess_ms": Found(
            percentile(excess, 0.99), f"p99 of {len(heard)} callers; the latest {max(excess):.0f} ms"
        ),
        "deadline_500s": Found(sum(each.is_failure for each in heard)),
        "deadline_untrue_bookings": Found(untrue, f"of {sum(_is_yes(each) for each in heard)} that were called booked"),
        "deadline_bystanders_hit": _hit([each for each in heard if each.ask.who == WELL]),
        "breakers_left_closed": Found(len(closed), f"of {len(OPENING)} {' '.join(closed)}".rstrip()),
        "breaker_probes_at_once": at_once,
    }


def _hit(heard: Sequence[Heard]) -> Found:
    """Count the answers of the company whose Cal.com is well that were not as good as ever."""
    hit = [
        each
        for each in heard
        if each.status != (201 if each.ask.what == "book beside" else 200)
        or (each.status == 200 and not each.body["freshness"]["verified"])
    ]
    cold = sum(each.ask.what == "cold beside" for each in heard)
    words = ", ".join(sorted({f"{each.ask.what}: {each.status} {each.word}" for each in hit}))
    return Found(len(hit) if cold else None, f"of {len(heard)}, {cold} of them cold {words}".rstrip())


def _is_yes(each: Heard) -> bool:
    return each.status == 201 and each.ask.what.startswith("book")


def _untrue(here: Ground, heard: Sequence[Heard]) -> int:
    """Count those who were told "booked" although Cal.com has nothing of the kind."""
    there = {
        each["metadata"].get("slotline_appointment")
        for each in here.simulator.bookings()
        if each["status"] == "accepted"
    }
    return sum(_is_yes(each) and each.body["booking"]["id"] not in there for each in heard)


def _settled(here: Ground) -> int:
    """Let every Cal.com be well again, and wait until each wish is settled; return how many are not what is true."""
    from bookings.models import Operation  # noqa: PLC0415  models, which need the settings
    from calcom.models import Account  # noqa: PLC0415
    from tests.chaos import consistency  # noqa: PLC0415

    here.simulator.clear_faults()
    Account.objects.update(base_url=here.simulator.base_url)
    waiting = Operation.objects.open().count()
    here.stage.wait_until(
        lambda: not Operation.objects.open().exists(), what="Not every wish was settled", within=SETTLED_WITHIN_S
    )
    balance = consistency.balance(here.simulator)
    print(f"  {waiting} wishes were settled afterwards", *balance.lines, sep="\n")
    return len(balance.lost) + len(balance.doubled)


# --- breakers ----------------------------------------------------------------------------------------------------


def _breakers(here: Ground, companies: Mapping[str, _Company]) -> tuple[list[str], Found]:
    """Return whose breaker did not open, and how many requests were under way at once while one was open."""
    from calcom.resilience import circuit_breaker  # noqa: PLC0415  reads the settings

    seen = here.simulator.requests()
    opened: set[tuple[str, str]] = set()
    most, probes = 0, 0
    for slug, company in companies.items():
        for kind, operation in ((circuit_breaker.Kind.READS, LIST), (circuit_breaker.Kind.WRITES, BOOK)):
            state = circuit_breaker.state(_key(slug), company.tenant.account_id, kind)
            history = [(moment.timestamp(), word) for moment, word in reversed(state.history)] if state else []
            mine = [each for each in seen if each["key"] == _label(slug) and each["route"] == operation]
            for since, until in _open_times(history):
                opened.add((slug, kind))
                under_way = [each for each in mine if since + UNDER_WAY_S < each["arrived_at"] < until]
                most, probes = max(most, _at_once(under_way)), probes + len(under_way)
            print(f"  {slug} {kind}: {len(mine)} requests; {_told(history)}")
    closed = [slug for slug in OPENING if (slug, circuit_breaker.Kind.READS) not in opened]
    return closed, Found(most if probes else None, f"{probes} probes of {len(opened)} breakers, 4 processes")


def _key(slug: str) -> str:
    return f"cal_{slug}"


def _label(slug: str) -> str:
    return sha256(_key(slug).encode()).hexdigest()[:8]


def _open_times(history: Sequence[tuple[float, str]]) -> Iterator[tuple[float, float]]:
    """Yield from when until when it was open, whatever was tried meanwhile."""
    since = None
    for moment, word in history:
        if word == "open" and since is None:
            since = moment
        if word == "closed" and since is not None:
            yield since, moment
            since = None
    if since is not None:
        yield since, time.time()


def _at_once(requests: Sequence[Mapping[str, Any]]) -> int:
    """Return how many of the requests were under way at one moment."""
    moments = [(each["arrived_at"], 1) for each in requests]
    moments += [(each["answered_at"], -1) for each in requests if each["answered_at"]]
    most = now = 0
    for _, step in sorted(moments):
        most, now = max(most, now + step), now + step
    return most


def _told(history: Sequence[tuple[float, str]]) -> str:
    if not history:
        return "closed all the time"
    began = history[0][0]
    return ", ".join(f"{word} after {moment - began:.1f} s" for moment, word in history)
