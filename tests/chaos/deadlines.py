"""
Deadlines while Cal.com is slow, hangs, refuses, fails, drips, floods or sends garbage, at fifty requests a second.

Each fault is one company's; in full they come one after the other with all of the load, in the short form together. A
company whose Cal.com is well is served by the same processes and must not notice.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count, cycle
from random import Random
from typing import Any
from urllib.parse import urlencode

from bookings.models import Operation, Service
from bookings.scheduling import holds
from cachectl import cache
from calcom.models import Account
from calcom.resilience import circuit_breaker
from calcom.simulator import Dataset, Kind
from script.lib.environment import BOOK, SLOTS, Environment, Servers, calcom_data, midnight
from script.lib.measurements import Measurement, most_at_once, percentile
from script.lib.processes import HarnessError, free_port
from script.lib.tenants import Tenant
from tests.chaos import consistency, open_loop
from tests.chaos.callers import READ_WAIT, WRITE_WAIT
from tests.chaos.open_loop import Request, Response

# The fault of each company's Cal.com; None: nothing listens there.
FAULTS: Mapping[str, Mapping[str, Any] | None] = {
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
"""Whose circuit breaker for reads must open."""
HEALTHY = "bystander"
PER_SECOND = 50.0
SHORT_S, FULL_S = 30.0, 60.0
"""Of all faults together; of each of them."""
# Seconds until every process knows that an account has moved: it caches services for four.
KNOWN_S = 4.5
# Seconds after a breaker has opened in which requests may arrive that were admitted before.
IN_FLIGHT_S = 1.0
HURRIED_WAIT = 1.0
COLD = ("cold-1", "cold-2", "cold-3")
FIRST_DAY, DAYS = 3, 7
UNUSED = 40
"""Event types of the healthy company that were never loaded."""


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Break every Cal.com but one, under load."""
    with servers.environment(_dataset(), seed=seed, processes=4) as env:
        chance, responses = Random(seed), list[Response]()
        companies = {slug: _prepare(env, slug) for slug in (*FAULTS, HEALTHY)}
        for wave in [[slug] for slug in FAULTS] if full else [list(FAULTS)]:
            for slug in wave:
                _invalidate(companies[slug].tenant)
                _break(env, slug)
            time.sleep(KNOWN_S)
            load = _Load(env.url, chance, [companies[slug] for slug in wave], companies[HEALTHY])
            responses += open_loop.run(env.url, list(load.requests(FULL_S if full else SHORT_S)))
        return _measurements(env, responses, full=full)


def _dataset() -> Dataset:
    services = dict.fromkeys(("known", "stale", *COLD), ())
    unused = dict.fromkeys((f"unused-{number}" for number in range(UNUSED)), ())
    companies = dict.fromkeys(FAULTS, services) | {HEALTHY: services | unused}
    return calcom_data(companies, minutes=15)


# --- companies -----------------------------------------------------------------------------------------------------


@dataclass
class _Company:
    """A company, and slots that no request was sent for yet."""

    tenant: Tenant
    starts: Iterator[str]
    tokens: Iterator[str]
    """Of offers of other slots."""
    unused: Iterator[str] = field(default_factory=lambda: iter([f"unused-{number}" for number in range(UNUSED)]))


def _prepare(env: Environment, slug: str) -> _Company:
    """Have two of its services loaded, and some slots of one offered."""
    tenant = env.tenant(slug)
    with env.agent(slug) as agent:
        env.free_slots(agent, "stale", ahead=FIRST_DAY, days=DAYS, tenant=slug)
        starts = env.free_slots(agent, "known", ahead=FIRST_DAY, days=DAYS, tenant=slug)
    service = Service.objects.select_related("branch__company", "event_type").get(pk=_pk(tenant, "known"))
    offers = holds.issue_tokens(
        company=service.branch.company,
        conversation=None,
        service=service,
        starts=[datetime.fromisoformat(start) for start in starts[1::2]],
        now=datetime.now().astimezone(),
    )
    return _Company(tenant, iter(starts[::2]), iter([offer.token for offer in offers]))


def _pk(tenant: Tenant, slug: str) -> int:
    return int(tenant.services[slug].removeprefix("sv_"))


