"""
Whatever is sent, by whomever, with whichever key: nothing breaks, nobody sees what is another's, no key is guessed.

Experiment 24. First a company shows another one's ids wherever any is taken, and so does a third one with the same
Cal.com account; then everything is sent that the API's own description allows and does not, mixed with ids that exist;
then keys are tried. In the end every key is looked for where none may be.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from random import Random
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from script.lib import local
from script.lib.environment import Ground, brought_up
from script.lib.measurements import Found, Promise
from script.lib.processes import StageError
from tests.fuzz import companies, foreign, secrets, tenancy, unknown_keys, unsigned
from tests.fuzz.unknown_keys import Guessing

if TYPE_CHECKING:
    from tests.fuzz.companies import Shop

PROMISES = {
    "fuzz_500s": Promise("answers", 0),
    "fuzz_schema_breaks": Promise("answers", 0),
    "fuzz_foreign_rows": Promise("answers", 0),
    "guesses_unthrottled": Promise("guesses", 0),
    "guess_bystanders_refused": Promise("answers", 0),
    "guess_bystanders_p95_ms": Promise("ms", 300),
    "keys_in_logs": Promise("words", 0),
}
LOG = "fuzzing"
GUESSES_PER_SECOND = 0.5
"""The default of BOOKINGS_GUESS_RATE."""
HEARD_WITHIN_S = 30.0
# What a run must come to, so that nothing is promised for want of trying.
FEWEST_CASES, FEWEST_SHOWN, FEWEST_GUESSES = 300, 300, 1000


@dataclass(frozen=True)
class _Length:
    """How long each part takes, s."""

    described: float
    unsigned: float
    guesses: float


SHORT, FULL = _Length(12, 3, 5), _Length(1800, 120, 50)  # unknown keys for less than a window of a minute


class _Sent(Protocol):
    statuses: Counter[str]
    failed: dict[str, str]
    broken: dict[str, str]


def measure(*, full: bool, seed: int) -> Mapping[str, Found]:
    """Bring companies up, send everything, and compare what came back with what was promised."""
    length = FULL if full else SHORT
    with brought_up(companies.dataset(seed), log=LOG, limit=100_000, seed=seed) as here:
        shops = companies.bring(here)
        found = {"fuzz_foreign_rows": _robbed(here, shops, Random(seed), full=full)}
        found |= _fuzzed(here, shops, length, seed)
        guessing = _guessed(here, shops, length.guesses)
        found |= _throttled(here, guessing)
        found["keys_in_logs"] = _hunted(here, shops, guessing)
        return found


def _timed(what: str, part: Callable[[], None]) -> None:
    began = time.monotonic()
    part()
    print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)


# --- another company's things ------------------------------------------------------------------------------------


def _robbed(here: Ground, shops: "Mapping[str, Shop]", chance: Random, *, full: bool) -> Found:
    robbed = shops[companies.ROBBED]
    with here.agent(companies.ROBBER) as agent:
        description = agent.get("/v1/openapi.json").body
    before = tenancy.rows_of(robbed.tenant.company_id)
    caught, tried = list[str](), 0
    for robber, thorough in ((shops[companies.ROBBER], True), (shops[companies.SISTER], full)):
        robbery = foreign.Robbery(here.url, robber, robbed, chance, thorough)
        _timed(f"the {robber.tenant.slug} shows what the {robbed.tenant.slug} has", partial(robbery.run, description))
        caught, tried = [*caught, *robbery.caught], tried + robbery.tried
    caught += _forged(here, shops)
    caught += tenancy.differences(before, tenancy.rows_of(robbed.tenant.company_id))
    caught += tenancy.crossing()
    print(*(f"  !!! {line}" for line in caught), sep="\n", end="" if not caught else "\n")
    enough = tried >= FEWEST_SHOWN and len(before) >= len(robbed.things)
    return Found(len(caught) if enough else None, f"{tried} shown, {len(before)} rows watched")


def _forged(here: Ground, shops: "Mapping[str, Shop]") -> list[str]:
    """Have one company's Cal.com tell of the other's booking, at both doors."""
    from calcom.models import WebhookDelivery  # noqa: PLC0415  models, which need the settings

    robber, robbed = shops[companies.ROBBER].tenant, shops[companies.ROBBED].tenant
    secret, wrong = _webhook_secrets()[robber.account_id], []
    told = next((json.loads(each) for each in _told(here) if f"at the {robbed.slug}" in each.decode()), None)
    if told is None:
        raise StageError("Cal.com told nothing of the bookings.")
    payload = {**told["payload"], "status": "CANCELLED"}
    body = json.dumps({**told, "triggerEvent": "BOOKING_CANCELLED", "payload": payload}).encode()
    for account_id, expected in ((robbed.account_id, 401), (10**9, 401), (robber.account_id, 202)):
        answer = foreign.forge(here.url, secret, account_id, body)
        wrong += [f"a forged webhook at account {account_id}: {answer}"] * (answer != expected)
    received = WebhookDelivery.objects.filter(account=robber.account_id, remote_uid=payload["uid"])
    heard = received.exclude(state=WebhookDelivery.State.RECEIVED, attempts=0)
    here.stage.wait_until(heard.exists, what="What was forged was not heard", within=HEARD_WITHIN_S)
    return wrong


def _told(here: Ground) -> list[bytes]:
    return [each["body"].encode() for each in here.simulator.deliveries()]


def _webhook_secrets() -> dict[int, str]:
    from calcom.models import Account  # noqa: PLC0415  models, which need the settings

    return {account.pk: account.webhook_secret for account in Account.objects.all()}


# --- everything --------------------------------------------------------------------------------------------------


def _fuzzed(here: Ground, shops: "Mapping[str, Shop]", length: _Length, seed: int) -> dict[str, Found]:
    from tests.fuzz.described import Fuzzing  # noqa: PLC0415  schemathesis takes a second to load

    shop = shops[companies.ROBBER]
    described = Fuzzing(here.url, shop, seed)
    _timed("what the description allows, and does not", lambda: described.run(length.described))
    secret = _webhook_secrets()[shop.tenant.account_id]
    knocking = unsigned.Knocking(here.url, shop, secret, _told(here), seed)
    _timed("where no key is asked for", lambda: knocking.run(length.unsigned))
    sent = (described, knocking)
    print(*(f"  {line}" for each in sent for line in _spelled(each)), sep="\n", flush=True)
    failed, broken = (sum(len(getattr(each, name)) for each in sent) for name in ("failed", "broken"))
    enough = all(sum(each.statuses.values()) >= FEWEST_CASES for each in sent)
    remark = f"of {' and '.join(str(sum(each.statuses.values())) for each in sent)} answers"
    return {
        "fuzz_500s": Found(failed if enough else None, remark),
        "fuzz_schema_breaks": Found(broken if enough else None, remark),
    }


def _spelled(sent: _Sent) -> Sequence[str]:
    by_operation: dict[str, list[str]] = {}
    for what, number in sorted(sent.statuses.items()):
        operation, _, status = what.rpartition(" ")
        by_operation.setdefault(operation, []).append(f"{status}: {number}")
    wrong = {f"!!! {what}": words for what, words in (*sent.failed.items(), *sent.broken.items())}
    return [
        *(f"{operation:<44} {', '.join(statuses)}" for operation, statuses in by_operation.items()),
        *(f"{what}\n{words}" for what, words in wrong.items()),
    ]


# --- keys --------------------------------------------------------------------------------------------------------


def _guessed(here: Ground, shops: "Mapping[str, Shop]", seconds: float) -> Guessing:
    from bookings.models import AgentKey  # noqa: PLC0415  models, which need the settings

    robber = shops[companies.ROBBER].tenant
    scopes = list(AgentKey.Scope.values)
    _, new = AgentKey.objects.issue(company_id=robber.company_id, name="new", scopes=scopes)
    guessing = Guessing(here.url, GUESSES_PER_SECOND, robber.key, new)
    guessing.run(seconds)
    print(*(f"  {line}" for line in unknown_keys.said(guessing)), sep="\n", flush=True)
    return guessing


def _throttled(here: Ground, guessing: Guessing) -> dict[str, Found]:
    tried, known = len(guessing.guessed), unknown_keys.counted(_read(here, "/metrics").decode())
    looked_up, refused = known.get("looked_up", 0), known.get("not_looked_up", 0)
    agree = looked_up >= guessing.statuses[401] and refused >= guessing.statuses[429]
    odd = set(guessing.statuses) - {401, 429}
    enough = tried >= FEWEST_GUESSES and agree and not odd
    remark = f"of {tried}, {tried / guessing.took:.0f} a second; looked up by our own count: {looked_up:.0f}"
    return {
        "guesses_unthrottled": Found(guessing.unthrottled if enough else None, remark),
        "guess_bystanders_refused": Found(guessing.refused()),
        "guess_bystanders_p95_ms": Found(guessing.p95_ms()),
    }


def _hunted(here: Ground, shops: "Mapping[str, Shop]", guessing: Guessing) -> Found:
    """Look for every key in every place."""
    ours = [*(shop.key for shop in shops.values()), guessing.new, *_webhook_secrets().values()]
    ours += [user.api_key for user in here.simulator.dataset().users if user.api_key]
    ours += [os.environ[name] for name in ("SECRET_KEY", "FIELD_KEYS")]
    everybodys = secrets.Wanted([*ours, *guessing.guessed])
    figures = [(path, _read(here, path)) for path in ("/metrics", "/performance-metrics")]
    told = [*secrets.logs(local.LOGS / LOG), *secrets.redis(os.environ["REDIS_URL"]), *figures]
    found = {place: everybodys.found_in(text) for place, text in told}
    found |= {place: secrets.Wanted(ours).found_in(text) for place, text in secrets.database()}
    for place, number in found.items():
        if number:
            print(f"  !!! {place}: {number} words with a part of a key")
    read = dict(told)
    enough = all(read.get(place) for place in ("web.log", "Redis db0", "/metrics")) and all(ours)
    bytes_ = sum(len(text) for text in read.values())
    return Found(sum(found.values()) if enough else None, f"{len(found)} places, {bytes_ / 1e6:.1f} MB")


def _read(here: Ground, path: str) -> bytes:
    connection = HTTPConnection(urlsplit(here.url).netloc, timeout=15)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise StageError(f"{path} says {answer.status}.")
    return content
