"""What it costs to ask breaker and limiter, and to tell them what came of it."""

import time

from calcom.models import Account
from calcom.resilience.admission import admit
from calcom.resilience.circuit_breaker import AccountBreaker, Kind, breaker_for
from calcom.resilience.rate_limiter import Limiter, limiter_for
from calcom.types import Priority
from script.lib.measurements import Found, Promise, median
from tests.benchmarks.environment import Ground

PROMISES = {"rate_limiter_overhead_ms": Promise("ms", 0.5)}
CALLS = 2000
# As many as Cal.com sends; the limit is the bench ground's, which nobody reaches.
HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "ETag": 'W/"1f4-abcdefghijklmnopqrstuvwxyz0"',
    "X-Request-Id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "X-RateLimit-Limit-Default": "1000000000",
    "X-RateLimit-Remaining-Default": "999999000",
    "X-RateLimit-Reset-Default": "60",
    "Date": "Thu, 26 Nov 2026 12:00:00 GMT",
    "Server": "Python",
}


def measure(ground: Ground) -> dict[str, Found]:
    """Measure a call that takes no time; what it takes all the same is ours."""
    tenant = ground.below.tenant()
    account = Account.objects.get(pk=tenant.account_id)
    breaker = breaker_for(account.api_key, account.pk, Kind.READS)
    limiter = limiter_for(account.api_key, account.requests_per_minute)
    times = [_admitted(breaker, limiter, str(tenant.company_id)) for _ in range(CALLS)]
    return {"rate_limiter_overhead_ms": Found(median(times), f"{CALLS} calls")}


def _admitted(breaker: AccountBreaker, limiter: Limiter, tenant: str) -> float:
    """Pass the governor as `Client` does, without sending anything; return the milliseconds."""
    began = time.perf_counter()
    with admit(breaker, limiter, Priority.LIVE, tenant=tenant, longest_call_s=8.0, deadline_left_s=2.0) as admission:
        admission.answered(HEADERS, 200)
    return (time.perf_counter() - began) * 1000