def _invalidate(tenant: Tenant) -> None:
    """Make the list of one of its services stale."""
    cache.invalidate(
        invalidation_id=None,
        account_id=tenant.account_id,
        event_type_ids=[Service.objects.get(pk=_pk(tenant, "stale")).event_type_id],
        first=midnight().date(),
        last=midnight(60).date(),
        own=False,
    )


def _break(env: Environment, slug: str) -> None:
    """Give the company's Cal.com its fault."""
    if (fault := FAULTS[slug]) is None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        Account.objects.filter(pk=env.tenant(slug).account_id).update(base_url=nowhere)
        return
    env.simulator.fail("* /v2/*", times=None, owner=slug, **fault)


# --- load ----------------------------------------------------------------------------------------------------------


@dataclass
class _Load:
    """A mix of requests."""

    url: str
    chance: Random
    companies: Sequence[_Company]
    healthy: _Company
    number: Iterator[int] = field(default_factory=count)

    def requests(self, seconds: float) -> Iterator[Request]:
        """Yield requests at random moments, six in a hundred of them of the healthy company."""
        turns, at = cycle(self.companies), 0.0
        mix: Mapping[Callable[[float, _Company], Request], int] = {
            lambda at, company: self._list(at, company, "known"): 28,
            lambda at, company: self._search(at, company, "known"): 10,
            lambda at, company: self._list(at, company, "stale"): 8,
            lambda at, company: self._search(at, company, "stale"): 6,
            lambda at, company: self._list(at, company, self.chance.choice(COLD)): 12,
            lambda at, company: self._search(at, company, self.chance.choice(COLD)): 8,
            self._hold: 10,
            self._book: 10,
            self._request_callback: 2,
            lambda at, _company: self._list(at, self.healthy, "known"): 3,
            lambda at, _company: self._list(at, self.healthy, next(self.healthy.unused, "known"), "cold"): 1,
            lambda at, _company: self._book(at, self.healthy): 2,
        }
        while (at := at + self.chance.expovariate(PER_SECOND)) < seconds:
            (make,) = self.chance.choices(list(mix), list(mix.values()))
            yield make(at, next(turns))

    def _list(self, at: float, company: _Company, service: str, what: str = "list") -> Request:
        query = {"service": company.tenant.services[service], "date": self._day()}
        wait = self._wait(READ_WAIT)
        return self._request(at, what, company, f"/v1/availability?{urlencode(query)}", wait=wait)

    def _search(self, at: float, company: _Company, service: str) -> Request:
        body = {"service": company.tenant.services[service], "when": {"date": self._day()}}
        return self._request(at, "search", company, "/v1/availability/search", body, default=READ_WAIT)

    def _hold(self, at: float, company: _Company) -> Request:
        return self._request(at, "hold", company, "/v1/holds", {"slot_token": next(company.tokens)})

    def _book(self, at: float, company: _Company) -> Request:
        body = {
            "service": company.tenant.services["known"],
            "start": next(company.starts),
            "caller": {"name": "Ada Byron", "phone": f"+4915112{next(self.number) % 10**6:06}"},
        }
        key = {"Idempotency-Key": f"booking-{next(self.number)}"}
        return self._request(at, "book", company, "/v1/bookings", body, key, wait=self._wait(WRITE_WAIT))

    def _request_callback(self, at: float, company: _Company) -> Request:
        body = {"topic": f"Number {next(self.number)}", "phone": "+4915112345678"}
        return self._request(at, "callback", company, "/v1/callbacks", body)

    def _day(self) -> str:
        return str((midnight(FIRST_DAY) + timedelta(days=self.chance.randrange(DAYS))).date())

    def _wait(self, usual: float) -> float:
        """Return how long the caller waits: one in five is in a hurry."""
        return HURRIED_WAIT if self.chance.random() < 0.2 else usual

    def _request(  # noqa: PLR0917  in the order of a request
        self,
        at: float,
        what: str,
        company: _Company,
        target: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        wait: float | None = None,
        default: float = WRITE_WAIT,
    ) -> Request:
        headers = {**(headers or {}), **({} if wait is None else {"Prefer": f"wait={wait:g}"})}
        content = open_loop.encode(self.url, company.tenant.key, target, body, headers)
        return Request(at, what, company.tenant.slug, content, default if wait is None else wait)


# --- measurements --------------------------------------------------------------------------------------------------


