"""
Any request, with any key: nothing breaks, no company sees another's data, and no key is guessed or leaked.

First a company uses another one's ids wherever any is taken, and so does a third one with the same Cal.com account;
then requests are drawn from the API's own description, mixed with ids that exist; then keys are tried. In the end every
key is searched for where none may be.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from bookings.models import AgentKey
from calcom.models import Account, WebhookDelivery
from calcom.simulator import sign
from script.lib import local
from script.lib.agent import request
from script.lib.environment import Environment, Servers
from script.lib.measurements import Measurement
from script.lib.processes import HarnessError
from tests.fuzz import companies, foreign, secrets, tenancy, unknown_keys
from tests.fuzz.companies import Company
from tests.fuzz.described import Described
from tests.fuzz.unknown_keys import UnknownKeyAttack
from tests.fuzz.unsigned import Unsigned

UNKNOWN_KEYS_PER_SECOND = 0.5
"""The default of BOOKINGS_GUESS_RATE."""
# What a run must come to, so that nothing passes for want of trying.
FEWEST_CASES, FEWEST_FOREIGN, FEWEST_KEYS = 300, 300, 1000


@dataclass(frozen=True)
class Length:
    """The seconds of each part."""

    described: float
    unsigned: float
    keys: float


SHORT, FULL = Length(12, 3, 5), Length(1800, 120, 50)  # unknown keys for less than a window of a minute


def measure(servers: Servers, *, full: bool, seed: int) -> dict[str, Measurement]:
    """Create companies, send everything, and check the responses."""
    length = FULL if full else SHORT
    with servers.environment(companies.dataset(seed), limit=100_000, seed=seed) as env:
        every = companies.create(env)
        measured = {"fuzz_foreign_rows": _foreign(env, every, Random(seed), full=full)}
        measured |= _fuzz(env, every[companies.ATTACKER], length, seed)
        attack = _attack(env, every[companies.ATTACKER], length.keys)
        measured |= _throttling(env, attack)
        measured["keys_in_logs"] = _leaks(env, every, attack)
        return measured


def _foreign(env: Environment, every: Mapping[str, Company], chance: Random, *, full: bool) -> Measurement:
    """Use one company's data with the keys of others."""
    victim = every[companies.VICTIM]
    with env.agent(companies.ATTACKER) as agent:
        description = agent.get("/v1/openapi.json").body
    before = tenancy.rows_of(victim.tenant.company_id)
    leaks, tried = list[str](), 0
    for attacker, thorough in ((every[companies.ATTACKER], True), (every[companies.SIBLING], full)):
        probe = foreign.Probe(env.url, attacker, victim, chance, thorough)
        leaks += probe.run(description)
        tried += probe.tried
    leaks += _forge_webhooks(env, every)
    leaks += tenancy.differences(before, tenancy.rows_of(victim.tenant.company_id))
    leaks += tenancy.crossing()
    enough = tried >= FEWEST_FOREIGN and len(before) >= len(victim.values)
    remark = "; ".join(leaks) or f"{tried} requests, {len(before)} rows watched"
    return Measurement(len(leaks) if enough else None, remark)


def _forge_webhooks(env: Environment, every: Mapping[str, Company]) -> list[str]:
    """Send a webhook about the victim's booking, signed by the attacker, to both accounts."""
    attacker, victim = every[companies.ATTACKER].tenant, every[companies.VICTIM].tenant
    secret = Account.objects.get(pk=attacker.account_id).webhook_secret
    messages = (each["body"] for each in env.simulator.deliveries() if f"of {victim.slug}" in each["body"])
    message = json.loads(next(messages, "null"))
    if message is None:
        raise HarnessError("Cal.com sent no webhook about the bookings.")
    payload = {**message["payload"], "status": "CANCELLED"}
    body = json.dumps({**message, "triggerEvent": "BOOKING_CANCELLED", "payload": payload}).encode()
    headers = {"Content-Type": "application/json", "X-Cal-Signature-256": sign(secret, body)}
    wrong = []
    for account_id, expected in ((victim.account_id, 401), (10**9, 401), (attacker.account_id, 202)):
        status, _, _ = request(env.url, "POST", f"/webhooks/calcom/{account_id}", body, headers)
        wrong += [f"a forged webhook of account {account_id}: {status}"] * (status != expected)
    stored = WebhookDelivery.objects.filter(account=attacker.account_id, remote_uid=payload["uid"])
    processed = stored.exclude(state=WebhookDelivery.State.RECEIVED, attempts=0)
    env.supervisor.wait_until(processed.exists, what="The forged webhook was not processed", within=30.0)
    return wrong


