"""What the circuit breaker and the rate limiter add to a call of Cal.com."""

import time

from calcom.models import Account
from calcom.resilience.admission import admit
from calcom.resilience.circuit_breaker import Kind, breaker_for
from calcom.resilience.rate_limiter import limiter_for
from calcom.types import Priority
from script.lib.environment import Environment
from script.lib.measurements import Measurement, median

CALLS = 2000
# As many as Cal.com sends; the limit is that of the environment, which is never reached.
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


def measure(env: Environment) -> dict[str, Measurement]:
    """Pass both as `Client` does, without sending anything."""
    account, tenant = Account.objects.get(pk=env.tenant().account_id), str(env.tenant().company_id)
    breaker = breaker_for(account.api_key, account.pk, Kind.READS)
    limiter = limiter_for(account.api_key, account.requests_per_minute)
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        with admit(
            breaker, limiter, Priority.LIVE, tenant=tenant, longest_call_s=8.0, deadline_left_s=2.0
        ) as admission:
            admission.answered(HEADERS, 200)
        times.append((time.perf_counter() - began) * 1000)
    return {"rate_limiter_overhead_ms": Measurement(median(times), f"{CALLS} calls")}