def _measurements(env: Environment, responses: Sequence[Response], *, full: bool) -> dict[str, Measurement]:
    closed, at_once = _breakers(env)
    expected = {"callback": {201}}
    odd = {
        str(each)
        for each in responses
        if each.status not in expected.get(each.request.what, {0, 200, 201, 202, 409, 500, 503, 504})
    }
    if odd:
        raise HarnessError(f"Unexpected answers: {', '.join(sorted(odd))}")
    excess = [each.excess * 1000 for each in responses]
    remark = f"p99 of {len(responses)} requests; the latest {max(excess):.0f} ms"
    booked = [each for each in responses if each.request.what == "book" and each.status == 201]
    untrue = _untrue(env, booked) + (_untrue_after_settling(env) if full else 0)
    return {
        "deadline_excess_ms": Measurement(percentile(excess, 0.99), remark),
        "deadline_500s": Measurement(sum(each.is_failure for each in responses)),
        "deadline_untrue_bookings": Measurement(untrue, f"of {len(booked)} confirmed ones"),
        "deadline_bystanders_hit": _degraded([each for each in responses if each.request.tenant == HEALTHY]),
        "breakers_left_closed": Measurement(len(closed), f"of {len(OPENING)} {' '.join(closed)}".rstrip()),
        "breaker_probes_at_once": at_once,
    }


def _degraded(responses: Sequence[Response]) -> Measurement:
    """Count the answers of the healthy company that were not as good as ever."""
    degraded = [
        each
        for each in responses
        if each.status != (201 if each.request.what == "book" else 200)
        or (each.status == 200 and not each.body["freshness"]["verified"])
    ]
    cold = sum(each.request.what == "cold" for each in responses)
    remark = f"of {len(responses)}, {cold} of them cold {', '.join(sorted(set(map(str, degraded))))}".rstrip()
    return Measurement(len(degraded) if cold else None, remark)


def _untrue(env: Environment, booked: Sequence[Response]) -> int:
    """Count the confirmed bookings that Cal.com does not have."""
    remote = {
        each["metadata"].get("slotline_appointment")
        for each in env.simulator.bookings()
        if each["status"] == "accepted"
    }
    return sum(each.body["booking"]["id"] not in remote for each in booked)


def _untrue_after_settling(env: Environment) -> int:
    """Repair every Cal.com, and wait until each operation has settled; return how many differ from Cal.com."""
    env.simulator.clear_faults()
    Account.objects.update(base_url=env.simulator.base_url)
    env.supervisor.wait_until(
        lambda: not Operation.objects.open().exists(), what="Not every operation settled", within=240.0
    )
    differences = consistency.compare(env.simulator)
    return len(differences.lost) + len(differences.duplicated)


def _breakers(env: Environment) -> tuple[list[str], Measurement]:
    """Return whose breaker did not open, and the most requests in flight at once while one was open."""
    seen = env.simulator.requests()
    opened: set[tuple[str, str]] = set()
    most = probes = 0
    for slug in (*FAULTS, HEALTHY):
        label = sha256(f"cal_{slug}".encode()).hexdigest()[:8]
        for kind, operation in ((circuit_breaker.Kind.READS, SLOTS), (circuit_breaker.Kind.WRITES, BOOK)):
            state = circuit_breaker.state(f"cal_{slug}", env.tenant(slug).account_id, kind)
            history = [(moment.timestamp(), word) for moment, word in reversed(state.history)] if state else []
            spans = [
                (each["arrived_at"], each["answered_at"] or time.time())
                for each in seen
                if each["key"] == label and each["route"] == operation
            ]
            for since, until in open_times(history):
                opened.add((slug, kind))
                while_open = [span for span in spans if since + IN_FLIGHT_S < span[0] < until]
                most, probes = max(most, most_at_once(while_open)), probes + len(while_open)
    closed = [slug for slug in OPENING if (slug, circuit_breaker.Kind.READS) not in opened]
    return closed, Measurement(most if probes else None, f"{probes} probes of {len(opened)} breakers, 4 processes")


def open_times(history: Sequence[tuple[float, str]]) -> Iterator[tuple[float, float]]:
    """Yield from when until when a breaker was open, failed probes included; `history` has moments and states."""
    since = None
    for moment, state in history:
        if state == "open" and since is None:
            since = moment
        if state == "closed" and since is not None:
            yield since, moment
            since = None
    if since is not None:
        yield since, time.time()