def _fuzz(env: Environment, company: Company, length: Length, seed: int) -> dict[str, Measurement]:
    described = Described(env.url, company, seed)
    described.run(length.described, at_least=FEWEST_CASES)
    secret = Account.objects.get(pk=company.tenant.account_id).webhook_secret
    bodies = [each["body"].encode() for each in env.simulator.deliveries()]
    unsigned = Unsigned(env.url, company, secret, bodies, seed)
    unsigned.run(length.unsigned, at_least=FEWEST_CASES)
    failed, violations = described.failed | unsigned.failed, described.violations | unsigned.violations
    for what, content in (failed | violations).items():
        print(f"!!! {what}\n{content}")
    numbers = [sum(each.statuses.values()) for each in (described, unsigned)]
    enough, remark = min(numbers) >= FEWEST_CASES, f"of {' and '.join(map(str, numbers))} responses"
    return {
        "fuzz_500s": Measurement(len(failed) if enough else None, remark),
        "fuzz_schema_breaks": Measurement(len(violations) if enough else None, remark),
    }


def _attack(env: Environment, company: Company, seconds: float) -> UnknownKeyAttack:
    _, new = AgentKey.objects.issue(
        company_id=company.tenant.company_id, name="new", scopes=list(AgentKey.Scope.values)
    )
    attack = UnknownKeyAttack(env.url, UNKNOWN_KEYS_PER_SECOND, company.key, new)
    attack.run(seconds)
    return attack


def _throttling(env: Environment, attack: UnknownKeyAttack) -> dict[str, Measurement]:
    tried, counted = len(attack.tried), unknown_keys.counts(_read(env, "/metrics").decode())
    looked_up, refused = counted.get("looked_up", 0), counted.get("not_looked_up", 0)
    agree = looked_up >= attack.statuses[401] and refused >= attack.statuses[429]
    enough = tried >= FEWEST_KEYS and agree and set(attack.statuses) <= {401, 429}
    remark = f"of {tried}, {tried / attack.duration:.0f} a second; {looked_up:.0f} looked up by our metrics"
    return {
        "guesses_unthrottled": Measurement(attack.unthrottled if enough else None, remark),
        "guess_bystanders_refused": Measurement(attack.refused()),
        "guess_bystanders_p95_ms": Measurement(attack.p95_ms()),
    }


def _leaks(env: Environment, every: Mapping[str, Company], attack: UnknownKeyAttack) -> Measurement:
    """Search every place for every key."""
    ours = [*(company.key for company in every.values()), attack.new]
    ours += [account.webhook_secret for account in Account.objects.all()]
    ours += [user.api_key for user in env.simulator.dataset().users if user.api_key]
    ours += [os.environ[name] for name in ("SECRET_KEY", "FIELD_KEYS")]
    own, all_keys = secrets.Keys(ours), secrets.Keys([*ours, *attack.tried])
    metrics = [(path, _read(env, path)) for path in ("/metrics", "/performance-metrics")]
    read = dict([*secrets.logs(local.LOGS / "fuzzing"), *secrets.redis(os.environ["REDIS_URL"]), *metrics])
    found = {place: all_keys.count_in(text) for place, text in read.items()}
    found |= {place: own.count_in(text) for place, text in secrets.database()}
    enough = all(read.get(place) for place in ("web.log", "Redis db0", "/metrics")) and all(ours)
    places = ", ".join(place for place, number in found.items() if number)
    megabytes = sum(map(len, read.values())) / 1e6
    return Measurement(sum(found.values()) if enough else None, places or f"{len(found)} places, {megabytes:.1f} MB")


def _read(env: Environment, path: str) -> bytes:
    status, _, content = request(env.url, "GET", path)
    if status != 200:
        raise HarnessError(f"{path} was answered {status}.")
    return content
